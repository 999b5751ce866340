"""The SQLite store: one writer thread with group commit, reader threads, one file.

Any number of processes of one host may open the same file; a network file system will not do.
"""

from __future__ import annotations

import asyncio
import json
import queue
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import Busy, Conflict, InvalidInput, StoreClosed, TriforiumError
from .changes import Changeset, op_from_json
from .ids import JSON, canonical
from .records import Record, Tier
from .scopes import check_scope, visible_scopes
from .sqlite_dump import Cursor, dump_rows, restore_rows
from .sqlite_read import Lens, Reader
from .sqlite_schema import connect, create_or_check, path_of, translated
from .sqlite_vectors import VectorIndex
from .sqlite_write import Application, index_token, scope_number, store_vectors
from .store import (
    SEARCHABLE,
    Applied,
    Candidates,
    Filter,
    Hit,
    Hop,
    JournalEntry,
    Statistics,
    StoredEffect,
    StoredReceipt,
    Vectors,
    Walk,
)
from .text import terms

Result = TypeVar("Result")
Clock = Callable[[], datetime]
READERS = 4
"""Threads that read."""
GROUP = 64
"""Changesets that are committed together at most."""
PENDING = 4096
"""Changesets that may wait for the writer."""
_TICK = timedelta(microseconds=1)
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def _now() -> datetime:
    return datetime.now(UTC)


async def open_sqlite(url: str, *, clock: Clock = _now) -> SQLiteStore:
    """Open the store of a ``sqlite:`` URL, or make it.

    Args:
        url: ``sqlite:///relative.db``, ``sqlite:////absolute.db``, or ``sqlite://`` for a store
            in a temporary file that is deleted when it is closed.
        clock: Gives the time in UTC.

    Raises:
        InvalidURL: The URL is of another form.
        NotAStore: There is something else, or the file cannot be opened.
        VersionMismatch: A newer version wrote it.
        Busy: Another process holds it for too long.
    """
    path = path_of(url)
    return await asyncio.to_thread(SQLiteStore, path, url, clock)


