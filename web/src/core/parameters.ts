/** Parameters of a workflow as a form has them: texts, which the server reads as it reads `-p NAME=VALUE` (DATA-14). */

import type { Json } from "./types";

/** What a workflow takes (GET /v1/documents/NS/NAME/parameters). */
export interface Declared {
  name: string;
  type: "string" | "number" | "integer" | "boolean" | "object" | "array" | "any";
  description: string | null;
  enum: Json[] | null;
  required: boolean;
  default: Json;
  computed: Json;
  secret: boolean;
}

export interface Takes {
  name: string;
  namespace: string;
  digest: string;
  version: number | null;
  parameters: Declared[];
}

const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;
const LINE = 60; // characters of a value that are read at a glance
const HIDDEN = "***"; // in the place of a secret

/** Write a value as it is read again; null where that cannot be done without a loss, or it has a secret in it. */
export function textOf(value: Json, type: Declared["type"]): string | null {
  const text = typeof value === "string" ? value : jsonOf(value);
  if (text.includes(HIDDEN) || !isExact(value)) return null;
  if (typeof value !== "string" || type === "string") return text;
  return isJson(value) ? JSON.stringify(value) : value;
}

/** JSON on one line, or on several where one is too long. */
function jsonOf(value: Json): string {
  const line = JSON.stringify(value);
  return line.length <= LINE ? line : JSON.stringify(value, null, 1);
}

/** Whether this browser has a value as it was written: longer whole numbers are rounded when they are read. */
function isExact(value: Json): boolean {
  if (typeof value === "number") return !Number.isInteger(value) || Number.isSafeInteger(value);
  if (value !== null && typeof value === "object") return Object.values(value).every(isExact);
  return true;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** What is wrong with a text for a parameter; "" where nothing is, as far as can be said here. */
export function wrongWith(parameter: Declared, text: string): string {
  if (text === "") return parameter.required ? "a value is needed" : "";
  if (parameter.type === "integer" && !(NUMBER.test(text) && Number.isInteger(Number(text)))) return "this has to be a whole number, such as 3";
  if (parameter.type === "number" && !NUMBER.test(text)) return "this has to be a number, such as 2.5";
  if (parameter.type !== "object" && parameter.type !== "array") return "";
  const example = parameter.type === "object" ? '{"name": "value"}' : '["first", "second"]';
  try {
    const value = JSON.parse(text) as Json;
    const isRight = parameter.type === "array" ? Array.isArray(value) : value !== null && typeof value === "object" && !Array.isArray(value);
    return isRight ? "" : `this has to be ${parameter.type === "array" ? "an array" : "an object"}, such as ${example}`;
  } catch (error) {
    return `this is not JSON (${error instanceof Error ? error.message : ""}): write it such as ${example}`;
  }
}

/** What the server says of arguments, by parameter; what it says of none of them is under "". */
export function byParameter(told: string, names: string[]): Record<string, string> {
  const found: Record<string, string> = {};
  for (const piece of told.split("; ")) {
    const name = /^parameter '([^']+)'/.exec(piece)?.[1] ?? "";
    const at = names.includes(name) ? name : "";
    found[at] = found[at] === undefined ? piece : `${found[at]}; ${piece}`;
  }
  return found;
}
