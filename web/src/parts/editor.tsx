/** A text with line numbers that one can edit. Tab leaves it, as every field. */

import { useEffect, useLayoutEffect, useRef } from "preact/hooks";

export interface Place {
  line: number;
  column: number;
}

export interface EditorProps {
  text: string;
  onText: (text: string) => void;
  onSave: () => void;
  readOnly: boolean;
  label: string;
  describedBy: string;
  /** The worst that is found in a line, by its number. */
  marks: ReadonlyMap<number, string>;
  /** Where the caret is to go; another object each time. */
  place: Place | null;
}

export function Editor(props: EditorProps) {
  const area = useRef<HTMLTextAreaElement>(null);
  const gutter = useRef<HTMLDivElement>(null);
  const count = props.text.split("\n").length;

  useLayoutEffect(() => {
    if (area.current !== null && area.current.value !== props.text) area.current.value = props.text; // the caret stays else
  }, [props.text]);
  useEffect(() => {
    const element = area.current;
    if (element === null || props.place === null) return;
    const at = offsetOf(element.value, props.place);
    element.focus();
    element.setSelectionRange(at, at);
    const height = Number.parseFloat(getComputedStyle(element).lineHeight);
    element.scrollTop = Math.max(0, (props.place.line - 1) * height - element.clientHeight / 2);
  }, [props.place]);

  const numbers = [];
  for (let line = 1; line <= count; line += 1) numbers.push(<span key={line} class={props.marks.get(line)}>{line}</span>);
  return (
    <div class="editor">
      <div ref={gutter} class="gutter" aria-hidden="true">{numbers}</div>
      <textarea ref={area} aria-label={props.label} aria-describedby={props.describedBy} readOnly={props.readOnly} wrap="off" spellcheck={false}
        autocomplete="off" onInput={(event) => props.onText(event.currentTarget.value)}
        onScroll={(event) => gutter.current !== null && (gutter.current.scrollTop = event.currentTarget.scrollTop)}
        onKeyDown={(event) => {
          if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "s") return;
          event.preventDefault();
          props.onSave();
        }} />
    </div>
  );
}

/** Where a place is in a text; columns count characters, of which some are two here. */
function offsetOf(text: string, place: Place): number {
  const lines = text.split("\n");
  const above = lines.slice(0, place.line - 1).reduce((sum, line) => sum + line.length + 1, 0);
  const before = [...(lines[place.line - 1] ?? "")].slice(0, Math.max(place.column - 1, 0)).join("");
  return Math.min(above + before.length, text.length);
}
