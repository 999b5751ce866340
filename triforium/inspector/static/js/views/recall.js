// The replay of one recall, stage by stage: what was found, walked to, screened out, packed, and what came of it.
import { html, useMemo, useRef } from "../lib.js";
import { get } from "../api.js";
import { count, line, score, several, shortId, visible } from "../format.js";
import { amend, href } from "../router.js";
import { Icon, Mark } from "../components/icons.js";
import { Asked, Empty, Ending, Head, Id, recordHref, Score, Time, useAsk } from "../components/ui.js";
import { Line } from "../components/receiptline.js";
import { PathPicture } from "../components/pathpicture.js";

export function RecallView({ route, world }) {
  const id = route.args[0];
  return id ? html`<${One} id=${id} route=${route} world=${world} />` : html`<${All} route=${route} world=${world} />`;
}

function All({ route, world }) {
  const { skip = "", role = "", of: record = "" } = route.query;
  const state = useAsk((signal) => get("/api/recalls", { skip, role, record }, signal), [skip, role, record, world.tick]);
  return html`<div class="page"><div class="inner">
    <${Head} title="Recalls">Each time an agent asked the memory, a receipt was kept: what was handed out, why, and what came of it. Choose one to replay it.<//>
    <${Asked} state=${state}>${(data) => data.recalls.length === 0
      ? html`<${Empty} title="Nothing was recalled yet"><p>A receipt is kept each time an agent recalls. Run a team with this store, and its recalls are listed here.</p><//>`
      : html`<div class="panel"><header><h2>${several(data.total, "recall")}</h2><span class="note">newest first</span></header>
        <ul class="list">${data.recalls.map((one) => html`<li key=${one.receipt}><${Line} one=${one} /></li>`)}</ul>
        <div class="row">${skip && html`<a class="button" href=${href("recall", [], { role, of: record })}>Newest</a>`}
          ${data.more && html`<a class="button" href=${href("recall", [], { role, of: record, skip: Number(skip) + data.recalls.length })}>Older</a>`}</div></div>`}<//>
  </div></div>`;
}

function One({ id, route, world }) {
  const state = useAsk((signal) => get(`/api/recall/${encodeURIComponent(id)}`, {}, signal), [id, world.tick]);
  return html`<div class="page"><div class="inner"><${Asked} state=${state}>${(replay) => html`<${Replay} replay=${replay} route=${route} />`}<//></div></div>`;
}

const STAGES = [
  ["asked", "Asked", Question], ["found", "Found", Search], ["walked", "Walked", Walked], ["screened", "Screened out", Screened],
  ["packed", "Packed", Packed], ["outcome", "What came of it", Consequence],
];

function Replay({ replay, route }) {
  const step = Math.max(0, STAGES.findIndex(([key]) => key === (route.query.step ?? "packed")));
  const go = (index) => amend({ step: STAGES[index][0] }, { replace: true });
  const counts = useMemo(() => countsOf(replay), [replay]);
  const Stage = STAGES[step][2];
  const tabs = useRef(null);
  const keys = (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const next = Math.max(0, Math.min(STAGES.length - 1, step + by));
    go(next);
    tabs.current.querySelectorAll("[role=tab]")[next].focus();
  };
  return html`
    <${Head} title=${line(replay.task, 200) || "(no task)"} crumb=${html`<a href=${href("recall")}>Recalls</a> / receipt <${Id} id=${replay.receipt} />`}
      actions=${replay.trial && html`<a class="button" href=${href("trial", replay.trial)}>Open the trial</a>`}>
      Recalled for ${visible(replay.role) || "any role"} by ${visible(replay.strategy)}, from the memory at position ${count(replay.position)}, <${Time} value=${replay.created_at} />.<//>
    <div class="stages" role="tablist" aria-label="Stages of the recall" ref=${tabs} onKeyDown=${keys}>${STAGES.map(([key, name], index) => html`
      <button type="button" role="tab" key=${key} id=${`stage-${key}`} aria-selected=${index === step} aria-controls="stage" tabindex=${index === step ? 0 : -1}
        class=${index < step ? "done" : ""} onClick=${() => go(index)}><i aria-hidden="true">${index + 1}</i><b>${name}</b><span>${counts[key]}</span></button>`)}</div>
    <div class="panel picture"><${PathPicture} replay=${replay} stage=${STAGES[step][0]} route=${route} /></div>
    <section class="panel" id="stage" role="tabpanel" aria-labelledby=${`stage-${STAGES[step][0]}`} tabindex="0"><${Stage} replay=${replay} route=${route} />
      <div class="row spread stage-foot"><button type="button" class="button" disabled=${step === 0} onClick=${() => go(step - 1)}><${Icon} name="previous" />Previous</button>
        <button type="button" class="button primary" disabled=${step === STAGES.length - 1} onClick=${() => go(step + 1)}>Next<${Icon} name="next" /></button></div></section>
    <details><summary>The same account in words, as <code>triforium explain</code> prints it</summary><pre class="block" tabindex="0">${visible(replay.text)}</pre></details>`;
}

