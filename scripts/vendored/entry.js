// The public face of the vendored bundle: what the inspector's modules import.
export { default as Graph } from "graphology";
export { default as Sigma } from "sigma";
export { NodeProgram, EdgeLineProgram } from "sigma/rendering";
export { floatColor } from "sigma/utils";
export { default as ForceLayout } from "graphology-layout-forceatlas2/worker";
export { render } from "preact";
export { useState, useEffect, useMemo, useRef, useCallback } from "preact/hooks";
import { h as element } from "preact";
import htm from "htm";
export const html = htm.bind(element);
