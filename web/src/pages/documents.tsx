/** Stored documents: a list of them, the page of one, and one that is new. */

import { useEffect, useState } from "preact/hooks";
import { get, may, reasonOf, serverUrl } from "../core/api";
import { useKeys } from "../core/keys";
import { ask, go, href, path, query } from "../core/router";
import { Command, Empty, Fault, quoted, When } from "../parts/basics";
import { addressOf, fullName, pageOf, type FolderMark, type StoredDocument } from "../documents/types";
import { Workbench, type WorkbenchProps } from "../documents/workbench";

const FIRST = `apiVersion: aether/v1
kind: Workflow
metadata:
  name: my-workflow
spec:
  entrypoint: main
  arguments:
    parameters:
      - { name: who, type: string, default: world, description: "Whom to greet." }
  templates:
    - dag:
        name: main
        tasks:
          - name: hello
            executor:
              type: script
              config: { source: "echo hello {{workflow.parameters.who}}" }
`;

export function Documents() {
  const [several, setSeveral] = useState<StoredDocument[] | null>(null);
  const [next, setNext] = useState<string | null>(null);
  const [fault, setFault] = useState("");
  const [at, setAt] = useState(-1);
  const wanted = (query.value.get("q") ?? "").toLowerCase();
  const kind = query.value.get("kind") ?? "";
  const shown = (several ?? []).filter((one) => (!kind || one.kind === kind) && fullName(one).toLowerCase().includes(wanted));
  const load = (page: string | null = null): void => {
    get<{ documents: StoredDocument[]; next: string | null }>("/v1/documents", { limit: 500, page }).then(
      (found) => {
        setSeveral((before) => (page === null ? found.documents : [...(before ?? []), ...found.documents]));
        setNext(found.next);
      },
      (error: unknown) => setFault(reasonOf(error)),
    );
  };
  useEffect(() => load(), []);
  const move = (by: number): void => {
    const to = Math.min(Math.max(at + by, 0), shown.length - 1);
    setAt(to);
    document.querySelectorAll(".docs .tr:not(.th)")[to]?.scrollIntoView({ block: "nearest" });
  };
  useKeys([
    { keys: "j|ArrowDown", does: "next document", act: () => move(1) },
    { keys: "k|ArrowUp", does: "document before", act: () => move(-1) },
    { keys: "Enter|o", does: "open it", act: () => shown[at] && go(pageOf(shown[at])) },
    { keys: "n", does: "a new document", act: () => go("/documents/new") },
    { keys: "/", does: "filter by name", act: () => document.querySelector<HTMLInputElement>("#filter-document")?.focus() },
  ]);
  return (
    <section class="page">
      <header class="head">
        <h1>Documents</h1>
        <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
          <label><span class="sr">Name contains</span><input id="filter-document" placeholder="name" value={query.value.get("q") ?? ""}
            onInput={(event) => ask({ q: event.currentTarget.value.trim() }, true)} /></label>
          <label><span class="sr">Kind</span>
            <select value={kind} onChange={(event) => ask({ kind: event.currentTarget.value })}>
              <option value="">any kind</option><option>Workflow</option><option>WorkflowTemplate</option>
            </select></label>
        </form>
        <span class="spring" />
        <a class="button" href={href("/documents/new")}>{may("author") ? "New document" : "Try a document"}</a>
      </header>
      <Fault text={fault} />
      {several?.length === 0 && <Empty><p>No documents are stored yet.</p><Command line={`aether apply flow.yaml --server ${quoted(serverUrl())}`} /></Empty>}
      {several !== null && several.length > 0 && shown.length === 0 && <Empty><p>No document fits.</p></Empty>}
      {shown.length > 0 && (
        <div class="table docs" role="table" aria-label="documents">
          <div class="tr th" role="row">
            <span role="columnheader">Name</span><span role="columnheader" class="c-kind">Kind</span><span role="columnheader">Version</span>
            <span role="columnheader" class="c-when">Saved</span><span role="columnheader" class="c-why">File</span>
          </div>
          {shown.map((one, index) => (
            <div key={`${one.kind}/${fullName(one)}`} class={`tr ${index === at ? "on" : ""}`} role="row">
              <span role="cell"><a class="row-link" href={href(pageOf(one))}>{one.name}</a>{one.namespace !== "default" && <small class="dim"> {one.namespace}</small>}</span>
              <span role="cell" class="c-kind">{one.kind}</span>
              <span role="cell" class="num">{one.version}</span>
              <span role="cell" class="c-when"><When at={one.appliedAt} ago /></span>
              <span role="cell" class="c-why dim" title={one.folder?.detail}>{one.folder && `${one.folder.file}${one.folder.state === "applied" ? "" : ` (${one.folder.state})`}`}</span>
            </div>
          ))}
        </div>
      )}
      {next !== null && <p class="buttons"><button type="button" onClick={() => load(next)}>More</button></p>}
    </section>
  );
}

export function NewDocument() {
  return <Workbench newest={null} text={FIRST} shown={null} folder={null} />;
}

/** The newest version, and the one that is asked for, of the document in the address: /documents/NAMESPACE/NAME. */
export function DocumentPage() {
  const [[namespace, name]] = useState(() => path.value.split("/").slice(2, 4).map(decodeURIComponent));
  const kind = query.value.get("kind");
  const version = query.value.get("version");
  const [found, setFound] = useState<WorkbenchProps | null>(null);
  const [fault, setFault] = useState("");
  useEffect(() => {
    let isShown = true;
    const address = addressOf({ namespace: namespace ?? "", name: name ?? "" });
    const older = version === null ? Promise.resolve(null) : get<StoredDocument>(address, { kind, version });
    Promise.all([get<StoredDocument>(address, { kind }), older, get<{ files: (FolderMark & StoredDocument)[] }>("/v1/documents/folder")]).then(
      ([newest, other, marks]) => {
        const shown = other ?? newest;
        const folder = marks.files.find((one) => one.kind === newest.kind && one.namespace === newest.namespace && one.name === newest.name) ?? null;
        if (isShown) setFound({ newest, text: shown.text ?? "", shown: shown.version, folder });
      },
      (error: unknown) => isShown && setFault(reasonOf(error)),
    );
    return () => {
      isShown = false;
    };
  }, []);
  document.title = `${name} · Aether`;
  if (fault) return <section class="page"><h1>{name}</h1><Fault text={fault} /><p><a href={href("/documents")}>All documents</a></p></section>;
  if (found === null) return <section class="page"><Empty><p>Loading…</p></Empty></section>;
  return <Workbench {...found} />;
}
