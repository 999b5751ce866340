// What changed: since a time, change by change, record by record, and what a revert would take back.
import { html, useState } from "../lib.js";
import { get } from "../api.js";
import { count, line, several, shortId, visible } from "../format.js";
import { amend, href } from "../router.js";
import { Diff } from "../components/diff.js";
import { TimeSlider } from "../components/timeline.js";
import { Asked, Empty, Field, Figure, Folded, Head, RecordList, recordHref, Time, useAsk } from "../components/ui.js";

export function HistoryView({ route, world }) {
  const [what, key] = route.args;
  let body = html`<${Past} route=${route} world=${world} />`;
  if (what === "record") body = html`<${Versions} id=${key} route=${route} world=${world} />`;
  if (what === "change") body = html`<${Change} position=${key} route=${route} />`;
  return html`<div class="page"><div class="inner">${body}</div></div>`;
}

// --- the past ----------------------------------------------------------------------------------

const SPANS = [["86400", "Since yesterday"], ["3600", "Last hour"], ["604800", "Last week"]];

function Past({ route, world }) {
  const { at = "", since = "" } = route.query;
  const timeline = useAsk((signal) => get("/api/timeline", {}, signal), [world.tick]);
  const span = ([seconds, words]) => html`
    <button type="button" key=${seconds} class="button" aria-pressed=${since === seconds}
      onClick=${() => amend({ since: seconds, at: "" })}>${words}</button>`;
  return html`
    <${Head} title="History">
      Every change is in the journal, with who made it and why; none is ever rewritten.
      Move the slider to see the memory as it was.
    <//>
    <section class="panel">
      <header><h2>The memory as of a time</h2><span class="right row">${SPANS.map(span)}</span></header>
      <${TimeSlider} at=${at} tick=${world.tick} />
    </section>
    <${Asked} state=${timeline}>${(data) => {
      if (!data.present) {
        return html`<${Empty} title="Nothing has happened yet">
          <p>The journal begins with the first thing that is remembered.</p><//>`;
      }
      return html`
        ${(at || since) && html`<${Changed} at=${at} since=${since} timeline=${data} route=${route} />`}
        <${Journal} route=${route} world=${world} />`;
    }}<//>`;
}

// The last position before the span began; 0 if the whole journal is younger. The moments are far
// apart in a long journal: from the one before it on, the journal itself is read.
async function startOf({ moments }, seconds, signal) {
  const from = Date.now() - seconds * 1000;
  const older = (one) => new Date(one.created_at).getTime() < from;
  let found = moments.filter(older).at(-1)?.position ?? 0;
  for (;;) {
    const { entries, more } = await get("/api/journal", { after: found, limit: 200 }, signal);
    const before = entries.filter(older);
    found = before.at(-1)?.position ?? found;
    if (!more || before.length < entries.length || !entries.length) return found;
  }
}

const WORDS = {
  ADD: "records added", LINK: "links made", UNLINK: "links removed", PATCH: "records refined", CLOSE: "trials ended",
  SUPERSEDE: "records replaced", CREDIT: "times credit was given", SET_STATUS: "changes of status",
};

function Changed({ at, since, timeline, route }) {
  const state = useAsk(async (signal) => {
    const start = at || String(await startOf(timeline, Number(since), signal));
    return get("/api/difference", { start }, signal);
  }, [at, since, timeline]);
  return html`<${Asked} state=${state}>${(data) => {
    const ops = Object.entries(data.ops).sort((a, b) => b[1] - a[1]).slice(0, 6);
    const actors = Object.entries(data.actors).map(([who, value]) => `${visible(who) || "unattributed"} (${several(value, "change")})`);
    const lists = [["Added since", data.added], ["Trials that ended", data.closed], ["Records that changed", data.changed]];
    return html`<section class="stack">
      <header class="row spread">
        <h2>What changed since position ${count(data.start)}</h2>
        ${data.start > 0 && html`<a class="button" href=${href("graph", [], { at: data.start })}>See the graph as it was</a>`}
      </header>
      <div class="figures">${ops.map(([op, value]) => html`<${Figure} key=${op} value=${count(value)}>${WORDS[op] ?? op.toLowerCase()}<//>`)}</div>
      <p class="small soft">By ${actors.join(", ") || "nobody"}.${data.more ? " The lists below are cut." : ""}</p>
      <div class="columns">${lists.map(([title, records]) => html`<${Part} key=${title} title=${title} records=${records} route=${route} />`)}</div>
    </section>`;
  }}<//>`;
}

