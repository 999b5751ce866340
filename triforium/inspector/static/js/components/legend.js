// What shapes, colours and sizes mean.
import { html } from "../lib.js";
import { Shape } from "./icons.js";

const ROWS = [
  ["diamond", "insight", "insight"], ["disc", "success", "trial, success"], ["triangle", "failure", "trial, failure"], ["ring", "open", "trial, open"],
  ["square", "step", "action"], ["disc", "step", "utterance"], ["cross", "quarantined", "in quarantine"],
];

export function Legend({ map }) {
  return html`<ul class="legend" aria-label="Legend">${ROWS.map(([shape, tone, words]) => html`<li key=${words}><${Shape} shape=${shape} tone=${tone} />${words}</li>`)}
    <li class="size"><svg class="sizes" viewBox="0 0 34 14" aria-hidden="true"><g fill="var(--insight-mark)"><path d="M5 4.500L7.500 7 5 9.500 2.500 7z" /><path d="M15 3l4 4-4 4-4-4z" /><path d="M28 1l6 6-6 6-6-6z" /></g></svg>larger: helped more often</li>
    <li>${map ? "nearer: linked" : "higher: more trials speak for it"}</li></ul>`;
}
