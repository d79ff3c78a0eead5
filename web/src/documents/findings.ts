/** What is wrong with a text, found while it is typed. */

import { useEffect, useState } from "preact/hooks";
import { post, reasonOf, type Diagnostic } from "../core/api";

const SETTLES_MS = 400; // since the last key

export interface Checked {
  /** Of which text this is said; null: of none yet. */
  text: string | null;
  findings: Diagnostic[];
  fault: string;
}

/** Check a text, once no key has been pressed for a while. */
export function useChecked(text: string, file: string): Checked {
  const [checked, setChecked] = useState<Checked>({ text: null, findings: [], fault: "" });
  useEffect(() => {
    let isNewest = true;
    const timer = setTimeout(() => {
      post<{ diagnostics: Diagnostic[] }>("/v1/validate", { documents: [{ name: file, text }] }).then(
        (answer) => isNewest && setChecked({ text, findings: answer.diagnostics, fault: "" }),
        (error: unknown) => isNewest && setChecked({ text, findings: [], fault: reasonOf(error) }),
      );
    }, checked.text === null ? 0 : SETTLES_MS);
    return () => {
      isNewest = false;
      clearTimeout(timer);
    };
  }, [text, file]);
  return checked;
}

/** The worst that is found in each line. */
export function marksOf(findings: Diagnostic[]): Map<number, string> {
  const marks = new Map<number, string>();
  for (const one of findings) if (one.line && marks.get(one.line) !== "error") marks.set(one.line, one.severity);
  return marks;
}

/** In one line, for the eye and for screen readers. */
export function summaryOf({ text, findings, fault }: Checked, now: string): string {
  if (fault) return `not checked: ${fault}`;
  if (text !== now) return "checking…";
  const errors = findings.filter((one) => one.severity === "error").length;
  const others = findings.length - errors;
  const told = [[errors, "error"], [others, "warning"]] as const;
  return told.filter(([count]) => count > 0).map(([count, word]) => `${count} ${word}${count === 1 ? "" : "s"}`).join(", ") || "valid";
}
