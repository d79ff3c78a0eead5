/** An ended run as a case file: a unit test of its document, to copy or to save. */

import { useEffect, useState } from "preact/hooks";
import { problemOf, reasonOf, urlOf } from "../core/api";
import { Command, copy, Dialog, Fault, quoted } from "../parts/basics";

export function CaseDialog({ run, onClose }: { run: string; onClose: () => void }) {
  const [text, setText] = useState<string | null>(null);
  const [fault, setFault] = useState("");
  const address = urlOf(`/v1/runs/${encodeURIComponent(run)}/case`);
  useEffect(() => {
    fetch(address, { credentials: "same-origin" }).then(async (answer) => {
      if (!answer.ok) throw await problemOf(answer);
      setText(await answer.text());
    }).catch((error: unknown) => setFault(reasonOf(error)));
  }, [run]);
  return (
    <Dialog title="This run as a test" onClose={onClose}>
      <p>A case for <code>aether test</code>: what each attempt gave is played again, and what comes of it is held against this run.</p>
      <Fault text={fault} />
      {text === null ? !fault && <p class="dim">Loading…</p> : <pre class="code case" tabIndex={0}>{text}</pre>}
      <p class="buttons">
        <button type="button" class="primary" disabled={text === null} onClick={() => copy(text ?? "")}>Copy</button>
        {text !== null && <a class="button" data-plain href={address} download={`${run}.case.yaml`}>Download</a>}
        <button type="button" onClick={onClose}>Close</button>
      </p>
      <p><Command line={`aether export ${quoted(run)} -o case`} /></p>
    </Dialog>
  );
}
