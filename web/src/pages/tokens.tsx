/** Tokens, for admins: whose there are, new ones (their text is shown once), and those that are to count no longer. */

import { useEffect, useMemo, useState } from "preact/hooks";
import { call, get, me, post, reasonOf } from "../core/api";
import { useKeys } from "../core/keys";
import { ask, query } from "../core/router";
import { now } from "../core/time";
import { Act, Command, copy, Dialog, Empty, Fault, quoted, say, When } from "../parts/basics";

interface Token {
  id: string;
  name: string;
  kind: string;
  roles: Record<string, string>;
  pools: string[];
  createdAt: string;
  expiresAt: string | null;
  revokedAt: string | null;
  usedAt: string | null;
}

const ROLES = ["viewer", "operator", "author", "admin"];
const MAY: Record<string, string> = {
  viewer: "reads", operator: "also begins, answers and cancels runs", author: "also applies documents and schedules",
  admin: "also makes tokens", worker: "carries out tasks, and reads no run",
};
const DAYS: [string, string][] = [["1", "a day"], ["30", "30 days"], ["90", "90 days"], ["365", "a year"], ["", "until it is revoked"]];

function stateOf(token: Token): "active" | "expired" | "revoked" {
  if (token.revokedAt !== null) return "revoked";
  return token.expiresAt !== null && Date.parse(token.expiresAt) <= now.value ? "expired" : "active";
}

function place(namespace: string): string {
  return namespace === "*" ? "all namespaces" : namespace;
}

export function Tokens() {
  const [tokens, setTokens] = useState<Token[] | null>(null);
  const [fault, setFault] = useState("");
  const [secret, setSecret] = useState<{ name: string; text: string } | null>(null);
  const [leaving, setLeaving] = useState<Token | null>(null);
  const making = query.value.get("new") !== null;
  const all = query.value.get("all") !== null;
  const wanted = (query.value.get("q") ?? "").toLowerCase();
  const load = (): void => {
    get<{ tokens: Token[] }>("/v1/tokens").then((found) => (setTokens(found.tokens), setFault("")), (error: unknown) => setFault(reasonOf(error)));
  };
  useEffect(load, []);
  useKeys([
    { keys: "n", does: "a new token", act: () => ask({ new: "1" }) },
    { keys: "/", does: "search tokens", act: () => document.querySelector<HTMLInputElement>("#search-tokens")?.focus() },
    { keys: "Escape", does: "close the form", act: () => ask({ new: null }) },
  ]);
  const shown = useMemo(() => (tokens ?? []).filter((one) =>
    (all || stateOf(one) === "active") && `${one.name} ${one.id} ${one.kind} ${Object.keys(one.roles).join(" ")}`.toLowerCase().includes(wanted)).reverse(), [tokens, all, wanted]);
  const past = (tokens ?? []).filter((one) => stateOf(one) !== "active").length;
  return (
    <section class="page">
      <header class="head">
        <h1>Tokens</h1>
        <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
          <input id="search-tokens" class="long" type="search" aria-label="search tokens" placeholder="name, kind or namespace" value={query.value.get("q") ?? ""}
            onInput={(event) => ask({ q: event.currentTarget.value }, true)} />
          {past > 0 && <button type="button" class={`chip ${all ? "on" : ""}`} aria-pressed={all} onClick={() => (all ? ask({ all: null }) : ask({ all: "1" }))}>also {past} that count no longer</button>}
        </form>
        <button type="button" class={making ? "" : "primary"} aria-expanded={making} onClick={() => ask({ new: making ? null : "1" })}>{making ? "Close" : "New token"}</button>
      </header>
      <Fault text={fault} />
      {me.value?.csrf === null && tokens !== null && (
        <p class="note-line">This server asks for no token as long as it runs. It does from its next start on, once its store has one: make an admin's first.</p>
      )}
      {making && <Form made={(name, text) => (setSecret({ name, text }), ask({ new: null }), load())} />}
      {tokens !== null && shown.length === 0 && <Empty><p>{wanted ? "No token fits." : "There are no tokens."}</p></Empty>}
      {shown.length > 0 && (
        <div class="scroll" tabIndex={0} role="region" aria-label="tokens">
          <table class="grid">
            <thead><tr><th scope="col">Name</th><th scope="col">Kind</th><th scope="col">Role</th><th scope="col">Created</th><th scope="col">Used</th>
              <th scope="col">Counts until</th><th scope="col"><span class="sr">what can be done</span></th></tr></thead>
            <tbody>{shown.map((one) => <Row key={one.id} token={one} leave={() => setLeaving(one)} />)}</tbody>
          </table>
        </div>
      )}
      {secret !== null && <Secret name={secret.name} text={secret.text} close={() => setSecret(null)} />}
      {leaving !== null && (
        <Dialog title={`Revoke the token of ${leaving.name}?`} onClose={() => setLeaving(null)}>
          <p>It counts no longer within two seconds, and cannot be made to count again. Open streams of its bearer end.</p>
          <p class="buttons">
            <Act label="Revoke it" danger run={() => call("DELETE", `/v1/tokens/${encodeURIComponent(leaving.id)}`).then(
              () => (say("it counts no longer"), setLeaving(null), load()), (error: unknown) => say(reasonOf(error), true))} />
            <button type="button" onClick={() => setLeaving(null)}>Leave it</button>
          </p>
          <Command line={`aether token revoke ${leaving.id}`} />
        </Dialog>
      )}
    </section>
  );
}

