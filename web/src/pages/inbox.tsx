/** Everything that waits for a person. */

import { useEffect, useState } from "preact/hooks";
import { get, reasonOf } from "../core/api";
import { href } from "../core/router";
import { follow } from "../core/stream";
import type { RunRow, RunView } from "../core/types";
import { Empty, Fault, When } from "../parts/basics";
import { Answer } from "../run/answer";

export function Inbox() {
  const [rows, setRows] = useState<RunRow[] | null>(null);
  const [fault, setFault] = useState("");
  useEffect(() => {
    const stop = new AbortController();
    const known = new Map<string, RunRow>();
    const publish = (): void => setRows([...known.values()].filter((run) => run.phase === "Suspended").sort((one, other) => (one.createdAt < other.createdAt ? -1 : 1)));
    void follow<{ runId: string; run: RunRow | null }>("/v1/changes/follow", null, (changes) => {
      for (const change of changes) {
        if (change.run === null) known.delete(change.runId);
        else known.set(change.runId, change.run);
      }
      publish();
    }, () => undefined, stop.signal);
    get<{ runs: RunRow[] }>("/v1/runs", { phase: "Suspended", limit: 200 }).then(
      (page) => {
        for (const run of page.runs) if ((known.get(run.runId)?.steps ?? -1) < run.steps) known.set(run.runId, run);
        publish();
      },
      (error: unknown) => setFault(reasonOf(error)),
    );
    return () => stop.abort();
  }, []);
  return (
    <section class="page">
      <header class="head"><h1>Inbox</h1></header>
      <Fault text={fault} />
      {rows?.length === 0 && <Empty><p>Nothing waits for you.</p></Empty>}
      <div class="cards wide">{rows?.map((run) => <Waits key={`${run.runId} ${run.steps}`} run={run} />)}</div>
    </section>
  );
}

function Waits({ run }: { run: RunRow }) {
  const [view, setView] = useState<RunView | null>(null);
  useEffect(() => {
    get<RunView>(`/v1/runs/${encodeURIComponent(run.runId)}/view`).then(setView, () => undefined);
  }, [run.runId]);
  const asked = view?.tasks.filter((task) => task.phase === "Suspended" && task.templateType === "task") ?? [];
  return (
    <article class="card">
      <header><h2><a href={href(`/runs/${encodeURIComponent(run.runId)}`)}>{run.workflow.name}</a></h2>
        <span class="dim">since <When at={run.startedAt ?? run.createdAt} ago /></span></header>
      {asked.map((task) => (
        <div key={task.path}>
          <p><strong>{task.path}</strong>{task.message && <>: {task.message}</>}</p>
          <Answer run={run.runId} task={task} namespace={run.workflow.namespace} />
        </div>
      ))}
    </article>
  );
}
