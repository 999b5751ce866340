// The inbox of the quarantine: why a record is kept away, who speaks against it, what descends from it.
import { html, useState } from "../lib.js";
import { get, send } from "../api.js";
import { exported } from "../exported.js";
import { count, ending, line, score, several, shortId, visible } from "../format.js";
import { go, href } from "../router.js";
import { Mark } from "../components/icons.js";
import { Asked, Empty, Failure, Folded, Head, RecordList, recordHref, StatusChip, Time, useAsk, Words } from "../components/ui.js";

// More are not listed: what waits for a decision comes first.
const MOST = "200";
const named = (reason) => visible(reason).replace(/\b[0-9a-f]{32}\b/g, shortId);

export function GuardView({ route, world }) {
  const [turn, setTurn] = useState(0);
  const [most, setMost] = useState("");
  const inbox = useAsk((signal) => get("/api/guard", { limit: most }, signal), [world.tick, turn, most]);
  const [said, setSaid] = useState(null);
  const chosen = route.args[0];
  const done = (words) => { setSaid(words); setTurn((old) => old + 1); go("guard"); };
  return html`<div class="page"><div class="inner">
    <${Head} title="Quarantine">
      Records that the guard keeps away from recall, or a person did. Nothing is deleted: release what is sound, confirm what is not.
    <//>
    <div aria-live="polite">${said && html`<div class="notice good"><span>${said}</span></div>`}</div>
    <${Asked} state=${inbox}>${(data) => data.records.length === 0 && !chosen ? html`<${Nobody} />` : html`
      <div class="split">
        <${Inbox} data=${data} chosen=${chosen} onMore=${most || exported() ? null : () => setMost(MOST)} />
        ${chosen ? html`<${One} id=${chosen} route=${route} world=${world} onDone=${done} />` : html`
          <div class="empty"><h2>Choose a record</h2><p>You see why it is here, beside those that speak against it.</p></div>`}
      </div>`}<//>
  </div></div>`;
}

const Nobody = () => html`<${Empty} title="Nothing is in quarantine">
  <p>When a record leads somewhere that independent witnesses contradict, the guard sets it aside here, with its reason and the
    records that speak against it.</p>
  <p>Until then there is nothing to decide.</p><//>`;

function Inbox({ data, chosen, onMore }) {
  return html`<nav class="panel inbox" aria-label="Quarantined records">
    <header><h2>Inbox</h2><span class="note">${count(data.records.length)}${data.more ? " and more" : ""}</span></header>
    <ul class="list">${data.records.map((one) => html`<li key=${one.record.id}>
      <a class="entry" href=${href("guard", one.record.id)} aria-current=${one.record.id === chosen ? "true" : undefined}>
        <${Mark} record=${one.record} /><span class="what">${line(one.record.text, 120)}</span>
        <span>${one.confirmed && html`<span class="chip">confirmed</span>`}</span>
        <span class="more">${line(named(one.reason), 120) || "no reason given"}<br />
          ${several(one.dissenters, "dissenter")}, ${several(one.descendants, "descendant")}, <${Time} value=${one.since} /></span>
      </a></li>`)}</ul>
    ${data.more && onMore && html`<button type="button" class="button bare" onClick=${onMore}>Show more</button>`}
  </nav>`;
}

function One({ id, route, world, onDone }) {
  const state = useAsk((signal) => get(`/api/guard/${encodeURIComponent(id)}`, {}, signal), [id, world.tick]);
  return html`<div class="stack">
    <${Asked} state=${state}>${(suspect) => html`<${Suspect} suspect=${suspect} route=${route} onDone=${onDone} />`}<//></div>`;
}

