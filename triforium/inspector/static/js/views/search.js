// What a search finds, best first.
import { html } from "../lib.js";
import { get } from "../api.js";
import { score, several } from "../format.js";
import { amend } from "../router.js";
import { Asked, Empty, Head, RecordEntry, Select, useAsk, written } from "../components/ui.js";

export function SearchView({ route, world }) {
  const { q = "", tier = "", outcome = "" } = route.query;
  const state = useAsk((signal) => get("/api/search", { q, tier, outcome }, signal), [q, tier, outcome, world.tick]);
  return html`<div class="page"><div class="inner">
    <${Head} title=${`Search: ${q}`} actions=${html`<div class="row"><${Select} label="Storey" value=${tier} onChange=${(value) => amend({ tier: value })}
      options=${[["insight", "Insights"], ["query", "Queries"], ["interaction", "Interactions"]]} /><${Select} label="Outcome" value=${outcome} onChange=${(value) => amend({ outcome: value })}
      options=${[["success", "Success"], ["failure", "Failure"], ["open", "Open"]]} /></div>`} />
    <${Asked} state=${state}>${(found) => found.hits.length === 0
      ? html`<${Empty} title="Nothing was found"><p>Search takes words of a text in any order, part of a word, or the id of a record. Try fewer or other words, or another storey.</p><//>`
      : html`<div class="panel"><header><h2>${several(found.hits.length, "record")}</h2><span class="note">best first</span></header>
        <ul class="list">${found.hits.map(({ record, score: worth, channel }) => html`<li key=${record.id}><${RecordEntry} record=${record} route=${route} current=${record.id === route.query.record}
          note=${`${written(record)}, ${channel === "id" ? "its id" : `by ${channel}, ${score(worth)}`}`} /></li>`)}</ul></div>`}<//>
  </div></div>`;
}
