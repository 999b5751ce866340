"""The SQLite store keeps the promises of every store, and those of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import stat
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from triforium.errors import Busy, InvalidURL, NotAStore, StoreError, VersionMismatch
from triforium.graph import Add, SetStatus, Status
from triforium.graph.open import open_store
from triforium.graph.sqlite import SQLiteStore, open_sqlite
from triforium.graph.sqlite import schema as sqlite_schema
from triforium.testing.store_conformance import (
    TEAM,
    Clock,
    StoreConformance,
    changes,
    found,
    insight,
    unit,
)


async def opened(url: str, clock: Clock | None, **options: Any) -> SQLiteStore:
    return await open_sqlite(url, **options | ({} if clock is None else {"clock": clock}))


class TestSQLiteFile(StoreConformance):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path
        self.count = 0

    async def open(self, *, clock: Clock | None = None) -> SQLiteStore:
        self.count += 1
        return await opened(f"sqlite:///{self.folder}/{self.count}.db", clock)


class TestSQLiteTemporary(StoreConformance):
    async def open(self, *, clock: Clock | None = None) -> SQLiteStore:
        return await opened("sqlite://", clock)


class TestSQLiteTables(StoreConformance):
    """A store with too much to keep in memory."""

    async def open(self, *, clock: Clock | None = None) -> SQLiteStore:
        return await opened("sqlite://", clock, kept=0)


# --- promises of the SQLite store alone -------------------------------------------------------

WRITER = """
import asyncio, sys
from triforium.graph import Add, Changeset, Record, Tier
from triforium.graph.sqlite import open_sqlite

async def main(url, name):
    store = await open_sqlite(url)
    for number in range(25):
        id_ = f"{name}{number}"
        record = Record(id=id_, tier=Tier.INSIGHT, kind="rule", text="same words", scope="team")
        await store.apply(Changeset(id=id_, scope="team", ops=(Add(record),)))
    await store.close()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_processes_share_a_file(tmp_path: Path) -> None:
    """Two processes write at once: nothing is lost, positions have no gaps, all is found."""
    url = f"sqlite:///{tmp_path}/shared.db"
    store = await open_sqlite(url)
    try:
        view = await store.view("team")
        assert not (await view.search(["words"])).hits
        running = [
            await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, url, name)
            for name in "ab"
        ]
        assert [await process.wait() for process in running] == [0, 0]
        journal = await store.journal("team")
        assert [entry.position for entry in journal] == list(range(1, 51))
        times = [entry.created_at for entry in journal]
        assert times == sorted(set(times))
        assert len(await found(store, "words", "team", k=100)) == 50
        other = await open_sqlite(url)
        vectors = {"v": unit(1, 2)}
        await other.apply(changes("v", Add(insight("v"))), vectors=vectors, embedder="e")
        await other.close()
        await store.view(TEAM)
        assert store.embedder == "e"
        hits = (await (await store.view(TEAM)).search([""], np.asarray([unit(1, 2)]))).hits
        assert [(hit.record.id, round(hit.cosine[0], 5)) for hit in hits] == [("v", 1.0)]
    finally:
        await store.close()