function Part({ title, records, route }) {
  const list = (shown) => html`<${RecordList} records=${shown} route=${route} />`;
  return html`<section class="panel">
    <header><h2>${title}</h2><span class="note">${count(records.length)}</span></header>
    ${records.length ? html`<${Folded} items=${records} first=${6}>${list}<//>` : html`<p class="soft small">None.</p>`}
  </section>`;
}

// --- the journal -------------------------------------------------------------------------------

const opsOf = (ops) => Object.entries(ops).map(([op, value]) => `${op} ${value}`).join(", ");

function Journal({ route, world }) {
  const { before = "", actor = "", at = "" } = route.query;
  const [name, setName] = useState(actor);
  const upTo = before || (at ? String(Number(at) + 1) : "");
  const state = useAsk((signal) => get("/api/journal", { before: upTo, actor }, signal), [upTo, actor, world.tick]);
  const only = (source) => amend({ actor: source, before: "" });
  return html`<section class="panel">
    <header>
      <h2>Journal</h2><span class="note">${at ? `up to position ${count(at)}` : "newest first"}</span>
      <form class="right row" onSubmit=${(event) => { event.preventDefault(); only(name); }}>
        <${Field} label="Only by">
          <input type="search" value=${name} placeholder="a source"
            onInput=${(event) => setName(event.target.value)} onChange=${(event) => only(event.target.value)} />
        <//>
      </form>
    </header>
    <${Asked} state=${state}>${(data) => html`
      <ul class="list">${data.entries.map((one) => html`<li key=${one.position}><${Entry} one=${one} /></li>`)}</ul>
      ${data.entries.length === 0 && html`<p class="soft">No change by that source.</p>`}
      <div class="row">
        ${before && html`<a class="button" href=${href("history", [], { actor, at })}>Newest</a>`}
        ${data.more && data.entries.length > 0 && html`
          <a class="button" href=${href("history", [], { actor, at, before: data.entries.at(-1).position })}>Older</a>`}
      </div>`}<//>
  </section>`;
}

function Entry({ one }) {
  return html`<a class="entry" href=${href("history", ["change", one.position])}>
    <span class="num soft">${count(one.position)}</span>
    <span class="what">${line(one.reason, 140) || "no reason given"}</span>
    <span class="small soft">${opsOf(one.ops)}</span>
    <span class="more">by ${visible(one.actor) || "unattributed"}, <${Time} value=${one.created_at} /></span>
  </a>`;
}

// --- one change --------------------------------------------------------------------------------

function Change({ position, route }) {
  const state = useAsk((signal) => get(`/api/journal/${encodeURIComponent(position)}`, {}, signal), [position]);
  return html`<${Asked} state=${state}>${(entry) => {
    const { line: made } = entry;
    return html`
      <${Head} title=${line(made.reason, 160) || "A change"}
        crumb=${html`<a href=${href("history")}>History</a> / position ${count(made.position)}`}
        actions=${html`<a class="button" href=${href("graph", [], { at: made.position })}>See the graph as of then</a>`}>
        By ${visible(made.actor) || "unattributed"}, <${Time} value=${made.created_at} />.
      <//>
      <div class="columns">
        <section class="panel">
          <header><h2>What it did</h2><span class="note">${opsOf(made.ops)}</span></header>
          <${Folded} items=${entry.ops} first=${14} noun="more operations">${(shown) => html`<${Ops} ops=${shown} route=${route} />`}<//>
          ${entry.more && html`<p class="small soft">It did more than is listed here.</p>`}
        </section>
        <${RevertPreview} id=${made.id} />
      </div>`;
  }}<//>`;
}

