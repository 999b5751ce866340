"""Rules of the household world: what can be done in a house, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from .household_layout import PLACES, THINGS, House, arrange, kind_of

NOTHING = "Nothing happens."
HANDS = ""
"""Where a thing is that is carried."""

_DONE = {
    "wash": "You wash the {thing} in the {place}. It is spotless now.",
    "warm": "You warm the {thing} with the {place}. It is hot now.",
    "chill": "You chill the {thing} with the {place}. It is cold now.",
}
_WITH = {"wash": "in", "warm": "with", "chill": "with"}


@dataclass(slots=True)
class State:
    """What is true of a house during an episode.

    Attributes:
        house: The house.
        where: The place of each thing, the container that holds it, or `HANDS`.
        at: The place one stands at; "" in the doorway.
        opened: Openable places that are open.
        clean: Things that were washed.
        warmth: "hot" or "cold" of things that were warmed or chilled.
        on: Lamps and radios that are switched on.
    """

    house: House
    where: dict[str, str]
    at: str = ""
    opened: set[str] = field(default_factory=set)
    clean: set[str] = field(default_factory=set)
    warmth: dict[str, str] = field(default_factory=dict)
    on: set[str] = field(default_factory=set)

    @classmethod
    def begin(cls, house: House, seed: int) -> State:
        """A house at the beginning of a task."""
        return cls(house, arrange(house, seed))

    @property
    def carried(self) -> str:
        """The thing in one's hands, "" if none; hands hold one thing, with what is in it."""
        return next((thing for thing, at in self.where.items() if at == HANDS), "")

    def inside(self, place: str) -> list[str]:
        """What lies in a place or a container, sorted."""
        return sorted(thing for thing, at in self.where.items() if at == place)

    def shut(self, place: str) -> bool:
        """Whether a place is closed."""
        return PLACES[kind_of(place)].openable and place not in self.opened


Effect = Callable[[], str]


def doings(state: State) -> dict[str, Effect]:
    """Every admissible action with what performs it and gives its answer."""
    options: dict[str, Effect] = {
        "look around": lambda: look(state),
        "check hands": lambda: _hands(state),
    }
    for place in state.house.places:
        if place != state.at:
            options[f"walk to {place}"] = _walk(state, place)
    if state.at:
        options.update(_at_place(state, state.at))
    return options


def overview(house: House) -> str:
    """The rooms of a house and what stands in them."""
    rooms = [
        f"In the {room} there is {_listed(map(_with_article, places))}."
        for room, places in house.rooms.items()
    ]
    return f"You stand in the doorway of {house.name}. " + " ".join(rooms)


def look(state: State) -> str:
    """What can be seen from where one stands."""
    return _view(state, state.at) if state.at else overview(state.house)


def put_action(thing: str, target: str) -> str:
    """The action that puts a carried thing down."""
    place = PLACES.get(kind_of(target))
    return f"put {thing} {place.preposition if place else 'in'} {target}"


def use_action(use: str, thing: str, place: str) -> str:
    """The action that washes, warms or chills a carried thing."""
    return f"{use} {thing} {_WITH[use]} {place}"


def _at_place(state: State, place: str) -> dict[str, Effect]:
    options: dict[str, Effect] = {}
    if PLACES[kind_of(place)].openable:
        verb = "open" if state.shut(place) else "close"
        options[f"{verb} {place}"] = _swing(state, place)
    for device, at in state.house.devices.items():
        if at == place:
            options[f"turn {'off' if device in state.on else 'on'} {device}"] = _switch(
                state, device
            )
    if state.shut(place):
        return options
    options.update(_use_hands(state, place))
    return options


def _use_hands(state: State, place: str) -> dict[str, Effect]:
    options: dict[str, Effect] = {}
    carried = state.carried
    here = state.inside(place)
    if not carried:
        for thing in here:
            options[f"pick up {thing} from {place}"] = _take(state, thing, place)
            for inner in state.inside(thing):
                options[f"pick up {inner} from {thing}"] = _take(state, inner, thing)
        return options
    options[put_action(carried, place)] = _put(state, carried, place)
    for thing in here:
        if kind_of(carried) in THINGS[kind_of(thing)].holds:
            options[put_action(carried, thing)] = _put(state, carried, thing)
    use = PLACES[kind_of(place)].use
    if use and use in THINGS[kind_of(carried)].uses:
        options[use_action(use, carried, place)] = _treat(state, use, carried, place)
    return options


def _walk(state: State, place: str) -> Effect:
    def effect() -> str:
        state.at = place
        return f"You walk to {place}. {_view(state, place)}"

    return effect


def _swing(state: State, place: str) -> Effect:
    def effect() -> str:
        if state.shut(place):
            state.opened.add(place)
            return f"You open {place}. {_view(state, place)}"
        state.opened.discard(place)
        return f"You close {place}."

    return effect


def _switch(state: State, device: str) -> Effect:
    def effect() -> str:
        state.on ^= {device}
        return f"You turn {'on' if device in state.on else 'off'} {device}."

    return effect


def _take(state: State, thing: str, source: str) -> Effect:
    def effect() -> str:
        state.where[thing] = HANDS
        return f"You pick up {thing} from {source}."

    return effect


def _put(state: State, thing: str, target: str) -> Effect:
    def effect() -> str:
        state.where[thing] = target
        return f"You {put_action(thing, target)}."

    return effect


def _treat(state: State, use: str, thing: str, place: str) -> Effect:
    def effect() -> str:
        if use == "wash":
            state.clean.add(thing)
        else:
            state.warmth[thing] = "hot" if use == "warm" else "cold"
        return _DONE[use].format(thing=thing, place=place)

    return effect


def _hands(state: State) -> str:
    if not state.carried:
        return "Your hands are empty."
    return f"You hold {_described(state, state.carried)}."


def _view(state: State, place: str) -> str:
    if state.shut(place):
        seen = f"{place} is closed."
    else:
        things = state.inside(place)
        listed = _listed(_with_article(_described(state, thing)) for thing in things)
        start = f"{PLACES[kind_of(place)].preposition.capitalize()} {place} there is "
        seen = start + (listed or "nothing") + "."
    devices = [
        f"A {device} stands here, switched {'on' if device in state.on else 'off'}."
        for device, at in state.house.devices.items()
        if at == place
    ]
    return " ".join([seen, *devices])


def _described(state: State, thing: str) -> str:
    inner = state.inside(thing)
    return f"{thing} holding {_listed(map(_with_article, inner))}" if inner else thing


def _with_article(name: str) -> str:
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _listed(items: Iterable[str]) -> str:
    names = list(items)
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
