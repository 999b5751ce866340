"""The bundled household world: a text world in pure Python, so that nothing need be installed.

One walks between pieces of furniture, opens what is closed, carries one thing at a time, and
washes, warms or chills it where that can be done. Tasks share a small number of houses: what was
found in one task helps in the next, since a house keeps most things of a kind in one place, and
houses are alike in which kinds of places suit a thing.

The form (rooms, receptacles, admissible actions) is that of text worlds such as ALFWorld
(Shridhar et al. 2021, arXiv 2010.03768); rules, words and layouts are our own.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..agents.environment import Observation, Task
from ..errors import InvalidInput, InvalidTask
from ..graph import digest
from .household_goals import KINDS, Goal, draw_goal, solve, word
from .household_layout import PLACES, THINGS, build_house
from .household_rules import NOTHING, State, doings, overview

_SHORTEST, _LONGEST = 4, 10
_ATTEMPTS = 1000
"""Draws for one task; about one in two will do."""


@dataclass(frozen=True, slots=True)
class Household:
    """The household world. Implements `World`.

    A task says all about its house: any household environment plays it.

    Args:
        layouts: How many houses the tasks share.
        first: Number of the first house; worlds that begin `layouts` apart share none.
        moved: The same houses as their former people kept them: everything lies elsewhere.
    """

    layouts: int = 8
    first: int = 0
    moved: bool = False
    name: str = field(default="household", init=False)

    def __post_init__(self) -> None:
        if self.layouts < 1 or self.first < 0:
            raise InvalidInput(
                "A household world needs at least one house, numbered from 0 upwards.",
                layouts=self.layouts,
                first=self.first,
            )

    def tasks(self, n: int, *, seed: int = 0) -> Sequence[Task]:
        """Draw tasks: kinds in turn, houses at random; see `World.tasks`.

        Every task can be done in 4 to 10 steps by one who knows the house, and is not done at
        the beginning.
        """
        if n < 0:
            raise InvalidInput(f"{n} tasks cannot be drawn; the number is 0 or more.", n=n)
        former = "/moved" if self.moved else ""
        rng = random.Random(f"tasks/{self.first}/{self.layouts}/{seed}{former}")
        kinds: list[str] = []
        tasks = []
        for number in range(n):
            if not kinds:
                kinds = rng.sample(KINDS, len(KINDS))
            tasks.append(self._draw(kinds.pop(), f"household-{seed}-{number}", rng))
        return tasks

    def environment(self) -> HouseholdEnvironment:
        """A fresh environment."""
        return HouseholdEnvironment()

    async def demonstration(self, task: Task) -> list[str]:
        """A shortest plan for the task.

        Raises:
            InvalidTask: The task is not one of this world.
        """
        goal, state = household_state(task)
        return solve(goal, state)

    def _draw(self, kind: str, prefix: str, rng: random.Random) -> Task:
        for _ in range(_ATTEMPTS):
            layout = self.first + rng.randrange(self.layouts)
            seed = rng.randrange(2**31)
            house = build_house(layout, moved=self.moved)
            goal = draw_goal(house, kind, rng)
            if goal is None:
                continue
            state = State.begin(house, seed)
            if not goal.met(state) and _SHORTEST <= len(solve(goal, state)) <= _LONGEST:
                data: dict[str, Any] = {
                    "layout": layout,
                    "seed": seed,
                    "goal": [goal.kind, goal.thing, goal.place, goal.container],
                }
                if self.moved:
                    data["moved"] = True
                # Streams of different worlds may meet in one store: the id tells them apart.
                id_ = f"{prefix}-{digest('household', repr(sorted(data.items())))[:8]}"
                return Task(id_, word(goal, rng), kind, data)
        raise InvalidInput(
            f"None of the {self.layouts} houses from {self.first} has a task of the kind "
            f"{kind!r}. Give more layouts.",
            layouts=self.layouts,
            kind=kind,
        )


class HouseholdEnvironment:
    """Plays household tasks. Implements `Environment`.

    An episode is won as soon as its goal is met, and then over: later actions do nothing.
    """

    def __init__(self) -> None:
        self._goal: Goal | None = None
        self._state: State | None = None
        self._over = False

    async def reset(self, task: Task, seed: int = 0) -> Observation:
        """Begin an episode; the task says all, `seed` changes nothing.

        Raises:
            InvalidTask: The task is not one of this world.
        """
        self._goal, self._state = household_state(task)
        self._over = self._goal.met(self._state)
        return self._answer(overview(self._state.house))

    async def step(self, action: str) -> Observation:
        """Perform one action; one that is not admissible is answered "Nothing happens."."""
        if self._state is None or self._goal is None:
            raise InvalidInput("No episode has begun. Call reset() first.")
        effect = None if self._over else doings(self._state).get(action.strip())
        if effect is None:
            return self._answer(NOTHING)
        text = effect()
        self._over = self._goal.met(self._state)
        return self._answer(text, reward=float(self._over))

    async def close(self) -> None:
        """Forget the episode."""
        self._goal = self._state = None
        self._over = False

    def _answer(self, text: str, reward: float = 0.0) -> Observation:
        assert self._state is not None
        actions = () if self._over else tuple(sorted(doings(self._state)))
        return Observation(text, actions, reward, won=self._over, done=self._over)


def household_state(task: Task) -> tuple[Goal, State]:
    """The goal of a task, and the house as it is at the beginning."""
    goal = _goal(task.data)
    layout, seed = _natural(task.data.get("layout")), _natural(task.data.get("seed"))
    moved = task.data.get("moved", False)
    if goal is None or layout is None or seed is None or not isinstance(moved, bool):
        raise InvalidTask(
            f"The task {task.id!r} is not one of the household world: its data needs a layout, "
            "a seed and a goal as `Household.tasks` gives them.",
            task=task.id,
        )
    return goal, State.begin(build_house(layout, moved=moved), seed)


def _natural(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _goal(data: Mapping[str, Any]) -> Goal | None:
    parts = data.get("goal")
    if not isinstance(parts, list | tuple) or [type(part) for part in parts] != [str] * 4:
        return None
    kind, thing, place, container = parts
    known = kind in KINDS and thing in THINGS and place in {"", *PLACES}
    return Goal(kind, thing, place, container) if known and container in {"", *THINGS} else None