function Row({ token, leave }: { token: Token; leave: () => void }) {
  const state = stateOf(token);
  return (
    <tr class={state === "active" ? "" : "past"}>
      <th scope="row" title={`id ${token.id}`}>{token.name}</th>
      <td>{token.kind}</td>
      <td class="wrap">{Object.entries(token.roles).map(([namespace, role]) => (
        <span key={namespace} class="chip still">{role === "worker" ? "works for" : `${role} in`} {place(namespace)}</span>
      ))}{token.pools.map((pool) => <span key={pool} class="chip still soft">pool {pool}</span>)}</td>
      <td><When at={token.createdAt} /></td>
      <td>{token.usedAt === null ? <span class="dim">never</span> : <When at={token.usedAt} ago />}</td>
      <td>{state === "revoked" ? <>revoked <When at={token.revokedAt} /></> : token.expiresAt === null ? <span class="dim">it is revoked</span>
        : <>{state === "expired" && "expired "}<When at={token.expiresAt} /></>}</td>
      <td class="num">{state === "active" && <button type="button" class="danger small" aria-label={`revoke the token of ${token.name}`} onClick={leave}>Revoke</button>}</td>
    </tr>
  );
}

function Secret({ name, text, close }: { name: string; text: string; close: () => void }) {
  return (
    <Dialog title={`The token of ${name}`} onClose={close}>
      <p>This is its text. It is shown now and never again: give it to {name}, or keep it where secrets are kept.</p>
      <p class="secret"><code>{text}</code></p>
      <p class="buttons"><button type="button" class="primary" onClick={() => copy(text)}>Copy</button>
        <button type="button" onClick={close}>I have it</button></p>
    </Dialog>
  );
}

interface Grant {
  namespace: string;
  role: string;
}

/** Who asks gives away no more than it has: the namespaces in which it is an admin. */
function ownNamespaces(): string[] {
  return Object.entries(me.value?.roles ?? {}).filter(([, role]) => role === "admin").map(([namespace]) => namespace);
}

