// One recall in a list.
import { html } from "../lib.js";
import { count, line, several, visible } from "../format.js";
import { href } from "../router.js";
import { Ending, Time } from "./ui.js";

export function Line({ one }) {
  return html`<a class="entry" href=${href("recall", one.receipt)}><span class="soft num">${count(one.position)}</span><span class="what">${line(one.task, 160)}</span>
    <${Ending} outcome=${one.outcome} /><span class="more">for ${visible(one.role) || "any role"}, ${several(one.items, "item")}, ${count(one.tokens)} of ${count(one.budget)} tokens, ${visible(one.strategy)}, <${Time} value=${one.created_at} /></span></a>`;
}
