"""The suite `revert` at a small size: the store equals the one that never met the bad source."""

from __future__ import annotations

from triforium.workflows.guard.revert import run, time_taint
from triforium.workflows.guard.suites import GuardSettings


async def test_influence_is_taken_out() -> None:
    settings = GuardSettings(
        suite="revert",
        seeds=(3,),
        options={"honest": "12", "bad": "30", "descendants": "30"},
    )
    found = await run(settings, lambda *_: None)
    (item,) = found.items
    assert item["bad_records"] == 30
    assert item["different_before"] > 0
    assert item["differences"] == []
    assert item["dry_run_says_the_same"]
    assert item["left_to_mine"] == 0
    assert item["problems"] == []
    assert found.arms[0].metrics["equal_stores"]["value"] == 1.0


async def test_taint_is_timed() -> None:
    times = await time_taint(40, repeats=2)
    assert [len(some) for some in times.values()] == [2, 2]
