"""What a memory is made of before the tests: which demonstrations, which own play, what is wrong
in it, and the stores that come of it.

Demonstrations are replayed through the environment, so that observations are remembered too.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..agents import Task
from ..errors import InvalidInput
from ..graph import Outcome
from ..memory import Memory, mentions
from .embodied import replay
from .examine import TEAM, rows
from .folds import BENCHMARKS, Fold, Venue
from .renamed import Renaming
from .results import write_result
from .settings import Arm, Settings


@dataclass(frozen=True, slots=True)
class Experience:
    """What the teams of a fold go through before the tests.

    Attributes:
        shown: Tasks that are demonstrated, in order.
        mislabelled: Places in `shown` of those whose outcome is turned round.
        played: Tasks the teams play themselves, in order; one may come again.
        misjudged: Places in `played` of those whose outcome is turned round.
    """

    shown: tuple[Task, ...]
    mislabelled: frozenset[int] = frozenset()
    played: tuple[Task, ...] = ()
    misjudged: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Seen:
    """What came up in the experience of an arm.

    Attributes:
        goals: Texts of goals.
        scenes: Surroundings, where the world tells them.
        scene: The surroundings of a task.
    """

    goals: frozenset[str]
    scenes: frozenset[str]
    scene: Callable[[Task], str]

    @classmethod
    def of(cls, name: str, experience: Experience, arm: Arm) -> Seen:
        """What came up for an arm in the benchmark of a name."""
        scene = BENCHMARKS[name].scene
        # One without a memory is compared with those that have one, on their strata.
        played = experience.played if arm.play or not arm.remembers else ()
        tasks = (*experience.shown, *played)
        return cls(frozenset(task.goal for task in tasks), frozenset(map(scene, tasks)), scene)

    def before(self, task: Task) -> dict[str, bool]:
        """Whether a task's goal came up, and its scene where the world tells scenes."""
        strata = {"goal_seen": task.goal in self.goals}
        if self.scene(task):
            strata["scene_seen"] = self.scene(task) in self.scenes
        return strata


def plan(fold: Fold, settings: Settings, *, stale: bool = False) -> Experience:
    """The experience that the settings ask for; the same for all arms, but for a stale one's.

    Own play takes the tasks that are not demonstrated, then further tasks of the world if it has
    any; if that is not enough, it goes round again, now through the demonstrated ones as well.
    """
    order = settings.order
    count = settings.demonstrations
    known = fold.former if stale else fold.experience
    shown = list(known if count is None else balanced(known, count, order))
    ids = {task.id for task in shown}
    rest = [task for task in fold.experience if task.id not in ids and not settings.stale]
    further = list(fold.further)
    if order:
        rng = random.Random(f"order/{order}")
        rng.shuffle(shown)
        rng.shuffle(rest)
        rng.shuffle(further)
    played = [*rest, *further]
    while played or shown:
        if len(played) >= settings.trials:
            break
        played += [*rest, *further, *([] if stale else shown)]
    played = played[: settings.trials]
    return Experience(
        tuple(shown),
        wrong(len(shown), settings.mislabel, f"shown/{settings.seed}/{order}"),
        tuple(played),
        wrong(len(played), settings.mislabel, f"played/{settings.seed}/{order}"),
    )


def balanced(tasks: Sequence[Task], count: int, order: int) -> list[Task]:
    """So many tasks, as equal a number of each kind as there are, drawn by a seed.

    Returns:
        The tasks drawn, in the order in which they stand in `tasks`.
    """
    rng = random.Random(f"demonstrations/{order}")
    kinds: dict[str, list[int]] = {}
    for place, task in enumerate(tasks):
        kinds.setdefault(task.kind, []).append(place)
    for places in kinds.values():
        rng.shuffle(places)
    turns = sorted(kinds)
    rng.shuffle(turns)
    drawn: list[int] = []
    while len(drawn) < min(count, len(tasks)):
        for kind in turns:
            if kinds[kind] and len(drawn) < count:
                drawn.append(kinds[kind].pop())
    return [tasks[place] for place in sorted(drawn)]


def wrong(count: int, share: float, seed: str) -> frozenset[int]:
    """That share of `count` places, drawn by a seed."""
    return frozenset(random.Random(f"mislabel/{seed}").sample(range(count), round(share * count)))


# --- demonstrations -------------------------------------------------------------------------------


def transcripts_path(folder: Path, fold: Fold, *, shared: bool) -> Path:
    """Where the replayed demonstrations of a fold are kept.

    Args:
        folder: Of this benchmark's results, or one that several benchmarks share.
        fold: The fold.
        shared: Several benchmarks use the folder: the name tells worlds apart.
    """
    name = fold.name
    if shared:
        venue = fold.shown
        folder_ = str(Path(venue.folder).resolve()) if venue.folder else ""
        place = f"{venue.world}/{folder_}/{venue.first}"
        name = f"{venue.world}-{hashlib.blake2b(place.encode(), digest_size=6).hexdigest()}"
    return folder / f"demonstrations-{name}.jsonl"


def known_transcripts(path: Path) -> dict[str, dict[str, Any]]:
    """The transcripts that are kept in a file, by task."""
    return {row["task"]: row for row in rows(path)}


def demonstrate(venue: Venue, task: Task) -> dict[str, Any]:
    """Replay the demonstration of one task; runs in a process of its own.

    The episode has seed 0 in every benchmark, so that transcripts can be shared.
    """

    async def run() -> dict[str, Any]:
        world = venue.open()
        environment = world.environment()
        try:
            actions = await world.demonstration(task)
            played = await replay(environment, task, actions)
        finally:
            await environment.close()
        return {
            "task": task.id,
            "won": played[-1][1].won,
            "played": [(action, observed.text) for action, observed in played],
        }

    return asyncio.run(run())


