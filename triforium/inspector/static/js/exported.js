// The backend of an exported page: whole answers that it carries, and the questions they can answer.
//
// The element #data holds {ref, shared, responses}: each response is text, parsed when it is asked
// for; an object with `ref` stands for an entry of `shared`.

const element = document.getElementById("data");
const held = element ? JSON.parse(element.textContent) : null;
const parsed = new Map();

export const exported = () => held !== null;

function whole(key) {
  if (!(key in held.responses)) return null;
  if (!parsed.has(key)) {
    parsed.set(key, JSON.parse(held.responses[key], (_, value) =>
      value !== null && typeof value === "object" && held.ref in value ? held.shared[value[held.ref]] : value));
  }
  return parsed.get(key);
}

/** The answer, or null if the page does not carry it. */
export function readExported(path, params, key) {
  const ready = whole(key);
  if (ready) return ready;
  const answer = ANSWERS[path]?.(params);
  if (answer) return answer;
  // Details are those of the present, whatever time is looked at.
  return "at" in params ? whole(path) : null;
}

const ANSWERS = {
  "/api/graph": graphOf, "/api/search": search, "/api/difference": difference,
  "/api/recalls": ({ skip = 0, role, record }) => paged("/api/recalls", "recalls", skip, (one) => (!role || one.role === role) && !record),
  "/api/trials": ({ skip = 0, outcome }) => paged("/api/trials", "trials", skip, (one) => !outcome || endOf(one.record) === outcome),
  "/api/journal": ({ before, after, actor }) => {
    const all = whole("/api/journal");
    if (!all) return null;
    if (after != null) return { ...all, entries: all.entries.filter((one) => one.position > Number(after)).reverse(), more: false };
    const entries = all.entries.filter((one) => (!before || one.position < Number(before)) && (!actor || one.actor === actor));
    return { ...all, entries: entries.slice(0, 50), more: entries.length > 50 || all.more };
  },
};

function paged(key, field, skip, test) {
  const all = whole(key);
  if (!all) return null;
  const found = all[field].filter(test);
  const from = Number(skip) || 0;
  return { ...all, [field]: found.slice(from, from + 50), more: found.length > from + 50, total: found.length };
}

const endOf = (record) => record.tier !== "query" ? "" : record.open ? "open" : record.outcome?.kind ?? "open";

function graphOf(params) {
  const graph = whole("/api/graph");
  if (!graph) return null;
  const at = params.at === undefined || params.at === "" ? Infinity : Number(params.at);
  const among = (name, value) => { const wanted = [].concat(params[name] ?? []).filter(Boolean); return !wanted.length || wanted.includes(value); };
  const text = (params.text ?? "").toLowerCase();
  const nodes = graph.nodes.filter((one) => one.added <= at && among("tier", one.tier) && among("kind", one.kind) && among("status", one.status) && among("outcome", endOf(one))
    && among("source", one.source) && among("agent", one.agent) && (!params.since || one.created_at >= params.since) && (!params.until || one.created_at <= params.until)
    && (!text || one.text.toLowerCase().includes(text) || one.id === params.text));
  const shown = new Set(nodes.map((one) => one.id));
  const links = graph.links.filter((one) => one.added <= at && shown.has(one.src) && shown.has(one.dst));
  return { ...graph, nodes, links, total: nodes.length, position: Math.min(at, graph.present) };
}

function search({ q = "", tier, outcome }) {
  const graph = whole("/api/graph");
  if (!graph) return null;
  const words = q.toLowerCase().split(/\s+/).filter(Boolean);
  const hits = [];
  for (const record of graph.nodes) {
    if ((tier && record.tier !== tier) || (outcome && endOf(record) !== outcome)) continue;
    const text = record.text.toLowerCase();
    const found = words.filter((word) => text.includes(word)).length;
    if (record.id === q || found) hits.push({ record, score: record.id === q ? 1 : found / words.length, channel: record.id === q ? "id" : "letters" });
  }
  hits.sort((a, b) => b.score - a.score || (a.record.tier < b.record.tier ? -1 : 1) || b.record.helped - a.record.helped);
  return { query: q, position: graph.position, hits: hits.slice(0, 50) };
}

function difference({ start }) {
  const [graph, journal] = [whole("/api/graph"), whole("/api/journal")];
  if (!graph || !journal) return null;
  const from = Number(start);
  const added = graph.nodes.filter((one) => one.added > from).sort((a, b) => b.added - a.added);
  const ops = {};
  const actors = {};
  for (const one of journal.entries.filter((entry) => entry.position > from)) {
    actors[one.actor] = (actors[one.actor] ?? 0) + 1;
    for (const [op, count] of Object.entries(one.ops)) ops[op] = (ops[op] ?? 0) + count;
  }
  return { start: from, end: graph.present, added: added.slice(0, 200), closed: [], changed: [], ops, actors, more: true };
}
