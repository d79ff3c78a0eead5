/** The task runs of a run as a list of any length. */

import { useMemo, useState } from "preact/hooks";
import { useKeys } from "../core/keys";
import type { RunModel } from "../core/model";
import { ask, query } from "../core/router";
import type { Phase, TaskRun } from "../core/types";
import { Empty, Took, When } from "../parts/basics";
import { FAULTY, ORDER, PhaseLabel, PhaseMark } from "../parts/phase";
import { Virtual } from "../parts/virtual";

const ROW = 32;

export function Tasks({ model, selected }: { model: RunModel; selected: string | null }) {
  const version = model.version.value;
  const wanted = query.value.get("q") ?? "";
  const phase = query.value.get("phase") as Phase | null;
  const counts = useMemo(() => countsOf(model), [version, model]);
  const shown = useMemo(() => {
    const found: TaskRun[] = [];
    const text = wanted.toLowerCase();
    for (const path of model.order) {
      const task = model.tasks.get(path)!;
      if (phase !== null && (task.phase !== phase || task.templateType !== "task")) continue;
      if (text && !path.toLowerCase().includes(text) && !task.message.toLowerCase().includes(text)) continue;
      found.push(task);
    }
    return found;
  }, [version, model, wanted, phase]);
  const [at, setAt] = useState(() => shown.findIndex((task) => task.path === selected));
  const select = (index: number): void => {
    setAt(index);
    if (selected !== null && shown[index]) ask({ task: shown[index].path }, true);
  };
  useKeys([
    { keys: "j|ArrowDown", does: "next task", act: () => select(Math.min(at + 1, shown.length - 1)) },
    { keys: "k|ArrowUp", does: "task before", act: () => select(Math.max(at - 1, 0)) },
    { keys: "Enter|o", does: "open the task", act: () => shown[at] && ask({ task: shown[at].path }) },
    { keys: "/", does: "search", act: () => document.querySelector<HTMLInputElement>("#search-tasks")?.focus() },
  ]);
  return (
    <div class="column">
      <div class="filters">
        <input id="search-tasks" type="search" placeholder="search tasks" aria-label="search tasks" value={wanted}
          onInput={(event) => ask({ q: event.currentTarget.value }, true)} />
        <span class="chips">
          {ORDER.filter((one) => counts.get(one)).map((one) => (
            <button key={one} type="button" class={`chip ${phase === one ? "on" : ""}`} aria-pressed={phase === one}
              onClick={() => ask({ phase: phase === one ? null : one })}>
              <PhaseMark phase={one} />{counts.get(one)} {one}
            </button>
          ))}
        </span>
      </div>
      <div class="table tasks" role="table" aria-label="tasks" aria-rowcount={shown.length}>
        <div class="tr th" role="row">
          <span role="columnheader" class="c-phase">Phase</span><span role="columnheader" class="c-name">Task</span>
          <span role="columnheader" class="c-when">Started</span><span role="columnheader" class="c-took">Took</span>
          <span role="columnheader" class="c-tasks">Retries</span><span role="columnheader" class="c-why">Message</span>
        </div>
        {shown.length === 0 ? <Empty><p>No task fits.</p></Empty> : (
          <Virtual count={shown.length} height={ROW} label="list of tasks" role="rowgroup" shown={at} row={(index) => {
            const task = shown[index]!;
            return <Row key={task.path} task={task} on={index === at || task.path === selected} choose={() => (setAt(index), ask({ task: task.path }))} />;
          }} />
        )}
      </div>
    </div>
  );
}

function countsOf(model: RunModel): Map<Phase, number> {
  const counts = new Map<Phase, number>();
  for (const task of model.tasks.values()) {
    if (task.templateType === "task") counts.set(task.phase, (counts.get(task.phase) ?? 0) + 1);
  }
  return counts;
}

function Row({ task, on, choose }: { task: TaskRun; on: boolean; choose: () => void }) {
  const name = task.path.slice(task.path.lastIndexOf(".") + 1);
  return (
    <div class={`tr click ${on ? "on" : ""}`} role="row" onClick={choose}>
      <span role="cell" class="c-phase"><PhaseLabel phase={task.phase} /></span>
      <span role="cell" class="c-name" style={{ paddingLeft: `${Math.min(task.depth, 8) * 14}px` }} title={task.path}>
        <button type="button" class={`plain ${task.templateType === "task" ? "" : "strong"}`}>{name}</button>{task.item && <span class="dim"> {task.item}</span>}</span>
      <span role="cell" class="c-when"><When at={task.startedAt} /></span>
      <span role="cell" class="c-took num"><Took from={task.startedAt} to={task.finishedAt} open={task.phase === "Running"} /></span>
      <span role="cell" class="c-tasks num">{task.retries || ""}</span>
      <span role="cell" class={`c-why ${FAULTY.has(task.phase) ? "" : "dim"}`} title={task.message}>{task.message}</span>
    </div>
  );
}
