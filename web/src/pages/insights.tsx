/** How runs went over time: how many, how long, how often they failed, and which take longer than is usual. */

import { useEffect, useState } from "preact/hooks";
import { get, reasonOf } from "../core/api";
import { instantOf } from "../core/filter";
import { useKeys } from "../core/keys";
import { shortId } from "../core/model";
import { ask, href, query } from "../core/router";
import { spanOf } from "../core/time";
import { Command, Empty, Fault, quoted, When } from "../parts/basics";
import { Field, Since } from "../parts/filters";
import { PhaseLabel } from "../parts/phase";
import { Charts, spanOr } from "../insights/charts";
import { failedOf, type Insights, type LongerRun, type TaskStatistics, type WorkflowStatistics } from "../insights/types";

const TASKS_SHOWN = 30;
const LONGER_SHOWN = 8; // until all are asked for

export function InsightsPage() {
  const search = query.value.toString();
  const asked = new URLSearchParams(search);
  const since = asked.get("since") ?? "30d";
  const [found, setFound] = useState<Insights | null>(null);
  const [fault, setFault] = useState("");
  const [busy, setBusy] = useState(false);
  const [looks, setLooks] = useState(0);
  const workflow = asked.get("name") ?? "";
  const filter = { workflow, namespace: asked.get("namespace"), label: (asked.get("label") ?? "").split(/[ ,]+/).filter(Boolean), by: asked.get("by") };
  const sort = asked.get("sort") === "failing" ? "failing" : asked.get("sort") === "slow" ? "slow" : "runs";
  const counted = JSON.stringify([since, filter]);

  useEffect(() => {
    let gone = false;
    setBusy(true);
    get<Insights>("/v1/insights", { ...filter, since: instantOf(since), tasksOf: 50 }).then(
      (given) => gone || (setFound(given), setFault("")),
      (error: unknown) => gone || setFault(reasonOf(error)),
    ).finally(() => gone || setBusy(false));
    return () => {
      gone = true;
    };
  }, [counted, looks]);
  useKeys([
    { keys: "/", does: "filter by workflow", act: () => document.querySelector<HTMLInputElement>("#filter-name")?.focus() },
    { keys: ".", does: "count again", act: () => setLooks((before) => before + 1) },
  ]);

  return (
    <section class="page">
      <header class="head">
        <h1>Insights</h1>
        <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
          <Field name="name" label="Workflow" value={workflow} id="filter-name" />
          <Field name="label" label="Label=value" value={asked.get("label") ?? ""} />
          <Field name="namespace" label="Namespace" value={asked.get("namespace") ?? ""} short />
          <Since value={since} any={false} />
          <label><span class="sr">Per</span>
            <select value={asked.get("by") ?? ""} onChange={(event) => ask({ by: event.currentTarget.value })}>
              <option value="">per hour, day or week</option><option value="hour">per hour</option><option value="day">per day</option><option value="week">per week</option>
            </select></label>
          <button type="button" disabled={busy} aria-busy={busy} onClick={() => setLooks(looks + 1)}>Count again</button>
        </form>
      </header>
      <Fault text={fault} />
      {found !== null && found.workflows.length === 0 && <Empty><p>No run was made in this time.</p></Empty>}
      {found !== null && found.workflows.length > 0 && (
        <>
          <Numbers found={found} />
          <Charts found={found} />
          <Longer found={found} />
          <Workflows several={found.workflows} sort={sort} chosen={workflow} />
          <Tasks several={found.tasks} sort={sort} />
          <Command line={`aether stats ${workflow ? `${quoted(workflow)} ` : ""}--since ${since}`} />
        </>
      )}
    </section>
  );
}

