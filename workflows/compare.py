"""Compares memory strategies: the same tasks, actor and budgets, over several seeds or orders.

Each seed is a benchmark of its own in a folder of its own, which goes on where it was interrupted;
their items are then pooled.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from .. import __version__
from ..errors import InvalidInput
from ..memory.hierarchical import ABLATIONS
from ..memory.registry import get_strategy
from .bench import run_bench
from .compare_report import COSTS, STRATA, show, to_csv, to_markdown
from .paired import clustered_mean, clustered_proportion, holm, pooled
from .results import Metric, write_result
from .settings import Arm, Settings

Item = Mapping[str, Any]

_PARTS = {
    "insights": "insights",
    "examples": "steps of successful trials",
    "counter_examples": "steps of failed trials",
    "neighbours": "the hop from like trials to their neighbours in the query graph",
}
"""The parts that an ablation lacks, in words."""
CONTRASTS = {
    frozenset({"gmemory", "hierarchical"}): (
        "gmemory serves what the constants of its paper allow (two like trials and their "
        "neighbours, two successes, a failure, ten insights) and revises insights in rounds, by a "
        "model if there is one; hierarchical ranks by words, meaning and surroundings, lets the "
        "like trials vote, counts what speaks for and against an insight at every trial, and "
        "fills the budget."
    )
}
"""What sets two strategies apart that are easily taken for one another."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is compared.

    Attributes:
        settings: Of every run, but for `seed` and `order`, which come from the lists. `baseline`
            can be another one when the same comparison is run again: nothing is played for it.
        seeds: Of episodes, tasks and choices; a run for each.
        orders: Seeds of the order of the experience; each seed is run with each of them.
    """

    settings: Settings
    seeds: tuple[int, ...] = (0,)
    orders: tuple[int, ...] = (0,)

    def check(self) -> None:
        """Refuse what cannot be compared.

        Raises:
            InvalidInput: With a sentence that says what to give instead.
        """
        for option, values in (("--seeds", self.seeds), ("--order", self.orders)):
            if not values:
                raise InvalidInput(f"{option} is empty; give whole numbers, such as 0,1,2.")
            _no_twins(option, values)
        _no_twins("--strategies", self.settings.arms)
        for strategy in self.settings.arms:
            get_strategy(strategy)
        if len(self.settings.teams()) < 2:
            raise InvalidInput(
                "--strategies needs at least two to compare, such as none,hierarchical."
            )
        self.settings.check()

    def runs(self) -> list[tuple[str, Settings]]:
        """The runs: their names, which are also their folders, and their settings."""
        several = len(self.orders) > 1
        return [
            (
                f"seed-{seed}-order-{order}" if several else f"seed-{seed}",
                replace(self.settings, seed=seed, order=order, baseline=""),
            )
            for seed in self.seeds
            for order in self.orders
        ]

    @property
    def baseline(self) -> str:
        """The arm the others are compared with."""
        return self.settings.baseline or self.settings.teams()[0].name

    def to_json(self) -> dict[str, Any]:
        """All that is played depends on."""
        plain = self.settings.to_json()
        del plain["seed"], plain["order"], plain["baseline"]
        return {**plain, "seeds": list(self.seeds), "orders": list(self.orders)}


def _no_twins(option: str, values: Sequence[Any]) -> None:
    twins = [str(value) for value, count in Counter(values).items() if count > 1]
    if twins:
        raise InvalidInput(f"{option} names {', '.join(twins)} more than once; once is enough.")


def parse_numbers(option: str, text: str) -> tuple[int, ...]:
    """Whole numbers from 0, as they are typed with commas between them.

    Raises:
        InvalidInput: One is no such number.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        if not (word.isascii() and word.isdecimal()):
            raise InvalidInput(f"{option} is whole numbers from 0, such as 0,1,2, not {word!r}.")
    return tuple(int(word) for word in words)


