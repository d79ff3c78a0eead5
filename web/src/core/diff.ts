/** How two texts differ, line by line: the longest lines that both have in the same order stay. */

export interface DiffLine {
  kind: "same" | "added" | "removed";
  text: string;
  /** Its number in the text before, and after; null where it is not there. */
  before: number | null;
  after: number | null;
}

const MOST_CELLS = 4_000_000; // of the table: beyond that what lies between the equal ends is replaced as a whole

export function diffOf(before: string, after: string): DiffLine[] {
  const [old, now] = [linesOf(before), linesOf(after)];
  let head = 0;
  while (head < old.length && head < now.length && old[head] === now[head]) head += 1;
  let tail = 0;
  while (tail < old.length - head && tail < now.length - head && old[old.length - 1 - tail] === now[now.length - 1 - tail]) tail += 1;
  const found: DiffLine[] = [];
  let [from, to] = [0, 0];
  const same = (): void => void found.push({ kind: "same", text: old[from]!, before: ++from, after: ++to });
  const removed = (): void => void found.push({ kind: "removed", text: old[from]!, before: ++from, after: null });
  const added = (): void => void found.push({ kind: "added", text: now[to]!, before: null, after: ++to });
  while (from < head) same();
  const [oldEnd, nowEnd] = [old.length - tail, now.length - tail];
  const lengths = commonLengths(old.slice(head, oldEnd), now.slice(head, nowEnd));
  const width = nowEnd - head + 1;
  const left = (one: number, other: number): number => lengths?.[(one - head) * width + other - head] ?? 0;
  while (from < oldEnd && to < nowEnd && lengths !== null) {
    if (old[from] === now[to]) same();
    else if (left(from + 1, to) >= left(from, to + 1)) removed();
    else added();
  }
  while (from < oldEnd) removed();
  while (to < nowEnd) added();
  while (from < old.length) same();
  return found;
}

function linesOf(text: string): string[] {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

/** By two positions how many lines the rests behind them have in common; null where there are too many. */
function commonLengths(old: string[], now: string[]): Uint32Array | null {
  const width = now.length + 1;
  if ((old.length + 1) * width > MOST_CELLS) return null;
  const lengths = new Uint32Array((old.length + 1) * width);
  for (let one = old.length - 1; one >= 0; one -= 1) {
    for (let other = now.length - 1; other >= 0; other -= 1) {
      lengths[one * width + other] = old[one] === now[other]
        ? lengths[(one + 1) * width + other + 1]! + 1
        : Math.max(lengths[(one + 1) * width + other]!, lengths[one * width + other + 1]!);
    }
  }
  return lengths;
}
