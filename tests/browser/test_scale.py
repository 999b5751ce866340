"""Many nodes: what a frame costs while the picture moves."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from triforium.graph import (
    Add,
    AddLink,
    Changeset,
    Close,
    Link,
    LinkType,
    Op,
    Outcome,
    Provenance,
    Record,
    Tier,
)
from triforium.graph.open import open_store

from .conftest import TEAM, Inspector, Opener, inspect, run

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.timeout(600)
FRAME_MS = 8.0
DRAGS = 5
NODES = 5_000
MORE = "TRIFORIUM_SCALE_NODES"
"""Names how many nodes are measured besides, such as 20000; that is told, not bounded."""
STEPS = 2
"""Of a trial: the steps of larger memories are shown trial by trial."""


async def _large(path: Path, nodes: int, steps: int = STEPS) -> None:
    """Trials of a few steps, and an insight for every eighth."""
    store = await open_store(f"sqlite:///{path}")
    for first in range(0, nodes * 8 // (9 + 8 * steps), 8):
        ops: list[Op] = []
        rule = Record(
            id=f"i{first}",
            tier=Tier.INSIGHT,
            kind="rule",
            scope=TEAM,
            text=f"{WORDS[first % 20]} is found at place {first % 11}",
        )
        ops.append(Add(rule))
        for number in range(first, first + 8):
            ops += _trial(number, steps)
            ops.append(AddLink(Link(src=f"t{number}", dst=rule.id, type=LinkType.SUPPORTS)))
        await store.apply(
            Changeset(
                id=f"c{first}",
                scope=TEAM,
                base=0,
                actor="test",
                reason="eight trials",
                ops=tuple(ops),
            )
        )
    await store.close()


def _trial(number: int, steps: int) -> list[Op]:
    trial = Record(
        id=f"t{number}",
        tier=Tier.QUERY,
        kind="task",
        scope=TEAM,
        text=f"put {WORDS[number % 20]} {number} on shelf {number % 7}",
    )
    taken = [
        Record(
            id=f"t{number}s{step}",
            tier=Tier.INTERACTION,
            kind="action",
            scope=TEAM,
            text=f"walk to place {step}\nYou are there.",
            provenance=Provenance(agent="solver", trial=trial.id, step=step),
        )
        for step in range(steps)
    ]
    links = [Link(src=one.id, dst=trial.id, type=LinkType.PART_OF) for one in taken]
    links += [Link(src=a.id, dst=b.id, type=LinkType.NEXT) for a, b in pairwise(taken)]
    outcome = Outcome.success() if number % 3 else Outcome.failure()
    return [*map(Add, (trial, *taken)), *map(AddLink, links), Close(trial.id, 1, outcome)]


WORDS = (
    *("apple", "bowl", "candle", "dish", "egg", "fork", "glass", "hat", "iron", "jug"),
    *("key", "lamp", "mug", "net", "oven", "pan", "quilt", "radio", "soap", "towel"),
)


def pan(page: Page, moves: int = 60) -> list[float]:
    """Drag the picture about; milliseconds of script of each frame, the wall included."""
    box = page.get_by_role("application").bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.evaluate("() => { window.inspector.picture.frames.length = 0 }")
    page.mouse.move(x, y)
    page.mouse.down()
    for move in range(moves):
        page.mouse.move(x + (move % 30 - 15) * 8, y + (move % 20 - 10) * 6)
        page.evaluate("() => new Promise(done => requestAnimationFrame(done))")
    page.mouse.up()
    frames: list[float] = page.evaluate("() => window.inspector.statistics().frames")
    return sorted(frames)


def shown(page: Page, found: Inspector, nodes: int) -> None:
    page.goto(found.at(f"#/graph?clusters=never&limit={nodes}"))
    page.wait_for_function(
        "nodes => window.inspector?.statistics().nodes === nodes", arg=nodes, timeout=120_000
    )


def quantile(ordered: list[float], part: float) -> float:
    return ordered[int(len(ordered) * part)]


def measured(store: Path, nodes: int, open_page: Opener, *, steps: int = STEPS) -> float:
    """Drag a picture of so many nodes a few times; the p95 of the median drag, in milliseconds."""
    run(_large(store, nodes, steps))
    with inspect(store) as found:
        page = open_page(found)
        page.get_by_role("heading", level=1).wait_for()
        shown(page, found, nodes)
        drags = [pan(page) for _ in range(DRAGS)]
    assert all(len(frames) >= 30 for frames in drags)
    every = sorted(frame for frames in drags for frame in frames)
    median = sorted(quantile(frames, 0.95) for frames in drags)[DRAGS // 2]
    print(
        f"{nodes:,} nodes, {DRAGS} drags, {len(every)} frames: p50 {quantile(every, 0.5):.1f} ms, "
        f"p95 {quantile(every, 0.95):.1f} ms; p95 of the median drag {median:.1f} ms"
    )
    return median


def test_five_thousand_nodes_pan_smoothly(tmp_path: Path, open_page: Opener) -> None:
    assert measured(tmp_path / "memory.db", NODES, open_page) <= FRAME_MS


@pytest.mark.skipif(MORE not in os.environ, reason=f"{MORE} asks for no more nodes")
def test_more_nodes_are_measured(tmp_path: Path, open_page: Opener) -> None:
    # More steps than the page shows at once; the nodes are a multiple of nine then.
    measured(tmp_path / "memory.db", int(os.environ[MORE]), open_page, steps=0)


def test_many_nodes_come_as_clusters_that_open(tmp_path: Path, open_page: Opener) -> None:
    store = tmp_path / "memory.db"
    run(_large(store, 4_000))
    with inspect(store) as found:
        page = open_page(found)
        page.get_by_text("grouped by topic").wait_for()
        page.get_by_role("button", name="Table").click()
        table = page.get_by_role("region", name="Records of the graph")
        before = page.evaluate("() => document.querySelectorAll('tbody tr').length")
        assert before < 400
        table.get_by_role("link", name="candle").first.click()
        page.wait_for_function(
            "n => document.querySelectorAll('tbody tr').length > n", arg=before, timeout=60_000
        )
