// The chosen record, whole: what it says, who wrote it, why it was recalled, what it caused.
import { html, useEffect, useRef } from "../lib.js";
import { get } from "../api.js";
import { count, line, number, several, shortId, signed, visible } from "../format.js";
import { amend, href } from "../router.js";
import { Mark } from "./icons.js";
import { Asked, Close, Ending, Folded, Id, RecordEntry, RecordList, StatusChip, Storey, Time, useAsk, Words } from "./ui.js";

const WAYS = {
  "SUPPORTS in": "Evidence for it", "REFUTES in": "Evidence against it", "SUPPORTS out": "Insights it supports", "REFUTES out": "Insights it speaks against",
  "LED_TO in": "Trials that were used for it", "LED_TO out": "Trials it was used for", "SIMILAR in": "Similar trials", "SIMILAR out": "Similar trials",
  "NEXT in": "The step before", "NEXT out": "The step after", "REPLY_TO in": "Replies to it", "REPLY_TO out": "It answers", "PART_OF out": "Part of",
  "DERIVED_FROM in": "Derived from it", "DERIVED_FROM out": "It was derived from", "SUPERSEDES in": "Replaced by", "SUPERSEDES out": "It replaces",
};

/** The drawer at the right of every view. */
export function Drawer({ id, route, world }) {
  const at = route.query.at ?? "";
  const state = useAsk((signal) => get(`/api/record/${encodeURIComponent(id)}`, { at }, signal), [id, at, world.tick]);
  const close = () => amend({ record: "" });
  const frame = useRef(null);
  useEffect(() => { frame.current?.querySelector("h2")?.focus({ preventScroll: true }); }, [state.data?.record.id]);
  return html`<aside class="drawer" ref=${frame} aria-label="Chosen record">
    ${!state.data && html`<div class="top"><strong>Record</strong><${Close} onClick=${close} label="Close the record" /></div>`}
    <${Asked} state=${state}>${(detail) => html`<${Record} detail=${detail} route=${route} onClose=${close} />`}<//>
  </aside>`;
}

