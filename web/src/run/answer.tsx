/** The answer to a task that waits for a person: a form of what it declares. */

import { useEffect, useState } from "preact/hooks";
import { get, may, post, reasonOf } from "../core/api";
import type { Json, TaskRun } from "../core/types";
import { Act, Command, Fault, quoted } from "../parts/basics";

interface Asked {
  path: string;
  types: Record<string, string>;
}

export function Answer({ run, task, namespace }: { run: string; task: TaskRun; namespace: string }) {
  const [asked, setAsked] = useState<Asked | null>(null);
  const [texts, setTexts] = useState<Record<string, string>>({});
  const [fault, setFault] = useState("");
  const target = `/v1/runs/${encodeURIComponent(run)}`;
  useEffect(() => {
    get<Asked>(`${target}/question`, { task: task.path }).then(setAsked, (error: unknown) => setFault(reasonOf(error)));
  }, [run, task.path]);
  const fields = Object.entries(asked?.types ?? {}).filter(([name]) => name !== "approved");
  const allowed = may("operator", namespace);
  const send = (approved: boolean): Promise<void> => {
    const payload: Record<string, Json> = { approved };
    for (const [name, type] of fields) {
      const text = texts[name];
      if (text === undefined || text === "") continue;
      try {
        payload[name] = type === "string" ? text : (JSON.parse(text) as Json);
      } catch {
        setFault(`${name} has to be ${type}, as JSON`);
        return Promise.resolve();
      }
    }
    setFault("");
    return post(`${target}/resume`, { task: task.path, payload }).then(() => undefined, (error: unknown) => setFault(reasonOf(error)));
  };
  return (
    <form class="answer" onSubmit={(event) => event.preventDefault()}>
      <h3>Your answer</h3>
      {fields.map(([name, type]) => (
        <label key={name}>{name} <small class="dim">{type}</small>
          <input value={texts[name] ?? ""} onInput={(event) => setTexts({ ...texts, [name]: event.currentTarget.value })} /></label>
      ))}
      <Fault text={fault} />
      <p class="buttons">
        <Act label="Approve" primary disabled={!allowed || asked === null} run={() => send(true)} />
        <Act label="Reject" danger disabled={!allowed || asked === null} run={() => send(false)} />
      </p>
      <Command line={`aether resume ${quoted(run)} ${quoted(task.path)} --payload yes`} />
    </form>
  );
}
