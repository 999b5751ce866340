"""The default strategy learns: on a few tasks of small households, each figure against its twin.

The seeds are fixed, so that what is asserted here comes out the same every time; the margins leave
room for changes of the strategy that do not harm it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from triforium.workflows.bench import run_bench
from triforium.workflows.compare import Comparison, run_compare
from triforium.workflows.paired import Paired, pooled
from triforium.workflows.settings import Settings

SEEDS = (0, 1)
TESTS, MAX_STEPS = 10, 25

Outcomes = dict[tuple[int, str], bool]
"""Whether each task of each seed was solved."""


def settings(*arms: str, demonstrations: int | None, play: int = 0, seed: int = 0) -> Settings:
    return Settings(
        "household",
        arms=arms,
        limit=TESTS,
        max_steps=MAX_STEPS,
        demonstrations=demonstrations,
        play=play,
        seed=seed,
    )


@pytest.fixture(scope="module")
def hierarchical(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, int], Outcomes]:
    """What the default strategy solves after some demonstrations and some play of its own."""
    folder = tmp_path_factory.mktemp("learning")
    known: dict[tuple[int, int], Outcomes] = {}

    def play(demonstrations: int, own: int) -> Outcomes:
        if (demonstrations, own) not in known:
            solved: Outcomes = {}
            for seed in SEEDS:
                out = folder / f"{demonstrations}-{own}-{seed}"
                chosen = settings(
                    "hierarchical", demonstrations=demonstrations, play=own, seed=seed
                )
                quiet = Console(quiet=True)
                asyncio.run(
                    run_bench(chosen, out=out, command="", console=quiet, cache=folder / "cache")
                )
                arm = f"hierarchical+{own}" if own else "hierarchical"
                solved |= {
                    (seed, item["task"]): item["success"]
                    for item in items(out)
                    if item["arm"] == arm
                }
            known[demonstrations, own] = solved
        return known[demonstrations, own]

    return play


def items(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]


def against(better: Outcomes, worse: Outcomes) -> Paired:
    assert better.keys() == worse.keys(), "the same tasks"
    assert len(better) == TESTS * len(SEEDS)
    return pooled(
        [float(solved) for solved in better.values()],
        [float(worse[key]) for key in better],
        list(better),
    )


def test_memory_solves_what_the_same_actor_without_it_does_not(tmp_path: Path) -> None:
    comparison = Comparison(settings("none", "hierarchical", demonstrations=None), seeds=SEEDS)
    result = asyncio.run(
        run_compare(comparison, out=tmp_path / "out", command="", console=Console(quiet=True))
    )
    none, with_memory = result["strategies"]
    difference = with_memory["success_difference"]
    assert difference["value"] >= 0.3
    assert difference["low"] > 0.0
    assert difference["p_holm"] < 0.05
    assert with_memory["steps"]["value"] < none["steps"]["value"]
    assert all(rate > none["by_run"][run] for run, rate in with_memory["by_run"].items())


def test_more_demonstrations_make_it_better(hierarchical: Callable[[int, int], Outcomes]) -> None:
    compared = against(hierarchical(40, 0), hierarchical(4, 0))
    assert compared.difference.value >= 0.2
    assert compared.difference.low > 0.0


def test_it_learns_from_its_own_play(hierarchical: Callable[[int, int], Outcomes]) -> None:
    compared = against(hierarchical(8, 40), hierarchical(8, 0))
    assert compared.difference.value >= 0.1
    assert compared.better > compared.worse
