/** What `GET /v1/insights` answers, which is what `aether stats -o json` prints. */

import type { Phase } from "../core/types";

export interface Spread {
  median: number | null;
  p95: number | null;
  mean: number | null;
  longest: number | null;
}

export interface WorkflowStatistics {
  workflow: string;
  namespace: string;
  runs: number;
  open: number;
  phases: Record<string, number>;
  failureRate: number | null;
  seconds: Spread;
  trend: number | null;
  usualSeconds: number | null;
  slowest: { runId: string; seconds: number }[];
}

export interface TaskStatistics {
  workflow: string;
  namespace: string;
  path: string;
  runs: number;
  failed: number;
  retries: number;
  seconds: Spread;
}

export interface LongerRun {
  runId: string;
  workflow: string;
  namespace: string;
  phase: Phase;
  open: boolean;
  createdAt: string;
  seconds: number;
  usualSeconds: number;
}

export interface Period {
  from: string;
  runs: number;
  phases: Record<string, number>;
  medianSeconds: number | null;
  p95Seconds: number | null;
}

export interface Insights {
  since: string;
  until: string;
  workflows: WorkflowStatistics[];
  tasks: TaskStatistics[];
  longer: LongerRun[];
  longerCount: number;
  period: "hour" | "day" | "week";
  periods: Period[];
  countedFrom: string | null;
}

/** What of a period is drawn as one piece: these phases, in this colour. From the bottom up. */
export const PIECES: { name: string; phases: string[]; colour: string }[] = [
  { name: "Succeeded", phases: ["Succeeded"], colour: "--good" },
  { name: "Open", phases: ["Open"], colour: "--busy" },
  { name: "Cancelled", phases: ["Cancelled"], colour: "--idle" },
  { name: "Failed", phases: ["Failed", "Error", "Timeout"], colour: "--bad" },
];

export function countOf(period: Period, phases: string[]): number {
  return phases.reduce((sum, phase) => sum + (period.phases[phase] ?? 0), 0);
}

/** How many of a workflow did not succeed for a reason of their own. */
export function failedOf(one: WorkflowStatistics): number {
  return ["Failed", "Error", "Timeout"].reduce((sum, phase) => sum + (one.phases[phase] ?? 0), 0);
}

const hour = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hour12: false });
const date = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });

/** When a period is: hours in the reader's zone; days and weeks begin at midnight UTC, and are named so. */
export function nameOf(period: Period, length: Insights["period"]): string {
  const at = new Date(period.from);
  return length === "hour" ? hour.format(at) : length === "day" ? date.format(at) : `week of ${date.format(at)}`;
}
