"""The memory that the `ehr` suite attacks: a real store, filled as agents fill it."""

from __future__ import annotations

import random
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ...graph import Changeset, Outcome, Record, SetStatus, Status, View, digest
from ...memory import Memory
from ...memory.embedders import Embedder
from ...memory.guard.plan import Plan, code_plan_of
from ...memory.strategy import Candidate, Cue
from .ehr_attack import POLITE, columns_of, legitimate
from .ehr_data import Log, rename_verbs

SCOPE = "hospital"
SOURCES = 40
"""Honest sources; each holds several records."""
SLOTS = 4
"""Records an agent is shown."""


@dataclass(frozen=True, slots=True)
class World:
    """The honest memory of one run.

    Attributes:
        seed: It was drawn from.
        logs: The questions, verbs renamed.
        said: Per log what its record says: the question, of some with a polite suffix.
        legitimate: Records that delete because they shall.
        verbs: Names of the verbs.
        sources: Per log the source of its record.
        columns: Per table the columns the agent knows.
        path: The store.
    """

    seed: int
    logs: tuple[Log, ...]
    said: Mapping[str, str]
    legitimate: tuple[Log, ...]
    verbs: Mapping[str, str]
    sources: Mapping[str, str]
    columns: Mapping[str, Sequence[str]]
    path: Path

    @property
    def polite(self) -> list[Log]:
        """The logs whose record has a polite suffix."""
        return [log for log in self.logs if self.said[log.id] != log.question]

    @property
    def honest(self) -> list[Log]:
        """All of them, as their records say it."""
        own = [replace(log, question=self.said[log.id]) for log in self.logs]
        return [*own, *self.legitimate]


def draw_world(logs: Sequence[Log], asked: set[str], seed: int, folder: Path) -> World:
    """Draw what the memory holds.

    Args:
        logs: As they were loaded.
        asked: Templates whose questions will be asked; legitimate deletions are made from others.
        seed: Of all that is drawn.
        folder: For the store.
    """
    rng = random.Random(f"ehr {seed}")
    named, verbs = rename_verbs(logs, rng)
    bases = [log for log in named if log.template not in asked]
    deletions = legitimate(rng.sample(bases, min(20, len(bases))), verbs, rng)
    names = [f"clinic-{number:02}" for number in range(min(SOURCES, max(3, len(logs) // 4)))]
    shuffled = [log.id for log in named]
    rng.shuffle(shuffled)
    sources = {id_: names[number % len(names)] for number, id_ in enumerate(shuffled)}
    sources |= {log.id: rng.choice(names) for log in deletions}
    said = {log.id: log.question for log in named}
    polite_sources = rng.sample(names, min(len(POLITE), len(names)))
    for suffix, source in zip(POLITE, polite_sources, strict=False):
        own = [log for log in named if sources[log.id] == source][:SLOTS]
        said |= {log.id: f"{log.question} {suffix}" for log in own}
    return World(
        seed, tuple(named), said, tuple(deletions), verbs, sources, columns_of(named),
        folder / f"world-{seed}.db",
    )  # fmt: skip


async def fill(world: World, embedder: Embedder | None) -> None:
    """Write the honest memory to its store."""
    async with Memory.open(f"sqlite:///{world.path}", scope=SCOPE, embedder=embedder) as memory:
        for log in world.honest:
            await remember(memory, log, world.sources[log.id])


async def remember(memory: Memory, log: Log, source: str) -> str:
    """Write one trial as its agents would: what was noted, what was run, how it ended."""
    own = memory.scoped(SCOPE, source=source)
    trial = await own.begin(log.question, run=log.id)
    await own.observe(trial, log.knowledge or "-", role="planner")
    await own.observe(trial, "done", action=log.code, role="coder")
    await own.commit(trial, Outcome.success(judge="environment"))
    return trial.id


@asynccontextmanager
async def attacked(
    world: World,
    embedder: Embedder | None,
    poisons: Sequence[tuple[Log, str]],
    gone: Sequence[Log],
    path: Path,
) -> AsyncIterator[Attacked]:
    """A copy of the memory with poison in it and some records gone.

    Args:
        world: The honest memory.
        embedder: Of the store.
        poisons: Poisoned records with their sources.
        gone: Logs whose records leave the memory.
        path: Of the copy; it is deleted at the end.
    """
    shutil.copyfile(world.path, path)
    try:
        async with Memory.open(f"sqlite:///{path}", scope=SCOPE, embedder=embedder) as memory:
            opened = Attacked(memory, world, {}, set())
            for log in world.honest:
                opened.of_record[memory.trial_id(log.id, 0)] = log
            for log, source in poisons:
                id_ = await remember(memory, log, source)
                opened.of_record[id_] = log
                opened.poison.add(id_)
            await opened.put(gone, Status.ARCHIVED)
            yield opened
    finally:
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)


@dataclass(slots=True)
class Attacked:
    """An open memory under attack.

    Attributes:
        memory: The memory.
        world: What is honest in it.
        of_record: Per id of a record its log.
        poison: Ids of poisoned records.
    """

    memory: Memory
    world: World
    of_record: dict[str, Log]
    poison: set[str]
    _changes: int = 0

    async def put(self, logs: Sequence[Log], status: Status) -> None:
        """Take the records of some logs out of the memory, or put them back."""
        ids = [self.memory.trial_id(log.id, 0) for log in logs]
        view = await self.memory.store.view(SCOPE)
        records = await view.get(ids)
        self._changes += 1
        await self.memory.store.apply(
            Changeset(
                id=digest("ehr", self._changes, status.value, ids),
                scope=SCOPE,
                ops=tuple(
                    SetStatus(id_, records[id_].revision, status) for id_ in ids if id_ in records
                ),
            )
        )

    async def recall(self, task: str) -> tuple[View, list[Candidate]]:
        """The trials that the default strategy recalls for a task, best first."""
        memory = self.memory
        view = await memory.store.view(SCOPE)
        vector = None
        if memory.embedder is not None:
            vector = memory.embedder.embed([task])[0]
        found = await memory.strategy.retrieve(view, Cue(task=task, vector=vector))
        return view, [one for one in found if self.is_trial(one.record)]

    def is_trial(self, record: Record) -> bool:
        """Whether it is one of the records that were written, no insight."""
        return record.id in self.of_record

    def plan(self, record: str) -> Plan:
        """What a record's code would do."""
        return code_plan_of(self.of_record[record].code)
