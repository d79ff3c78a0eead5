/** All that happened in a run, record by record. */

import { useEffect, useRef, useState } from "preact/hooks";
import { ask } from "../core/router";
import { follow } from "../core/stream";
import { clockOf, utcOf } from "../core/time";
import type { RunEvent } from "../core/types";
import { Fault } from "../parts/basics";
import { PhaseLabel } from "../parts/phase";
import { Virtual } from "../parts/virtual";

/** Follow all events of a run from its first. */
export function useEvents(run: string): [RunEvent[], number, string] {
  const events = useRef<RunEvent[]>([]);
  const [version, setVersion] = useState(0);
  const [fault, setFault] = useState("");
  useEffect(() => {
    const stop = new AbortController();
    events.current = [];
    void follow<RunEvent>(`/v1/runs/${encodeURIComponent(run)}/events/follow`, 0, (found) => {
      events.current.push(...found);
      setVersion((before) => before + 1);
    }, (state, reason) => setFault(state === "open" || !reason ? "" : reason), stop.signal);
    return () => stop.abort();
  }, [run]);
  return [events.current, version, fault];
}

export function EventsTab({ run }: { run: string }) {
  const [events, , fault] = useEvents(run);
  return (
    <div class="column">
      <Fault text={fault} />
      <div class="table events" role="table" aria-label="events">
        <div class="tr th" role="row">
          <span role="columnheader" class="c-tasks">Entry</span><span role="columnheader" class="c-when">At</span>
          <span role="columnheader" class="c-kind">What</span><span role="columnheader" class="c-phase">Phase</span>
          <span role="columnheader" class="c-name">Task</span><span role="columnheader" class="c-why">Cause, message</span>
        </div>
        <Virtual count={events.length} height={28} label="list of events" role="rowgroup" row={(index) => {
          const event = events[index]!;
          return (
            <div key={index} class="tr click" role="row" title="show the run as it was then" onClick={() => ask({ at: String(event.seq), tab: null })}>
              <span role="cell" class="c-tasks num">{event.seq}</span>
              <span role="cell" class="c-when"><time title={utcOf(event.at)}>{clockOf(event.at)}</time></span>
              <span role="cell" class="c-kind">{event.kind}</span>
              <span role="cell" class="c-phase">{event.phase && <PhaseLabel phase={event.phase} />}</span>
              <span role="cell" class="c-name mono">{event.hook ?? event.path ?? ""}</span>
              <span role="cell" class="c-why dim">{event.cause}{event.message ? `: ${event.message}` : ""}</span>
            </div>
          );
        }} />
      </div>
    </div>
  );
}
