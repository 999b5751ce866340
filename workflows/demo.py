"""`triforium demo`: a team learns household tasks before your eyes."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

from ..agents import Team
from ..graph import Filter, Tier
from ..memory import Memory
from .bench import TEAM
from .curve import terminal_curve
from .embodied import embodied
from .household import Household
from .page import memory_page
from .results import ItemLog
from .runner import play

HOUSES = 4
"""Houses of the demo: few, so that a team meets each often."""


async def run_demo(*, out: Path, tasks: int, seed: int, store: str, console: Console) -> None:
    """Play household tasks with a memory that grows, and the same ones without.

    Args:
        out: Folder for the store, the page, the curve and the log.
        tasks: How many.
        seed: Draws the tasks.
        store: URL of the memory; in `out` if empty.
        console: Shows it.
    """
    out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    url = store or f"sqlite:///{(out / 'memory.db').resolve()}"
    world = Household(layouts=HOUSES)
    drawn = world.tasks(tasks, seed=seed)
    log = ItemLog.open(out / "items.jsonl", {"demo": 1, "seed": seed, "store": url})
    console.print(
        f"A solver and a critic play {tasks} tasks in {HOUSES} houses they have never seen: "
        "first without a memory, then with one that grows.\n",
        markup=False,
    )
    workflow = embodied(world, team=Team(TEAM), seed=seed)
    async with workflow.open(store="sqlite://", checkpoints=None, strategy="none") as app:
        without = await play(app, drawn, log, arm="without memory", console=console)
    async with Memory.open(url, scope=TEAM, hold_out=0.0) as memory:
        async with workflow.open_with(memory) as app:
            items = await play(
                app, drawn, log, arm="with memory", console=console, stream_id=f"demo-{seed}"
            )
        solved = [float(item["success"] or 0) for item in items]
        before = [float(item["success"] or 0) for item in without]
        console.print(terminal_curve(solved), markup=False, highlight=False)
        console.print("\nWhat it learned, in its own words:", markup=False)
        for line in await learned(memory):
            console.print(f"  - {line}", markup=False, highlight=False)
        statistics = await memory.statistics()
        page = await memory_page(
            memory,
            title="What the team remembers",
            lead=(
                f"A solver and a critic played {tasks} household tasks in {HOUSES} houses, with no "
                "model. They began with an empty memory."
            ),
            curve={"without memory": before, "with memory": solved},
            numbers=[
                (f"{sum(solved[-20:]) / max(1, len(solved[-20:])):.0%}", "solved, last 20 tasks"),
                (f"{sum(before[-20:]) / max(1, len(before[-20:])):.0%}", "the same without memory"),
                (f"{sum(statistics.records.values()):,}", "records"),
                (f"{sum(statistics.links.values()):,}", "links"),
            ],
        )
    path = out / "memory.html"
    path.write_text(page, encoding="utf-8")
    console.print(
        f"\nSolved {sum(solved):.0f} of {len(solved)} with the memory, {sum(before):.0f} without "
        f"({time.monotonic() - started:.0f} s).\nOpen {path.resolve()} to see the three storeys of "
        f"what it remembers.",
        markup=False,
        soft_wrap=True,
    )


async def learned(memory: Memory, count: int = 8) -> list[str]:
    """The insights with the most evidence, as sentences."""
    view = await memory.view()
    insights = await view.recent(tiers=frozenset({Tier.INSIGHT}), k=5000, where=Filter())
    best = sorted(insights, key=lambda one: (-(one.support - one.refuted), one.id))[:count]
    return [f"{one.text} (seen in {one.support} trials)" for one in best]