function Ops({ ops, route }) {
  return html`<ul class="list">${ops.map((op, index) => html`<li key=${index}>
    <a class="entry" href=${op.ids[0] ? recordHref(op.ids[0], route) : undefined}>
      <span class="chip">${op.op}</span><span class="what">${line(op.told.replace(op.op, ""), 160)}</span><span></span>
    </a></li>`)}</ul>`;
}

function RevertPreview({ id }) {
  const [cascade, setCascade] = useState(false);
  const params = { cascade: cascade ? "true" : "" };
  const state = useAsk((signal) => get(`/api/revert/${encodeURIComponent(id)}`, params, signal), [id, cascade]);
  return html`<section class="panel">
    <header><h2>What a revert would change</h2><span class="note">nothing is changed by looking</span></header>
    <${Asked} state=${state}>${(revert) => html`
      <p class=${`notice ${revert.possible ? "calm" : ""}`}>${visible(revert.message).replace(/\b[0-9a-f]{32}\b/g, shortId)}</p>
      ${revert.dependents.length > 0 && html`<${Dependents} dependents=${revert.dependents} />`}
      ${!revert.possible && revert.dependents.length > 0 && html`
        <p><button type="button" class="button" onClick=${() => setCascade(true)}>Preview with all that builds on it</button></p>`}
      ${revert.undone.length > 0 && html`<${Undone} revert=${revert} />`}
      <p class="small soft">To do it: <code class="line">triforium revert ${shortId(id)}${cascade ? " --cascade" : ""}</code>.
        A revert is a change of its own and can be reverted.</p>`}<//>
  </section>`;
}

function Dependents({ dependents }) {
  return html`<h3>What builds on it</h3>
    <p class="row small">${dependents.slice(0, 30).map((one) => html`
      <a key=${one.position} href=${href("history", ["change", one.position])} >${count(one.position)}</a>`)}</p>`;
}

function Undone({ revert }) {
  const list = (shown) => html`<ul class="list">${shown.map((one, index) => html`<li key=${index} class="entry">
    <span class="num soft">${count(one.position)}</span><span class="what">${line(one.told, 150)}</span>
    <span class="tiny soft">${one.dependent ? "builds on it" : ""}</span></li>`)}</ul>`;
  return html`<h3>${several(revert.undone.length, "operation")}${revert.more ? " and more" : ""} would be taken back</h3>
    <${Folded} items=${revert.undone} first=${10} noun="more operations">${list}<//>`;
}

// --- one record --------------------------------------------------------------------------------

function Versions({ id, route, world }) {
  const state = useAsk((signal) => get(`/api/record/${encodeURIComponent(id)}/versions`, {}, signal), [id, world.tick]);
  return html`
    <${Head} title="What changed on this record"
      crumb=${html`<a href=${href("history")}>History</a> / record <span class="mono">${shortId(id)}</span>`}
      actions=${html`<a class="button" href=${recordHref(id, route)}>Show the record</a>`}>
      The text of a record never changes; what is derived from the work around it does. Newest first.
    <//>
    <${Asked} state=${state}>${(data) => {
      if (data.versions.length === 0) {
        return html`<${Empty} title="No change is recorded"><p>The journal says nothing about this record that you may see.</p><//>`;
      }
      const list = (shown) => shown.map((one, index) => html`<${Version} key=${`${one.position}-${index}`} one=${one} />`);
      return html`
        <ol class="versions"><${Folded} items=${[...data.versions].reverse()} first=${30} noun="older versions">${list}<//></ol>
        ${!data.complete && html`<p class="small soft">The journal is long; older changes are not listed.</p>`}`;
    }}<//>`;
}

function Version({ one }) {
  return html`<li class="panel">
    <header>
      <h2>${line(one.reason, 120) || one.op}</h2><span class="chip">${one.op}</span>
      <span class="note">by ${visible(one.actor) || "unattributed"}, <${Time} value=${one.created_at} />, ${" "}
        <a href=${href("history", ["change", one.position])}>position ${count(one.position)}</a></span>
    </header>
    ${one.changes.map((change) => html`<div key=${change.field} class="field-change">
      <h3>${change.field}</h3><${Diff} before=${change.before} after=${change.after} /></div>`)}
  </li>`;
}
