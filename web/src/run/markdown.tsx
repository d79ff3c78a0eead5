/** Markdown as elements of the page: the marks that people use in summaries, and nothing else. Text never becomes HTML: what is
 * made here are elements of a fixed list with text in them. Images are their texts, and links lead to http and https alone. */

import type { ComponentChildren, JSX } from "preact";

const BLOCKS = 3000; // that are drawn; the command shows all
const LONGEST = 20_000; // characters of a paragraph whose marks are looked for
const DEEPEST = 8;

export function Markdown({ text }: { text: string }) {
  const left = { blocks: BLOCKS };
  const shown = blocksOf(text.replace(/\r\n?/g, "\n").split("\n"), 0, left);
  return (
    <div class="markdown">
      {shown}
      {left.blocks <= 0 && <p class="dim">The rest is too long to be drawn here: the command shows all of it.</p>}
    </div>
  );
}

function blocksOf(lines: string[], depth: number, left: { blocks: number }): JSX.Element[] {
  const made: JSX.Element[] = [];
  let at = 0;
  while (at < lines.length && left.blocks > 0) {
    const line = lines[at]!;
    if (!line.trim()) {
      at += 1;
      continue;
    }
    left.blocks -= 1;
    const [element, next] = blockAt(lines, at, depth, left);
    made.push(<Keyed key={at}>{element}</Keyed>);
    at = next;
  }
  return made;
}

function Keyed({ children }: { children: ComponentChildren }) {
  return <>{children}</>;
}

type Block = [JSX.Element, number];

function blockAt(lines: string[], at: number, depth: number, left: { blocks: number }): Block {
  const line = lines[at]!;
  const fence = /^ {0,3}(`{3,}|~{3,})/.exec(line);
  if (fence !== null) return fenced(lines, at, fence[1]!);
  const heading = /^ {0,3}(#{1,6})[ \t]+(.*?)[ \t#]*$/.exec(line.slice(0, LONGEST));
  if (heading !== null) return [headed(heading[1]!.length, inline(heading[2]!)), at + 1];
  if (/^ {0,3}([-*_])[ \t]*(\1[ \t]*){2,}$/.test(line.slice(0, 200))) return [<hr />, at + 1];
  if (/^ {0,3}>/.test(line) && depth < DEEPEST) {
    let end = at;
    while (end < lines.length && /^ {0,3}>/.test(lines[end]!)) end += 1;
    return [<blockquote>{blocksOf(lines.slice(at, end).map((one) => one.replace(/^ {0,3}> ?/, "")), depth + 1, left)}</blockquote>, end];
  }
  if (markerOf(line) !== null && depth < DEEPEST) return listed(lines, at, depth, left);
  if (line.includes("|") && /^[ \t|:-]*-[ \t|:-]*$/.test(lines[at + 1] ?? "") && (lines[at + 1] ?? "").includes("|")) return tabled(lines, at, left);
  let end = at + 1;
  while (end < lines.length && lines[end]!.trim() && !/^ {0,3}(#{1,6}[ \t]|>|`{3,}|~{3,})/.test(lines[end]!) && markerOf(lines[end]!) === null) end += 1;
  return [<p>{inline(lines.slice(at, end).join("\n"))}</p>, end];
}

function headed(level: number, inside: ComponentChildren): JSX.Element {
  if (level <= 1) return <h3 class="m-1">{inside}</h3>; // below the headings of the page
  return level === 2 ? <h4 class="m-2">{inside}</h4> : <h5 class="m-3">{inside}</h5>;
}

function fenced(lines: string[], at: number, mark: string): Block {
  let end = at + 1;
  while (end < lines.length && !(lines[end]!.trim().startsWith(mark) && lines[end]!.trim().replaceAll(mark[0]!, "") === "")) end += 1;
  return [<pre class="code" tabIndex={0}>{lines.slice(at + 1, end).join("\n")}</pre>, end + 1];
}

interface Marker {
  indent: number;
  ordered: boolean;
  start: number;
}

function markerOf(line: string): Marker | null {
  const found = /^( *)(?:[-*+]|(\d{1,9})[.)])([ \t]+)\S/.exec(line.slice(0, 400));
  if (found === null) return null;
  return { indent: found[0].length - 1, ordered: found[2] !== undefined, start: Number(found[2] ?? 1) };
}

