"""A replica that follows the tables of a store, also when another process writes them.

Triggers note which of the records that are kept a transaction touched. A store with more of them
than `LARGEST` is read from its tables instead; so is the past.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from ..records import Tier
from ..replica import Entry, Replica, VectorIndex
from .decode import COLUMNS, SOURCE, credits_of, decoded, taint_of

LARGEST = 200_000
"""Records of the searchable tiers that are kept; with more, all is read from the tables."""
_CHUNK = 500
_NOT_OF_A_STEP = "EXISTS (SELECT 1 FROM records r WHERE r.n = l.src AND r.tier != 'interaction')"


class TableReplica(Replica):
    """The replica of a SQLite store. Hold `lock` while using it; `sync` first."""

    def __init__(self, largest: int = LARGEST) -> None:
        self._largest = largest
        super().__init__()

    def forget(self) -> None:
        """Begin anew."""
        with self.lock:
            super().forget()
            self._too_large = self._loaded = False
            self._changes = 0
            self._link = 0
            self._position = 0

    @property
    def loaded(self) -> bool:
        """Whether it was read once."""
        return self._loaded

    def sync(self, connection: sqlite3.Connection) -> bool:
        """Take over what was written since the last call; False if there is too much to keep.

        Args:
            connection: In a snapshot. Another thread may have read a later one before; then what
                is kept is of that.
        """
        if self._too_large:
            return False
        changed = connection.execute(
            "SELECT seq, n FROM changed WHERE seq > ? ORDER BY seq", (self._changes,)
        ).fetchall()
        if changed:
            fresh = sum(number not in self.entries for _, number in changed)
            if len(self.entries) + fresh > self._largest:
                self.forget()
                self._too_large = True
                return False
            self._take_records(connection, [row[1] for row in changed])
            self._changes = changed[-1][0]
        self._take_links(connection)
        self._loaded = True
        return True

    def _take_records(self, connection: sqlite3.Connection, numbers: Sequence[int]) -> None:
        for start in range(0, len(numbers), _CHUNK):
            some = json.dumps(numbers[start : start + _CHUNK])
            rows = connection.execute(
                f"SELECT {COLUMNS}, r.scope, r.visible_from FROM {SOURCE} "
                "WHERE r.n IN (SELECT value FROM json_each(?)) AND r.tier != 'interaction'",
                (some,),
            ).fetchall()
            credits, taint = credits_of(connection, some), taint_of(connection, some)
            for row in rows:
                number = row[0]
                record = decoded(row)
                if number in credits or number in taint:
                    record = replace(
                        record,
                        credit=MappingProxyType(credits.get(number, {})),
                        taint=tuple(taint.get(number, ())),
                    )
                self.put(number, Entry(record, row[-2], row[-1]))

    def _take_links(self, connection: sqlite3.Connection) -> None:
        columns = "n, src, dst, type, via, weight, added, expired"
        fresh = connection.execute(
            f"SELECT {columns} FROM links l WHERE n > ? AND {_NOT_OF_A_STEP} ORDER BY n",
            (self._link,),
        ).fetchall()
        # Links of steps are passed over, not looked at again and again.
        last = connection.execute("SELECT coalesce(max(n), 0) FROM links").fetchone()[0]
        gone = connection.execute(
            f"SELECT {columns} FROM links WHERE expired > ? ORDER BY expired", (self._position,)
        ).fetchall()
        self._link = max(self._link, last)
        if gone:
            self._position = gone[-1][7]
        if fresh or gone:
            self.shelve([*fresh, *gone])


class TableVectors(VectorIndex):
    """The vectors of a SQLite store; `refresh` before use."""

    def __init__(self) -> None:
        super().__init__()
        self._reading = threading.Lock()
        self._last = 0

    def refresh(self, connection: sqlite3.Connection) -> None:
        """Take over the vectors stored since the last call, also by other processes."""
        with self._reading:
            rows = connection.execute(
                "SELECT n, scope, tier, vector, position FROM vectors WHERE position > ? "
                "ORDER BY position, n",
                (self._last,),
            ).fetchall()
            if rows:
                self.put(
                    [
                        (number, scope, Tier(tier), np.frombuffer(vector, np.float32))
                        for number, scope, tier, vector, _ in rows
                    ]
                )
                self._last = rows[-1][4]
