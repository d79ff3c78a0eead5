/** Phases: a shape and a colour each, so that they can be told apart without colours. */

import type { Phase } from "../core/types";

export const SHAPES: Record<Phase, string> = {
  Created: "○", Ready: "○", Running: "●", Suspended: "‖", Succeeded: "✓",
  Failed: "✗", Error: "✗", Timeout: "✗", Cancelled: "⊘", Skipped: "–",
};

/** From what wants attention to what does not: the order of the pieces of a bar. */
export const ORDER: Phase[] = [
  "Failed", "Error", "Timeout", "Suspended", "Running", "Ready", "Created", "Succeeded", "Skipped", "Cancelled",
];

export const ENDED = new Set<Phase>(["Succeeded", "Failed", "Error", "Timeout", "Cancelled", "Skipped"]);
export const FAULTY = new Set<Phase>(["Failed", "Error", "Timeout"]);

export function PhaseMark({ phase }: { phase: Phase }) {
  return <span class={`mark ${phase}`} aria-hidden="true">{SHAPES[phase]}</span>;
}

export function PhaseLabel({ phase }: { phase: Phase }) {
  return <span class="phase"><PhaseMark phase={phase} />{phase}</span>;
}
