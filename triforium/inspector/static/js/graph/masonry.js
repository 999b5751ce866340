// The wall behind the graph: a ground for each storey, its string courses, and an arch over each bay.
import { STOREYS, visible } from "../format.js";

const SHOWN = ["insight", "query", "interaction"];

/** Draw it; `at` turns places of the layout into pixels. */
export function drawWall(context, plan, at, colours, view) {
  const { storeys, bays, width } = plan;
  const left = at(-1.4, 0).x;
  const right = at(width + 1.4, 0).x;
  for (const tier of SHOWN) {
    const [low, high] = storeys[tier];
    const top = at(0, high).y;
    const bottom = at(0, low).y;
    context.globalAlpha = colours.dark ? 0.07 : 0.055;
    context.fillStyle = colours.names[tier];
    context.fillRect(left, top + 1, right - left, bottom - top - 2);
    context.globalAlpha = 1;
  }
  context.lineWidth = 1;
  for (const edge of [storeys.insight[0], storeys.query[0]]) {
    course(context, left, right, at(0, edge).y, colours.strong);
  }
  for (const bay of bays) {
    const from = at(bay.left, 0).x;
    const to = at(bay.right, 0).x;
    if (to < 0 || from > view.width) continue;
    drawBay(context, bay, from, to, storeys, at, colours);
  }
  names(context, storeys, at, colours, left, view);
}

function course(context, left, right, y, colour) {
  context.strokeStyle = colour;
  context.beginPath();
  context.moveTo(left, Math.round(y) + 0.5);
  context.lineTo(right, Math.round(y) + 0.5);
  context.stroke();
}

function drawBay(context, bay, from, to, storeys, at, colours) {
  const wide = to - from;
  context.strokeStyle = colours.strong;
  context.globalAlpha = colours.dark ? 0.55 : 0.7;
  arch(context, from - 4, to + 4, at(0, storeys.query[0]).y, at(0, storeys.query[1]).y + 4);
  arch(context, from - 4, to + 4, at(0, storeys.interaction[0]).y, at(0, storeys.interaction[1]).y + 4);
  context.globalAlpha = 1;
  const label = visible(bay.topic).replace(/^.*[:/]/, "");
  if (wide < 26) return;
  context.font = `600 11px ${colours.sans}`;
  context.fillStyle = colours.soft;
  context.textAlign = "center";
  const y = at(0, storeys.query[0]).y - 6;
  const fits = Math.floor(wide / 6.2);
  context.fillText(label.length > fits ? `${label.slice(0, Math.max(1, fits - 1))}…` : label, (from + to) / 2, y);
  context.textAlign = "left";
}

/** A pointed arch from the floor to the crown: two piers and two arcs that meet. */
function arch(context, left, right, floor, crown) {
  const half = (right - left) / 2;
  const middle = left + half;
  const rise = Math.min(half * 1.15, (floor - crown) * 0.42);
  const spring = crown + rise;
  context.beginPath();
  context.moveTo(left, floor);
  context.lineTo(left, spring);
  context.quadraticCurveTo(left, crown + rise * 0.28, middle, crown);
  context.quadraticCurveTo(right, crown + rise * 0.28, right, spring);
  context.lineTo(right, floor);
  context.stroke();
}

function names(context, storeys, at, colours, left, view) {
  for (const tier of SHOWN) {
    const top = Math.max(at(0, storeys[tier][1]).y, 0);
    const bottom = Math.min(at(0, storeys[tier][0]).y, view.height);
    if (bottom - top < 16) continue;
    const x = Math.max(left + 8, 12);
    context.font = `650 12px ${colours.sans}`;
    context.lineWidth = 4;
    context.lineJoin = "round";
    context.strokeStyle = colours.ground;
    context.fillStyle = colours.names[tier];
    context.strokeText(STOREYS[tier].name, x, top + 18);
    context.fillText(STOREYS[tier].name, x, top + 18);
  }
}
