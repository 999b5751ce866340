"""The Neo4j store: one database of a server, any number of processes and machines."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import Busy, IdConflict, InvalidInput, NotFound, StoreClosed, StoreError
from ..application import stamp
from ..changes import Changeset
from ..ids import JSON, canonical
from ..rows import unfinished
from ..scopes import check_scope, visible_scopes
from ..store import Applied, JournalEntry, Statistics, StoredEffect, StoredReceipt, named
from ..stored import entry_of, receipt_of
from . import cypher, dump
from .known import Known
from .replica import LARGEST, Replicas
from .schema import create_or_check, make_vector_indexes
from .server import RETRY_SECONDS, Credentials, Server, from_environment, parse
from .view import Lens, Neo4jView
from .write import Answer, Request, apply_group

Clock = Callable[[], datetime]
GROUP = 16
"""Changesets that are committed together at most."""
PENDING = 4096
"""Changesets that may wait."""


def _now() -> datetime:
    return datetime.now(UTC)


async def open_neo4j(
    url: str,
    *,
    credentials: Credentials | None = None,
    clock: Clock = _now,
    patience: float = RETRY_SECONDS,
    kept: int = LARGEST,
) -> Neo4jStore:
    """Open the store in a database of a Neo4j server, or make it in an empty database.

    Args:
        url: ``neo4j://host[:port][/database]``; ``neo4j+s://`` for TLS. Without credentials.
        credentials: Name and password, or what gives them; from NEO4J_USERNAME and NEO4J_PASSWORD
            or NEO4J_PASSWORD_FILE if None.
        clock: Gives the time in UTC.
        patience: Seconds that a transaction is retried, and may take.
        kept: So many trials and insights of a scope are kept in memory at most; of a scope with
            more each search and walk is a question to the server. 0 for none.

    Raises:
        InvalidURL: The URL is of another form, or holds credentials.
        MissingExtra: The driver is not installed.
        Unavailable: The server cannot be reached.
        NotAStore: The database holds something else.
        VersionMismatch: A newer version wrote it.
        StoreError: The server refuses the credentials, is too old, read-only or lacks an index.
    """
    server = Server(parse(url), credentials or from_environment(), patience=patience)
    try:
        head = await create_or_check(server)
    except BaseException:
        await server.close()
        raise
    return Neo4jStore(server, head.embedder, head.width, clock, kept=kept)


@dataclass(frozen=True, slots=True)
class _Waiting:
    request: Request
    future: asyncio.Future[Applied]


class Neo4jStore:
    """A `Store` in one Neo4j database. Made by `open_neo4j`; belongs to one event loop."""

    def __init__(
        self, server: Server, embedder: str, width: int, clock: Clock, *, kept: int = LARGEST
    ) -> None:
        self._server = server
        self._known = Known()
        self._replicas = Replicas(server, kept)
        self._embedder = embedder
        self._width = width
        self._clock = clock
        self._jobs: asyncio.Queue[_Waiting | None] = asyncio.Queue()
        self._writer: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._last_receipt = datetime(1970, 1, 1, tzinfo=UTC)

    @property
    def url(self) -> str:
        """Where it is, without credentials."""
        return str(self._server.address)

    @property
    def embedder(self) -> str:
        """Fingerprint of the embedder whose vectors it holds."""
        return self._embedder

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
        self._check_open()
        request = Request(changeset, dict(vectors or {}), embedder)
        request.prepare()
        if self._jobs.qsize() >= PENDING:
            raise Busy(
                f"{PENDING} changesets wait for the server already. Slow down, then try again."
            )
        future: asyncio.Future[Applied] = asyncio.get_running_loop().create_future()
        # Nobody may be waiting any more when it fails.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._jobs.put_nowait(_Waiting(request, future))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_forever(), name="triforium-writer")
        return await asyncio.shield(future)

    async def _write_forever(self) -> None:
        last = False
        while not last:
            first = await self._jobs.get()
            if first is None:
                return
            group = [first]
            while len(group) < GROUP and not self._jobs.empty():
                more = self._jobs.get_nowait()
                if more is None:
                    last = True
                    break
                group.append(more)
            await self._write_group(group)

    async def _write_group(self, group: Sequence[_Waiting]) -> None:
        try:
            answers = await self._apply([one.request for one in group])
        except Exception as error:
            if (
                len(group) == 1
                or not isinstance(error, StoreError | ValueError)
                or (isinstance(error, StoreError) and error.retryable)
            ):
                for one in group:
                    one.future.set_exception(error)
                return
            # One of them may be what the server cannot keep.
            for one in group:
                await self._write_group([one])
            return
        for one, answer in zip(group, answers, strict=True):
            if answer.applied is not None:
                one.future.set_result(answer.applied)
            else:
                one.future.set_exception(answer.error or StoreError("Nothing was answered."))

    async def _apply(self, requests: Sequence[Request]) -> list[Answer]:
        await self._settle_vectors(requests)
        try:
            answers, self._embedder = await self._server.transaction(
                lambda transaction: apply_group(transaction, requests, self._clock)
            )
        finally:
            # Also after an error, which may have come behind the commit.
            self._replicas.written += 1
        return answers

    async def _settle_vectors(self, requests: Sequence[Request]) -> None:
        """Make the vector indexes before the first vector is stored."""
        if self._width:
            return
        for request in requests:
            if request.vectors and request.embedder:
                width = int(next(iter(request.vectors.values())).shape[-1])
                head = await self._server.read(cypher.HEAD)
                self._width = head["width"] or width
                await make_vector_indexes(self._server, self._width)
                return

    async def put_receipt(self, receipt: StoredReceipt) -> StoredReceipt:
        """Keep a receipt; the first under this id wins."""
        check_scope(receipt.scope)
        self._check_open()
        # Receipts have no position of their own; those of one process keep their order.
        created = self._last_receipt = max(
            self._clock().astimezone(UTC), self._last_receipt + timedelta(microseconds=1)
        )
        row = await self._server.write(
            cypher.PUT_RECEIPT,
            id=receipt.id,
            fields={
                "scope": receipt.scope,
                "run": receipt.run,
                "trial": receipt.trial,
                "role": receipt.role,
                "position": receipt.position,
                "created_at": stamp(created),
                "body": canonical(dict(receipt.body)),
                "attempt": uuid.uuid4().hex,
            },
        )
        if row["receipt"] is None:
            return replace(receipt, created_at=created)
        kept = receipt_of(row["receipt"])
        if kept.scope != receipt.scope:
            raise IdConflict(f"The receipt id {receipt.id!r} is taken.", id=receipt.id)
        return kept

    async def begin_effect(self, effect: StoredEffect) -> StoredEffect | None:
        """Note the intent; returns what an earlier attempt left under the key."""
        check_scope(effect.scope)
        self._check_open()
        row = await self._server.write(
            cypher.BEGIN_EFFECT,
            scope=effect.scope,
            key=effect.key,
            request=effect.request,
            attempt=uuid.uuid4().hex,
        )
        if row["fresh"]:
            return None
        return replace(
            effect,
            request=row["request"],
            done=row["done"],
            result=None if row["result"] is None else json.loads(row["result"]),
        )

    async def finish_effect(self, effect: StoredEffect) -> None:
        """Note the result."""
        self._check_open()
        row = await self._server.write(
            cypher.FINISH_EFFECT,
            scope=effect.scope,
            key=effect.key,
            result=canonical(effect.result),
        )
        if not row["found"]:
            raise NotFound(
                f"The effect {effect.key!r} was never begun; begin it first.", key=effect.key
            )

    # --- reading ------------------------------------------------------------------------------

    async def view(
        self, scope: str, *, run: str = "", at: int | datetime | None = None
    ) -> Neo4jView:
        """A View of a scope, now or as of an earlier position or system time."""
        scopes = visible_scopes(scope)
        moment = stamp(at) if isinstance(at, datetime) else ""
        self._check_open()
        replica = self._replicas.of(scopes) if at is None else None
        caught_up: int | None = None
        if replica is not None:
            row, caught_up = await self._replicas.follow(replica)
        else:
            row = await self._server.read(cypher.view(at_a_time=bool(moment)), moment=moment)
        if not row:
            raise StoreError("The database is no store any more: its head is gone.")
        if row["importing"]:
            raise unfinished()
        self._embedder, self._width = row["embedder"], row["width"]
        present = position = row["position"]
        if caught_up is None:
            replica = None
        else:
            # Before the head's while a transaction can be seen in part.
            present = position = caught_up
        if moment:
            position = row["then"][0] if row["then"] else 0
        elif at is not None and not isinstance(at, datetime):
            position = min(max(int(at), 0), present)
        lens = Lens(scopes, position, run, position < present, self._width, bool(row["quarantine"]))
        return Neo4jView(self._server, self._known, self._replicas, scope, lens, replica)

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
        self._check_open()
        row = await self._server.read(
            cypher.receipts(
                ids=bool(ids), run=bool(run), trial=bool(trial), record=bool(record), newest=newest
            ),
            named=named(record),
            scopes=list(visible_scopes(scope)),
            ids=list(dict.fromkeys(ids)),
            run=run,
            trial=trial,
            limit=limit,
        )
        return tuple(map(receipt_of, row["receipts"]))

    async def journal(
        self, scope: str, *, after: int = 0, limit: int = 1000
    ) -> tuple[JournalEntry, ...]:
        """Applied changesets of visible scopes (all for ""), in order."""
        self._check_open()
        row = await self._server.read(
            cypher.journal(everything=not scope),
            scopes=list(visible_scopes(scope)) if scope else [],
            after=after,
            limit=limit,
        )
        return tuple(map(entry_of, row["entries"]))

    async def statistics(self, scope: str) -> Statistics:
        """Counts of what the scope sees (everything for "")."""
        self._check_open()
        scopes = visible_scopes(scope) if scope else ()
        row = await self._server.read(cypher.statistics(everything=not scope), scopes=list(scopes))
        counts: dict[str, dict[str, int]] = {"records": {}, "statuses": {}, "outcomes": {}}
        there = {*row["scopes"], *row["receipt_scopes"]}
        for tier, kind, status, outcome, where, n in row["records"]:
            there.add(where)
            for name, key in (("records", f"{tier}/{kind}"), ("statuses", status)):
                counts[name][key] = counts[name].get(key, 0) + n
            if tier == "query":
                counts["outcomes"][outcome] = counts["outcomes"].get(outcome, 0) + n
        return Statistics(
            position=row["position"],
            records=dict(sorted(counts["records"].items())),
            statuses=dict(sorted(counts["statuses"].items())),
            outcomes=dict(sorted(counts["outcomes"].items())),
            links=dict(sorted(row["links"])),
            receipts=row["receipts"],
            embedder=row["embedder"],
            scopes=tuple(sorted(there)),
        )

    async def dump(self, scope: str) -> AsyncIterator[dict[str, JSON]]:
        """All that the scope sees as plain JSON rows (everything for "")."""
        self._check_open()
        scopes = visible_scopes(scope) if scope else None
        now = stamp(max(self._clock().astimezone(UTC), self._last_receipt))
        async for row in dump.dump_rows(self._server, scopes, now):
            yield row

    async def restore(self, rows: AsyncIterator[Mapping[str, Any]]) -> int:
        """Fill an empty store from `dump`; if that fails, it is empty again."""
        self._check_open()
        first: Mapping[str, Any] = await anext(rows, {})
        if await self.begin_copy(first):
            raise InvalidInput("A copy into this store was not finished; go on with it.")
        count = 0
        try:
            batch: list[Mapping[str, Any]] = []
            async for row in rows:
                batch.append(row)
                if len(batch) == dump.BATCH:
                    await self.add_rows(batch, count)
                    count += len(batch)
                    batch = []
            await self.add_rows(batch, count)
            await self.finish_copy(first)
        except BaseException:
            await asyncio.shield(self.abandon_copy())
            raise
        return count + len(batch)

    async def begin_copy(self, header: Mapping[str, Any]) -> int:
        """Take the header of a dump; returns how many rows were taken before."""
        self._check_open()
        return await dump.begin(self._server, header)

    async def add_rows(self, rows: Sequence[Mapping[str, Any]], start: int) -> None:
        """Take some rows of a dump in one transaction."""
        self._check_open()
        if rows:
            await dump.add(self._server, rows, start)

    async def finish_copy(self, header: Mapping[str, Any]) -> None:
        """All rows were taken: the store may be used."""
        self._check_open()
        await dump.finish(self._server, header)
        self._embedder, self._width = str(header["embedder"]), int(header["width"])

    async def abandon_copy(self) -> None:
        """Empty a store whose copy was not finished."""
        self._check_open()
        await dump.abandon(self._server)

    # --- life cycle ---------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closing is not None:
            raise StoreClosed("The store is closed. Use it inside its `async with` block.")

    async def close(self) -> None:
        """Finish what was accepted, then release everything. Closing twice is fine."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._writer is not None:
            self._jobs.put_nowait(None)
            with suppress(asyncio.CancelledError):
                await self._writer
        await self._replicas.close()
        await self._server.close()