class SQLiteStore:
    """A `Store` in one SQLite file. Made by `open_sqlite`."""

    def __init__(self, path: Path | None, url: str, clock: Clock = _now) -> None:
        """Open the file and start the threads; blocks."""
        self._folder: str | None = None
        if path is None:
            self._folder = tempfile.mkdtemp(prefix="triforium-")
            path = Path(self._folder) / "memory.db"
        self.path = path
        self._url = url
        self._clock = clock
        self._durable = self._folder is None
        try:
            create_or_check(path, durable=self._durable)
        except BaseException:
            self._remove_folder()
            raise
        self._closed = False
        self._closing = threading.Lock()
        self._vectors = VectorIndex()
        self._embedder = ""
        self._jobs: queue.Queue[tuple[Callable[[_Transaction], Any], Future[Any]] | None] = (
            queue.Queue(PENDING)
        )
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="triforium-reader")
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._writer = threading.Thread(
            target=self._write_forever, name="triforium-writer", daemon=True
        )
        self._writer.start()
        self._embedder = self._read_embedder()

    @property
    def url(self) -> str:
        """Where it is."""
        return self._url

    @property
    def embedder(self) -> str:
        """Fingerprint of the embedder whose vectors it holds."""
        return self._embedder

    def _read_embedder(self) -> str:
        connection = connect(self.path, durable=self._durable, read_only=True)
        try:
            row = connection.execute("SELECT value FROM meta WHERE key = 'embedder'").fetchone()
            return "" if row is None else str(row[0])
        finally:
            connection.close()

    # --- threads ------------------------------------------------------------------------------

    async def _read(self, job: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run a job on a reader thread, inside one snapshot."""

        def work() -> Result:
            connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
            if connection is None:
                connection = connect(self.path, durable=self._durable, read_only=True)
                self._local.connection = connection
                self._connections.append(connection)
            connection.execute("BEGIN")
            try:
                return job(connection)
            except sqlite3.DatabaseError as error:
                raise translated(error, self.path) from error
            finally:
                connection.execute("COMMIT")

        if self._closed:
            raise self._closed_error()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, work)
        except RuntimeError as error:
            if self._closed:
                raise self._closed_error() from error
            raise

    async def _write(self, job: Callable[[_Transaction], Result]) -> Result:
        """Hand a job to the writer. Cancelling the await does not stop the job."""
        future: Future[Result] = Future()
        with self._closing:
            if self._closed:
                raise self._closed_error()
            try:
                self._jobs.put_nowait((job, future))
            except queue.Full:
                raise Busy(
                    f"{PENDING} changesets wait for the writer already. Slow down, then try again."
                ) from None
        return await asyncio.shield(asyncio.wrap_future(future))

    def _write_forever(self) -> None:
        connection = connect(self.path, durable=self._durable)
        try:
            while (first := self._jobs.get()) is not None:
                group = [first]
                last = False
                while len(group) < GROUP:
                    try:
                        more = self._jobs.get_nowait()
                    except queue.Empty:
                        break
                    if more is None:
                        last = True
                        break
                    group.append(more)
                self._write_group(connection, group)
                if last:
                    break
        finally:
            connection.close()

    def _write_group(
        self,
        connection: sqlite3.Connection,
        group: list[tuple[Callable[[_Transaction], Any], Future[Any]]],
    ) -> None:
        """Run jobs in one transaction, each in a savepoint; answer only after the commit."""
        answers: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            transaction = _Transaction(connection, self._clock)
            for job, future in group:
                connection.execute("SAVEPOINT one")
                before = (transaction.position, transaction.last)
                try:
                    answers.append((future, job(transaction), None))
                except (TriforiumError, ValueError, TypeError, sqlite3.IntegrityError) as error:
                    connection.execute("ROLLBACK TO one")
                    transaction.position, transaction.last = before
                    answers.append((future, None, _as_ours(error)))
                connection.execute("RELEASE one")
            connection.execute("COMMIT")
        except BaseException as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            failure = (
                translated(error, self.path) if isinstance(error, sqlite3.DatabaseError) else error
            )
            for _, future in group:
                future.set_exception(failure)
            return
        for future, result, problem in answers:
            if problem is None:
                future.set_result(result)
            else:
                future.set_exception(problem)

    def _closed_error(self) -> StoreClosed:
        return StoreClosed("The store is closed. Use it inside its `async with` block.")

    async def close(self) -> None:
        """Finish what was accepted, then release everything."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        await asyncio.to_thread(self._shut_down)

    def _shut_down(self) -> None:
        self._jobs.put(None)
        self._writer.join()
        self._readers.shutdown(wait=True)
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        self._remove_folder()

    def _remove_folder(self) -> None:
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
        try:
            digest = changeset.content_hash()
        except (TypeError, ValueError) as error:
            raise InvalidInput(
                f"The changeset {changeset.id!r} holds data that is not plain JSON: {error}.",
                id=changeset.id,
            ) from error

        def job(transaction: _Transaction) -> Applied:
            connection = transaction.connection
            application = Application(
                connection, changeset, transaction.position + 1, transaction.next_time()
            )
            done = application.already(digest)
            if done is not None:
                return done
            if not changeset.ops:
                return Applied(transaction.position)
            application.apply(digest)
            transaction.advance()
            if vectors:
                store_vectors(connection, application.added, vectors, embedder)
            return Applied(transaction.position)

        applied = await self._write(job)
        if vectors and not self._embedder:
            self._embedder = await self._read(
                lambda connection: str(_meta(connection).get("embedder", ""))
            )
        return applied

    async def put_receipt(self, receipt: StoredReceipt) -> StoredReceipt:
        """Keep a receipt; the first under this id wins."""
        check_scope(receipt.scope)
        body = canonical(dict(receipt.body))

        def job(transaction: _Transaction) -> StoredReceipt:
            connection = transaction.connection
            connection.execute(
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
                    transaction.next_time().isoformat(),
                    body,
                ),
            )
            row = connection.execute(f"{_RECEIPT} WHERE t.id = ?", (receipt.id,)).fetchone()
            if row[1] != receipt.scope:
                raise Conflict(f"The receipt id {receipt.id!r} is taken.", id=receipt.id)
            return _receipt(row)

        return await self._write(job)

    async def begin_effect(self, effect: StoredEffect) -> StoredEffect | None:
        """Note the intent; returns what an earlier attempt left under the key."""
        check_scope(effect.scope)

        def job(transaction: _Transaction) -> StoredEffect | None:
            connection = transaction.connection
            row = connection.execute(
                "SELECT e.key, s.path, e.request, e.done, e.result FROM effects e "
                "JOIN scopes s ON s.n = e.scope WHERE e.key = ?",
                (effect.key,),
            ).fetchone()
            if row is None:
                connection.execute(
                    "INSERT INTO effects VALUES (?, ?, ?, 0, NULL)",
                    (effect.key, scope_number(connection, effect.scope), effect.request),
                )
                return None
            if row[1] != effect.scope:
                raise Conflict(f"The effect key {effect.key!r} is taken.", key=effect.key)
            return StoredEffect(
                key=row[0],
                scope=row[1],
                request=row[2],
                done=bool(row[3]),
                result=None if row[4] is None else json.loads(row[4]),
            )

        return await self._write(job)

    async def finish_effect(self, effect: StoredEffect) -> None:
        """Note the result."""
        result = canonical(effect.result)

        def job(transaction: _Transaction) -> None:
            connection = transaction.connection
            changed = connection.execute(
                "UPDATE effects SET done = 1, result = ? WHERE key = ? AND scope = ?",
                (result, effect.key, scope_number(connection, effect.scope)),
            ).rowcount
            if not changed:
                raise InvalidInput(f"The effect {effect.key!r} was never begun.", key=effect.key)

        await self._write(job)

    # --- reading ------------------------------------------------------------------------------

    async def view(
        self, scope: str, *, run: str = "", at: int | datetime | None = None
    ) -> SQLiteView:
        """A View of a scope, now or as of an earlier position or system time."""
        paths = visible_scopes(scope)

        def job(connection: sqlite3.Connection) -> Lens:
            present = _position(connection)
            position = present
            if isinstance(at, datetime):
                row = connection.execute(
                    "SELECT max(position) FROM journal WHERE created_at <= ?",
                    (at.astimezone(UTC).isoformat(timespec="microseconds"),),
                ).fetchone()
                position = row[0] or 0
            elif at is not None:
                position = min(max(int(at), 0), present)
            return Lens(_scope_numbers(connection, paths), position, run, position < present)

        return SQLiteView(self, scope, await self._read(job))

    async def receipts(
        self,
        scope: str,
        *,
        ids: Sequence[str] = (),
        run: str = "",
        trial: str = "",
        limit: int = 1000,
    ) -> tuple[StoredReceipt, ...]:
        """Visible receipts, oldest first."""
        paths = visible_scopes(scope)
        conditions = ["s.path IN (SELECT value FROM json_each(?))"]
        parameters: list[Any] = [json.dumps(paths)]
        for condition, value in (
            ("t.id IN (SELECT value FROM json_each(?))", json.dumps(list(ids)) if ids else ""),
            ("t.run = ?", run),
            ("t.trial = ?", trial),
        ):
            if value:
                conditions.append(condition)
                parameters.append(value)
        sql = f"{_RECEIPT} WHERE {' AND '.join(conditions)} ORDER BY t.n LIMIT ?"

        def job(connection: sqlite3.Connection) -> tuple[StoredReceipt, ...]:
            return tuple(_receipt(row) for row in connection.execute(sql, (*parameters, limit)))

        return await self._read(job)

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
            return tuple(_entry(row) for row in rows)

        return await self._read(job)

    async def statistics(self, scope: str) -> Statistics:
        """Counts of what the scope sees (everything for "")."""
        paths = visible_scopes(scope) if scope else None

        def job(connection: sqlite3.Connection) -> Statistics:
            return _statistics(connection, paths, self._embedder, self.path.stat().st_size)

        return await self._read(job)

    async def dump(self, scope: str) -> AsyncIterator[dict[str, JSON]]:
        """All that the scope sees as plain JSON rows (everything for "")."""
        paths = visible_scopes(scope) if scope else None
        cursor: Cursor | None = None
        while True:
            rows, cursor = await self._read(partial(dump_rows, paths=paths, cursor=cursor))
            for row in rows:
                yield row
            if cursor is None:
                return

    async def restore(self, rows: AsyncIterator[Mapping[str, Any]]) -> int:
        """Fill an empty store from `dump` in one transaction."""
        collected = [row async for row in rows]

        def job(transaction: _Transaction) -> int:
            if transaction.position:
                raise InvalidInput("The store is not empty; import into a new one.")
            return restore_rows(transaction.connection, collected)

        count = await self._write(job)
        self._embedder = await self._read(
            lambda connection: str(_meta(connection).get("embedder", ""))
        )
        return count


