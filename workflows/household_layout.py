"""Houses of the household world: their rooms, their furniture, and where things tend to lie.

A house is a function of its number. What can be learned from one house for the next is which
kinds of places a kind of thing prefers; what can be learned within a house is where its people
keep each kind. Both have exceptions.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PlaceKind:
    """A kind of furniture.

    Attributes:
        preposition: How things lie there, "in" or "on".
        openable: It has a door or a lid, closed at first.
        use: What it does to a thing: "wash", "warm", "chill" or "".
        flat: Lamps and radios may stand on it.
    """

    preposition: str
    openable: bool = False
    use: str = ""
    flat: bool = False


@dataclass(frozen=True, slots=True)
class ThingKind:
    """A kind of thing that can be carried.

    Attributes:
        homes: Kinds of places it is kept in, with weights.
        uses: What can be done to it: "wash", "warm", "chill", "inspect".
        holds: Kinds of things it can hold; those can be put into it and carried along.
    """

    homes: Mapping[str, int]
    uses: frozenset[str] = frozenset()
    holds: frozenset[str] = frozenset()


PLACES: dict[str, PlaceKind] = {
    "armchair": PlaceKind("on"),
    "basin": PlaceKind("in", use="wash"),
    "bed": PlaceKind("on"),
    "bench": PlaceKind("on"),
    "bin": PlaceKind("in"),
    "bookcase": PlaceKind("on", flat=True),
    "cabinet": PlaceKind("in", openable=True),
    "chest": PlaceKind("in", openable=True),
    "counter": PlaceKind("on", flat=True),
    "cupboard": PlaceKind("in", openable=True),
    "desk": PlaceKind("on", flat=True),
    "drawer": PlaceKind("in", openable=True),
    "hamper": PlaceKind("in", openable=True),
    "icebox": PlaceKind("in", openable=True, use="chill"),
    "larder": PlaceKind("in", openable=True),
    "nightstand": PlaceKind("on", flat=True),
    "oven": PlaceKind("in", openable=True, use="warm"),
    "rack": PlaceKind("on"),
    "shelf": PlaceKind("on", flat=True),
    "sideboard": PlaceKind("in", openable=True),
    "sofa": PlaceKind("on"),
    "stool": PlaceKind("on"),
    "table": PlaceKind("on", flat=True),
    "tub": PlaceKind("in"),
    "wardrobe": PlaceKind("in", openable=True),
}

ROOMS: dict[str, dict[str, tuple[int, int]]] = {
    "kitchen": {
        "basin": (1, 1),
        "bin": (1, 1),
        "counter": (1, 2),
        "cupboard": (2, 3),
        "drawer": (1, 2),
        "icebox": (1, 1),
        "larder": (0, 1),
        "oven": (1, 1),
        "table": (0, 1),
    },
    "bedroom": {
        "bed": (1, 1),
        "chest": (0, 1),
        "drawer": (0, 2),
        "nightstand": (1, 2),
        "shelf": (0, 1),
        "wardrobe": (1, 1),
    },
    "bathroom": {
        "basin": (1, 1),
        "cabinet": (1, 2),
        "hamper": (1, 1),
        "rack": (1, 1),
        "stool": (0, 1),
        "tub": (0, 1),
    },
    "parlour": {
        "armchair": (1, 2),
        "bookcase": (0, 1),
        "shelf": (0, 2),
        "sideboard": (1, 1),
        "sofa": (1, 1),
        "table": (1, 1),
    },
    "study": {
        "armchair": (0, 1),
        "bookcase": (1, 1),
        "cabinet": (0, 1),
        "desk": (1, 1),
        "drawer": (1, 2),
        "shelf": (1, 2),
    },
    "hallway": {
        "bench": (1, 1),
        "bin": (0, 1),
        "chest": (1, 1),
        "rack": (1, 1),
        "shelf": (0, 1),
        "stool": (0, 1),
    },
}
"""Furniture of each kind of room, with the fewest and the most of a kind."""

_TABLEWARE = frozenset({"wash", "warm", "chill"})
_FOOD = frozenset({"wash", "warm", "chill"})
_WASHABLE = frozenset({"wash"})
_READABLE = frozenset({"inspect"})
_PAPERS = frozenset({"book", "letter", "newspaper", "notebook", "pen", "key", "coin", "watch"})
_FRUIT = frozenset({"apple", "egg", "lemon", "potato", "tomato", "spoon", "fork"})

THINGS: dict[str, ThingKind] = {
    "apple": ThingKind({"counter": 3, "icebox": 3, "table": 2, "larder": 2}, _FOOD),
    "basket": ThingKind(
        {"bench": 2, "counter": 2, "wardrobe": 1, "sofa": 1}, holds=_PAPERS | _FRUIT
    ),
    "blanket": ThingKind({"bed": 3, "sofa": 2, "chest": 3, "wardrobe": 2}),
    "book": ThingKind({"bookcase": 4, "nightstand": 2, "shelf": 2, "desk": 2}, _READABLE),
    "bowl": ThingKind({"cupboard": 4, "counter": 2, "basin": 1}, _TABLEWARE, _FRUIT),
    "box": ThingKind({"chest": 3, "shelf": 2, "wardrobe": 2, "desk": 1}, holds=_PAPERS),
    "candle": ThingKind({"shelf": 2, "sideboard": 3, "drawer": 2, "table": 1}),
    "cloth": ThingKind({"basin": 2, "hamper": 3, "rack": 2, "cabinet": 1}, _WASHABLE),
    "coin": ThingKind({"drawer": 2, "sofa": 2, "nightstand": 2, "bench": 1}, _READABLE),
    "comb": ThingKind({"cabinet": 3, "stool": 1, "nightstand": 2, "drawer": 1}, _WASHABLE),
    "egg": ThingKind({"icebox": 4, "larder": 2, "counter": 1}, _FOOD),
    "fork": ThingKind({"drawer": 4, "basin": 2, "table": 1}, _WASHABLE),
    "jug": ThingKind({"cupboard": 2, "counter": 2, "sideboard": 2, "icebox": 1}, _TABLEWARE),
    "key": ThingKind({"drawer": 3, "bench": 2, "desk": 2, "sideboard": 1}, _READABLE),
    "knife": ThingKind({"drawer": 4, "counter": 2, "basin": 1}, _WASHABLE),
    "lemon": ThingKind({"icebox": 3, "counter": 2, "larder": 2}, _FOOD),
    "letter": ThingKind({"desk": 3, "drawer": 3, "bench": 2, "armchair": 1}, _READABLE),
    "loaf": ThingKind({"larder": 3, "counter": 3, "table": 2}, frozenset({"warm", "chill"})),
    "mug": ThingKind({"cupboard": 4, "counter": 2, "desk": 2, "basin": 1}, _TABLEWARE),
    "newspaper": ThingKind({"armchair": 3, "sofa": 3, "table": 2, "bin": 1}, _READABLE),
    "notebook": ThingKind({"desk": 3, "bookcase": 2, "drawer": 2, "bed": 1}, _READABLE),
    "pan": ThingKind({"oven": 3, "cupboard": 3, "counter": 2}, _TABLEWARE),
    "pen": ThingKind({"desk": 4, "drawer": 3, "nightstand": 1}, _READABLE),
    "pillow": ThingKind({"bed": 4, "sofa": 3, "armchair": 2, "chest": 1}),
    "plate": ThingKind({"cupboard": 4, "table": 2, "counter": 2, "sideboard": 1}, _TABLEWARE),
    "potato": ThingKind({"larder": 3, "icebox": 2, "counter": 2, "bin": 1}, _FOOD),
    "scarf": ThingKind({"wardrobe": 4, "rack": 3, "chest": 2, "bench": 1}),
    "soap": ThingKind({"basin": 3, "tub": 2, "cabinet": 3, "rack": 1}),
    "sponge": ThingKind({"basin": 4, "tub": 2, "cabinet": 1, "counter": 1}, _WASHABLE),
    "spoon": ThingKind({"drawer": 4, "basin": 1, "table": 2}, _WASHABLE),
    "tomato": ThingKind({"icebox": 4, "counter": 2, "table": 1}, _FOOD),
    "towel": ThingKind({"rack": 4, "cabinet": 2, "hamper": 2, "wardrobe": 1}),
    "vase": ThingKind({"sideboard": 3, "shelf": 2, "bookcase": 1, "table": 1}, _WASHABLE),
    "watch": ThingKind({"nightstand": 3, "cabinet": 2, "desk": 1, "drawer": 1}, _READABLE),
}

_FORMERLY = dict(zip(sorted(THINGS), [*sorted(THINGS)[11:], *sorted(THINGS)[:11]], strict=True))
"""In a house that is moved: the kind whose places suit a kind."""

_NAMES = [
    "Alder",
    "Ash",
    "Beech",
    "Birch",
    "Briar",
    "Cedar",
    "Clover",
    "Elder",
    "Elm",
    "Fern",
    "Hazel",
    "Heather",
    "Holly",
    "Ivy",
    "Juniper",
    "Larch",
    "Laurel",
    "Linden",
    "Maple",
    "Myrtle",
    "Oak",
    "Poplar",
    "Rowan",
    "Sorrel",
    "Thistle",
    "Willow",
    "Yarrow",
    "Yew",
]
_ENDINGS = ("Cottage", "House", "Lodge", "Court", "Villa", "Grange", "Manor")
_KEPT_AT_HOME = 0.8
_PREFERS = 0.85


@dataclass(frozen=True, slots=True)
class House:
    """One house.

    Attributes:
        number: What it was built from.
        name: What it is called in observations.
        rooms: Names of places by kind of room.
        things: How many there are of each kind of thing.
        homes: The place where its people keep a kind.
        devices: The place where each lamp or radio stands; they cannot be carried.
        moved: It is kept as its former people kept it.
    """

    number: int
    name: str
    rooms: Mapping[str, tuple[str, ...]]
    things: Mapping[str, int]
    homes: Mapping[str, str]
    devices: Mapping[str, str]
    moved: bool = False

    @property
    def places(self) -> tuple[str, ...]:
        """Names of all places, sorted."""
        return tuple(sorted(place for room in self.rooms.values() for place in room))


def kind_of(name: str) -> str:
    """The kind in a name: "mug" of "mug 2"."""
    return name.rpartition(" ")[0]


def build_house(number: int, *, moved: bool = False) -> House:
    """The house of a number; the same number gives the same house.

    A house has a kitchen and two other rooms, or three if they are small: 16 to 26 places.

    Args:
        number: Of the house.
        moved: The same house as its former people kept it: the rooms, the furniture and the
            things are the same, but every kind of thing is kept where another one suits.
    """
    rng = random.Random(f"house/{number}")
    rooms = _furnish(rng)
    places = sorted(place for room in rooms.values() for place in room)
    things = {kind: rng.choices((0, 1, 2, 3), (15, 40, 33, 12))[0] for kind in sorted(THINGS)}
    homes = {kind: _keep(kind, places, rng) for kind in sorted(THINGS)}
    if moved:
        former = random.Random(f"house/{number}/moved")
        homes = {kind: _keep(_FORMERLY[kind], places, former) for kind in sorted(THINGS)}
    flat = [place for place in places if PLACES[kind_of(place)].flat]
    devices = {f"lamp {n}": rng.choice(flat) for n in range(1, rng.randint(1, 2) + 1)}
    devices["radio 1"] = rng.choice(flat)
    name = f"{_NAMES[number % len(_NAMES)]} {_ENDINGS[number // len(_NAMES) % len(_ENDINGS)]}"
    return House(number, name, rooms, things, homes, devices, moved)


def arrange(house: House, seed: int) -> dict[str, str]:
    """Where each thing lies at the beginning of a task.

    Args:
        house: The house.
        seed: Of the task. Four of five things lie where the house keeps their kind; the rest
            lie elsewhere, mostly in a place of a kind that suits them.

    Returns:
        The place of each thing, by name, sorted by name.
    """
    rng = random.Random(f"arrangement/{house.number}/{seed}")
    where: dict[str, str] = {}
    for kind, count in house.things.items():
        for number in range(1, count + 1):
            at_home = rng.random() < _KEPT_AT_HOME
            stray = _keep(_FORMERLY[kind] if house.moved else kind, house.places, rng)
            where[f"{kind} {number}"] = house.homes[kind] if at_home else stray
    return where


def _furnish(rng: random.Random) -> dict[str, tuple[str, ...]]:
    others = rng.sample(sorted(set(ROOMS) - {"kitchen"}), 3)
    counts: dict[str, int] = {}
    rooms: dict[str, tuple[str, ...]] = {}
    for room in ("kitchen", *others):
        if room == others[-1] and sum(map(len, rooms.values())) > 17:
            break
        places: list[str] = []
        for kind, (least, most) in ROOMS[room].items():
            for _ in range(rng.randint(least, most)):
                counts[kind] = counts.get(kind, 0) + 1
                places.append(f"{kind} {counts[kind]}")
        rooms[room] = tuple(places)
    return rooms


def _keep(kind: str, places: list[str] | tuple[str, ...], rng: random.Random) -> str:
    """A place for a kind: mostly one it prefers, sometimes any."""
    homes = THINGS[kind].homes
    weights = [homes.get(kind_of(place), 0) for place in places]
    if any(weights) and rng.random() < _PREFERS:
        return rng.choices(places, weights)[0]
    return rng.choice(places)
