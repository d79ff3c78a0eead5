/** A document that is looked at, edited and saved as a new version: its text, how that differs from the stored one, its versions. */

import { useEffect, useRef, useState } from "preact/hooks";
import { call, get, may, post, Problem, reasonOf, withQuery, type Diagnostic } from "../core/api";
import { ask, go, hold, href, path, query } from "../core/router";
import { Act, Command, Dialog, Fault, say, When } from "../parts/basics";
import { Editor, type Place } from "../parts/editor";
import { Findings } from "../parts/findings";
import { Difference } from "./difference";
import { draftOf, keepDraft } from "./draft";
import { marksOf, summaryOf, useChecked } from "./findings";
import { addressOf, fullName, pageOf, type DocumentChange, type FolderMark, type StoredDocument } from "./types";

const TABS = ["edit", "diff", "versions"] as const;

export interface WorkbenchProps {
  /** Its newest version; null of one that is new. */
  newest: StoredDocument | null;
  /** The text that is shown first, and what it is. */
  text: string;
  shown: number | null;
  folder: FolderMark | null;
}

export function Workbench(props: WorkbenchProps) {
  const place = useRef(path.value).current;
  const [newest, setNewest] = useState(props.newest);
  const [first, setFirst] = useState(props.text);
  const [shown, setShown] = useState(props.shown);
  const [text, setText] = useState(() => draftOf(place) ?? props.text);
  const [caret, setCaret] = useState<Place | null>(null);
  const [refused, setRefused] = useState<{ fault: string; findings: Diagnostic[] }>({ fault: "", findings: [] });
  const [busy, setBusy] = useState(false);
  const [others, setOthers] = useState<DocumentChange[] | null>(null);
  const checked = useChecked(text, newest === null ? "new.yaml" : `${newest.name}.yaml`);
  const findings = checked.text === text ? checked.findings : [];
  const allowed = newest === null ? may("author") : may("author", newest.namespace);
  const unsaved = text !== first;
  const tab = TABS.find((one) => one === query.value.get("tab")) ?? "edit";

  useEffect(() => {
    keepDraft(place, unsaved ? text : null);
    const version = query.value.get("version");
    return hold(unsaved ? (to) => !to.pathname.endsWith(place) || to.searchParams.get("version") !== version : null, () => keepDraft(place, null));
  }, [text, unsaved]);

  const edit = (now: string): void => {
    setText(now);
    setCaret(null);
    setRefused({ fault: "", findings: [] });
  };
  const apply = (dryRun: boolean): Promise<DocumentChange[]> => {
    const file = `${newest?.name ?? "new"}.yaml`;
    return post<{ documents: DocumentChange[] }>("/v1/documents", { documents: [{ name: file, text }], dryRun }).then((done) => done.documents);
  };
  const keep = async (): Promise<void> => {
    setOthers(null);
    const done = await apply(false);
    const mine = done.find((one) => isSame(one, newest)) ?? done[0]!;
    keepDraft(place, null);
    hold(null);
    say(mine.action === "unchanged" ? `${fullName(mine)} is stored so already` : `${fullName(mine)} is saved as version ${mine.version}`);
    if (newest === null || !isSame(mine, newest)) return go(pageOf(mine));
    setNewest({ ...newest, version: mine.version, digest: mine.digest, appliedAt: mine.appliedAt ?? newest.appliedAt, text: mine.text });
    setFirst(mine.text);
    setShown(mine.version);
    setText(mine.text);
    if (query.value.get("version") !== null) ask({ version: null }, true);
  };
  /** Save, unless that takes the place of what was not looked at here. */
  const save = async (): Promise<void> => {
    if (busy || !allowed) return;
    setBusy(true);
    setRefused({ fault: "", findings: [] });
    try {
      const would = await apply(true);
      const unseen = would.filter((one) => (one.action === "updated" || one.action === "replaced") && one.version !== (isSame(one, newest) ? newest!.version + 1 : 1));
      if (unseen.length > 0) setOthers(unseen);
      else await keep();
    } catch (error: unknown) {
      setRefused({ fault: reasonOf(error), findings: error instanceof Problem ? error.diagnostics : [] });
    } finally {
      setBusy(false);
    }
  };
  const saveAll = (): Promise<void> => keep().catch((error: unknown) => setRefused({ fault: reasonOf(error), findings: error instanceof Problem ? error.diagnostics : [] }));
  /** Take what is stored now for what this text is compared with. */
  const look = async (): Promise<void> => {
    if (newest === null) return;
    setNewest(await get<StoredDocument>(addressOf(newest), { kind: newest.kind }));
    setOthers(null);
    ask({ tab: "diff" }, true);
  };
  const jump = (one: Diagnostic): void => {
    ask({ tab: null }, true);
    setCaret({ line: one.line ?? 1, column: one.column ?? 1 });
  };
  const stored: [string, string] = newest === null ? ["nothing", "this text"] : [`version ${newest.version}`, "this text"];
  return (
    <section class="page fill">
      <header class="head">
        <h1>{newest === null ? "New document" : newest.name}</h1>
        <Facts newest={newest} shown={shown} folder={props.folder} unsaved={unsaved} />
        <div class="actions">
          {allowed && <Act label={newest === null ? "Save" : `Save as version ${newest.version + 1}`} primary title="Ctrl S in the text" disabled={busy || text === (newest?.text ?? "")} run={save} />}
          {unsaved && <button type="button" onClick={() => edit(first)}>Discard changes</button>}
          {newest?.kind === "Workflow" && <a class="button" href={href(`/start?${new URLSearchParams({ workflow: `${newest.namespace}/${newest.name}` })}`)}>Start…</a>}
          {newest !== null && allowed && <Remove document={newest} />}
          {allowed ? <Command line={`aether apply ${newest?.name ?? "new"}.yaml`} /> : <span class="dim">To save here you need the role author.</span>}
        </div>
      </header>
      {props.folder !== null && <p class="waiting">It comes from {props.folder.file}, in a folder that the server follows: what that file says next takes the place of what is saved here.{props.folder.state === "faulty" && ` Now it is faulty: ${props.folder.detail}`}</p>}
      <Fault text={refused.fault} />
      <div class="tabs">
        <div role="tablist" aria-label="views of the document">
          {TABS.filter((one) => one !== "versions" || newest !== null).map((one) => (
            <button key={one} type="button" role="tab" aria-selected={tab === one} class={tab === one ? "on" : ""} onClick={() => ask({ tab: one === "edit" ? null : one })}>{one}</button>
          ))}
        </div>
        <span class="spring" />
        <span id="checked" role="status" class={findings.some((one) => one.severity === "error") ? "some-bad" : "dim"}>{summaryOf(checked, text)}</span>
      </div>
      <div class="workbench" role="tabpanel" aria-label={tab}>
        {tab === "edit" && <Editor text={text} onText={edit} onSave={() => void save()} readOnly={!allowed || busy} label="the document" describedBy="checked" marks={marksOf(findings)} place={caret} />}
        {tab === "diff" && <Difference before={newest?.text ?? ""} after={text} names={stored} />}
        {tab === "versions" && newest !== null && <Versions newest={newest} />}
        {tab !== "versions" && <Findings several={refused.findings.length > 0 ? refused.findings : findings} onPlace={jump} />}
      </div>
      {others !== null && <Unseen several={others} onSave={saveAll} onLook={others.every((one) => isSame(one, newest)) ? look : null} onClose={() => setOthers(null)} />}
    </section>
  );
}

