/** The files that tasks left, and those that came from sources: how large they are, whose, and whether they are still kept. */

import { useEffect, useState } from "preact/hooks";
import { get, reasonOf, urlOf } from "../core/api";
import type { RunModel } from "../core/model";
import { ask } from "../core/router";
import { bytesOf } from "../core/time";
import type { Artifact } from "../core/types";
import { copy, Empty, Fault } from "../parts/basics";
import { ENDED } from "../parts/phase";
import { Virtual } from "../parts/virtual";

const ROW = 36;

export function Artifacts({ model, selected }: { model: RunModel; selected: string | null }) {
  model.version.value;
  const [found, setFound] = useState<Artifact[] | null>(null);
  const [fault, setFault] = useState("");
  const run = model.view.run.runId;
  const target = `/v1/runs/${encodeURIComponent(run)}/artifacts`;
  const ended = [...model.tasks.values()].filter((task) => task.templateType === "task" && ENDED.has(task.phase)).length;
  useEffect(() => {
    get<{ artifacts: Artifact[] }>(target).then((page) => setFound(page.artifacts), (error: unknown) => setFault(reasonOf(error)));
  }, [run, ended]);
  if (fault) return <Fault text={fault} />;
  if (found === null) return <p class="dim">Loading…</p>;
  if (found.length === 0) return <Empty><p>No task left a file. Output artifacts of tasks are kept here.</p></Empty>;
  return (
    <div class="table artifacts" role="table" aria-label="artifacts" aria-rowcount={found.length}>
      <div class="tr th" role="row">
        <span role="columnheader">File</span><span role="columnheader">Task</span><span role="columnheader" class="num">Size</span>
        <span role="columnheader" class="c-digest">Digest</span><span role="columnheader"><span class="sr">get it</span></span>
      </div>
      <Virtual count={found.length} height={ROW} label="list of artifacts" role="rowgroup" row={(index) => {
        const one = found[index]!;
        return (
          <div key={`${one.task} ${one.kind} ${one.name}`} class={`tr ${one.task === selected ? "on" : ""}`} role="row">
            <span role="cell" title={one.file}><strong class={one.kept ? "" : "gone"}>{one.name}</strong>{one.file !== one.name && <span class="dim"> {one.file}</span>}
              {one.kind === "fetched" && <span class="dim"> (came from a source)</span>}</span>
            <span role="cell" title={one.task}><button type="button" class="plain mono" onClick={() => ask({ task: one.task })}>{one.task}</button></span>
            <span role="cell" class="num" title={`${one.size} bytes`}>{bytesOf(one.size)}</span>
            <span role="cell" class="c-digest"><button type="button" class="plain mono dim" title="copy the digest" onClick={() => copy(one.digest)}>{one.digest.slice(0, 23)}…</button></span>
            <span role="cell">{one.kept
              ? <a class="button small" data-plain href={urlOf(`${target}/${one.digest}`)} download={one.file} aria-label={`download ${one.name} of ${one.task}`}>Download</a>
              : <span class="dim" title="its content was deleted">not kept any more</span>}</span>
          </div>
        );
      }} />
    </div>
  );
}
