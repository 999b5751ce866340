// The three storeys: a picture to walk about in, and its table twin, under one set of filters.
import { html, useEffect, useMemo, useRef, useState } from "../lib.js";
import { get } from "../api.js";
import { exported } from "../exported.js";
import { count, line, number, several, STOREYS, visible, when } from "../format.js";
import { amend, href } from "../router.js";
import { onTheme } from "../theme.js";
import { Picture } from "../graph/canvas.js";
import { Icon, look, Mark } from "../components/icons.js";
import { Legend } from "../components/legend.js";
import { Table } from "../components/table.js";
import { TimeSlider } from "../components/timeline.js";
import { Empty, Failure, Field, recordHref, Select, Switch, useAsk } from "../components/ui.js";

const FILTERS = ["tier", "kind", "status", "outcome", "source", "agent", "since", "until", "q", "limit", "clusters"];
// Those a reader sets, and clears; another scope has other records.
const SET = [...FILTERS.slice(0, 9), "scope"];
const ELSEWHERE = { record: "", open: "" };
const clear = () => amend({ ...Object.fromEntries([...FILTERS, "scope"].map((key) => [key, ""])), ...ELSEWHERE });

export function GraphView({ route, world }) {
  const { query } = route;
  const [filtering, setFiltering] = useState([...FILTERS, "scope"].some((key) => query[key]));
  const { q: text, ...filters } = Object.fromEntries(FILTERS.map((key) => [key, query[key]]));
  const params = { at: query.at, open: query.open?.split(","), text, ...filters };
  const key = JSON.stringify(params);
  // An answer says what it was asked: two filters may find as many records, but others.
  const state = useAsk(async (signal) => ({ ...await get("/api/graph", params, signal), asked: key }), [key, query.at ? 0 : world.tick]);
  const graph = useSteps(state.data, query);
  const shown = query.show ?? "wall";
  const filtered = SET.filter((name) => query[name]).length;
  return html`<div class="page full graph-page">
    <div class="graph-head">
      <h1>${graph ? several(graph.total, "record") : "The memory"}</h1>
      ${graph && html`<p class="soft small counts">${told(graph)}</p>`}
      <div class="right row">
        ${(query.open || query.record) && html`<button type="button" class="button bare" onClick=${() => amend({ open: "", record: "" })}>Whole memory</button>`}
        <button type="button" class="button" aria-expanded=${filtering} onClick=${() => setFiltering(!filtering)}><${Icon} name="filter" />Filters${filtered ? ` (${filtered})` : ""}</button>
        <${Switch} label="Show as" value=${shown} onChange=${(value) => amend({ show: value === "wall" ? "" : value })} options=${[["wall", "Storeys"], ["map", "Map"], ["table", "Table"]]} />
      </div>
    </div>
    ${filtering && html`<${Filters} query=${query} graph=${graph} meta=${world.meta} />`}
    <div class="graph-body">
      ${state.error && html`<div class="over"><${Failure} error=${state.error} /></div>`}
      ${graph && graph.total === 0 && html`<div class="over"><${Nothing} filtered=${filtered} at=${query.at} /></div>`}
      ${graph && shown === "table" ? html`<${GraphTable} graph=${graph} route=${route} />`
        : html`<${Canvas} graph=${graph} route=${route} map=${shown === "map"} />`}
    </div>
    ${shown !== "table" && html`<${Legend} map=${shown === "map"} />`}
    <div class="graph-foot"><${TimeSlider} at=${query.at ?? ""} tick=${world.tick} /></div>
  </div>`;
}

// Of a large memory the steps come trial by trial: those of the chosen trial join the graph.
function useSteps(graph, { record = "", at = "" }) {
  const wanted = graph?.interactions === "on demand" ? record : "";
  const node = graph?.nodes.find((one) => one.id === wanted);
  const trial = node?.tier === "query" ? node.id : "";
  const last = useRef("");
  // A step that is chosen keeps its trial open.
  if (trial) last.current = trial; else if (!wanted || node) last.current = "";
  const opened = last.current;
  const steps = useAsk((signal) => opened ? get("/api/neighbours", { id: opened, type: "PART_OF", direction: "in", fan: 500, at }, signal) : { nodes: [], links: [] }, [opened, at]);
  return useMemo(() => {
    if (!graph || !opened || !steps.data) return graph;
    const known = new Set(graph.nodes.map((one) => one.id));
    const added = steps.data.nodes.filter((one) => !known.has(one.id) && one.tier === "interaction").map((one) => ({ ...one, x: 0, y: 0, topic: "", steps: null }));
    added.sort((a, b) => a.step - b.step);
    const chain = added.slice(1).map((one, index) => ({ src: added[index].id, dst: one.id, type: "NEXT", weight: 1, via: "", added: one.added }));
    return { ...graph, asked: `${graph.asked}:${opened}`, nodes: [...graph.nodes, ...added], links: [...graph.links, ...steps.data.links.filter((one) => one.type === "PART_OF"), ...chain] };
  }, [graph, opened, steps.data]);
}

