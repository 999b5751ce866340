"""Recall gives the same from a copy on a real Neo4j server as from the SQLite store."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from triforium.agents import Task
from triforium.graph import Store
from triforium.graph.copying import copy_store
from triforium.graph.neo4j import open_neo4j
from triforium.graph.sqlite import open_sqlite
from triforium.memory import Memory
from triforium.memory.embedders import Embedder, get_embedder
from triforium.workflows.examine import TEAM
from triforium.workflows.experience import (
    Experience,
    Place,
    build_store,
    demonstrate,
    demonstrations,
)
from triforium.workflows.folds import EVERY, Venue
from triforium.workflows.household import Household

from . import servers
from .servers import HOUSEHOLD

pytestmark = pytest.mark.timeout(1800)
VARIABLE = "TRIFORIUM_ALFWORLD_GAMES"
TOP = 10
STRATEGIES = ("hierarchical", "exprag", "gmemory")


@dataclass
class Compared:
    """What two stores recalled for the same tasks.

    Attributes:
        recalls: How many recalls were compared.
        same: Of them with the same items in the same order, scored and packed the same.
        items: Of the first store.
        overlaps: Per recall the share of the first ten items that the other has too.
    """

    recalls: int = 0
    same: int = 0
    items: int = 0
    overlaps: list[float] = field(default_factory=list)


@asynccontextmanager
async def _both(path: Path) -> AsyncIterator[tuple[Store, Store]]:
    """A SQLite store, and its copy on a server."""
    source = await open_sqlite(f"sqlite:///{path}")
    async with servers.empty_place() as place:
        fleet = await open_neo4j(place.url, credentials=place.credentials, patience=120.0)
        try:
            await copy_store(source, fleet)
            yield source, fleet
            assert fleet._replicas._loaded, "what was compared is what a process keeps"
        finally:
            await fleet.close()
            await source.close()


async def _compare(stores: tuple[Store, Store], scope: str, tasks: Sequence[Task]) -> Compared:
    embedder: Embedder | None = get_embedder("wordllama")
    compared = Compared()
    for strategy in STRATEGIES:
        memories = [
            Memory(store, scope=scope, strategy=strategy, embedder=embedder, hold_out=0.0)
            for store in stores
        ]
        for task in tasks:
            around = task.data.get("context", ())
            one, two = [await memory.recall(task.goal, context=around) for memory in memories]
            packed = [
                [
                    (item.record.id, item.placement, item.text, dict(item.scores))
                    for item in recall.items
                ]
                for recall in (one, two)
            ]
            first, second = ([item[0] for item in items] for items in packed)
            compared.recalls += 1
            compared.same += packed[0] == packed[1]
            compared.items += len(first)
            top = first[:TOP]
            compared.overlaps.append(len(set(top) & set(second[:TOP])) / len(top) if top else 1.0)
    return compared


async def test_household(played: Path, tmp_path: Path) -> None:
    """The candidates of so small a memory fit the over-fetch, so all is the same."""
    shutil.copy(played, tmp_path / "team.db")
    tasks = Household(layouts=3).tasks(20, seed=7)
    async with _both(tmp_path / "team.db") as stores:
        compared = await _compare(stores, HOUSEHOLD, tasks)
    assert compared.items > 100
    assert compared.same == compared.recalls, compared


@pytest.mark.skipif(
    importlib.util.find_spec("textworld") is None or importlib.util.find_spec("alfworld") is None,
    reason="ALFWorld is not installed: pip install 'triforium[alfworld]'",
)
@pytest.mark.skipif(not os.environ.get(VARIABLE), reason=f"{VARIABLE} names no folder of games")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_alfworld(tmp_path: Path) -> None:
    """Demonstrations of every other game, recalled for all games."""
    venue = Venue("alfworld", os.environ[VARIABLE])
    tasks = venue.open().tasks(EVERY)
    shown = tasks[::2]
    transcripts = {}
    for task in shown:
        transcripts[task.id] = await asyncio.to_thread(demonstrate, venue, task)
    made = demonstrations(Experience(tuple(shown)), transcripts, None)
    await asyncio.to_thread(build_store, Place(tmp_path / "team.db"), "hierarchical", made)
    async with _both(tmp_path / "team.db") as stores:
        compared = await _compare(stores, TEAM, tasks)
    assert compared.items > len(tasks)
    assert sum(compared.overlaps) / len(compared.overlaps) >= 0.95, compared
