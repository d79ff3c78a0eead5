/** All runs, newest first: pages by key, changed as they change, steered several at once. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { get, may, post, reasonOf, serverUrl } from "../core/api";
import { asParameters, fitsRun, isLoaded, newestFirst, phasesOf, runFilterOf, type RunFilter } from "../core/filter";
import { useKeys } from "../core/keys";
import { shortId } from "../core/model";
import { go, href, query } from "../core/router";
import { follow } from "../core/stream";
import type { Change, Phase, RunRow } from "../core/types";
import { Act, Command, Empty, Fault, quoted, say, Took, When } from "../parts/basics";
import { Field, PhaseChips, Since } from "../parts/filters";
import { FAULTY, PhaseLabel } from "../parts/phase";
import { Virtual } from "../parts/virtual";

const ROW = 36;
const PAGE = 100;
const PHASES: Phase[] = ["Running", "Suspended", "Ready", "Succeeded", "Failed", "Error", "Timeout", "Cancelled", "Created"];

interface Page {
  runs: RunRow[];
  next: string | null;
}

interface Filter extends RunFilter {
  phases: string[];
  prefix: string;
  text: string;
}

function filterOf(search: URLSearchParams): Filter {
  return { ...runFilterOf(search), phases: phasesOf(search), prefix: search.get("id") ?? "", text: search.get("text") ?? "" };
}

function asked(filter: Filter): Record<string, string | string[]> {
  return { ...asParameters(filter), phase: filter.phases, prefix: filter.prefix, text: filter.text, drivers: "true" };
}

function fits(run: RunRow, filter: Filter): boolean {
  return (filter.phases.length === 0 || filter.phases.includes(run.phase)) && fitsRun(run, filter) && run.runId.startsWith(filter.prefix) &&
    `${run.runId} ${run.workflow.name} ${run.message}`.toLowerCase().includes(filter.text.toLowerCase());
}

export function Runs() {
  const search = query.value.toString();
  const filter = useMemo(() => filterOf(new URLSearchParams(search)), [search]);
  const rows = useRef(new Map<string, RunRow>());
  const [shown, setShown] = useState<RunRow[]>([]);
  const [fault, setFault] = useState("");
  const [loaded, setLoaded] = useState(false);
  const [at, setAt] = useState(-1);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const next = useRef<string | null>(null);
  const loading = useRef(false);

  const publish = (): void => setShown([...rows.current.values()].sort(newestFirst));

  useEffect(() => {
    const stop = new AbortController();
    rows.current = new Map();
    next.current = null;
    setLoaded(false);
    setAt(-1);
    setChosen(new Set());
    // The feed first, then the page: what changes between them is not missed, and a row that is older than what is known is left.
    void follow<Change>("/v1/changes/follow", null, (changes) => {
      for (const change of changes) {
        const run = change.run;
        if (run === null) rows.current.delete(change.runId);
        else if (fits(run, filter)) keep(rows.current, run, next.current);
        else rows.current.delete(run.runId);
      }
      publish();
    }, (state, reason) => setFault(state === "open" ? "" : reason ?? ""), stop.signal);
    loading.current = true;
    get<Page>("/v1/runs", { ...asked(filter), limit: PAGE }).then(
      (page) => {
        if (stop.signal.aborted) return;
        for (const run of page.runs) keep(rows.current, run, null);
        next.current = page.next;
        setLoaded(true);
        publish();
      },
      (error: unknown) => setFault(reasonOf(error)),
    ).finally(() => (loading.current = false));
    return () => stop.abort();
  }, [search]);

  const more = (): void => {
    if (loading.current || next.current === null) return;
    loading.current = true;
    get<Page>("/v1/runs", { ...asked(filter), limit: PAGE, page: next.current }).then(
      (page) => {
        for (const run of page.runs) keep(rows.current, run, null);
        next.current = page.next;
        publish();
      },
      (error: unknown) => setFault(reasonOf(error)),
    ).finally(() => (loading.current = false));
  };

  const toggle = (run: string): void => {
    const changed = new Set(chosen);
    if (!changed.delete(run)) changed.add(run);
    setChosen(changed);
  };

  useKeys([
    { keys: "j|ArrowDown", does: "next run", act: () => setAt((before) => Math.min(before + 1, shown.length - 1)) },
    { keys: "k|ArrowUp", does: "run before", act: () => setAt((before) => Math.max(before - 1, 0)) },
    { keys: "Enter|o", does: "open the run", act: () => shown[at] && go(`/runs/${encodeURIComponent(shown[at].runId)}`) },
    { keys: "x", does: "choose it", act: () => shown[at] && toggle(shown[at].runId) },
    { keys: "/", does: "filter by workflow", act: () => document.querySelector<HTMLInputElement>("#filter-name")?.focus() },
    { keys: "Escape", does: "choose none", act: () => setChosen(new Set()) },
  ]);

  return (
    <section class="page fill">
      <header class="head">
        <h1>Runs</h1>
        <Filters filter={filter} />
      </header>
      <Fault text={fault} />
      {chosen.size > 0 && <Bulk chosen={[...chosen]} rows={rows.current} done={() => setChosen(new Set())} />}
      <div class="table runs" role="table" aria-label="runs" aria-rowcount={next.current === null ? shown.length : -1}>
        <div class="tr th" role="row">
          <span role="columnheader" class="c-pick"><span class="sr">chosen</span></span>
          <span role="columnheader" class="c-phase">Phase</span>
          <span role="columnheader" class="c-name">Workflow</span>
          <span role="columnheader" class="c-id">Run</span>
          <span role="columnheader" class="c-tasks">Tasks</span>
          <span role="columnheader" class="c-when">Created</span>
          <span role="columnheader" class="c-took">Took</span>
          <span role="columnheader" class="c-why">Message</span>
        </div>
        {loaded && shown.length === 0 ? (
          <Empty>
            {search ? <p>No run fits. <button type="button" class="plain link" onClick={() => go("/runs")}>Show all</button></p> : (
              <>
                <p>There are no runs yet.</p>
                <Command line={`aether run flow.yaml --server ${quoted(serverUrl())}`} />
              </>
            )}
          </Empty>
        ) : (
          <Virtual count={shown.length} height={ROW} label="list of runs" role="rowgroup" shown={at} onEnd={more}
            row={(index) => {
              const run = shown[index]!;
              return <Row key={run.runId} run={run} on={index === at} chosen={chosen.has(run.runId)} toggle={() => toggle(run.runId)} />;
            }} />
        )}
      </div>
    </section>
  );
}

/** Keep a row, unless a newer one is known, or it belongs to pages that are not loaded. */
function keep(rows: Map<string, RunRow>, run: RunRow, next: string | null): void {
  const before = rows.get(run.runId);
  if (before !== undefined && before.steps > run.steps) return;
  if (before === undefined && !isLoaded(run, next)) return;
  rows.set(run.runId, run);
}

