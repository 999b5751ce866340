"""The threads of the SQLite store: one that writes, with group commit, and a few that read."""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from ...errors import Busy, InvalidInput, StoreClosed, TriforiumError
from .calls import Call, Pool
from .schema import check_version, connect, translated
from .write import head

Result = TypeVar("Result")
Clock = Callable[[], datetime]
READERS = 4
"""Threads that read."""
GROUP = 64
"""Changesets that are committed together at most."""
PENDING = 4096
"""Changesets, and questions, that may wait."""
CHECKPOINT_ROWS = 1000
"""So many rows are written, at most, before what the log holds is copied into the file."""
CHECKPOINT_GROUPS = 64
"""So many transactions, at most, before the same."""
LONGEST_LOG = 8192
"""Pages of the log from which the writer copies them itself, as nothing else keeps up."""
_TICK = timedelta(microseconds=1)
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class Transaction:
    """The writer's transaction: hands out positions and times."""

    def __init__(self, connection: sqlite3.Connection, clock: Clock) -> None:
        self.connection = connection
        self._clock = clock
        self.position, last = head(connection)
        self.last = datetime.fromisoformat(last) if last else _BEGINNING
        self._time = self.last

    def next_time(self) -> datetime:
        """The store's time: its clock, but always after the last changeset."""
        self._time = max(self._clock().astimezone(UTC), self.last + _TICK)
        return self._time

    def advance(self) -> None:
        """A changeset has taken the next position and time."""
        self.position += 1
        self.last = self._time


