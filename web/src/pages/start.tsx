/** A run begins: a form of what its workflow takes, of a stored document, of a schedule or, once more, of a run. */

import { useEffect, useState } from "preact/hooks";
import { get, may, post, Problem, reasonOf, serverUrl, type Diagnostic } from "../core/api";
import { byParameter, textOf, wrongWith, type Declared, type Takes } from "../core/parameters";
import { go, href, query } from "../core/router";
import type { Json, RunRow, Workflow } from "../core/types";
import { Command, Empty, Fault, keepFocus, quoted } from "../parts/basics";
import { Findings } from "../parts/findings";

/** What is begun: how it is asked for, and the command that does the same. */
interface Source {
  takes: Takes;
  run: RunRow | null;
  given: Record<string, Json>;
  /** NAMESPACE/NAME of the schedule whose run it is to be. */
  schedule?: string;
}

async function sourceOf(workflow: string | null, version: string | null, run: string | null, schedule: string | null): Promise<Source> {
  if (schedule !== null) {
    const seen = await get<{ takes: Takes }>(`/v1/schedules/${placeOf(schedule)}`);
    return { takes: seen.takes, run: null, given: {}, schedule };
  }
  if (run !== null) {
    const seen = await get<{ run: RunRow; parameters: Record<string, Json> }>(`/v1/runs/${encodeURIComponent(run)}/overview`, { lines: 0, reasons: 0 });
    return { takes: await get<Takes>(`/v1/plans/${seen.run.digest}/parameters`), run: seen.run, given: seen.parameters };
  }
  return { takes: await get<Takes>(`/v1/documents/${placeOf(workflow ?? "")}/parameters`, { version }), run: null, given: {} };
}

/** NAME or NAMESPACE/NAME as a part of an address. */
function placeOf(text: string): string {
  const [namespace, name] = text.includes("/") ? text.split("/", 2) : ["default", text];
  return `${encodeURIComponent(namespace!)}/${encodeURIComponent(name!)}`;
}

export function Start() {
  const workflow = query.value.get("workflow");
  const run = query.value.get("run");
  const version = query.value.get("version");
  const schedule = query.value.get("schedule");
  const isChosen = workflow !== null || run !== null || schedule !== null;
  const [source, setSource] = useState<Source | null>(null);
  const [fault, setFault] = useState("");
  const [findings, setFindings] = useState<Diagnostic[]>([]);
  useEffect(() => {
    let isShown = true;
    setSource(null);
    setFault("");
    setFindings([]);
    if (!isChosen) return;
    sourceOf(workflow, version, run, schedule).then((found) => isShown && setSource(found), (error: unknown) => {
      if (!isShown) return;
      setFault(reasonOf(error));
      setFindings(error instanceof Problem ? error.diagnostics : []);
    });
    return () => {
      isShown = false;
    };
  }, [workflow, version, run, schedule]);
  if (!isChosen) return <Choose />;
  return (
    <section class="page">
      <header class="head"><h1>{run === null ? "Start" : "Run again:"} {source?.takes.name ?? workflow ?? schedule}</h1>
        {source !== null && <About source={source} />}</header>
      <Fault text={fault} />
      <Findings several={findings} />
      {source !== null && <Form key={source.takes.digest + (run ?? schedule ?? "")} source={source} />}
    </section>
  );
}

function About({ source: { takes, run, schedule } }: { source: Source }) {
  return (
    <dl class="facts">
      {schedule !== undefined && <div><dt>Of the schedule</dt><dd><a href={href(`/schedules?${new URLSearchParams({ schedule })}`)}>{schedule}</a></dd></div>}
      {takes.namespace !== "default" && <div><dt>Namespace</dt><dd>{takes.namespace}</dd></div>}
      {takes.version !== null && <div><dt>Version</dt><dd>{takes.version}</dd></div>}
      {run !== null && <div><dt>As run</dt><dd><a href={href(`/runs/${encodeURIComponent(run.runId)}`)}>{run.runId}</a></dd></div>}
    </dl>
  );
}

