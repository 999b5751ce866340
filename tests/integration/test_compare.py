"""`triforium compare` from end to end on small households."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from triforium.cli import app
from triforium.workflows.bench import run_bench

ARGUMENTS = (
    "compare", "--bench", "household", "--strategies", "none,hierarchical", "--seeds", "0,1",
    "--limit", "3", "--demonstrations", "4", "--max-steps", "12", "--out", "out",
)  # fmt: skip


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return " ".join(result.output.split())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def result_in(folder: Path) -> dict[str, Any]:
    """The result, without what differs by the clock."""
    found: dict[str, Any] = json.loads((folder / "out" / "comparison.json").read_text())
    for entry in found["strategies"]:
        del entry["seconds"]
    return found


def test_compare_interrupt_go_on_and_refuse(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted in the second run and within the first; then what is missing is played."""
    begun: list[str] = []

    async def interrupted(settings: Any, *, out: Path, **more: Any) -> None:
        begun.append(out.name)
        if out.name == "seed-1":
            raise KeyboardInterrupt
        await run_bench(settings, out=out, **more)

    monkeypatch.setattr("triforium.workflows.compare.run_bench", interrupted)
    assert "Run the same command again to go on" in run(*ARGUMENTS, code=130)
    assert begun == ["seed-0", "seed-1"]
    assert not (folder / "out" / "comparison.json").exists()
    monkeypatch.undo()
    monkeypatch.chdir(folder)

    log = folder / "out" / "seed-0" / "items.jsonl"
    first = log.read_text().splitlines(keepends=True)
    assert len(first) == 6
    log.write_text("".join(first[:4]) + first[4][:30])
    told = run(*ARGUMENTS)
    again = log.read_text().splitlines(keepends=True)
    assert again[:4] == first[:4], "what was played is not played again"
    assert sorted(map(outcome, again)) == sorted(map(outcome, first))
    assert "n = 6 for each strategy" in told
    assert "none: Retrieves nothing" in told

    result = result_in(folder)
    assert [entry["strategy"] for entry in result["strategies"]] == ["none", "hierarchical"]
    assert result["seeds"] == [0, 1]
    none, hierarchical = result["strategies"]
    assert none["n"] == hierarchical["n"] == 6
    assert none["tokens_recalled"]["value"] == 0 < hierarchical["tokens_recalled"]["value"] <= 1000
    difference = hierarchical["success_difference"]
    assert -1 <= difference["low"] <= difference["value"] <= difference["high"] <= 1
    assert 0 < difference["p"] <= difference["p_holm"] <= 1
    items = [
        json.loads(line)
        for seed in (0, 1)
        for line in (folder / "out" / f"seed-{seed}" / "items.jsonl").read_text().splitlines()
    ]
    assert len({item["task"] for item in items}) == 6, "other seeds are other households"
    for entry in result["strategies"]:
        won = [item["success"] for item in items if item["arm"] == entry["strategy"]]
        assert entry["success"]["value"] == pytest.approx(sum(won) / 6, abs=1e-6)
    with (folder / "out" / "comparison.csv").open(newline="") as file:
        assert [row["strategy"] for row in csv.DictReader(file)] == ["none", "hierarchical"]
    assert "| hierarchical | 6 |" in (folder / "out" / "comparison.md").read_text()

    run(*ARGUMENTS)
    assert result_in(folder) == result, "run again, it says the same"
    for other in (("--seeds", "0"), ("--tokens", "900"), ("--order", "1")):
        assert "other settings" in run(*ARGUMENTS, *other, code=2)
    assert result_in(folder) == result
    played = log.read_bytes()
    run(*ARGUMENTS, "--baseline", "hierarchical")
    turned = result_in(folder)["strategies"][0]["success_difference"]
    assert turned["value"] == -difference["value"]
    assert turned["p"] == difference["p"]
    assert log.read_bytes() == played, "another baseline needs no play"
    assert "other settings" in run(
        "bench", "household", "--arms", "none", "--limit", "1", "--out", "out/seed-0", code=2
    )


def outcome(line: str) -> tuple[str, str, bool, int]:
    item = json.loads(line)
    return item["arm"], item["task"], item["success"], item["steps"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--strategies", "none,magic"), "no strategy 'magic'"),
        (("--strategies", "none,none"), "none more than once"),
        (("--strategies", "none"), "at least two"),
        (("--strategies", ","), "at least two"),
        (("--seeds", ""), "--seeds is empty"),
        (("--seeds", "0,x"), "--seeds is whole numbers"),
        (("--seeds", "0,0"), "0 more than once"),
        (("--order", "first"), "--order is whole numbers"),
        (("--baseline", "exprag"), "--baseline"),
        (("--bench", "chess"), "no benchmark 'chess'"),
        (("--bench", "alfworld"), "--games"),
        (("--demonstrations", "few"), "--demonstrations"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(
    folder: Path, arguments: tuple[str, ...], word: str
) -> None:
    assert word in run(*ARGUMENTS, *arguments, code=2)
    assert not list(folder.iterdir())


def test_a_folder_that_holds_something_else_is_left_alone(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "settings.json").write_text("not json")
    assert "other settings" in run(*ARGUMENTS, code=2)
    assert [path.name for path in (folder / "out").iterdir()] == ["settings.json"]
