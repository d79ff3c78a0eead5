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

export function go(target: string, replace = false): void {
  const full = hrefOf(target);
  if (full === location.pathname + location.search + location.hash) return;
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
  url.value = here();
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
