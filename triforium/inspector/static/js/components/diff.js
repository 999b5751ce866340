// Two texts, line by line: what was taken away and what was added.
import { html, useMemo } from "../lib.js";
import { visible } from "../format.js";

const MOST = 400;

export function Diff({ before, after }) {
  const lines = useMemo(() => compare(textOf(before), textOf(after)), [before, after]);
  return html`<div class="diff" role="group" aria-label="Before and after">${lines.map(([kind, text], index) => html`<div key=${index} class=${kind}>
    ${kind !== "same" && html`<span class="visually-hidden">${kind === "plus" ? "added: " : "removed: "}</span>`}${visible(text)}</div>`)}</div>`;
}

function textOf(value) {
  if (value == null || value === "") return [];
  return (typeof value === "string" ? value : JSON.stringify(value, null, 1)).split("\n").slice(0, MOST);
}

// The longest common subsequence; texts are cut at MOST lines, so the table stays small.
function compare(a, b) {
  const table = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i -= 1) for (let j = b.length - 1; j >= 0; j -= 1) table[i][j] = a[i] === b[j] ? table[i + 1][j + 1] + 1 : Math.max(table[i + 1][j], table[i][j + 1]);
  const lines = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) { lines.push(["same", a[i]]); i += 1; j += 1; }
    else if (i < a.length && (j >= b.length || table[i + 1][j] >= table[i][j + 1])) { lines.push(["minus", a[i]]); i += 1; }
    else { lines.push(["plus", b[j]]); j += 1; }
  }
  return lines;
}
