// Whether the team learns: success over the stream, growth, what each insight is worth, what recall costs.
import { html } from "../lib.js";
import { get } from "../api.js";
import { bytes, count, ending, line, number, percent, several, signed, visible } from "../format.js";
import { amend, href } from "../router.js";
import { Interval, LineChart } from "../components/charts.js";
import { Table } from "../components/table.js";
import { Asked, Empty, Figure, Head, recordHref, Switch, useAsk } from "../components/ui.js";

export function LearningView({ route, world }) {
  const state = useAsk((signal) => get("/api/learning", {}, signal), [world.tick]);
  const show = html`<${Switch} label="Show as" value=${route.query.show ?? "charts"} options=${[["charts", "Charts"], ["table", "Table"]]}
    onChange=${(value) => amend({ show: value === "charts" ? "" : value })} />`;
  return html`<div class="page"><div class="inner">
    <${Head} title="Learning" actions=${show}>
      Whether success rises with the trials the team has seen, and what the memory is worth and costs.
    <//>
    <${Asked} state=${state}>${(data) => data.points.length === 0
      ? html`<${Empty} title="No trial has ended yet"><p>The curve begins with the first task whose outcome is known.</p><//>`
      : html`<${Whole} data=${data} route=${route} />`}<//>
  </div></div>`;
}

const VERDICTS = {
  helps: "The memory helps", hurts: "The memory hurts",
  unclear: "Unclear yet whether it helps", unknown: "Not known yet whether it helps",
};

/** The 95% Wilson interval of a share. */
function wilson(won, of) {
  const z = 1.96;
  const centre = (won + (z * z) / 2) / (of + z * z);
  const half = (z / (of + z * z)) * Math.sqrt((won * (of - won)) / of + (z * z) / 4);
  return [Math.max(0, centre - half), Math.min(1, centre + half)];
}

// Below so many trials a share says nothing.
const FEWEST = 5;

// Where most trials recall, one that does not was shown to the team, and is no test of its memory.
function streamOf(points, window) {
  const tested = points.some((one) => one.recalls > 0);
  const seen = [];
  return points.map((one) => {
    const shown = tested && one.recalls === 0;
    if (!shown && one.value != null) seen.push(one.value);
    const last = seen.slice(-window);
    const won = last.reduce((sum, value) => sum + value, 0);
    const [low, high] = last.length ? wilson(won, last.length) : [null, null];
    return { ...one, shown, rate: last.length >= FEWEST ? won / last.length : null, low: last.length >= FEWEST ? low : null, high };
  });
}

function Whole({ data, route }) {
  const points = streamOf(data.points, data.window);
  const known = points.filter((one) => one.value != null && !one.shown);
  const first = Math.min(data.window, Math.ceil(known.length / 2));
  const rate = (some) => some.reduce((sum, one) => sum + one.value, 0) / (some.length || 1);
  return html`
    <div class="figures">
      <${Figure} value=${percent(rate(known.slice(-first)))}>of the last ${count(first)} trials succeeded<//>
      <${Figure} value=${percent(rate(known.slice(0, first)))}>of the first ${count(first)}<//>
      <${Figure} value=${count(points.at(-1).insights)}>insights held<//>
      <${Figure} value=${count(data.tokens)}>tokens in ${several(data.recalls, "recall")}<//>
      <${Figure} value=${bytes(data.bytes)}>on disk<//>
    </div>
    ${route.query.show === "table" ? html`<${Points} points=${points} />` : html`<${Charts} points=${points} data=${data} />`}
    <section class="section">
      <header><h2>What each insight is worth</h2><span class="note">credit: how often it was used, and how that ended</span></header>
      <${Insights} insights=${data.insights} route=${route} />
    </section>`;
}

function Charts({ points, data }) {
  const last = points.at(-1);
  const shown = points.filter((one) => one.shown).length;
  const success = {
    name: "share that succeeded", tone: "success",
    points: points.map((one) => [one.number, one.rate]), band: points.map((one) => [one.number, one.low, one.high]),
  };
  const insights = { name: "insights", tone: "insight", points: points.map((one) => [one.number, one.insights]), area: true };
  const trials = { name: "trials", tone: "accent", points: points.map((one) => [one.number, one.number]) };
  const tokens = { name: "tokens", tone: "step", points: points.map((one) => [one.number, one.tokens]), area: true };
  const left = shown ? `; ${several(shown, "trial")} without recall left out` : "";
  return html`<div class="columns">
    <${Chart} title="Success over the stream" note=${`mean of the last ${data.window} trials, with its 95% interval${left}`}>
      <${LineChart} label=${`Share of trials that succeeded, over ${several(points.length, "trial")}; now ${percent(last.rate)}`}
        top=${1} format=${percent} xLabel="trial" series=${[success]} />
      <${Stream} points=${points} />
    <//>
    <${Chart} title="Growth of the memory" note="insights held, and trials seen">
      <${LineChart} label=${`Insights held and trials seen; now ${count(last.insights)} insights`} xLabel="trial" series=${[insights, trials]} />
    <//>
    <${Chart} title="Cost of recall" note="tokens recalled for each trial">
      <${LineChart} label="Tokens recalled for each trial" xLabel="trial" series=${[tokens]} />
    <//>
    <${Chart} title="Does it help?" note="served, against held out on purpose"><${Lift} lift=${data.lift} /><//>
  </div>`;
}

const Chart = ({ title, note, children }) => html`<section class="panel">
  <header><h2>${title}</h2><span class="note">${note}</span></header>${children}</section>`;

// Every trial as one mark: the curve's raw material.
function Stream({ points }) {
  return html`<ol class="stream" aria-label="Trials in order">${points.map((one) => {
    const kind = one.value == null ? "open" : one.value >= 0.5 ? "success" : "failure";
    return html`<li key=${one.id}><a class=${one.shown ? "shown" : kind} href=${href("trial", one.id)}
      aria-label=${`Trial ${one.number}: ${kind}`} title=${`Trial ${one.number}: ${kind}${one.shown ? ", without recall" : ""}`}></a></li>`;
  })}</ol>`;
}

function Lift({ lift }) {
  const rows = [["Whole recalls", lift.whole], ["Single items", lift.items], ...Object.entries(lift.groups)];
  const verdict = (VERDICTS[lift.verdict] ?? line(lift.verdict, 120)).replace(/\.$/, "");
  return html`<p><b>${verdict}.</b></p>
    <div class="scroll flat" tabindex="0" role="region" aria-label="Lift"><table>
      <thead><tr><th scope="col">Measured on</th><th scope="col" class="num">Served</th><th scope="col" class="num">Held out</th>
        <th scope="col" class="num">Lift</th><th scope="col">95% interval</th></tr></thead>
      <tbody>${rows.map(([name, one]) => html`<tr key=${name}><td>${visible(name)}</td><td class="num">${count(one.served)}</td>
        <td class="num">${count(one.held_out)}</td><td class="num">${signed(one.difference)}</td><td><${Range} one=${one} /></td></tr>`)}</tbody>
    </table></div>
    <p class="small soft">Lift is the outcome with the memory served minus with it held out. Below 20 hold-outs it says unknown;
      ${" "}<code class="line">hold_out=0.02</code> when the memory is opened keeps two recalls in a hundred back to measure it.</p>`;
}

function Range({ one }) {
  if (one.low == null) return html`<span class="soft">unknown</span>`;
  return html`<${Interval} low=${one.low} high=${one.high} middle=${one.difference} /> ${" "}
    <span class="tiny soft">${signed(one.low)} to ${signed(one.high)}</span>`;
}

function Insights({ insights, route }) {
  if (!insights.length) return html`<p class="soft">No insight was mined yet: it takes trials that share something.</p>`;
  const figure = (name, field, show) => ({ name, num: true, value: (one) => one.record[field], cell: (one) => show(one.record[field]) });
  const credit = (value) => number(value, 1);
  const lift = ({ lift: found }) => found?.difference == null ? html`<span class="soft">unknown</span>`
    : html`${signed(found.difference)} <span class="tiny soft">${signed(found.low)} to ${signed(found.high)}</span>`;
  const columns = [
    { name: "Insight", value: (one) => one.record.text,
      cell: (one) => html`<a class="what" href=${recordHref(one.record.id, route)}>${line(one.record.text, 180)}</a>` },
    figure("For", "support", count), figure("Against", "refuted", count),
    figure("Used", "uses", credit), figure("Helped", "helped", credit), figure("Hurt", "hurt", credit),
    { name: "Lift", num: true, value: (one) => one.lift?.difference ?? null, cell: lift },
  ];
  return html`<${Table} caption="Insights and what they are worth" columns=${columns} rows=${insights} id=${(one) => one.record.id}
    chosen=${route.query.record} sort=${{ column: 4, down: true }} limit=${40} />`;
}

function Points({ points }) {
  const ended = (value) => value == null ? "open" : value === 1 ? "success" : value === 0 ? "failure" : ending({ kind: "score", value });
  const figure = (name, field, show = count) => ({ name, num: true, value: (one) => one[field], cell: (one) => show(one[field]) });
  const columns = [
    { name: "Trial", num: true, value: (one) => one.number, cell: (one) => html`<a href=${href("trial", one.id)}>${count(one.number)}</a>` },
    { name: "Outcome", value: (one) => one.value ?? -1, cell: (one) => ended(one.value) },
    figure("Share that succeeded", "rate", percent), figure("Insights", "insights"), figure("Recalls", "recalls"), figure("Tokens", "tokens"),
  ];
  return html`<${Table} caption="Trials of the stream" columns=${columns} rows=${points} id=${(one) => one.id} limit=${100} />`;
}
