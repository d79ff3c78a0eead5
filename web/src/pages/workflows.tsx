/** The workflows that are known, each with its newest runs as squares, and what begins one. */

import { useEffect, useRef, useState } from "preact/hooks";
import { get, reasonOf, serverUrl } from "../core/api";
import { newestFirst } from "../core/filter";
import { useKeys } from "../core/keys";
import { shortId } from "../core/model";
import { ask, go, href, query } from "../core/router";
import { follow } from "../core/stream";
import { agoOf, inZone, isOverdue, spanOf, utcOf } from "../core/time";
import type { Change, NewestRun, RunRow, Workflow } from "../core/types";
import { Command, Empty, Fault, quoted } from "../parts/basics";
import { FAULTY, SHAPES } from "../parts/phase";
import { startOf } from "./start";

const NEWEST = 20; // squares of a workflow
const SETTLES_MS = 1000; // runs that begin together are asked about once

interface Page {
  workflows: Workflow[];
  next: string | null;
}

const keyOf = (one: { namespace: string; name: string }): string => `${one.namespace}/${one.name}`;
const byName = (one: Workflow, other: Workflow): number => (keyOf(one) < keyOf(other) ? -1 : 1);

/** What the feed changes: a workflow that is not on the pages that are loaded is left out. */
class Known {
  readonly flows = new Map<string, Workflow>();
  next: string | null = null;

  take(page: Page): void {
    for (const one of page.workflows) {
      const before = this.flows.get(keyOf(one));
      this.flows.set(keyOf(one), one);
      for (const run of before?.runs ?? []) this.keep(one, run);
    }
    this.next = page.next;
  }

  /** Apply a change; whether a run of a schedule began, whose next fire is another one now. */
  apply(change: Change): boolean {
    const run = change.run;
    if (run === null) {
      for (const one of this.flows.values()) one.runs = one.runs.filter((kept) => kept.runId !== change.runId);
      return false;
    }
    const key = keyOf(run.workflow);
    let flow = this.flows.get(key);
    if (flow === undefined) {
      if (this.next !== null && key > this.next) return false;
      flow = { name: run.workflow.name, namespace: run.workflow.namespace, documentVersion: null, schedule: null, runs: [] };
      this.flows.set(key, flow);
    }
    const isNew = !flow.runs.some((kept) => kept.runId === run.runId);
    this.keep(flow, run);
    return isNew && flow.schedule !== null && !flow.schedule.suspend;
  }

  private keep(flow: Workflow, run: NewestRun | RunRow): void {
    const before = flow.runs.find((kept) => kept.runId === run.runId);
    if (before !== undefined && before.steps > run.steps) return;
    flow.runs = [...flow.runs.filter((kept) => kept !== before), run].sort(newestFirst).slice(0, NEWEST);
  }

  get sorted(): Workflow[] {
    return [...this.flows.values()].filter((one) => one.runs.length > 0 || one.documentVersion !== null || one.schedule !== null).sort(byName);
  }
}

export function Workflows() {
  const known = useRef(new Known());
  const [flows, setFlows] = useState<Workflow[] | null>(null);
  const [fault, setFault] = useState("");
  const [at, setAt] = useState(-1);
  const wanted = (query.value.get("q") ?? "").toLowerCase();
  const shown = (flows ?? []).filter((one) => keyOf(one).toLowerCase().includes(wanted));

  const publish = (): void => setFlows(known.current.sorted);
  const load = (page: string | null, again = false): Promise<void> =>
    get<Page>("/v1/workflows", { newest: NEWEST, page }).then(
      (found) => (known.current.take(again ? { ...found, next: known.current.next } : found), publish()),
      (error: unknown) => setFault(reasonOf(error)),
    );

  useEffect(() => {
    const stop = new AbortController();
    let timer = 0;
    // The feed first, then the page: what changes between them is not missed.
    void follow<Change>("/v1/changes/follow", null, (changes) => {
      const fired = changes.map((change) => known.current.apply(change)).includes(true);
      publish();
      if (!fired) return;
      clearTimeout(timer);
      timer = window.setTimeout(() => void load(null, true), SETTLES_MS);
    }, (state, reason) => setFault(state === "open" ? "" : reason ?? ""), stop.signal);
    void load(null);
    return () => (stop.abort(), clearTimeout(timer));
  }, []);

  const move = (by: number): void => {
    const to = Math.min(Math.max(at + by, 0), shown.length - 1);
    setAt(to);
    document.querySelectorAll(".flow")[to]?.scrollIntoView({ block: "nearest" });
  };
  const open = (): void => {
    const one = shown[at];
    if (one !== undefined) go(runsOf(one));
  };
  useKeys([
    { keys: "j|ArrowDown", does: "next workflow", act: () => move(1) },
    { keys: "k|ArrowUp", does: "workflow before", act: () => move(-1) },
    { keys: "Enter|o", does: "its runs", act: open },
    { keys: "/", does: "filter by name", act: () => document.querySelector<HTMLInputElement>("#filter-flow")?.focus() },
  ]);

  return (
    <section class="page">
      <header class="head">
        <h1>Workflows</h1>
        <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
          <label><span class="sr">Name contains</span><input id="filter-flow" placeholder="name" value={query.value.get("q") ?? ""}
            onInput={(event) => ask({ q: event.currentTarget.value.trim() }, true)} /></label>
        </form>
      </header>
      <Fault text={fault} />
      {flows?.length === 0 && <Empty><p>There are no workflows yet: apply one, or run one.</p><Command line={`aether apply flow.yaml --server ${quoted(serverUrl())}`} /></Empty>}
      {flows !== null && flows.length > 0 && shown.length === 0 && <Empty><p>No workflow fits.</p></Empty>}
      <ul class="flows" aria-label="workflows">
        {shown.map((one, index) => <Flow key={keyOf(one)} flow={one} on={index === at} />)}
      </ul>
      {known.current.next !== null && <p class="buttons"><button type="button" onClick={() => void load(known.current.next)}>More</button></p>}
    </section>
  );
}

