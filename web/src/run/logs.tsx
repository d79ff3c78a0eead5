/** What tasks wrote: the end first, followed while the run is open, searched on the server, with a link to each line. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { get, reasonOf, urlOf, withQuery } from "../core/api";
import { ansi, plain } from "../core/ansi";
import { useKeys } from "../core/keys";
import { ask, query, url } from "../core/router";
import { follow } from "../core/stream";
import { clockOf, utcOf } from "../core/time";
import type { LogPiece } from "../core/types";
import { Empty, Fault, copy } from "../parts/basics";
import { Virtual } from "../parts/virtual";

const ROW = 24;
const TAIL = 1000; // lines that are asked for at first
const MOST = 1000; // pieces to a page

interface Line {
  number: number;
  piece: LogPiece;
  text: string;
}

interface Page {
  logs: LogPiece[];
  previous: number | null;
}

/** Lines of pieces: a piece that ends in the middle of a line is continued by the next of its task. */
function linesOf(pieces: LogPiece[]): Line[] {
  const lines: Line[] = [];
  const open = new Map<string, Line>();
  for (const piece of pieces) {
    const key = `${piece.path} ${piece.attempt} ${piece.stream}`;
    const parts = piece.text.split("\n");
    const last = parts.pop()!;
    for (const part of parts) {
      const before = open.get(key);
      if (before !== undefined) {
        before.text += part;
        open.delete(key);
      } else lines.push({ number: lines.length + 1, piece, text: part });
    }
    if (last) {
      const before = open.get(key);
      if (before !== undefined) before.text += last;
      else {
        const line = { number: lines.length + 1, piece, text: last };
        lines.push(line);
        open.set(key, line);
      }
    }
  }
  return lines;
}

export function Logs({ run, open, path, compact = false }: { run: string; open: boolean; path: string | null; compact?: boolean }) {
  const search = compact ? "" : query.value.get("search") ?? "";
  const pieces = useRef<LogPiece[]>([]);
  const [version, setVersion] = useState(0);
  const [previous, setPrevious] = useState<number | null>(null);
  const [fault, setFault] = useState("");
  const [state, setState] = useState("loading");
  const [stick, setStick] = useState(true);
  const target = `/v1/runs/${encodeURIComponent(run)}/logs`;

  useEffect(() => {
    const stop = new AbortController();
    pieces.current = [];
    setFault("");
    setState("loading");
    get<Page>(target, { path, search, tail: TAIL, limit: MOST }).then(
      (page) => {
        if (stop.signal.aborted) return;
        pieces.current = page.logs;
        setPrevious(page.previous);
        setVersion((before) => before + 1);
        setState("all");
        if (!open) return;
        void follow<LogPiece>(withQuery(`${target}/follow`, { path, search }), page.logs.at(-1)?.seq ?? 0, (found) => {
          pieces.current.push(...found);
          setVersion((before) => before + 1);
        }, (now, reason) => {
          setState(now);
          if (now === "ended" && reason) setFault(reason);
        }, stop.signal);
      },
      (error: unknown) => setFault(reasonOf(error)),
    );
    return () => stop.abort();
  }, [run, path, search]);

  const earlier = (): void => {
    get<Page>(target, { path, search, before: previous, tail: TAIL, limit: MOST }).then(
      (page) => {
        pieces.current = [...page.logs, ...pieces.current];
        setPrevious(page.previous);
        setVersion((before) => before + 1);
        setStick(false);
      },
      (error: unknown) => setFault(reasonOf(error)),
    );
  };

  const lines = useMemo(() => linesOf(pieces.current), [version]);
  const marked = compact ? null : Number(/^#L(\d+)$/.exec(url.value.hash)?.[1] ?? 0) || null;
  const one = new Set(pieces.current.map((piece) => piece.path)).size <= 1;
  useKeys(compact ? [] : [
    { keys: "/", does: "search in logs", act: () => document.querySelector<HTMLInputElement>("#search-logs")?.focus() },
    { keys: "G|End", does: "follow the end", act: () => setStick(true) },
  ]);
  return (
    <div class="column">
      {!compact && (
        <div class="filters">
          <input id="search-logs" type="search" placeholder="search all lines" aria-label="search in logs" value={search}
            onChange={(event) => ask({ search: event.currentTarget.value })} />
          {path !== null && <button type="button" class="chip on" onClick={() => ask({ only: null })}>only {path} ✕</button>}
          <span class="dim">{lines.length} {lines.length === 1 ? "line" : "lines"}{state === "open" ? ", live" : state === "waiting" ? ", connection lost" : ""}</span>
          <span class="spring" />
          <button type="button" class={stick ? "on" : ""} aria-pressed={stick} onClick={() => setStick(!stick)}>Follow</button>
          <button type="button" onClick={() => copy(lines.map((line) => plain(line.text)).join("\n"))}>Copy</button>
          <a class="button" data-plain href={urlOf(withQuery(target, { path, limit: MOST }))} download={`${run}.logs.json`}>Download</a>
        </div>
      )}
      <Fault text={fault} />
      {previous !== null && <button type="button" class="plain link earlier" onClick={earlier}>Earlier lines</button>}
      {lines.length === 0 ? (
        <Empty><p>{state === "loading" ? "Loading…" : search ? `No line has '${search}'.` : "Nothing was written."}</p></Empty>
      ) : (
        <Virtual count={lines.length} height={ROW} label="log lines" role="log" class="log" shown={marked === null ? null : marked - 1}
          stick={stick && marked === null} onStick={setStick}
          row={(index) => {
            const line = lines[index]!;
            const before = lines[index - 1]?.piece;
            const again = before !== undefined && before.path === line.piece.path && before.attempt !== line.piece.attempt;
            return (
              <div key={line.number} class={`line ${line.piece.stream} ${marked === line.number ? "marked" : ""} ${again ? "again" : ""}`}>
                <a class="ln" href={`${location.pathname}${location.search}#L${line.number}`} data-plain onClick={(event) => mark(event, line.number)}>{line.number}</a>
                <time class="at" title={utcOf(line.piece.at)}>{clockOf(line.piece.at)}</time>
                {!one && <span class="who" title={`${line.piece.path}, attempt ${line.piece.attempt}`}>{nameOf(line.piece)}</span>}
                <span class="text">{ansi(line.text).map((part, at) => (part.style ? <span key={at} class={part.style}>{part.text}</span> : part.text))}</span>
              </div>
            );
          }} />
      )}
    </div>
  );
}

function mark(event: MouseEvent, number: number): void {
  event.preventDefault();
  history.replaceState(null, "", `${location.pathname}${location.search}#L${number}`);
  window.dispatchEvent(new PopStateEvent("popstate"));
}

function nameOf(piece: LogPiece): string {
  const name = piece.path.slice(piece.path.indexOf(".") + 1);
  return piece.attempt > 1 ? `${name} #${piece.attempt}` : name;
}
