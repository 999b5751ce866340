// Charts drawn as SVG from numbers: one axis each, few lines, the table says the same.
import { html } from "../lib.js";
import { count } from "../format.js";

const WIDE = 640;
const TALL = 230;
const EDGE = { left: 44, right: 14, top: 12, bottom: 28 };

/** Lines over a common x. Series: {name, tone, points: [x, y][], band?: [x, low, high][], area?}. */
export function LineChart({ label, series, top, format = count, xLabel = "", marks = [], tall = TALL }) {
  const xs = series.flatMap((one) => one.points.map(([x]) => x));
  if (!xs.length) return html`<p class="soft small">Nothing to draw yet.</p>`;
  const [low, high] = [Math.min(...xs), Math.max(...xs)];
  const most = top ?? nice(Math.max(1, ...series.flatMap((one) => one.points.map(([, y]) => y ?? 0))));
  const x = (value) => EDGE.left + ((value - low) / (high - low || 1)) * (WIDE - EDGE.left - EDGE.right);
  const y = (value) => tall - EDGE.bottom - (value / most) * (tall - EDGE.top - EDGE.bottom);
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((part) => part * most);
  return html`<figure class="chart"><svg viewBox=${`0 0 ${WIDE} ${tall}`} role="img" aria-label=${label}>
    ${ticks.map((tick) => html`<g key=${tick}><line x1=${EDGE.left} x2=${WIDE - EDGE.right} y1=${y(tick)} y2=${y(tick)} class="grid" /><text x=${EDGE.left - 8} y=${y(tick) + 4} class="tick end">${format(tick)}</text></g>`)}
    ${[low, Math.round((low + high) / 2), high].filter((value, index, all) => all.indexOf(value) === index).map((tick) => html`<text key=${tick} x=${x(tick)} y=${tall - 9} class=${`tick ${tick === high && tick !== low ? "end" : tick === low ? "" : "middle"}`}>${count(tick)}</text>`)}
    ${xLabel && html`<text x=${(EDGE.left + WIDE) / 2 + 60} y=${tall - 9} class="tick">${xLabel}</text>`}
    ${series.map((one) => html`<g key=${one.name} class=${`series ${one.tone}`}>
      ${one.band && html`<path class="band" d=${bandOf(one.band, x, y)} />`}
      ${one.area && html`<path class="area" d=${`${pathOf(one.points, x, y)}L${x(one.points.at(-1)[0])} ${y(0)}L${x(one.points[0][0])} ${y(0)}z`} />`}
      <path class="stroke" d=${pathOf(one.points, x, y)} /></g>`)}
    ${marks.map(([at, value, tone], index) => html`<circle key=${index} cx=${x(at)} cy=${y(value)} r="2.6" class=${`point ${tone}`} />`)}
  </svg><figcaption class="row tiny soft">${series.map((one) => html`<span key=${one.name}><i class=${`dot ${one.tone}`}></i>${one.name}</span>`)}</figcaption></figure>`;
}

function pathOf(points, x, y) {
  return points.filter(([, value]) => value != null).map(([at, value], index) => `${index ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`).join("");
}

function bandOf(band, x, y) {
  const known = band.filter(([, low, high]) => low != null && high != null);
  const upper = known.map(([at, , high]) => `${x(at).toFixed(1)} ${y(high).toFixed(1)}`);
  const lower = known.map(([at, low]) => `${x(at).toFixed(1)} ${y(low).toFixed(1)}`).reverse();
  return known.length ? `M${[...upper, ...lower].join("L")}z` : "";
}

function nice(value) {
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 4, 5, 8, 10].map((one) => one * unit).find((one) => one >= value);
}

/** An interval on a scale from -1 to 1 with its middle. */
export function Interval({ low, high, middle }) {
  const x = (value) => 50 + Math.max(-1, Math.min(1, value)) * 48;
  const tone = low > 0 ? "success" : high < 0 ? "failure" : "open";
  return html`<svg class="interval" viewBox="0 0 100 14" aria-hidden="true"><line x1="50" x2="50" y1="0" y2="14" stroke="var(--line-strong)" />
    <line x1=${x(low)} x2=${x(high)} y1="7" y2="7" stroke=${`var(--${tone}-mark)`} stroke-width="2.5" /><circle cx=${x(middle)} cy="7" r="3.6" fill=${`var(--${tone}-mark)`} /></svg>`;
}
