"""Goals of the household world: how they are worded, when they are met, how to reach them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import combinations

from .household_layout import PLACES, THINGS, House, kind_of
from .household_rules import State, put_action, use_action

_USES = {"wash then place": "wash", "warm then place": "warm", "chill then place": "chill"}
_WARMTH = {"warm": "hot", "chill": "cold"}

PHRASINGS: dict[str, tuple[str, ...]] = {
    "place one": (
        "put {a_thing} {in_place}",
        "leave {a_thing} {in_place}",
        "find {a_thing} and lay it {in_place}",
        "{a_thing} should end up {in_place}",
        "bring {a_thing} to its spot {in_place}",
    ),
    "place two": (
        "put two {things} {in_one_place}",
        "gather two {things} {in_one_place}",
        "find a pair of {things} and leave both {in_one_place}",
        "two {things} belong together {in_one_place}",
        "collect two {things}, then lay them {in_one_place}",
    ),
    "wash then place": (
        "put a washed {thing} {in_place}",
        "wash {a_thing} and put it {in_place}",
        "give {a_thing} a wash, then leave it {in_place}",
        "a spotless {thing} should be {in_place}",
        "after washing {a_thing}, lay it {in_place}",
    ),
    "warm then place": (
        "put a hot {thing} {in_place}",
        "warm {a_thing} and put it {in_place}",
        "make {a_thing} hot, then leave it {in_place}",
        "a heated {thing} should be {in_place}",
        "after warming {a_thing}, lay it {in_place}",
    ),
    "chill then place": (
        "put a cold {thing} {in_place}",
        "chill {a_thing} and put it {in_place}",
        "make {a_thing} cold, then leave it {in_place}",
        "a well chilled {thing} should be {in_place}",
        "after cooling {a_thing}, lay it {in_place}",
    ),
    "hold to the light": (
        "hold {a_thing} by a lit lamp",
        "look at {a_thing} in the light of a lamp",
        "study {a_thing} under a lamp that is on",
        "pick up {a_thing} and read it by lamplight",
        "with {a_thing} in your hands, stand at a shining lamp",
    ),
    "pack then place": (
        "put {a_container} with {a_thing} in it {in_place}",
        "pack {a_thing} into {a_container} and set that {in_place}",
        "{a_container} that holds {a_thing} should stand {in_place}",
        "first put {a_thing} in {a_container}, then carry that to its spot {in_place}",
    ),
    "set by the radio": (
        "put {a_thing} beside the radio and turn the radio on",
        "leave {a_thing} where the radio stands, with music playing",
        "have the radio playing next to {a_thing}",
        "bring {a_thing} to the radio, then switch it on",
    ),
}
KINDS = tuple(PHRASINGS)
_WRONG_FOR_GOALS = frozenset({"basin", "icebox", "oven"})


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to become true.

    Attributes:
        kind: One of `KINDS`.
        thing: Kind of the thing it is about.
        place: Kind of place where it shall be; "" where the goal names none.
        container: Kind of container it shall be packed into; "" if none.
    """

    kind: str
    thing: str
    place: str = ""
    container: str = ""

    def met(self, state: State) -> bool:
        """Whether the goal is reached."""
        return any(self._fits(state, thing) for thing in named(state, self.thing))

    def _fits(self, state: State, thing: str) -> bool:
        at = state.where[thing]
        if self.kind == "hold to the light":
            return state.carried == thing and any(
                state.house.devices[lamp] == state.at
                for lamp in state.on
                if kind_of(lamp) == "lamp"
            )
        if self.kind == "set by the radio":
            return at == state.house.devices["radio 1"] and "radio 1" in state.on
        if self.kind == "pack then place":
            return kind_of(at) == self.container and kind_of(state.where[at]) == self.place
        if kind_of(at) != self.place:
            return False
        if self.kind == "place two":
            return sum(state.where[other] == at for other in named(state, self.thing)) >= 2
        return self.kind == "place one" or _treated(state, thing, _USES[self.kind])


def _treated(state: State, thing: str, use: str) -> bool:
    return thing in state.clean if use == "wash" else state.warmth.get(thing) == _WARMTH[use]


def named(state: State, kind: str) -> list[str]:
    """All things of a kind, sorted."""
    return sorted(thing for thing in state.where if kind_of(thing) == kind)


def draw_goal(house: House, kind: str, rng: random.Random) -> Goal | None:
    """A goal of a kind that makes sense in a house, None if the house lacks what it needs.

    Whether it can be reached in a sensible number of steps is for `solve` to say.
    """
    present = [thing for thing, count in house.things.items() if count > (kind == "place two")]
    kinds_of_places = sorted({kind_of(place) for place in house.places} - _WRONG_FOR_GOALS)
    use = _USES.get(kind, "inspect" if kind == "hold to the light" else "")
    container = ""
    if use:
        present = [thing for thing in present if use in THINGS[thing].uses]
    if kind == "pack then place":
        containers = [thing for thing in present if THINGS[thing].holds]
        if not containers:
            return None
        container = rng.choice(containers)
        present = [thing for thing in present if thing in THINGS[container].holds]
    if not present:
        return None
    placeless = kind in ("hold to the light", "set by the radio")
    place = "" if placeless else rng.choice(kinds_of_places)
    return Goal(kind, rng.choice(present), place, container)


