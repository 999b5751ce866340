// Colours of the graph, read from the sheet, so that light and dark need no second table.
import { look } from "../components/icons.js";
import { SHAPES } from "./program.js";

export function palette() {
  const sheet = getComputedStyle(document.documentElement);
  const read = (name) => sheet.getPropertyValue(`--${name}`).trim();
  return {
    ground: read("ground"), ink: read("ink"), soft: read("soft"), faint: read("faint"), line: read("line"), strong: read("line-strong"), accent: read("accent"), focus: read("focus"),
    insight: read("insight-mark"), success: read("success-mark"), failure: read("failure-mark"), open: read("open-mark"),
    step: read("interaction-mark"), quarantined: read("danger-mark"),
    names: { insight: read("insight"), query: read("query"), interaction: read("interaction") },
    sans: read("sans"),
    dark: document.documentElement.dataset.theme === "dark",
  };
}

function channels(hex) {
  return [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
}

/** A colour with its alpha multiplied in, as the blending of the canvas wants it. */
export function faded(hex, alpha) {
  const [red, green, blue] = channels(hex).map((value) => Math.round(value * alpha));
  return `rgba(${red},${green},${blue},${alpha})`;
}

export function toned(record, colours) {
  const { shape, tone } = look(record);
  return { shape: SHAPES[shape], color: colours[tone] };
}

const LINKS = {
  SUPPORTS: "insight", REFUTES: "failure", LED_TO: "accent", SIMILAR: "open", NEXT: "step", PART_OF: "step", REPLY_TO: "accent",
  DERIVED_FROM: "quarantined", SUPERSEDES: "quarantined",
};

/** Colour of a link: faint in the whole picture, strong beside the chosen record. */
export function linkColour(type, colours, strong) {
  const alpha = strong ? 0.8 : type === "NEXT" || type === "PART_OF" ? 0.3 : type === "SUPPORTS" ? 0.045 : type === "REFUTES" ? 0.03 : 0.14;
  return faded(colours[LINKS[type] ?? "open"], colours.dark ? Math.min(1, alpha * 1.25) : alpha);
}