/** Where a run of a workflow begins: of the stored document, as its schedule does, or once more as the newest run. */
export function startOf({ name, namespace, documentVersion, schedule, runs }: Workflow): string {
  const whole = `${namespace}/${name}`;
  const asked: Record<string, string> = documentVersion !== null ? { workflow: whole } : schedule !== null ? { schedule: whole } : { run: runs[0]?.runId ?? "" };
  return `/start?${new URLSearchParams(asked)}`;
}

function Choose() {
  const [found, setFound] = useState<Workflow[] | null>(null);
  const [fault, setFault] = useState("");
  useEffect(() => {
    get<{ workflows: Workflow[] }>("/v1/workflows", { newest: 1, limit: 1000 }).then(
      (page) => setFound(page.workflows), (error: unknown) => setFault(reasonOf(error)));
  }, []);
  return (
    <section class="page">
      <header class="head"><h1>Start a workflow</h1></header>
      <Fault text={fault} />
      {found?.length === 0 && <Empty><p>There are no workflows yet: apply one, or run one.</p><Command line={`aether apply flow.yaml --server ${quoted(serverUrl())}`} /></Empty>}
      <ul class="plain-list rows">
        {found?.map((one) => (
          <li key={`${one.namespace}/${one.name}`}><a href={href(startOf(one))}>{one.name}</a>
            {one.namespace !== "default" && <small class="dim"> {one.namespace}</small>}</li>
        ))}
      </ul>
    </section>
  );
}

/** The texts that a run's values are, by parameter, and those parameters whose value is left out. */
function filled({ takes, run, given }: Source): [Record<string, string>, string[]] {
  const texts: Record<string, string> = {};
  const left: string[] = [];
  for (const { name, type, secret } of run === null ? [] : takes.parameters) {
    const value = given[name];
    if (secret || value === undefined || value === null) continue;
    const text = textOf(value, type);
    if (text === null) left.push(name);
    else texts[name] = text;
  }
  return [texts, left];
}

function Form({ source }: { source: Source }) {
  const { takes } = source;
  const [[first, left]] = useState(() => filled(source));
  const [texts, setTexts] = useState(first);
  const [seen, setSeen] = useState<ReadonlySet<string>>(new Set());
  const [told, setTold] = useState<Record<string, string>>({});
  const [findings, setFindings] = useState<Diagnostic[]>([]);
  const [busy, setBusy] = useState(false);
  const fields = takes.parameters.filter((one) => !one.secret);
  const given = Object.fromEntries(fields.map(({ name }) => [name, texts[name] ?? ""]).filter(([, text]) => text !== ""));
  const allowed = may("operator", takes.namespace);

  const change = (name: string, text: string): void => {
    setTexts({ ...texts, [name]: text });
    setTold({ ...told, [name]: "" });
  };
  const send = async (): Promise<void> => {
    setSeen(new Set(fields.map((one) => one.name)));
    const wrong = fields.find((one) => wrongWith(one, texts[one.name] ?? "") !== "");
    if (wrong !== undefined) {
      document.getElementById(`field-${wrong.name}`)?.focus();
      return;
    }
    setTold({});
    setFindings([]);
    try {
      const [place, body] = asked(source);
      const made = await post<{ runId: string }>(place, { ...body, parameterTexts: given });
      go(`/runs/${encodeURIComponent(made.runId)}`);
    } catch (error: unknown) {
      const about = byParameter(error instanceof Problem ? error.message : reasonOf(error), fields.map((one) => one.name));
      if (about[""] !== undefined && error instanceof Problem && error.hint) about[""] += ` (${error.hint})`;
      setTold(about);
      setFindings(error instanceof Problem ? error.diagnostics : []);
      document.getElementById(`field-${fields.find((one) => about[one.name])?.name ?? ""}`)?.focus();
    }
  };
  const begin = (): void => {
    if (busy || !allowed) return;
    setBusy(true);
    void send().finally(() => setBusy(false));
  };
  return (
    <form class="start-form" noValidate onSubmit={(event) => (event.preventDefault(), begin())}>
      {takes.parameters.length === 0 && <p class="dim">It takes no parameters.</p>}
      {takes.parameters.map((one) => one.secret
        ? <div class="field" key={one.name}><span><strong>{one.name}</strong> <small class="dim">secret</small></span><p class="dim">Filled in where the run needs it; it is never shown.</p></div>
        : <Field key={one.name} parameter={one} text={texts[one.name] ?? ""} onText={(text) => change(one.name, text)} onLeave={() => setSeen(new Set([...seen, one.name]))}
            wrong={told[one.name] || (seen.has(one.name) ? wrongWith(one, texts[one.name] ?? "") : "")} />)}
      {left.length > 0 && <p class="dim">Not filled in, for this page does not have it as it was: {left.join(", ")}.</p>}
      <Fault text={told[""] ?? ""} />
      <Findings several={findings} />
      {!allowed && <p class="dim">To begin a run here you need the role operator.</p>}
      <p class="actions" onMouseDown={keepFocus}><button class="primary" disabled={busy || !allowed} aria-busy={busy}>Start</button><Command line={commandOf(source, given)} /></p>
    </form>
  );
}

