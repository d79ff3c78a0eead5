/** The answer to a task that waits for a person: a form of its declared inputs, with their types, the values that they may have, and
 * the ones that they have now. */

import { useEffect, useState } from "preact/hooks";
import { get, may, post, reasonOf } from "../core/api";
import { wrongWith, type Declared } from "../core/parameters";
import type { Json, TaskRun } from "../core/types";
import { Field } from "../pages/start";
import { Act, Command, Fault, keepFocus, quoted } from "../parts/basics";

interface Asked {
  path: string;
  inputs: { name: string; type: Declared["type"]; enum: Json[] | null; bound: boolean; value: Json }[];
}

/** An input as a field of a form: left empty it stays as it is. */
function fieldOf(one: Asked["inputs"][number]): Declared {
  return {
    name: one.name, type: one.type, enum: one.enum, description: null, secret: false, computed: null,
    required: !one.bound, default: one.bound ? one.value : null,
  };
}

export function Answer({ run, task, namespace }: { run: string; task: TaskRun; namespace: string }) {
  const [asked, setAsked] = useState<Asked | null>(null);
  const [texts, setTexts] = useState<Record<string, string>>({});
  const [seen, setSeen] = useState<ReadonlySet<string>>(new Set());
  const [fault, setFault] = useState("");
  const target = `/v1/runs/${encodeURIComponent(run)}`;
  useEffect(() => {
    get<Asked>(`${target}/question`, { task: task.path }).then(setAsked, (error: unknown) => setFault(reasonOf(error)));
  }, [run, task.path]);
  const fields = (asked?.inputs ?? []).filter(({ name }) => name !== "approved").map(fieldOf);
  const allowed = may("operator", namespace);
  const given = fields.filter(({ name }) => (texts[name] ?? "") !== "");
  const send = (approved: boolean): Promise<void> => {
    setSeen(new Set(fields.map((one) => one.name)));
    if (given.some((one) => wrongWith(one, texts[one.name]!) !== "")) return Promise.resolve();
    const payload: Record<string, Json> = { approved };
    for (const { name, type } of given) payload[name] = valueOf(texts[name]!, type);
    setFault("");
    return post(`${target}/resume`, { task: task.path, payload }).then(() => undefined, (error: unknown) => setFault(reasonOf(error)));
  };
  const words = given.map(({ name }) => ` -p ${quoted(`${name}=${texts[name]!}`)}`).join("");
  return (
    <form class="answer" onSubmit={(event) => event.preventDefault()}>
      <h3>Your answer</h3>
      {fields.map((one) => (
        <Field key={one.name} form={`${run} ${task.path}`.replace(/[^\w.-]/g, "_")} parameter={one} text={texts[one.name] ?? ""} onText={(text) => setTexts({ ...texts, [one.name]: text })}
          onLeave={() => setSeen(new Set([...seen, one.name]))}
          wrong={seen.has(one.name) && (texts[one.name] ?? "") !== "" ? wrongWith(one, texts[one.name]!) : ""} />
      ))}
      <Fault text={fault} />
      <p class="buttons" onMouseDown={keepFocus}>
        <Act label="Approve" primary disabled={!allowed || asked === null} run={() => send(true)} />
        <Act label="Reject" danger disabled={!allowed || asked === null} run={() => send(false)} />
      </p>
      <Command line={`aether resume ${quoted(run)} ${quoted(task.path)} -p approved=true${words}`} />
    </form>
  );
}

function valueOf(text: string, type: Declared["type"]): Json {
  if (type === "string") return text;
  try {
    return JSON.parse(text) as Json;
  } catch {
    return text; // of type any: text as it is
  }
}