function Form({ made }: { made: (name: string, text: string) => void }) {
  const own = useMemo(ownNamespaces, []);
  const [name, setName] = useState("");
  const [kind, setKind] = useState("person");
  const [grants, setGrants] = useState<Grant[]>([{ namespace: own.includes("*") ? "*" : own[0] ?? "", role: "viewer" }]);
  const [pools, setPools] = useState("");
  const [days, setDays] = useState("90");
  const [known, setKnown] = useState<string[]>([]);
  const [fault, setFault] = useState("");
  useEffect(() => {
    get<{ namespaces: { name: string }[] }>("/v1/namespaces").then((found) => setKnown(found.namespaces.map((one) => one.name)), () => undefined);
  }, []);
  const works = kind === "worker";
  const pooled = works ? pools.split(/[ ,]+/).filter(Boolean) : [];
  const change = (index: number, part: Partial<Grant>): void => setGrants(grants.map((one, at) => (at === index ? { ...one, ...part } : one)));
  const send = (): Promise<void> => {
    const several = grants.filter((one) => one.namespace.trim());
    const body = {
      kind, name: name.trim(), pools: pooled, roles: Object.fromEntries(several.map((one) => [one.namespace.trim(), works ? "worker" : one.role])),
      expiresAt: days === "" ? null : new Date(Date.now() + Number(days) * 86_400_000).toISOString(),
    };
    return post<Token & { token: string }>("/v1/tokens", body).then((done) => made(done.name, done.token), (error: unknown) => setFault(reasonOf(error)));
  };
  return (
    <form class="card form" aria-label="a new token" onSubmit={(event) => event.preventDefault()}>
      <div class="fields">
        <label>Name<input value={name} required maxLength={100} autoComplete="off" autoFocus onInput={(event) => setName(event.currentTarget.value)} /></label>
        <label>For<select value={kind} onChange={(event) => setKind(event.currentTarget.value)}>
          <option value="person">a person</option><option value="service">a service</option><option value="worker">workers</option></select></label>
        <label>Counts for<select value={days} onChange={(event) => setDays(event.currentTarget.value)}>
          {DAYS.map(([value, label]) => <option key={value} value={value}>{label}</option>)}</select></label>
        {works && <label><span>Pools <small class="dim">none: all</small></span><input value={pools} autoComplete="off" onInput={(event) => setPools(event.currentTarget.value)} /></label>}
      </div>
      {grants.map((grant, index) => (
        <div key={index} class="fields">
          <label><span>Namespace <small class="dim">* is all</small></span><input list="namespaces" value={grant.namespace} autoComplete="off" onInput={(event) => change(index, { namespace: event.currentTarget.value })} /></label>
          {!works && (
            <label>Role<select value={grant.role} onChange={(event) => change(index, { role: event.currentTarget.value })}>
              {ROLES.map((role) => <option key={role} value={role}>{role}: {MAY[role]}</option>)}</select></label>
          )}
          {grants.length > 1 && <button type="button" class="plain link" onClick={() => setGrants(grants.filter((_, at) => at !== index))}>Leave it out</button>}
        </div>
      ))}
      <datalist id="namespaces">{[...new Set([...own, ...known, ...(own.includes("*") ? ["default"] : [])])].map((one) => <option key={one} value={one} />)}</datalist>
      <p><button type="button" class="plain link" onClick={() => setGrants([...grants, { namespace: "", role: "viewer" }])}>One more namespace</button></p>
      <Fault text={fault} />
      <p class="buttons"><Act label="Make it" primary disabled={!name.trim() || !grants.some((one) => one.namespace.trim())} run={send} /></p>
      <Command line={commandOf(name, kind, grants, pooled, days)} />
    </form>
  );
}

/** The command that makes the same; it takes one role for all of its namespaces. */
function commandOf(name: string, kind: string, grants: Grant[], pools: string[], days: string): string {
  const words = ["aether token create --name", quoted(name.trim() || "NAME")];
  if (kind !== "person") words.push("--kind", kind);
  if (kind !== "worker") words.push("--role", grants[0]?.role ?? "viewer");
  for (const grant of grants) words.push(...(grant.namespace === "*" ? ["--all-namespaces"] : grant.namespace ? ["-n", quoted(grant.namespace)] : []));
  for (const pool of pools) words.push("--pool", quoted(pool));
  if (days) words.push("--expires", `${days}d`);
  return words.join(" ");
}