function Row({ run, on, chosen, toggle }: { run: RunRow; on: boolean; chosen: boolean; toggle: () => void }) {
  const link = href(`/runs/${encodeURIComponent(run.runId)}`);
  const why = run.broken ?? (isLeft(run) ? "no process drives it: it continues when one takes it up" : run.message);
  return (
    <div class={`tr ${on ? "on" : ""} ${run.broken ? "broken" : ""}`} role="row" aria-selected={chosen}>
      <span role="cell" class="c-pick"><input type="checkbox" checked={chosen} aria-label={`choose ${run.runId}`} onChange={toggle} /></span>
      <span role="cell" class="c-phase"><StateOf run={run} /></span>
      <span role="cell" class="c-name"><a href={link} class="row-link">{run.workflow.name}</a>
        {run.workflow.namespace !== "default" && <small class="dim"> {run.workflow.namespace}</small>}</span>
      <span role="cell" class="c-id mono dim" title={run.runId}>{shortId(run.runId)}</span>
      <span role="cell" class="c-tasks num">{run.progress}</span>
      <span role="cell" class="c-when"><When at={run.createdAt} ago /></span>
      <span role="cell" class="c-took num"><Took from={run.createdAt} to={run.finishedAt} open={!run.closed} /></span>
      <span role="cell" class={`c-why ${FAULTY.has(run.phase) ? "" : "dim"}`} title={why}>{why}</span>
    </div>
  );
}

/** Open, and no process drives it, nor is one to wake it. */
function isLeft(run: RunRow): boolean {
  return !run.closed && run.driven === false && !run.asleep && run.broken === null;
}

function StateOf({ run }: { run: RunRow }) {
  if (run.broken !== null) return <span class="phase"><span class="mark Failed" aria-hidden="true">!</span>Set aside</span>;
  if (isLeft(run)) return <span class="phase" title={`${run.phase}, and no process drives it`}><span class="mark Suspended" aria-hidden="true">!</span>Undriven</span>;
  return <PhaseLabel phase={run.phase} />;
}

function Filters({ filter }: { filter: Filter }) {
  return (
    <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
      <Field name="name" label="Workflow" value={filter.name} id="filter-name" />
      <Field name="label" label="Label=value" value={filter.label.join(" ")} />
      <Field name="namespace" label="Namespace" value={filter.namespace} short />
      <Field name="id" label="Id" value={filter.prefix} short />
      <Field name="text" label="Text" value={filter.text} />
      <Since value={filter.since} />
      <PhaseChips all={PHASES} chosen={filter.phases} />
    </form>
  );
}

function Bulk({ chosen, rows, done }: { chosen: string[]; rows: Map<string, RunRow>; done: () => void }) {
  const open = chosen.filter((run) => rows.get(run)?.closed === false);
  const ended = chosen.filter((run) => FAULTY.has(rows.get(run)?.phase ?? "Ready") || rows.get(run)?.phase === "Cancelled");
  const all = async (runs: string[], what: string): Promise<void> => {
    const results = await Promise.allSettled(runs.map((run) => post(`/v1/runs/${encodeURIComponent(run)}/${what}`)));
    const refused = results.find((one) => one.status === "rejected");
    if (refused !== undefined) say(reasonOf((refused as PromiseRejectedResult).reason), true);
    say(`${what}: ${results.filter((one) => one.status === "fulfilled").length} of ${runs.length}`);
    done();
  };
  return (
    <div class="bulk" role="toolbar" aria-label="what is done with the chosen runs">
      <strong>{chosen.length} chosen</strong>
      <Act label={`Cancel ${open.length}`} disabled={!open.length || !may("operator")} run={() => all(open, "cancel")} />
      <Act label={`Retry ${ended.length}`} disabled={!ended.length || !may("operator")} run={() => all(ended, "retry")} />
      {chosen.length === 2 && (
        <button type="button" onClick={() => {
          const [before, after] = [...chosen].sort((one, other) => (rows.get(one)?.createdAt ?? "") < (rows.get(other)?.createdAt ?? "") ? -1 : 1);
          go(`/runs/${encodeURIComponent(before!)}?with=${encodeURIComponent(after!)}`);
        }}>Compare</button>
      )}
      <button type="button" class="plain" onClick={done}>None</button>
      {open.length === 1 && <Command line={`aether cancel ${quoted(open[0]!)}`} />}
    </div>
  );
}

