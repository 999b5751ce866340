// One recall as a small wall: candidates on their storeys, the paths between them, lit stage by stage.
import { html, useMemo } from "../lib.js";
import { line } from "../format.js";
import { go } from "../router.js";

const WIDE = 1100;
const ROWS = { insight: 52, query: 168, interaction: 262 };
const NAMES = { insight: "Insights", query: "Queries", interaction: "Interactions" };
const REACHED = { asked: 0, found: 1, walked: 2, screened: 3, packed: 4, outcome: 5 };

export function PathPicture({ replay, stage, route }) {
  const plan = useMemo(() => arrange(replay), [replay]);
  const at = REACHED[stage];
  const present = Object.keys(ROWS).filter((tier) => tier !== "interaction" || plan.nodes.some((one) => one.tier === tier));
  const tall = present.includes("interaction") ? 300 : 224;
  return html`<svg class="paths" viewBox=${`0 0 ${WIDE} ${tall}`} role="img" aria-label=${`${replay.candidates.length} candidates on their storeys; the list below says the same`}>
    ${present.map((tier) => html`<g key=${tier}><rect x="0" y=${ROWS[tier] - 46} width=${WIDE} height="104" rx="6" fill=${`var(--${tier}-ground)`} opacity="0.55" />
      <text x="14" y=${ROWS[tier] - 27} class="storey" fill=${`var(--${tier})`}>${NAMES[tier]}</text></g>`)}
    <g class="lines">${plan.lines.map((one, index) => html`<path key=${index} d=${bend(one)} class=${at >= 2 ? (at >= 4 && !one.packed ? "faint" : "lit") : "hidden"} />`)}</g>
    ${plan.nodes.map((one) => html`<${Dot} key=${one.id} one=${one} at=${at} onClick=${() => go(route.view, route.args, { ...route.query, record: one.id })} />`)}
  </svg>`;
}

function Dot({ one, at, onClick }) {
  const seen = at >= (one.how === "search" ? 1 : 2);
  const packed = one.fate === "packed";
  const out = at >= 3 && !packed;
  const tone = one.fate === "quarantined" ? "danger" : one.tier === "insight" ? "insight" : "accent";
  const fill = !seen ? "none" : out ? "none" : tone === "accent" ? "var(--accent)" : `var(--${tone}-mark)`;
  const edge = !seen ? "var(--line-strong)" : out ? (one.fate === "quarantined" ? "var(--danger-mark)" : "var(--faint)") : fill;
  const size = 6 + 7 * one.weight;
  return html`<g class="dot-node" transform=${`translate(${one.x} ${one.y})`} onClick=${onClick}><title>${one.fate === "packed" ? `${one.rank}. ` : `${one.fate}: `}${line(one.text, 120)}</title>
    ${one.tier === "insight" ? html`<path d=${`M0 ${-size}L${size} 0 0 ${size}${-size} 0z`} fill=${fill} stroke=${edge} stroke-width="1.4" />` : html`<circle r=${size} fill=${fill} stroke=${edge} stroke-width="1.4" />`}
    ${out && html`<path d="M-4 -4L4 4M4 -4L-4 4" stroke=${edge} stroke-width="1.6" />`}
    ${packed && at >= 4 && html`<text class="rank-mark" y=${size + 13}>${one.rank}</text>`}</g>`;
}

const bend = ({ from, to }) => `M${from.x} ${from.y}C${from.x} ${(from.y + to.y) / 2} ${to.x} ${(from.y + to.y) / 2} ${to.x} ${to.y}`;

function arrange(replay) {
  const most = Math.max(0.0001, ...replay.candidates.map((one) => one.scores.final ?? 0));
  const nodes = replay.candidates.map((one) => ({ ...one, tier: one.tier ?? "query", weight: Math.min(1, Math.max(0, (one.scores.final ?? 0) / most)) }));
  const known = new Map(nodes.map((one) => [one.id, one]));
  for (const one of replay.candidates) for (const step of one.path) {
    if (known.has(step.id) || !step.record) continue;
    const passed = { id: step.id, tier: step.record.tier, text: step.record.text, how: "search", fate: "passed through", rank: 0, weight: 0.1, path: [] };
    nodes.push(passed);
    known.set(step.id, passed);
  }
  for (const tier of Object.keys(ROWS)) {
    const row = nodes.filter((one) => one.tier === tier);
    row.sort((a, b) => b.weight - a.weight || (a.id < b.id ? -1 : 1));
    const spread = (WIDE - 120) / Math.max(1, row.length);
    row.forEach((one, index) => Object.assign(one, { x: 100 + spread * (index + 0.35), y: ROWS[tier] + (index % 2 ? 15 : -9) * (row.length > 14 ? 1 : 0.4) }));
  }
  const lines = [];
  for (const one of replay.candidates) for (let index = 1; index < one.path.length; index += 1) {
    const from = known.get(one.path[index - 1].id);
    const to = known.get(one.path[index].id);
    if (from && to) lines.push({ from, to, packed: one.fate === "packed" });
  }
  return { nodes, lines };
}
