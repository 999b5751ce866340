"""The report of a comparison: Markdown, CSV and the terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

Rows = list[list[str]]

COSTS = {
    "steps": "steps",
    "tokens_recalled": "tokens",
    "model_calls": "model_calls",
    "model_tokens": "model_tokens",
    "seconds": "seconds",
}
"""What a test costs: its name in the tables, and the field of an item."""
STRATA = {
    "goal seen": ("goal_seen", True),
    "goal unseen": ("goal_seen", False),
    "scene seen": ("scene_seen", True),
    "scene unseen": ("scene_seen", False),
}
"""What the experience had in common with a test: the field of an item, and its value."""
_LEFT = ("strategy", "what it does")


def to_csv(result: Mapping[str, Any]) -> str:
    """The table as CSV (RFC 4180), a line for each strategy; what is not told is left empty."""
    measured = _measured(result)
    metrics = [*measured, *COSTS]
    ends = ("value", "low", "high")
    tests = (*ends, "p", "p_holm", "better", "worse")
    titles = ["strategy", "description", "n", "tasks", "baseline"]
    titles += [_title(name, end) for name in metrics for end in ends]
    titles += [_title(f"{name}_difference", test) for name in measured for test in tests]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*titles, "errors"])
    for entry in result["strategies"]:
        row = [entry["strategy"], entry["description"], entry["n"], entry["tasks"]]
        row.append(result["baseline"])
        row += [entry[name][end] for name in metrics for end in ends]
        for name in measured:
            difference = entry.get(f"{name}_difference", {})
            row += [difference.get(test, "") for test in tests]
        writer.writerow([*row, entry["errors"]])
    return text.getvalue()


def _title(name: str, part: str) -> str:
    return name if part == "value" else f"{name}_{part}"


def to_markdown(result: Mapping[str, Any]) -> str:
    """The report: what was done in words, the tables, and how to get them again."""
    titles, rows = _success(result)
    costs, spent = _costs(result)
    whole = [
        [*row, *cost[1:], entry["description"]]
        for row, cost, entry in zip(rows, spent, result["strategies"], strict=True)
    ]
    parts = [
        f"# {_plain(result['name'])}: {len(result['strategies'])} strategies compared",
        _plain(_words(result)),
        _markdown_table([*titles, *costs[1:], "what it does"], whole),
        *(_plain(sentence) for sentence in (*result["contrasts"], *_errors(result))),
        (
            f"Differences are to {_plain(result['baseline'])}, test by test. Intervals are 95%; "
            "tests of the same task are taken together. p is two-sided: the exact McNemar test, "
            "or sign flips of whole tasks where tasks were played several times or have scores; "
            "in brackets it is corrected for "
            f"{_count(len(result['strategies']) - 1, 'comparison')} (Holm). "
            "Steps, tokens, calls and seconds are means of a test."
        ),
    ]
    runs = list(result["strategies"][0]["by_run"])
    if len(runs) > 1:
        parts += ["## Success by run", _markdown_table(*_by_run(result, runs))]
    strata = [name for name in STRATA if any(name in e["by_stratum"] for e in result["strategies"])]
    if strata:
        parts += ["## Success by what was seen before", _markdown_table(*_strata(result, strata))]
    parts.append("## To get it again")
    if result["command"]:
        parts.append("    " + " ".join(result["command"].split("\n")))
    parts.append(_plain(f"triforium {result['version']}; {_told(result['settings'])}."))
    return "\n\n".join(parts) + "\n"


def show(result: Mapping[str, Any], console: Console) -> None:
    """Print the tables, and a sentence for each strategy."""
    console.print(_words(result), markup=False, highlight=False)
    # Two tables: one is too wide for most terminals.
    for titles, rows in (_success(result), _costs(result)):
        table = Table()
        for title in titles:
            table.add_column(title, justify="left" if title in _LEFT else "right", overflow="fold")
        for row in rows:
            table.add_row(*(escape(cell.replace(" (", "\n(")) for cell in row))
        console.print(table)
    told = [f"{entry['strategy']}: {entry['description']}" for entry in result["strategies"]]
    for sentence in (*told, *result["contrasts"], *_errors(result)):
        console.print(sentence, markup=False, highlight=False)


# --- the tables: titles, and a row of texts for each strategy ------------------------------------


def _success(result: Mapping[str, Any]) -> tuple[list[str], Rows]:
    """How well they do, and how they differ from the baseline."""
    titles = ["strategy", "n"]
    for name in _measured(result):
        titles += [name, f"to {result['baseline']}", "p (Holm)"]
    rows = []
    for entry in result["strategies"]:
        row = [entry["strategy"], str(entry["n"])]
        for name in _measured(result):
            row.append(_interval(entry[name]))
            difference = entry.get(f"{name}_difference")
            if difference is None:
                row += ["", ""]
            else:
                p, corrected = _p(difference["p"]), _p(difference["p_holm"])
                row += [_interval(difference, sign="+"), f"{p} ({corrected})"]
        rows.append(row)
    return titles, rows


def _costs(result: Mapping[str, Any]) -> tuple[list[str], Rows]:
    """What a test costs."""
    rows = []
    for entry in result["strategies"]:
        values = {name: entry[name]["value"] for name in COSTS}
        rows.append(
            [
                entry["strategy"],
                f"{values['steps']:.1f}",
                f"{values['tokens_recalled']:.0f}",
                f"{values['model_calls']:.1f}",
                f"{values['model_tokens']:.0f}",
                f"{values['seconds']:.2f}",
            ]
        )
    return ["strategy", *(name.replace("_", " ") for name in COSTS)], rows


def _by_run(result: Mapping[str, Any], runs: Sequence[str]) -> tuple[list[str], Rows]:
    """Success in each run."""
    rows = [
        [entry["strategy"], *(f"{entry['by_run'][run]:.3f}" for run in runs)]
        for entry in result["strategies"]
    ]
    return ["strategy", *runs], rows


def _strata(result: Mapping[str, Any], strata: Sequence[str]) -> tuple[list[str], Rows]:
    """Success by what the experience had in common with the task."""
    rows = []
    for entry in result["strategies"]:
        groups = entry["by_stratum"]
        cells = [
            f"{_interval(groups[name])}, n = {groups[name]['n']}" if name in groups else ""
            for name in strata
        ]
        rows.append([entry["strategy"], *cells])
    return ["strategy", *strata], rows


# --- words ----------------------------------------------------------------------------------------


def _words(result: Mapping[str, Any]) -> str:
    """What was done."""
    settings = result["settings"]
    return (
        f"{result['name']}: {_count(result['tasks'], 'task')}, {_count(result['runs'], 'run')}, "
        f"n = {result['n']} for each strategy, at most {_count(settings['max_steps'], 'step')} "
        f"and {_count(settings['tokens'], 'token')} of recall."
    )


def _errors(result: Mapping[str, Any]) -> list[str]:
    """A sentence for each strategy whose tests did not all end as they should."""
    return [
        f"{_count(entry['errors'], 'test')} of {entry['strategy']} ended with an error."
        for entry in result["strategies"]
        if entry["errors"]
    ]


def _told(settings: Mapping[str, Any]) -> str:
    """The settings that are not told elsewhere."""
    parts = []
    for name, value in settings.items():
        if name in ("name", "arms", "version") or value in (None, "", False):
            continue
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        parts.append(f"{name.replace('_', ' ')} {text}")
    return "; ".join(parts)


def _markdown_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["| " + " | ".join(":--" if title in _LEFT else "--:" for title in titles) + " |"]
    lines = ["| " + " | ".join(map(_plain, line)) + " |" for line in (titles, *rows)]
    return "\n".join([lines[0], *rule, *lines[1:]])


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    one_line = " ".join(text.split())
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|#~" else letter for letter in one_line)


def _measured(result: Mapping[str, Any]) -> list[str]:
    """Success, and progress where the world tells it."""
    told = all("progress" in entry for entry in result["strategies"])
    return ["success", "progress"] if told else ["success"]


def _interval(metric: Mapping[str, float], sign: str = "") -> str:
    value, low, high = (f"{metric[end]:{sign}.3f}" for end in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def _p(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else "<0.001"


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
