/** Which workers there are, what they have, and why work waits. */

import { useEffect, useState } from "preact/hooks";
import { get, may, post, reasonOf, serverUrl } from "../core/api";
import { shortId } from "../core/model";
import { href } from "../core/router";
import { follow } from "../core/stream";
import { Act, Command, Dialog, Empty, Fault, quoted, say } from "../parts/basics";

interface Running {
  runId: string;
  path: string;
  attempt: number;
  state: string;
}

interface Worker {
  name: string;
  session: string;
  pool: string;
  labels: Record<string, string>;
  executors: string[];
  namespaces: string[] | null;
  slots: Record<string, number>;
  used: Record<string, number>;
  state: string;
  seenSecondsAgo: number;
  running: Running[];
  server: string;
}

interface Fleet {
  workers: Worker[];
  waiting: Record<string, number>;
  unreachable: string[];
}

const SHOWN = 10; // of what a worker carries out
const PAUSE_MS = 2000; // between two looks, while runs change; where none does, nothing is asked

export function Workers() {
  const [fleet, setFleet] = useState<Fleet | null>(null);
  const [fault, setFault] = useState("");
  const load = (): void => {
    get<Fleet>("/v1/workers").then((found) => (setFleet(found), setFault("")), (error: unknown) => setFault(reasonOf(error)));
  };
  useEffect(() => {
    load();
    const stop = new AbortController();
    let timer = 0;
    void follow("/v1/changes/follow", null, () => {
      timer ||= window.setTimeout(() => {
        timer = 0;
        load();
      }, PAUSE_MS);
    }, () => undefined, stop.signal);
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, []);
  return (
    <section class="page">
      <header class="head"><h1>Workers</h1></header>
      <Fault text={fault} />
      {fleet !== null && Object.keys(fleet.waiting).length > 0 && (
        <ul class="waiting">
          {Object.entries(fleet.waiting).map(([why, count]) => <li key={why}><a href={href("/tasks?phase=Ready")}><strong>{count}</strong> {count === 1 ? "task waits" : "tasks wait"}</a>: {why}</li>)}
        </ul>
      )}
      {fleet !== null && fleet.unreachable.length > 0 && <Fault text={`${fleet.unreachable.join(", ")} did not answer: workers there are not listed.`} />}
      {fleet?.workers.length === 0 && (
        <Empty><p>No worker is connected.</p><Command line={`aether worker --server ${quoted(serverUrl())}`} /></Empty>
      )}
      <div class="cards">
        {fleet?.workers.map((worker) => <Card key={`${worker.server} ${worker.session}`} worker={worker} servers={new Set(fleet.workers.map((one) => one.server)).size} reload={load} />)}
      </div>
    </section>
  );
}

function Card({ worker, servers, reload }: { worker: Worker; servers: number; reload: () => void }) {
  const [sure, setSure] = useState(false);
  const slots = worker.slots["tasks"] ?? 0;
  const used = worker.used["tasks"] ?? worker.running.length;
  const others = Object.entries(worker.slots).filter(([kind]) => kind !== "tasks");
  return (
    <article class="card">
      <header>
        <h2>{worker.name}</h2>
        <span class={`state ${worker.state}`}>{worker.state}</span>
      </header>
      <p class="slots" role="img" aria-label={`${used} of ${slots} slots are used`}>
        {Array.from({ length: Math.min(slots, 64) }, (_, index) => <i key={index} class={index < used ? "used" : ""} />)}
        <span class="dim">{used} of {slots} slots</span>
      </p>
      {others.length > 0 && (
        <dl class="facts">{others.map(([kind, amount]) => <div key={kind}><dt>{kind}</dt><dd>{worker.used[kind] ?? 0} of {amount}</dd></div>)}</dl>
      )}
      <p class="dim">{worker.pool && <>pool {worker.pool} · </>}seen {worker.seenSecondsAgo.toFixed(0)}s ago
        {worker.namespaces && <> · only {worker.namespaces.join(", ")}</>}{servers > 1 && <> · at {worker.server}</>}</p>
      <p class="chips">{Object.entries(worker.labels).map(([name, value]) => <span key={name} class="chip still">{name}={value}</span>)}</p>
      <p class="chips">{worker.executors.map((name) => <span key={name} class="chip still soft">{name}</span>)}</p>
      {worker.running.length > 0 && (
        <ul class="plain-list">
          {worker.running.slice(0, SHOWN).map((one) => (
            <li key={`${one.runId} ${one.path}`}><a href={href(`/runs/${encodeURIComponent(one.runId)}?task=${encodeURIComponent(one.path)}`)}>{one.path}</a>{" "}
              <span class="dim">of {shortId(one.runId)}{one.attempt > 1 && `, attempt ${one.attempt}`}{one.state !== "running" && `, ${one.state}`}</span></li>
          ))}
          {worker.running.length > SHOWN && <li class="dim">and {worker.running.length - SHOWN} more</li>}
        </ul>
      )}
      {worker.state === "active" && (
        <p class="actions">
          <button type="button" disabled={!may("admin")} title="give it no more work" onClick={() => setSure(true)}>Drain…</button>
          <Command line={`aether worker drain ${quoted(worker.name)} --server ${quoted(serverUrl())}`} />
        </p>
      )}
      {sure && (
        <Dialog title={`Drain ${worker.name}?`} onClose={() => setSure(false)}>
          <p>It gets no more work, and leaves once what it has is done. {worker.running.length > 0 && `It carries out ${worker.running.length} now.`}</p>
          <p class="buttons">
            <Act label="Drain it" danger run={() => post(`/v1/workers/${encodeURIComponent(worker.name)}/drain`).then(
              () => (say("it gets no more work"), setSure(false), reload()), (error: unknown) => say(reasonOf(error), true))} />
            <button type="button" onClick={() => setSure(false)}>Leave it</button>
          </p>
        </Dialog>
      )}
    </article>
  );
}
