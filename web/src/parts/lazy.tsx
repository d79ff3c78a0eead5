/** Pages that few look at are loaded when they are looked at. */

import { useEffect, useState } from "preact/hooks";
import { Fault } from "./basics";

type View = () => preact.JSX.Element;

/** Give a view that loads another one. A server that was replaced meanwhile has it no more: then the page has to be loaded anew. */
export function lazy(load: () => Promise<View>): View {
  let known: View | null = null;
  return function Lazy() {
    const [View, setView] = useState<{ view: View | null }>({ view: known });
    const [fault, setFault] = useState("");
    useEffect(() => {
      if (known !== null) return;
      load().then((view) => setView({ view: (known = view) }), () => setFault("This page cannot be loaded: load it anew."));
    }, []);
    if (fault) return <section class="page"><Fault text={fault} /></section>;
    return View.view === null ? <section class="page" aria-busy="true" /> : <View.view />;
  };
}