function isSame(one: DocumentChange, other: StoredDocument | null): boolean {
  return other !== null && one.kind === other.kind && one.namespace === other.namespace && one.name === other.name;
}

function Facts({ newest, shown, folder, unsaved }: { newest: StoredDocument | null; shown: number | null; folder: FolderMark | null; unsaved: boolean }) {
  return (
    <dl class="facts">
      {newest !== null && (
        <>
          <div><dt>Kind</dt><dd>{newest.kind}</dd></div>
          {newest.namespace !== "default" && <div><dt>Namespace</dt><dd>{newest.namespace}</dd></div>}
          <div><dt>Version</dt><dd>{newest.version}</dd></div>
          <div><dt>Saved</dt><dd><When at={newest.appliedAt} /></dd></div>
        </>
      )}
      {shown !== null && shown !== newest?.version && <div><dt>Shown</dt><dd>version {shown}</dd></div>}
      {folder !== null && <div><dt>File</dt><dd>{folder.file}</dd></div>}
      {unsaved && <div><dd class="state">not saved</dd></div>}
    </dl>
  );
}

/** What saving would take the place of, and was not looked at: another saved it meanwhile, or it is another document. */
function Unseen({ several, onSave, onLook, onClose }: {
  several: DocumentChange[]; onSave: () => Promise<void>; onLook: (() => Promise<void>) | null; onClose: () => void;
}) {
  return (
    <Dialog title="Save over what is stored?" onClose={onClose}>
      <ul class="plain-list">
        {several.map((one) => <li key={`${one.kind}/${fullName(one)}`}>{one.kind} {fullName(one)} has a version {one.version - 1}, which this text was not made from.</li>)}
      </ul>
      <p class="buttons">
        {onLook !== null && <Act label="Look at the difference" primary run={onLook} />}
        <Act label="Save all the same" danger run={onSave} /><button type="button" onClick={onClose}>Leave it</button>
      </p>
    </Dialog>
  );
}

function Versions({ newest }: { newest: StoredDocument }) {
  const [several, setSeveral] = useState<StoredDocument[] | null>(null);
  const [fault, setFault] = useState("");
  useEffect(() => {
    get<{ documents: StoredDocument[] }>(`${addressOf(newest)}/versions`, { kind: newest.kind }).then((found) => setSeveral(found.documents), (error: unknown) => setFault(reasonOf(error)));
  }, [newest.version]);
  return (
    <>
      <Fault text={fault} />
      <ul class="plain-list rows">
        {several?.map((one) => (
          <li key={one.version}><a href={href(`${pageOf(newest)}${one.version === newest.version ? "" : `&version=${one.version}&tab=diff`}`)}>Version {one.version}</a>{" "}
            <span class="dim"><When at={one.appliedAt} /> <code>{one.digest.slice(0, 12)}</code></span></li>
        ))}
      </ul>
    </>
  );
}

function Remove({ document: one }: { document: StoredDocument }) {
  const [sure, setSure] = useState(false);
  const [users, setUsers] = useState("");
  const remove = (force: boolean): Promise<void> =>
    call("DELETE", withQuery(addressOf(one), { kind: one.kind, force })).then(
      () => {
        hold(null);
        keepDraft(path.value, null);
        say(`${fullName(one)} is deleted`);
        go("/documents");
      },
      (error: unknown) => setUsers(reasonOf(error)),
    );
  return (
    <>
      <button type="button" class="danger" onClick={() => setSure(true)}>Delete</button>
      {sure && (
        <Dialog title={`Delete ${fullName(one)}?`} onClose={() => setSure(false)}>
          <p>All of its {one.version} versions go. Runs of it stay, and keep what they need.</p>
          <Fault text={users} />
          <p class="buttons"><Act label={users ? "Delete it all the same" : "Delete it"} danger run={() => remove(users !== "")} /><button type="button" onClick={() => setSure(false)}>Leave it</button></p>
        </Dialog>
      )}
    </>
  );
}
