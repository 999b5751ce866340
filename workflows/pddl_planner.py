"""A small planner: greedy best-first search with the additive heuristic (Bonet and Geffner 2001).

It makes demonstrations. Plans are short, not shortest.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections import defaultdict

from .pddl_parser import Atom
from .pddl_strips import GroundAction, State, Task

MAX_STATES = 20_000
MAX_SECONDS = 5.0


def plan(
    task: Task, *, max_states: int = MAX_STATES, max_seconds: float = MAX_SECONDS
) -> list[GroundAction] | None:
    """A plan for a task, without actions that it does not need.

    Args:
        task: The grounded problem.
        max_states: Situations looked at before giving up.
        max_seconds: Time before giving up.

    Returns:
        The actions in order; None if none was found within the bounds.
    """
    heuristic = _Additive(task)
    end = time.monotonic() + max_seconds
    count = itertools.count()
    first, helpful = heuristic.evaluate(task.init)
    if first is None:
        return None
    queue: list[tuple[float, int, int, State]] = [(first, 0, next(count), task.init)]
    came: dict[State, tuple[State, GroundAction] | None] = {task.init: None}
    preferred: dict[State, frozenset[Atom]] = {task.init: helpful}
    while queue and len(came) < max_states and time.monotonic() < end:
        _, depth, _, state = heapq.heappop(queue)
        if task.reached(state):
            return _shortened(task, _path(came, state))
        for action in task.applicable(state):
            after = action.apply(state)
            if after in came:
                continue
            value, helps = heuristic.evaluate(after)
            if value is None:
                continue
            came[after] = (state, action)
            preferred[after] = helps
            # An action that the relaxed plan begins with goes first among equals.
            bonus = 0.5 if action.name in preferred[state] else 0.0
            heapq.heappush(queue, (value - bonus, depth + 1, next(count), after))
    return None


def _path(came: dict[State, tuple[State, GroundAction] | None], state: State) -> list[GroundAction]:
    actions: list[GroundAction] = []
    step = came[state]
    while step is not None:
        state, action = step
        actions.append(action)
        step = came[state]
    return actions[::-1]


def _shortened(task: Task, actions: list[GroundAction]) -> list[GroundAction]:
    """Without any action, or pair of actions, that the rest does not need."""
    for width in (2, 1):
        at = 0
        while at < len(actions):
            for other in range(at + 1, len(actions)) if width == 2 else (at,):
                rest = [
                    action for number, action in enumerate(actions) if number not in (at, other)
                ]
                if _works(task, rest):
                    actions = rest
                    at -= 1
                    break
            at += 1
    return actions


def _works(task: Task, actions: list[GroundAction]) -> bool:
    state = task.init
    for action in actions:
        if not action.applicable(state):
            return False
        state = action.apply(state)
    return task.reached(state)


class _Additive:
    """The cost of reaching the goal if nothing were deleted, each atom on its own."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._users: dict[Atom, list[int]] = defaultdict(list)
        for number, action in enumerate(task.actions):
            for atom in action.needs:
                self._users[atom].append(number)

    def evaluate(self, state: State) -> tuple[float | None, frozenset[Atom]]:
        """The estimate, None when the goal cannot be reached, and the names of the applicable
        actions of the relaxed plan."""
        actions = self._task.actions
        cost: dict[Atom, float] = dict.fromkeys(state, 0.0)
        by: dict[Atom, int] = {}
        missing = [len(action.needs) for action in actions]
        paid = [0.0] * len(actions)
        queue: list[tuple[float, Atom]] = [(0.0, atom) for atom in state]
        heapq.heapify(queue)
        free = [number for number, left in enumerate(missing) if left == 0]
        done: set[Atom] = set()

        def reach(number: int) -> None:
            total = paid[number] + 1.0
            for atom in actions[number].adds:
                if total < cost.get(atom, float("inf")):
                    cost[atom] = total
                    by[atom] = number
                    heapq.heappush(queue, (total, atom))

        for number in free:
            reach(number)
        while queue:
            value, atom = heapq.heappop(queue)
            if atom in done or value > cost[atom]:
                continue
            done.add(atom)
            for number in self._users[atom]:
                missing[number] -= 1
                paid[number] += value
                if missing[number] == 0:
                    reach(number)
        if any(atom not in cost for atom in self._task.goal):
            return None, frozenset()
        total = sum(cost[atom] for atom in self._task.goal)
        total += sum(atom in state for atom in self._task.avoid)
        return total, self._first(state, by)

    def _first(self, state: State, by: dict[Atom, int]) -> frozenset[Atom]:
        names: set[Atom] = set()
        stack = [atom for atom in self._task.goal if atom not in state]
        seen: set[Atom] = set()
        while stack:
            atom = stack.pop()
            if atom in seen or atom not in by:
                continue
            seen.add(atom)
            action = self._task.actions[by[atom]]
            if action.needs <= state:
                names.add(action.name)
            stack += [need for need in action.needs if need not in state]
        return frozenset(names)