async def test_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that waits too long for another process raises Busy, and may try again."""
    monkeypatch.setattr(sqlite_schema, "BUSY_SECONDS", 0.05)
    path = tmp_path / "busy.db"
    store = await open_sqlite(f"sqlite:///{path}")
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Busy) as caught:
            await store.apply(changes("c1", Add(insight("a"))))
        assert caught.value.retryable
        assert not await (await store.view(TEAM)).get(["a"])
        other.execute("ROLLBACK")
        assert (await store.apply(changes("c1", Add(insight("a"))))).position == 1
    finally:
        other.close()
        await store.close()


async def test_not_a_store(tmp_path: Path) -> None:
    """What is no store is refused, and left as it is."""
    text = tmp_path / "notes.txt"
    text.write_bytes(b"these are my notes, not a database\n" * 100)
    foreign = tmp_path / "foreign.db"
    with contextlib.closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE mine (x)")
    for path in (text, foreign):
        before = path.read_bytes()
        with pytest.raises(NotAStore):
            await open_sqlite(f"sqlite:///{path}")
        assert path.read_bytes() == before
    with pytest.raises(NotAStore):
        await open_sqlite(f"sqlite:///{tmp_path}")
    with pytest.raises(NotAStore):
        await open_sqlite(f"sqlite:///{tmp_path}/no/such/folder/team.db")
    assert sorted(os.listdir(tmp_path)) == ["foreign.db", "notes.txt"]


async def test_versions(tmp_path: Path) -> None:
    """A store names the oldest version that may read and write it; opening changes nothing."""
    path = tmp_path / "new.db"
    url = f"sqlite:///{path}"
    await (await open_sqlite(url)).close()

    def ask(key: str, version: int) -> None:
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE meta SET value = ? WHERE key = ?", (str(version), key))

    ask("min_writer", sqlite_schema.FORMAT + 1)
    store = await open_sqlite(url)
    with pytest.raises(VersionMismatch):
        await store.apply(changes("c1", Add(insight("a"))))
    assert (await store.view(TEAM)).position == 0
    await store.close()
    ask("min_reader", sqlite_schema.FORMAT + 1)
    with pytest.raises(VersionMismatch) as caught:
        await open_sqlite(url)
    assert isinstance(caught.value, StoreError)


async def test_file_is_private(tmp_path: Path) -> None:
    """The file and its log may be read by their owner alone."""
    store = await open_sqlite(f"sqlite:///{tmp_path}/team.db")
    await store.apply(changes("c1", Add(insight("a"))))
    modes = {name: stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in os.listdir(tmp_path)}
    await store.close()
    assert modes.keys() >= {"team.db", "team.db-wal"}
    assert set(modes.values()) == {0o600}


async def test_temporary_store_leaves_nothing() -> None:
    """A temporary store is gone when it is closed."""
    store = await open_sqlite("sqlite://")
    await store.apply(changes("c1", Add(insight("a"))))
    folder = store.path.parent
    await store.close()
    assert not folder.exists()


@pytest.mark.parametrize(
    "url",
    [
        "", "team.db", "sqlite", "sqlite:", "sqlite:/x.db", "sqlite:///", "sqlite:///a?b=c",
        "postgres://user:secret@host/db", "neo4j://user:secret@host", "bolt+s://u:secret@h",
        "user:secret@host", "secret",
    ],
)  # fmt: skip
async def test_wrong_urls(url: str) -> None:
    """A URL that names no store is refused without repeating what may be a password."""
    with pytest.raises(InvalidURL) as caught:
        await open_store(url)
    assert "sqlite://" in caught.value.message or "neo4j://" in caught.value.message
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(caught.value.facts)


async def test_open_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative URL names a file in the current folder; an absolute one any file."""
    monkeypatch.chdir(tmp_path)
    for url in ("sqlite:///here.db", f"sqlite:///{tmp_path}/there.db"):
        await (await open_store(url)).close()
    assert {"here.db", "there.db"} <= set(os.listdir(tmp_path))


async def test_crash_of_another_process_is_no_harm(tmp_path: Path) -> None:
    """A process that dies within a write leaves a store that opens, without that write."""
    path = tmp_path / "crash.db"
    await (await open_sqlite(f"sqlite:///{path}")).close()
    code = (
        "import os, sqlite3, sys\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('BEGIN IMMEDIATE')\n"
        "c.execute(\"INSERT INTO scopes (path) VALUES ('ghost')\")\n"
        "os._exit(9)\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(path))
    assert await process.wait() == 9
    store = await open_sqlite(f"sqlite:///{path}")
    assert (await store.apply(changes("c1", Add(insight("a"))))).position == 1
    assert (await store.statistics("ghost")).records == {}
    await store.close()


async def test_dump_is_of_one_instant(tmp_path: Path) -> None:
    """Rows that are written while a dump is read are not in it."""
    store = await open_sqlite(f"sqlite:///{tmp_path}/team.db")
    await store.apply(changes("c1", *(Add(insight(f"i{n:04}")) for n in range(1200))))
    rows: list[dict[str, Any]] = []
    async for row in store.dump(TEAM):
        if not rows:
            await store.apply(changes("c2", SetStatus("i1199", 1, Status.ARCHIVED)))
            await store.apply(changes("c3", Add(insight("late"))))
        rows.append(row)
    await store.close()
    records = [row for row in rows if row["row"] == "record"]
    assert len(records) == 1200
    assert {row["status"] for row in records} == {"active"}
    assert [row["id"] for row in rows if row["row"] == "journal"] == ["c1"]


async def test_a_writer_that_cannot_begin_is_told_to_who_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path, *, durable: bool, read_only: bool = False) -> sqlite3.Connection:
        if not read_only:
            raise sqlite3.OperationalError("unable to open database file")
        return sqlite_schema.connect(path, durable=durable, read_only=True)

    store = await open_sqlite(f"sqlite:///{tmp_path}/m.db")
    await store.close()
    monkeypatch.setattr("triforium.graph.sqlite.engine.connect", broken)
    with pytest.raises((StoreError, sqlite3.OperationalError)):
        await asyncio.wait_for(open_sqlite(f"sqlite:///{tmp_path}/m.db"), 10)
