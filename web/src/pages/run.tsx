/** One run: its picture, its times, its tasks and what they wrote, live or as it was after any of its log entries. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { get, may, post, reasonOf } from "../core/api";
import { useKeys } from "../core/keys";
import { RunModel } from "../core/model";
import { ask, go, href, query } from "../core/router";
import { follow } from "../core/stream";
import type { RunEvent, RunView } from "../core/types";
import { Act, Command, copy, Dialog, Empty, Fault, quoted, say, Took, When } from "../parts/basics";
import { PhaseLabel } from "../parts/phase";
import { Artifacts } from "../run/artifacts";
import { CaseDialog } from "../run/case";
import { Compare, CompareDialog } from "../run/compare";
import { DocumentTab } from "../run/document";
import { EventsTab } from "../run/events";
import { Graph } from "../run/graph";
import { Logs } from "../run/logs";
import { TaskPanel } from "../run/panel";
import { RetryDialog } from "../run/retry";
import { Slider } from "../run/slider";
import { Tasks } from "../run/tasks";
import { Timeline } from "../run/timeline";
import { Values } from "../run/values";

const TABS = ["graph", "timeline", "tasks", "logs", "data", "artifacts", "events", "document"] as const;
type Tab = (typeof TABS)[number];

export function RunPage({ id }: { id: string }) {
  const other = query.value.get("with");
  return other === null ? <OneRun id={id} /> : <Compare before={id} after={other} />;
}

function OneRun({ id }: { id: string }) {
  const [model, setModel] = useState<RunModel | null>(null);
  const [fault, setFault] = useState("");
  const [cut, setCut] = useState("");
  const search = query.value;
  const tab = (TABS.find((one) => one === search.get("tab")) ?? "graph") as Tab;
  const task = search.get("task");
  const at = search.get("at") === null ? null : Number(search.get("at"));
  const latest = useRef(0);

  useEffect(() => {
    const stop = new AbortController();
    setFault("");
    get<RunView>(`/v1/runs/${encodeURIComponent(id)}/view`, { at }).then(
      (view) => {
        if (stop.signal.aborted) return;
        const made = new RunModel(view);
        latest.current = Math.max(latest.current, view.run.steps, view.seq);
        setModel(made);
        document.title = `${view.run.workflow.name} ${view.run.runId} · Aether`;
        if (at !== null || made.closed) return;
        void follow<RunEvent>(`/v1/runs/${encodeURIComponent(view.run.runId)}/events/follow`, view.seq, (events, last) => {
          latest.current = Math.max(latest.current, last);
          made.apply(events);
        }, (state, reason) => setCut(state === "waiting" ? "The connection is lost; trying again." : state === "ended" && reason ? reason : ""), stop.signal);
      },
      (error: unknown) => setFault(reasonOf(error)),
    );
    return () => stop.abort();
  }, [id, at]);

  useKeys([
    ...TABS.map((name, index) => ({ keys: String(index + 1), does: `tab ${name}`, act: () => ask({ tab: name }) })),
    { keys: "Escape", does: "close the task", act: () => ask({ task: null }) },
    { keys: "u", does: "back to the runs", act: () => go("/runs") },
  ]);

  if (fault) return <section class="page"><Fault text={fault} /><p><a href={href("/runs")}>All runs</a></p></section>;
  if (model === null) return <section class="page"><Empty><p>Loading…</p></Empty></section>;
  return (
    <section class={`page fill run-page ${task ? "with-panel" : ""}`}>
      <Head model={model} at={at} />
      <Fault text={cut} />
      <Waiting model={model} at={at} />
      <div class="tabs">
        <div role="tablist" aria-label="views of the run">
        {TABS.map((name, index) => (
          <button key={name} type="button" role="tab" aria-selected={tab === name} title={`${index + 1}`}
            class={tab === name ? "on" : ""} onClick={() => ask({ tab: name === "graph" ? null : name })}>
            {name}
          </button>
        ))}
        </div>
        <span class="spring" />
        <Slider model={model} at={at} steps={latest.current} />
      </div>
      <div class="run-body">
        <div class="run-main" role="tabpanel" aria-label={tab}>
          <Shown tab={tab} model={model} task={task} />
        </div>
        {task !== null && <TaskPanel model={model} path={task} at={at} />}
      </div>
    </section>
  );
}

function Shown({ tab, model, task }: { tab: Tab; model: RunModel; task: string | null }) {
  if (tab === "timeline") return <Timeline model={model} selected={task} />;
  if (tab === "tasks") return <Tasks model={model} selected={task} />;
  if (tab === "logs") return <Logs run={model.view.run.runId} open={!model.closed} path={query.value.get("only")} />;
  if (tab === "data") return <RunData model={model} />;
  if (tab === "artifacts") return <Artifacts model={model} selected={task} />;
  if (tab === "events") return <EventsTab run={model.view.run.runId} />;
  if (tab === "document") return <DocumentTab digest={model.view.run.digest} />;
  return <Graph model={model} selected={task} />;
}

function RunData({ model }: { model: RunModel }) {
  model.version.value;
  return (
    <div class="side-by-side">
      <section><h2>Parameters</h2><Values values={model.view.parameters} /></section>
      <section><h2>Outputs</h2><Values values={model.view.outputs} /></section>
    </div>
  );
}

function Head({ model, at }: { model: RunModel; at: number | null }) {
  model.version.value;
  const { run } = model.view;
  const leaves = useMemo(() => [...model.tasks.values()].filter((task) => task.templateType === "task"), [model.version.value, model]);
  const good = leaves.filter((task) => task.phase === "Succeeded").length;
  const ahead = model.view.notRun.filter((path) => !model.tasks.has(path)).length; // without those that began since the page was loaded
  return (
    <header class="head run-head">
      <h1><PhaseLabel phase={model.phase} /> {run.workflow.name}
        {run.workflow.version && <small class="dim"> {run.workflow.version}</small>}</h1>
      <dl class="facts">
        <div><dt>Run</dt><dd><button type="button" class="plain mono" title="copy the id" onClick={() => copy(run.runId)}>{run.runId}</button></dd></div>
        {run.workflow.namespace !== "default" && <div><dt>Namespace</dt><dd>{run.workflow.namespace}</dd></div>}
        <div><dt>Created</dt><dd><When at={run.createdAt} /></dd></div>
        {at === null && <div><dt>{model.closed ? "Took" : "For"}</dt><dd><Took from={run.createdAt} to={model.finishedAt} open={!model.closed} /></dd></div>}
        <div><dt>Succeeded</dt><dd>{good} of {leaves.length + ahead}</dd></div>
        {run.retryOf && <div><dt>Retry of</dt><dd><a href={href(`/runs/${encodeURIComponent(run.retryOf)}`)}>{run.retryOf}</a></dd></div>}
        {Object.entries(run.labels).map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}
      </dl>
      {model.message && <p class={`message ${model.phase}`}>{model.message}</p>}
      {run.broken && <Fault text={`set aside: ${run.broken}`} />}
      {at === null && <Actions model={model} />}
    </header>
  );
}

function Actions({ model }: { model: RunModel }) {
  model.version.value; // a component whose properties stay the same is drawn anew for what it reads alone
  const { run } = model.view;
  const [sure, setSure] = useState(false);
  const [comparing, setComparing] = useState(false);
  const [testing, setTesting] = useState(false);
  const target = `/v1/runs/${encodeURIComponent(run.runId)}`;
  const allowed = may("operator", run.workflow.namespace);
  if (!model.closed) {
    return (
      <div class="actions">
        <Act label="Cancel" danger disabled={!allowed} run={async () => setSure(true)} />
        <Command line={`aether cancel ${quoted(run.runId)}`} />
        <Again run={run.runId} />
        {sure && (
          <Dialog title="Cancel this run?" onClose={() => setSure(false)}>
            <p>Tasks that run are stopped; hooks for the end still run.</p>
            <p class="buttons">
              <Act label="Cancel the run" danger run={async () => {
                await post(`${target}/cancel`).then(() => say("cancelled"), (error: unknown) => say(reasonOf(error), true));
                setSure(false);
              }} />
              <button type="button" onClick={() => setSure(false)}>Leave it</button>
            </p>
          </Dialog>
        )}
      </div>
    );
  }
  const faulty = model.phase !== "Succeeded";
  return (
    <div class="actions">
      <Again run={run.runId} />
      {faulty && (
        <>
          <button type="button" class="primary" disabled={!allowed} title="run again what did not succeed; keep the rest"
            onClick={() => setSure(true)}>Retry</button>
          <Command line={`aether retry ${quoted(run.runId)}`} />
          {sure && <RetryDialog run={run.runId} start={null} onClose={() => setSure(false)} />}
        </>
      )}
      <button type="button" onClick={() => setComparing(true)}>Compare</button>
      <button type="button" title="a unit test that does again what this run did" onClick={() => setTesting(true)}>Copy as case</button>
      {testing && <CaseDialog run={run.runId} onClose={() => setTesting(false)} />}
      {comparing && <CompareDialog run={run} onClose={() => setComparing(false)} />}
    </div>
  );
}

function Again({ run }: { run: string }) {
  return <a class="button" href={href(`/start?${new URLSearchParams({ run })}`)} title="a new run with the same values, or others">Run again…</a>;
}

function Waiting({ model, at }: { model: RunModel; at: number | null }) {
  model.version.value;
  if (model.closed) return null;
  const suspended = [...model.tasks.values()].filter((task) => task.phase === "Suspended" && task.templateType === "task");
  const waiting = model.view.waiting.filter((one) => model.tasks.get(one.path)?.phase === "Ready");
  const undriven = at === null && model.view.owner === null && model.seq === model.view.seq && !model.view.run.asleep && model.phase !== "Suspended";
  if (suspended.length === 0 && waiting.length === 0 && !undriven) return null;
  return (
    <ul class="waiting">
      {undriven && <li>No process drives this run now: a server takes it up, or this continues it: <Command line={`aether resume ${quoted(model.view.run.runId)}`} /></li>}
      {suspended.slice(0, 5).map((task) => (
        <li key={task.path}><PhaseLabel phase="Suspended" /> <strong>{task.path}</strong> waits for an answer{task.message && `: ${task.message}`}{" "}
          <button type="button" class="plain link" onClick={() => ask({ task: task.path })}>answer</button></li>
      ))}
      {waiting.slice(0, 5).map((one) => <li key={one.path}><strong>{one.path}</strong> waits: {one.reason}</li>)}
      {waiting.length > 5 && <li class="dim">and {waiting.length - 5} more wait for a worker</li>}
    </ul>
  );
}
