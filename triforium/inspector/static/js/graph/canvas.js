// The picture of the graph: sigma over a drawn wall. Knows nothing of the page around it.
import { EdgeLineProgram, ForceLayout, Graph, Sigma } from "../lib.js";
import { line } from "../format.js";
import { wall } from "./layout.js";
import { faded, linkColour, palette, toned } from "./palette.js";
import { SHAPES, ShapeProgram } from "./program.js";
import { drawWall } from "./masonry.js";

const aspectOf = (width, height) => Math.max(0.5, (width - 70) / Math.max(200, height - 50));
const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** A picture in an element; `onChoose(id or null)`, `onOpen(cluster id)`, `onHover(id or null)`. */
export class Picture {
  constructor(element, { onChoose, onOpen, onHover }) {
    this.element = element;
    this.colours = palette();
    this.graph = new Graph({ multi: true, type: "directed" });
    this.near = null;
    this.frames = [];
    this.plan = { bays: [], storeys: null, width: 1 };
    this.map = false;
    this.sigma = new Sigma(this.graph, element, {
      nodeProgramClasses: { shape: ShapeProgram }, defaultNodeType: "shape",
      edgeProgramClasses: { line: EdgeLineProgram }, defaultEdgeType: "line",
      itemSizesReference: "positions", zoomToSizeRatioFunction: (ratio) => ratio ** 0.72, stagePadding: 34,
      labelRenderedSizeThreshold: 5.5, labelDensity: 1.4, labelGridCellSize: 120, labelFont: this.colours.sans, labelSize: 12,
      minCameraRatio: 0.015, maxCameraRatio: 1.6, zIndex: true, hideLabelsOnMove: false, enableCameraRotation: false, allowInvalidContainer: true,
      defaultDrawNodeLabel: (context, data) => this.drawLabel(context, data),
      defaultDrawNodeHover: (context, data) => this.drawHover(context, data),
      nodeReducer: (id, data) => this.reduceNode(id, data), edgeReducer: (id, data) => this.reduceEdge(id, data),
    });
    this.sigma.createCanvasContext("wall", { beforeLayer: "edges", style: { pointerEvents: "none" } });
    this.sigma.on("resize", () => this.sizeWall());
    this.sizeWall();
    this.sigma.on("beforeRender", () => { this.began = performance.now(); this.written = []; });
    this.sigma.on("afterRender", () => {
      this.drawWall();
      this.frames.push(performance.now() - this.began);
      if (this.frames.length > 600) this.frames.splice(0, 300);
    });
    this.sigma.on("clickNode", ({ node }) => {
      const cluster = this.graph.getNodeAttribute(node, "cluster");
      if (cluster) onOpen(node); else onChoose(node);
    });
    this.sigma.on("clickStage", () => onChoose(null));
    this.sigma.on("doubleClickNode", ({ node, preventSigmaDefault }) => { preventSigmaDefault(); this.zoomTo([node]); });
    this.sigma.on("enterNode", ({ node }) => { element.style.cursor = "pointer"; onHover?.(node); });
    this.sigma.on("leaveNode", () => { element.style.cursor = ""; onHover?.(null); });
    this.resizer = new ResizeObserver(() => this.refit());
    this.resizer.observe(element);
  }

  /** Show an answer of the graph API; with `map`, by forces instead of storeys. */
  show(data, { map = false } = {}) {
    this.stopForces();
    this.map = map;
    const { width, height } = this.element.getBoundingClientRect();
    this.data = data;
    this.aspect = aspectOf(width, height);
    this.plan = wall(data, this.aspect);
    this.sigma.setSetting("itemSizesReference", map ? "screen" : "positions");
    const scale = map ? 7 : 1;
    const graph = new Graph({ multi: true, type: "directed" });
    for (const node of data.nodes) {
      const place = this.plan.places.get(node.id) ?? { x: node.x * this.plan.width, y: node.y * 8 };
      graph.addNode(node.id, {
        x: place.x, y: place.y, size: (place.size ?? 0.4) * scale, label: line(node.text.split("\n")[0], 70), tier: node.tier,
        zIndex: node.tier === "insight" ? 2 : 1, record: node, ...toned(node, this.colours), type: "shape",
      });
    }
    for (const cluster of data.clusters ?? []) {
      const place = this.plan.places.get(cluster.id);
      graph.addNode(cluster.id, {
        x: place.x, y: place.y, size: place.size * scale, label: `${line(cluster.label, 70)} · ${cluster.count}`, tier: cluster.tier, cluster: true, zIndex: 3,
        shape: SHAPES.ring, color: this.colours[{ insight: "insight", query: "accent", interaction: "step" }[cluster.tier]], type: "shape",
      });
    }
    for (const link of [...data.links, ...(data.bundles ?? [])]) {
      if (!graph.hasNode(link.src) || !graph.hasNode(link.dst)) continue;
      // A step hangs on the one before it; only the first hangs on its trial.
      if (link.type === "PART_OF" && graph.getNodeAttribute(link.src, "record")?.step > 0) continue;
      graph.addEdge(link.src, link.dst, { kind: link.type, color: linkColour(link.type, this.colours, false), size: 1, zIndex: 0, type: "line" });
    }
    this.graph = graph;
    this.near = null;
    this.sigma.setGraph(graph);
    this.choose(this.chosen);
    if (map) this.startForces();
  }

