/** Filters as they stand in the address of a page, and as the server is asked. */

import type { RunRow } from "./types";

/** What restricts runs by what never changes of them. */
export interface RunFilter {
  name: string;
  namespace: string;
  label: string[];
  since: string;
}

export function runFilterOf(search: URLSearchParams): RunFilter {
  return {
    name: search.get("name") ?? "",
    namespace: search.get("namespace") ?? "",
    label: (search.get("label") ?? "").split(/[ ,]+/).filter(Boolean),
    since: search.get("since") ?? "",
  };
}

/** The same as parameters of a request. */
export function asParameters(filter: RunFilter): Record<string, string | string[]> {
  return { name: filter.name, namespace: filter.namespace, label: filter.label, since: instantOf(filter.since) };
}

export function fitsRun(run: RunRow, filter: RunFilter): boolean {
  return (
    (!filter.name || run.workflow.name === filter.name) &&
    (!filter.namespace || run.workflow.namespace === filter.namespace) &&
    filter.label.every((one) => Object.entries(run.labels).some(([name, value]) => one === `${name}=${value}`)) &&
    (!filter.since || run.createdAt >= instantOf(filter.since))
  );
}

/** 1h, 24h or 7d before now, or an instant as it is. */
export function instantOf(text: string): string {
  const found = /^(\d+)([hd])$/.exec(text);
  if (found === null) return text;
  const hours = Number(found[1]) * (found[2] === "d" ? 24 : 1);
  return new Date(Date.now() - hours * 3_600_000).toISOString();
}

/** The phases of an address: `phase=Failed,Error`, or one by one. */
export function phasesOf(search: URLSearchParams): string[] {
  return search.getAll("phase").flatMap((one) => one.split(",")).filter(Boolean);
}

export const newestFirst = (one: Pick<RunRow, "createdAt" | "runId">, other: Pick<RunRow, "createdAt" | "runId">): number =>
  one.createdAt < other.createdAt ? 1 : one.createdAt > other.createdAt ? -1 : one.runId < other.runId ? 1 : -1;

/** Whether a run belongs to the pages that are loaded: those down to the cursor `next`, or all where there is none. */
export function isLoaded(run: RunRow, next: string | null): boolean {
  return next === null || Date.parse(run.createdAt) * 1000 >= Number(next.split(":")[0]);
}
