/** Small things that all pages use. */

import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { agoOf, now, utcOf, whenOf, secondsBetween, spanOf } from "../core/time";

export function When({ at, ago = false }: { at: string | null; ago?: boolean }) {
  if (at === null) return <span class="dim">–</span>;
  return <time dateTime={at} title={utcOf(at)}>{ago ? agoOf(at) : whenOf(at)}</time>;
}

export function Took({ from, to, open }: { from: string | null; to: string | null; open: boolean }) {
  if (from === null) return <span class="dim">–</span>;
  if (to === null && !open) return <span class="dim">–</span>;
  if (to === null) now.value; // counts on while it is open
  return <span class={to === null ? "counting" : ""}>{spanOf(secondsBetween(from, to))}</span>;
}

/** Say something for a moment; screen readers hear it. */
const notes = signal<{ id: number; text: string; bad: boolean }[]>([]);
let noteId = 0;

export function say(text: string, bad = false): void {
  const id = ++noteId;
  notes.value = [...notes.value, { id, text, bad }];
  setTimeout(() => (notes.value = notes.value.filter((one) => one.id !== id)), bad ? 12_000 : 4_000);
}

export function Notes() {
  return (
    <div class="notes" role="status" aria-live="polite">
      {notes.value.map((one) => (
        <p key={one.id} class={one.bad ? "bad" : ""}>{one.text}</p>
      ))}
    </div>
  );
}

export function copy(text: string): void {
  navigator.clipboard?.writeText(text).then(() => say("copied"), () => say("the browser does not let this page copy", true));
}

/** A command line that does what a button beside it does. */
export function Command({ line }: { line: string }) {
  return (
    <button type="button" class="command" title="copy this command" onClick={() => copy(line)}>
      <code>{line}</code>
    </button>
  );
}

/** Write a word as a shell reads it back. */
export function quoted(word: string): string {
  return /^[\w./:@%+=,[\]-]+$/.test(word) && !/[[\]]/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Leave the focus in a field while a button below it is pressed: what the field would say on being left moves the button away. */
export function keepFocus(event: MouseEvent): void {
  event.preventDefault();
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <div class="empty">{children}</div>;
}

export function Fault({ text }: { text: string }) {
  return text ? <p class="fault" role="alert">{text}</p> : null;
}

export function Dialog({ title, onClose, children }: { title: string; onClose: () => void; children: ComponentChildren }) {
  const box = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => { // before the next key comes
    const element = box.current;
    element?.showModal();
    return () => element?.close();
  }, []);
  return (
    <dialog ref={box} aria-label={title} onCancel={(event) => (event.preventDefault(), onClose())}
      onClick={(event) => event.target === box.current && onClose()}>
      <div class="dialog">
        <header><h2>{title}</h2><button type="button" class="plain" aria-label="close" onClick={onClose}>✕</button></header>
        {children}
      </div>
    </dialog>
  );
}

/** Do something that the server is asked for; meanwhile the button says so. */
export function Act({ label, run, primary = false, danger = false, disabled = false, title }: {
  label: string; run: () => Promise<unknown>; primary?: boolean; danger?: boolean; disabled?: boolean; title?: string;
}) {
  const [busy, setBusy] = useState(false);
  const act = (): void => {
    setBusy(true);
    run().finally(() => setBusy(false));
  };
  return (
    <button type="button" class={`${primary ? "primary" : ""} ${danger ? "danger" : ""}`} title={title}
      disabled={busy || disabled} aria-busy={busy} onClick={act}>{label}</button>
  );
}
