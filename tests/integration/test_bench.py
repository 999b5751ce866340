"""Benchmarks: memories that grow by play and freeze for the tests, and go on after a crash."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from triforium import Memory
from triforium.workflows import examine
from triforium.workflows.bench import run_bench
from triforium.workflows.examine import TEAM, Player, Rules, play_on, play_test, rows
from triforium.workflows.experience import (
    Place,
    build_store,
    demonstrate,
    demonstrations,
    plan,
    shown_path,
    store_path,
)
from triforium.workflows.folds import draw_folds
from triforium.workflows.settings import Settings

SETTINGS = Settings("household", arms=("hierarchical",), demonstrations=6, play=4, max_steps=12)
(FOLD,) = draw_folds(SETTINGS)
EXPERIENCE = plan(FOLD, SETTINGS)
_, ARM = SETTINGS.teams()
RULES = Rules(FOLD.venue, FOLD.name, None, SETTINGS.max_steps, SETTINGS.tokens, 0)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of six demonstrations."""
    path = tmp_path_factory.mktemp("shown") / "memory.db"
    transcripts = {task.id: demonstrate(FOLD.shown, task) for task in EXPERIENCE.shown}
    build_store(Place(path), "hierarchical", demonstrations(EXPERIENCE, transcripts, None))
    return path


def plain(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name != "seconds"}


async def outcomes(path: Path) -> dict[str, int]:
    async with Memory.open(f"sqlite:///{path}", scope=TEAM) as memory:
        return dict((await memory.statistics()).outcomes)


def test_a_test_leaves_no_trace_and_comes_out_the_same(shown: Path) -> None:
    before = shown.read_bytes()
    players = [Player("hierarchical", "hierarchical", str(shown)), Player("none", "none")]
    first = play_test(RULES, FOLD.tests[0], players)
    assert [item["arm"] for item in first] == ["hierarchical", "none"]
    assert first[0]["tokens"] > 0 == first[1]["tokens"]
    again = play_test(RULES, FOLD.tests[0], players[::-1])
    assert list(map(plain, again[::-1])) == list(map(plain, first))
    assert shown.read_bytes() == before
    assert list(shown.parent.iterdir()) == [shown]


