// The frame: views at the left, finder and live light above, the chosen record at the right.
import { html, useCallback, useEffect, useMemo, useRef, useState } from "./lib.js";
import { follow, get, lookAt } from "./api.js";
import { exported } from "./exported.js";
import { count, line, visible } from "./format.js";
import { go, href, stayIn, useRoute } from "./router.js";
import { onTheme, theme, turnTheme } from "./theme.js";
import { Icon, Sign } from "./components/icons.js";
import { Failure, useAsk } from "./components/ui.js";
import { Drawer } from "./components/record.js";
import { GraphView } from "./views/graph.js";
import { RecallView } from "./views/recall.js";
import { TrialView } from "./views/trial.js";
import { AgentsView } from "./views/agents.js";
import { GuardView } from "./views/guard.js";
import { HistoryView } from "./views/history.js";
import { LearningView } from "./views/learning.js";
import { SearchView } from "./views/search.js";

const VIEWS = [
  ["graph", "Graph", GraphView], ["recall", "Recall", RecallView], ["trial", "Trial", TrialView], ["agents", "Agents", AgentsView],
  ["guard", "Guard", GuardView], ["history", "History", HistoryView], ["learning", "Learning", LearningView],
];
const HIDDEN = { search: SearchView };

export function Frame() {
  const route = useRoute();
  const scope = exported() ? "" : route.query.scope ?? "";
  // Before any view is made: what it asks for, and where it leads, is of this scope.
  lookAt(scope);
  stayIn(scope);
  const [live, setLive] = useState({ on: false, position: 0, ticks: 0, last: null });
  const [calm, setCalm] = useState(0);
  const meta = useAsk((signal) => askMeta(scope, signal), [calm, scope]);
  useLive(setLive, setCalm, scope);
  const main = useRef(null);
  const shown = VIEWS.find(([key]) => key === route.view);
  const View = shown?.[2] ?? HIDDEN[route.view] ?? GraphView;
  useEffect(() => { document.title = `${shown?.[1] ?? "Search"} · Triforium`; }, [route.view]);
  useKeys(main);
  const world = useMemo(() => ({ meta: meta.data, live, tick: calm }), [meta.data, live, calm]);
  return html`
    <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); main.current.focus(); }}>To the content</a>
    <div class="frame">
      <${Rail} route=${route} scope=${scope} meta=${meta.data} />
      <${Bar} route=${route} live=${live} meta=${meta.data} />
      <main class="main" id="main" tabindex="-1" ref=${main} aria-label=${shown?.[1] ?? "Search"}>
        ${meta.error ? html`<div class="page"><div class="inner"><${Failure} error=${meta.error} /></div></div>`
          : meta.data ? html`<${View} key=${`${route.view} ${scope}`} route=${route} world=${world} />` : html`<p class="loading" role="status">Opening the memory …</p>`}
        ${meta.data && route.query.record && html`<${Drawer} key=${scope} id=${route.query.record} route=${route} world=${world} />`}
      </main>
    </div>`;
}

// What the page knows of the whole is of the scope the server shows; the counts are of the one chosen.
async function askMeta(scope, signal) {
  const meta = await get("/api/meta", {}, signal);
  if (!scope) return meta;
  // A scope that may not be read is told by the view, which can choose another.
  const statistics = await get("/api/statistics", {}, signal).catch(() => meta.statistics);
  return { ...meta, statistics };
}

// Events come as fast as the team works; views ask again at most every second and a half.
function useLive(setLive, setCalm, scope) {
  useEffect(() => {
    let waiting = null;
    const stop = follow((event) => {
      setLive((old) => ({ ...old, position: event.position, ticks: old.ticks + 1, last: event }));
      waiting ??= setTimeout(() => { waiting = null; setCalm((old) => old + 1); }, 1500);
    }, (on) => setLive((old) => ({ ...old, on })));
    return () => { stop(); clearTimeout(waiting); };
  }, [scope]);
}

function useKeys(main) {
  const press = useCallback((event) => {
    const typing = event.target.closest?.("input, textarea, select");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      document.querySelector(".finder input")?.focus();
    } else if (event.key === "Escape" && !typing) {
      const close = document.querySelector(".drawer .close");
      if (close) { close.click(); main.current?.focus(); }
    } else if (event.altKey && /^[1-7]$/.test(event.key)) {
      event.preventDefault();
      go(VIEWS[event.key - 1][0]);
    }
  }, []);
  useEffect(() => {
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [press]);
}

function Rail({ route, scope, meta }) {
  const waiting = meta?.statistics.statuses.quarantined ?? 0;
  return html`<div class="rail">
    <nav aria-label="Views"><a class="brand" href=${href("graph")}><${Sign} /><span><b>Triforium</b><small>inspector</small></span></a>
      <ul class="views">${VIEWS.map(([key, name]) => html`<li key=${key}><a href=${href(key)} title=${name}
      aria-current=${route.view === key ? "page" : undefined}><${Icon} name=${key} /><span class="name">${name}</span>
      ${key === "guard" && waiting > 0 && html`<span class="count">${count(waiting)}<span class="visually-hidden"> in quarantine</span></span>`}</a></li>`)}</ul></nav>
    ${meta && html`<footer><span class="where" title=${meta.store}>${line(meta.store.replace(/^.*\//, ""), 40)}</span>
      <span>scope ${visible(scope || meta.scope) || "all"}</span><span>${meta.edits ? "edits allowed" : "read only"}, version ${meta.version}</span></footer>`}
  </div>`;
}

function Bar({ route, live, meta }) {
  const [text, setText] = useState(route.view === "search" ? route.query.q ?? "" : "");
  const [, again] = useState(0);
  useEffect(() => onTheme(() => again((old) => old + 1)), []);
  useEffect(() => { if (route.view === "search") setText(route.query.q ?? ""); }, [route.query.q]);
  const submit = (event) => { event.preventDefault(); if (text.trim()) go("search", [], { q: text.trim() }); };
  return html`<header class="bar">
    <form class="finder" role="search" onSubmit=${submit}><label><span class="visually-hidden">Search the memory</span><${Icon} name="search" />
      <input type="search" placeholder="Search the memory: words, or an id" value=${text} maxlength="400" onInput=${(event) => setText(event.target.value)} /></label><kbd aria-hidden="true">/</kbd></form>
    <div class="right">
      <${Light} live=${live} meta=${meta} />
      <button type="button" class="button bare icon" aria-label=${theme() === "dark" ? "Use the light theme" : "Use the dark theme"} onClick=${turnTheme}>
        <${Icon} name=${theme() === "dark" ? "sun" : "moon"} /></button>
    </div></header>`;
}

function Light({ live, meta }) {
  const position = Math.max(live.position, meta?.statistics.position ?? 0);
  const word = exported() ? "Exported copy" : live.on ? "Live" : "Not connected";
  return html`<span class=${`live ${live.on ? "on" : ""} fresh`} key=${live.ticks}><i></i><span>${word}</span><span class="words" title="Position in the journal">at ${count(position)}</span></span>`;
}
