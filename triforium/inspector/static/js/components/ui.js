// Small parts that every view is made of.
import { html, useEffect, useState } from "../lib.js";
import { ending, line, score, shortId, visible, when } from "../format.js";
import { href } from "../router.js";
import { Icon, look, Mark, Shape, Sign } from "./icons.js";

/** Asks for something, again whenever a dependency changes; {data, error, busy}. */
export function useAsk(ask, needs) {
  const [state, setState] = useState({ busy: true });
  useEffect(() => {
    const stop = new AbortController();
    setState((old) => ({ ...old, busy: true }));
    Promise.resolve()
      .then(() => ask(stop.signal))
      .then((data) => { if (!stop.signal.aborted) setState({ data, busy: false }); })
      .catch((error) => { if (!stop.signal.aborted) setState({ error, busy: false }); });
    return () => stop.abort();
  }, needs);
  return state;
}

/** What is shown while something is asked for, when it failed, and when it came. */
export function Asked({ state, children }) {
  if (state.error) return html`<${Failure} error=${state.error} />`;
  if (!state.data) return html`<p class="loading" role="status">Reading …</p>`;
  return children(state.data);
}

const ADVICE = {
  unauthorized: "The token of this page is not valid any more. Start `triforium inspect` again and open the address it prints.",
  refused: "This token does not see that. Ask for one of a wider scope.",
  not_found: "It may have been erased, belong to another scope, or be younger than the time you look at.",
  unreachable: "Is `triforium inspect` still running? Start it again and reload.",
  not_exported: "This page is a copy that was made with part of the memory. Open the store itself with `triforium inspect`.",
};

export function Failure({ error }) {
  return html`<div class="notice" role="alert"><strong>${visible(error.message)}</strong>
    ${ADVICE[error.code] && html`<span>${ADVICE[error.code]}</span>`}</div>`;
}

export const Empty = ({ title, children }) => html`<div class="empty"><${Sign} /><h2>${title}</h2>${children}</div>`;

export function Head({ title, children, crumb, actions }) {
  return html`<header class="head">${crumb && html`<p class="crumb">${crumb}</p>`}
    <div class="row spread"><h1>${title}</h1>${actions && html`<div class="row">${actions}</div>`}</div>
    ${children && html`<p class="lead">${children}</p>`}</header>`;
}

export const Figure = ({ value, children }) => html`<div class="figure"><b>${value}</b><span>${children}</span></div>`;

export function Switch({ label, value, options, onChange }) {
  return html`<div class="switch" role="group" aria-label=${label}>${options.map(([key, words]) =>
    html`<button type="button" key=${key} aria-pressed=${key === value} onClick=${() => onChange(key)}>${words}</button>`)}</div>`;
}

export const Field = ({ label, children }) => html`<label class="field"><span>${label}</span>${children}</label>`;

export function Select({ label, value, options, onChange, all = "All" }) {
  return html`<${Field} label=${label}><select value=${value} onChange=${(event) => onChange(event.target.value)}>
    <option value="">${all}</option>
    ${options.map(([key, words]) => html`<option key=${key} value=${key} selected=${key === value}>${words}</option>`)}
  </select><//>`;
}

export const Storey = ({ record }) => html`<span class=${`chip ${record.tier}`}>${record.tier === "query" ? "trial" : visible(record.kind)}</span>`;

export function Ending({ outcome, open }) {
  const word = open || !outcome ? "open" : ending(outcome);
  const record = { tier: "query", outcome: open ? null : outcome };
  const { shape, tone } = look(record);
  return html`<span class=${`chip ${tone}`}><${Shape} shape=${shape} tone=${tone} />${word}</span>`;
}

export const StatusChip = ({ status }) => status === "active" ? null : html`<span class=${`chip ${status}`}>${status}</span>`;

/** Where a record is looked at: the drawer of the present view. */
export function recordHref(id, route) {
  return href(route.view, route.args, { ...route.query, record: id });
}

/** A record in a list, leading to itself. */
export function RecordEntry({ record, route, note, current }) {
  return html`<a class="entry" href=${recordHref(record.id, route)} aria-current=${current ? "true" : undefined}>
    <${Mark} record=${record} /><span class="what">${line(record.text, 200) || "(no text)"}</span>
    <span class="row small soft">${record.tier === "query" && html`<${Ending} outcome=${record.outcome} open=${record.open} />`}<${StatusChip} status=${record.status} /></span>
    <span class="more">${note ?? written(record)}</span></a>`;
}

export function written(record) {
  const by = record.agent || record.role || record.source || "unattributed";
  const step = record.tier === "interaction" && record.step >= 0 ? `step ${record.step + 1}, ` : "";
  const worth = record.tier === "insight" ? `, seen in ${record.support}${record.refuted ? `, against ${record.refuted}` : ""}` : "";
  return `${step}by ${line(by, 40)}${worth}`;
}

export const RecordList = ({ records, route, note }) => html`<ul class="list">${records.map((record) =>
  html`<li key=${record.id}><${RecordEntry} record=${record} route=${route} note=${note?.(record)} /></li>`)}</ul>`;

/** A list that shows its first entries, and the rest when asked. */
export function Folded({ items, first = 6, noun = "more", children }) {
  const [open, setOpen] = useState(false);
  const shown = open ? items : items.slice(0, first);
  return html`${children(shown)}${items.length > shown.length && html`<button type="button" class="button bare" onClick=${() => setOpen(true)}>
    Show ${items.length - shown.length} ${noun}</button>`}`;
}

/** One score as a bar with its number. */
export function Score({ name, value, scale = 1 }) {
  const width = Math.max(0, Math.min(1, value / (scale || 1)));
  return html`<div class="score"><span>${visible(name)}</span><span class="track" aria-hidden="true"><svg viewBox="0 0 100 5" preserveAspectRatio="none">
    <rect class="bar-fill" width=${width * 100} height="5" fill=${name === "final" ? "var(--accent)" : "var(--interaction-mark)"} /></svg></span>
    <span class="num">${score(value)}</span></div>`;
}

export const Id = ({ id }) => html`<span class="mono" title=${visible(id)}>${shortId(id)}</span>`;
export const Time = ({ value }) => html`<time datetime=${value ?? ""}>${when(value)}</time>`;

/** Text of a record, verbatim, but cut when it is very long; the rest on demand. */
export function Words({ text, cut = 4000, className = "" }) {
  const [all, setAll] = useState(false);
  const shown = all ? text : text.slice(0, cut);
  return html`<div class=${`text ${className}`} dir="auto">${visible(shown)}</div>
    ${!all && text.length > cut && html`<p><button type="button" class="button bare" onClick=${() => setAll(true)}>Show all ${text.length.toLocaleString("en")} characters</button></p>`}`;
}

export function Close({ onClick, label = "Close" }) {
  return html`<button type="button" class="button bare icon close" aria-label=${label} onClick=${onClick}><${Icon} name="close" /></button>`;
}
