"""The records of the searchable tiers, the links between them, and their terms."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any

from ..records import Link, LinkType, Record, Tier
from ..store import SEARCHABLE
from .entry import Entry
from .links import Shelf
from .words import Words

_TYPES = {type_.value: type_ for type_ in LinkType}


class Replica:
    """What of a store is kept in memory. Hold `lock` while using it.

    Attributes:
        lock: Of all of it.
        entries: The records by number; numbers rise in the order of adding.
        numbers: Of the records by id.
        open: The records of open trials by run.
        words: The terms of each tier.
        out: The links that leave a record, by type.
        into: The links that lead to it.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        with self.lock:
            self.entries: dict[int, Entry] = {}
            self.numbers: dict[str, int] = {}
            self.open: dict[str, set[int]] = {}
            self.words: dict[Tier, Words] = {tier: Words() for tier in sorted(SEARCHABLE)}
            self.out: dict[tuple[int, LinkType], Shelf] = {}
            self.into: dict[tuple[int, LinkType], Shelf] = {}

    def put(self, number: int, entry: Entry) -> None:
        """Enter a record, or put it in the place of what it was.

        Args:
            number: Of the record; above all others if it is new.
            entry: As it is.
        """
        record = entry.record
        run = record.provenance.run
        if entry.visible_from is None:
            self.open.setdefault(run, set()).add(number)
        elif run in self.open:
            self.open[run].discard(number)
            if not self.open[run]:
                del self.open[run]
        before = self.entries.get(number)
        self.entries[number] = entry
        self.numbers[record.id] = number
        words = self.words[record.tier]
        words.put(number, entry, before)
        if words.outgrown:
            fresh = Words()
            for other, one in self.entries.items():
                if one.record.tier is record.tier:
                    fresh.put(other, one, None)
            self.words[record.tier] = fresh

    def shelve(self, rows: Iterable[Sequence[Any]]) -> None:
        """Enter links between records that are kept; others are passed over.

        Args:
            rows: (number of the link, source, target, type, via, weight, added, expired), the ends
                by number. A link that is there already is put in the place of what it was.
        """
        entries = self.entries
        placed: dict[tuple[bool, int, LinkType], list[tuple[Any, ...]]] = {}
        for number, source, target, name, via, weight, added, expired in rows:
            near: Record | None = entries[source].record if source in entries else None
            far: Record | None = entries[target].record if target in entries else None
            if near is None or far is None:
                continue
            type_ = _TYPES[name]
            link = Link(
                src=near.id,
                dst=far.id,
                type=type_,
                via=via,
                weight=weight,
                added=added,
                expired=expired,
            )
            for outward, one, other, far_id in (
                (True, source, target, far.id),
                (False, target, source, near.id),
            ):
                placed.setdefault((outward, one, type_), []).append(
                    (
                        (-weight, -added, far_id, number),
                        (one, number, other, outward, name, via, weight, added, expired, link),
                    )
                )
        for (outward, one, type_), pairs in placed.items():
            side = self.out if outward else self.into
            shelf = side.get((one, type_))
            if shelf is None:
                shelf = side[one, type_] = Shelf()
            shelf.put(pairs)
