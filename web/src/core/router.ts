/** Where the reader is: the path below <base>, its query and its hash. Everything that a view shows is in its URL. */

import { computed, signal } from "@preact/signals";

const BASE = new URL(document.baseURI).pathname;

function here(): URL {
  const url = new URL(location.href);
  url.pathname = "/" + url.pathname.slice(BASE.length);
  return url;
}

export const url = signal(here());
export const path = computed(() => url.value.pathname);
export const query = computed(() => url.value.searchParams);

function hrefOf(target: string): string {
  return BASE.replace(/\/$/, "") + target;
}

export function href(target: string): string {
  return hrefOf(target);
}

/** What the page that is shown would lose on the way to an address, and what is done where the reader goes all the same. */
let holds: { loses: (to: URL) => boolean; leave: () => void } | null = null;
/** Where the reader wants to go; null: nowhere, or the page loses nothing. */
export const leaving = signal<string | null>(null);

/** Ask before what is not saved is left; null: there is nothing to lose. Gives what ends that. */
export function hold(loses: ((to: URL) => boolean) | null, leave: () => void = () => undefined): () => void {
  const mine = loses === null ? null : { loses, leave };
  holds = mine;
  return () => {
    if (holds === mine) holds = null;
  };
}

export function leave(): void {
  const to = leaving.value;
  holds?.leave();
  holds = null;
  leaving.value = null;
  if (to !== null) go(to);
}

window.addEventListener("beforeunload", (event) => {
  if (holds?.loses(new URL("about:blank"))) event.preventDefault();
});

export function go(target: string, replace = false): void {
  const full = hrefOf(target);
  if (full === location.pathname + location.search + location.hash) return;
  if (holds?.loses(new URL(full, location.href))) {
    leaving.value = target;
    return;
  }
  if (replace) history.replaceState(null, "", full);
  else history.pushState(null, "", full);
  const before = url.value.pathname;
  url.value = here();
  if (before !== url.value.pathname) window.scrollTo(0, 0);
}

/** Change the query of this page; null and "" take a name away. */
export function ask(changes: Record<string, string | null>, replace = false): void {
  const next = new URLSearchParams(url.value.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") next.delete(name);
    else next.set(name, value);
  }
  const text = next.toString();
  go(url.value.pathname + (text ? `?${text}` : ""), replace);
}

window.addEventListener("popstate", () => {
  const next = here();
  if (holds?.loses(next)) {
    const stays = url.value;
    history.pushState(null, "", hrefOf(stays.pathname + stays.search + stays.hash));
    leaving.value = next.pathname + next.search + next.hash;
    return;
  }
  url.value = next;
});

/** Links of this page are followed without loading it anew. */
document.addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = (event.target as Element | null)?.closest?.("a[href]");
  if (!(link instanceof HTMLAnchorElement) || link.target || link.hasAttribute("download")) return;
  const to = new URL(link.href);
  if (to.origin !== location.origin || !to.pathname.startsWith(BASE) || link.dataset["plain"] !== undefined) return;
  event.preventDefault();
  go("/" + to.pathname.slice(BASE.length) + to.search + to.hash);
});