function countsOf(replay) {
  const of = (test) => replay.candidates.filter(test).length;
  return {
    asked: `${count(replay.budget)} tokens`, found: several(of((one) => one.how === "search"), "candidate"), walked: several(of((one) => one.path.length > 1), "reached", "reached"),
    screened: several(of((one) => one.fate !== "packed"), "record"), packed: `${several(replay.items.length, "item")}, ${count(replay.tokens)} tokens`,
    outcome: replay.outcome?.kind ?? "open",
  };
}

function Question({ replay }) {
  return html`<header><h2>What was asked</h2></header><p class="said text" dir="auto">${visible(replay.task)}</p>
    <dl class="facts roomy"><dt>For</dt><dd>${replay.role ? html`<a href=${href("agents", replay.role)}>${visible(replay.role)}</a>` : "any role"}</dd>
      <dt>Run</dt><dd class="mono">${visible(replay.run) || "–"}</dd><dt>Budget</dt><dd>${count(replay.budget)} tokens</dd><dt>Strategy</dt><dd>${visible(replay.strategy)}</dd>
      <dt>Channels</dt><dd>${replay.channels.join(", ") || "–"}</dd>
      <dt>Memory read</dt><dd><a href=${href("graph", [], { at: replay.position })}>as it was at position ${count(replay.position)}</a></dd></dl>`;
}

const Nothing = ({ children }) => html`<p class="soft">${children}</p>`;

function Search({ replay, route }) {
  const found = replay.candidates.filter((one) => one.how === "search");
  return html`<header><h2>Found by search</h2><span class="note">each channel scores by itself; the final score orders them</span></header>
    ${found.length ? html`<${Candidates} candidates=${found} route=${route} />` : html`<${Nothing}>The receipt names no candidate that search found by itself.<//>`}`;
}

function Walked({ replay, route }) {
  const walked = replay.candidates.filter((one) => one.path.length > 1);
  return html`<header><h2>Reached along links</h2><span class="note">from the trials that were found, up to insights and along the graph</span></header>
    ${walked.length ? html`<${Candidates} candidates=${walked} route=${route} path />` : html`<${Nothing}>Nothing was reached along links in this recall.<//>`}`;
}

