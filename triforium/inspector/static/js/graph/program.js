// Draws every node in one call: shapes are distance functions in the fragment shader.
import { NodeProgram, floatColor } from "../lib.js";

export const SHAPES = { disc: 0, square: 1, diamond: 2, triangle: 3, ring: 4, cross: 5 };

const VERTEX = `
attribute vec4 a_id;
attribute vec4 a_color;
attribute vec2 a_position;
attribute float a_size;
attribute float a_shape;
attribute float a_angle;
uniform mat3 u_matrix;
uniform float u_sizeRatio;
uniform float u_correctionRatio;
varying vec4 v_color;
varying vec2 v_at;
varying float v_radius;
varying float v_shape;
const float bias = 255.0 / 254.0;
void main() {
  // The triangle around a circle of twice the radius: corners of squares are inside too.
  float reach = a_size * u_correctionRatio / u_sizeRatio * 5.6;
  vec2 offset = reach * vec2(cos(a_angle), sin(a_angle));
  gl_Position = vec4((u_matrix * vec3(a_position + offset, 1)).xy, 0, 1);
  v_at = offset;
  v_radius = reach / 2.8;
  v_shape = a_shape;
  #ifdef PICKING_MODE
  v_color = a_id;
  #else
  v_color = a_color;
  #endif
  v_color.a *= bias;
}`;

const FRAGMENT = `
precision highp float;
varying vec4 v_color;
varying vec2 v_at;
varying float v_radius;
varying float v_shape;
uniform float u_correctionRatio;
const vec4 clear = vec4(0.0);
float distanceTo(vec2 p, float r) {
  vec2 q = abs(p);
  if (v_shape < 0.5) return length(p) - r;
  if (v_shape < 1.5) {
    // A square with rounded corners.
    vec2 d = q - vec2(r * 0.62);
    return length(max(d, 0.0)) + min(max(d.x, d.y), 0.0) - r * 0.24;
  }
  if (v_shape < 2.5) return (q.x + q.y - r * 1.22) * 0.7071;
  if (v_shape < 3.5) return max(q.x * 0.866 - p.y * 0.5 - r * 0.62, p.y - r * 0.72);
  if (v_shape < 4.5) return abs(length(p) - r * 0.74) - r * 0.24;
  vec2 c = vec2(q.x + q.y, abs(q.x - q.y)) * 0.7071;
  return max(c.x - r * 1.05, c.y - r * 0.3);
}
void main() {
  float feather = u_correctionRatio * 1.6;
  float d = distanceTo(v_at, v_radius);
  #ifdef PICKING_MODE
  // Small marks are easier to hit than they are large.
  gl_FragColor = length(v_at) > v_radius * 1.25 ? clear : v_color;
  #else
  gl_FragColor = mix(v_color, clear, smoothstep(-feather, feather * 0.4, d));
  #endif
}`;

/** Nodes with a `shape` (see `SHAPES`) beside position, size and colour. */
export class ShapeProgram extends NodeProgram {
  getDefinition() {
    const { FLOAT, UNSIGNED_BYTE, TRIANGLES } = WebGLRenderingContext;
    return {
      VERTICES: 3,
      VERTEX_SHADER_SOURCE: VERTEX,
      FRAGMENT_SHADER_SOURCE: FRAGMENT,
      METHOD: TRIANGLES,
      UNIFORMS: ["u_sizeRatio", "u_correctionRatio", "u_matrix"],
      ATTRIBUTES: [
        { name: "a_position", size: 2, type: FLOAT },
        { name: "a_size", size: 1, type: FLOAT },
        { name: "a_color", size: 4, type: UNSIGNED_BYTE, normalized: true },
        { name: "a_shape", size: 1, type: FLOAT },
        { name: "a_id", size: 4, type: UNSIGNED_BYTE, normalized: true },
      ],
      CONSTANT_ATTRIBUTES: [{ name: "a_angle", size: 1, type: FLOAT }],
      CONSTANT_DATA: [[0], [(2 * Math.PI) / 3], [(4 * Math.PI) / 3]],
    };
  }

  processVisibleItem(index, start, data) {
    const { array } = this;
    array[start++] = data.x;
    array[start++] = data.y;
    array[start++] = data.size;
    array[start++] = floatColor(data.color);
    array[start++] = data.shape ?? 0;
    array[start] = index;
  }

  setUniforms(params, { gl, uniformLocations }) {
    gl.uniform1f(uniformLocations.u_correctionRatio, params.correctionRatio);
    gl.uniform1f(uniformLocations.u_sizeRatio, params.sizeRatio);
    gl.uniformMatrix3fv(uniformLocations.u_matrix, false, params.matrix);
  }
}
