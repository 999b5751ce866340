"""Records as they were read last: the server then sends only what this process has not seen.

Most of what a recall reads it has read before. Each change of a record leaves the time of its
changeset on it (`touched`), which no other changeset of the store has. A query gives this state of
the records it finds, a few bytes for each, and what is not known in that state is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..records import Record
from ..store import Vectors
from .read import order_of, record

LARGEST = 50_000
"""Records that are kept at most."""
LONGEST = 8192
"""A record whose text, data and summary have more characters is not kept."""
_TEXT, _DATA, _SUMMARY, _TOUCHED = 3, 12, 18, 31


@dataclass(frozen=True, slots=True)
class Entry:
    """A record of the present.

    Attributes:
        touched: The state that it was read in.
        order: Where it stands in the order of adding.
        record: The record.
        vector: Its vector; empty if it has none.
    """

    touched: str
    order: tuple[int, int]
    record: Record
    vector: Vectors


class Known:
    """The entries of one process. Belongs to one event loop."""

    def __init__(self) -> None:
        self._held: dict[str, Entry] = {}

    def find(self, states: Mapping[str, str]) -> tuple[dict[str, Entry], list[str]]:
        """What is known in these states, and the ids of the others.

        Args:
            states: `touched` by id.
        """
        found: dict[str, Entry] = {}
        lacking = []
        for id_, touched in states.items():
            entry = self._held.get(id_)
            if entry is None or entry.touched != touched:
                lacking.append(id_)
            else:
                found[id_] = entry
        return found, lacking

    def take(self, rows: Iterable[Sequence[Any]]) -> dict[str, Entry]:
        """Keep what was asked for; returns it by id.

        Args:
            rows: Pairs of a record's columns and its vector.
        """
        found = {}
        for row, vector in rows:
            plain = np.asarray(vector or (), np.float32)
            entry = Entry(row[_TOUCHED], order_of(row), record(row), plain)
            found[entry.record.id] = entry
            if len(row[_TEXT]) + len(row[_DATA]) + len(row[_SUMMARY]) <= LONGEST:
                if len(self._held) >= LARGEST:
                    self._held = {}
                self._held[entry.record.id] = entry
        return found
