"""The second act of the demo: somebody poisons what the team has learned; the guard finds it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console

from ..agents import Task, Team
from ..graph import Tier
from ..memory import Memory
from ..memory.guard import QuarantineCase
from ..memory.guard.consensus import ConsensusGuard
from ..memory.guard.lessons import lessons
from .embodied import embodied
from .examine import TEAM
from .guard.planting import Play, plant
from .guard.wrong_goals import wrong_plays
from .household import Household
from .results import ItemLog
from .runner import item_of

POISON = 60
"""Wrong trajectories that the attacker tells as successes."""
TASKS = 16
"""Played after the attack, with the guard and without."""
MALLORY = "mallory"
UNGUARDED, GUARDED = "poisoned, no guard", "poisoned, guarded"


@dataclass(frozen=True, slots=True)
class Attacked:
    """How the attack went.

    Attributes:
        written: Records of trials that the attacker wrote.
        held: How many of them are in quarantine.
        wronged: Trials of others that are.
        without: Tasks solved with the poisoned memory and no guard.
        guarded: The same tasks solved with the guard.
        tasks: How many tasks that were.
        lessons: What was learned from it, in words.
    """

    written: int
    held: int
    wronged: int
    without: int
    guarded: int
    tasks: int
    lessons: tuple[str, ...]


async def attack_act(
    memory: Memory, world: Household, log: ItemLog, *, seed: int, console: Console
) -> Attacked:
    """Poison the memory, play on without a guard and with one, and confirm what it found.

    Args:
        memory: What the team has learned; the poison stays in it, in quarantine.
        world: Where it is played.
        log: Where the tasks are noted.
        seed: Draws poison and tasks.
        console: Shows it.
    """
    fresh = world.tasks(TASKS, seed=seed + 7000)
    known = all((GUARDED, task.id) in log.items for task in fresh)
    if not known:
        await _tell(memory, world, seed)
    written = await written_trials(memory)
    if not known:
        console.print(
            f"\nNow somebody who may write poisons it: {written} trials by {MALLORY!r} tell real "
            "trajectories that end elsewhere, marked as solved.",
            markup=False,
        )
    # Without a guard nothing is learned, so that the second half meets what the first one met.
    naive = memory.scoped(memory.scope, guard="none", learn=False)
    curator = memory.scoped(memory.scope, guard=ConsensusGuard(), learn=True)
    without = await _play(naive, world, fresh, log, UNGUARDED, f"unguarded-{seed}", seed, console)
    guarded = await _play(curator, world, fresh, log, GUARDED, f"guarded-{seed}", seed, console)
    held = await curator.quarantined()
    for case in held:
        if case.record.provenance.source == MALLORY:
            await curator.confirm(case.record.id, reason="looked at: it does not do what it says")
    await curator.maintain()
    view = await memory.view()
    mine = sum(case.record.provenance.source == MALLORY for case in held)
    attacked = Attacked(
        written=written,
        held=mine,
        wronged=len(held) - mine,
        without=without,
        guarded=guarded,
        tasks=len(fresh),
        lessons=tuple(one.text for one in await lessons(view)),
    )
    _tell_how_it_went(attacked, reason_of(held), console)
    return attacked


async def written_trials(memory: Memory) -> int:
    """How many trials the attacker wrote."""
    return sum(one.tier is Tier.QUERY for one in await memory.written_by(MALLORY))


def reason_of(held: Iterable[QuarantineCase]) -> str:
    """Why the first of the attacker's trials is held; "" if none is."""
    mine = (case.reason for case in held if case.record.provenance.source == MALLORY)
    return next(mine, "")


async def _tell(memory: Memory, world: Household, seed: int) -> None:
    tasks = world.tasks(2 * POISON, seed=seed + 9000)
    plays: list[Play] = []
    async for task, played in wrong_plays(world, tasks, seed=seed):
        if len(plays) < POISON:
            run = f"told:{task.id}"
            plays.append(Play(source=MALLORY, task=task.goal, steps=tuple(played), run=run))
    await plant(memory, plays)


async def _play(
    memory: Memory,
    world: Household,
    tasks: Sequence[Task],
    log: ItemLog,
    arm: str,
    stream: str,
    seed: int,
    console: Console,
) -> int:
    workflow = embodied(world, team=Team(TEAM), seed=seed)
    left = [task for task in tasks if (arm, task.id) not in log.items]
    with console.status(f"{arm}: {len(left)} tasks"):
        async with workflow.open_with(memory, checkpoints=None) as app:
            async for run in app.stream(left, stream_id=stream):
                task = next(task for task in left if task.id == run.key)
                # Frozen, the memory does not keep how it ended; the world says so.
                won = bool(run.state.get("won", False))
                log.add({**item_of(run, arm, task), "success": won})
    return sum(bool(log.items[arm, task.id]["success"]) for task in tasks)


def _tell_how_it_went(attacked: Attacked, reason: str, console: Console) -> None:
    console.print(
        f"Of {attacked.tasks} new tasks the team solves {attacked.without} without a guard, and "
        f"{attacked.guarded} with it: {attacked.held} of the {attacked.written} poisoned trials "
        f"are in quarantine, and {attacked.wronged} of anybody else.",
        markup=False,
    )
    if reason:
        console.print(f"  Why: {reason}", markup=False, highlight=False)
    if attacked.lessons:
        console.print(f"  What it learned: {attacked.lessons[0]}", markup=False, highlight=False)
