/** A run in the browser: what one GET gave, and what the feed of its events changes. No answer is asked for twice. */

import { signal, type Signal } from "@preact/signals";
import type { HookRun, Phase, RunEvent, RunView, TaskRun } from "./types";

export type Counts = Partial<Record<Phase, number>>;

/** The box of a task run in the picture: iterations share one. */
export function boxPath(path: string): string {
  return path.replace(/\[\d+\]/g, "[i]");
}

export class RunModel {
  readonly view: RunView;
  seq: number;
  readonly tasks = new Map<string, TaskRun>();
  readonly order: string[] = [];
  readonly hooks: HookRun[];
  phase: Phase;
  message: string;
  closed: boolean;
  finishedAt: string | null;
  /** Grows with each change: what reads the model reads this first. */
  readonly version: Signal<number> = signal(0);
  private readonly parents = new Set<string>();

  constructor(view: RunView) {
    this.view = view;
    this.seq = view.seq;
    this.phase = view.phase;
    this.message = view.message;
    this.closed = view.run.closed && view.seq >= view.run.steps;
    this.finishedAt = this.closed ? view.run.finishedAt : null;
    this.hooks = [...view.hooks];
    for (const task of view.tasks) this.add(task);
  }

  private add(task: TaskRun): void {
    if (!this.tasks.has(task.path)) this.order.push(task.path);
    this.tasks.set(task.path, task);
    const above = parentOf(task.path);
    if (above !== null) this.parents.add(above);
  }

  isLeaf(path: string): boolean {
    return this.tasks.get(path)?.templateType === "task" || !this.parents.has(path);
  }

  /** Apply records of the feed; what is known already changes nothing. */
  apply(events: RunEvent[]): void {
    for (const event of events) {
      if (event.seq <= this.seq) continue;
      this.one(event);
    }
    const last = events.at(-1);
    if (last !== undefined && last.seq > this.seq) this.seq = last.seq;
    this.version.value += 1;
  }

  private one(event: RunEvent): void {
    if (event.kind === "RunClosed") {
      this.phase = event.phase ?? this.phase;
      this.message = event.message ?? "";
      this.closed = true;
      this.finishedAt = event.at;
      return;
    }
    if (event.hook !== undefined) {
      this.hook(event);
      return;
    }
    const path = event.path;
    if (path === undefined) return;
    if (event.kind === "NodeCreated") {
      this.add({
        path,
        taskName: event.taskName ?? path,
        templateName: event.templateName ?? "",
        templateType: event.templateType ?? "task",
        depth: event.depth ?? 0,
        phase: event.phase ?? "Created",
        message: "",
        retries: 0,
        startedAt: null,
        finishedAt: null,
        item: event.item ?? null,
      });
      return;
    }
    const task = this.tasks.get(path);
    if (task === undefined) return;
    const next: TaskRun = { ...task, phase: event.phase ?? task.phase };
    if (event.kind === "TaskDispatched" || event.kind === "ScopeOpened") next.startedAt ??= event.at;
    if (event.kind === "TaskSuspended") next.message = event.message ?? "";
    if (event.kind === "RetryScheduled") {
      next.retries += 1;
      next.message = event.message ?? "";
    }
    if (event.kind === "NodeEnded") {
      next.message = event.message ?? "";
      next.finishedAt = event.at;
    }
    this.tasks.set(path, next);
    if (path === this.order[0]) {
      this.phase = next.phase;
      this.message = next.message;
    }
  }

  private hook(event: RunEvent): void {
    const at = this.hooks.findIndex((one) => one.hook === event.hook);
    const before = this.hooks[at];
    const next: HookRun = {
      hook: event.hook ?? "",
      path: event.path ?? "",
      phase: event.phase ?? before?.phase ?? "Created",
      message: event.message ?? before?.message ?? "",
      startedAt: before?.startedAt ?? event.at,
      finishedAt: event.kind === "NodeEnded" ? event.at : null,
    };
    if (at < 0) this.hooks.push(next);
    else this.hooks[at] = next;
  }

  /** How many task runs of each phase each of these boxes stands for: its own iterations, or all leaves below a closed one. */
  counts(boxes: Iterable<string>): Map<string, Counts> {
    const drawn = new Set(boxes);
    const counts = new Map<string, Counts>();
    const folded = new Map<string, boolean>(); // boxes that stand for what is below them
    for (const [path, task] of this.tasks) {
      let box = boxPath(path);
      const own = drawn.has(box);
      while (!drawn.has(box)) {
        const above = parentOf(box);
        if (above === null) break;
        box = above;
      }
      if (!own && task.templateType !== "task") continue;
      let found = counts.get(box);
      if (!own && !folded.get(box)) {
        folded.set(box, true);
        found = {}; // the box's own phase is said by its pieces
        counts.set(box, found);
      } else if (own && folded.get(box)) continue;
      if (found === undefined) counts.set(box, (found = {}));
      found[task.phase] = (found[task.phase] ?? 0) + 1;
    }
    for (const hook of this.hooks) {
      const box = boxPath(hook.hook);
      if (!drawn.has(box)) continue;
      const found = counts.get(box) ?? {};
      found[hook.phase] = (found[hook.phase] ?? 0) + 1;
      counts.set(box, found);
    }
    return counts;
  }
}

/** The path of what a task run is in; null at the top. */
export function parentOf(path: string): string | null {
  const at = Math.max(path.lastIndexOf("."), path.endsWith("]") ? path.lastIndexOf("[") : -1);
  return at < 0 ? null : path.slice(0, at);
}

/** The short form of an id, to be read; that of a run that is no retry is taken by commands, as long as no other one begins so. */
export function shortId(id: string): string {
  const made = /^([0-9a-f]{8}-[0-9a-f]{4})(-[0-9a-f]{4}){2}-[0-9a-f]{12}(\.\d+)?$/.exec(id); // a retry has the id of its run, and a number
  return made === null ? id : made[1]! + (made[3] === undefined ? "" : `…${made[3]}`);
}
