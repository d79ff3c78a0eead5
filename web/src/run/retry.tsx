/** Retry a run: what would be kept and what would run again is shown first, as the server will do it. */

import { useEffect, useState } from "preact/hooks";
import { get, post, reasonOf } from "../core/api";
import { go } from "../core/router";
import type { RetriedTask, RetryPreview } from "../core/types";
import { Act, Command, Dialog, Fault, quoted, say } from "../parts/basics";
import { PhaseLabel } from "../parts/phase";

const SHOWN = 200; // tasks of each kind; the command lists all

export function RetryDialog({ run, start, onClose }: { run: string; start: string | null; onClose: () => void }) {
  const [preview, setPreview] = useState<RetryPreview | null>(null);
  const [fault, setFault] = useState("");
  const target = `/v1/runs/${encodeURIComponent(run)}`;
  useEffect(() => {
    get<RetryPreview>(`${target}/retry-preview`, { from: start }).then(setPreview, (error: unknown) => setFault(reasonOf(error)));
  }, [run, start]);
  const label = start === null ? "Retry" : "Retry from here";
  const from = start === null ? "" : ` --from ${quoted(start)}`;
  return (
    <Dialog title={start === null ? "Retry this run?" : `Retry from ${start}?`} onClose={onClose}>
      <p>A new run begins, with the same document and parameters.</p>
      <Fault text={fault} />
      {preview !== null && (
        <div class="preview">
          <Part title={`Runs again: ${preview.again.length}`} tasks={preview.again} open />
          <Part title={`Is kept, with its outputs: ${preview.kept.length}`} tasks={preview.kept} open={preview.kept.length <= 12} />
        </div>
      )}
      <p class="buttons">
        <Act label={label} primary disabled={preview === null} run={() =>
          post<{ runId: string }>(`${target}/retry`, start === null ? {} : { from: start }).then(
            (made) => go(`/runs/${encodeURIComponent(made.runId)}`),
            (error: unknown) => say(reasonOf(error), true),
          )} />
        <button type="button" onClick={onClose}>Leave it</button>
      </p>
      <p><Command line={`aether retry ${quoted(run)}${from} --dry-run`} /></p>
    </Dialog>
  );
}

function Part({ title, tasks, open }: { title: string; tasks: RetriedTask[]; open: boolean }) {
  if (tasks.length === 0) return <p class="dim">{title}</p>;
  return (
    <details open={open}>
      <summary>{title}</summary>
      <ul class="preview-tasks">
        {tasks.slice(0, SHOWN).map((task) => (
          <li key={task.path}>{task.phase === null ? <span class="phase dim">did not run</span> : <PhaseLabel phase={task.phase} />}
            <span class="mono" title={task.path}>{task.path}</span></li>
        ))}
        {tasks.length > SHOWN && <li class="dim">and {tasks.length - SHOWN} more</li>}
      </ul>
    </details>
  );
}
