"""What one scope of a SQLite store shows at one position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .records import Record, Tier
from .sqlite_engine import Engine
from .sqlite_read import Lens, Reader
from .sqlite_search import Query, search
from .sqlite_vectors import VectorIndex
from .store import SEARCHABLE, Candidates, Filter, Hop, Vectors, Walk


class SQLiteView:
    """A `View` of a `SQLiteStore`."""

    def __init__(self, engine: Engine, index: VectorIndex, scope: str, lens: Lens) -> None:
        self._engine = engine
        self._index = index
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
        query = Query(texts=texts, vectors=vectors, tiers=tiers, k=k, where=where)
        index = self._index
        return await self._engine.read(
            lambda connection: search(connection, Reader(connection, self._lens), index, query)
        )

    async def recent(
        self, *, tiers: frozenset[Tier], k: int, where: Filter = Filter()
    ) -> tuple[Record, ...]:
        """The k last added records, newest first."""
        return await self._engine.read(
            lambda connection: tuple(Reader(connection, self._lens).recent(tiers, k, where))
        )

    async def walk(self, seeds: Sequence[str], hops: Sequence[Hop]) -> Walk:
        """Follow links from the seeds, level by level."""
        return await self._engine.read(
            lambda connection: Reader(connection, self._lens).walk(seeds, hops)
        )

    async def get(self, ids: Sequence[str]) -> Mapping[str, Record]:
        """The visible records among `ids`, of any status."""
        if not ids:
            return {}
        found = await self._engine.read(
            lambda connection: Reader(connection, self._lens).by_ids(ids)
        )
        return {record.id: record for record in found.values()}