function Screened({ replay, route }) {
  const out = replay.candidates.filter((one) => one.fate !== "packed");
  return html`<header><h2>Not packed</h2><span class="note">and why</span></header>
    ${out.length ? html`<${Candidates} candidates=${out} route=${route} reason />` : html`<${Nothing}>Everything that was found was packed.<//>`}
    ${replay.held_out.length > 0 && html`<p class="small soft">Held out on purpose: ${several(replay.held_out.length, "record")}, to measure what they are worth.</p>`}`;
}

function Candidates({ candidates, route, path, reason }) {
  const most = Math.max(0.0001, ...candidates.map((one) => one.scores.final ?? 0));
  const ordered = [...candidates].sort((a, b) => (b.scores.final ?? 0) - (a.scores.final ?? 0));
  return html`<ul class="list">${ordered.map((one) => html`<li key=${one.id} class="candidate" data-record=${one.id}>
    <div><a href=${recordHref(one.id, route)} class="what">${one.tier && html`<${Mark} record=${{ tier: one.tier, kind: "", status: one.fate === "quarantined" ? "quarantined" : "active", outcome: null }} />`} ${line(one.text, 220)}</a>
      <p class="row small"><span class=${`chip ${one.fate === "packed" ? "packed" : one.fate === "quarantined" ? "quarantined" : ""}`}>${one.fate === "packed" ? `packed as ${one.rank}` : one.fate}</span>
        ${(reason || one.fate !== "packed") && one.reason && html`<span class="soft">${visible(one.reason)}</span>`}
        ${path && html`<${Path} path=${one.path} route=${route} />`}</p></div>
    <${Scores} scores=${one.scores} most=${most} /></li>`)}</ul>`;
}

function Scores({ scores, most }) {
  const names = Object.keys(scores).sort((a, b) => (a === "final" ? -1 : b === "final" ? 1 : a < b ? -1 : 1));
  return html`<div class="scores">${names.map((name) => html`<${Score} key=${name} name=${name} value=${scores[name]} scale=${name === "final" ? most : 1} />`)}</div>`;
}

function Path({ path, route }) {
  return html`<span class="path soft tiny">${path.map((step, index) => html`<span key=${index}>${index > 0 && html` <i>${(step.link ?? "then").toLowerCase().replace("_", " ")}</i> `}
    <a href=${recordHref(step.id, route)}>${step.record ? line(step.record.text, 34) : shortId(step.id)}</a></span>`)}</span>`;
}

function Packed({ replay, route }) {
  const most = Math.max(0.0001, ...replay.items.map((one) => one.scores.final ?? 0));
  return html`<header><h2>Packed into the prompt</h2><span class="note">${several(replay.items.length, "item")}, ${count(replay.tokens)} of ${count(replay.budget)} tokens</span></header>
    <${Budget} replay=${replay} />
    ${replay.items.length === 0 ? html`<${Nothing}>Nothing was handed out: the memory had nothing for this task, or nothing fitted the budget.<//>`
      : html`<ol class="list">${replay.items.map((item) => html`<li key=${item.record.id} class="candidate packed-item" data-record=${item.record.id}>
        <div><p class="row"><b class="rank">${item.rank}</b><span class=${`chip ${item.placement === "example" ? "success" : item.placement === "counter-example" || item.placement === "warning" ? "failure" : "insight"}`}>${item.placement}</span>
          <span class="small soft">${several(item.tokens, "token")}</span>${item.used && html`<span class="chip packed">acted on</span>`}${item.flagged && html`<span class="chip failure">flagged</span>`}</p>
          <p><a class="what" href=${recordHref(item.record.id, route)}>${line(item.record.text, 220)}</a></p>
          <p class="small soft">by ${visible(item.record.source) || "unattributed"}${item.voters.length ? `, ${several(item.voters.length, "trial")} of the candidates speak for it` : ""}</p>
          ${item.path.length > 1 && html`<p><${Path} path=${item.path} route=${route} /></p>`}
          <details><summary>What the agent read</summary><pre class="block" tabindex="0">${visible(item.text)}</pre></details></div>
        <${Scores} scores=${item.scores} most=${most} /></li>`)}</ol>`}
    ${replay.gone.length > 0 && html`<p class="small soft">${several(replay.gone.length, "item")} cannot be shown: the record is not visible any more.</p>`}
    ${replay.prompt && html`<details><summary>The whole block as it entered the prompt</summary><pre class="block" tabindex="0">${visible(replay.prompt)}</pre></details>`}`;
}

function Budget({ replay }) {
  let at = 0;
  const total = Math.max(1, replay.budget, replay.tokens);
  return html`<div class="budget"><svg viewBox=${`0 0 ${total} 10`} preserveAspectRatio="none" role="img" aria-label=${`${replay.tokens} of ${replay.budget} tokens used`}>
    <rect width=${total} height="10" fill="var(--sunk)" />${replay.items.map((item) => {
      const tone = { rule: "insight", fact: "insight", example: "success", warning: "failure", "counter-example": "failure" }[item.placement];
      const part = html`<rect key=${item.rank} x=${at} width=${Math.max(0, item.tokens - total * 0.0016)} height="10" fill=${`var(--${tone}-mark)`}><title>${item.placement}: ${item.tokens} tokens</title></rect>`;
      at += item.tokens;
      return part;
    })}</svg><p class="tiny soft row"><span><i class="dot insight"></i>rules and facts</span><span><i class="dot success"></i>examples</span><span><i class="dot failure"></i>counter-examples and warnings</span></p></div>`;
}

function Consequence({ replay, route }) {
  const credited = replay.items.filter((one) => one.credit);
  return html`<header><h2>What came of it</h2><${Ending} outcome=${replay.outcome} /></header>
    ${replay.trial_record ? html`<p>The trial <a href=${href("trial", replay.trial)}>${line(replay.trial_record.text, 120)}</a> ${replay.outcome ? `ended in ${replay.outcome.kind}` : "is still open"}${replay.outcome?.judge ? `, judged by ${visible(replay.outcome.judge)}` : ""}${replay.outcome?.reason ? `: ${visible(replay.outcome.reason)}` : ""}.</p>`
      : html`<${Nothing}>This recall was for no trial, so nothing is known of what it led to.<//>`}
    ${credited.length > 0 && html`<h3>Credit it gave</h3><ul class="list">${credited.map((one) => html`<li key=${one.record.id} class="entry"><span class="num soft">${one.rank}</span>
      <a class="what" href=${recordHref(one.record.id, route)}>${line(one.record.text, 160)}</a><span class="row small">${one.used && html`<span class="chip packed">acted on</span>`}
      <span>used ${score(one.credit.uses)}, helped ${score(one.credit.helped)}, hurt ${score(one.credit.hurt)}</span></span></li>`)}</ul>`}
    ${replay.led_to.length > 0 && html`<p class="small soft">The graph keeps ${several(replay.led_to.length, "link")} from the trials that were acted on to this one.</p>`}`;
}
