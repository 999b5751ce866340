// A table that sorts; every picture has one with the same data.
import { html, useMemo, useState } from "../lib.js";
import { visible } from "../format.js";

/** Columns: {name, value(row), cell?(row), num?}; `rows` need a key by `id(row)`.
 *
 * A cell is what `cell` makes, else the value as text. */
export function Table({ columns, rows, id, caption, chosen, limit = 200, sort = null }) {
  const [order, setOrder] = useState(sort);
  const [shown, setShown] = useState(limit);
  const sorted = useMemo(() => {
    if (!order) return rows;
    const { value } = columns[order.column];
    const sign = order.down ? -1 : 1;
    return [...rows].sort((a, b) => sign * compare(value(a), value(b)));
  }, [rows, order]);
  const turn = (column) => setOrder((old) => ({ column, down: old?.column === column ? !old.down : Boolean(columns[column].num) }));
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${caption}><table><caption class="visually-hidden">${caption}</caption>
    <thead><tr>${columns.map((one, index) => html`<th key=${one.name} scope="col" class=${one.num ? "num" : ""}
      aria-sort=${order?.column === index ? (order.down ? "descending" : "ascending") : "none"}><button type="button" onClick=${() => turn(index)}>${one.name}</button></th>`)}</tr></thead>
    <tbody>${sorted.slice(0, shown).map((row) => html`<tr key=${id(row)} class=${id(row) === chosen ? "chosen" : ""}>
      ${columns.map((one) => html`<td key=${one.name} class=${one.num ? "num" : ""}>${one.cell ? one.cell(row) : visible(one.value(row))}</td>`)}</tr>`)}</tbody></table>
    ${sorted.length > shown && html`<p class="loading"><button type="button" class="button" onClick=${() => setShown(shown + 500)}>Show more of ${sorted.length}</button></p>`}</div>`;
}

function compare(a, b) {
  if (a == null || b == null) return (a == null ? -1 : 0) + (b == null ? 1 : 0);
  return typeof a === "string" ? a.localeCompare(b) : a - b;
}
