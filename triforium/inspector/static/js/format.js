// Numbers, times and words as people read them.
const whole = new Intl.NumberFormat("en");

export const count = (value) => whole.format(Math.round(value ?? 0));

/** "1 trial", "1,204 trials". */
export const several = (value, one, many = `${one}s`) => `${count(value)} ${Math.round(value) === 1 ? one : many}`;

/** A number to two places at most, without needless zeros. */
export function number(value, places = 2) {
  if (value == null || Number.isNaN(value)) return "–";
  return Number.isInteger(value) ? count(value) : value.toFixed(places);
}

/** Always two places, ties to even: what Python prints for the same number. */
export function score(value) {
  if (value == null) return "–";
  // A tie at two places is a multiple of an eighth; all others round the same everywhere.
  const hundred = value * 100;
  if (Number.isInteger(value * 8) && Math.abs(hundred % 1) === 0.5) return ((2 * Math.round(hundred / 2)) / 100).toFixed(2);
  return value.toFixed(2);
}

export const signed = (value, places = 2) => value == null ? "–" : `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value).toFixed(places)}`;
export const percent = (value) => value == null ? "–" : `${Math.round(value * 100)}%`;

export function bytes(value) {
  const units = ["B", "kB", "MB", "GB"];
  let unit = 0;
  while (value >= 1000 && unit < 3) { value /= 1000; unit += 1; }
  return `${value < 10 && unit ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

const dayFormat = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const timeFormat = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** "25 Nov 2026, 22:39:37" in the reader's zone. */
export function when(text) {
  if (!text) return "–";
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? String(text) : `${dayFormat.format(date)}, ${timeFormat.format(date)}`;
}

export const shortId = (id) => visible(String(id ?? "").slice(0, 8));

/** One line of a text, cut at a length. */
export function line(text, length = 100) {
  const flat = visible(String(text ?? "").slice(0, length * 8)).replace(/\s+/g, " ").trim();
  return flat.length > length ? `${flat.slice(0, length - 1)}…` : flat;
}

// Characters that would reorder or hide what stands around them: controls, formats, separators of
// lines; the tab and the end of a line are as usual in texts.
const UNSEEN = /(?![\t\n])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** The text with control and bidirectional characters shown as what they are. */
export function visible(text) {
  return String(text ?? "").replace(UNSEEN, (one) => `⟨U+${one.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

export const STOREYS = {
  insight: { name: "Insights", one: "insight", about: "what generalises" },
  query: { name: "Queries", one: "trial", about: "the tasks, and how they ended" },
  interaction: { name: "Interactions", one: "step", about: "what was said and done" },
};

/** How a trial ended, as a word. */
export function ending(outcome) {
  const kind = typeof outcome === "string" ? outcome : outcome?.kind;
  if (!kind || kind === "open") return "open";
  if (kind === "success") return "success";
  if (kind === "failure") return "failure";
  if (kind === "score") return `score ${number(outcome?.value)}`;
  return "unknown";
}
