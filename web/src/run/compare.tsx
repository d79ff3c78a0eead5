/** Two runs beside each other: what differs, how long tasks took in each, and how their documents differ. */

import { useEffect, useMemo, useState } from "preact/hooks";
import { get, reasonOf } from "../core/api";
import { useKeys } from "../core/keys";
import { shortId } from "../core/model";
import { ask, go, href } from "../core/router";
import { spanOf } from "../core/time";
import type { Change, Differences, Json, Phase, RunRow, TaskDurations } from "../core/types";
import { Command, Dialog, Empty, Fault, quoted, Took, When } from "../parts/basics";
import { PhaseLabel } from "../parts/phase";
import { Virtual } from "../parts/virtual";
import { textOf } from "./values";

const ROW = 32;

export function Compare({ before, after }: { before: string; after: string }) {
  const [found, setFound] = useState<Differences | null>(null);
  const [fault, setFault] = useState("");
  useEffect(() => {
    setFound(null);
    setFault("");
    get<Differences>(`/v1/runs/${encodeURIComponent(before)}/compare/${encodeURIComponent(after)}`).then(
      (told) => {
        setFound(told);
        document.title = `${told.before} and ${told.after} · Aether`;
      },
      (error: unknown) => setFault(reasonOf(error)),
    );
  }, [before, after]);
  useKeys([{ keys: "Escape|u", does: "back to the run", act: () => ask({ with: null }) }]);
  return (
    <section class="page compare">
      <header class="head">
        <h1>Two runs compared</h1>
        <div class="actions">
          <a class="button" href={href(`/runs/${encodeURIComponent(after)}?with=${encodeURIComponent(before)}`)}>Swap</a>
          <button type="button" onClick={() => ask({ with: null })}>Back to the run</button>
          <Command line={`aether diff ${quoted(before)} ${quoted(after)}`} />
        </div>
      </header>
      <Fault text={fault} />
      {found === null ? !fault && <Empty><p>Loading…</p></Empty> : <Found found={found} />}
    </section>
  );
}

function Found({ found }: { found: Differences }) {
  return (
    <>
      <div class="cards two">{found.rows.map((row, index) => <Side key={index} name={index ? "after" : "before"} row={row} />)}</div>
      <section aria-label="what differs">
        <h2>What differs</h2>
        {found.changes.length === 0 ? <p class="dim">Nothing: phases, parameters, inputs and outputs are the same.</p> : <Changes changes={found.changes} />}
      </section>
      {found.documents.length > 0 && (
        <section aria-label="documents">
          <h2>Documents</h2>
          <pre class="code diff" tabIndex={0}>{found.documents.map((line, at) => <span key={at} class={kindOf(line)}>{`${line}\n`}</span>)}</pre>
        </section>
      )}
      <section aria-label="durations">
        <h2>How long tasks took</h2>
        <Durations durations={found.durations} />
      </section>
    </>
  );
}

function Side({ name, row }: { name: string; row: RunRow }) {
  return (
    <article class="card">
      <header><h3>{name}</h3><PhaseLabel phase={row.phase} /></header>
      <p><a href={href(`/runs/${encodeURIComponent(row.runId)}`)} class="mono">{row.runId}</a></p>
      <dl class="facts">
        <div><dt>Workflow</dt><dd>{row.workflow.name}</dd></div>
        <div><dt>Created</dt><dd><When at={row.createdAt} /></dd></div>
        <div><dt>Took</dt><dd><Took from={row.createdAt} to={row.finishedAt} open={!row.closed} /></dd></div>
      </dl>
    </article>
  );
}

function Changes({ changes }: { changes: Change[] }) {
  return (
    <div class="scrolls" tabIndex={0} role="region" aria-label="differences">
      <table class="changes">
        <thead><tr><th scope="col">Task</th><th scope="col">What</th><th scope="col">Before</th><th scope="col">After</th></tr></thead>
        <tbody>
          {changes.slice(0, 1000).map((change) => (
            <tr key={`${change.path} ${change.field}`}>
              <td class="mono">{change.path || <span class="dim">the run</span>}</td><td>{change.field}</td>
              <td><Value change={change} side="before" /></td><td><Value change={change} side="after" /></td>
            </tr>
          ))}
        </tbody>
      </table>
      {changes.length > 1000 && <p class="dim">and {changes.length - 1000} more; the command shows all</p>}
    </div>
  );
}

