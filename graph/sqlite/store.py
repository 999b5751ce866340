"""The SQLite store: one writer thread with group commit, reader threads, one file.

Any number of processes of one host may open the same file; a network file system will not do.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import IdConflict, InvalidInput, NotFound
from ..application import content_of, needs, plan, stamp
from ..changes import Changeset
from ..ids import JSON, canonical
from ..scopes import check_scope, visible_scopes
from ..store import Applied, JournalEntry, Statistics, StoredEffect, StoredReceipt, named
from ..stored import entry_of, receipt_of
from .cache import RecordCache
from .dump import abandon_copy, add_rows, begin_copy, check_finished, dump_rows, finish_copy
from .engine import Clock, Engine, Transaction
from .index import store_vectors
from .read import Lens
from .replica import LARGEST, TableReplica, TableVectors
from .rows import (
    RECEIPT,
    embedder_of,
    position_of,
    scope_numbers,
    statistics_of,
)
from .schema import create_or_check, path_of
from .view import SQLiteView
from .write import already, load, scope_number, write

CHUNK = 512
"""Rows of a dump that are read at once."""


def _now() -> datetime:
    return datetime.now(UTC)


async def open_sqlite(url: str, *, clock: Clock = _now, kept: int = LARGEST) -> SQLiteStore:
    """Open the store of a ``sqlite:`` URL, or make it.

    Args:
        url: ``sqlite:///relative.db``, ``sqlite:////absolute.db``, or ``sqlite://`` for a store
            in a temporary file that is deleted when it is closed.
        clock: Gives the time in UTC.
        kept: So many trials and insights are kept in memory at most; a store with more is read
            from its tables.

    Raises:
        InvalidURL: The URL is of another form.
        NotAStore: There is something else, or the file cannot be opened.
        VersionMismatch: A newer version wrote it.
        Busy: Another process holds it for too long.
    """
    return await asyncio.to_thread(_open, url, clock, kept)


def _open(url: str, clock: Clock, kept: int) -> SQLiteStore:
    path = path_of(url)
    folder = tempfile.mkdtemp(prefix="triforium-") if path is None else None
    try:
        path = path or Path(str(folder), "memory.db")
        create_or_check(path, durable=folder is None)
        engine = Engine(path, durable=folder is None, clock=clock)
        connection = engine.reader()
        try:
            embedder = embedder_of(connection)
        finally:
            connection.close()
        engine.start()
    except BaseException:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return SQLiteStore(engine, url, embedder, folder, kept=kept)


class SQLiteStore:
    """A `Store` in one SQLite file. Made by `open_sqlite`."""

    def __init__(
        self, engine: Engine, url: str, embedder: str, folder: str | None, *, kept: int = LARGEST
    ) -> None:
        self._engine = engine
        self._url = url
        self._embedder = embedder
        self._folder = folder
        self._vectors = TableVectors()
        self._replica = TableReplica(kept)
        self._cache = RecordCache()

    @property
    def path(self) -> Path:
        """The file."""
        return self._engine.path

    @property
    def url(self) -> str:
        """Where it is."""
        return self._url

    @property
    def embedder(self) -> str:
        """Fingerprint of the embedder whose vectors it holds."""
        return self._embedder

    async def close(self) -> None:
        """Finish what was accepted, then release everything."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._engine.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    # --- writing ------------------------------------------------------------------------------

    async def apply(
        self,
        changeset: Changeset,
        *,
        vectors: Mapping[str, NDArray[np.float32]] | None = None,
        embedder: str = "",
    ) -> Applied:
        """Apply a changeset, all of it or nothing; see `Store.apply`."""
        check_scope(changeset.scope)

        def job(transaction: Transaction) -> Applied:
            connection = transaction.connection
            if not changeset.ops:
                return Applied(transaction.position)
            check_finished(connection)
            content = content_of(changeset)
            done = already(connection, changeset, content[1])
            if done is not None:
                return done
            loaded = load(connection, needs(changeset))
            writes = plan(
                loaded.state,
                changeset,
                content,
                transaction.position + 1,
                transaction.next_time(),
            )
            places = write(connection, writes, loaded.numbers)
            transaction.advance()
            if vectors:
                store_vectors(connection, places, vectors, embedder, transaction.position)
            return Applied(transaction.position)

        applied = await self._engine.write(job)
        if vectors and not self._embedder:
            self._embedder = await self._engine.read(embedder_of)
        return applied

    async def put_receipt(self, receipt: StoredReceipt) -> StoredReceipt:
        """Keep a receipt; the first under this id wins."""
        check_scope(receipt.scope)
        body = canonical(dict(receipt.body))

        def job(transaction: Transaction) -> StoredReceipt:
            connection = transaction.connection
            created = stamp(transaction.next_time())
            inserted = connection.execute(
                "INSERT OR IGNORE INTO receipts "
                "(id, scope, run, trial, role, position, created_at, body) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    receipt.id,
                    scope_number(connection, receipt.scope),
                    receipt.run,
                    receipt.trial,
                    receipt.role,
                    receipt.position,
                    created,
                    body,
                ),
            ).rowcount
            if inserted:
                return replace(receipt, created_at=datetime.fromisoformat(created))
            row = connection.execute(f"{RECEIPT} WHERE t.id = ?", (receipt.id,)).fetchone()
            if row[1] != receipt.scope:
                raise IdConflict(f"The receipt id {receipt.id!r} is taken.", id=receipt.id)
            return receipt_of(row)

        return await self._engine.write(job)

    async def begin_effect(self, effect: StoredEffect) -> StoredEffect | None:
        """Note the intent; returns what an earlier attempt left under the key."""
        check_scope(effect.scope)

        def job(transaction: Transaction) -> StoredEffect | None:
            connection = transaction.connection
            row = connection.execute(
                "SELECT e.key, s.path, e.request, e.done, e.result FROM effects e "
                "JOIN scopes s ON s.n = e.scope WHERE e.key = ? AND s.path = ?",
                (effect.key, effect.scope),
            ).fetchone()
            if row is None:
                connection.execute(
                    "INSERT INTO effects VALUES (?, ?, ?, 0, NULL)",
                    (scope_number(connection, effect.scope), effect.key, effect.request),
                )
                return None
            return StoredEffect(
                key=row[0],
                scope=row[1],
                request=row[2],
                done=bool(row[3]),
                result=None if row[4] is None else json.loads(row[4]),
            )

        return await self._engine.write(job)

    async def finish_effect(self, effect: StoredEffect) -> None:
        """Note the result."""
        result = canonical(effect.result)

        def job(transaction: Transaction) -> None:
            connection = transaction.connection
            changed = connection.execute(
                "UPDATE effects SET done = 1, result = ? WHERE key = ? AND scope = ?",
                (result, effect.key, scope_number(connection, effect.scope)),
            ).rowcount
            if not changed:
                raise NotFound(
                    f"The effect {effect.key!r} was never begun; begin it first.", key=effect.key
                )

        await self._engine.write(job)

    # --- reading ------------------------------------------------------------------------------

    async def view(
        self, scope: str, *, run: str = "", at: int | datetime | None = None
    ) -> SQLiteView:
        """A View of a scope, now or as of an earlier position or system time."""
        paths = visible_scopes(scope)
        moment = stamp(at) if isinstance(at, datetime) else ""

        def job(connection: sqlite3.Connection) -> Lens:
            check_finished(connection)
            present = position_of(connection)
            position = present
            if isinstance(at, datetime):
                row = connection.execute(
                    "SELECT max(position) FROM journal WHERE created_at <= ?",
                    (moment,),
                ).fetchone()
                position = row[0] or 0
            elif at is not None:
                position = min(max(int(at), 0), present)
            self._embedder = embedder_of(connection)
            return Lens(scope_numbers(connection, paths), position, run, position < present)

        return SQLiteView(
            self._engine,
            self._vectors,
            self._cache,
            self._replica,
            scope,
            await self._engine.read(job),
        )

    async def receipts(
        self,
        scope: str,
        *,
        ids: Sequence[str] = (),
        run: str = "",
        trial: str = "",
        record: str = "",
        limit: int = 1000,
        newest: bool = False,
    ) -> tuple[StoredReceipt, ...]:
        """Visible receipts, oldest first, or newest first."""
        paths = visible_scopes(scope)
        conditions = ["s.path IN (SELECT value FROM json_each(?))"]
        parameters: list[Any] = [json.dumps(paths)]
        for condition, value in (
            ("t.id IN (SELECT value FROM json_each(?))", json.dumps(list(ids)) if ids else ""),
            ("t.run = ?", run),
            ("t.trial = ?", trial),
            ("instr(t.body, ?) > 0", named(record)),
        ):
            if value:
                conditions.append(condition)
                parameters.append(value)
        order = "t.n DESC" if newest else "t.n"
        sql = f"{RECEIPT} WHERE {' AND '.join(conditions)} ORDER BY {order} LIMIT ?"

        def job(connection: sqlite3.Connection) -> tuple[StoredReceipt, ...]:
            return tuple(receipt_of(row) for row in connection.execute(sql, (*parameters, limit)))

        return await self._engine.read(job)

    async def journal(
        self, scope: str, *, after: int = 0, limit: int = 1000
    ) -> tuple[JournalEntry, ...]:
        """Applied changesets of visible scopes (all for ""), in order."""
        paths = visible_scopes(scope) if scope else None

        def job(connection: sqlite3.Connection) -> tuple[JournalEntry, ...]:
            rows = connection.execute(
                "SELECT j.position, j.id, s.path, j.actor, j.reason, j.base, j.created_at, j.ops, "
                "j.before FROM journal j JOIN scopes s ON s.n = j.scope WHERE j.position > ? "
                "AND (? IS NULL OR s.path IN (SELECT value FROM json_each(?))) "
                "ORDER BY j.position LIMIT ?",
                (after, paths and "some", json.dumps(paths or ()), limit),
            )
            return tuple(entry_of(row) for row in rows)

        return await self._engine.read(job)

    async def statistics(self, scope: str) -> Statistics:
        """Counts of what the scope sees (everything for "")."""
        paths = visible_scopes(scope) if scope else None

        def job(connection: sqlite3.Connection) -> Statistics:
            return statistics_of(connection, paths, self._embedder, self.path.stat().st_size)

        return await self._engine.read(job)

    async def dump(self, scope: str) -> AsyncIterator[dict[str, JSON]]:
        """All that the scope sees as plain JSON rows (everything for "").

        The rows are of one instant: a snapshot is held until the last one was taken.
        """
        paths = visible_scopes(scope) if scope else None
        source = await self._engine.on_reader(lambda: self._snapshot(paths))
        try:
            while rows := await self._engine.on_reader(lambda: list(islice(source.rows, CHUNK))):
                for row in rows:
                    yield row
        finally:
            source.connection.close()

    def _snapshot(self, paths: Sequence[str] | None) -> _Snapshot:
        connection = self._engine.reader()
        connection.execute("BEGIN")
        return _Snapshot(connection, dump_rows(connection, paths))

    async def restore(self, rows: AsyncIterator[Mapping[str, Any]]) -> int:
        """Fill an empty store from `dump` in one transaction."""
        collected = [row async for row in rows]

        def job(transaction: Transaction) -> int:
            first = collected[0] if collected else {}
            if begin_copy(transaction.connection, first):
                raise InvalidInput("A copy into this store was not finished; go on with it.")
            add_rows(transaction.connection, collected[1:], 0)
            finish_copy(transaction.connection, first)
            return len(collected) - 1

        count = await self._engine.write(job)
        self._embedder = await self._engine.read(embedder_of)
        return count

    async def begin_copy(self, header: Mapping[str, Any]) -> int:
        """Take the header of a dump; returns how many rows were taken before."""
        return await self._engine.write(lambda job: begin_copy(job.connection, header))

    async def add_rows(self, rows: Sequence[Mapping[str, Any]], start: int) -> None:
        """Take some rows of a dump in one transaction."""
        await self._engine.write(lambda job: add_rows(job.connection, rows, start))

    async def finish_copy(self, header: Mapping[str, Any]) -> None:
        """All rows were taken: the store may be used."""
        await self._engine.write(lambda job: finish_copy(job.connection, header))
        self._embedder = await self._engine.read(embedder_of)

    async def abandon_copy(self) -> None:
        """Empty a store whose copy was not finished."""
        await self._engine.write(lambda job: abandon_copy(job.connection))
        self._cache.clear()
        self._vectors = TableVectors()
        self._replica.forget()


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """The rows of a dump, and the connection that holds them still."""

    connection: sqlite3.Connection
    rows: Iterator[dict[str, JSON]]
