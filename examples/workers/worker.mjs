// A worker for Aether Protocol in plain JavaScript (Node 18 or later, nothing to install):
//
//   node worker.mjs http://127.0.0.1:7234
//
// It offers one executor, `shout`, which gives its input `text` in capitals. See docs/reference/worker-protocol.md.
import { setTimeout as sleep } from "node:timers/promises";

const server = process.argv[2] ?? "http://127.0.0.1:7234";
const headers = { "content-type": "application/json" };
if (process.env.AETHER_TOKEN) headers.authorization = `Bearer ${process.env.AETHER_TOKEN}`;

const held = new Map(); // token -> {state: running | ended, stop}
let session, answeredAt, lastPoll, leaving = false;
let outbox = { started: [], logs: [], results: [], returned: [] };

async function send(path, message, method = "POST") {
  const sent = performance.now();
  const answer = await fetch(`${server}/v1/workers${path}`, { method, headers, body: message && JSON.stringify(message) });
  if (answer.status === 410) throw Object.assign(new Error("session over"), { over: true });
  const body = answer.status === 204 ? {} : await answer.json();
  if (answer.status >= 400 && answer.status < 500 && answer.status !== 429) { console.error(body.detail); process.exit(1); }
  if (!answer.ok) throw new Error(body.detail);
  answeredAt = Math.max(answeredAt ?? 0, sent);
  return body;
}

async function carryOut({ token, assignment }) {
  if (held.has(token)) return;
  const entry = { state: "running", stopped: false };
  held.set(token, entry);
  outbox.started.push(token);
  const { taskRunId, workflowRunId, attempt, epoch, inputs } = assignment;
  const text = String(inputs.text ?? "");
  outbox.logs.push({ token, stream: "stdout", offset: 0, text: `shouting ${text}\n` });
  if (inputs.seconds) await sleep(inputs.seconds * 1000);
  if (held.get(token) !== entry) return; // the lease ended meanwhile
  entry.state = "ended";
  if (entry.stopped) outbox.returned.push({ token, reason: "stopped", refused: false });
  else outbox.results.push({ token, result: { taskRunId, workflowRunId, attempt, epoch, code: 0, parameters: { text: text.toUpperCase() } } });
}

function obey({ work = [], stop = [], drainMs }) {
  work.forEach(carryOut);
  for (const token of stop) if (held.has(token)) held.get(token).stopped = true;
  if (drainMs !== undefined) leaving = true;
}

async function report() {
  const sent = outbox;
  outbox = { started: [], logs: [], results: [], returned: [] };
  if (!Object.values(sent).some((list) => list.length)) return;
  try {
    const { recorded = [], stop = [] } = await send(`/${session}/report`, sent);
    for (const token of [...recorded, ...sent.returned.map((one) => one.token)]) held.delete(token);
    outbox.results.push(...sent.results.filter((one) => !recorded.includes(one.token))); // kept until recorded
    obey({ stop });
  } catch (error) {
    for (const list in sent) outbox[list].unshift(...sent[list]);
    throw error;
  }
}

async function repeat(pauseMs, step) { // until the session is over
  for (let wait = 200, mine = session; mine === session; ) {
    try { if ((await step()) === false) return; wait = 200; await sleep(pauseMs); }
    catch (error) { if (error.over) return; await sleep(wait * (0.5 + Math.random())); wait = Math.min(wait * 2, 5000); }
  }
}

process.on("SIGTERM", () => { leaving = true; });
const slots = 4;
while (!(leaving && held.size === 0)) {
  try {
    const hello = { worker: `js-${process.pid}`, protocols: [1], executors: [{ name: "shout" }], slots: { tasks: slots }, holding: [...held.keys()],
      results: outbox.results.map((one) => one.token) };
    const welcome = await send("", hello);
    session = welcome.session; lastPoll = 0;
    let polls = 0;
    const running = () => [...held.values()].filter((one) => one.state === "running").length;
    const over = () => leaving && held.size === 0;
    await Promise.race([
      repeat(50, async () => {
        if (over()) return false;
        if (leaving || running() >= slots) return;
        const poll = ++polls;
        const orders = await send(`/${session}/poll`, { poll, free: slots - running(), holding: [...held.keys()] });
        lastPoll = poll; obey(orders);
      }),
      repeat(welcome.beatMs, async () => obey(await send(`/${session}/beat`, { poll: lastPoll, holding: [...held.keys()] }))),
      repeat(100, report),
      repeat(100, async () => { // what cannot be renewed stops before another worker may get it
        if (performance.now() - answeredAt < welcome.leaseMs * 0.73) return;
        for (const [token, entry] of held) if (entry.state === "running") held.delete(token);
      }),
    ]);
  } catch (error) { await sleep(1000); }
}
await report().catch(() => {});
await send(`/${session}`, undefined, "DELETE").catch(() => {});
process.exit(0);
