/** Runs of fires that are past: first which these are, then they are begun. */

import { useEffect, useState } from "preact/hooks";
import { post, reasonOf } from "../core/api";
import { ask, query } from "../core/router";
import { Act, Command, Fault, quoted, say } from "../parts/basics";
import { fullName, InZone, targetOf, type Schedule } from "../pages/schedules";

interface PastFire {
  at: string;
  runId: string;
  why: string | null;
}

const SHOWN = 100; // of the fires that were found
const MOST = 1000; // runs that a page begins at a time; the command begins more

/** As a field for a date and a time has it, in the reader's zone. */
function fieldOf(at: Date): string {
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

export function Backfill({ schedule, done }: { schedule: Schedule; done: () => void }) {
  const [moment] = useState(() => Date.now());
  const from = query.value.get("from") ?? fieldOf(new Date(moment - 86_400_000));
  const until = query.value.get("until") ?? fieldOf(new Date(moment));
  const [again, setAgain] = useState(false);
  const [found, setFound] = useState<PastFire[] | null>(null);
  const [fault, setFault] = useState("");
  useEffect(() => setFound(null), [from, until, again]);
  const asked = (dryRun: boolean): Promise<void> =>
    post<{ fires: PastFire[] }>(`${targetOf(schedule)}/backfill`, { from: instant(from), until: instant(until), again, dryRun }).then((given) => {
      setFault("");
      if (dryRun) return setFound(given.fires);
      const begun = given.fires.filter((one) => one.why === null).length;
      say(`${begun} ${begun === 1 ? "run begins" : "runs begin"}`);
      ask({ backfill: null, from: null, until: null });
      done();
    }, (error: unknown) => setFault(reasonOf(error)));
  const todo = found?.filter((one) => one.why === null).length ?? 0;
  const valid = from !== "" && until !== "" && from <= until;
  return (
    <form class="answer" aria-label="backfill" onSubmit={(event) => (event.preventDefault(), valid && void asked(true))}>
      <h3>Backfill</h3>
      <p class="dim">Begins the runs of fires that are past and have none. Times are those of your clock; the fires are shown in the zone of the schedule.</p>
      <div class="fields">
        <label>From<input type="datetime-local" value={from} onChange={(event) => ask({ from: event.currentTarget.value }, true)} /></label>
        <label>Until<input type="datetime-local" value={until} onChange={(event) => ask({ until: event.currentTarget.value }, true)} /></label>
      </div>
      <label class="check"><input type="checkbox" checked={again} onChange={(event) => setAgain(event.currentTarget.checked)} /> also those whose run was deleted</label>
      <Fault text={fault} />
      {found === null ? <p class="buttons"><button class="primary" disabled={!valid}>Show the fires</button></p> : (
        <>
          <p role="status">{found.length === 0 ? "There are no fires in this time." : `${found.length} ${found.length === 1 ? "fire" : "fires"}: ${todo} to run, ${found.length - todo} left out.`}</p>
          <ul class="plain-list fires">
            {found.slice(0, SHOWN).map((fire) => (
              <li key={fire.at} class={fire.why === null ? "" : "dim"}><InZone at={fire.at} zone={schedule.timezone} />{fire.why !== null && <>: {fire.why}</>}</li>
            ))}
          </ul>
          {found.length > SHOWN && <p class="dim">and {found.length - SHOWN} more</p>}
          {todo > MOST && <p class="fault">More than {MOST} runs are not begun from here: take a part of that time, or use the command.</p>}
          <p class="buttons"><Act label={todo === 1 ? "Begin 1 run" : `Begin ${todo} runs`} primary disabled={todo === 0 || todo > MOST} run={() => asked(false)} /></p>
        </>
      )}
      <Command line={`aether cron backfill ${quoted(fullName(schedule))} --from ${valid ? instant(from) : "TIME"} --until ${valid ? instant(until) : "TIME"}${again ? " --again" : ""}`} />
    </form>
  );
}

/** The instant of a field, which is in the reader's zone. */
function instant(field: string): string {
  return new Date(field).toISOString();
}
