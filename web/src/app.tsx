/** The frame around all pages: where one can go, who looks, and the keys. */

import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { call, get, loggedOut, may, me, reasonOf, type Me } from "./core/api";
import { activeKeys, useKeys } from "./core/keys";
import { go, href, leave, leaving, path, query } from "./core/router";
import { Dialog, Fault, Notes } from "./parts/basics";
import { lazy } from "./parts/lazy";
import { Palette } from "./parts/palette";
import { Inbox } from "./pages/inbox";
import { RunPage } from "./pages/run";
import { Runs } from "./pages/runs";
import { Schedules } from "./pages/schedules";
import { Tasks } from "./pages/tasks";
import { Start } from "./pages/start";
import { Workflows } from "./pages/workflows";
import { Workers } from "./pages/workers";

interface Place {
  path: string;
  name: string;
  key: string;
  /** Reached from other pages, and by keys: not in the navigation. */
  aside?: true;
  view: () => preact.JSX.Element;
  /** Not shown to those who have it nowhere. */
  role?: string;
}

const Insights = lazy(() => import("./pages/insights").then((page) => page.InsightsPage));
const Documents = lazy(() => import("./pages/documents").then((page) => page.Documents));
const DocumentPage = lazy(() => import("./pages/documents").then((page) => page.DocumentPage));
const NewDocument = lazy(() => import("./pages/documents").then((page) => page.NewDocument));
const Tokens = lazy(() => import("./pages/tokens").then((page) => page.Tokens));

const PLACES: Place[] = [
  { path: "/", name: "Workflows", key: "f", view: () => <Workflows /> },
  { path: "/runs", name: "Runs", key: "r", view: () => <Runs /> },
  { path: "/tasks", name: "Tasks", key: "t", view: () => <Tasks /> },
  { path: "/start", name: "Start a workflow", key: "n", aside: true, view: () => <Start /> },
  { path: "/documents", name: "Documents", key: "d", view: () => <Documents /> },
  { path: "/documents/new", name: "New document", key: "c", aside: true, view: () => <NewDocument key="new" /> },
  { path: "/inbox", name: "Inbox", key: "i", view: () => <Inbox /> },
  { path: "/schedules", name: "Schedules", key: "s", view: () => <Schedules /> },
  { path: "/insights", name: "Insights", key: "m", view: () => <Insights /> },
  { path: "/workers", name: "Workers", key: "w", view: () => <Workers />, role: "admin" },
  { path: "/tokens", name: "Tokens", key: "k", view: () => <Tokens />, role: "admin" },
];

/** The pages that are there for who looks. */
function places(): Place[] {
  return PLACES.filter((place) => place.role === undefined || may(place.role));
}

const help = signal(false);
const palette = signal(false);

export function App() {
  const [fault, setFault] = useState("");
  useEffect(() => {
    get<Me>("/v1/me").then((who) => {
      me.value = who;
      loggedOut.value = who.kind === "nobody" || (who.name === "" && Object.keys(who.roles).length === 0);
    }, (error: unknown) => loggedOut.value || setFault(reasonOf(error)));
  }, []);
  useKeys([
    ...places().map((place) => ({ keys: `g ${place.key}`, does: `go to ${place.name}`, act: () => go(place.path) })),
    { keys: "?", does: "this help", act: () => (help.value = true) },
    { keys: "palette", does: "find a page, a run, a workflow or an action (Ctrl K)", act: () => (palette.value = true) },
  ]);
  if (loggedOut.value) return <Login />;
  return (
    <div class="frame">
      <button type="button" class="skip" onClick={() => document.getElementById("main")?.focus()}>to the content</button>
      <Side />
      <main id="main" tabIndex={-1}>
        <Fault text={fault} />
        {me.value !== null && <Page />}
      </main>
      <Notes />
      {help.value && <Help />}
      {palette.value && <Palette pages={places()} close={() => (palette.value = false)} />}
      {leaving.value !== null && <Leaving />}
    </div>
  );
}

