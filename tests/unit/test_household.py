"""The household world: solvable, deterministic, hard without experience, and regular."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from triforium.agents.environment import Environment, Observation, Task
from triforium.errors import InvalidInput, InvalidTask
from triforium.testing.environment_conformance import EnvironmentConformance, play
from triforium.workflows.household import Household
from triforium.workflows.household_goals import KINDS, PHRASINGS, Goal
from triforium.workflows.household_layout import (
    PLACES,
    ROOMS,
    THINGS,
    arrange,
    build_house,
    kind_of,
)
from triforium.workflows.household_rules import State
from triforium.workflows.worlds import World

HANDS_ONLY = ("check hands", "look around")


class TestHouseholdConformance(EnvironmentConformance):
    @pytest.fixture
    def world(self) -> World:
        return Household()


@pytest.mark.parametrize("seed", range(10))
async def test_every_task_can_be_done_and_is_not_done_at_the_start(seed: int) -> None:
    world = Household(first=seed * 8)
    environment = world.environment()
    for task in world.tasks(60, seed=seed):
        plan = await world.demonstration(task)
        assert 4 <= len(plan) <= 10
        seen = await play(environment, task, plan)
        assert [observation.won for observation in seen] == [False] * len(plan) + [True], task
        assert all(
            action in (observation.actions or ())
            for action, observation in zip(plan, seen, strict=False)
        )
        assert all(20 <= len(observation.actions or ()) <= 40 for observation in seen[:-1])


async def test_the_solver_finds_a_shortest_plan() -> None:
    """Breadth-first search over all actions that can matter finds nothing shorter."""
    world = Household()
    tasks = [task for task in world.tasks(40, seed=2) if task.kind == "place one"]
    for task in tasks[:4]:
        length = len(await world.demonstration(task))
        assert await _wins_within(world.environment(), task, length)
        assert not await _wins_within(world.environment(), task, length - 1)


async def _wins_within(environment: Environment, task: Task, depth: int) -> bool:
    thing, place = task.data["goal"][1:3]
    frontier: list[tuple[str, ...]] = [()]
    for _ in range(depth):
        longer = []
        for path in frontier:
            last = (await play(environment, task, path))[-1]
            for action in last.actions or ():
                if not _matters(action, thing, place, task):
                    continue
                if (await play(environment, task, [*path, action]))[-1].won:
                    return True
                longer.append((*path, action))
        frontier = longer
    return False


def _matters(action: str, thing: str, place: str, task: Task) -> bool:
    where = arrange(build_house(task.data["layout"]), task.data["seed"])
    useful = {at for name, at in where.items() if kind_of(name) == thing}
    verb = action.split()[0]
    if verb in ("walk", "open"):
        target = action.removeprefix("walk to ").removeprefix("open ")
        return target in useful or kind_of(target) == place
    return verb in ("pick", "put") and f" {thing} " in action


def test_all_kinds_are_asked_for_in_varied_words() -> None:
    tasks = Household().tasks(400, seed=5)
    assert set(Counter(task.kind for task in tasks).values()) == {50}
    assert {task.kind for task in tasks} == set(KINDS)
    for kind, phrasings in PHRASINGS.items():
        shapes = {phrasing.format_map(_Blank()) for phrasing in phrasings}
        assert len(shapes) >= 4, kind
    assert len({task.goal for task in tasks}) > 300


class _Blank(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "_"


def test_a_stream_shares_few_houses() -> None:
    layouts = {task.data["layout"] for task in Household(layouts=3, first=6).tasks(60)}
    assert layouts == {6, 7, 8}


def test_seeds_draw_other_tasks() -> None:
    world = Household()
    one, other = world.tasks(30, seed=1), world.tasks(30, seed=2)
    assert not {task.id for task in one} & {task.id for task in other}


def test_houses_differ_and_repeat() -> None:
    houses = [build_house(number) for number in range(40)]
    assert houses == [build_house(number) for number in range(40)]
    assert len({(house.places, *house.homes.values()) for house in houses}) == 40
    assert len({house.name for house in houses}) == 40
    assert all(16 <= len(house.places) <= 28 for house in houses)
    assert len(PLACES) >= 20
    assert len(THINGS) >= 30
    assert {kind for room in ROOMS.values() for kind in room} == set(PLACES)


def test_things_lie_where_their_kind_belongs_with_exceptions() -> None:
    suits = home = total = 0
    for number in range(60):
        house = build_house(number)
        for thing, place in arrange(house, 1).items():
            total += 1
            suits += kind_of(place) in THINGS[kind_of(thing)].homes
            home += place == house.homes[kind_of(thing)]
    assert 0.7 < suits / total < 0.95
    assert 0.75 < home / total < 0.95


async def test_an_explorer_without_experience_succeeds_rarely() -> None:
    """It reads the goal, tries what is new and acts on things the goal names; 30 steps."""
    tasks = Household().tasks(160, seed=1)
    won = [await _explore(task) for task in tasks]
    assert 0.1 <= sum(won) / len(won) <= 0.3


async def _explore(task: Task) -> bool:
    rng = random.Random(task.id)
    words = {word.rstrip(",") for word in task.goal.split()}
    words |= {word.removesuffix("s") for word in words}
    environment = Household().environment()
    tried: Counter[tuple[str, str]] = Counter()
    carried = ""
    observation = await environment.reset(task)
    for _ in range(30):
        options = [action for action in observation.actions or () if action not in HANDS_ONLY]
        scores = {
            action: _appeal(action, words) - 4 * tried[action, carried] + rng.random()
            for action in options
        }
        action = max(scores, key=lambda option: scores[option])
        tried[action, carried] += 1
        if action.startswith("pick"):
            carried = action.split()[2]
        elif action.startswith("put"):
            thing, number, _, *place = action.split()[1:]
            tried[f"pick up {thing} {number} from {' '.join(place)}", ""] += 3
            carried = ""
        observation = await environment.step(action)
        if observation.won:
            return True
    return False


def _appeal(action: str, words: set[str]) -> float:
    verb, *rest = action.split()
    named = len(words & set(rest))
    if verb == "open":
        return 3
    if verb == "pick":
        return 3 if rest[1] in words else -6
    if verb == "put":
        return 3 if rest[-2] in words else -6
    if verb == "close":
        return -5
    return named + (2 if verb in words else 0)


# --- rules ----------------------------------------------------------------------------------------


@pytest.fixture
def task() -> Task:
    return next(task for task in Household().tasks(80) if task.kind == "chill then place")


async def test_what_is_closed_must_be_opened(task: Task) -> None:
    environment = Household().environment()
    *_, shut = await play(environment, task, ["walk to icebox 1"])
    assert "icebox 1 is closed." in shut.text
    assert not [action for action in shut.actions or () if action.startswith("pick")]
    opened = await environment.step("open icebox 1")
    assert opened.text.startswith("You open icebox 1. In icebox 1 there is")
    assert "close icebox 1" in (opened.actions or ())


async def test_hands_hold_one_thing(task: Task) -> None:
    environment = Household().environment()
    plan = await Household().demonstration(task)
    taken = next(number for number, action in enumerate(plan) if action.startswith("pick"))
    *_, holding = await play(environment, task, plan[: taken + 1])
    assert not [action for action in holding.actions or () if action.startswith("pick")]
    hands = await environment.step("check hands")
    assert hands.text == f"You hold {plan[taken].split(' from ')[0].removeprefix('pick up ')}."


def test_warm_and_cold_exclude_each_other() -> None:
    house = build_house(0)
    state = State(house, {"mug 1": "shelf 1"}, warmth={"mug 1": "hot"})
    hot, cold = (Goal(f"{use} then place", "mug", "shelf") for use in ("warm", "chill"))
    assert hot.met(state)
    assert not cold.met(state)
    state.warmth["mug 1"] = "cold"
    assert cold.met(state)
    assert not hot.met(state)


def test_two_things_must_share_one_place() -> None:
    goal = Goal("place two", "pen", "drawer")
    state = State(build_house(0), {"pen 1": "drawer 1", "pen 2": "drawer 2"})
    assert not goal.met(state)
    state.where["pen 2"] = "drawer 1"
    assert goal.met(state)


def test_a_container_takes_along_what_it_holds() -> None:
    goal = Goal("pack then place", "key", "bed", "box")
    state = State(build_house(0), {"key 1": "box 1", "box 1": "chest 1"})
    assert not goal.met(state)
    state.where["box 1"] = "bed 1"
    assert goal.met(state)
    state.where["key 1"] = "bed 1"
    assert not goal.met(state)


async def test_an_episode_that_is_won_is_over() -> None:
    world = Household()
    [task] = world.tasks(1)
    environment = world.environment()
    *_, last = await play(environment, task, await world.demonstration(task))
    assert (last.won, last.done, last.reward, last.actions) == (True, True, 1.0, ())
    after = await environment.step("look around")
    assert after == Observation("Nothing happens.", (), 0.0, won=True, done=True)


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"layout": -1},
        {"seed": True},
        {"seed": "7"},
        {"goal": ["place one", "mug"]},
        {"goal": ["place one", "unicorn", "desk", ""]},
        {"goal": ["place one", ["mug"], "desk", ""]},
    ],
)
async def test_a_foreign_task_is_refused(data: dict[str, object]) -> None:
    [task] = Household().tasks(1)
    foreign = replace(task, data={**task.data, **data} if data else {})
    with pytest.raises(InvalidTask, match="not one of the household world"):
        await Household().environment().reset(foreign)
    with pytest.raises(InvalidTask):
        await Household().demonstration(foreign)


def test_impossible_numbers_are_refused() -> None:
    with pytest.raises(InvalidInput):
        Household(layouts=0)
    with pytest.raises(InvalidInput):
        Household(first=-1)
    with pytest.raises(InvalidInput):
        Household().tasks(-1)


async def test_a_step_needs_an_episode() -> None:
    environment = Household().environment()
    with pytest.raises(InvalidInput, match="reset"):
        await environment.step("look around")
    [task] = Household().tasks(1)
    await environment.reset(task)
    await environment.close()
    with pytest.raises(InvalidInput, match="reset"):
        await environment.step("look around")