function Value({ change, side }: { change: Change; side: "before" | "after" }) {
  if (!(side in change)) return <span class="dim">none</span>;
  const value: Json = change[side] ?? null;
  if (change.field === "phase") return <PhaseLabel phase={value as Phase} />;
  if (change.field === "digest") return <code>{String(value).slice(0, 16)}</code>;
  return <pre>{textOf(value)}</pre>;
}

function Durations({ durations }: { durations: TaskDurations[] }) {
  const sorted = useMemo(() => [...durations].sort((one, other) => apart(other) - apart(one)), [durations]);
  const most = useMemo(() => sorted.reduce((so, one) => Math.max(so, one.before ?? 0, one.after ?? 0), 0) || 1, [sorted]);
  if (sorted.length === 0) return <p class="dim">No task ended in either.</p>;
  return (
    <div class="table durations" role="table" aria-label="durations by task" style={{ height: `${Math.min(sorted.length, 14) * ROW + 34}px` }}>
      <div class="tr th" role="row">
        <span role="columnheader">Task</span><span role="columnheader" class="num">Before</span>
        <span role="columnheader" class="num">After</span><span role="columnheader" class="c-bars"><span class="sr">bars</span></span>
      </div>
      <Virtual count={sorted.length} height={ROW} label="list of durations" role="rowgroup" row={(index) => {
        const one = sorted[index]!;
        return (
          <div key={one.path} class="tr" role="row">
            <span role="cell" class="mono" title={one.path}>{one.path}</span>
            <span role="cell" class="num">{one.before === null ? "–" : spanOf(one.before)}</span>
            <span role="cell" class="num">{one.after === null ? "–" : spanOf(one.after)}</span>
            <span role="cell" class="c-bars">
              <svg viewBox="0 0 100 16" preserveAspectRatio="none" aria-hidden="true">
                <rect class="was" y={2} height={5} width={((one.before ?? 0) / most) * 100} /><rect class="is" y={9} height={5} width={((one.after ?? 0) / most) * 100} />
              </svg>
            </span>
          </div>
        );
      }} />
    </div>
  );
}

const apart = (one: TaskDurations): number => Math.abs((one.after ?? 0) - (one.before ?? 0));

function kindOf(line: string): string {
  if (line.startsWith("+++") || line.startsWith("---")) return "d-name";
  return line.startsWith("+") ? "d-new" : line.startsWith("-") ? "d-old" : line.startsWith("@@") ? "d-at" : "";
}

/** Choose the run that this one is compared with. */
export function CompareDialog({ run, onClose }: { run: RunRow; onClose: () => void }) {
  const [rows, setRows] = useState<RunRow[] | null>(null);
  const [text, setText] = useState("");
  const [fault, setFault] = useState("");
  useEffect(() => {
    get<{ runs: RunRow[] }>("/v1/runs", { name: run.workflow.name, namespace: run.workflow.namespace, limit: 20 }).then(
      (page) => setRows(page.runs.filter((one) => one.runId !== run.runId)),
      (error: unknown) => setFault(reasonOf(error)),
    );
  }, [run.runId]);
  const choose = (other: string): void => go(`/runs/${encodeURIComponent(run.runId)}?with=${encodeURIComponent(other)}`);
  return (
    <Dialog title="Compare with which run?" onClose={onClose}>
      <form class="inline" onSubmit={(event) => (event.preventDefault(), text.trim() && choose(text.trim()))}>
        <label>Run <input value={text} placeholder="an id, or the beginning of one" onInput={(event) => setText(event.currentTarget.value)} /></label>
        <button>Compare</button>
      </form>
      <Fault text={fault} />
      {rows !== null && rows.length === 0 && <p class="dim">There are no other runs of this workflow.</p>}
      <ul class="preview-tasks">
        {rows?.map((row) => (
          <li key={row.runId}><PhaseLabel phase={row.phase} />
            <button type="button" class="plain link mono" onClick={() => choose(row.runId)}>{shortId(row.runId)}</button>
            <span class="dim"><When at={row.createdAt} ago /></span>{row.runId === run.retryOf && <span class="dim">this is a retry of it</span>}</li>
        ))}
      </ul>
    </Dialog>
  );
}
