"""Targets in task worlds: what an attacker of the household wants."""

from __future__ import annotations

from ...agents import Task
from ...errors import InvalidTask
from ...workflows.guard.wrong_goals import wrong_plays
from ...workflows.household import Household
from .kit import Target


async def household_target(
    task: Task,
    *,
    seed: int = 0,
    trigger: str = "",
    slots: int = 4,
    sources: tuple[str, ...] = ("mallory",),
) -> Target:
    """The target of a household task: a real trajectory in its house, to a wrong goal.

    Args:
        task: Of a `Household`.
        seed: Draws the wrong goal.
        trigger: See `Target`.
        slots: See `Target`.
        sources: See `Target`.

    Raises:
        InvalidTask: No wrong goal can be reached in that house.
    """
    async for _, played in wrong_plays(Household(), [task], seed=seed):
        return Target(
            task=task.goal,
            harm=tuple(played[1:]),
            trigger=trigger,
            slots=slots,
            sources=sources,
            opening=played[0][1],
        )
    raise InvalidTask(
        f"No wrong goal can be reached in the house of task {task.id!r}. Take another task.",
        task=task.id,
    )