function Record({ detail, route, onClose }) {
  const { record } = detail;
  const credit = Object.values(record.credit).reduce((sum, one) => ({ uses: sum.uses + one.uses, helped: sum.helped + one.helped, hurt: sum.hurt + one.hurt }), { uses: 0, helped: 0, hurt: 0 });
  return html`
    <div class="top"><${Mark} record=${record} /><${Storey} record=${record} />${record.tier === "query" && html`<${Ending} outcome=${record.outcome} />`}
      <${StatusChip} status=${record.status} /><span class="soft tiny"><${Id} id=${record.id} /></span><${Close} onClick=${onClose} label="Close the record" /></div>
    <div class="body">
      <section class="section"><h2 class="visually-hidden" tabindex="-1">${line(record.text, 120)}</h2>
        <${Words} text=${record.text} className=${record.text.length > 400 ? "said long" : "said"} />
        <${Ways} detail=${detail} route=${route} /></section>
      ${record.tier !== "interaction" && html`<section class="section" aria-label="Worth"><div class="tally">
        <div><b>${number(credit.uses, 1)}</b><span>used</span></div><div><b>${number(credit.helped, 1)}</b><span>helped</span></div>
        <div><b>${number(credit.hurt, 1)}</b><span>hurt</span></div><div><b>${record.tier === "insight" ? `${record.support}:${record.refuted}` : number(record.confidence)}</b>
          <span>${record.tier === "insight" ? "for : against" : "confidence"}</span></div></div>
        <${LiftWords} lift=${detail.lift} /></section>`}
      <${Author} detail=${detail} />
      ${detail.steps.length > 0 && html`<section class="section"><header><h2>What was done</h2><span class="note">${several(detail.steps.length, "step")}</span></header>
        <${Folded} items=${detail.steps} first=${8} noun="more steps">${(steps) => html`<${RecordList} records=${steps} route=${route} note=${(one) => one.text.split("\n").slice(1).map((text) => line(text, 110)).join(" ") || undefined} />`}<//></section>`}
      <${Recalled} detail=${detail} />
      ${detail.caused.length > 0 && html`<section class="section"><header><h2>What it caused</h2><span class="note">${count(detail.caused.length)}</span></header>
        <${Folded} items=${detail.caused}>${(items) => html`<${RecordList} records=${items} route=${route} />`}<//></section>`}
      <${Linked} detail=${detail} route=${route} />
      <${Rest} record=${record} />
    </div>`;
}

function Ways({ detail, route }) {
  const { record, trial } = detail;
  const trialId = record.tier === "query" ? record.id : trial?.id;
  return html`<div class="row">
    ${trialId && html`<a class="button" href=${href("trial", trialId, record.tier === "query" ? {} : { record: record.id })}>Open the trial</a>`}
    ${detail.recalled[0] && html`<a class="button" href=${href("recall", detail.recalled[0].receipt)}>Why was it recalled?</a>`}
    ${route.view !== "graph" && html`<a class="button" href=${href("graph", [], { record: record.id, at: route.query.at })}>Show in the graph</a>`}
    ${record.status === "quarantined" && route.view !== "guard" && html`<a class="button danger" href=${href("guard", record.id)}>Why is it in quarantine?</a>`}
    <a class="button" href=${href("history", ["record", record.id])}>What changed?</a></div>`;
}

function Author({ detail }) {
  const { record, written } = detail;
  const { provenance } = record;
  return html`<section class="section"><h2>Who wrote this</h2><dl class="facts">
    <dt>Source</dt><dd>${provenance.source ? visible(provenance.source) : "unattributed"}</dd>
    ${provenance.agent && html`<dt>Agent</dt><dd><a href=${href("agents", provenance.agent, { role: provenance.role })}>${visible(provenance.agent)}</a>${provenance.role && provenance.role !== provenance.agent ? `, as ${visible(provenance.role)}` : ""}</dd>`}
    <dt>When</dt><dd><${Time} value=${record.created_at} /></dd>
    ${written && html`<dt>Change</dt><dd><a href=${href("history", ["change", written.position])}>${count(written.position)}</a>${written.reason ? `, ${line(written.reason, 80)}` : ""}</dd>`}
    ${provenance.run && html`<dt>Run</dt><dd class="mono">${visible(provenance.run)}</dd>`}
    <dt>Scope</dt><dd>${visible(record.scope)}</dd>
    ${record.taint.length > 0 && html`<dt>Descends from</dt><dd>${record.taint.map((root) => html`<a key=${root} href=${href("guard", root)}>${shortId(root)}</a> `)} in quarantine</dd>`}
  </dl></section>`;
}

export function LiftWords({ lift }) {
  if (!lift || lift.difference == null) return null;
  const words = { helps: "It helps", hurts: "It hurts", unclear: "Unclear whether it helps", unknown: "Not known yet" }[lift.verdict];
  return html`<p class="small soft">${words}: lift ${signed(lift.difference)}${lift.low != null ? ` (95% from ${signed(lift.low)} to ${signed(lift.high)})` : ""},
    served ${count(lift.served)}, held out ${count(lift.held_out)}.</p>`;
}

function Recalled({ detail }) {
  const { recalled, recalled_count: all } = detail;
  if (!all) return null;
  return html`<section class="section"><header><h2>Recalled</h2><span class="note">${several(all, "time")}</span></header>
    <${Folded} items=${recalled} first=${5}>${(uses) => html`<ul class="list">${uses.map((use) => html`<li key=${use.receipt + use.part}>
      <a class="entry" href=${href("recall", use.receipt)}><span class="num soft">${use.rank || "–"}</span><span class="what">${line(use.task, 120)}</span>
        <${Ending} outcome=${use.outcome} /><span class="more">${use.part === "served" ? `served to ${visible(use.role) || "any role"}, score ${number(use.final)}` : `${use.part}${use.reason ? `: ${line(use.reason, 80)}` : ""}`}</span></a></li>`)}</ul>`}<//></section>`;
}

function Linked({ detail, route }) {
  const groups = new Map();
  for (const one of detail.links) {
    const key = `${one.link.type} ${one.direction}`;
    if (key === "PART_OF in" || !WAYS[key]) continue;
    const name = WAYS[key];
    groups.set(name, [...(groups.get(name) ?? []), one.record]);
  }
  return html`${[...groups].map(([name, records]) => html`<section class="section" key=${name}><header><h2>${name}</h2><span class="note">${count(records.length)}</span></header>
    <${Folded} items=${records} first=${4}>${(shown) => html`<ul class="list">${shown.map((one) => html`<li key=${one.id}><${RecordEntry} record=${one} route=${route} /></li>`)}</ul>`}<//></section>`)}
    ${detail.links_cut && html`<p class="small soft">It has more links than are listed here.</p>`}`;
}

function Rest({ record }) {
  const data = Object.keys(record.data).length > 0;
  return html`<section class="section">
    ${record.summary && html`<details><summary>Summary</summary><pre class="block">${visible(record.summary)}</pre></details>`}
    ${data && html`<details><summary>Structured data</summary><pre class="block" tabindex="0">${visible(JSON.stringify(record.data, null, 2))}</pre></details>`}
    <p class="tiny soft">Record <span class="mono">${visible(record.id)}</span>, revision ${record.revision}, added at ${count(record.added)}${record.expired ? `, taken away at ${count(record.expired)}` : ""}.</p></section>`;
}
