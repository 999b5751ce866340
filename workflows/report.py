"""The results of a benchmark: `result.json` and the table in the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from .. import __version__
from .experience import plan
from .folds import Fold
from .results import ItemLog, mean, proportion, summarise
from .settings import Settings

Item = Mapping[str, Any]
STRATA = (
    ("goal seen", "goal_seen", True),
    ("goal unseen", "goal_seen", False),
    ("scene seen", "scene_seen", True),
    ("scene unseen", "scene_seen", False),
)
"""Name, field of an item, and its value."""
_TEN = 10


def result_of(
    settings: Settings,
    folds: Sequence[Fold],
    log: ItemLog,
    played: Sequence[Item],
    command: str,
    seconds: float,
) -> dict[str, Any]:
    """What stands in `result.json`.

    Args:
        settings: What was measured.
        folds: Experience and tests.
        log: The items of the tests.
        played: The items of the teams' own play.
        command: As it was typed.
        seconds: How long it took.
    """
    names = [arm.name for arm in settings.teams()]
    rows = {name: log.of(name) for name in names}
    items = [item for of_arm in rows.values() for item in of_arm]
    return {
        "name": settings.name,
        "version": __version__,
        "command": command,
        "seed": settings.seed,
        "n": sum(len(fold.tests) for fold in folds),
        "max_steps": settings.max_steps,
        "budget": settings.tokens,
        "settings": settings.to_json(),
        "experience": {
            fold.name: {
                "demonstrations": len(experience.shown),
                "mislabelled": len(experience.mislabelled),
                "played": len(experience.played),
                "misjudged": len(experience.misjudged),
            }
            for fold in folds
            for experience in [plan(fold, settings)]
        },
        "metrics": {name: summarise(of_arm, settings.seed) for name, of_arm in rows.items()},
        "paired": _paired(settings, rows),
        "by_fold": {
            name: {
                fold.name: summarise(
                    [item for item in of_arm if item["fold"] == fold.name], settings.seed
                )["success_rate"]
                for fold in folds
            }
            for name, of_arm in rows.items()
        },
        "by_kind": {
            name: _groups(of_arm, {k: _is("kind", k) for k in sorted({i["kind"] for i in items})})
            for name, of_arm in rows.items()
        },
        "by_stratum": {
            name: _groups(of_arm, {title: _is(field, value) for title, field, value in STRATA})
            for name, of_arm in rows.items()
        },
        "played": {name: _along(played, name) for name in names if _of(played, name)},
        "model_calls": sum(item["model_calls"] for item in items),
        "tokens": sum(item["model_tokens"] for item in items),
        "errors": sum(bool(item["error"]) for item in items),
        "seconds": round(seconds, 1),
    }


def _is(field: str, value: Any) -> Callable[[Item], bool]:
    return lambda item: item.get(field) == value


def _groups(items: Sequence[Item], groups: Mapping[str, Callable[[Item], bool]]) -> dict[str, Any]:
    """The success rate, and progress where it is told, of each group that has items."""
    found: dict[str, Any] = {}
    for name, belongs in groups.items():
        chosen = [item for item in items if belongs(item)]
        if not chosen:
            continue
        rate = proportion(sum(bool(item["success"]) for item in chosen), len(chosen))
        found[name] = {**rate.to_json(), "n": len(chosen)}
        if all("progress" in item for item in chosen):
            found[name]["progress"] = mean([item["progress"] for item in chosen]).to_json()
    return found


def _paired(settings: Settings, rows: Mapping[str, Sequence[Item]]) -> dict[str, Any]:
    """Every arm against the baseline, on the tasks that both have played."""
    from .paired import paired

    baseline = settings.baseline or next(iter(rows))
    base = {item["task"]: item for item in rows[baseline]}
    found: dict[str, Any] = {}
    for name, items in rows.items():
        both = [item for item in items if item["task"] in base]
        if name == baseline or not both:
            continue
        found[name] = {"against": baseline, "n": len(both)}
        for metric in ("success", "progress"):
            if not all(metric in item and metric in base[item["task"]] for item in both):
                continue
            compared = paired(
                [float(item[metric]) for item in both],
                [float(base[item["task"]][metric]) for item in both],
                seed=settings.seed,
            )
            found[name][metric] = {
                "difference": compared.difference.to_json(),
                "p": round(compared.p, 6),
                "better": compared.better,
                "worse": compared.worse,
            }
    return found


def _of(items: Sequence[Item], arm: str) -> list[Item]:
    return sorted(
        (item for item in items if item["arm"] == arm),
        key=lambda item: (item["number"], item["fold"]),
    )


def _along(played: Sequence[Item], arm: str) -> dict[str, Any]:
    """How own play went: in all, and by tens of tasks, folds together."""
    items = _of(played, arm)
    tens: dict[int, list[Item]] = {}
    for item in items:
        tens.setdefault(item["number"] // _TEN, []).append(item)
    return {
        "n": len(items),
        "success_rate": proportion(sum(bool(i["success"]) for i in items), len(items)).to_json(),
        "by_ten": [
            round(sum(bool(item["success"]) for item in ten) / len(ten), 4)
            for _, ten in sorted(tens.items())
        ],
    }


def show(result: Mapping[str, Any], console: Console) -> None:
    """Print the tables."""
    console.print(_main_table(result))
    strata = _strata_table(result)
    if strata is not None:
        console.print(strata)


def _main_table(result: Mapping[str, Any]) -> Table:
    table = Table(title=f"{result['name']}: n = {result['n']}, seed {result['seed']}")
    every = list(result["metrics"].values())
    progress = all("progress" in metrics for metrics in every)
    shown = ["success", "95% interval", *(["progress"] if progress else []), "steps", "tokens",
             "against", "p"]  # fmt: skip
    table.add_column("arm", no_wrap=True)
    for column in shown:
        table.add_column(column, justify="right")
    for arm, metrics in result["metrics"].items():
        rate = metrics["success_rate"]
        row = [arm, f"{rate['value']:.3f}", f"{rate['low']:.3f} to {rate['high']:.3f}"]
        if progress:
            row.append(f"{metrics['progress']['value']:.3f}")
        row += [f"{metrics['steps']['value']:.1f}", f"{metrics['tokens_recalled']['value']:.0f}"]
        compared = result["paired"].get(arm, {}).get("success")
        if compared:
            gain = compared["difference"]
            row.append(f"{gain['value']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]")
            row.append(f"{compared['p']:.3f}" if compared["p"] >= 0.001 else "<0.001")
        table.add_row(*row)
    if result["paired"]:
        against = next(iter(result["paired"].values()))["against"]
        table.caption = f"tokens: recalled a task; against: paired difference to {against}"
    return table


def _strata_table(result: Mapping[str, Any]) -> Table | None:
    """Success where goal and scene came up in the experience, and where not; None if all did or
    none did."""
    strata = [
        title
        for title, _, _ in STRATA
        if any(title in groups for groups in result["by_stratum"].values())
    ]
    if not any(f"{what} seen" in strata and f"{what} unseen" in strata
               for what in ("goal", "scene")):  # fmt: skip
        return None
    table = Table("arm", *strata, title="success (n) by what the experience had")
    for arm, groups in result["by_stratum"].items():
        chosen = [groups.get(title) for title in strata]
        table.add_row(arm, *(f"{one['value']:.3f} ({one['n']})" if one else "" for one in chosen))
    return table
