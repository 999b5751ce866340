// Light or dark: as the system says, unless the reader chose.
const KEY = "triforium.theme";
const dark = matchMedia("(prefers-color-scheme: dark)");
const followers = new Set();

export const theme = () => document.documentElement.dataset.theme;

export function settleTheme() {
  const settle = () => set(localStorage.getItem(KEY) ?? (dark.matches ? "dark" : "light"));
  settle();
  dark.addEventListener("change", settle);
}

function set(name) {
  document.documentElement.dataset.theme = name;
  for (const follow of followers) follow(name);
}

export function turnTheme() {
  const next = theme() === "dark" ? "light" : "dark";
  localStorage.setItem(KEY, next);
  set(next);
}

/** Be told when it changes; returns how to stop. */
export function onTheme(follow) {
  followers.add(follow);
  return () => followers.delete(follow);
}
