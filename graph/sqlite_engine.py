"""The threads of the SQLite store: one that writes, with group commit, and a few that read."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from ..errors import Busy, InvalidInput, StoreClosed, TriforiumError
from .sqlite_schema import check_version, connect, translated
from .sqlite_write import head

Result = TypeVar("Result")
Clock = Callable[[], datetime]
READERS = 4
"""Threads that read."""
GROUP = 64
"""Changesets that are committed together at most."""
PENDING = 4096
"""Changesets, and questions, that may wait."""
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
        self._closing = threading.Lock()
        self._released = threading.Event()
        self._jobs: queue.Queue[tuple[Callable[[Transaction], Any], Future[Any]] | None] = (
            queue.Queue(PENDING)
        )
        self._questions = threading.BoundedSemaphore(PENDING)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="triforium-reader")
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._writer = threading.Thread(
            target=self._write_forever, name="triforium-writer", daemon=True
        )

    def start(self) -> None:
        """Start the writer; the readers start when they are needed."""
        self._writer.start()

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
            if not self._questions.acquire(blocking=False):
                raise Busy(f"{PENDING} questions wait for the store already. Slow down.")
            future = self._readers.submit(work)
        future.add_done_callback(lambda _: self._questions.release())
        return await asyncio.wrap_future(future)

    async def write(self, job: Callable[[Transaction], Result]) -> Result:
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
        group: list[tuple[Callable[[Transaction], Any], Future[Any]]],
    ) -> None:
        """Run jobs in one transaction, each in a savepoint; answer only after the commit."""
        answers: list[tuple[Future[Any], Any, BaseException | None]] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            check_version(connection, self.path, "min_writer")
            transaction = Transaction(connection, self._clock)
            for job, future in group:
                connection.execute("SAVEPOINT one")
                before = (transaction.position, transaction.last)
                try:
                    answers.append((future, job(transaction), None))
                except Exception as error:
                    # SQLite ends the whole transaction itself when, say, the disk is full.
                    if not connection.in_transaction:
                        raise
                    connection.execute("ROLLBACK TO one")
                    transaction.position, transaction.last = before
                    answers.append((future, None, _as_ours(error, self.path)))
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

    def close(self) -> None:
        """Finish what was accepted, then release everything. Blocks; twice is fine."""
        with self._closing:
            first, self._closed = not self._closed, True
        if not first:
            self._released.wait()
            return
        try:
            self._jobs.put(None)
            self._writer.join()
            self._readers.shutdown(wait=True)
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
