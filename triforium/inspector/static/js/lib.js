// The one place that names the vendored bundle.
import { Graph, Sigma, NodeProgram, EdgeLineProgram, floatColor, ForceLayout, render, useState, useEffect, useMemo, useRef, useCallback, html } from "../vendor/libraries-1.js";

export { Graph, Sigma, NodeProgram, EdgeLineProgram, floatColor, ForceLayout, render, useState, useEffect, useMemo, useRef, useCallback, html };
