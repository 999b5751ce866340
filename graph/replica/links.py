"""The links of a record that are kept in memory."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

_FEW = 8
"""Links of a shelf that are entered one by one at most; more are sorted in at once."""

LINK, FAR, OUTWARD, TYPE, VIA, WEIGHT, ADDED, EXPIRED, MADE = range(1, 10)
"""Columns of a row of a shelf; the first is the record it leaves, the last the link."""

IN_ORDER = attrgetter("added", "src", "dst", "type", "via")
"""The order in which a walk gives its links."""


@dataclass(slots=True)
class Shelf:
    """The links of one type on one side of a record, the heaviest first, then the newest.

    Attributes:
        keys: What the rows are sorted by.
        rows: (near, number, far, outward, type, via, weight, added, expired, link).
    """

    keys: list[tuple[float, int, str, int]] = field(default_factory=list)
    rows: list[tuple[Any, ...]] = field(default_factory=list)

    def put(self, links: Sequence[tuple[tuple[float, int, str, int], tuple[Any, ...]]]) -> None:
        """Enter links, each in the place of what it was.

        Args:
            links: Pairs of key and row.
        """
        if len(links) > _FEW:
            both = dict(zip(self.keys, self.rows, strict=True)) | dict(links)
            self.keys = sorted(both)
            self.rows = [both[key] for key in self.keys]
            return
        for key, row in links:
            at = bisect_left(self.keys, key)
            if at < len(self.keys) and self.keys[at] == key:
                self.rows[at] = row
            else:
                self.keys.insert(at, key)
                self.rows.insert(at, row)
