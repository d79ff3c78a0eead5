/** One task run: what went in and came out, how often it was tried, what it wrote, and what can be done with it. */

import { useEffect, useState } from "preact/hooks";
import { get, may, reasonOf } from "../core/api";
import type { RunModel } from "../core/model";
import { ask } from "../core/router";
import type { Json, TaskRun } from "../core/types";
import { Command, Fault, quoted, Took, When } from "../parts/basics";
import { ENDED, PhaseLabel } from "../parts/phase";
import { Answer } from "./answer";
import { Logs } from "./logs";
import { RetryDialog } from "./retry";
import { Summary } from "./summary";
import { Values } from "./values";

export function TaskPanel({ model, path, at }: { model: RunModel; path: string; at: number | null }) {
  model.version.value;
  const task = model.tasks.get(path);
  return (
    <aside class="panel" aria-label={`task ${path}`}>
      <header>
        <h2>{task ? <PhaseLabel phase={task.phase} /> : null} <span class="mono">{path}</span></h2>
        <button type="button" class="plain" aria-label="close" onClick={() => ask({ task: null })}>✕</button>
      </header>
      {task === undefined ? <p class="dim">{model.view.notRun.includes(path) ? "It did not begin." : "It has not begun yet."}</p> : <Body model={model} task={task} at={at} />}
    </aside>
  );
}

function Body({ model, task, at }: { model: RunModel; task: TaskRun; at: number | null }) {
  model.version.value;
  const run = model.view.run.runId;
  const target = `/v1/runs/${encodeURIComponent(run)}`;
  const [values, setValues] = useState<TaskRun | null>(null);
  const [fault, setFault] = useState("");
  useEffect(() => {
    let wanted = true;
    get<{ tasks: TaskRun[] }>(`${target}/tasks`, { path: task.path, at, limit: 1 }).then(
      (found) => wanted && setValues(found.tasks[0] ?? null),
      (error: unknown) => wanted && setFault(reasonOf(error)),
    );
    return () => {
      wanted = false;
    };
  }, [run, task.path, task.phase, at]);
  const open = !ENDED.has(task.phase);
  const waiting = model.view.waiting.find((one) => one.path === task.path);
  const leaf = task.templateType === "task";
  return (
    <>
      {task.message && <p class={`message ${task.phase}`}>{task.message}</p>}
      {task.phase === "Ready" && waiting && <p class="message">It waits: {waiting.reason}</p>}
      <dl class="facts">
        <div><dt>Template</dt><dd>{task.templateName}</dd></div>
        <div><dt>Started</dt><dd><When at={task.startedAt} /></dd></div>
        <div><dt>Took</dt><dd><Took from={task.startedAt} to={task.finishedAt} open={open} /></dd></div>
        {task.retries > 0 && <div><dt>Retries</dt><dd>{task.retries}</dd></div>}
      </dl>
      {task.phase === "Suspended" && leaf && at === null && <Answer run={run} task={task} namespace={model.view.run.workflow.namespace} />}
      <Fault text={fault} />
      {leaf && task.startedAt !== null && <Summary key={task.phase} run={run} path={task.path} />}
      <div class="side-by-side">
        <section><h3>Inputs</h3><Values values={(values?.inputs ?? {}) as Record<string, Json>} /></section>
        <section><h3>Outputs</h3><Values values={(values?.outputs ?? {}) as Record<string, Json>} /></section>
      </div>
      {leaf && (
        <section class="panel-logs">
          <h3>Log <button type="button" class="plain link" onClick={() => ask({ tab: "logs", only: task.path })}>open</button></h3>
          <Logs run={run} open={open} path={task.path} compact />
        </section>
      )}
      {model.closed && at === null && <RetryFrom model={model} task={task} />}
      <p><Command line={`aether show ${quoted(run)} ${quoted(task.path)}`} /></p>
    </>
  );
}

function RetryFrom({ model, task }: { model: RunModel; task: TaskRun }) {
  const [asking, setAsking] = useState(false);
  const { run } = model.view;
  const allowed = may("operator", run.workflow.namespace);
  return (
    <section class="actions">
      <button type="button" disabled={!allowed} onClick={() => setAsking(true)}>Retry from here</button>
      <Command line={`aether retry ${quoted(run.runId)} --from ${quoted(task.path)}`} />
      {asking && <RetryDialog run={run.runId} start={task.path} onClose={() => setAsking(false)} />}
    </section>
  );
}
