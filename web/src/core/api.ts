/** Requests to the server: relative to the page's <base>, with the cookie of the login, and problems as errors. */

import { signal } from "@preact/signals";

/** What the server says of an error (RFC 9457). */
export interface ProblemBody {
  title?: string;
  status?: number;
  code?: string;
  detail?: string;
  hint?: string;
  diagnostics?: Diagnostic[];
}

export interface Diagnostic {
  code: string;
  severity: string;
  message: string;
  hint?: string | null;
  line?: number;
  column?: number;
}

export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  readonly hint: string;
  readonly diagnostics: Diagnostic[];

  constructor(body: ProblemBody, status: number) {
    super(body.detail ?? body.title ?? `the server answered ${status}`);
    this.status = status;
    this.code = body.code ?? "";
    this.hint = body.hint ?? "";
    this.diagnostics = body.diagnostics ?? [];
  }
}

export interface Me {
  name: string;
  kind: string;
  roles: Record<string, string>;
  csrf: string | null;
}

/** Who looks: null until the server said so. */
export const me = signal<Me | null>(null);
/** Whether the server wants a login. */
export const loggedOut = signal(false);

const RANKS = ["viewer", "operator", "author", "admin"];

/** Whether the caller has a role in a namespace (a hint for what is shown; the server decides). */
export function may(role: string, namespace?: string): boolean {
  const roles = me.value?.roles ?? {};
  const held = namespace === undefined ? Object.values(roles) : [roles[namespace], roles["*"]];
  return held.some((one) => one !== undefined && RANKS.indexOf(one) >= RANKS.indexOf(role));
}

export function urlOf(path: string): string {
  return new URL(path.replace(/^\//, ""), document.baseURI).href;
}

/** Where commands find this server: `--server URL`. */
export function serverUrl(): string {
  return urlOf("/").replace(/\/$/, "");
}

type Query = Record<string, string | number | boolean | null | undefined | string[]>;

export function withQuery(path: string, query: Query): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined || value === null || value === "" || value === false) continue;
    for (const one of Array.isArray(value) ? value : [String(value)]) search.append(name, one);
  }
  const text = search.toString();
  return text ? `${path}?${text}` : path;
}

export async function problemOf(answer: Response): Promise<Problem> {
  let body: ProblemBody = {};
  try {
    body = (await answer.json()) as ProblemBody;
  } catch {
    // a proxy's page: the status is all there is
  }
  if (answer.status === 401) loggedOut.value = true;
  return new Problem(body, answer.status);
}

/** Ask; `body` makes it a change. Throws Problem, or TypeError where the server cannot be reached. */
export async function call<T>(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<T> {
  const given: Record<string, string> = { accept: "application/json", ...headers };
  if (method !== "GET") {
    given["content-type"] = "application/json";
    const csrf = me.value?.csrf;
    if (csrf) given["x-aether-csrf"] = csrf;
  }
  const answer = await fetch(urlOf(path), {
    method,
    headers: given,
    credentials: "same-origin",
    ...(method === "GET" ? {} : { body: JSON.stringify(body ?? {}) }),
  });
  if (!answer.ok) throw await problemOf(answer);
  if (answer.status === 204) return undefined as T;
  return (await answer.json()) as T;
}

export const get = <T>(path: string, query: Query = {}): Promise<T> => call<T>("GET", withQuery(path, query));
export const post = <T>(path: string, body?: unknown): Promise<T> => call<T>("POST", path, body);

export function reasonOf(error: unknown): string {
  if (error instanceof Problem) return error.hint ? `${error.message} (${error.hint})` : error.message;
  if (error instanceof TypeError) return "the server cannot be reached";
  return String(error);
}
