/** What is wrong with a document, each with its place. */

import type { Diagnostic } from "../core/api";

export function Findings({ several, onPlace }: { several: Diagnostic[]; onPlace?: (one: Diagnostic) => void }) {
  if (several.length === 0) return null;
  return (
    <ul class="findings" aria-label="findings">
      {several.map((one, index) => {
        const place = one.line ? `${one.line}:${one.column ?? 1}` : "";
        return (
          <li key={index} class={one.severity}>
            {place && onPlace !== undefined
              ? <button type="button" class="plain link mono" title="go there" onClick={() => onPlace(one)}>{place}</button>
              : <span class="mono dim">{place}</span>}
            <span><strong>{one.severity}</strong> {one.message} <code class="dim">{one.code}</code>{one.hint && <span class="dim"> {one.hint}</span>}</span>
          </li>
        );
      })}
    </ul>
  );
}