def word(goal: Goal, rng: random.Random) -> str:
    """A goal in words, in one of the phrasings of its kind."""
    preposition = PLACES[goal.place].preposition if goal.place else ""
    return rng.choice(PHRASINGS[goal.kind]).format(
        thing=goal.thing,
        things=_plural(goal.thing),
        a_thing=_article(goal.thing),
        a_container=_article(goal.container),
        in_place=f"{preposition} {_article(goal.place)}",
        in_one_place=f"{preposition} one {goal.place}",
    )


def _article(noun: str) -> str:
    return f"{'an' if noun[:1] in tuple('aeiou') else 'a'} {noun}"


def _plural(noun: str) -> str:
    if noun in ("knife", "loaf"):
        return {"knife": "knives", "loaf": "loaves"}[noun]
    return noun + ("es" if noun.endswith(("o", "x", "ch")) else "s")


@dataclass(slots=True)
class _Plan:
    """A plan under construction; it keeps track of where it stands and what it has opened."""

    state: State
    actions: list[str] = field(default_factory=list)
    at: str = ""
    opened: set[str] = field(default_factory=set)

    def go(self, place: str, *, reach_in: bool = True) -> None:
        if self.at != place:
            self.actions.append(f"walk to {place}")
            self.at = place
        if reach_in and self.state.shut(place) and place not in self.opened:
            self.actions.append(f"open {place}")
            self.opened.add(place)

    def take(self, thing: str) -> None:
        source = self.state.where[thing]
        self.go(source)
        self.actions.append(f"pick up {thing} from {source}")

    def put(self, thing: str, place: str) -> None:
        self.go(place)
        self.actions.append(put_action(thing, place))


def solve(goal: Goal, state: State) -> list[str]:
    """A shortest plan from the beginning of a task, with full knowledge of the house.

    It tries every thing, place and device that would do, each by the obvious order of steps.

    Args:
        goal: What to reach.
        state: The house at the beginning; not changed.

    Returns:
        The actions; of equally short plans the first in alphabetical order. Empty if there is
        none.
    """
    return min(_PLANNERS[goal.kind](goal, state), key=lambda plan: (len(plan), plan), default=[])


def _targets(state: State, kind: str) -> list[str]:
    return [place for place in state.house.places if kind_of(place) == kind]


def _place(goal: Goal, state: State) -> Iterator[list[str]]:
    use = _USES.get(goal.kind, "")
    helpers = [place for place in state.house.places if PLACES[kind_of(place)].use == use]
    for thing in named(state, goal.thing):
        for target in _targets(state, goal.place):
            for helper in helpers if use else [""]:
                plan = _Plan(state)
                plan.take(thing)
                if use:
                    plan.go(helper)
                    plan.actions.append(use_action(use, thing, helper))
                plan.put(thing, target)
                yield plan.actions


def _place_two(goal: Goal, state: State) -> Iterator[list[str]]:
    things = named(state, goal.thing)
    for target in _targets(state, goal.place):
        there = [thing for thing in things if state.where[thing] == target]
        away = [thing for thing in things if state.where[thing] != target]
        for chosen in combinations(away, max(0, 2 - len(there))):
            for order in (chosen, chosen[::-1]):
                plan = _Plan(state)
                for thing in order:
                    plan.take(thing)
                    plan.put(thing, target)
                yield plan.actions


def _light(goal: Goal, state: State) -> Iterator[list[str]]:
    for thing in named(state, goal.thing):
        for device, place in state.house.devices.items():
            if kind_of(device) == "lamp":
                plan = _Plan(state)
                plan.take(thing)
                plan.go(place, reach_in=False)
                plan.actions.append(f"turn on {device}")
                yield plan.actions


def _radio(goal: Goal, state: State) -> Iterator[list[str]]:
    place = state.house.devices["radio 1"]
    for thing in named(state, goal.thing):
        plan = _Plan(state)
        if state.where[thing] == place:
            plan.go(place, reach_in=False)
        else:
            plan.take(thing)
            plan.put(thing, place)
        plan.actions.append("turn on radio 1")
        yield plan.actions


def _pack(goal: Goal, state: State) -> Iterator[list[str]]:
    for container in named(state, goal.container):
        home = state.where[container]
        for thing in named(state, goal.thing):
            for target in _targets(state, goal.place):
                plan = _Plan(state)
                plan.take(thing)
                plan.go(home)
                plan.actions.append(put_action(thing, container))
                if target != home:
                    plan.actions.append(f"pick up {container} from {home}")
                    plan.put(container, target)
                yield plan.actions


_PLANNERS: dict[str, Callable[[Goal, State], Iterator[list[str]]]] = {
    "place one": _place,
    "place two": _place_two,
    "wash then place": _place,
    "warm then place": _place,
    "chill then place": _place,
    "hold to the light": _light,
    "pack then place": _pack,
    "set by the radio": _radio,
}