class SQLiteView:
    """A `View` of a `SQLiteStore`."""

    def __init__(self, store: SQLiteStore, scope: str, lens: Lens) -> None:
        self._store = store
        self._scope = scope
        self._lens = lens

    @property
    def scope(self) -> str:
        """The reader's scope."""
        return self._scope

    @property
    def position(self) -> int:
        """The journal position."""
        return self._lens.position

    async def search(
        self,
        texts: Sequence[str],
        vectors: Vectors | None = None,
        *,
        tiers: frozenset[Tier] = SEARCHABLE,
        k: int = 32,
        where: Filter = Filter(),
    ) -> Candidates:
        """Candidates for any of the texts and vectors; see `View.search`."""
        tokens = {term: index_token(term) for text in texts for term in terms(text)}
        lens = self._lens
        chosen = tiers & SEARCHABLE

        def job(connection: sqlite3.Connection) -> Candidates:
            reader = Reader(connection, lens)
            statistics = reader.statistics(chosen, texts, tokens)
            found: dict[int, Record] = {}
            if not lens.scopes or not chosen:
                return Candidates((), statistics)
            for text in texts:
                found |= reader.lexical(text, statistics, tokens, chosen, k, where)
            index = self._store._vectors
            queries = None
            if vectors is not None and len(vectors):
                index.refresh(connection)
                if vectors.shape[1] == index.width:
                    queries = np.ascontiguousarray(vectors, np.float32)
            if queries is not None:
                found |= index.nearest(queries, lens.scopes, chosen, k, found, reader, where)
            hits = [
                Hit(record, () if queries is None else index.cosines(number, queries))
                for number, record in found.items()
            ]
            hits.sort(key=lambda hit: hit.record.id)
            return Candidates(tuple(hits), statistics)

        return await self._store._read(job)

    async def recent(
        self, *, tiers: frozenset[Tier], k: int, where: Filter = Filter()
    ) -> tuple[Record, ...]:
        """The k last added records, newest first."""
        return await self._store._read(
            lambda connection: tuple(Reader(connection, self._lens).recent(tiers, k, where))
        )

    async def walk(self, seeds: Sequence[str], hops: Sequence[Hop]) -> Walk:
        """Follow links from the seeds, level by level."""
        return await self._store._read(
            lambda connection: Reader(connection, self._lens).walk(seeds, hops)
        )

    async def get(self, ids: Sequence[str]) -> Mapping[str, Record]:
        """The visible records among `ids`, of any status."""
        if not ids:
            return {}
        found = await self._store._read(
            lambda connection: Reader(connection, self._lens).by_ids(ids)
        )
        return {record.id: record for record in found.values()}