async def run_compare(
    comparison: Comparison,
    *,
    out: Path,
    command: str,
    console: Console,
    cache: Path | None = None,
) -> dict[str, Any]:
    """Run every seed, and write `comparison.md`, `.csv` and `.json`; goes on if interrupted.

    Args:
        comparison: What to compare.
        out: Folder for the results, with a folder for each run.
        command: As it was typed, for the results.
        console: Shows progress and the tables.
        cache: Folder that keeps replayed demonstrations for other benchmarks too.

    Returns:
        What stands in `comparison.json`.

    Raises:
        InvalidInput: It cannot be compared, or `out` holds another comparison.
    """
    comparison.check()
    _claim(out, comparison)
    items: dict[str, list[dict[str, Any]]] = {}
    runs = comparison.runs()
    for number, (name, settings) in enumerate(runs, 1):
        console.print(f"{name} ({number} of {len(runs)})", markup=False, highlight=False)
        folder = out / name
        # A shared folder also spares replaying the same demonstrations for each order.
        await run_bench(
            settings, out=folder, command=command, console=console, cache=cache or out / "replayed"
        )
        items[name] = _items(folder / "items.jsonl")
    result = compare_items(comparison, items, command=command)
    write_result(out / "comparison.json", result)
    _write(out / "comparison.csv", to_csv(result))
    _write(out / "comparison.md", to_markdown(result))
    show(result, console)
    console.print(f"Written to {out / 'comparison.md'}, .csv and .json.", markup=False)
    return result


def _claim(out: Path, comparison: Comparison) -> None:
    """Note in `out` what is compared there; refuse a folder that holds something else."""
    wanted = json.loads(json.dumps(comparison.to_json()))
    path = out / "settings.json"
    if not path.exists():
        out.mkdir(parents=True, exist_ok=True)
        write_result(path, wanted)
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if found == wanted:
        return
    names = [
        name for name in wanted if not isinstance(found, dict) or found.get(name) != wanted[name]
    ]
    raise InvalidInput(
        f"{out} holds results with other settings ({', '.join(names) or 'more of them'}). "
        "Give another --out, or delete it to begin again.",
        path=str(out),
    )


