// One trial as a sequence of agents: who did what, in order, and the memory that each saw.
import { html, useMemo } from "../lib.js";
import { get } from "../api.js";
import { count, line, several, shortId, visible } from "../format.js";
import { amend, href } from "../router.js";
import { Asked, Empty, Ending, Folded, Head, RecordList, recordHref, Select, Time, useAsk, Words } from "../components/ui.js";

export function TrialView({ route, world }) {
  const id = route.args[0];
  return id ? html`<${One} id=${id} route=${route} world=${world} />` : html`<${All} route=${route} world=${world} />`;
}

function All({ route, world }) {
  const { skip = "", outcome = "" } = route.query;
  const state = useAsk((signal) => get("/api/trials", { skip, outcome }, signal), [skip, outcome, world.tick]);
  return html`<div class="page"><div class="inner">
    <${Head} title="Trials" actions=${html`<${Select} label="Outcome" value=${outcome} onChange=${(value) => amend({ outcome: value, skip: "" })}
      options=${[["success", "Success"], ["failure", "Failure"], ["score", "Score"], ["open", "Open"], ["unknown", "Unknown"]]} />`}>
      One attempt at a task: its steps in order, who took them, and the memory they saw. Choose one to read it as a sequence.<//>
    <${Asked} state=${state}>${(data) => data.trials.length === 0
      ? html`<${Empty} title=${outcome ? "No trial ended so" : "No task was tried yet"}><p>A trial appears as soon as a team begins a task with this store.</p><//>`
      : html`<div class="panel"><header><h2>Newest first</h2></header><ul class="list">${data.trials.map(({ record, steps, recalls }) => html`<li key=${record.id}>
        <a class="entry" href=${href("trial", record.id)}><span class="soft num">${count(record.added)}</span><span class="what">${line(record.text, 180)}</span><${Ending} outcome=${record.outcome} open=${record.open} />
          <span class="more">${steps == null ? "" : `${several(steps, "step")}, `}${several(recalls, "recall")}, by ${visible(record.source) || "unattributed"}, <${Time} value=${record.created_at} /></span></a></li>`)}</ul>
        <div class="row">${skip && html`<a class="button" href=${href("trial", [], { outcome })}>Newest</a>`}
          ${data.more && html`<a class="button" href=${href("trial", [], { outcome, skip: Number(skip) + data.trials.length })}>Older</a>`}</div></div>`}<//>
  </div></div>`;
}

function One({ id, route, world }) {
  const { at = "" } = route.query;
  const state = useAsk((signal) => get(`/api/trial/${encodeURIComponent(id)}`, { at }, signal), [id, at, world.tick]);
  return html`<div class="page"><div class="inner"><${Asked} state=${state}>${(trial) => html`<${Trial} trial=${trial} route=${route} />`}<//></div></div>`;
}

