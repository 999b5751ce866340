"""What a benchmark is played in: its worlds, and which tasks are experience for which.

A world is added by one entry of `BENCHMARKS`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..agents import Task
from .worlds import World

if TYPE_CHECKING:
    from .settings import Settings

EVERY = 1_000_000
"""More tasks than any folder of games holds."""
HOUSEHOLD_EXPERIENCE, HOUSEHOLD_TESTS = 40, 60
HOUSES = 8


@dataclass(frozen=True, slots=True)
class Venue:
    """How to make a world again, in another process too.

    Attributes:
        world: Its name in `BENCHMARKS`.
        folder: Of its games or data, "" if it needs none.
        first: For the household: the number of the first house.
    """

    world: str
    folder: str = ""
    first: int = 0

    def open(self) -> World:
        """The world."""
        return BENCHMARKS[self.world].world(self)


@dataclass(frozen=True, slots=True)
class Fold:
    """One experience and the tasks that are played with it.

    Attributes:
        name: Such as "even" for the experience of the games at even places.
        venue: Where the tests are played.
        shown: Where the experience is made.
        experience: Tasks with a demonstration.
        tests: Tasks to play.
        further: More tasks for the team's own play, before those of the experience come again.
        former: Tasks with a demonstration from before things moved, where they can.
    """

    name: str
    venue: Venue
    shown: Venue
    experience: tuple[Task, ...]
    tests: tuple[Task, ...]
    further: tuple[Task, ...] = ()
    former: tuple[Task, ...] = ()


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A world as a benchmark.

    Attributes:
        world: Makes the world of a venue.
        folds: Draws the tasks.
        scene: The surroundings of a task, for "seen before"; "" where it tells none.
        needs: The option without which it cannot be played, "" if none.
    """

    world: Callable[[Venue], World]
    folds: Callable[[Settings], list[Fold]]
    scene: Callable[[Task], str] = lambda task: ""
    needs: str = ""


def draw_folds(settings: Settings) -> list[Fold]:
    """The folds that the settings ask for, cut to `limit` test tasks."""
    made = BENCHMARKS[settings.name].folds(settings)
    if not settings.limit:
        return made
    share = -(-settings.limit // len(made))
    return [replace(fold, tests=_spread(fold.tests, share)) for fold in made]


def _spread(tasks: Sequence[Task], n: int) -> tuple[Task, ...]:
    """n tasks at equal distances."""
    if n >= len(tasks):
        return tuple(tasks)
    return tuple(tasks[index * len(tasks) // n] for index in range(n))


def _halves(tasks: Sequence[Task], venue: Venue) -> list[Fold]:
    """Each half of the tasks is played with the experience of the other."""
    even, odd = tuple(tasks[::2]), tuple(tasks[1::2])
    return [Fold("even", venue, venue, even, odd), Fold("odd", venue, venue, odd, even)]


# --- the household --------------------------------------------------------------------------------


def _household(venue: Venue) -> World:
    from .household import Household

    return Household(HOUSES, venue.first)


def _household_folds(settings: Settings) -> list[Fold]:
    from .household import Household

    # Other seeds also mean other houses.
    venue = Venue("household", first=HOUSES * settings.seed)
    count = HOUSEHOLD_EXPERIENCE + HOUSEHOLD_TESTS
    tasks = tuple(venue.open().tasks(count + settings.trials, seed=settings.seed))
    experience, tests = tasks[:HOUSEHOLD_EXPERIENCE], tasks[HOUSEHOLD_EXPERIENCE:count]
    former = Household(HOUSES, venue.first, moved=True).tasks(
        HOUSEHOLD_EXPERIENCE if settings.stale else 0, seed=settings.seed
    )
    return [Fold("all", venue, venue, experience, tests, tasks[count:], tuple(former))]


# --- games ----------------------------------------------------------------------------------------


def _alfworld(venue: Venue) -> World:
    from .alfworld import ALFWorld

    return ALFWorld(Path(venue.folder))


def _alfworld_folds(settings: Settings) -> list[Fold]:
    venue = Venue("alfworld", str(settings.games))
    games = venue.open().tasks(EVERY)
    if settings.experience is None:
        return _halves(games, venue)
    shown = Venue("alfworld", str(settings.experience))
    return [Fold("given", venue, shown, tuple(shown.open().tasks(EVERY)), tuple(games))]


def _alfworld_scene(task: Task) -> str:
    """The number of the room, which ends the name of a task's folder."""
    return task.id.partition("/")[0].rpartition("-")[2]


def _textworld(venue: Venue) -> World:
    from .textworld_games import TextWorldGames

    return TextWorldGames(Path(venue.folder))


def _textworld_folds(settings: Settings) -> list[Fold]:
    venue = Venue("textworld", str(settings.games))
    return _halves(venue.open().tasks(EVERY), venue)


def _scienceworld(venue: Venue) -> World:
    from .scienceworld import ScienceWorld

    return ScienceWorld(split=venue.folder or "test")


def _scienceworld_folds(settings: Settings) -> list[Fold]:
    """Variations for training are the experience for those for testing."""
    shown, venue = Venue("scienceworld", "train"), Venue("scienceworld", "test")
    experience, tests = shown.open().tasks(EVERY), venue.open().tasks(EVERY)
    return [Fold("all", venue, shown, tuple(experience), tuple(tests))]


def _pddl(venue: Venue) -> World:
    from .pddl import PDDL

    return PDDL(Path(venue.folder))


def _pddl_folds(settings: Settings) -> list[Fold]:
    """Within each domain, one half of the problems is played with the experience of the other."""
    venue = Venue("pddl", str(settings.data))
    halves: tuple[list[Task], list[Task]] = ([], [])
    seen: Counter[str] = Counter()
    for task in venue.open().tasks(EVERY):
        halves[seen[task.kind] % 2].append(task)
        seen[task.kind] += 1
    even, odd = tuple(halves[0]), tuple(halves[1])
    return [Fold("even", venue, venue, even, odd), Fold("odd", venue, venue, odd, even)]


BENCHMARKS: dict[str, Benchmark] = {
    "alfworld": Benchmark(_alfworld, _alfworld_folds, _alfworld_scene, needs="games"),
    "textworld": Benchmark(_textworld, _textworld_folds, needs="games"),
    "scienceworld": Benchmark(_scienceworld, _scienceworld_folds),
    "pddl": Benchmark(_pddl, _pddl_folds, needs="data"),
    "household": Benchmark(
        _household, _household_folds, lambda task: str(task.data.get("layout", ""))
    ),
}
"""What can be played, by name."""
