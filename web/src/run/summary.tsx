/** What a task says to people: the Markdown that its program left in AETHER_SUMMARY, drawn by code that is loaded for it. */

import { useEffect, useState } from "preact/hooks";
import { get, reasonOf } from "../core/api";
import { Fault } from "../parts/basics";

type Drawn = (props: { text: string }) => preact.JSX.Element;

export function Summary({ run, path }: { run: string; path: string }) {
  const [text, setText] = useState<string | null>(null);
  const [Draw, setDraw] = useState<Drawn | null>(null);
  const [fault, setFault] = useState("");
  useEffect(() => {
    let wanted = true;
    setText(null);
    setFault("");
    get<{ summary: string | null }>(`/v1/runs/${encodeURIComponent(run)}/summary`, { task: path }).then(
      async (found) => {
        if (found.summary === null) return;
        const { Markdown } = await import("./markdown");
        if (!wanted) return;
        setDraw(() => Markdown);
        setText(found.summary);
      },
    ).catch((error: unknown) => wanted && setFault(reasonOf(error)));
    return () => {
      wanted = false;
    };
  }, [run, path]);
  if (fault) return <Fault text={`the summary: ${fault}`} />;
  if (text === null || Draw === null) return null;
  return <section class="summary" aria-label="summary"><h3>Summary</h3><Draw text={text} /></section>;
}
