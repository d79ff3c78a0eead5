/** Values by name, as they are: short ones in a line, long ones in a block that can be copied. */

import type { Json } from "../core/types";
import { copy } from "../parts/basics";

export function textOf(value: Json): string {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

export function Values({ values, none = "none" }: { values: Record<string, Json>; none?: string }) {
  const names = Object.keys(values);
  if (names.length === 0) return <p class="dim">{none}</p>;
  return (
    <dl class="values">
      {names.map((name) => {
        const text = textOf(values[name] ?? null);
        return (
          <div key={name}>
            <dt>{name}<button type="button" class="plain copy" aria-label={`copy ${name}`} onClick={() => copy(text)}>copy</button></dt>
            <dd class={text.includes("\n") || text.length > 80 ? "long" : ""}><pre>{text}</pre></dd>
          </div>
        );
      })}
    </dl>
  );
}