def test_own_play_goes_on_where_it_was_cut_off(
    shown: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the trial was settled and before its line was written: it is not played again."""
    whole = Player("hierarchical", "hierarchical", str(shown), str(tmp_path / "whole.db"))
    play_on(RULES, EXPERIENCE.played, frozenset(), [whole], str(tmp_path / "whole.jsonl"))
    cut = replace(whole, final=str(tmp_path / "cut.db"))
    log = tmp_path / "cut.jsonl"
    write = examine.append

    def crash(path: Path, row: Any) -> None:
        if row["number"] == 2:
            raise KeyboardInterrupt
        write(path, row)

    monkeypatch.setattr(examine, "append", crash)
    with pytest.raises(KeyboardInterrupt):
        play_on(RULES, EXPERIENCE.played, frozenset(), [cut], str(log))
    assert not Path(cut.final).exists()
    monkeypatch.undo()
    play_on(RULES, EXPERIENCE.played, frozenset(), [cut], str(log))
    told = [(row["number"], row["task"], row["success"], row["steps"]) for row in rows(log)]
    assert told == [
        (row["number"], row["task"], row["success"], row["steps"])
        for row in rows(tmp_path / "whole.jsonl")
    ]
    assert len(told) == 4
    items = [
        play_test(RULES, FOLD.tests[1], [Player("a", "hierarchical", path)])
        for path in (whole.final, cut.final)
    ]
    assert plain(items[0][0]) == plain(items[1][0])


async def test_played_memories_hold_each_trial_once(shown: Path, tmp_path: Path) -> None:
    final = tmp_path / "played.db"
    player = Player("hierarchical", "hierarchical", str(shown), str(final))
    log = str(tmp_path / "played.jsonl")
    tasks = (EXPERIENCE.played[0], EXPERIENCE.played[0], EXPERIENCE.played[1])
    await asyncio.to_thread(play_on, RULES, tasks, frozenset({0, 2}), [player], log)
    assert await outcomes(shown) == {"success": 6}
    counts = await outcomes(final)
    assert sum(counts.values()) == 9
    # What the memory is told is turned round twice; what is reported is what happened.
    happened = [row["success"] for row in rows(Path(log))]
    kept = [not happened[0], happened[1], not happened[2]]
    assert counts.get("success", 0) == 6 + sum(kept)
    assert [row["number"] for row in rows(Path(log))] == [0, 1, 2]


def test_play_stops_between_two_tasks_when_told_to(
    shown: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class After:
        left = 2

        def is_set(self) -> bool:
            self.left -= 1
            return self.left < 0

    monkeypatch.setattr(examine, "_stop", After())
    player = Player("hierarchical", "hierarchical", str(shown), str(tmp_path / "end.db"))
    play_on(RULES, EXPERIENCE.played, frozenset(), [player], str(tmp_path / "log.jsonl"))
    assert len(rows(tmp_path / "log.jsonl")) == 2
    assert not Path(player.final).exists()


async def test_a_whole_benchmark(tmp_path: Path) -> None:
    """Own play, other words, mislabelling and strata together; run again, nothing is played."""
    settings = replace(
        SETTINGS, arms=("none", "exprag", "hierarchical:no-insights"), limit=3, play=3, rename=4,
        mislabel=0.5, order=2,
    )  # fmt: skip
    console = Console(quiet=True)
    out, cache = tmp_path / "out", tmp_path / "cache"
    await run_bench(settings, out=out, command="triforium bench", console=console, cache=cache)
    result = json.loads((out / "result.json").read_text())
    assert result["n"] == 3
    assert result["experience"] == {
        "all": {"demonstrations": 6, "mislabelled": 3, "played": 3, "misjudged": 2}
    }
    names = ["exprag", "exprag+3", "hierarchical:no-insights", "hierarchical:no-insights+3"]
    assert list(result["paired"]) == names
    assert {name: one["n"] for name, one in result["played"].items()} == {
        "exprag+3": 3, "hierarchical:no-insights+3": 3,
    }  # fmt: skip
    items = rows(out / "items.jsonl")
    assert len(items) == 15
    assert all({"goal_seen", "scene_seen", "seconds", "model_calls"} <= set(one) for one in items)
    goals = {task.id: task.goal for task in FOLD.tests}
    assert all(one["goal"] != goals[one["task"]] for one in items)
    (fold,) = draw_folds(settings)
    for arm in settings.teams()[2::2]:
        counts = await outcomes(store_path(out, fold, arm))
        assert sum(counts.values()) == 9
        assert set(counts) <= {"success", "failure"}, "no test is in it"
        assert await outcomes(shown_path(out, fold, arm)) == {"success": 3, "failure": 3}
    assert len(list(cache.glob("demonstrations-*.jsonl"))) == 1
    written = (out / "items.jsonl").read_bytes()
    await run_bench(settings, out=out, command="triforium bench", console=console, cache=cache)
    assert (out / "items.jsonl").read_bytes() == written


async def test_a_stale_world(tmp_path: Path) -> None:
    settings = replace(SETTINGS, stale=True, play=2, limit=2, demonstrations=4)
    await run_bench(settings, out=tmp_path, command="", console=Console(quiet=True))
    result = json.loads((tmp_path / "result.json").read_text())
    names = [f"hierarchical@{what}" for what in ("fresh", "stale", "stale+2", "fresh+2")]
    assert list(result["metrics"]) == names
    assert list(result["played"]) == names[2:]
    assert all(one["against"] == names[0] for one in result["paired"].values())
    fresh, stale = (tmp_path / f"memory-all{part}.db" for part in ("", "-stale"))
    assert await outcomes(fresh) == await outcomes(stale) == {"success": 4}
    assert fresh.read_bytes() != stale.read_bytes()