def _items(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _write(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8", newline="")
    temporary.replace(path)


# --- figures --------------------------------------------------------------------------------------


def compare_items(
    comparison: Comparison, items: Mapping[str, Sequence[Item]], *, command: str = ""
) -> dict[str, Any]:
    """Pool the items of all runs.

    Args:
        comparison: What was compared.
        items: Per run the items of all arms.
        command: As it was typed.

    Returns:
        What stands in `comparison.json`: "strategies" has an entry for each arm, in order.

    Raises:
        InvalidInput: An arm has no items.
    """
    settings = comparison.settings
    teams = settings.teams()
    items = _with_progress(items)
    pools = {
        team.name: {
            (run, item["task"]): item
            for run, of_run in items.items()
            for item in of_run
            if item["arm"] == team.name
        }
        for team in teams
    }
    empty = [name for name, pool in pools.items() if not pool]
    if empty:
        raise InvalidInput(f"There are no results of {', '.join(empty)} to compare.")
    base = pools[comparison.baseline]
    entries = [_entry(team, pools[team.name], list(items)) for team in teams]
    metrics = ["success"]
    if all("progress" in entry for entry in entries):
        metrics.append("progress")
    for metric in metrics:
        _add_differences(entries, pools, base, metric, comparison)
    return {
        "name": settings.name,
        "version": __version__,
        "command": command,
        "seeds": list(comparison.seeds),
        "orders": list(comparison.orders),
        "baseline": comparison.baseline,
        "runs": len(items),
        "tasks": len({task for _, task in base}),
        "n": len(base),
        "settings": comparison.to_json(),
        "strategies": entries,
        "contrasts": [
            sentence
            for names, sentence in CONTRASTS.items()
            if names <= {team.strategy for team in teams}
        ],
    }


def _with_progress(items: Mapping[str, Sequence[Item]]) -> dict[str, list[Item]]:
    """The items; in a world that tells progress, a test that broke off without any made none."""
    told = any(item.get("progress") is not None for of_run in items.values() for item in of_run)
    return {
        run: [
            {**item, "progress": item.get("progress") or 0.0} if told else item for item in of_run
        ]
        for run, of_run in items.items()
    }


def _entry(team: Arm, pool: Mapping[tuple[str, str], Item], runs: Sequence[str]) -> dict[str, Any]:
    """The figures of one arm alone."""
    rows = list(pool.values())
    entry: dict[str, Any] = {
        "strategy": team.name,
        "description": describe(team),
        "n": len(rows),
        "tasks": len({item["task"] for item in rows}),
        "success": _share(rows).to_json(),
    }
    if all("progress" in item for item in rows):
        entry["progress"] = _mean(rows, "progress").to_json()
    entry |= {name: _mean(rows, field).to_json() for name, field in COSTS.items()}
    entry["errors"] = sum(bool(item["error"]) for item in rows)
    entry["by_run"] = {
        run: round(sum(bool(item["success"]) for item in of_run) / len(of_run), 6)
        for run in runs
        if (of_run := [item for (name, _), item in pool.items() if name == run])
    }
    entry["by_stratum"] = {
        title: {**_share(chosen).to_json(), "n": len(chosen)}
        for title, (field, value) in STRATA.items()
        if (chosen := [item for item in rows if item.get(field) is value])
    }
    return entry


def _share(rows: Sequence[Item]) -> Metric:
    return clustered_proportion(
        [float(bool(item["success"])) for item in rows], [item["task"] for item in rows]
    )


def _mean(rows: Sequence[Item], field: str) -> Metric:
    return clustered_mean([float(item[field]) for item in rows], [item["task"] for item in rows])


def _add_differences(
    entries: Sequence[dict[str, Any]],
    pools: Mapping[str, Mapping[tuple[str, str], Item]],
    base: Mapping[tuple[str, str], Item],
    metric: str,
    comparison: Comparison,
) -> None:
    """Add to each entry but the baseline's how it differs, on the tasks that both have played."""
    ps = {}
    for entry in entries:
        name = entry["strategy"]
        both = [key for key in pools[name] if key in base]
        if name == comparison.baseline:
            continue
        if not both:
            raise InvalidInput(f"{name} and {comparison.baseline} have no task in common.")
        found = pooled(
            [float(pools[name][key][metric]) for key in both],
            [float(base[key][metric]) for key in both],
            [task for _, task in both],
        )
        ps[name] = found.p
        entry[f"{metric}_difference"] = {
            **found.difference.to_json(),
            "p": found.p,
            "better": found.better,
            "worse": found.worse,
        }
    for entry in entries:
        if entry["strategy"] in ps:
            corrected = holm(ps)[entry["strategy"]]
            entry[f"{metric}_difference"]["p_holm"] = corrected


def describe(team: Arm) -> str:
    """One sentence on what an arm does.

    That is the strategy's `description`, or else the first line of its class's docstring.
    """
    base, _, part = team.strategy.partition(":")
    strategy = get_strategy(base if part in ABLATIONS else team.strategy)
    told = getattr(strategy, "description", None) or type(strategy).__doc__ or ""
    sentence = " ".join(str(told).strip().partition("\n\n")[0].split())
    if part in ABLATIONS:
        parts = ABLATIONS[part]
        lacks = [
            _PARTS.get(field.name, field.name.replace("_", " "))
            for field in fields(parts)
            if getattr(parts, field.name) is False
        ]
        sentence = f"{base} without {' and without '.join(lacks)}."
    if team.stale:
        sentence += " Its demonstrations are from before things moved."
    if team.play:
        sentence += f" It has played {team.play} tasks of its own before the tests."
    return sentence
