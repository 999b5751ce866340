"""What a comparison makes of items: the figures, the tables, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from typing import Any

import pytest

from triforium.errors import InvalidInput
from triforium.memory.hierarchical import ABLATIONS
from triforium.memory.registry import STRATEGIES
from triforium.workflows.compare import (
    Comparison,
    compare_items,
    describe,
    parse_numbers,
)
from triforium.workflows.compare_report import to_csv, to_markdown
from triforium.workflows.paired import holm, mcnemar, newcombe
from triforium.workflows.settings import Arm, Settings

SETTINGS = Settings("household", arms=("none", "exprag", "hierarchical"))
COMPARISON = Comparison(SETTINGS, seeds=(0, 1))


def item(arm: str, task: str, success: bool, **more: Any) -> dict[str, Any]:
    costs = {"steps": 7, "tokens": 100, "model_calls": 2, "model_tokens": 50, "seconds": 0.5}
    return {"arm": arm, "task": task, "success": success, "error": "", **costs, **more}


def two_runs(**more: Any) -> dict[str, list[dict[str, Any]]]:
    """Ten tasks in each run: nobody solves none of them, exprag three, hierarchical all."""
    return {
        f"seed-{seed}": [
            item(arm, f"{seed}/{number}", number < solved, **more)
            for number in range(10)
            for arm, solved in (("none", 0), ("exprag", 3), ("hierarchical", 10))
        ]
        for seed in (0, 1)
    }


def test_the_figures_of_a_comparison() -> None:
    result = compare_items(COMPARISON, two_runs(), command="triforium compare")
    none, exprag, hierarchical = result["strategies"]
    assert (result["n"], result["tasks"], result["runs"]) == (20, 20, 2)
    assert result["baseline"] == "none"
    assert "success_difference" not in none
    assert exprag["success"]["value"] == 0.3
    expected = newcombe(0, 6, 0, 14)
    difference = exprag["success_difference"]
    assert difference["low"] == pytest.approx(expected.low, abs=1e-6)
    assert difference["high"] == pytest.approx(expected.high, abs=1e-6)
    assert (difference["better"], difference["worse"]) == (6, 0)
    ps = {"exprag": mcnemar(6, 0), "hierarchical": mcnemar(20, 0)}
    assert difference["p"] == ps["exprag"]
    assert difference["p_holm"] == holm(ps)["exprag"] == ps["exprag"]
    assert hierarchical["success_difference"]["p_holm"] == 2 * ps["hierarchical"]
    assert hierarchical["by_run"] == {"seed-0": 1.0, "seed-1": 1.0}
    assert exprag["steps"] == {"value": 7.0, "low": 7.0, "high": 7.0}
    assert exprag["model_tokens"]["value"] == 50.0
    assert "progress" not in exprag
    json.dumps(result, allow_nan=False)


def test_tasks_that_came_in_both_runs_are_counted_once() -> None:
    """The same ten tasks in two runs that came out the same: no more than ten tasks tell."""
    runs = two_runs()
    same = {name: [{**one, "task": one["task"][2:]} for one in of] for name, of in runs.items()}
    apart = compare_items(COMPARISON, runs)["strategies"][1]
    pooled = compare_items(COMPARISON, same)["strategies"][1]
    assert (pooled["n"], pooled["tasks"]) == (20, 10)
    assert width(pooled["success"]) > 1.2 * width(apart["success"])
    assert pooled["success_difference"]["p"] == pytest.approx(mcnemar(3, 0))
    assert pooled["success_difference"]["p"] > 5 * apart["success_difference"]["p"]


def width(metric: dict[str, float]) -> float:
    return metric["high"] - metric["low"]


def test_the_baseline_can_be_any_of_the_strategies() -> None:
    comparison = replace(COMPARISON, settings=replace(SETTINGS, baseline="hierarchical"))
    none, exprag, hierarchical = compare_items(comparison, two_runs())["strategies"]
    assert none["success_difference"]["value"] == -1.0
    assert exprag["success_difference"]["value"] == -0.7
    assert "success_difference" not in hierarchical


def test_progress_is_compared_where_the_world_tells_it() -> None:
    runs = two_runs()
    for of_run in runs.values():
        for one in of_run:
            one["progress"] = {"none": 0.2, "exprag": 0.5, "hierarchical": 1.0}[one["arm"]]
    result = compare_items(COMPARISON, runs)
    exprag = result["strategies"][1]
    assert exprag["progress"]["value"] == 0.5
    assert exprag["progress_difference"]["value"] == pytest.approx(0.3)
    assert exprag["progress_difference"]["p"] < 0.001
    assert "progress_difference_p_holm" in to_csv(result)
    assert "| progress |" in to_markdown(result)
    assert runs["seed-0"][1].pop("progress") == 0.5
    exprag = compare_items(COMPARISON, runs)["strategies"][1]
    assert exprag["progress"]["value"] == pytest.approx(0.475), "what broke off made none"


def test_an_arm_without_results_is_told() -> None:
    runs = {name: [one for one in of if one["arm"] != "exprag"] for name, of in two_runs().items()}
    with pytest.raises(InvalidInput, match="no results of exprag"):
        compare_items(COMPARISON, runs)


# --- tables ---------------------------------------------------------------------------------------


def tables(markdown: str) -> list[list[list[str]]]:
    """The cells of all tables; an escaped bar does not end a cell."""
    found: list[list[list[str]]] = [[]]
    for line in markdown.splitlines():
        if line.startswith("|"):
            assert line.endswith("|")
            found[-1].append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif found[-1]:
            found.append([])
    return [one for one in found if one]


def test_markdown_tables_are_well_formed() -> None:
    result = compare_items(COMPARISON, two_runs(goal_seen=True), command="triforium compare --x y")
    result["strategies"][1]["description"] = "a | b\n<script> *not* `code` [link](x)"
    markdown = to_markdown(result)
    first, by_run, strata = tables(markdown)
    for table in (first, by_run, strata):
        assert {len(row) for row in table} == {len(table[0])}
        assert all(re.fullmatch(r":--|--:", cell) for cell in table[1])
        assert [row[0] for row in table[2:]] == ["none", "exprag", "hierarchical"]
    assert first[0][-1] == "what it does"
    assert first[3][-1] == r"a \| b \<script\> \*not\* \`code\` \[link\](x)"
    assert first[3][first[0].index("success")].startswith("0.300 (")
    assert first[4][first[0].index("p (Holm)")] == "<0.001 (<0.001)".replace("<", r"\<").replace(
        ">", r"\>"
    )
    assert strata[0] == ["strategy", "goal seen"]
    assert "    triforium compare --x y\n" in markdown
    assert "nan" not in markdown
    assert "None" not in markdown


def test_csv_reads_back() -> None:
    result = compare_items(COMPARISON, two_runs())
    result["strategies"][2]["description"] = 'commas, "quotes" and\nlines'
    rows = list(csv.DictReader(io.StringIO(to_csv(result), newline="")))
    assert [row["strategy"] for row in rows] == ["none", "exprag", "hierarchical"]
    assert rows[2]["description"] == 'commas, "quotes" and\nlines'
    assert rows[0]["success_difference"] == ""
    assert float(rows[1]["success_difference"]) == 0.3
    assert float(rows[1]["success_difference_p"]) == mcnemar(6, 0)
    assert all(None not in row and None not in row.values() for row in rows)


def test_errors_are_told() -> None:
    runs = two_runs()
    runs["seed-0"][0]["error"] = "LookupError: gone"
    result = compare_items(COMPARISON, runs)
    assert "1 test of none ended with an error." in to_markdown(result)
    assert "ended with an error" not in to_markdown(compare_items(COMPARISON, two_runs()))


def test_every_strategy_says_what_it_does_in_a_sentence_of_its_own() -> None:
    names = [*STRATEGIES, *(f"hierarchical:{part}" for part in ABLATIONS)]
    told = [describe(Arm(name, name)) for name in names]
    for name, sentence in zip(names, told, strict=True):
        assert sentence.endswith("."), name
        assert "\n" not in sentence
        assert 20 < len(sentence) < 400, name
    assert len(set(told)) == len(names)
    assert describe(Arm("a", "hierarchical:no-insights")) == "hierarchical without insights."
    assert "before things moved" in describe(Arm("a", "hierarchical", stale=True))
    assert "played 40 tasks" in describe(Arm("a", "hierarchical", play=40))


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("comparison", "word"),
    [
        (Comparison(SETTINGS, seeds=()), "--seeds is empty"),
        (Comparison(SETTINGS, orders=()), "--order is empty"),
        (Comparison(SETTINGS, seeds=(1, 2, 1)), "--seeds names 1 more than once"),
        (Comparison(replace(SETTINGS, arms=("none",))), "at least two"),
        (Comparison(replace(SETTINGS, arms=("none", "magic"))), "no strategy 'magic'"),
        (Comparison(replace(SETTINGS, arms=("none", "exprag", "none"))), "none more than once"),
        (Comparison(replace(SETTINGS, baseline="context")), "--baseline"),
        (Comparison(replace(SETTINGS, name="chess")), "no benchmark 'chess'"),
    ],
)
def test_what_cannot_be_compared_is_refused(comparison: Comparison, word: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(word)):
        comparison.check()


def test_one_strategy_with_a_stale_world_is_a_comparison() -> None:
    Comparison(replace(SETTINGS, arms=("hierarchical",), stale=True)).check()


def test_each_seed_is_run_with_each_order() -> None:
    assert [name for name, _ in COMPARISON.runs()] == ["seed-0", "seed-1"]
    runs = Comparison(SETTINGS, seeds=(3, 4), orders=(1, 2)).runs()
    assert [name for name, _ in runs] == [
        "seed-3-order-1", "seed-3-order-2", "seed-4-order-1", "seed-4-order-2",
    ]  # fmt: skip
    assert [(settings.seed, settings.order) for _, settings in runs] == [
        (3, 1), (3, 2), (4, 1), (4, 2),
    ]  # fmt: skip


def test_numbers_as_they_are_typed() -> None:
    assert parse_numbers("--seeds", " 0, 2,10,") == (0, 2, 10)
    assert parse_numbers("--seeds", "") == ()
    for wrong in ("a", "1.5", "-1", "1;2"):
        with pytest.raises(InvalidInput, match="--seeds is whole numbers"):
            parse_numbers("--seeds", wrong)
