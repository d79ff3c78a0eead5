/** What runs when: next and missed fires in the schedule's zone, what became of them, and what one can do by hand. */

import { useEffect, useRef, useState } from "preact/hooks";
import { get, may, post, reasonOf, serverUrl } from "../core/api";
import { ask, go, href, query } from "../core/router";
import { follow } from "../core/stream";
import { inZone, isOverdue } from "../core/time";
import type { RunRow } from "../core/types";
import { Act, Command, Empty, Fault, quoted, say, When } from "../parts/basics";
import { PhaseMark } from "../parts/phase";
import { Backfill } from "../schedules/backfill";

const PAUSE_MS = 2000; // between two looks, while runs of schedules change

export interface Schedule {
  name: string;
  namespace: string;
  schedule: string;
  timezone: string;
  suspend: boolean;
  concurrencyPolicy: string;
  lastFireAt: string | null;
  nextFireAt: string | null;
  runs: RunRow[];
}

interface Fire {
  id: number;
  at: string;
  kind: string;
  runId: string | null;
  reason: string;
  count: number;
}

export function targetOf(schedule: Schedule): string {
  return `/v1/schedules/${encodeURIComponent(schedule.namespace)}/${encodeURIComponent(schedule.name)}`;
}

export function fullName(schedule: Schedule): string {
  return schedule.namespace === "default" ? schedule.name : `${schedule.namespace}/${schedule.name}`;
}