function Page() {
  const at = path.value;
  const run = /^\/runs\/(.+)$/.exec(at);
  if (run !== null) return <RunPage key={run[1]} id={decodeURIComponent(run[1]!)} />;
  if (/^\/documents\/[^/]+\/[^/]+$/.test(at)) return <DocumentPage key={`${at} ${query.value.get("kind")} ${query.value.get("version")}`} />;
  const place = places().find((one) => one.path === at);
  if (place === undefined) return <section class="page"><h1>There is no such page</h1><p><a href={href("/runs")}>All runs</a></p></section>;
  document.title = `${place.name} · Aether`;
  return place.view();
}

function Side() {
  const at = path.value;
  const side = useRef<HTMLElement>(null);
  useEffect(() => side.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" }), [at, me.value]); // on a phone
  return (
    <nav ref={side} class="side" aria-label="pages">
      <a class="logo" href={href("/")} aria-label="Aether">
        <svg viewBox="0 0 32 32" width="24" height="24" aria-hidden="true"><path d="M8 23 16 8l8 15" /><circle cx="16" cy="19.5" r="2.6" /></svg>
        <span>Aether</span>
      </a>
      {places().filter((place) => place.aside === undefined).map((place) => (
        <a key={place.path} href={href(place.path)} aria-current={at === place.path || (place.path !== "/" && at.startsWith(`${place.path}/`)) ? "page" : undefined}
          title={`g ${place.key}`}>{place.name}</a>
      ))}
      <span class="spring" />
      <Theme />
      <button type="button" class="plain" onClick={() => (help.value = true)}>Keys <kbd>?</kbd></button>
      <a href={href("/docs")} data-plain>API</a>
      {me.value !== null && me.value.csrf !== null && (
        <button type="button" class="plain" onClick={() => void call("POST", "/v1/logout").then(() => location.reload())}>Log out {me.value.name}</button>
      )}
    </nav>
  );
}

function Theme() {
  const [theme, setTheme] = useState(localStorage.getItem("theme") ?? "auto");
  useEffect(() => {
    if (theme === "auto") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = theme;
    localStorage.setItem("theme", theme);
  }, [theme]);
  return (
    <label class="theme"><span class="sr">Colours</span>
      <select value={theme} onChange={(event) => setTheme(event.currentTarget.value)}>
        <option value="auto">Auto</option><option value="light">Light</option><option value="dark">Dark</option>
      </select></label>
  );
}

function Login() {
  const [fault, setFault] = useState("");
  const send = (event: SubmitEvent): void => {
    event.preventDefault();
    const token = new FormData(event.currentTarget as HTMLFormElement).get("token");
    call<Me>("POST", "/v1/login", { token }).then((who) => {
      me.value = who;
      loggedOut.value = false;
    }, (error: unknown) => setFault(reasonOf(error)));
  };
  return (
    <main class="login">
      <form onSubmit={send}>
        <h1>Aether</h1>
        <label>Token<input name="token" type="password" autoComplete="current-password" required autoFocus /></label>
        <Fault text={fault} />
        <p class="buttons"><button class="primary">Log in</button></p>
        <p class="dim">An admin makes tokens: <code>aether token create --name ME --role viewer</code></p>
      </form>
    </main>
  );
}

function Leaving() {
  const stay = (): void => {
    leaving.value = null;
  };
  return (
    <Dialog title="Leave without saving?" onClose={stay}>
      <p>What you changed here is not saved.</p>
      <p class="buttons"><button type="button" class="danger" onClick={leave}>Leave</button><button type="button" class="primary" autoFocus onClick={stay}>Stay</button></p>
    </Dialog>
  );
}

function Help() {
  return (
    <Dialog title="Keys" onClose={() => (help.value = false)}>
      <dl class="keys">
        {activeKeys().filter((one) => one.keys !== "palette").map((one) => (
          <div key={one.keys}><dt>{one.keys.split("|").map((keys) => <kbd key={keys}>{keys}</kbd>)}</dt><dd>{one.does}</dd></div>
        ))}
        <div><dt><kbd>Ctrl K</kbd></dt><dd>find a page, a run, a workflow or an action</dd></div>
      </dl>
    </Dialog>
  );
}
