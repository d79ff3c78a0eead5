/** Text that is not saved yet: kept in this tab, so that neither a reload nor a new login loses it. */

const nameOf = (place: string): string => `draft:${place}`;

export function draftOf(place: string): string | null {
  return sessionStorage.getItem(nameOf(place));
}

/** Keep a text; null: there is none to keep. */
export function keepDraft(place: string, text: string | null): void {
  try {
    if (text === null) sessionStorage.removeItem(nameOf(place));
    else sessionStorage.setItem(nameOf(place), text);
  } catch {
    // the browser has no room: the page still asks before it is left
  }
}
