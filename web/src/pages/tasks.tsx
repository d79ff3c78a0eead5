/** Tasks over all runs: what runs, what waits and why, what failed; each leads to its run. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { get, reasonOf } from "../core/api";
import { asParameters, fitsRun, isLoaded, newestFirst, phasesOf, runFilterOf, type RunFilter } from "../core/filter";
import { useKeys } from "../core/keys";
import { go, href, query } from "../core/router";
import { follow } from "../core/stream";
import type { Phase, RunRow, TaskRun } from "../core/types";
import { Empty, Fault, Took, When } from "../parts/basics";
import { Field, PhaseChips, Since } from "../parts/filters";
import { ENDED, FAULTY, PhaseLabel } from "../parts/phase";
import { Virtual } from "../parts/virtual";

const ROW = matchMedia("(max-width: 760px)").matches ? 54 : 36; // two lines on a phone
const PHASES: Phase[] = ["Running", "Ready", "Suspended", "Created", "Failed", "Error", "Timeout", "Cancelled"];
const LOOK_MS = 1000; // changes of so long are asked for together

interface FoundTask extends TaskRun {
  reason: string;
}

interface RunTasks {
  run: RunRow;
  tasks: FoundTask[];
  more: boolean;
}

interface Page {
  runs: RunTasks[];
  lookedAt: number;
  since: string | null;
  next: string | null;
  unreachable: string[];
}

/** A line of the list: a task of a run, or that a run has more. */
interface Line {
  run: RunRow;
  task: FoundTask | null;
}

interface Asked extends RunFilter {
  phases: string[];
  task: string;
}

function askedOf(search: URLSearchParams): Asked {
  return { ...runFilterOf(search), phases: phasesOf(search), task: search.get("task") ?? "" };
}

export function Tasks() {
  const search = query.value.toString();
  const asked = useMemo(() => askedOf(new URLSearchParams(search)), [search]);
  const found = useTasks(asked, search);
  const [at, setAt] = useState(-1);
  useEffect(() => setAt(-1), [search]);
  const { lines } = found;
  const open = (line: Line | undefined): void => line && go(linkOf(line));
  useKeys([
    { keys: "j|ArrowDown", does: "next task", act: () => setAt((before) => Math.min(before + 1, lines.length - 1)) },
    { keys: "k|ArrowUp", does: "task before", act: () => setAt((before) => Math.max(before - 1, 0)) },
    { keys: "Enter|o", does: "open the task", act: () => open(lines[at]) },
    { keys: "/", does: "search tasks", act: () => document.querySelector<HTMLInputElement>("#filter-task")?.focus() },
  ]);
  return (
    <section class="page fill">
      <header class="head">
        <h1>Tasks</h1>
        <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
          <Field name="task" label="Task" value={asked.task} id="filter-task" />
          <Field name="name" label="Workflow" value={asked.name} />
          <Field name="label" label="Label=value" value={asked.label.join(" ")} />
          <Field name="namespace" label="Namespace" value={asked.namespace} short />
          <Since value={asked.since} />
          <PhaseChips all={PHASES} chosen={asked.phases} />
        </form>
      </header>
      <Fault text={found.fault} />
      <div class="table all-tasks" role="table" aria-label="tasks" aria-rowcount={found.next === null ? lines.length : -1}>
        <div class="tr th" role="row">
          <span role="columnheader" class="c-phase">Phase</span>
          <span role="columnheader" class="c-name">Task</span>
          <span role="columnheader" class="c-flow">Workflow</span>
          <span role="columnheader" class="c-when">Started</span>
          <span role="columnheader" class="c-took">Took</span>
          <span role="columnheader" class="c-why">Why</span>
        </div>
        {found.loaded && lines.length === 0 ? (
          <Empty>{search ? <p>No task fits. <button type="button" class="plain link" onClick={() => go("/tasks")}>Show all</button></p>
            : <p>Nothing runs, waits or has failed.</p>}</Empty>
        ) : (
          <Virtual count={lines.length} height={ROW} label="list of tasks" role="rowgroup" shown={at} onEnd={found.more}
            row={(index) => {
              const line = lines[index]!;
              return <Row key={`${line.run.runId} ${line.task?.path}`} line={line} on={index === at} />;
            }} />
        )}
      </div>
      {found.loaded && (
        <p class="foot dim" role="status">
          {found.lookedAt === 1 ? "1 run is" : `${found.lookedAt} runs are`} looked at: open ones, and those that failed
          {found.since !== null && <>, back to <When at={found.since} /> <button type="button" class="plain link" onClick={found.more}>Look further back</button></>}.
          {found.unreachable.length > 0 && ` ${found.unreachable.join(", ")} did not say why tasks wait.`}
        </p>
      )}
    </section>
  );
}

