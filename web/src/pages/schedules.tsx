/** What runs when: next and missed fires in the schedule's zone, what became of them, and what one can do by hand. */

import { useEffect, useState } from "preact/hooks";
import { get, may, post, reasonOf } from "../core/api";
import { ask, go, href, query } from "../core/router";
import { inZone } from "../core/time";
import { Act, Command, Empty, Fault, quoted, say, When } from "../parts/basics";

interface Schedule {
  name: string;
  namespace: string;
  schedule: string;
  timezone: string;
  suspend: boolean;
  concurrencyPolicy: string;
  lastFireAt: string | null;
  nextFireAt: string | null;
}

interface Fire {
  id: number;
  at: string;
  kind: string;
  runId: string | null;
  reason: string;
  count: number;
}

function target(schedule: Schedule): string {
  return `/v1/schedules/${encodeURIComponent(schedule.namespace)}/${encodeURIComponent(schedule.name)}`;
}

function fullName(schedule: Schedule): string {
  return schedule.namespace === "default" ? schedule.name : `${schedule.namespace}/${schedule.name}`;
}

export function Schedules() {
  const [several, setSeveral] = useState<Schedule[] | null>(null);
  const [next, setNext] = useState<string | null>(null);
  const [fault, setFault] = useState("");
  const shown = query.value.get("schedule");
  const load = (page: string | null = null): void => {
    get<{ schedules: Schedule[]; next: string | null }>("/v1/schedules", { limit: 200, page }).then(
      (found) => {
        setSeveral((before) => (page === null ? found.schedules : [...(before ?? []), ...found.schedules]));
        setNext(found.next);
      },
      (error: unknown) => setFault(reasonOf(error)),
    );
  };
  useEffect(() => load(), []);
  return (
    <section class="page">
      <header class="head"><h1>Schedules</h1></header>
      <Fault text={fault} />
      {several?.length === 0 && <Empty><p>There are no schedules yet.</p><Command line="aether cron apply nightly.yaml --server URL" /></Empty>}
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
  return (
    <article class="card">
      <header>
        <h2>{name}</h2>
        <span class={`state ${schedule.suspend ? "" : "active"}`}>{schedule.suspend ? "suspended" : "active"}</span>
      </header>
      <p><code>{schedule.schedule}</code> <span class="dim">{schedule.timezone}</span></p>
      <dl class="facts">
        <div><dt>Next</dt><dd>{schedule.nextFireAt === null || schedule.suspend ? <span class="dim">none</span> : (
          <>{inZone(schedule.nextFireAt, schedule.timezone)} <span class="dim">(<When at={schedule.nextFireAt} ago />)</span></>)}</dd></div>
        <div><dt>Last</dt><dd>{schedule.lastFireAt === null ? <span class="dim">never</span> : <>{inZone(schedule.lastFireAt, schedule.timezone)}</>}</dd></div>
        <div><dt>When one runs still</dt><dd>{schedule.concurrencyPolicy}</dd></div>
      </dl>
      <p class="actions">
        <Act label="Run now" disabled={!allowed} run={() => post<{ runId: string }>(`${target(schedule)}/trigger`).then(
          (made) => go(`/runs/${encodeURIComponent(made.runId)}`), (error: unknown) => say(reasonOf(error), true))} />
        <Act label={schedule.suspend ? "Continue" : "Suspend"} disabled={!may("author", schedule.namespace)} run={() =>
          post("/v1/schedules/suspend", { names: [`${schedule.namespace}/${schedule.name}`], suspend: !schedule.suspend }).then(reload, (error: unknown) => say(reasonOf(error), true))} />
        <button type="button" aria-expanded={open} onClick={() => ask({ schedule: open ? null : name })}>History</button>
        <Command line={`aether cron trigger ${quoted(name)}`} />
      </p>
      {open && <History schedule={schedule} />}
    </article>
  );
}

function History({ schedule }: { schedule: Schedule }) {
  const [fires, setFires] = useState<Fire[] | null>(null);
  const [coming, setComing] = useState<string[]>([]);
  const [fault, setFault] = useState("");
  useEffect(() => {
    get<{ fires: Fire[] }>(`${target(schedule)}/fires`, { limit: 50 }).then((found) => setFires(found.fires), (error: unknown) => setFault(reasonOf(error)));
    get<{ fires: string[] }>(`${target(schedule)}/next`, { limit: 5 }).then((found) => setComing(found.fires), () => undefined);
  }, [schedule.name, schedule.namespace]);
  return (
    <section>
      <Fault text={fault} />
      <h3>Next</h3>
      <ul class="plain-list">{coming.map((at) => <li key={at}>{inZone(at, schedule.timezone)}</li>)}</ul>
      <h3>Until now</h3>
      {fires?.length === 0 && <p class="dim">Nothing yet.</p>}
      <ul class="plain-list">
        {fires?.map((fire) => (
          <li key={fire.id}>{inZone(fire.at, schedule.timezone)} {fire.runId !== null ? <a href={href(`/runs/${encodeURIComponent(fire.runId)}`)}>{fire.kind}</a> : <strong>{fire.kind}</strong>}
            {fire.count > 1 && ` ×${fire.count}`} <span class="dim">{fire.reason}</span></li>
        ))}
      </ul>
    </section>
  );
}
