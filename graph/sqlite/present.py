"""Reads the present of the searchable tiers from the replica, and the rest from the tables."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from ..records import Record, Tier
from ..replica import Present, Replica
from ..store import Filter, Hop
from .cache import RecordCache
from .read import Lens, Reader
from .taint import SUPPORTED


class PresentReader(Reader):
    """A `Reader` of the present. The replica's lock is held while it is used.

    Attributes:
        present: What is read from the replica.
    """

    def __init__(
        self, connection: sqlite3.Connection, lens: Lens, cache: RecordCache, replica: Replica
    ) -> None:
        super().__init__(connection, lens, cache)
        self.present = Present(replica, lens.scopes, lens.position, lens.run, self._supports)

    def by_ids(self, ids: Sequence[str]) -> dict[int, Record]:
        """Visible records of any status by id."""
        found, rest = self.present.by_ids(ids)
        return found | super().by_ids(rest) if rest else found

    def own_open(self, tiers: frozenset[Tier]) -> list[Record]:
        """Records that are visible only because their open trial is of the reader's own run."""
        return self.present.own_open(tiers)

    def numbered(self, numbers: Sequence[int], where: Filter) -> dict[int, Record]:
        """Visible records of the searchable tiers by number."""
        return self.present.numbered(numbers, where)

    def _hop(
        self, numbers: Sequence[int], hop: Hop, records: dict[int, Record]
    ) -> dict[int, list[Any]]:
        if self.present.keeps(numbers, hop):
            return self.present.hop(numbers, hop, records)
        return super()._hop(numbers, hop, records)

    def _supports(self, number: int, record: Record) -> int:
        """How many independent supports a tainted record has left."""
        row = self.connection.execute(
            f"SELECT {SUPPORTED} FROM records r WHERE r.n = ?", (number,)
        ).fetchone()
        return 0 if row is None else int(row[0])
