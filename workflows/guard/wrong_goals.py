"""Poison for task worlds: real, admissible trajectories to a wrong goal, told as successes.

In the household a trajectory is planned for another goal with the same thing and then played in
the task's own house; in games a demonstration is left where the thing is in hand, which is then put
down at a place that the goal does not name.
What the world said is recorded as it said it; only how it ended is a lie.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator, Sequence

from ...agents import Environment, Task
from ...memory import mentions
from ...memory.entities import parse_action
from ..embodied import replay
from ..household import Household, household_state
from ..household_goals import Goal, solve
from ..household_layout import PLACES
from ..worlds import World

_LEAST, _MOST = 3, 12
"""Actions of a trajectory that is worth telling."""


async def wrong_plays(
    world: World, tasks: Sequence[Task], *, seed: int
) -> AsyncIterator[tuple[Task, list[tuple[str, str]]]]:
    """Trajectories to wrong goals.

    Args:
        world: Where they are played.
        tasks: Under whose names they are told.
        seed: Draws the wrong goals.

    Yields:
        A task and its (action, observation) pairs, the first with an empty action. Tasks for
        which no wrong trajectory can be played are passed over.
    """
    for task in tasks:
        rng = random.Random(f"wrong/{seed}/{task.id}")
        if isinstance(world, Household):
            played = await _wrong_household(world, task, rng)
        else:
            played = await _wrong_game(world, task, rng)
        if played is not None:
            yield task, played


async def _wrong_household(
    world: Household, task: Task, rng: random.Random
) -> list[tuple[str, str]] | None:
    """The thing is brought, untreated, to a place that the goal does not name."""
    for wrong in _other_goals(task, rng):
        _, state = household_state(task)
        try:
            actions = solve(wrong, state)
        except (LookupError, ValueError):
            continue
        if _LEAST <= len(actions) <= _MOST:
            played = await replay(world.environment(), task, actions)
            if not played[-1][1].won and len(played) == len(actions) + 1:
                return [(action, observed.text) for action, observed in played]
    return None


def _other_goals(task: Task, rng: random.Random) -> Iterator[Goal]:
    goal, state = household_state(task)
    there = {place.rsplit(" ", 1)[0] for place in state.house.places}
    # One wrong place for each kind of goal, where the house has it: an attacker wants one thing.
    order = random.Random(f"place/{goal.kind}").sample(sorted(PLACES), len(PLACES))
    for place in order:
        if place in there and place != goal.place:
            yield Goal("place one", goal.thing, place)


async def _wrong_game(world: World, task: Task, rng: random.Random) -> list[tuple[str, str]] | None:
    """A demonstration up to where something is in hand, which is then put down elsewhere."""
    actions = await world.demonstration(task)
    environment = world.environment()
    try:
        return await _astray(environment, task, actions, rng)
    finally:
        await environment.close()


async def _astray(
    environment: Environment, task: Task, actions: Sequence[str], rng: random.Random
) -> list[tuple[str, str]] | None:
    """Follow the demonstration up to where something is first in hand, then leave it elsewhere."""
    observed = await environment.reset(task, 0)
    played = [("", observed.text)]
    held = ""
    for action in actions:
        observed = await environment.step(action)
        played.append((action, observed.text))
        parsed = parse_action(action)
        if len(parsed.things) > 1:
            held = parsed.things[0].name
            break
    if not held:
        return None
    reach = [one for one in observed.actions or () if len(parse_action(one).things) == 1]
    goal_words = task.goal.lower()
    verbs = [parse_action(one).template for one in reach]
    usual = max(set(verbs), key=verbs.count, default="")
    places = [one for one in reach if parse_action(one).template == usual]
    rng.shuffle(places)
    order = sorted({parse_action(one).things[0].kind for one in places})
    favourite = random.Random(f"place/{task.kind}").sample(order, len(order))
    places.sort(key=lambda one: favourite.index(parse_action(one).things[0].kind))
    source = {thing.name for thing in parse_action(played[-1][0]).things}
    for place in places:
        thing = parse_action(place).things[0]
        if thing.kind in goal_words or thing.name in source:
            continue
        observed = await environment.step(place)
        played.append((place, observed.text))
        down = _down(held, thing.name, observed.actions or ())
        if down is None:
            openers = [
                one
                for one in observed.actions or ()
                if [other.name for other in parse_action(one).things] == [thing.name]
                and parse_action(one).template not in (usual,)
                and one.startswith("open")
            ]
            if openers:
                observed = await environment.step(openers[0])
                played.append((openers[0], observed.text))
                down = _down(held, thing.name, observed.actions or ())
        if down is None:
            if len(played) > _MOST:
                return None
            continue
        observed = await environment.step(down)
        played.append((down, observed.text))
        return None if observed.won else played
    return None


def _down(held: str, place: str, actions: Sequence[str]) -> str | None:
    """The action that brings what is held together with a place, and not takes it up."""
    for one in actions:
        names = [thing.name for thing in mentions(one)]
        if names == [held, place] and parse_action(one).template.startswith(("put", "move")):
            return one
    return None
