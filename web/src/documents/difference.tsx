/** How a text differs from the stored one, with a few lines around each change. */

import { diffOf, type DiffLine } from "../core/diff";

const AROUND = 3; // lines that stay, before and behind a change
const SIGNS = { same: " ", added: "+", removed: "-" };

export function Difference({ before, after, names }: { before: string; after: string; names: [string, string] }) {
  const lines = diffOf(before, after);
  const changed = lines.map((one) => one.kind !== "same");
  const added = lines.filter((one) => one.kind === "added").length;
  const removed = lines.filter((one) => one.kind === "removed").length;
  if (added + removed === 0) return <p class="dim">{names[1]} is the same as {names[0]}.</p>;
  const near = (index: number): boolean => changed.slice(Math.max(index - AROUND, 0), index + AROUND + 1).includes(true);
  const rows: (DiffLine | number)[] = [];
  lines.forEach((line, index) => {
    if (near(index)) rows.push(line);
    else if (typeof rows.at(-1) === "number") rows[rows.length - 1] = (rows.at(-1) as number) + 1;
    else rows.push(1);
  });
  return (
    <>
      <p class="dim">{added} {added === 1 ? "line" : "lines"} added, {removed} removed, from {names[0]} to {names[1]}</p>
      <div class="diff" tabIndex={0} role="region" aria-label={`difference from ${names[0]} to ${names[1]}`}>
        {rows.map((row, index) => typeof row === "number" ? <div key={index} class="between dim">{row} {row === 1 ? "line" : "lines"}</div> : (
          <div key={index} class={row.kind}>
            <span class="ln" aria-hidden="true">{row.before ?? ""}</span><span class="ln" aria-hidden="true">{row.after ?? ""}</span>
            <span class="sign" aria-hidden="true">{SIGNS[row.kind]}</span>
            <code>{row.kind !== "same" && <span class="sr">{row.kind}: </span>}{row.text || " "}</code>
          </div>
        ))}
      </div>
    </>
  );
}
