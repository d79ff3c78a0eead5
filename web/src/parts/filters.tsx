/** Fields for filters: each writes its name into the address of the page. */

import { ask } from "../core/router";
import type { Phase } from "../core/types";
import { PhaseMark } from "./phase";

export function Field({ name, label, value, id, short = false }: { name: string; label: string; value: string; id?: string; short?: boolean }) {
  return (
    <label><span class="sr">{label}</span>
      <input id={id} class={short ? "short" : ""} placeholder={label.toLowerCase()} value={value}
        onChange={(event) => ask({ [name]: event.currentTarget.value.trim() })} /></label>
  );
}

export function Since({ value, any = true }: { value: string; any?: boolean }) {
  return (
    <label><span class="sr">Since</span>
      <select value={value} onChange={(event) => ask({ since: event.currentTarget.value })}>
        {any && <option value="">any time</option>}<option value="1h">last hour</option><option value="24h">last day</option>
        <option value="7d">last week</option><option value="30d">last month</option>{!any && <option value="90d">last 90 days</option>}
      </select></label>
  );
}

export function PhaseChips({ all, chosen }: { all: readonly Phase[]; chosen: string[] }) {
  return (
    <span class="chips">
      {all.map((phase) => {
        const on = chosen.includes(phase);
        const phases = on ? chosen.filter((one) => one !== phase) : [...chosen, phase];
        return (
          <button key={phase} type="button" class={`chip ${on ? "on" : ""}`} aria-pressed={on} onClick={() => ask({ phase: phases.join(",") })}>
            <PhaseMark phase={phase} />{phase}
          </button>
        );
      })}
    </span>
  );
}
