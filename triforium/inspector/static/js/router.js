// Every view has an address: #/view/argument/...?key=value. Reading, writing and following it.
import { useEffect, useState } from "./lib.js";

/** The address as {view, args, query}. */
export function parse(hash) {
  const [path, search = ""] = hash.replace(/^#\/?/, "").split("?");
  const [view = "", ...args] = path.split("/").map(safeDecode);
  return { view: view || "graph", args, query: Object.fromEntries(new URLSearchParams(search)) };
}

function safeDecode(part) {
  try { return decodeURIComponent(part); } catch { return part; }
}

let scope = "";

/** Addresses stay in this scope, unless they name another. */
export function stayIn(path) { scope = path; }

/** The address of a view; empty values of the query are left out. */
export function href(view, args = [], query = {}) {
  const path = [view, ...[].concat(args)].map(encodeURIComponent).join("/");
  const kept = Object.entries({ scope, ...query }).filter(([, value]) => value !== "" && value != null);
  const search = new URLSearchParams(kept).toString();
  return `#/${path}${search ? `?${search}` : ""}`;
}

export function go(view, args, query) { location.hash = href(view, args, query); }

/** Change the query of the present address; replacing leaves no step in the history. */
export function amend(changes, { replace = false } = {}) {
  const { view, args, query } = parse(location.hash);
  const next = href(view, args, { ...query, ...changes });
  if (next === location.hash) return;
  if (replace) {
    history.replaceState(null, "", next);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else {
    location.hash = next;
  }
}

/** The present address, followed. */
export function useRoute() {
  const [route, setRoute] = useState(() => parse(location.hash));
  useEffect(() => {
    const follow = () => setRoute(parse(location.hash));
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  return route;
}