function told(graph) {
  const parts = Object.keys(STOREYS).filter((tier) => tier !== "interaction" || graph.interactions === "shown").map((tier) => {
    const nodes = graph.nodes.filter((one) => one.tier === tier).length;
    const inside = graph.clusters.filter((one) => one.tier === tier).reduce((sum, one) => sum + one.count, 0);
    return several(nodes + inside, STOREYS[tier].one);
  });
  if (graph.interactions !== "shown") parts.push("the steps of a trial when it is chosen");
  const cut = graph.truncated ? "; the newest are shown, filters narrow it" : graph.clusters.length ? "; grouped by topic, choose a ring to open it" : "";
  return parts.join(", ") + cut;
}

function Nothing({ filtered, at }) {
  if (filtered) return html`<${Empty} title="Nothing passes these filters"><p>Take one away, or look at another time.</p>
    <button type="button" class="button" onClick=${clear}>Clear the filters</button><//>`;
  if (at) return html`<${Empty} title="Nothing was remembered yet"><p>At this time the memory was empty. Move the slider to the right.</p><//>`;
  return html`<${Empty} title="The wall is not built yet"><p>As the team works, its steps appear below, the tasks they belong to above them, and at the top what generalises.</p>
    <p>Run something with this store, for instance <code>triforium demo</code>; this page follows by itself.</p><//>`;
}

function Filters({ query, graph, meta }) {
  const set = (key) => (value) => amend({ [key]: value });
  const options = (values, name = (value) => value) => Object.entries(values ?? {}).filter(([value]) => value).map(([value, number_]) => [value, `${line(name(value), 36)} (${count(number_)})`]);
  const facets = graph?.facets ?? {};
  const stamp = (value, last) => (value ? `${value}T${last ? "23:59:59.999" : "00:00:00"}Z` : "");
  return html`<form class="filters" aria-label="Filters" onSubmit=${(event) => event.preventDefault()}>
    <${Field} label="Words"><input type="search" maxlength="200" value=${query.q ?? ""} placeholder="in the text" onChange=${(event) => amend({ q: event.target.value })} /><//>
    <${Select} label="Storey" value=${query.tier ?? ""} onChange=${set("tier")} options=${Object.entries(STOREYS).map(([tier, { name }]) => [tier, name])} />
    <${Select} label="Kind" value=${query.kind ?? ""} onChange=${set("kind")} options=${options(facets.kinds)} />
    <${Select} label="Outcome" value=${query.outcome ?? ""} onChange=${set("outcome")} options=${options(facets.outcomes)} />
    <${Select} label="Status" value=${query.status ?? ""} onChange=${set("status")} options=${options(facets.statuses)} />
    <${Select} label="Agent" value=${query.agent ?? ""} onChange=${set("agent")} options=${options(facets.agents)} />
    <${Select} label="Source" value=${query.source ?? ""} onChange=${set("source")} options=${options(facets.sources)} />
    ${meta.scopes.length > 1 && !exported() && html`<${Select} label="Scope" all=${line(meta.scope, 60) || "All it sees"} value=${query.scope ?? ""} onChange=${(scope) => amend({ scope, ...ELSEWHERE })}
      options=${meta.scopes.filter((one) => one !== meta.scope).map((one) => [one, line(one, 60)])} />`}
    <${Field} label="From"><input type="date" value=${(query.since ?? "").slice(0, 10)} onChange=${(event) => amend({ since: stamp(event.target.value) })} /><//>
    <${Field} label="To"><input type="date" value=${(query.until ?? "").slice(0, 10)} onChange=${(event) => amend({ until: stamp(event.target.value, true) })} /><//>
    <button type="button" class="button bare" onClick=${clear}>Clear</button>
  </form>`;
}

