/** When what ran: a line a task run, with its waits, attempts, retries and suspensions; long idle times are folded. */

import { useMemo } from "preact/hooks";
import type { RunModel } from "../core/model";
import { ask } from "../core/router";
import { clockOf, now, spanOf } from "../core/time";
import type { Phase, RunEvent } from "../core/types";
import { Empty, Fault } from "../parts/basics";
import { Virtual } from "../parts/virtual";
import { useEvents } from "./events";

interface Piece {
  from: number;
  to: number | null;
  kind: "waits" | "runs" | "pause" | "asks";
  phase: Phase | null; // what an attempt came to
}

interface Line {
  path: string;
  depth: number;
  leaf: boolean;
  pieces: Piece[];
}

/** Make the pieces of all task runs of their events. */
export function piecesOf(events: RunEvent[]): Line[] {
  const lines = new Map<string, Line>();
  const close = (line: Line, at: number, phase: Phase | null = null): void => {
    const last = line.pieces.at(-1);
    if (last !== undefined && last.to === null) {
      last.to = at;
      last.phase = phase ?? last.phase;
    }
  };
  const begin = (line: Line, at: number, kind: Piece["kind"], phase: Phase | null = null): void => {
    close(line, at);
    line.pieces.push({ from: at, to: null, kind, phase });
  };
  for (const event of events) {
    if (event.path === undefined || event.hook !== undefined) continue;
    const at = Date.parse(event.at);
    if (event.kind === "NodeCreated") {
      lines.set(event.path, { path: event.path, depth: event.depth ?? 0, leaf: event.templateType === "task", pieces: [] });
      continue;
    }
    const line = lines.get(event.path);
    if (line === undefined) continue;
    if (event.kind === "TaskDispatched") begin(line, at, "waits");
    else if (event.kind === "TaskRunning" || event.kind === "ScopeOpened") begin(line, at, "runs");
    else if (event.kind === "TaskSuspended") begin(line, at, "asks", "Suspended");
    else if (event.kind === "TaskResumed") begin(line, at, "waits");
    else if (event.kind === "RetryScheduled") {
      close(line, at, event.after ?? "Failed");
      begin(line, at, "pause");
    } else if (event.kind === "NodeEnded") {
      const last = line.pieces.at(-1);
      if (last !== undefined && last.to === null && last.kind === "waits") last.kind = "runs"; // its start was never confirmed
      close(line, at, event.phase ?? null);
      if (last !== undefined) last.phase = event.phase ?? null;
    }
  }
  return [...lines.values()].filter((line) => line.pieces.length > 0);
}

/** A scale from instants to pixels, in which time when nothing happened takes little room. */
export function scaleOf(lines: Line[], until: number, width: number): { x: (at: number) => number; folds: [number, number][] } {
  const busy: [number, number][] = [];
  for (const line of lines) {
    if (!line.leaf) continue;
    for (const piece of line.pieces) if (piece.kind === "runs" || piece.kind === "waits") busy.push([piece.from, piece.to ?? until]);
  }
  const starts = lines.map((line) => line.pieces[0]!.from);
  const begin = Math.min(...starts, until);
  busy.sort((one, other) => one[0] - other[0]);
  const merged: [number, number][] = [];
  for (const [from, to] of [[begin, begin] as [number, number], ...busy, [until, until] as [number, number]]) {
    const last = merged.at(-1);
    if (last !== undefined && from <= last[1]) last[1] = Math.max(last[1], to);
    else merged.push([from, to]);
  }
  const work = merged.reduce((sum, [from, to]) => sum + to - from, 0) || 1;
  const most = Math.max(work * 0.15, 50); // of an idle time that is shown in full
  const marks: [number, number][] = []; // instant, position before scaling
  const folds: [number, number][] = [];
  let position = 0;
  for (const [index, [from, to]] of merged.entries()) {
    if (index > 0) {
      const before = merged[index - 1]![1];
      const idle = from - before;
      if (idle > most) folds.push([before, from]);
      position += Math.min(idle, most);
    }
    marks.push([from, position]);
    position += to - from;
    marks.push([to, position]);
  }
  const whole = position || 1;
  const x = (at: number): number => {
    let low = 0;
    let high = marks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (marks[middle]![0] <= at) low = middle;
      else high = middle - 1;
    }
    const [instant, place] = marks[low]!;
    const after = marks[low + 1];
    const part = after === undefined || after[0] === instant ? 0 : ((at - instant) / (after[0] - instant)) * (after[1] - place);
    return ((place + Math.max(part, 0)) / whole) * width;
  };
  return { x, folds };
}

