// The store as of a time: a slider over the journal, with how much happened drawn behind it.
import { html, useEffect, useState } from "../lib.js";
import { get } from "../api.js";
import { count, when } from "../format.js";
import { amend } from "../router.js";
import { useAsk } from "./ui.js";

/** `at` is a position, "" for now. */
export function TimeSlider({ at, tick }) {
  const state = useAsk((signal) => get("/api/timeline", {}, signal), [tick]);
  const [dragged, setDragged] = useState(null);
  useEffect(() => setDragged(null), [at]);
  const moments = state.data?.moments ?? [];
  if (moments.length < 2) return null;
  const last = moments.length - 1;
  const chosen = dragged ?? (at ? nearest(moments, Number(at)) : last);
  const moment = moments[chosen];
  const settle = (event) => {
    const index = Number(event.target.value);
    amend({ at: index === last ? "" : String(moments[index].position) });
  };
  return html`<div class=${`time ${chosen < last ? "past" : ""}`}>
    <div class="at" aria-live="polite"><b>${chosen < last ? "The memory as it was" : "The memory now"}</b><span class="soft tiny">${when(moment.created_at)}, at ${count(moment.position)}</span></div>
    <div class="strip"><${Growth} moments=${moments} chosen=${chosen} />
      <input type="range" min="0" max=${last} step="1" value=${chosen} aria-label="Time: look at the memory as it was"
        aria-valuetext=${`${when(moment.created_at)}, position ${moment.position} of ${moments[last].position}`}
        onInput=${(event) => setDragged(Number(event.target.value))} onChange=${settle} /></div>
    ${chosen < last ? html`<button type="button" class="button" onClick=${() => amend({ at: "" })}>Back to now</button>` : html`<span></span>`}
  </div>`;
}

function nearest(moments, position) {
  let best = 0;
  moments.forEach((one, index) => { if (one.position <= position) best = index; });
  return best;
}

// Records by then if they are known, else how quickly positions followed one another.
function Growth({ moments, chosen }) {
  const values = moments.map((one) => one.records ?? one.position);
  const most = Math.max(...values, 1);
  const points = values.map((value, index) => `${(index / (values.length - 1)) * 100},${24 - (value / most) * 22}`);
  const edge = (chosen / (values.length - 1)) * 100;
  const part = points.slice(0, chosen + 1).join(" ");
  return html`<svg viewBox="0 0 100 25" preserveAspectRatio="none" aria-hidden="true">
    <polygon points=${`0,25 ${points.join(" ")} 100,25`} fill="currentColor" opacity="0.35" />
    <polygon points=${`0,25 ${part} ${edge},25`} fill="var(--accent)" opacity="0.35" /></svg>`;
}