  // The wall is built for the shape of the view; when that changes much, it is built again.
  refit() {
    const { width, height } = this.element.getBoundingClientRect();
    const aspect = aspectOf(width, height);
    if (this.data && !this.map && Math.abs(aspect / this.aspect - 1) > 0.12) this.show(this.data);
    else this.sigma.refresh({ skipIndexation: true });
  }

  recolour() {
    this.colours = palette();
    this.graph.updateEachNodeAttributes((_, attributes) => attributes.record
      ? { ...attributes, ...toned(attributes.record, this.colours) }
      : { ...attributes, color: this.colours[{ insight: "insight", query: "accent", interaction: "step" }[attributes.tier]] });
    this.graph.updateEachEdgeAttributes((_, attributes) => ({ ...attributes, color: linkColour(attributes.kind, this.colours, false) }));
    this.sigma.refresh();
  }

  startForces() {
    this.forces = new ForceLayout(this.graph, { settings: { barnesHutOptimize: this.graph.order > 1500, gravity: 0.6, scalingRatio: 8, slowDown: 6, adjustSizes: false } });
    this.forces.start();
    this.forcesEnd = setTimeout(() => this.stopForces(), 6000);
  }

  stopForces() {
    clearTimeout(this.forcesEnd);
    this.forces?.kill();
    this.forces = null;
  }

  /** Mark a record and those linked to it; null for none. */
  choose(id) {
    this.chosen = id;
    this.near = id && this.graph.hasNode(id) ? this.around(id) : null;
    this.sigma.refresh({ skipIndexation: true });
  }

  // The linked records; for a trial or a step also the whole pier.
  around(id) {
    const near = new Set([id]);
    const walk = [id];
    while (walk.length) {
      const at = walk.pop();
      this.graph.forEachEdge(at, (_, { kind }, src, dst) => {
        const other = src === at ? dst : src;
        if (at !== id && kind !== "NEXT") return;
        if (near.has(other)) return;
        near.add(other);
        if (kind === "NEXT" || kind === "PART_OF") walk.push(other);
      });
    }
    return near;
  }

  reduceNode(id, data) {
    if (!this.near) return data;
    if (id === this.chosen) return { ...data, highlighted: true, forceLabel: true, zIndex: 5 };
    if (this.near.has(id)) return { ...data, zIndex: 4, forceLabel: this.near.size < 14 };
    return { ...data, color: faded(data.color, this.colours.dark ? 0.2 : 0.16), label: "", zIndex: 0 };
  }

  reduceEdge(id, data) {
    if (!this.near) return data;
    const [src, dst] = this.graph.extremities(id);
    const strong = src === this.chosen || dst === this.chosen || (data.kind === "NEXT" && this.near.has(src) && this.near.has(dst));
    return strong ? { ...data, color: linkColour(data.kind, this.colours, true), zIndex: 2 } : { ...data, hidden: data.kind !== "NEXT" };
  }

