"""Copies between SQLite and a real Neo4j server lose nothing."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from triforium.errors import InvalidInput, StoreError
from triforium.graph import Add, Store, copying
from triforium.graph.copying import copy_store
from triforium.graph.sqlite import open_sqlite
from triforium.testing.store_conformance import changes, insight, rows_of

from .servers import HOUSEHOLD
from .test_neo4j_store import opened

pytestmark = pytest.mark.timeout(600)
SCOPE = HOUSEHOLD


@pytest_asyncio.fixture
async def team(played: Path, tmp_path: Path) -> AsyncIterator[Store]:
    """The same memory, for this test alone."""
    shutil.copy(played, tmp_path / "team.db")
    store = await open_sqlite(f"sqlite:///{tmp_path}/team.db")
    yield store
    await store.close()


def _plain(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return sorted(tuple(sorted((k, repr(v)) for k, v in row.items())) for row in rows)


async def test_there_and_back(team: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a copy of a copy holds is what the first held."""
    monkeypatch.setattr(copying, "BATCH", 97)
    fleet, back = await opened(), await open_sqlite("sqlite://")
    told: list[tuple[int, int]] = []
    try:
        count = await copy_store(team, fleet, progress=lambda done, of: told.append((done, of)))
        assert told[-1] == (count, count)
        assert told[0] == (97, count)
        rows = await rows_of(team, "")
        assert count == len(rows) - 1
        assert _plain(await rows_of(fleet, "")) == _plain(rows)
        await copy_store(fleet, back)
        assert _plain(await rows_of(back, "")) == _plain(rows)
        with pytest.raises(InvalidInput, match="not empty"):
            await copy_store(team, fleet)
    finally:
        await fleet.close()
        await back.close()


@pytest.mark.parametrize("target", ["sqlite", "neo4j"])
async def test_an_interrupted_copy_goes_on(
    team: Store, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off in the middle, a copy goes on where it was; nothing else may touch the target."""
    monkeypatch.setattr(copying, "BATCH", 50)
    copy = await opened() if target == "neo4j" else await open_sqlite("sqlite://")
    taken: list[int] = []

    class Cut(Exception):
        pass

    def cut(done: int, total: int) -> None:
        taken.append(done)
        if done > total // 2:
            raise Cut

    try:
        with pytest.raises(Cut):
            await copy_store(team, copy, progress=cut)
        half = taken[-1]
        with pytest.raises(StoreError, match="not finished"):
            await copy.apply(changes("c", Add(insight("a"))))
        with pytest.raises(StoreError, match="not finished"):
            await copy.view(SCOPE)
        first: list[int] = []
        count = await copy_store(team, copy, progress=lambda done, _: first.append(done))
        assert first[0] == half + 50
        assert _plain(await rows_of(copy, "")) == _plain(await rows_of(team, ""))
        assert count > half
        with pytest.raises(InvalidInput, match="in use"):
            await copy_store(team, copy, restart=True)
    finally:
        await copy.close()


@pytest.mark.parametrize("target", ["sqlite", "neo4j"])
async def test_a_source_that_has_changed(
    team: Store, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of what has changed since is refused, and may be begun anew."""
    monkeypatch.setattr(copying, "BATCH", 50)
    copy = await opened() if target == "neo4j" else await open_sqlite("sqlite://")

    def cut(done: int, total: int) -> None:
        raise KeyError(done)

    try:
        with pytest.raises(KeyError):
            await copy_store(team, copy, progress=cut)
        await team.apply(changes("c", Add(insight("new", scope=SCOPE)), scope=SCOPE))
        with pytest.raises(InvalidInput, match="--restart"):
            await copy_store(team, copy)
        await copy_store(team, copy, restart=True)
        assert _plain(await rows_of(copy, "")) == _plain(await rows_of(team, ""))
        applied = await copy.apply(changes("d", Add(insight("more", scope=SCOPE)), scope=SCOPE))
        assert applied.position == (await team.view(SCOPE)).position + 1
    finally:
        await copy.close()


async def test_a_broken_row_leaves_an_empty_store(team: Store) -> None:
    """Nothing is imported when a row is broken, wherever it stands."""
    rows = await rows_of(team, "")
    at = next(n for n, row in enumerate(rows) if row["row"] == "link")
    broken = [*rows[:at], {**rows[at], "src": "nowhere"}, *rows[at + 1 :]]

    async def each() -> AsyncIterator[Mapping[str, Any]]:
        for row in broken:
            yield row

    for copy in (await opened(), await open_sqlite("sqlite://")):
        try:
            with pytest.raises(InvalidInput):
                await copy.restore(each())
            assert (await copy.statistics("")).records == {}
            assert (await copy.view(SCOPE)).position == 0
        finally:
            await copy.close()