class _Transaction:
    """The writer's transaction: hands out positions and times."""

    def __init__(self, connection: sqlite3.Connection, clock: Clock) -> None:
        self.connection = connection
        self._clock = clock
        row = connection.execute(
            "SELECT position, created_at FROM journal ORDER BY position DESC LIMIT 1"
        ).fetchone()
        self.position: int = 0 if row is None else row[0]
        self.last = _BEGINNING if row is None else datetime.fromisoformat(row[1])
        self._time = self.last

    def next_time(self) -> datetime:
        """The store's time: its clock, but always after the last changeset."""
        now = self._clock().astimezone(UTC)
        # Microseconds are always written, so that times compare as text.
        self._time = max(now, self.last + _TICK)
        if self._time.microsecond == 0:
            self._time += _TICK
        return self._time

    def advance(self) -> None:
        """A changeset has taken the next position and time."""
        self.position += 1
        self.last = self._time


def _as_ours(error: BaseException) -> BaseException:
    if isinstance(error, TriforiumError):
        return error
    return InvalidInput(f"The changeset cannot be stored: {error}.")


def _position(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT coalesce(max(position), 0) FROM journal").fetchone()[0])


def _scope_numbers(connection: sqlite3.Connection, paths: Sequence[str]) -> tuple[int, ...]:
    rows = connection.execute(
        "SELECT n FROM scopes WHERE path IN (SELECT value FROM json_each(?))",
        (json.dumps(list(paths)),),
    )
    return tuple(row[0] for row in rows)


def _meta(connection: sqlite3.Connection) -> dict[str, str]:
    return dict(connection.execute("SELECT key, value FROM meta"))


_RECEIPT = (
    "SELECT t.id, s.path, t.run, t.trial, t.role, t.position, t.created_at, t.body "
    "FROM receipts t JOIN scopes s ON s.n = t.scope"
)


def _receipt(row: Sequence[Any]) -> StoredReceipt:
    return StoredReceipt(
        id=row[0],
        scope=row[1],
        run=row[2],
        trial=row[3],
        role=row[4],
        position=row[5],
        created_at=datetime.fromisoformat(row[6]),
        body=json.loads(row[7]),
    )


def _entry(row: Sequence[Any]) -> JournalEntry:
    return JournalEntry(
        position=row[0],
        changeset=Changeset(
            id=row[1],
            scope=row[2],
            actor=row[3],
            reason=row[4],
            base=row[5],
            ops=tuple(op_from_json(op) for op in json.loads(row[7])),
        ),
        created_at=datetime.fromisoformat(row[6]),
        before=tuple(json.loads(row[8])),
    )


def _statistics(
    connection: sqlite3.Connection, paths: Sequence[str] | None, embedder: str, size: int
) -> Statistics:
    if paths is None:
        scopes = json.dumps([row[0] for row in connection.execute("SELECT n FROM scopes")])
    else:
        scopes = json.dumps(_scope_numbers(connection, paths))
    visible = "scope IN (SELECT value FROM json_each(?)) AND expired IS NULL"

    def counts(sql: str, *parameters: str) -> dict[str, int]:
        return dict(connection.execute(sql, parameters).fetchall())

    return Statistics(
        position=_position(connection),
        records=counts(
            "SELECT tier || '/' || kind, count(*) FROM records "
            f"WHERE {visible} GROUP BY tier, kind ORDER BY 1",
            scopes,
        ),
        statuses=counts(
            f"SELECT status, count(*) FROM records WHERE {visible} GROUP BY status", scopes
        ),
        outcomes=counts(
            "SELECT coalesce(json_extract(outcome, '$.kind'), 'open'), count(*) FROM records "
            f"WHERE {visible} AND tier = 'query' GROUP BY 1",
            scopes,
        ),
        links=counts(
            "SELECT l.type, count(*) FROM links l JOIN records a ON a.n = l.src "
            "JOIN records b ON b.n = l.dst WHERE l.expired IS NULL "
            "AND a.scope IN (SELECT value FROM json_each(?1)) "
            "AND b.scope IN (SELECT value FROM json_each(?1)) GROUP BY l.type",
            scopes,
        ),
        receipts=connection.execute(
            "SELECT count(*) FROM receipts WHERE scope IN (SELECT value FROM json_each(?))",
            (scopes,),
        ).fetchone()[0],
        embedder=embedder,
        bytes=size,
    )