function Numbers({ found }: { found: Insights }) {
  const sum = (of: (one: WorkflowStatistics) => number): number => found.workflows.reduce((total, one) => total + of(one), 0);
  const failed = sum(failedOf);
  const judged = failed + sum((one) => one.phases["Succeeded"] ?? 0);
  const told: [string, string][] = [
    ["Runs", String(sum((one) => one.runs))],
    ["Open", String(sum((one) => one.open))],
    ["Failed", judged ? `${failed} (${percent(failed / judged)})` : "0"],
    ["Longer than usual", String(found.longerCount)],
  ];
  return (
    <>
      <dl class="figures">{told.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>
      {found.countedFrom !== null && <p class="dim">There are more: those since <When at={found.countedFrom} /> are counted. Ask for less time, or for one workflow.</p>}
    </>
  );
}

function Longer({ found }: { found: Insights }) {
  const [all, setAll] = useState(false);
  if (found.longer.length === 0) return null;
  const shown = all ? found.longer : found.longer.slice(0, LONGER_SHOWN);
  const left = found.longerCount - shown.length;
  return (
    <section class="block">
      <h2>Longer than usual</h2>
      <p class="dim">Longer than 95 % of the last 50 runs of their workflow that succeeded.</p>
      <div class="scroll" tabIndex={0} role="region" aria-label="runs that take longer than usual">
        <table class="grid">
          <thead><tr><th scope="col">Phase</th><th scope="col">Workflow</th><th scope="col">Run</th><th scope="col">Created</th>
            <th scope="col" class="num">Took</th><th scope="col" class="num">Usually at most</th></tr></thead>
          <tbody>{shown.map((run) => <LongRow key={run.runId} run={run} />)}</tbody>
        </table>
      </div>
      {left > 0 && <p class="dim">and {left} more{!all && found.longer.length > shown.length && (
        <> <button type="button" class="plain link" onClick={() => setAll(true)}>Show the newest {found.longer.length}</button></>)}</p>}
    </section>
  );
}

function LongRow({ run }: { run: LongerRun }) {
  return (
    <tr>
      <td><PhaseLabel phase={run.phase} /></td>
      <td>{run.workflow}{run.namespace !== "default" && <small class="dim"> {run.namespace}</small>}</td>
      <td class="mono"><a href={href(`/runs/${encodeURIComponent(run.runId)}?tab=timeline`)} title={run.runId}>{shortId(run.runId)}</a></td>
      <td><When at={run.createdAt} ago /></td>
      <td class="num">{spanOf(run.seconds)}{run.open && <span class="dim"> so far</span>}</td>
      <td class="num">{spanOf(run.usualSeconds)}</td>
    </tr>
  );
}

type Sort = "runs" | "failing" | "slow";

function Sorts({ sort }: { sort: Sort }) {
  const told: [Sort, string][] = [["runs", "most runs"], ["failing", "most failing"], ["slow", "slowest"]];
  return (
    <span class="chips">
      {told.map(([name, label]) => (
        <button key={name} type="button" class={`chip ${sort === name ? "on" : ""}`} aria-pressed={sort === name}
          onClick={() => ask({ sort: name === "runs" ? null : name })}>{label}</button>
      ))}
    </span>
  );
}

function ordered<T extends { runs: number; seconds: { median: number | null } }>(several: T[], sort: Sort, failed: (one: T) => number): T[] {
  const by: Record<Sort, (one: T) => number> = { runs: (one) => one.runs, failing: failed, slow: (one) => one.seconds.median ?? 0 };
  return [...several].sort((one, other) => by[sort](other) - by[sort](one));
}

function Workflows({ several, sort, chosen }: { several: WorkflowStatistics[]; sort: Sort; chosen: string }) {
  return (
    <section class="block">
      <header><h2>Workflows</h2><Sorts sort={sort} /></header>
      <div class="scroll" tabIndex={0} role="region" aria-label="workflows">
        <table class="grid">
          <thead><tr><th scope="col">Workflow</th><th scope="col" class="num">Runs</th><th scope="col" class="num">Failed</th><th scope="col" class="num">Rate</th>
            <th scope="col" class="num">Median</th><th scope="col" class="num">95 %</th><th scope="col" class="num">Longest</th><th scope="col" class="num">Trend</th></tr></thead>
          <tbody>
            {ordered(several, sort, failedOf).map((one) => (
              <tr key={`${one.namespace}/${one.workflow}`}>
                <th scope="row"><a href={href(`/insights?${given({ name: one.workflow, namespace: one.namespace })}`)}>{one.workflow}</a>
                  {one.namespace !== "default" && <small class="dim"> {one.namespace}</small>}</th>
                <td class="num"><a href={href(`/runs?${given({ name: one.workflow, namespace: one.namespace })}`)}>{one.runs}</a></td>
                <td class={`num ${failedOf(one) ? "bad" : ""}`}>{failedOf(one) || ""}</td>
                <td class="num">{one.failureRate === null ? "" : percent(one.failureRate)}</td>
                <td class="num">{spanOr(one.seconds.median)}</td><td class="num">{spanOr(one.seconds.p95)}</td><td class="num">{spanOr(one.seconds.longest)}</td>
                <td class="num">{one.trend === null ? "" : `${one.trend > 0 ? "+" : ""}${percent(one.trend)}`}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {chosen !== "" && several.length === 1 && several[0]!.slowest.length > 0 && (
        <p>Slowest: {several[0]!.slowest.map((run, index) => (
          <>{index > 0 && ", "}<a href={href(`/runs/${encodeURIComponent(run.runId)}?tab=timeline`)}>{spanOf(run.seconds)}</a></>
        ))}</p>
      )}
    </section>
  );
}

function Tasks({ several, sort }: { several: TaskStatistics[]; sort: Sort }) {
  if (several.length === 0) return null;
  const shown = ordered(several, sort === "runs" ? "slow" : sort, (one) => one.failed + one.retries / 1e6);
  return (
    <section class="block">
      <h2>Tasks</h2>
      <p class="dim">Of the last 50 runs that ended; all iterations of a loop are counted together.</p>
      <div class="scroll" tabIndex={0} role="region" aria-label="tasks">
        <table class="grid">
          <thead><tr><th scope="col">Task</th><th scope="col">Workflow</th><th scope="col" class="num">Runs</th><th scope="col" class="num">Failed</th>
            <th scope="col" class="num">Retries</th><th scope="col" class="num">Median</th><th scope="col" class="num">95 %</th><th scope="col" class="num">Longest</th></tr></thead>
          <tbody>
            {shown.slice(0, TASKS_SHOWN).map((one) => (
              <tr key={`${one.namespace}/${one.workflow}/${one.path}`}>
                <th scope="row">{one.failed > 0
                  ? <a href={href(`/tasks?${given({ name: one.workflow, namespace: one.namespace, task: one.path.split("[]")[0]!, phase: "Failed,Error,Timeout" })}`)}>{one.path}</a>
                  : one.path}</th>
                <td>{one.workflow}</td><td class="num">{one.runs}</td>
                <td class={`num ${one.failed ? "bad" : ""}`}>{one.failed || ""}</td><td class="num">{one.retries || ""}</td>
                <td class="num">{spanOr(one.seconds.median)}</td><td class="num">{spanOr(one.seconds.p95)}</td><td class="num">{spanOr(one.seconds.longest)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {shown.length > TASKS_SHOWN && <p class="dim">and {shown.length - TASKS_SHOWN} more: choose a workflow</p>}
    </section>
  );
}

function given(parameters: Record<string, string>): string {
  return new URLSearchParams(parameters).toString();
}

function percent(part: number): string {
  const value = part * 100;
  return `${Math.abs(value) < 10 && value !== 0 ? value.toFixed(1) : value.toFixed(0)} %`;
}
