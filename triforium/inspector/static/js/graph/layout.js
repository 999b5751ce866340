// Where records stand: a wall of three storeys, in bays of trials with one topic.
//
// Each trial is a pier: its steps stand below it, first on top, like courses of stone. Insights stand
// above the middle of the trials that support them, the better supported the higher. The unit is the
// width of one pier.

const GAP = 1.6;
const MOST_BAYS = 14;
// Rows of insights stand a little further apart than columns: labels are wide, not high.
const ROW = 1.45;

/** Places for nodes and clusters: {places: Map(id -> {x, y, size}), bays, storeys, width}.
 *
 * `aspect` is the width of the view over its height; the wall is built to fill it. */
export function wall(graph, aspect = 1.7) {
  const places = new Map();
  const trials = graph.nodes.filter((node) => node.tier === "query");
  const stepsOf = groupBy(graph.nodes.filter((node) => node.tier === "interaction"), (node) => node.trial);
  for (const steps of stepsOf.values()) steps.sort((a, b) => a.step - b.step || a.added - b.added);

  const clusters = graph.clusters ?? [];
  const bays = baysOf(trials, clusters.filter((one) => one.tier === "query"));
  let x = 0;
  const wide = bays.reduce((sum, bay) => sum + Math.max(bay.members.length, 3.2) + GAP, 0);
  const lift = clamp(wide / 62, 0.8, 4);
  const deepest = Math.max(0, ...[...stepsOf.values()].map((steps) => steps.length));
  const orphans = [...stepsOf].filter(([trial]) => !trials.some((one) => one.id === trial));
  const stepClusters = clusters.filter((one) => one.tier === "interaction");
  for (const bay of bays) {
    bay.left = x;
    for (const [number, member] of bay.members.entries()) {
      const at = x + 0.5 + number;
      places.set(member.id, { x: at, y: ((number % 3) - 1) * lift });
    }
    x += Math.max(bay.members.length, 3.2);
    bay.right = x;
    centre(bay, places);
    x += GAP;
  }
  let width = Math.max(x - GAP, 14);
  if (orphans.length) {
    // Steps whose trial is not shown stand at the end, one pier for each trial.
    const bay = { topic: "other trials", members: [], left: width + GAP, right: width + GAP + Math.max(3.2, orphans.length) };
    orphans.forEach(([trial], number) => places.set(`pier:${trial}`, { x: bay.left + 0.5 + number, y: 0 }));
    bays.push(bay);
    width = bay.right;
  }

  const top = placeInsights(graph, places, width, lift * 2.4);
  // One course is as high as fills the view from the insights down to the floor.
  const base = -lift * 2.6 - 2.4;
  const left = width / aspect - top + base;
  const course = clamp(left / (Math.max(deepest, 4) + 0.6), 0.3, 4);
  for (const [trial, steps] of stepsOf) {
    const pier = places.get(trial) ?? places.get(`pier:${trial}`);
    steps.forEach((step, number) => places.set(step.id, { x: pier.x, y: base - number * course, size: Math.min(0.4, course * 0.42) }));
  }
  for (const trial of orphans) places.delete(`pier:${trial[0]}`);
  const floor = base - Math.max(deepest - 1, stepClusters.length ? 3 : 1) * course - course * 0.8;
  for (const one of stepClusters) places.set(one.id, { x: one.x * width, y: (base + floor) / 2 });

  for (const trial of trials) places.get(trial.id).size = Math.min(lift * 0.4, 0.46 + 0.12 * Math.min(4, Math.sqrt(Math.max(0, trial.helped)) / 2));
  for (const one of clusters) if (places.has(one.id)) places.get(one.id).size = 0.5 + Math.min(2.2, Math.log2(1 + one.count) * 0.2);
  const line = -lift * 2.35;
  return { places, bays, width, storeys: { insight: [lift * 2.4, top], query: [line, lift * 2.4], interaction: [floor, line] } };
}

