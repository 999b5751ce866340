// Who works with this memory, and the memory as one of them sees it.
import { html } from "../lib.js";
import { get } from "../api.js";
import { count, several, visible } from "../format.js";
import { href } from "../router.js";
import { Table } from "../components/table.js";
import { Asked, Empty, Figure, Folded, Head, RecordList, Time, useAsk } from "../components/ui.js";
import { Line } from "../components/receiptline.js";

export function AgentsView({ route, world }) {
  const list = useAsk((signal) => get("/api/agents", {}, signal), [world.tick]);
  const name = route.args[0];
  const role = route.query.role ?? "";
  return html`<div class="page"><div class="inner"><${Asked} state=${list}>${(data) => {
    if (!name) return html`<${All} data=${data} />`;
    return html`<${One} name=${name} line=${named(data.agents, name, role)} route=${route} world=${world} />`;
  }}<//></div></div>`;
}

// One name may stand for several roles; where the address names none, the first that is called so.
function named(agents, name, role) {
  return agents.find((one) => one.name === name && one.role === role)
    ?? agents.find((one) => !role && (one.name === name || one.role === name || one.agent === name))
    ?? (role ? { role, agent: name } : { role: name, agent: "" });
}

function All({ data }) {
  const columns = [
    { name: "Agent", value: (one) => one.name, cell: (one) => html`<a href=${href("agents", one.name, { role: one.role })}><b>${visible(one.name) || "unattributed"}</b></a>` },
    { name: "Role", value: (one) => one.role || "–" }, { name: "Steps", num: true, value: (one) => one.steps, cell: (one) => count(one.steps) },
    { name: "Trials", num: true, value: (one) => one.trials, cell: (one) => count(one.trials) }, { name: "Recalls", num: true, value: (one) => one.recalls, cell: (one) => count(one.recalls) },
    { name: "Last seen", num: true, value: (one) => one.last ?? "", cell: (one) => html`<${Time} value=${one.last} />` },
  ];
  return html`<${Head} title="Agents">Everyone who acted or spoke, from the newest ${several(data.window, "step")}. Choose one to see the memory through its eyes.<//>
    ${data.agents.length === 0 ? html`<${Empty} title="Nobody has acted yet"><p>Agents appear with their first step.</p><//>`
      : html`<${Table} caption="Agents" columns=${columns} rows=${data.agents} id=${(one) => JSON.stringify([one.name, one.role, one.agent])} sort=${{ column: 2, down: true }} />`}`;
}

function One({ name, line: found, route, world }) {
  // Who has neither role nor name is told by the source.
  const { role, agent, source } = found;
  const state = useAsk((signal) => get("/api/agent", { role, agent, source }, signal), [role, agent, source, world.tick]);
  return html`<${Asked} state=${state}>${(data) => {
    const ended = Object.entries(data.outcomes).filter(([, value]) => value);
    const known = (data.outcomes.success ?? 0) + (data.outcomes.failure ?? 0);
    return html`<${Head} title=${visible(data.name || name)} crumb=${html`<a href=${href("agents")}>Agents</a>`}>${data.role ? `In the role of ${visible(data.role)}. ` : ""}What it did, what it was told, and what was of use to it.<//>
      <div class="figures"><${Figure} value=${count(found.steps ?? Object.values(data.wrote).reduce((a, b) => a + b, 0))}>steps<//><${Figure} value=${count(found.trials ?? 0)}>trials<//>
        <${Figure} value=${count(found.recalls ?? data.recalls.length)}>recalls<//><${Figure} value=${known ? `${Math.round((100 * (data.outcomes.success ?? 0)) / known)}%` : "–"}>of its ${count(known)} closed trials succeeded<//></div>
      <p class="small soft">It wrote ${Object.entries(data.wrote).map(([kind, value]) => several(value, visible(kind))).join(" and ") || "nothing"}; its trials ended in ${ended.map(([kind, value]) => `${kind} (${count(value)})`).join(", ") || "nothing yet"}.</p>
      <div class="columns">
        <${Part} title="What helped its role most" records=${data.helped} route=${route} none="Nothing it was served has helped yet." />
        <${Part} title="What hurt" records=${data.hurt} route=${route} none="Nothing it was served was followed by more failures than successes." />
      </div>
      <div class="columns">
        <section class="panel"><header><h2>What it was told</h2><span class="note">its recalls, newest first</span></header>
          ${data.recalls.length ? html`<${Folded} items=${data.recalls} first=${8}>${(shown) => html`<ul class="list">${shown.map((one) => html`<li key=${one.receipt}><${Line} one=${one} /></li>`)}</ul>`}<//>` : html`<p class="soft small">It has recalled nothing.</p>`}</section>
        <${Part} title="What it did last" records=${data.steps} route=${route} none="No steps of it are known." />
      </div>`;
  }}<//>`;
}

function Part({ title, records, route, none }) {
  return html`<section class="panel"><header><h2>${title}</h2></header>${records.length ? html`<${Folded} items=${records} first=${8}>${(shown) => html`<${RecordList} records=${shown} route=${route}
    note=${(one) => one.uses ? `used ${count(one.uses)}, helped ${count(one.helped)}, hurt ${count(one.hurt)}` : undefined} />`}<//>` : html`<p class="soft small">${none}</p>`}</section>`;
}
