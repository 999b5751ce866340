"""`triforium demo`: a team learns household tasks before your eyes."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

from ..agents import Task, Team
from ..graph import Filter, Tier
from ..memory import Memory
from .app import Run
from .curve import svg_curve, terminal_curve
from .demo_attack import attack_act
from .embodied import embodied, replay
from .examine import TEAM
from .experience import remember
from .household import Household
from .results import ItemLog
from .runner import play

HOUSES = 4
"""Houses of the demo: few, so that a team meets each often."""
SHOWN = 24
"""Of the first tasks, those that the team fails are shown to it by an expert."""
EXPERTS = ("ann", "bo", "cleo")
"""Who show them, in turn: independent sources, whose word counts against a single attacker's."""


async def run_demo(*, out: Path, tasks: int, seed: int, store: str, console: Console) -> str:
    """Play household tasks with a memory that grows, and the same ones without; then attack it.

    The team begins knowing nothing. For the first `SHOWN` tasks, one that it fails is shown to it
    afterwards, once, as a colleague would; from then on it is on its own. In the end somebody
    poisons what it has learned, and it plays on with a guard and without.

    Args:
        out: Folder for the store, the curve and the log.
        tasks: How many.
        seed: Draws the tasks.
        store: URL of the memory; in `out` if empty.
        console: Shows it.

    Returns:
        The URL of the memory.
    """
    out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    url = store or f"sqlite:///{(out / 'memory.db').resolve()}"
    world = Household(layouts=HOUSES)
    drawn = world.tasks(tasks, seed=seed)
    log = ItemLog.open(out / "items.jsonl", {"demo": 3, "seed": seed, "store": url})
    console.print(
        f"A solver and a critic play {tasks} household tasks in {HOUSES} houses, without a model: "
        "first with no memory, then with one that begins empty. Of the first "
        f"{min(SHOWN, tasks)} tasks, those the team fails are shown to it afterwards.\n",
        markup=False,
    )
    workflow = embodied(world, team=Team(TEAM), seed=seed)
    async with workflow.open(store="sqlite://", checkpoints=None, strategy="none") as app:
        without = await play(app, drawn, log, arm="without memory", console=console)
    async with Memory.open(url, scope=TEAM, hold_out=0.0) as memory:
        experts = [memory.scoped(TEAM, source=name) for name in EXPERTS]

        async def show(run: Run, task: Task) -> None:
            """Show a failed task, if it is one of the first."""
            if not run.outcome.succeeded and drawn.index(task) < SHOWN:
                actions = await world.demonstration(task)
                played = await replay(world.environment(), task, actions)
                expert = experts[drawn.index(task) % len(experts)]
                await remember(
                    expert, task, [(action, seen.text) for action, seen in played], won=True
                )

        async with workflow.open_with(memory) as app:
            items = await play(
                app,
                drawn,
                log,
                arm="with memory",
                console=console,
                stream_id=f"demo-{seed}",
                after=show,
            )
        solved = [float(item["success"] or 0) for item in items]
        before = [float(item["success"] or 0) for item in without]
        console.print(terminal_curve(solved), markup=False, highlight=False)
        console.print("\nWhat it learned, in words:", markup=False)
        for line in await learned(memory):
            console.print(f"  - {line}", markup=False, highlight=False)
        await attack_act(memory, world, log, seed=seed, console=console)
    (out / "curve.svg").write_text(
        svg_curve({"without memory": before, "with memory": solved}, title="Tasks solved"),
        encoding="utf-8",
    )
    console.print(
        f"\nSolved {sum(solved):.0f} of {len(solved)} with the memory, {sum(before):.0f} without; "
        f"{_late(solved)} and {_late(before)} of the last 20. "
        f"{time.monotonic() - started:.0f} seconds.",
        markup=False,
        soft_wrap=True,
    )
    return url


def _late(values: list[float]) -> int:
    return round(sum(values[-20:]))


async def learned(memory: Memory, count: int = 8) -> list[str]:
    """The insights with the most evidence, as sentences."""
    view = await memory.view()
    insights = await view.recent(tiers=frozenset({Tier.INSIGHT}), k=5000, where=Filter())
    best = sorted(insights, key=lambda one: (-(one.support - one.refuted), one.id))[:count]
    return [f"{one.text} (seen in {one.support} trials)" for one in best]