function Trial({ trial, route }) {
  const { record } = trial;
  return html`
    <${Head} title=${line(record.text, 220) || "(no task)"} crumb=${html`<a href=${href("trial")}>Trials</a> / <${Time} value=${record.created_at} />`}
      actions=${html`<${Ending} outcome=${record.outcome} /><a class="button" href=${recordHref(record.id, route)}>Show the record</a>`}>
      ${several(trial.steps.length, "step")} by ${several(trial.lanes.length, "agent")}${trial.recalls.length ? `, ${several(trial.recalls.length, "recall")}` : ", without recall"}.
      ${record.outcome?.reason ? visible(record.outcome.reason) : ""}<//>
    ${trial.steps.length === 0 ? html`<${Empty} title="No step yet"><p>Steps appear as the agents take them.</p><//>` : html`<${Sequence} trial=${trial} route=${route} />`}
    <div class="columns">
      <${Side} title="Memory that was acted on" records=${trial.used} route=${route} none="No step says that it acted on something recalled." />
      <${Side} title="Insights it supports" records=${trial.supports} route=${route} none="It is no evidence for an insight yet." />
      <${Side} title="Insights it speaks against" records=${trial.refutes} route=${route} />
      <${Side} title="Trials used for it" records=${trial.led_from} route=${route} />
      <${Side} title="Trials it was used for" records=${trial.led_to} route=${route} />
      <${Side} title="Similar trials" records=${trial.similar} route=${route} />
    </div>`;
}

function Side({ title, records, route, none }) {
  if (!records.length && !none) return null;
  return html`<section class="panel"><header><h2>${title}</h2>${records.length > 0 && html`<span class="note">${count(records.length)}</span>`}</header>
    ${records.length ? html`<${Folded} items=${records} first=${5}>${(shown) => html`<${RecordList} records=${shown} route=${route} />`}<//>` : html`<p class="soft small">${none}</p>`}</section>`;
}

// Rows of the diagram: a recall stands before the step that it was made for.
function rowsOf(trial) {
  const rows = [];
  const left = [...trial.recalls].sort((a, b) => a.before_step - b.before_step);
  for (const [index, step] of trial.steps.entries()) {
    while (left.length && left[0].before_step <= index) rows.push({ recall: left.shift() });
    rows.push({ step });
  }
  return [...rows, ...left.map((recall) => ({ recall }))];
}

function Sequence({ trial, route }) {
  const rows = useMemo(() => rowsOf(trial), [trial]);
  const lanes = [...new Set([...trial.lanes, ...trial.recalls.map((one) => one.lane)])];
  const repliesTo = new Map(trial.steps.map((one) => [one.record.id, one]));
  const used = new Map(trial.used.map((one) => [one.id, one.text]));
  return html`<section class="panel sequence" aria-label="Sequence of steps"><div class=${`lanes lanes-${Math.min(lanes.length, 6)}`}>
    <div class="lane-names" aria-hidden="true">${lanes.map((lane) => html`<a key=${lane} href=${href("agents", lane)} tabindex="-1">${visible(lane) || "unattributed"}</a>`)}</div>
    <ol>${rows.map(({ step, recall }) => recall ? html`<${RecallRow} key=${recall.receipt} recall=${recall} lane=${lanes.indexOf(recall.lane)} />`
      : html`<${StepRow} key=${step.record.id} step=${step} lane=${lanes.indexOf(step.lane)} answered=${repliesTo.get(step.reply_to)} used=${used} route=${route} />`)}</ol></div></section>`;
}

function RecallRow({ recall, lane }) {
  return html`<li class=${`turn at-${Math.min(lane, 5)}`}><a class="saw" href=${href("recall", recall.receipt)}><b>${visible(recall.lane)} recalled</b>
    <span>${recall.items ? `${several(recall.items, "item")}, ${several(recall.tokens, "token")}` : "nothing was found"}, at position ${count(recall.position)}</span></a></li>`;
}

function StepRow({ step, lane, answered, used, route }) {
  const { record } = step;
  const chosen = route.query.record === record.id;
  return html`<li class=${`turn at-${Math.min(lane, 5)}`}><div class=${`deed ${record.kind} ${chosen ? "chosen" : ""} ${record.status === "quarantined" ? "bad" : ""}`}>
    <a href=${recordHref(record.id, route)} aria-current=${chosen ? "true" : undefined}><span class="n">${record.step + 1}</span><b>${line(step.action, 140) || record.kind}</b></a>
    ${step.said && html`<${Words} text=${step.said} cut=${420} className="small soft" />`}
    <p class="tiny soft row">${answered && html`<span>answers step ${answered.record.step + 1}</span>`}
      ${step.used.length > 0 && html`<span class="chip packed">acted on</span>${step.used.slice(0, 3).map((id) => html`<a key=${id} href=${recordHref(id, route)}>${line(used.get(id) ?? shortId(id), 60)}</a>`)}`}</p>
  </div></li>`;
}