function Suspect({ suspect, route, onDone }) {
  const { record, dissenters } = suspect;
  const witness = (one, title) => html`<${Witness} key=${one.id} record=${one} title=${title} tone="good" route=${route} />`;
  return html`
    <section class="panel">
      <header>
        <h2>Why it is here</h2><${StatusChip} status=${record.status} />${suspect.confirmed && html`<span class="chip">confirmed</span>`}
        <span class="note">by ${visible(suspect.actor) || "unknown"}${suspect.since ? html`, <${Time} value=${suspect.since} />` : ""}</span>
      </header>
      <p class="reason">${named(suspect.reason) || "No reason was given."}</p>
      ${suspect.edits ? html`<${Decide} key=${record.id} id=${record.id} onDone=${onDone} />` : html`<p class="small soft">
        This page is read only. Start it with <code class="line">triforium inspect --allow-edits</code> to decide here.</p>`}
    </section>
    <section class="panel">
      <header><h2>Side by side</h2>
        <span class="note">the record, and ${several(dissenters.length, "that speaks", "that speak")} against it</span></header>
      <div class="beside">
        <${Witness} record=${record} title="In quarantine" tone="bad" route=${route} />
        ${dissenters.slice(0, 4).map((one, index) => witness(one, `Dissenter ${index + 1}`))}
      </div>
      ${dissenters.length === 0 && html`
        <p class="soft small">No dissenters are recorded: it was put here by hand, or for what it says.</p>`}
      ${dissenters.length > 4 && html`<details><summary>${dissenters.length - 4} more dissenters</summary>
        <div class="beside">${dissenters.slice(4).map((one) => witness(one, "Dissenter"))}</div></details>`}
    </section>
    <div class="columns"><${Below} records=${suspect.descendants} route=${route} /><${Served} uses=${suspect.recalled} /></div>`;
}

function Below({ records, route }) {
  const note = (one) => one.tainted ? "tainted: not recalled unless others support it" : undefined;
  const list = (shown) => html`<${RecordList} records=${shown} route=${route} note=${note} />`;
  return html`<section class="panel">
    <header><h2>What descends from it</h2><span class="note">${count(records.length)}</span></header>
    ${records.length ? html`<${Folded} items=${records}>${list}<//>` : html`<p class="soft small">Nothing was made from it.</p>`}
  </section>`;
}

function Served({ uses }) {
  const list = (shown) => html`<ul class="list">${shown.map((use) => html`<li key=${use.receipt + use.part}>
    <a class="entry" href=${href("recall", use.receipt)}><span></span>
      <span class="what">${line(use.task, 110)}</span><span class="small soft">${ending(use.outcome)}</span>
      <span class="more">${use.part}${use.rank ? ` as ${use.rank}` : ""} to ${visible(use.role) || "any role"}${
        use.final == null ? "" : `, score ${score(use.final)}`}</span>
    </a></li>`)}</ul>`;
  return html`<section class="panel">
    <header><h2>Who was served it</h2><span class="note">${count(uses.length)}</span></header>
    ${uses.length ? html`<${Folded} items=${uses}>${list}<//>` : html`<p class="soft small">No recall handed it out.</p>`}
  </section>`;
}

function Witness({ record, title, tone, route }) {
  const { source, agent } = record.provenance;
  return html`<article class=${`witness ${tone}`}>
    <h3>${title}</h3><${Words} text=${record.text} cut=${1200} />
    <p class="tiny soft">by ${visible(source) || "unattributed"}${agent ? `, ${visible(agent)}` : ""}, <${Time} value=${record.created_at} /></p>
    <a class="small" href=${recordHref(record.id, route)}>Whole record</a>
  </article>`;
}

function Decide({ id, onDone }) {
  const [reason, setReason] = useState("");
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const decide = async (what) => {
    setBusy(true);
    try {
      const decision = await send(`/api/guard/${encodeURIComponent(id)}/${what}`, { reason });
      const did = what === "release" ? "Released" : "Confirmed";
      onDone(`${did} ${shortId(id)}: it is now ${decision.status}, at position ${count(decision.position)}.`);
    } catch (problem) { setError(problem); setBusy(false); }
  };
  return html`<form class="decide" onSubmit=${(event) => event.preventDefault()}>
    <label class="field"><span>Your reason, kept in the journal</span>
      <input type="text" maxlength="300" value=${reason} placeholder="what you know about it" onInput=${(event) => setReason(event.target.value)} />
    </label>
    <button type="button" class="button primary" disabled=${busy} onClick=${() => decide("release")}>Release</button>
    <button type="button" class="button danger" disabled=${busy} onClick=${() => decide("confirm")}>Confirm</button>
    <p class="tiny soft">Release: it may be recalled again, and what descends from it. Confirm: it stays away for good, and its
      descendants stay tainted.</p>
    ${error && html`<${Failure} error=${error} />`}
  </form>`;
}
