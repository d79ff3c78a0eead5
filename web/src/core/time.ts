/** Times and durations as people read them: in the reader's zone, with UTC beside them on demand. */

import { signal } from "@preact/signals";

/** The time now, a step each second while something shows it. */
export const now = signal(Date.now());
setInterval(() => {
  if (document.visibilityState === "visible") now.value = Date.now();
}, 1000);

const OVERDUE_MS = 30_000;
const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
const year = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

export function clockOf(instant: string): string {
  return clock.format(new Date(instant));
}

export function whenOf(instant: string): string {
  const at = new Date(instant);
  const today = new Date();
  if (at.toDateString() === today.toDateString()) return clock.format(at);
  const date = at.getFullYear() === today.getFullYear() ? day : year;
  return `${date.format(at)} ${clock.format(at)}`;
}

export function utcOf(instant: string): string {
  return `${instant.slice(0, 19).replace("T", " ")} UTC`;
}

/** A duration in two units at most: 0.28s, 14s, 3m 20s, 2h 5m, 4d 3h. */
export function spanOf(seconds: number): string {
  if (seconds < 0) seconds = 0;
  if (seconds < 10) return `${seconds.toFixed(2)}s`;
  if (seconds < 60) return `${seconds.toFixed(0)}s`;
  const units: [string, number][] = [["d", 86_400], ["h", 3600], ["m", 60], ["s", 1]];
  const first = units.findIndex(([, size]) => seconds >= size);
  const [name, size] = units[first]!;
  const [next, part] = units[first + 1]!;
  const rest = Math.floor((seconds % size) / part);
  return rest ? `${Math.floor(seconds / size)}${name} ${rest}${next}` : `${Math.floor(seconds / size)}${name}`;
}

export function secondsBetween(from: string, to: string | null): number {
  return ((to === null ? now.value : Date.parse(to)) - Date.parse(from)) / 1000;
}

/** How long ago, or until when: 14s ago, in 3m 20s. */
export function agoOf(instant: string): string {
  const seconds = (now.value - Date.parse(instant)) / 1000;
  if (Math.abs(seconds) < 1) return "now";
  const span = roughly(Math.abs(seconds));
  return seconds >= 0 ? `${span} ago` : `in ${span}`;
}

/** Whether something that was to happen then is overdue, by more than it takes. */
export function isOverdue(instant: string): boolean {
  return now.value - Date.parse(instant) > OVERDUE_MS;
}

function roughly(seconds: number): string {
  const units: [string, number][] = [["d", 86_400], ["h", 3600], ["m", 60]];
  const found = units.find(([, size]) => seconds >= size);
  return found === undefined ? `${Math.floor(seconds)}s` : `${Math.floor(seconds / found[1])}${found[0]}`;
}

export function bytesOf(count: number): string {
  if (count < 1024) return `${count} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let value = count / 1024;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}

/** An instant as a clock in a zone shows it. */
export function inZone(at: string, zone: string): string {
  try {
    return new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short", timeZone: zone }).format(new Date(at));
  } catch {
    return at;
  }
}
