/** Find a page, a run, a workflow, or something that can be done on this page. */

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { get } from "../core/api";
import { activeKeys } from "../core/keys";
import { shortId } from "../core/model";
import { go } from "../core/router";
import type { RunRow, Workflow } from "../core/types";
import { startOf } from "../pages/start";
import { Dialog } from "./basics";

interface Found {
  kind: string;
  name: string;
  detail?: string;
  act: () => void;
}

const WAIT_MS = 150; // after a key, before runs are looked up
const MOST = 6; // of each kind
const MOVES = /^(j|k|Enter|Escape|Arrow|palette|\?|g )/; // keys that go through a list or to a page: no actions

export function Palette({ pages, close }: { pages: { name: string; path: string }[]; close: () => void }) {
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const [runs, setRuns] = useState<RunRow[]>([]);
  const [workflows, setWorkflows] = useState<Workflow[]>([]);
  const field = useRef<HTMLInputElement>(null);
  const wanted = text.trim().toLowerCase();
  useLayoutEffect(() => field.current?.focus(), []);
  useEffect(() => {
    get<{ workflows: Workflow[] }>("/v1/workflows", { newest: 1, limit: 1000 }).then((found) => setWorkflows(found.workflows), () => undefined);
  }, []);
  useEffect(() => {
    setRuns([]);
    if (wanted.length < 2) return;
    let gone = false;
    const timer = setTimeout(() => {
      get<{ runs: RunRow[] }>("/v1/runs", { prefix: text.trim(), limit: MOST }).then((found) => gone || setRuns(found.runs), () => undefined);
    }, WAIT_MS);
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, [wanted]);

  const to = (kind: string, name: string, target: string, detail?: string): Found => ({ kind, name, act: () => go(target), ...(detail ? { detail } : {}) });
  const fits = (name: string): boolean => name.toLowerCase().includes(wanted);
  const found: Found[] = pages.filter((page) => fits(page.name)).map((page) => to("page", page.name, page.path));
  if (wanted) {
    for (const one of workflows.filter((known) => fits(`${known.namespace}/${known.name}`)).slice(0, MOST)) {
      const { name, namespace } = one;
      const asked = new URLSearchParams({ name, namespace }).toString();
      found.push(to("workflow", name, `/runs?${asked}`, namespace === "default" ? "its runs" : `its runs, in ${namespace}`));
      found.push(to("workflow", name, `/insights?${asked}`, "how it went"));
      found.push(to("workflow", name, startOf(one), "start…"));
    }
    for (const run of runs) found.push(to("run", `${run.workflow.name} ${shortId(run.runId)}`, `/runs/${encodeURIComponent(run.runId)}`, run.phase));
  }
  const actions = activeKeys().filter((one) => !MOVES.test(one.keys) && fits(one.does));
  for (const one of wanted ? actions : actions.slice(0, MOST)) {
    found.push({ kind: "action", name: one.does, detail: one.keys.split("|")[0]!, act: () => one.act(new KeyboardEvent("keydown")) });
  }
  if (wanted && runs.length === 0) found.push(to("run", `The run that is called ${text.trim()}`, `/runs/${encodeURIComponent(text.trim())}`));

  const choose = (one: Found | undefined): void => {
    if (one === undefined) return;
    close();
    one.act();
  };
  return (
    <Dialog title="Go to" onClose={close}>
      <input ref={field} aria-label="page, run, workflow or action" placeholder="a page, a run, a workflow, an action" value={text} role="combobox" autoComplete="off"
        aria-expanded="true" aria-controls="found" {...(found[at] ? { "aria-activedescendant": `found-${at}` } : {})}
        onInput={(event) => (setText(event.currentTarget.value), setAt(0))}
        onKeyDown={(event) => {
          if (event.key === "ArrowDown") setAt(Math.min(at + 1, found.length - 1));
          else if (event.key === "ArrowUp") setAt(Math.max(at - 1, 0));
          else if (event.key === "Enter") choose(found[at]);
          else return;
          event.preventDefault();
        }} />
      <ul id="found" class="found" role="listbox" aria-label="found">
        {found.map((one, index) => (
          <li key={`${one.kind} ${one.name} ${one.detail}`} id={`found-${index}`} role="option" aria-selected={index === at} class={index === at ? "on" : ""} onClick={() => choose(one)}>
            <span>{one.name}{one.detail && <span class="dim"> {one.detail}</span>}</span><small class="dim">{one.kind}</small></li>
        ))}
      </ul>
    </Dialog>
  );
}