/** The tasks of the pages that are loaded, changed as their runs change. */
function useTasks(asked: Asked, search: string) {
  const runs = useRef(new Map<string, RunTasks>());
  const looked = useRef(0);
  const loading = useRef(false);
  const [lines, setLines] = useState<Line[]>([]);
  const [page, setPage] = useState<Page | null>(null);
  const [fault, setFault] = useState("");
  const next = useRef<string | null>(null);
  const parameters = (): Record<string, string | string[]> => ({ ...asParameters(asked), phase: asked.phases, task: asked.task });

  const publish = (): void => setLines([...runs.current.values()].sort((one, other) => newestFirst(one.run, other.run)).flatMap(linesOf));

  const load = (stop: AbortSignal): void => {
    if (loading.current) return;
    loading.current = true;
    get<Page>("/v1/tasks", { ...parameters(), page: next.current }).then(
      (given) => {
        if (stop.aborted) return;
        for (const one of given.runs) {
          const before = runs.current.get(one.run.runId);
          if (before === undefined || before.run.steps <= one.run.steps) runs.current.set(one.run.runId, one);
        }
        looked.current += given.lookedAt;
        next.current = given.next;
        setPage(given);
        publish();
      },
      (error: unknown) => setFault(reasonOf(error)),
    ).finally(() => (loading.current = false));
  };
  const stop = useRef(new AbortController());

  useEffect(() => {
    const mine = (stop.current = new AbortController());
    const changed = new Set<string>();
    let timer = 0;
    runs.current = new Map();
    looked.current = 0;
    next.current = null;
    loading.current = false;
    setPage(null);
    setFault("");
    const look = (): void => {
      timer = 0;
      const several = [...changed].slice(0, 100);
      for (const run of several) changed.delete(run);
      get<Page>("/v1/tasks", { ...parameters(), run: several }).then((given) => {
        if (mine.signal.aborted) return;
        for (const run of several) runs.current.delete(run);
        for (const one of given.runs) runs.current.set(one.run.runId, one);
        publish();
        if (changed.size > 0) timer ||= window.setTimeout(look, LOOK_MS);
      }, (error: unknown) => setFault(reasonOf(error)));
    };
    void follow<{ runId: string; run: RunRow | null }>("/v1/changes/follow", null, (changes) => {
      for (const { runId, run } of changes) {
        const interesting = run !== null && fitsRun(run, asked) && isLoaded(run, next.current)
          && (!run.closed || run.phase !== "Succeeded" || runs.current.has(runId));
        if (interesting) changed.add(runId);
        else if (runs.current.delete(runId)) publish();
      }
      if (changed.size > 0) timer ||= window.setTimeout(look, LOOK_MS);
    }, (state, reason) => setFault(state === "open" ? "" : reason ?? ""), mine.signal);
    load(mine.signal);
    return () => {
      mine.abort();
      clearTimeout(timer);
    };
  }, [search]);

  return {
    lines, fault, loaded: page !== null, next: next.current, lookedAt: looked.current, since: page?.since ?? null,
    unreachable: page?.unreachable ?? [],
    more: (): void => {
      if (next.current !== null) load(stop.current.signal);
    },
  };
}

function linesOf({ run, tasks, more }: RunTasks): Line[] {
  const lines: Line[] = tasks.map((task) => ({ run, task }));
  return more ? [...lines, { run, task: null }] : lines;
}

function linkOf({ run, task }: Line): string {
  const target = `/runs/${encodeURIComponent(run.runId)}`;
  return task === null ? `${target}?tab=tasks` : `${target}?task=${encodeURIComponent(task.path)}`;
}

function Row({ line, on }: { line: Line; on: boolean }) {
  const { run, task } = line;
  const whole = (
    <span role="cell" class="c-flow"><a href={href(`/runs/${encodeURIComponent(run.runId)}`)} title={run.runId}>{run.workflow.name}</a>
      {run.workflow.namespace !== "default" && <small class="dim"> {run.workflow.namespace}</small>}</span>
  );
  if (task === null) {
    return (
      <div class={`tr ${on ? "on" : ""}`} role="row">
        <span role="cell" class="c-phase" />
        <span role="cell" class="c-name"><a class="dim" href={href(linkOf(line))}>more in this run…</a></span>
        {whole}
        <span role="cell" class="c-when" /><span role="cell" class="c-took" /><span role="cell" class="c-why" />
      </div>
    );
  }
  const why = task.reason || task.message;
  return (
    <div class={`tr ${on ? "on" : ""}`} role="row">
      <span role="cell" class="c-phase"><PhaseLabel phase={task.phase} /></span>
      <span role="cell" class="c-name"><a class="row-name" href={href(linkOf(line))} title={task.path}>{task.path}</a>
        {task.item && <span class="dim"> {task.item}</span>}</span>
      {whole}
      <span role="cell" class="c-when"><When at={task.startedAt} ago /></span>
      <span role="cell" class="c-took num"><Took from={task.startedAt} to={task.finishedAt} open={!ENDED.has(task.phase)} /></span>
      <span role="cell" class={`c-why ${FAULTY.has(task.phase) ? "" : "dim"}`} title={why}>{why}</span>
    </div>
  );
}
