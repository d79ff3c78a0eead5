/** Keys: what each does here, so that the help can list them. Keys in fields are the fields' own. */

import { useEffect, useRef } from "preact/hooks";

export interface Key {
  keys: string;
  does: string;
  act: (event: KeyboardEvent) => void;
}

/** The keys of a component as it was drawn last: a key that follows another at once finds what that one changed. */
interface Layer {
  keys: Key[];
}

const layers: Layer[] = [];
const MOVES = new Set(["j", "k", "ArrowDown", "ArrowUp"]);
let pending = "";
let pendingAt = 0;

export function useKeys(keys: Key[]): void {
  const layer = useRef<Layer>({ keys });
  layer.current.keys = keys;
  useEffect(() => {
    const mine = layer.current;
    layers.push(mine);
    return () => {
      layers.splice(layers.indexOf(mine), 1);
    };
  }, []);
}

/** All that count now, the page's own first. */
export function activeKeys(): Key[] {
  return [...layers].reverse().flatMap((layer) => layer.keys);
}

document.addEventListener("keydown", (event) => {
  const target = event.target as HTMLElement | null;
  if (event.metaKey || event.ctrlKey || event.altKey) {
    if ((event.metaKey || event.ctrlKey) && event.key.toLowerCase() === "k") find("palette", event);
    return;
  }
  if (target?.closest("input, textarea, select, [contenteditable], dialog")) return;
  if ((event.key === "Enter" || event.key === " ") && target?.closest("a, button, summary")) return; // it acts itself
  const chord = Date.now() - pendingAt < 1200 ? `${pending} ${event.key}` : event.key;
  pending = "";
  if (find(chord, event) || find(event.key, event)) {
    if (MOVES.has(event.key)) target?.closest<HTMLElement>("a, button, summary")?.blur(); // Enter is the list's from now on
    return;
  }
  pending = event.key;
  pendingAt = Date.now();
});

function find(keys: string, event: KeyboardEvent): boolean {
  const found = activeKeys().find((one) => one.keys.split("|").includes(keys));
  if (found === undefined) return false;
  event.preventDefault();
  found.act(event);
  return true;
}