# --- stores ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A demonstration as it is remembered.

    Attributes:
        task: The task.
        played: (action, observation) pairs, the first with an empty action.
        won: How it is said to have ended.
    """

    task: Task
    played: tuple[tuple[str, str], ...]
    won: bool


def demonstrations(
    experience: Experience, transcripts: Mapping[str, Mapping[str, Any]], rename: int | None
) -> list[Demonstration]:
    """The demonstrations of an experience, with what is wrong in them, in other words if asked.

    Args:
        experience: What is shown, and what of it is mislabelled.
        transcripts: By task, as `demonstrate` makes them.
        rename: Seed of nonsense words; None leaves the words.
    """
    say = (lambda text: text) if rename is None else Renaming(rename).text
    made = []
    for place, task in enumerate(experience.shown):
        row = transcripts[task.id]
        if len(row["played"]) < 2:
            # The world knows no expert for this task.
            continue
        played = tuple((say(action), say(observed)) for action, observed in row["played"])
        renamed = Task(task.id, say(task.goal), task.kind)
        made.append(
            Demonstration(renamed, played, bool(row["won"]) != (place in experience.mislabelled))
        )
    return made


def build_store(place: Place, learner: str, shown: Sequence[Demonstration]) -> None:
    """Make a store of demonstrations; it is there whole or not at all. For another process."""

    async def build() -> None:
        final = place.path
        unfinished = final.with_suffix(".part.db")
        for leftover in unfinished.parent.glob(unfinished.name + "*"):
            leftover.unlink()
        async with Memory.open(
            f"sqlite:///{unfinished}", scope=TEAM, strategy=learner, hold_out=0.0
        ) as memory:
            # Even an empty store has to be a store.
            await memory.statistics()
            for one in shown:
                await remember(memory, one.task, one.played, won=one.won)
        unfinished.rename(final)

    asyncio.run(build())


def build_scope(place: Place, learner: str, shown: Sequence[Demonstration]) -> None:
    """Make a memory of demonstrations in a scope of a store. For another process.

    Raises:
        InvalidInput: The scope is not empty: something else is there, or what was interrupted.
    """

    async def build() -> None:
        async with Memory.open(
            place.url, scope=place.scope, strategy=learner, hold_out=0.0
        ) as memory:
            if (await memory.statistics()).records:
                raise InvalidInput(
                    f"The scope {place.scope!r} of the store is not empty: a benchmark was "
                    "interrupted while it remembered, or played with it before. Give an empty "
                    "store."
                )
            for one in shown:
                await remember(memory, one.task, one.played, won=one.won)
            write_result(place.path, dict((await memory.statistics()).records))

    asyncio.run(build())


async def check_whole(place: Place) -> None:
    """See that a memory in a store is still as the note beside the results says.

    Raises:
        InvalidInput: The store holds something else, or nothing.
    """
    noted = json.loads(place.path.read_text(encoding="utf-8"))
    async with Memory.open(place.url, scope=place.scope) as memory:
        if dict((await memory.statistics()).records) != noted:
            raise InvalidInput(
                f"The scope {place.scope!r} of the store is not what this benchmark left there. "
                "Begin anew, with an empty store and another --out."
            )


async def remember(
    memory: Memory, task: Task, played: Iterable[Sequence[str]], *, won: bool
) -> None:
    """Keep one played task as a trial.

    Args:
        memory: Where.
        task: The task.
        played: (action, observation) pairs, the first with an empty action.
        won: How it ended.
    """
    pairs = list(played)
    around = {mention.name for mention in mentions(pairs[0][1])}
    trial = await memory.begin(task.goal, run=f"demonstration:{task.id}", context=around)
    for action, observed in pairs[1:]:
        await memory.observe(trial, observed, action=action, role="solver", agent="demonstrator")
    outcome = Outcome.success if won else Outcome.failure
    await memory.commit(trial, outcome(judge="environment"))


@dataclass(frozen=True, slots=True)
class Place:
    """Where the memory of demonstrations of an arm is.

    Attributes:
        path: Its file; or a note that the memory in the store is whole, with how much it holds.
        url: Of the store, "" for the file.
        scope: In the store.
    """

    path: Path
    url: str = ""
    scope: str = TEAM

    @classmethod
    def of(cls, settings: Settings, out: Path, fold: Fold, arm: Arm) -> Place:
        """The place of a fold's demonstrations that an arm begins with."""
        path = shown_path(out, fold, arm)
        if not settings.store:
            return cls(path)
        scope = f"{TEAM}/{fold.name}-{slug(arm.learner)}"
        return cls(path.with_suffix(".url"), settings.store, scope)


def shown_path(out: Path, fold: Fold, arm: Arm) -> Path:
    """The store of a fold's demonstrations that an arm begins with."""
    learner = "" if arm.learner == "hierarchical" else f"-{slug(arm.learner)}"
    stale = "-stale" if arm.stale else ""
    return (out / f"memory-{fold.name}{learner}{stale}.db").resolve()


def store_path(out: Path, fold: Fold, arm: Arm) -> Path:
    """The store an arm is tested with: that of the demonstrations, or its own after play."""
    if not arm.play:
        return shown_path(out, fold, arm)
    return (out / f"played-{fold.name}-{slug(arm.name)}.db").resolve()


def played_path(out: Path, fold: Fold) -> Path:
    """The log of the teams' own play."""
    return (out / f"played-{fold.name}.jsonl").resolve()


def slug(name: str) -> str:
    """A name for a file."""
    return "".join(letter if letter.isalnum() or letter in "+-" else "-" for letter in name)
