"use strict";
const memory = JSON.parse(document.getElementById("memory").textContent);
const byId = new Map();
const make = (tag, text, name) => {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (name) node.className = name;
  return node;
};
const numbers = document.getElementById("numbers");
for (const [value, label] of memory.numbers) {
  const cell = make("div");
  cell.append(make("b", value), make("span", label));
  numbers.append(cell);
}
function clear() {
  for (const node of byId.values()) node.classList.remove("dim", "lit");
  for (const node of byId.values()) node.setAttribute("aria-pressed", "false");
}
function light(id, linked) {
  clear();
  const shown = new Set([id, ...linked]);
  for (const [key, node] of byId) {
    if (shown.has(key)) node.classList.add("lit");
    else node.classList.add("dim");
  }
  byId.get(id).setAttribute("aria-pressed", "true");
}
const insights = document.getElementById("insights");
for (const insight of memory.insights) {
  const node = make("button", insight.text, "pill");
  node.append(make("small", String(insight.support)));
  node.title = `${insight.support} trials for it, ${insight.refuted} against`;
  node.addEventListener("click", () => {
    light(insight.id, insight.trials);
    document.getElementById("told").textContent = insight.text;
    document.getElementById("why").textContent =
      `Seen in ${insight.support} trials, spoken against by ${insight.refuted}; ` +
      `recalled ${insight.uses} times. First written by ${insight.source}.`;
    document.getElementById("steps").replaceChildren();
  });
  byId.set(insight.id, node);
  insights.append(node);
}
if (!memory.insights.length) insights.append(make("p", "No insight yet: they come with trials whose outcome is known.", "about"));
const trials = document.getElementById("trials");
memory.trials.forEach((trial, index) => {
  const node = make("button", String(index + 1), `trial ${trial.outcome}${trial.shown ? " shown" : ""}`);
  node.title = `${trial.task} (${trial.outcome})`;
  node.setAttribute("aria-label", `Trial ${index + 1}: ${trial.task}, ${trial.outcome}`);
  node.addEventListener("click", () => {
    light(trial.id, [...trial.used, ...trial.insights]);
    document.getElementById("told").textContent = `${index + 1}. ${trial.task}`;
    const from = trial.used
      .map((id) => memory.trials.findIndex((other) => other.id === id) + 1)
      .filter((number) => number > 0);
    document.getElementById("why").textContent =
      `${trial.reading} ` +
      (from.length ? `It drew on trial ${from.join(", ")}.` : "It had no earlier trial to draw on.");
    const list = document.getElementById("steps");
    list.replaceChildren();
    for (const step of trial.steps) {
      const row = make("li", undefined, step.action ? "" : "utter");
      if (step.action) row.append(make("code", step.action));
      row.append(make("span", step.action ? step.said : `${step.role}: ${step.said}`));
      list.append(row);
    }
  });
  byId.set(trial.id, node);
  trials.append(node);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") clear();
});
const solved = memory.trials.map((trial) => trial.outcome).lastIndexOf("success");
if (solved >= 0) byId.get(memory.trials[solved].id).click();
