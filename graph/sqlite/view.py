"""What one scope of a SQLite store shows at one position."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from ..records import Record, Tier
from ..replica import Query
from ..store import SEARCHABLE, Candidates, Filter, Hop, SourceCounts, Vectors, Walk
from .cache import RecordCache
from .engine import Engine
from .present import PresentReader
from .read import Lens, Reader
from .replica import TableReplica, TableVectors
from .search import search

Result = TypeVar("Result")


class SQLiteView:
    """A `View` of a `SQLiteStore`."""

    def __init__(
        self,
        engine: Engine,
        index: TableVectors,
        cache: RecordCache,
        replica: TableReplica,
        scope: str,
        lens: Lens,
    ) -> None:
        self._engine = engine
        self._index = index
        self._cache = cache
        self._replica = replica
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
        where: Filter | Mapping[Tier, Filter] = Filter(),
    ) -> Candidates:
        """Candidates for any of the texts and vectors; see `View.search`."""
        query = Query(texts=texts, vectors=vectors, tiers=tiers, k=k, where=where)
        index = self._index
        return await self._read(lambda reader: search(reader.connection, reader, index, query))

    async def recent(
        self, *, tiers: frozenset[Tier], k: int, where: Filter = Filter()
    ) -> tuple[Record, ...]:
        """The k last added records, newest first."""
        return await self._engine.read(
            lambda connection: tuple(
                Reader(connection, self._lens, self._cache).recent(tiers, k, where)
            )
        )

    async def walk(self, seeds: Sequence[str], hops: Sequence[Hop]) -> Walk:
        """Follow links from the seeds, level by level."""
        return await self._read(lambda reader: reader.walk(seeds, hops), load=False)

    async def sources(self, names: Sequence[str]) -> Mapping[str, SourceCounts]:
        """What is known of each of these sources; see `View.sources`."""
        if not names:
            return {}
        return await self._engine.read(
            lambda connection: Reader(connection, self._lens, self._cache).sources(names)
        )

    async def get(self, ids: Sequence[str]) -> Mapping[str, Record]:
        """The visible records among `ids`, of any status."""
        if not ids:
            return {}
        found = await self._read(lambda reader: reader.by_ids(ids), load=False)
        return {record.id: record for record in found.values()}

    async def _read(self, job: Callable[[Reader], Result], *, load: bool = True) -> Result:
        """Run a job on a reader thread; of the present it reads what is kept in memory.

        Jobs on what is kept run one at a time, which the interpreter's lock would make them anyway.

        Args:
            job: Reads.
            load: Whether the first such job is worth reading everything that is to be kept: a
                search is, since it looks at much of it.
        """
        lens, cache, replica = self._lens, self._cache, self._replica

        def work(connection: sqlite3.Connection) -> Result:
            if not lens.historic and (load or replica.loaded):
                with replica.lock:
                    if replica.sync(connection):
                        return job(PresentReader(connection, lens, cache, replica))
            return job(Reader(connection, lens, cache))

        return await self._engine.read(work)