const ROW = 24;
const WIDTH = 1000; // units; the picture is stretched to its room

export function Timeline({ model, selected }: { model: RunModel; selected: string | null }) {
  const [events, version, fault] = useEvents(model.view.run.runId);
  const lines = useMemo(() => piecesOf(events), [version]);
  const until = model.closed ? Math.max(...events.slice(-1).map((one) => Date.parse(one.at)), 0) : now.value;
  const { x, folds } = useMemo(() => scaleOf(lines, until, WIDTH), [lines, until]);
  if (fault) return <Fault text={fault} />;
  if (lines.length === 0) return <Empty><p>Nothing began yet.</p></Empty>;
  const critical = new Set(model.view.critical);
  const begin = Math.min(...lines.slice(0, 1).map((line) => line.pieces[0]!.from));
  return (
    <div class="column timeline">
      <div class="scale" aria-hidden="true">
        <span class="c-name" />
        <span class="c-lane">
          <span class="tick start">{clockOf(new Date(begin).toISOString())}</span>
          {folds.filter(([from, to]) => (x(from) + x(to)) / 2 > WIDTH * 0.12 && (x(from) + x(to)) / 2 < WIDTH * 0.88).map(([from, to]) => (
            <span key={from} class="fold" style={{ left: `${((x(from) + x(to)) / 2 / WIDTH) * 100}%` }} title="nothing ran">{spanOf((to - from) / 1000)}</span>
          ))}
          <span class="tick end">+{spanOf((until - begin) / 1000)}</span>
        </span>
      </div>
      {critical.size > 0 && <p class="dim legend"><i class="critical-mark" aria-hidden="true" /> the critical path: what the run had to wait for, one task after the other</p>}
      <Virtual count={lines.length} height={ROW} label="timeline" role="list" row={(index) => {
        const line = lines[index]!;
        return (
          <div key={line.path} role="listitem" class={`lane click ${line.path === selected ? "on" : ""} ${critical.has(line.path) ? "critical" : ""}`} onClick={() => ask({ task: line.path })}>
            <button type="button" class="plain c-name" style={{ paddingLeft: `${Math.min(line.depth, 8) * 10}px` }} title={critical.has(line.path) ? `${line.path}: on the critical path` : line.path}>
              {line.path.slice(line.path.lastIndexOf(".") + 1)}</button>
            <span class="c-lane">
              <svg viewBox={`0 0 ${WIDTH} 16`} preserveAspectRatio="none" aria-label={`${said(line)}${critical.has(line.path) ? "; on the critical path" : ""}`} role="img">
                {folds.map(([from, to]) => <rect key={from} class="idle" x={x(from)} width={Math.max(x(to) - x(from), 1)} y={0} height={16} />)}
                {line.pieces.map((piece, at) => {
                  const [left, right] = [x(piece.from), x(piece.to ?? until)];
                  return (
                    <rect key={at} class={`piece ${piece.kind} ${piece.phase ?? (piece.to === null ? "Running" : "")} ${line.leaf ? "" : "container"}`}
                      x={left} width={Math.max(right - left, 2)} y={line.leaf ? 2 : 6} height={line.leaf ? 12 : 4} rx={2}>
                      <title>{`${piece.kind} ${spanOf(((piece.to ?? until) - piece.from) / 1000)}${piece.phase ? `, ${piece.phase}` : ""}`}</title>
                    </rect>
                  );
                })}
              </svg>
            </span>
          </div>
        );
      }} />
    </div>
  );
}

function said(line: Line): string {
  return `${line.path}: ${line.pieces.map((piece) => `${piece.kind}${piece.phase ? ` ${piece.phase}` : ""}`).join(", ")}`;
}