function baysOf(trials, clusters) {
  const byTopic = groupBy(trials, (node) => node.topic || "other");
  const large = [...byTopic].sort((a, b) => b[1].length - a[1].length);
  const kept = large.filter(([topic, members], rank) => rank < MOST_BAYS && members.length > 1 && topic !== "other");
  const rest = large.filter((one) => !kept.includes(one)).flatMap(([, members]) => members);
  const bays = kept.map(([topic, members]) => ({ topic, members, x: mean(members.map((one) => one.x)) }));
  for (const one of clusters) bays.push({ topic: `${one.label} (${one.count})`, members: [one], x: one.x });
  bays.sort((a, b) => a.x - b.x);
  if (rest.length) bays.push({ topic: bays.length ? "other" : "trials", members: rest, x: 9 });
  for (const bay of bays) bay.members.sort((a, b) => (a.added ?? 0) - (b.added ?? 0));
  return bays;
}

function centre(bay, places) {
  const spare = (bay.right - bay.left - bay.members.length) / 2;
  if (spare > 0) for (const member of bay.members) places.get(member.id).x += spare;
}

/** Insights, the best supported highest, each as near as there is room to its evidence. */
function placeInsights(graph, places, width, floor) {
  const insights = graph.nodes.filter((node) => node.tier === "insight");
  const clusters = (graph.clusters ?? []).filter((one) => one.tier === "insight");
  const near = new Map();
  for (const link of graph.links) {
    if (link.type !== "SUPPORTS" || !places.has(link.src)) continue;
    const known = near.get(link.dst) ?? [];
    known.push(places.get(link.src).x);
    near.set(link.dst, known);
  }
  const most = Math.log(2 + Math.max(1, ...insights.map((one) => one.support)));
  const rows = clamp(Math.ceil(insights.length / (width * 0.42)) + 4, 6, Math.max(8, width * 0.2));
  const taken = new Set();
  const ordered = [...insights].sort((a, b) => b.helped - a.helped || b.support - a.support || (a.id < b.id ? -1 : 1));
  for (const node of ordered) {
    const size = 0.3 + 0.17 * Math.min(6, Math.sqrt(Math.max(0, node.helped)));
    const wanted = { x: near.has(node.id) ? mean(near.get(node.id)) : node.x * width, y: (Math.log(1 + node.support) / most) * (rows - 1) };
    const spot = freeSpot(taken, wanted, size, width, rows);
    places.set(node.id, { x: spot.x, y: floor + 1.6 + spot.y * ROW, size });
  }
  for (const [number, one] of clusters.entries()) {
    places.set(one.id, { x: ((number + 0.5) / clusters.length) * width, y: floor + 2.4 + (number % 3) * 1.6, size: 0.5 + Math.min(2.2, Math.log2(1 + one.count) * 0.2) });
  }
  return floor + 1.6 + (insights.length ? rows * ROW : 5) + 1;
}

function freeSpot(taken, wanted, size, width, rows) {
  const need = Math.ceil(size * 2.1 * 2) / 2;
  const left = clamp(wanted.x, 1, width - 1);
  for (let away = 0; away < width * 2; away += 0.5) {
    for (const x of away ? [left - away, left + away] : [left]) {
      if (x < 0.5 || x > width - 0.5) continue;
      for (const up of [0, 1, -1, 2, -2]) {
        const y = clamp(Math.round(wanted.y) + up, 0, Math.ceil(rows));
        const cells = cellsOf(x, y, need);
        if (cells.some((cell) => taken.has(cell))) continue;
        cells.forEach((cell) => taken.add(cell));
        return { x: Math.round(x * 2) / 2, y };
      }
    }
  }
  return { x: left, y: wanted.y };
}

function cellsOf(x, y, need) {
  const cells = [];
  const half = need / 2;
  for (let dx = -half; dx <= half - 0.25; dx += 0.5) {
    for (let dy = -Math.floor(half); dy <= Math.floor(half); dy += 1) cells.push(`${Math.round((x + dx) * 2)}:${y + dy}`);
  }
  return cells;
}

export function groupBy(items, key) {
  const groups = new Map();
  for (const item of items) {
    const name = key(item);
    if (groups.has(name)) groups.get(name).push(item); else groups.set(name, [item]);
  }
  return groups;
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / (values.length || 1);
const clamp = (value, low, high) => Math.max(low, Math.min(high, value));