/** Where it is begun, and what: the schedule, the stored workflow by its name, or the plan that the run has. */
function asked({ takes, run, schedule }: Source): [string, Record<string, Json>] {
  if (schedule !== undefined) return [`/v1/schedules/${placeOf(schedule)}/trigger`, {}];
  return ["/v1/runs", run === null ? { name: `${takes.namespace}/${takes.name}`, version: takes.version } : { plan: takes.digest }];
}

function commandOf({ takes, run, schedule }: Source, given: Record<string, string>): string {
  const version = run === null ? takes.version : run.documentVersion;
  const name = takes.namespace === "default" ? takes.name : `${takes.namespace}/${takes.name}`;
  const what = version === null ? "FILE" : `--name ${quoted(`${name}@${version}`)}`;
  const words = Object.entries(given).map(([parameter, text]) => ` -p ${quoted(`${parameter}=${text}`)}`);
  if (schedule !== undefined) return `aether cron trigger ${quoted(schedule)}${words.join("")} --server ${quoted(serverUrl())}`;
  return `aether run ${what}${words.join("")} --detach --server ${quoted(serverUrl())}`;
}

export function Field({ parameter, text, wrong, onText, onLeave, form = "field" }: {
  form?: string; parameter: Declared; text: string; wrong: string; onText: (text: string) => void; onLeave: () => void;
}) {
  const { name, type, description } = parameter;
  const id = `${form}-${name}`;
  const without = parameter.required ? "required" : `default ${shown(parameter.computed ?? parameter.default)}`;
  const common = {
    id, "aria-invalid": wrong !== "", "aria-required": parameter.required, "aria-describedby": `${id}-type ${id}-about`, onBlur: onLeave,
  };
  const typed = { ...common, value: text, spellcheck: false, autoComplete: "off", onInput: (event: Event) => onText((event.currentTarget as HTMLInputElement).value) };
  const members = parameter.enum ?? (type === "boolean" ? [true, false] : null);
  const isLong = type === "object" || type === "array" || text.includes("\n") || (typeof parameter.default === "string" && parameter.default.includes("\n"));
  return (
    <div class="field">
      <p><label for={id}><strong>{name}</strong></label> <small id={`${id}-type`} class="dim">{type} · {without}</small></p>
      {members !== null ? (
        <select {...common} value={text} onChange={(event) => onText(event.currentTarget.value)}>
          <option value="">{parameter.required ? "choose…" : without}</option>
          {members.map((one) => <option key={JSON.stringify(one)} value={textOf(one, type) ?? ""}>{shown(one)}</option>)}
        </select>
      ) : isLong ? <textarea {...typed} rows={Math.min(Math.max(text.split("\n").length, 3), 16)} /> : (
        <input {...typed} inputMode={type === "integer" ? "numeric" : type === "number" ? "decimal" : "text"} />
      )}
      <div id={`${id}-about`}>
        {description !== null && <p class="dim">{description}</p>}
        {wrong !== "" && <p class="fault">{wrong}</p>}
      </div>
    </div>
  );
}

function shown(value: Json): string {
  const text = typeof value === "string" ? value || '""' : JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}
