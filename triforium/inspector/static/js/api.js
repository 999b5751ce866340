// The one way to the data: a server, or what an exported page carries. Nothing else fetches.
import { exported, readExported } from "./exported.js";

/** An answer that is no answer: `code` is stable, `message` says what to do. */
export class ApiError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

const KEY = "triforium.token";
let token = takeToken();
let scope = "";

// The token is in the opened address; it goes out of it before anything else happens.
function takeToken() {
  const found = /[#&?]token=([^&#]+)/.exec(location.hash) ?? /[?&]token=([^&#]+)/.exec(location.search);
  if (found) {
    const rest = location.hash.replace(/[#&?]token=[^&#]+/, "");
    history.replaceState(null, "", location.pathname + (rest.startsWith("#/") ? rest : "#/graph"));
    sessionStorage.setItem(KEY, decodeURIComponent(found[1]));
  }
  return exported() ? "" : sessionStorage.getItem(KEY) ?? "";
}

/** Look at one scope only; "" is the one the server shows. */
export function lookAt(path) { scope = path; }

/** Turn the token into a cookie that no script can read; where cookies are refused it stays a header. */
export async function keepSession() {
  if (!token || exported()) return;
  const sent = token;
  try {
    await send("/api/session", {});
    token = "";
    await send("/api/session", {});
    sessionStorage.removeItem(KEY);
  } catch { token = sent; }
}

export function queryOf(params) {
  const pairs = Object.entries(params ?? {})
    .flatMap(([key, value]) => [].concat(value).map((one) => [key, one]))
    .filter(([, value]) => value !== "" && value != null && value !== false);
  pairs.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return pairs.map(([key, value]) => `${encodeURIComponent(key)}=${encodeURIComponent(value)}`).join("&");
}

/** Read something. Rejects with ApiError. */
export async function get(path, params = {}, signal = undefined) {
  const query = queryOf(params);
  const key = query ? `${path}?${query}` : path;
  if (exported()) {
    const held = readExported(path, params, key);
    if (held) return held;
    throw new ApiError("not_exported", "That is not part of this exported page.");
  }
  return answer(await reach(addressOf(path, params), { signal }));
}

/** Change something; only when the server was started with --allow-edits. */
export async function send(path, body) {
  if (exported()) throw new ApiError("not_exported", "An exported page cannot change the memory.");
  return answer(await reach(addressOf(path, {}), {
    method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" },
  }));
}

function addressOf(path, params) {
  const query = queryOf({ ...params, scope });
  return query ? `${path}?${query}` : path;
}

async function reach(url, options) {
  const headers = { ...options.headers, ...(token ? { authorization: `Bearer ${token}` } : {}) };
  try {
    return await fetch(url, { ...options, headers, credentials: "same-origin", referrerPolicy: "no-referrer" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("unreachable", "The inspector does not answer.");
  }
}

async function answer(response) {
  const body = await response.json().catch(() => null);
  if (response.ok && body !== null) return body;
  const { code = `http_${response.status}`, message = `The inspector answered ${response.status}.` } = body?.error ?? {};
  throw new ApiError(code, message);
}

/** Follow changes: calls `onEvent(event)`, and `onState(true or false)` as the line comes and goes.
 *
 * A browser holds few lines to one server, all its tabs together: a page that nobody sees gives its
 * line up. Whenever it asks again, it asks from where it was. */
export function follow(onEvent, onState) {
  if (exported()) return () => {};
  const last = { id: "" };
  let line = null;
  const turn = () => {
    line?.abort();
    line = document.hidden ? null : new AbortController();
    if (line) hold(line.signal, last, onEvent, onState);
  };
  document.addEventListener("visibilitychange", turn);
  turn();
  return () => {
    document.removeEventListener("visibilitychange", turn);
    line?.abort();
  };
}

// Keep a line until it is given up; when it breaks, wait a little longer each time.
async function hold(signal, last, onEvent, onState) {
  let wait = 500;
  while (!signal.aborted) {
    try {
      const response = await reach(addressOf("/api/events", { after: last.id }), { signal });
      if (!response.ok) await answer(response);
      onState(true);
      wait = 500;
      await readEvents(response.body, last, onEvent);
    } catch (error) {
      if (signal.aborted) return;
      if (error.code === "unauthorized") { onState(false); return; }
    }
    onState(false);
    await new Promise((resume) => setTimeout(resume, wait));
    wait = Math.min(wait * 2, 15000);
  }
}

async function readEvents(body, last, onEvent) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let kept = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (kept + value).replace(/\r\n/g, "\n").split("\n\n");
    kept = blocks.pop();
    for (const block of blocks) {
      const field = (name) => block.split("\n").filter((one) => one.startsWith(`${name}:`)).map((one) => one.slice(name.length + 1).trimStart());
      last.id = field("id").at(-1) ?? last.id;
      const data = field("data").join("\n");
      if (data) onEvent(JSON.parse(data));
    }
  }
}
