"""Replicas that follow a server: what one scope sees of trials and insights, in this process.

Every changeset leaves the ids of what it touched beside its journal entry, so the question for the
head, with which each View begins, also brings what has changed since the last one. It is believed
only if it is whole: the changesets without a gap, each with all it touched. (The server shows what
a transaction wrote one by one: the head first, what indexes find a moment later.)
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import StoreError
from ..records import Link
from ..replica import Entry, Replica, VectorIndex
from ..store import Hop
from . import cypher, known
from .read import VISIBLE_FROM, order_of, record
from .server import Server

LARGEST = 50_000
"""Trials and insights of one scope that are kept at most; with more, the server is asked."""
AT_ONCE = 1_000
"""So many are read while somebody waits; more in the background, from the second search on, since
many a process searches once. Until they are there the server is asked."""
SCOPES = 4
"""Scopes of which something is kept at most, those used last."""
MOST = 256
"""Changesets that are caught up with; after more, all is read anew."""
FRESH_SECONDS = 0.05
"""So long what other processes have written since is not asked for again within one View."""
AGAIN_SECONDS = 30.0
"""So long nothing is read anew where that came to nothing."""
_CHUNK = 1_000
_STEPS = 100_000
"""Steps that are kept at most."""
_ID, _SCOPE, _ADDED, _TOUCHED = 0, 4, 19, 31

Step = tuple[Link, known.Entry]
"""A step, with the link by which it was reached."""


@dataclass(slots=True)
class Steps:
    """The steps of closed trials as walks have found them, until a trial or a step is touched.

    Attributes:
        held: Per trial and hop.
        size: How many.
        touched: The position at which something of a trial was touched last.
        floor: What was touched until this position is not known any more.
        lock: Of all of it: the replica's own is held while it is searched.
    """

    held: dict[str, dict[Hop, Sequence[Step]]] = field(default_factory=dict)
    size: int = 0
    touched: dict[str, int] = field(default_factory=dict)
    floor: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, trial: str, hop: Hop) -> Sequence[Step] | None:
        """The steps of a trial, if they are known."""
        return self.held.get(trial, {}).get(hop)

    def keep(self, trial: str, hop: Hop, steps: Sequence[Step], asked_at: int) -> None:
        """Keep the steps of a trial, unless something of it was touched since they were asked for.

        Args:
            trial: Whose.
            hop: By which they were reached.
            steps: As the server gave them.
            asked_at: The position as of which it was asked.
        """
        with self.lock:
            if asked_at < max(self.floor, self.touched.get(trial, 0)):
                return
            if self.size > _STEPS:
                self.held, self.size = {}, 0
            own = self.held.setdefault(trial, {})
            self.size += len(steps) - len(own.get(hop, ()))
            own[hop] = steps

    def forget(self, trial: str, position: int) -> None:
        """Something of a trial was touched."""
        with self.lock:
            if len(self.touched) > _STEPS:
                self.touched, self.floor = {}, position
            self.touched[trial] = position
            self.size -= sum(map(len, self.held.pop(trial, {}).values()))


class ServerReplica(Replica):
    """The replica of what some scopes see of a store on a server.

    Attributes:
        embedder: Fingerprint of the embedder of the vectors, "" while there are none.
        width: Of the vectors.
        index: The vectors.
        position: Up to which all is there.
        moments: When the changesets at the last such positions were written; None where a copy
            brought none.
        steps: Of closed trials.
        written: How much this process had written when the server was asked last.
        asked: When that was, by the monotonic clock.
        order: Where a record stands in the order of adding, by number.
    """

    def __init__(self, scopes: Sequence[str], embedder: str, width: int) -> None:
        self.scopes = tuple(scopes)
        self.embedder = embedder
        self.width = width
        self.index = VectorIndex()
        self.position = 0
        self.moments: dict[int, str | None] = {}
        self.steps = Steps()
        self.written = -1
        self.asked = 0.0
        self.order: dict[int, tuple[int, int]] = {}
        self._touched: dict[int, str] = {}
        self._links: dict[tuple[Any, ...], int] = {}
        self._ended: dict[int, int] = {}
        self._place = {path: number for number, path in enumerate(self.scopes)}
        super().__init__()

    @property
    def places(self) -> range:
        """Numbers of the scopes."""
        return range(len(self.scopes))

    def take(self, rows: Iterable[Sequence[Any]], links: Iterable[Sequence[Any]]) -> None:
        """Enter records and links as they were read, whichever was read first.

        Args:
            rows: Pairs of a record's columns and its vector.
            links: (source, target, type, via, weight, added, expired), the ends by id.
        """
        vectors = []
        for row, vector in sorted(rows, key=lambda pair: order_of(pair[0])):
            number = self.numbers.get(row[_ID], len(self.entries))
            if self._touched.get(number, "") > row[_TOUCHED]:
                continue
            self._touched[number] = row[_TOUCHED]
            self.order[number] = order_of(row)
            one, place = record(row), self._place[row[_SCOPE]]
            self.put(number, Entry(one, place, row[VISIBLE_FROM]))
            if vector and len(vector) == self.width:
                vectors.append((number, place, one.tier, np.asarray(vector, np.float32)))
        self.index.put(vectors)
        self.shelve(self._numbered(links))

    def _numbered(self, links: Iterable[Sequence[Any]]) -> Iterable[Sequence[Any]]:
        for source, target, type_, via, weight, added, expired in links:
            near, far = self.numbers.get(source), self.numbers.get(target)
            if near is None or far is None:
                continue
            key = (near, far, type_, via, added)
            number = self._links.setdefault(key, len(self._links))
            if expired is not None:
                self._ended[number] = expired
            # That it ended may have been read before that it began.
            yield number, near, far, type_, via, weight, added, self._ended.get(number)

    def catch_up(self, since: int, answer: Mapping[str, Any]) -> int | None:
        """Take over what an answer brings; returns the position up to which all is there then.

        That is before the head's while a transaction that is not acknowledged yet can be seen in
        part. None if the answer does not go on from what is kept.

        Args:
            since: The position that was asked from.
            answer: To `cypher.FOLLOW`.
        """
        changes, records, links = answer["changes"], answer["records"], answer["links"]
        if self.embedder not in ("", answer["embedder"]) or answer["position"] - since > MOST:
            return None
        position, moment = since, answer["moment"]
        if moment != self.moments.get(since):
            return None
        for at, written, known_, whole in changes:
            if not known_:
                return None
            if at != position + 1 or not whole:
                break
            position, moment = at, written
        if position <= self.position:
            return position
        with self.lock:
            # Another answer may have been taken over in between.
            if position > self.position:
                self.embedder, self.width = answer["embedder"], answer["width"]
                for ids in answer["touched"]:
                    for id_ in ids:
                        self.steps.forget(id_, position)
                # What is added later comes later, so that numbers rise in the order of adding.
                self.take([pair for pair in records if pair[0][_ADDED] <= position], links)
                self.position = position
                self.moments[position] = moment
                while len(self.moments) > MOST:
                    del self.moments[next(iter(self.moments))]
        return position


class Replicas:
    """The replicas of one store. Belongs to one event loop.

    Args:
        server: Where the store is.
        largest: Records of one scope that are kept at most; 0 for none.

    Attributes:
        written: Counts what this process has written.
    """

    def __init__(self, server: Server, largest: int) -> None:
        self.written = 0
        self._server = server
        self._largest = largest
        self._loaded: OrderedDict[tuple[str, ...], ServerReplica] = OrderedDict()
        self._loading: set[tuple[str, ...]] = set()
        self._too_large: set[tuple[str, ...]] = set()
        self._not_before: dict[tuple[str, ...], float] = {}
        self._searched: set[tuple[str, ...]] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def of(self, scopes: tuple[str, ...]) -> ServerReplica | None:
        """The replica of some scopes, if it was read."""
        found = self._loaded.get(scopes)
        if found is not None:
            self._loaded.move_to_end(scopes)
        return found

    async def follow(self, replica: ServerReplica) -> tuple[Mapping[str, Any], int | None]:
        """Ask for the head, and take over what has changed.

        Returns:
            The head, and the position up to which all is kept now; None if the replica does not
            go on from what it has: then the next search begins anew.
        """
        since, written, asked = replica.position, self.written, time.monotonic()
        row = await self._server.read(
            cypher.FOLLOW, scopes=list(replica.scopes), since=since, most=MOST + 1
        )
        if not row:
            return row, None
        # What brings nothing is not worth a thread.
        position = (
            await asyncio.to_thread(replica.catch_up, since, row)
            if row["changes"]
            else replica.catch_up(since, row)
        )
        if len(replica.entries) > self._largest:
            self._too_large.add(replica.scopes)
            position = None
        if position is None:
            if self._loaded.get(replica.scopes) is replica:
                del self._loaded[replica.scopes]
            if replica.written < 0:
                self._give_up(replica.scopes)
        else:
            replica.written = max(replica.written, written)
            replica.asked = max(replica.asked, asked)
        return row, position

    async def freshen(self, replica: ServerReplica, position: int) -> bool:
        """Follow the server unless that was just done; False if the replica has to begin anew.

        Args:
            replica: Which.
            position: Of the View that it is read for.
        """
        self._server.check_open()
        if (
            replica.position >= position
            and replica.written == self.written
            and time.monotonic() - replica.asked < FRESH_SECONDS
        ):
            return True
        _, caught_up = await self.follow(replica)
        return caught_up is not None

    async def load(self, scopes: tuple[str, ...]) -> ServerReplica | None:
        """The replica of some scopes; a small one is read now, a large one in the background."""
        if self._largest <= 0 or scopes in self._too_large or scopes in self._loading:
            return None
        if time.monotonic() < self._not_before.get(scopes, 0.0):
            return None
        found = self.of(scopes)
        if found is not None:
            return found
        self._loading.add(scopes)
        try:
            start = await self._start(scopes)
        except StoreError:
            # Such as a database that takes no writes. If it is down, the search will say so.
            self._loading.discard(scopes)
            self._give_up(scopes)
            return None
        except BaseException:
            self._loading.discard(scopes)
            raise
        if len(start["ids"]) > self._largest:
            self._loading.discard(scopes)
            self._too_large.add(scopes)
            return None
        if len(start["ids"]) <= AT_ONCE:
            await self._read(scopes, start)
            return self.of(scopes)
        if scopes not in self._searched:
            self._loading.discard(scopes)
            self._searched.add(scopes)
            return None
        task = asyncio.create_task(self._read_aside(scopes, start), name="triforium-replica")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return None

    def _give_up(self, scopes: tuple[str, ...]) -> None:
        """Try again later, not at every search."""
        self._not_before[scopes] = time.monotonic() + AGAIN_SECONDS

    async def _start(self, scopes: tuple[str, ...]) -> Mapping[str, Any]:
        base = await self._server.write(cypher.BASE)
        found = await self._server.read(
            cypher.KEPT, scopes=list(scopes), position=base["position"], most=self._largest + 1
        )
        return {**base, **found}

    async def _read_aside(self, scopes: tuple[str, ...], start: Mapping[str, Any]) -> None:
        # Whoever searches meanwhile is told what the server has; the next one tries again.
        with suppress(StoreError):
            await self._read(scopes, start)

    async def _read(self, scopes: tuple[str, ...], start: Mapping[str, Any]) -> None:
        """Read what is kept: the records, then the links between them."""
        try:
            replica = ServerReplica(scopes, start["embedder"], start["width"])
            ids = [id_ for _, _, id_ in sorted(start["ids"])]
            chunks = [ids[at : at + _CHUNK] for at in range(0, len(ids), _CHUNK)]
            for chunk in chunks:
                rows = (await self._server.read(cypher.LACKING, ids=chunk))["records"]
                await asyncio.to_thread(replica.take, rows, ())
            for chunk in chunks:
                found = await self._server.read(cypher.LINKS, scopes=list(scopes), ids=chunk)
                await asyncio.to_thread(replica.take, (), found["links"])
            replica.position = start["position"]
            replica.moments[replica.position] = start["moment"]
            replica.steps.floor = replica.position
            self._loaded[scopes] = replica
            while len(self._loaded) > SCOPES:
                self._loaded.popitem(last=False)
        finally:
            self._loading.discard(scopes)

    async def close(self) -> None:
        """Read nothing any more."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