  /** Move the camera so that the records fill the view. */
  zoomTo(ids) {
    const shown = ids.map((id) => this.sigma.getNodeDisplayData(id)).filter(Boolean);
    if (!shown.length) return;
    const xs = shown.map((one) => one.x);
    const ys = shown.map((one) => one.y);
    const span = Math.max(Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys));
    this.move({ x: (Math.min(...xs) + Math.max(...xs)) / 2, y: (Math.min(...ys) + Math.max(...ys)) / 2, ratio: Math.max(0.08, span * 1.35) });
  }

  move(state) {
    const camera = this.sigma.getCamera();
    if (still()) camera.setState({ ...camera.getState(), ...state }); else camera.animate(state, { duration: 420 });
  }

  fit() { this.move({ x: 0.5, y: 0.5, ratio: 1 }); }

  zoom(by) { this.move({ ratio: this.sigma.getCamera().getBoundedRatio(this.sigma.getCamera().ratio * by) }); }

  pan(dx, dy) {
    const { x, y, ratio } = this.sigma.getCamera();
    this.move({ x: x + dx * ratio * 0.2, y: y + dy * ratio * 0.2 });
  }

  drawLabel(context, data) {
    if (!data.label) return;
    const pitch = this.pitch ?? 12;
    const room = data.tier === "interaction" ? pitch * 0.96 - data.size * 2 : data.tier === "query" ? pitch * 3 : 250;
    if (room < (data.tier === "query" ? 96 : 40)) return;
    context.font = `${data.cluster || data.tier === "insight" ? 500 : 400} ${data.cluster ? 13 : 12}px ${this.colours.sans}`;
    const text = line(data.label, Math.max(5, Math.floor(room / 6)));
    const long = context.measureText(text).width;
    const { width } = this.sigma.getDimensions();
    const right = data.x + data.size + 4;
    const x = right + long > width - 8 ? data.x - data.size - 4 - long : right;
    if (!this.claim(x, data.y - 7, long, 14)) return;
    context.globalAlpha = 0.86;
    context.fillStyle = this.colours.ground;
    context.beginPath();
    context.roundRect(x - 3, data.y - 8, long + 6, 16, 3);
    context.fill();
    context.globalAlpha = 1;
    context.fillStyle = this.colours.ink;
    context.fillText(text, x, data.y + 4);
  }

  // Labels never lie on one another: the first to claim a place has it, for this frame.
  claim(x, y, width, height) {
    const box = [x - 3, y - 2, x + width + 3, y + height + 2];
    if (this.written.some((one) => one[0] < box[2] && box[0] < one[2] && one[1] < box[3] && box[1] < one[3])) return false;
    this.written.push(box);
    return true;
  }

  drawHover(context, data) {
    const reach = data.size + 5;
    context.lineWidth = 2.5;
    context.strokeStyle = this.colours.focus;
    context.beginPath();
    context.arc(data.x, data.y, reach, 0, Math.PI * 2);
    context.stroke();
    if (!data.label) return;
    context.font = `550 12.5px ${this.colours.sans}`;
    const width = Math.min(360, context.measureText(data.label).width) + 16;
    const left = Math.max(6, Math.min(data.x + reach + 5, this.sigma.getDimensions().width - width - 6));
    context.fillStyle = this.colours.ink;
    context.beginPath();
    context.roundRect(left, data.y - 12, width, 24, 6);
    context.fill();
    context.fillStyle = this.colours.ground;
    context.fillText(data.label, left + 8, data.y + 4.500, width - 16);
  }

  sizeWall() {
    const { width, height } = this.sigma.getDimensions();
    const canvas = this.sigma.getCanvases().wall;
    this.scale = devicePixelRatio || 1;
    canvas.width = width * this.scale;
    canvas.height = height * this.scale;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }

  drawWall() {
    const context = this.sigma.getCanvases().wall.getContext("2d");
    context.setTransform(this.scale, 0, 0, this.scale, 0, 0);
    const { width, height } = this.sigma.getDimensions();
    context.clearRect(0, 0, width, height);
    if (this.map || !this.plan.storeys || !this.graph.order) return;
    const at = (x, y) => this.sigma.graphToViewport({ x, y });
    this.pitch = at(1, 0).x - at(0, 0).x;
    drawWall(context, this.plan, at, this.colours, { width, height });
  }

  /** For measuring: how long the last frames took, in milliseconds, and how much is shown. */
  statistics() {
    return { nodes: this.graph.order, edges: this.graph.size, frames: [...this.frames] };
  }

  close() {
    this.stopForces();
    this.resizer.disconnect();
    this.sigma.kill();
  }
}
