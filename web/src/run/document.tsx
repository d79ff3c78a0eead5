/** The documents that a run was made of. */

import { useEffect, useState } from "preact/hooks";
import { get, reasonOf } from "../core/api";
import type { Json } from "../core/types";
import { Fault } from "../parts/basics";

interface Documents {
  name: string;
  workflow: Json;
  library: Json[];
}

export function DocumentTab({ digest }: { digest: string }) {
  const [documents, setDocuments] = useState<Documents | null>(null);
  const [fault, setFault] = useState("");
  useEffect(() => {
    get<Documents>(`/v1/plans/${digest}`).then(setDocuments, (error: unknown) => setFault(reasonOf(error)));
  }, [digest]);
  if (fault) return <Fault text={fault} />;
  if (documents === null) return <p class="dim">Loading…</p>;
  return (
    <div class="documents">
      {[documents.workflow, ...documents.library].map((one, index) => <pre key={index} class="code">{yaml(one)}</pre>)}
    </div>
  );
}

/** Write a value as YAML that people read; it is not read back. */
export function yaml(value: Json, indent = ""): string {
  if (Array.isArray(value)) {
    if (value.length === 0) return "[]";
    return value.map((one) => `${indent}- ${inner(one, `${indent}  `)}`).join("\n");
  }
  if (value !== null && typeof value === "object") {
    const names = Object.keys(value);
    if (names.length === 0) return "{}";
    return names.map((name) => {
      const one = value[name] ?? null;
      const nested = one !== null && typeof one === "object" && Object.keys(one).length > 0;
      return nested ? `${indent}${name}:\n${yaml(one, `${indent}  `)}` : `${indent}${name}: ${scalar(one, indent)}`;
    }).join("\n");
  }
  return scalar(value, indent);
}

function inner(value: Json, indent: string): string {
  if (value !== null && typeof value === "object") return yaml(value, indent).trimStart();
  return scalar(value, indent);
}

function scalar(value: Json, indent: string): string {
  if (typeof value !== "string") return JSON.stringify(value);
  if (value.includes("\n")) return `|\n${value.replace(/\n$/, "").split("\n").map((line) => `${indent}  ${line}`).join("\n")}`;
  return /^[A-Za-z_/][\w ./{}()-]*$/.test(value) && !/^(true|false|null|yes|no|on|off)$/i.test(value) ? value : JSON.stringify(value);
}