class Engine:
    """Runs jobs on a store's file, each inside one transaction, off the event loop.

    Args:
        path: The file; it has its tables already.
        durable: False for a temporary store, which need not survive a crash.
        clock: Gives the time in UTC.
    """

    def __init__(self, path: Path, *, durable: bool, clock: Clock) -> None:
        self.path = path
        self._durable = durable
        self._clock = clock
        self._closed = False
        self._finished = False
        self._closing = threading.Lock()
        self._released = threading.Event()
        self._jobs: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._readers = Pool(READERS, "triforium-reader")
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._writer: threading.Thread | None = None
        self._due = threading.Event()
        self._copier = threading.Thread(
            target=self._copy_forever, name="triforium-checkpoint", daemon=True
        )

    def start(self) -> None:
        """Start the writer; the readers start when they are needed. Blocks.

        The writer's connection is opened here, so that what fails is told to who opens the store.
        """
        connection = connect(self.path, durable=self._durable)
        connection.execute(f"PRAGMA wal_autocheckpoint = {LONGEST_LOG}")
        self._writer = threading.Thread(
            target=self._write_forever, args=(connection,), name="triforium-writer", daemon=True
        )
        self._writer.start()
        self._copier.start()

    def reader(self) -> sqlite3.Connection:
        """A new connection that may only read. Blocks."""
        return connect(self.path, durable=self._durable, read_only=True)

    async def read(self, job: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run a job on a reader thread, inside one snapshot."""

        def work() -> Result:
            connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
            if connection is None:
                connection = self.reader()
                self._local.connection = connection
                self._connections.append(connection)
            connection.execute("BEGIN")
            try:
                return job(connection)
            finally:
                connection.execute("ROLLBACK")

        return await self.on_reader(work)

    async def on_reader(self, job: Callable[[], Result]) -> Result:
        """Run a job on a reader thread, with errors in our own words."""

        def work() -> Result:
            try:
                return job()
            except sqlite3.DatabaseError as error:
                raise translated(error, self.path) from error
            except UnicodeEncodeError as error:
                raise InvalidInput(f"The question is no Unicode text: {error}.") from error

        with self._closing:
            if self._closed:
                raise self._closed_error()
            if self._readers.waiting() >= PENDING:
                raise Busy(f"{PENDING} questions wait for the store already. Slow down.")
            call = Call(work)
            self._readers.submit(call)
        answer: Result = await call.future
        return answer

    async def write(self, job: Callable[[Transaction], Result]) -> Result:
        """Hand a job to the writer. Cancelling the await does not stop the job."""
        with self._closing:
            if self._closed:
                raise self._closed_error()
            if self._jobs.qsize() >= PENDING:
                raise Busy(
                    f"{PENDING} changesets wait for the writer already. Slow down, then try again."
                )
            call = Call(job)
            self._jobs.put(call)
        answer: Result = await call.future
        return answer

    def _write_forever(self, connection: sqlite3.Connection) -> None:
        copied = groups = 0
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
                groups += 1
                rows = connection.total_changes - copied
                if rows >= CHECKPOINT_ROWS or groups >= CHECKPOINT_GROUPS:
                    copied, groups = connection.total_changes, 0
                    self._due.set()
                if last:
                    break
        finally:
            connection.close()

    def _copy_forever(self) -> None:
        """Copy the log into the file beside the writer, so that no changeset waits for it."""
        connection: sqlite3.Connection | None = None
        try:
            while True:
                self._due.wait()
                # Cleared before it is looked whether this is the end: that may be set in between.
                self._due.clear()
                if self._finished:
                    break
                # What cannot be copied now is copied the next time, or by the writer.
                with suppress(sqlite3.DatabaseError):
                    connection = connection or connect(self.path, durable=self._durable)
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        finally:
            if connection is not None:
                connection.close()

    def _write_group(self, connection: sqlite3.Connection, group: list[Call]) -> None:
        """Run jobs in one transaction, each in a savepoint; answer only after the commit.

        A job on its own needs no savepoint, for which SQLite keeps every page as it was.
        """
        alone = len(group) == 1
        answers: list[tuple[Call, Any, BaseException | None]] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            check_version(connection, self.path, "min_writer")
            transaction = Transaction(connection, self._clock)
            for call in group:
                if not alone:
                    connection.execute("SAVEPOINT one")
                before = (transaction.position, transaction.last)
                try:
                    answers.append((call, call.job(transaction), None))
                except Exception as error:
                    # SQLite ends the whole transaction itself when, say, the disk is full.
                    if not connection.in_transaction:
                        raise
                    connection.execute("ROLLBACK" if alone else "ROLLBACK TO one")
                    transaction.position, transaction.last = before
                    answers.append((call, None, _as_ours(error, self.path)))
                if not alone:
                    connection.execute("RELEASE one")
            if connection.in_transaction:
                connection.execute("COMMIT")
        except BaseException as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            failure = (
                translated(error, self.path) if isinstance(error, sqlite3.DatabaseError) else error
            )
            for call in group:
                call.answer(None, failure)
            return
        for call, result, problem in answers:
            call.answer(result, problem)

    def _closed_error(self) -> StoreClosed:
        return StoreClosed("The store is closed. Use it inside its `async with` block.")

    def close(self) -> None:
        """Finish what was accepted, then release everything. Blocks; twice is fine."""
        with self._closing:
            first, self._closed = not self._closed, True
        if not first:
            self._released.wait()
            return
        try:
            self._jobs.put(None)
            if self._writer is not None:
                self._writer.join()
            self._finished = True
            self._due.set()
            self._copier.join()
            self._readers.close()
            for connection in self._connections:
                connection.close()
            self._connections.clear()
        finally:
            self._released.set()


def _as_ours(error: Exception, path: Path) -> Exception:
    if isinstance(error, TriforiumError):
        return error
    # What SQLite cannot bind is the caller's: text that is no Unicode, numbers out of range.
    bad_value = (sqlite3.InterfaceError, sqlite3.ProgrammingError, sqlite3.DataError)
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, bad_value):
        return translated(error, path)
    if isinstance(error, (ValueError, TypeError, OverflowError, RecursionError, sqlite3.Error)):
        return InvalidInput(f"The changeset cannot be stored: {error}.")
    return error