function Canvas({ graph, route, map }) {
  const element = useRef(null);
  const picture = useRef(null);
  const [failed, setFailed] = useState(null);
  const [hovered, setHovered] = useState(null);
  const latest = useRef(route);
  latest.current = route;
  useEffect(() => {
    try {
      picture.current = new Picture(element.current, {
        onChoose: (id) => amend({ record: id ?? "" }),
        onOpen: (id) => amend({ open: [latest.current.query.open, id].filter(Boolean).join(",") }),
        onHover: setHovered,
      });
      window.inspector = { picture: picture.current, statistics: () => picture.current.statistics() };
    } catch (error) {
      setFailed(error);
      return undefined;
    }
    const quiet = onTheme(() => picture.current.recolour());
    return () => { quiet(); picture.current.close(); delete window.inspector; };
  }, []);
  const shownBefore = useRef("");
  useEffect(() => {
    if (!graph || !picture.current) return;
    const ids = `${map}:${graph.asked}:${graph.position}:${graph.nodes.length}:${graph.clusters.length}:${graph.links.length}:${graph.total}`;
    if (shownBefore.current === ids) return;
    shownBefore.current = ids;
    picture.current.show(graph, { map });
  }, [graph, map]);
  useEffect(() => { picture.current?.choose(route.query.record ?? null); }, [route.query.record, graph]);
  if (failed) return html`<div class="over"><${Empty} title="This browser draws no graph"><p>It has no WebGL. The same records are in the table.</p>
    <button type="button" class="button primary" onClick=${() => amend({ show: "table" })}>Show the table</button><//></div>`;
  const keys = (event) => {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (move) picture.current.pan(...move);
    else if (event.key === "+" || event.key === "=") picture.current.zoom(0.66);
    else if (event.key === "-") picture.current.zoom(1.5);
    else if (event.key === "0") picture.current.fit();
    else return;
    event.preventDefault();
  };
  return html`<div class="canvas" ref=${element} tabindex="0" role="application" onKeyDown=${keys}
      aria-label="Graph of the memory. Arrow keys move, plus and minus zoom, 0 shows all. The table has the same records."></div>
    <div class="tools" role="group" aria-label="Zoom">
      <button type="button" class="button icon" aria-label="Zoom in" onClick=${() => picture.current.zoom(0.6)}><${Icon} name="plus" /></button>
      <button type="button" class="button icon" aria-label="Zoom out" onClick=${() => picture.current.zoom(1.6)}><${Icon} name="minus" /></button>
      <button type="button" class="button icon" aria-label="Show all" onClick=${() => picture.current.fit()}><${Icon} name="fit" /></button>
      ${route.query.record && html`<button type="button" class="button" onClick=${() => picture.current.zoomTo([...(picture.current.near ?? [])])}>To the chosen record</button>`}
    </div>
    ${hovered && graph && html`<${Hint} record=${graph.nodes.find((one) => one.id === hovered)} />`}`;
}

function Hint({ record }) {
  if (!record) return null;
  return html`<div class="hint" aria-hidden="true"><${Mark} record=${record} /> ${look(record).word}: ${line(record.text, 160)}
    <span class="soft">${record.tier === "insight" ? ` seen in ${record.support}, against ${record.refuted}` : ""}${record.uses ? `, used ${number(record.uses, 1)}, helped ${number(record.helped, 1)}` : ""}</span></div>`;
}

function GraphTable({ graph, route }) {
  const columns = useMemo(() => [
    { name: "Storey", value: (one) => STOREYS[one.tier].name, cell: (one) => html`<span class=${`chip ${one.tier}`}>${STOREYS[one.tier].one}</span>` },
    { name: "Record", value: (one) => one.text ?? one.label, cell: (one) => one.label
      ? html`<a href=${href("graph", [], { ...route.query, open: [route.query.open, one.id].filter(Boolean).join(",") })}>${visible(one.label)}: ${several(one.count, "record")}, open</a>`
      : html`<a class="what" href=${recordHref(one.id, route)}>${line(one.text, 180) || "(no text)"}</a>` },
    { name: "Outcome or status", value: (one) => one.status === "active" ? (one.tier === "query" ? look(one).word : "") : one.status ?? "", cell: (one) => one.label ? "" : html`<span class="row small">${one.tier === "query" || one.status === "quarantined" ? html`<${Mark} record=${one} />` : null}${visible(one.status !== "active" ? one.status : one.tier === "query" ? look(one).word : "")}</span>` },
    { name: "By", value: (one) => one.agent || one.role || one.source || "" },
    { name: "For", num: true, value: (one) => one.tier === "insight" ? one.support : null, cell: (one) => one.tier === "insight" && !one.label ? count(one.support) : "" },
    { name: "Against", num: true, value: (one) => one.tier === "insight" ? one.refuted : null, cell: (one) => one.tier === "insight" && !one.label ? count(one.refuted) : "" },
    { name: "Used", num: true, value: (one) => one.uses ?? 0, cell: (one) => number(one.uses ?? 0, 1) },
    { name: "Helped", num: true, value: (one) => one.helped ?? 0, cell: (one) => number(one.helped ?? 0, 1) },
    { name: "Written", value: (one) => one.added ?? 0, num: true, cell: (one) => when(one.created_at) },
  ], [route]);
  return html`<div class="graph-table"><${Table} caption="Records of the graph" columns=${columns} rows=${[...graph.clusters, ...graph.nodes]} id=${(one) => one.id}
    chosen=${route.query.record} sort=${{ column: 7, down: true }} /></div>`;
}