export function Schedules() {
  const [several, setSeveral] = useState<Schedule[] | null>(null);
  const [next, setNext] = useState<string | null>(null);
  const [fault, setFault] = useState("");
  const shown = query.value.get("schedule");
  const known = useRef(new Set<string>());
  const load = (page: string | null = null): void => {
    get<{ schedules: Schedule[]; next: string | null }>("/v1/schedules", { limit: 200, page }).then(
      (found) => {
        if (page === null) known.current = new Set();
        for (const one of found.schedules) known.current.add(`${one.namespace}/${one.name}`);
        setSeveral((before) => (page === null ? found.schedules : [...(before ?? []), ...found.schedules]));
        setNext(found.next);
      },
      (error: unknown) => setFault(reasonOf(error)),
    );
  };
  useEffect(() => {
    const stop = new AbortController();
    let timer = 0;
    void follow<{ run: RunRow | null }>("/v1/changes/follow", null, (changes) => {
      if (!changes.some(({ run }) => run !== null && known.current.has(`${run.workflow.namespace}/${run.workflow.name}`))) return;
      timer ||= window.setTimeout(() => {
        timer = 0;
        load();
      }, PAUSE_MS);
    }, () => undefined, stop.signal);
    load();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, []);
  return (
    <section class="page">
      <header class="head"><h1>Schedules</h1></header>
      <Fault text={fault} />
      {several?.length === 0 && <Empty><p>There are no schedules yet.</p><Command line={`aether cron apply nightly.yaml --server ${quoted(serverUrl())}`} /></Empty>}
      <div class="cards wide">
        {several?.map((one) => <Card key={fullName(one)} schedule={one} open={shown === fullName(one)} reload={() => load()} />)}
      </div>
      {next !== null && <p class="buttons"><button type="button" onClick={() => load(next)}>More</button></p>}
    </section>
  );
}

function Card({ schedule, open, reload }: { schedule: Schedule; open: boolean; reload: () => void }) {
  const allowed = may("operator", schedule.namespace);
  const name = fullName(schedule);
  const isLate = !schedule.suspend && schedule.nextFireAt !== null && isOverdue(schedule.nextFireAt);
  const backfills = open && query.value.get("backfill") !== null;
  const whole = `${schedule.namespace}/${schedule.name}`;
  return (
    <article class={`card ${open ? "open" : ""}`}>
      <header>
        <h2>{name}</h2>
        <span class={`state ${schedule.suspend ? "" : "active"}`}>{schedule.suspend ? "suspended" : "active"}</span>
      </header>
      <p><code>{schedule.schedule}</code> <span class="dim">{schedule.timezone}</span></p>
      <dl class="facts">
        <div><dt>{isLate ? "Due since" : "Next fire"}</dt><dd>{schedule.nextFireAt === null || schedule.suspend ? <span class="dim">none</span> : (
          <><InZone at={schedule.nextFireAt} zone={schedule.timezone} /> <span class="dim">(<When at={schedule.nextFireAt} ago />)</span></>)}</dd></div>
        <div><dt>Last fire</dt><dd>{schedule.lastFireAt === null ? <span class="dim">never</span> : <InZone at={schedule.lastFireAt} zone={schedule.timezone} />}</dd></div>
        <div><dt>When one runs still</dt><dd>{schedule.concurrencyPolicy}</dd></div>
      </dl>
      {isLate && <p class="late"><span><strong class="asks">Overdue:</strong> no scheduler of this store runs. Start one:</span> <Command line="aether cron run" /></p>}
      {schedule.runs.length > 0 && (
        <p class="marks"><span class="dim">Last runs</span>
          {schedule.runs.slice(0, 20).map((run) => (
            <a key={run.runId} href={href(`/runs/${encodeURIComponent(run.runId)}`)} title={`${run.phase} ${run.runId}`} aria-label={`${run.phase}, run ${run.runId}`}><PhaseMark phase={run.phase} /></a>
          ))}</p>
      )}
      <p class="actions">
        <Act label="Run now" disabled={!allowed} run={() => post<{ runId: string }>(`${targetOf(schedule)}/trigger`).then(
          (made) => go(`/runs/${encodeURIComponent(made.runId)}`), (error: unknown) => say(reasonOf(error), true))} />
        {allowed && <a class="button" href={href(`/start?${new URLSearchParams({ schedule: whole })}`)}>With parameters…</a>}
        <button type="button" aria-expanded={backfills} disabled={!allowed} onClick={() => ask(backfills ? { backfill: null } : { schedule: name, backfill: "1" })}>Backfill…</button>
        <Act label={schedule.suspend ? "Continue" : "Suspend"} disabled={!may("author", schedule.namespace)} run={() =>
          post("/v1/schedules/suspend", { names: [whole], suspend: !schedule.suspend }).then(reload, (error: unknown) => say(reasonOf(error), true))} />
        <button type="button" aria-expanded={open} onClick={() => ask({ schedule: open ? null : name, backfill: null })}>History</button>
        <Command line={`aether cron trigger ${quoted(name)}`} />
      </p>
      {backfills && <Backfill schedule={schedule} done={reload} />}
      {open && <History schedule={schedule} />}
    </article>
  );
}

/** An instant as the clocks of the schedule's zone show it; the reader's own and UTC are beside it. */
export function InZone({ at, zone }: { at: string; zone: string }) {
  return <time dateTime={at} title={`${new Date(at).toLocaleString()} here, ${at}`}>{inZone(at, zone)}</time>;
}

function History({ schedule }: { schedule: Schedule }) {
  const [fires, setFires] = useState<Fire[] | null>(null);
  const [older, setOlder] = useState<number | null>(null);
  const [coming, setComing] = useState<string[]>([]);
  const [fault, setFault] = useState("");
  const newest = schedule.runs.map((run) => `${run.runId} ${run.phase}`).join();
  const load = (before: number | null): void => {
    get<{ fires: Fire[]; next: number | null }>(`${targetOf(schedule)}/fires`, { limit: 30, before }).then((found) => {
      setFires((known) => (before === null ? found.fires : [...(known ?? []), ...found.fires]));
      setOlder(found.next);
    }, (error: unknown) => setFault(reasonOf(error)));
  };
  useEffect(() => {
    load(null);
    get<{ fires: string[] }>(`${targetOf(schedule)}/next`, { limit: 5 }).then((found) => setComing(found.fires), () => undefined);
  }, [schedule.name, schedule.namespace, newest]);
  return (
    <section>
      <Fault text={fault} />
      <h3>Next</h3>
      <ul class="plain-list">{coming.map((at) => <li key={at}><InZone at={at} zone={schedule.timezone} /></li>)}</ul>
      <h3>Until now</h3>
      {fires?.length === 0 && <p class="dim">Nothing yet.</p>}
      <ul class="plain-list past">
        {fires?.map((fire) => (
          <li key={fire.id}><InZone at={fire.at} zone={schedule.timezone} /> {fire.runId !== null ? <a href={href(`/runs/${encodeURIComponent(fire.runId)}`)}>{fire.kind}</a>
            : <strong class={fire.kind === "missed" ? "asks" : ""}>{fire.kind}</strong>}
            {fire.count > 1 && ` ×${fire.count}`} <span class="dim">{fire.reason}</span></li>
        ))}
      </ul>
      {older !== null && <p><button type="button" class="plain link" onClick={() => load(older)}>Older ones</button></p>}
    </section>
  );
}
