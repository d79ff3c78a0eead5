/** Server-sent events read by fetch: EventSource can send no header and does not say why it was refused. */

import { problemOf, urlOf, withQuery } from "./api";

export interface StreamState {
  /** "open", "waiting" (cut, tried again soon), "ended" */
  (state: "open" | "waiting" | "ended", reason?: string): void;
}

interface Message {
  id: string | null;
  event: string;
  data: string;
}

/** Cut whole messages off a text; gives them and what is left. */
export function cut(text: string): [Message[], string] {
  const pieces = text.split("\n\n");
  const rest = pieces.pop() ?? "";
  const messages: Message[] = [];
  for (const piece of pieces) {
    const message: Message = { id: null, event: "message", data: "" };
    for (const line of piece.split("\n")) {
      if (line.startsWith("data: ")) message.data += line.slice(6);
      else if (line.startsWith("id: ")) message.id = line.slice(4);
      else if (line.startsWith("event: ")) message.event = line.slice(7);
    }
    if (message.data) messages.push(message);
  }
  return [messages, rest];
}

const PAUSES_MS = [500, 1000, 2000, 5000, 10_000];

/**
 * Follow a feed until it ends or is aborted. It is resumed behind the last message, so that nothing is missed or doubled.
 * A page that is not looked at follows nothing: it resumes when it is looked at again.
 */
export async function follow<T>(
  path: string,
  after: number | null,
  onPieces: (pieces: T[], last: number) => void,
  onState: StreamState,
  signal: AbortSignal,
): Promise<void> {
  let last = after;
  let tries = 0;
  while (!signal.aborted) {
    await visible(signal);
    if (signal.aborted) return;
    const hidden = new AbortController();
    const hide = (): void => {
      if (document.visibilityState === "hidden") hidden.abort();
    };
    document.addEventListener("visibilitychange", hide);
    const stop = (): void => hidden.abort();
    signal.addEventListener("abort", stop);
    try {
      const answer = await fetch(urlOf(withQuery(path, { after: last })), {
        headers: { accept: "text/event-stream" },
        credentials: "same-origin",
        signal: hidden.signal,
      });
      if (!answer.ok || answer.body === null) {
        const problem = await problemOf(answer);
        if (answer.status < 500 && answer.status !== 429) {
          onState("ended", problem.message);
          return;
        }
        throw problem;
      }
      onState("open");
      tries = 0;
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const [messages, rest] = cut(text + value);
        text = rest;
        for (const message of messages) {
          if (message.event === "end") {
            onState("ended");
            return;
          }
          if (message.event === "problem") {
            onState("ended", (JSON.parse(message.data) as { detail?: string }).detail ?? "the feed ended");
            return;
          }
          if (message.id !== null) last = Number(message.id);
          onPieces(JSON.parse(message.data) as T[], last ?? 0);
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!hidden.signal.aborted) onState("waiting", error instanceof Error ? error.message : String(error));
    } finally {
      document.removeEventListener("visibilitychange", hide);
      signal.removeEventListener("abort", stop);
    }
    if (hidden.signal.aborted) continue;
    await pause(PAUSES_MS[Math.min(tries, PAUSES_MS.length - 1)] ?? 1000, signal);
    tries += 1;
  }
}

function visible(signal: AbortSignal): Promise<void> {
  if (document.visibilityState === "visible") return Promise.resolve();
  return new Promise((done) => {
    const look = (): void => {
      if (document.visibilityState !== "visible" && !signal.aborted) return;
      document.removeEventListener("visibilitychange", look);
      done();
    };
    document.addEventListener("visibilitychange", look);
    signal.addEventListener("abort", look, { once: true });
  });
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), done()), { once: true });
  });
}
