/** Time travel: the run as it was after any entry of its log. */

import { useEffect, useState } from "preact/hooks";
import type { RunModel } from "../core/model";
import { ask } from "../core/router";

export function Slider({ model, at, steps }: { model: RunModel; at: number | null; steps: number }) {
  model.version.value;
  const last = Math.max(steps, model.seq, 1);
  const [value, setValue] = useState(at ?? last);
  useEffect(() => setValue(at ?? last), [at, last]);
  const show = (to: number): void => ask({ at: to >= last ? null : String(to) }, true);
  return (
    <span class="slider">
      <label>
        <span class="dim">{at === null ? "now" : `after ${value} of ${last}`}</span>
        <input type="range" min={1} max={last} value={value} aria-label="the run as it was after an entry of its log"
          onInput={(event) => setValue(Number(event.currentTarget.value))}
          onChange={(event) => show(Number(event.currentTarget.value))} />
      </label>
      {at !== null && <button type="button" class="plain link" onClick={() => ask({ at: null }, true)}>now</button>}
    </span>
  );
}
