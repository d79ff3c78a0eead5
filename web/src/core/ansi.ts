/** Colours that programs write (SGR), as classes; all other control sequences are left out. Nothing of a text becomes markup. */

export interface Part {
  text: string;
  style: string;
}

const COLOURS = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
const SEQUENCE = /\u001b\[([0-9;:]*)m|\u001b\[[0-9;?]*[ -/]*[@-~]|\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)|\u001b[@-_]|[\u0000-\u0008\u000b-\u001f\u007f]/g;

export function ansi(text: string): Part[] {
  if (!/[\u0000-\u001f\u007f]/.test(text)) return [{ text, style: "" }];
  const parts: Part[] = [];
  let style = "";
  let at = 0;
  for (const found of text.matchAll(SEQUENCE)) {
    if (found.index > at) parts.push({ text: text.slice(at, found.index), style });
    if (found[1] !== undefined) style = styled(style, found[1]);
    at = found.index + found[0].length;
  }
  if (at < text.length) parts.push({ text: text.slice(at), style });
  return parts;
}

export function plain(text: string): string {
  return text.replace(SEQUENCE, "");
}

function styled(before: string, codes: string): string {
  let classes = new Set(before.split(" ").filter(Boolean));
  const numbers = (codes || "0").split(/[;:]/).map(Number);
  for (let index = 0; index < numbers.length; index += 1) {
    const code = numbers[index]!;
    if (code === 0) classes = new Set();
    else if (code === 1) classes.add("a-bold");
    else if (code === 2) classes.add("a-faint");
    else if (code === 22) classes = new Set([...classes].filter((one) => one !== "a-bold" && one !== "a-faint"));
    else if (code === 38 || code === 48) index += numbers[index + 1] === 5 ? 2 : 4;
    else if (code === 39) classes = new Set([...classes].filter((one) => !one.startsWith("a-fg")));
    else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) {
      classes = new Set([...classes].filter((one) => !one.startsWith("a-fg")));
      classes.add(`a-fg-${COLOURS[code % 10]}`);
    }
  }
  return [...classes].join(" ");
}