function listed(lines: string[], at: number, depth: number, left: { blocks: number }): Block {
  const first = markerOf(lines[at]!)!;
  const outer = /^ */.exec(lines[at]!)![0].length;
  const items: string[][] = [];
  let inner = first.indent;
  let end = at;
  for (; end < lines.length; end += 1) {
    const line = lines[end]!;
    const indent = /^ */.exec(line)![0].length;
    const marker = markerOf(line);
    if (marker !== null && indent <= outer + 1) {
      if (marker.ordered !== first.ordered) break;
      inner = marker.indent;
      items.push([line.slice(marker.indent)]);
    } else if (!line.trim()) {
      if (!/^ {2,}\S/.test(lines[end + 1] ?? "") && markerOf(lines[end + 1] ?? "") === null) break;
      items.at(-1)!.push("");
    } else if (indent >= 2) items.at(-1)!.push(line.slice(Math.min(indent, inner)));
    else if ((lines[end - 1] ?? "").trim() && !/^(#{1,6}[ \t]|>|```)/.test(line)) items.at(-1)!.push(line);
    else break;
  }
  const shown = items.map((item, index) => <li key={index}>{itemOf(item, depth, left)}</li>);
  return [first.ordered ? <ol start={first.start}>{shown}</ol> : <ul>{shown}</ul>, end];
}

function itemOf(lines: string[], depth: number, left: { blocks: number }): ComponentChildren {
  const task = /^\[([ xX])\][ \t]+/.exec(lines[0]!);
  if (task !== null) lines[0] = lines[0]!.slice(task[0].length);
  const mark = task === null ? null : <span aria-label={task[1] === " " ? "open" : "done"} role="img">{task[1] === " " ? "☐ " : "☑ "}</span>;
  if (lines.length === 1) return <>{mark}{inline(lines[0]!)}</>;
  return <>{mark}{blocksOf(lines, depth + 1, left)}</>;
}

function tabled(lines: string[], at: number, left: { blocks: number }): Block {
  const columns = cellsOf(lines[at + 1]!).map((cell) => (/^:-+:$/.test(cell) ? "m-middle" : /-:$/.test(cell) ? "num" : ""));
  let end = at + 2;
  while (end < lines.length && lines[end]!.includes("|")) end += 1;
  const rows = lines.slice(at + 2, Math.min(end, at + 2 + left.blocks));
  left.blocks -= rows.length;
  return [
    <div class="scrolls" tabIndex={0} role="region" aria-label="table">
      <table>
        <thead><tr>{cellsOf(lines[at]!).map((cell, index) => <th key={index} scope="col" class={columns[index]}>{inline(cell)}</th>)}</tr></thead>
        <tbody>{rows.map((row, number) => <tr key={number}>{cellsOf(row).map((cell, index) => <td key={index} class={columns[index]}>{inline(cell)}</td>)}</tr>)}</tbody>
      </table>
    </div>,
    end,
  ];
}

function cellsOf(line: string): string[] {
  const bare = line.trim().replace(/^\|/, "").replace(/\|$/, "");
  return bare.replaceAll("\\|", "\u0000").split("|").map((cell) => cell.trim().replaceAll("\u0000", "|"));
}

const MARKS: [string, (inside: ComponentChildren) => JSX.Element][] = [
  ["**", (inside) => <strong>{inside}</strong>], ["__", (inside) => <strong>{inside}</strong>], ["~~", (inside) => <s>{inside}</s>],
  ["*", (inside) => <em>{inside}</em>], ["_", (inside) => <em>{inside}</em>],
];

/** Marks within a paragraph. Each character is looked at once a level, and levels are few. */
function inline(text: string, depth = 0): ComponentChildren {
  if (text.length > LONGEST || depth > DEEPEST) return text;
  const parts: ComponentChildren[] = [];
  let plain = "";
  let at = 0;
  const add = (part: JSX.Element, next: number): void => {
    if (plain) parts.push(plain);
    plain = "";
    parts.push(<Keyed key={parts.length}>{part}</Keyed>);
    at = next;
  };
  while (at < text.length) {
    const rest = text.slice(at, at + 4);
    const found = rest[0] === "\\" ? null : partAt(text, at, depth);
    if (found !== null) add(...found);
    else if (rest[0] === "\\" && /[\\`*_{}[\]()#+.!|~<>-]/.test(rest[1] ?? "")) {
      plain += rest[1];
      at += 2;
    } else if (rest[0] === "\n") {
      if (/( {2,}|\\)$/.test(plain)) add(<br />, at + 1);
      else {
        plain += "\n";
        at += 1;
      }
    } else {
      plain += rest[0];
      at += 1;
    }
  }
  if (plain) parts.push(plain);
  return parts;
}

function partAt(text: string, at: number, depth: number): Block | null {
  const first = text[at]!;
  if (first === "`") {
    const mark = /^`+/.exec(text.slice(at, at + 20))![0];
    const end = text.indexOf(mark, at + mark.length);
    return end < 0 ? null : [<code>{text.slice(at + mark.length, end).trim()}</code>, end + mark.length];
  }
  if (first === "[" || (first === "!" && text[at + 1] === "[")) return linked(text, at, depth);
  if (first === "h" && !/\w/.test(text[at - 1] ?? "")) {
    const address = /^https?:\/\/[^\s<>"')\]]+/.exec(text.slice(at, at + 2000))?.[0].replace(/[.,;:!?]+$/, "");
    return address === undefined ? null : [anchor(address, address), at + address.length];
  }
  for (const [mark, made] of MARKS) {
    if (!text.startsWith(mark, at) || /\s/.test(text[at + mark.length] ?? " ")) continue;
    if (mark.includes("_") && /\w/.test(text[at - 1] ?? "")) continue;
    const end = text.indexOf(mark, at + mark.length + 1);
    if (end < 0 || /\s/.test(text[end - 1]!)) continue;
    return [made(inline(text.slice(at + mark.length, end), depth + 1)), end + mark.length];
  }
  return null;
}

function linked(text: string, at: number, depth: number): Block | null {
  const isImage = text[at] === "!";
  const begin = at + (isImage ? 2 : 1);
  const middle = text.indexOf("](", begin);
  const end = middle < 0 ? -1 : text.indexOf(")", middle + 2);
  if (end < 0 || middle - begin > 1000 || end - middle > 2000) return null;
  const label = text.slice(begin, middle);
  if (isImage) return [<span class="dim">[image: {label || "without a text"}]</span>, end + 1];
  return [anchor(text.slice(middle + 2, end).split(/\s/)[0]!, inline(label, depth + 1)), end + 1];
}

function anchor(address: string, inside: ComponentChildren): JSX.Element {
  if (!/^https?:\/\//i.test(address)) return <span title={address}>{inside}</span>;
  return <a href={address} target="_blank" rel="noopener noreferrer nofollow" data-plain>{inside}</a>;
}
