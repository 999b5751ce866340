// Drawn marks: the project's sign, icons of the views, shapes of the records.
import { html } from "../lib.js";
import { visible } from "../format.js";

const ICONS = {
  graph: "M3 4h12M3 9h12M3 14h12M6 4v5M12 4v5M4.500 9v5M9 9v5M13.500 9v5",
  recall: "M9 3a6 6 0 1 1-5.500 3.600M3 3v4h4M9 6v3.200l2.400 1.600",
  trial: "M4 3v12M9 3v12M14 3v12M4 6h5M9 9.500h5M14 13H9",
  agents: "M6.500 8a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5zM2 15c0-3 2-4.500 4.500-4.500S11 12 11 15M11.500 3.300a2.500 2.500 0 0 1 0 4.400M13 10.800c2 .6 3 2 3 4.200",
  guard: "M9 2l5.500 2v4.500c0 3.500-2.300 5.900-5.500 7.500-3.200-1.600-5.500-4-5.500-7.500V4zM6.500 8.800l1.800 1.800 3.300-3.600",
  history: "M3 5h12M3 9h8M3 13h10M14 8v5M12 11l2 2 2-2",
  learning: "M2.500 15h13M4 12l3.500-3.500 2.500 2L14.500 5M11.500 4.800h3.200V8",
  search: "M8 13A5 5 0 1 0 8 3a5 5 0 0 0 0 10zM12 12l3.500 3.500",
  close: "M4 4l10 10M14 4L4 14",
  sun: "M9 6a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM9 1.500v1.700M9 14.800v1.700M1.500 9h1.700M14.800 9h1.700M3.700 3.700l1.200 1.200M13.100 13.100l1.200 1.200M3.700 14.300l1.200-1.200M13.100 4.900l1.200-1.200",
  moon: "M14.800 10.800A6.300 6.300 0 0 1 7.200 3.200a6.300 6.300 0 1 0 7.600 7.600z",
  plus: "M9 4v10M4 9h10", minus: "M4 9h10", fit: "M3 7V3h4M11 3h4v4M15 11v4h-4M7 15H3v-4",
  filter: "M2.500 4h13M5 9h8M7.500 14h3",
  next: "M7 4l5 5-5 5", previous: "M11 4L6 9l5 5",
};

export const Icon = ({ name }) => html`<svg viewBox="0 0 18 18" width="18" height="18" fill="none" stroke="currentColor"
  stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d=${ICONS[name]} /></svg>`;

/** The three storeys of a Gothic bay: one light above, three arches, an arcade of two. */
export const Sign = () => html`<svg viewBox="0 0 30 34" fill="none" stroke-width="1.7" stroke-linejoin="round" aria-hidden="true">
  <path stroke="var(--insight-mark)" d="M10.500 10V7.500A7 7 0 0 1 15 1.500a7 7 0 0 1 4.500 6V10z" />
  <path stroke="var(--query)" d="M2.500 19v-2.500a5.400 5.400 0 0 1 4.200-4 5.400 5.400 0 0 1 4.100 4V19zM10.900 19v-2.500a5.400 5.400 0 0 1 4.100-4 5.400 5.400 0 0 1 4.200 4V19zM19.200 19v-2.500a5.400 5.400 0 0 1 4.100-4 5.400 5.400 0 0 1 4.200 4V19z" />
  <path stroke="var(--interaction)" d="M2.500 32.500v-5.300a7.500 7.500 0 0 1 6.200-5.400 7.500 7.500 0 0 1 6.300 5.400v5.300M15 32.500v-5.300a7.500 7.500 0 0 1 6.300-5.400 7.500 7.500 0 0 1 6.200 5.400v5.300M1 32.500h28" />
</svg>`;

const SHAPES = {
  diamond: "M6 .8L11.200 6 6 11.200.8 6z", disc: "M6 1.200a4.800 4.800 0 1 0 0 9.600 4.800 4.800 0 0 0 0-9.600z",
  triangle: "M1 2h10L6 11z", square: "M1.700 1.700h8.600v8.600H1.700z", cross: "M2.300 1L6 4.700 9.700 1 11 2.300 7.300 6 11 9.700 9.700 11 6 7.300 2.300 11 1 9.700 4.700 6 1 2.300z",
  ring: "M6 1a5 5 0 1 0 0 10A5 5 0 0 0 6 1zm0 2.300a2.700 2.700 0 1 1 0 5.400 2.700 2.700 0 0 1 0-5.400z",
};

/** The shape and the colour of a record, by storey, kind and outcome. */
export function look(record) {
  if (record.status === "quarantined") return { shape: "cross", tone: "quarantined", word: "quarantined" };
  if (record.tier === "insight") return { shape: "diamond", tone: "insight", word: visible(record.kind) };
  if (record.tier === "interaction") return { shape: record.kind === "utterance" ? "disc" : "square", tone: "step", word: visible(record.kind) };
  const kind = record.outcome?.kind;
  const won = kind === "success" || (kind === "score" && record.outcome.value >= 0.5);
  if (won) return { shape: "disc", tone: "success", word: kind };
  if (kind === "failure" || kind === "score") return { shape: "triangle", tone: "failure", word: kind };
  return { shape: "ring", tone: "open", word: kind ?? "open" };
}

export const Shape = ({ shape, tone }) => html`<svg class=${`mark ${tone}`} viewBox="0 0 12 12" aria-hidden="true"><path
  fill="currentColor" fill-rule="evenodd" d=${SHAPES[shape]} /></svg>`;

export const Mark = ({ record }) => html`<${Shape} ...${look(record)} />`;