function runsOf(flow: Workflow): string {
  return `/runs?${new URLSearchParams({ name: flow.name, namespace: flow.namespace })}`;
}

function Flow({ flow, on }: { flow: Workflow; on: boolean }) {
  const good = flow.runs.filter((run) => run.closed && run.phase === "Succeeded");
  const bad = flow.runs.filter((run) => run.closed && FAULTY.has(run.phase));
  const took = good.map((run) => run.durationSeconds ?? 0).sort((one, other) => one - other);
  const middle = ((took[(took.length - 1) >> 1] ?? 0) + (took[took.length >> 1] ?? 0)) / 2;
  const judged = good.length + bad.length;
  return (
    <li class={`flow ${on ? "on" : ""}`}>
      <h2><a href={href(runsOf(flow))}>{flow.name}</a>{flow.namespace !== "default" && <small class="dim"> {flow.namespace}</small>}</h2>
      <Squares runs={flow.runs} name={flow.name} />
      <dl class="facts">
        <div title="of the runs shown that ended well or badly"><dt>Succeeded</dt>
          <dd>{judged === 0 ? <span class="dim">–</span> : <span class={bad.length > 0 ? "some-bad" : ""}>{good.length} of {judged}</span>}</dd></div>
        <div title="of the runs shown that succeeded"><dt>Median</dt><dd>{took.length === 0 ? <span class="dim">–</span> : spanOf(middle)}</dd></div>
        <Next flow={flow} />
      </dl>
      <Start flow={flow} />
    </li>
  );
}

function Next({ flow }: { flow: Workflow }) {
  const schedule = flow.schedule;
  if (schedule === null) return null;
  const at = schedule.nextFireAt;
  const isLate = !schedule.suspend && at !== null && isOverdue(at);
  return (
    <div title={isLate ? "no scheduler of this store runs: 'aether cron run' starts one" : undefined}><dt>{isLate ? "Overdue" : "Next"}</dt><dd>{schedule.suspend ? <span class="state">suspended</span> : at === null ? <span class="dim">none</span> : (
      <time dateTime={at} title={`${utcOf(at)}, ${schedule.schedule} in ${schedule.timezone}`}>{inZone(at, schedule.timezone)} <span class="dim">({agoOf(at)})</span></time>)}</dd></div>
  );
}

/** The newest runs, the newest at the right. One of them is reached by Tab, the others by arrows. */
function Squares({ runs, name }: { runs: NewestRun[]; name: string }) {
  const several = [...runs].reverse();
  const move = (event: KeyboardEvent): void => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const here = (event.target as Element).closest("li");
    const next = by === undefined ? null : by < 0 ? here?.previousElementSibling : here?.nextElementSibling;
    next?.querySelector("a")?.focus();
    if (by !== undefined) event.preventDefault();
  };
  if (several.length === 0) return <p class="dim squares">no runs yet</p>;
  return (
    <ol class="squares" aria-label={`newest runs of ${name}, oldest first`} onKeyDown={move}>
      {several.map((run, index) => {
        const phase = run.broken !== null ? "Failed" : run.phase;
        const told = `${run.broken !== null ? "Set aside" : run.phase}${run.durationSeconds === null ? "" : ` after ${spanOf(run.durationSeconds)}`}, ${agoOf(run.createdAt)}`;
        return (
          <li key={run.runId}><a class={`square ${phase}`} href={href(`/runs/${encodeURIComponent(run.runId)}`)} tabIndex={index === several.length - 1 ? 0 : -1}
            aria-label={`${told}: run ${run.runId}`} title={`${told}\n${shortId(run.runId)}${run.message ? `\n${run.message}` : ""}`}><span aria-hidden="true">{SHAPES[phase]}</span></a></li>
        );
      })}
    </ol>
  );
}

function Start({ flow }: { flow: Workflow }) {
  return <span class="start"><a class="button" href={href(startOf(flow))} aria-label={`start ${flow.name}…`}>Start…</a></span>;
}
