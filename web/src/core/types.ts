/** What the server answers, as far as pages read it (docs/reference/http-api.md). */

export type Phase =
  | "Created" | "Ready" | "Running" | "Suspended" | "Succeeded" | "Failed" | "Error" | "Timeout" | "Cancelled" | "Skipped";

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

export interface RunRow {
  runId: string;
  workflow: { name: string; namespace: string; version: string | null };
  documentVersion: number | null;
  labels: Record<string, string>;
  phase: Phase;
  message: string;
  progress: string;
  createdAt: string;
  startedAt: string | null;
  finishedAt: string | null;
  durationSeconds: number | null;
  closed: boolean;
  steps: number;
  digest: string;
  retryOf: string | null;
  broken: string | null;
  asleep: boolean;
  wakeAt: string | null;
  /** Of an open run in a list: whether a process drives it. A change of it says that one does. */
  driven?: boolean | null;
}

/** What is kept of a run on the page of workflows. */
export type NewestRun = Pick<RunRow, "runId" | "phase" | "message" | "createdAt" | "finishedAt" | "durationSeconds" | "closed" | "steps" | "broken">;

export interface Workflow {
  name: string;
  namespace: string;
  documentVersion: number | null;
  schedule: { schedule: string; timezone: string; suspend: boolean; nextFireAt: string | null } | null;
  runs: NewestRun[];
}

/** What the feed of all runs says: the row as it is now, null of a run that was deleted. */
export interface Change {
  cursor: number;
  runId: string;
  run: RunRow | null;
}

export interface TaskRun {
  path: string;
  taskName: string;
  templateName: string;
  templateType: "task" | "dag" | "loop";
  depth: number;
  phase: Phase;
  message: string;
  retries: number;
  startedAt: string | null;
  finishedAt: string | null;
  /** Of an iteration over items: which one. */
  item?: string | null;
  inputs?: Record<string, Json>;
  outputs?: Record<string, Json>;
}

export interface HookRun {
  hook: string;
  path: string;
  phase: Phase;
  message: string;
  startedAt: string | null;
  finishedAt: string | null;
}

export interface WaitingTask {
  path: string;
  attempt: number;
  code: string;
  reason: string;
}

/** One GET of a run's page: the run as it was after the log entry `seq`. */
export interface RunView {
  run: RunRow;
  seq: number;
  at: string | null;
  phase: Phase;
  message: string;
  progress: string;
  outputs: Record<string, Json>;
  parameters: Record<string, Json>;
  owner: string | null;
  waiting: WaitingTask[];
  tasks: TaskRun[];
  hooks: HookRun[];
  notRun: string[];
  critical: string[];
  warnings: { path: string; message: string }[];
}

/** A record of the feed of events (docs/reference/events.md). */
export interface RunEvent {
  seq: number;
  index: number;
  at: string;
  cause: string;
  kind: string;
  path?: string;
  hook?: string;
  phase?: Phase;
  message?: string;
  taskName?: string;
  templateName?: string;
  templateType?: "task" | "dag" | "loop";
  depth?: number;
  item?: string | null;
  attempt?: number;
  due?: string;
  after?: Phase;
  inputs?: Record<string, Json>;
  outputs?: Record<string, Json>;
  [more: string]: unknown;
}

export interface LayoutBox {
  id: number;
  parent: number | null;
  kind: "task" | "approval" | "hook" | "dag" | "loop" | "workflow";
  title: string;
  path: string;
  lines: string[];
  titleLines: string[];
  detailLines: string[];
  optional: boolean;
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Layout {
  width: number;
  height: number;
  nodes: LayoutBox[];
  edges: { source: number; target: number; points: [number, number, number][] }[];
}

export interface LogPiece {
  seq: number;
  path: string;
  attempt: number;
  at: string;
  stream: string;
  text: string;
}

export interface RetriedTask {
  path: string;
  phase: Phase | null;
}

/** What a retry would do with each task of a run. */
export interface RetryPreview {
  runId: string;
  start: string | null;
  kept: RetriedTask[];
  again: RetriedTask[];
}

export interface Change {
  path: string;
  field: string;
  before?: Json;
  after?: Json;
}

export interface TaskDurations {
  path: string;
  before: number | null;
  after: number | null;
}

/** What differs between two runs. */
export interface Differences {
  before: string;
  after: string;
  changes: Change[];
  durations: TaskDurations[];
  documents: string[];
  rows: RunRow[];
}

export interface Artifact {
  task: string;
  kind: "output" | "fetched";
  name: string;
  file: string;
  digest: string;
  size: number;
  archive: string;
  kept: boolean;
}
