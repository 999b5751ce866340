"""The searchable tiers of a store in memory: what most recalls read, without a query.

Trials and insights are a small part of a memory (the rest are steps), and nearly every recall
looks at many of them. So a process that searches keeps them decoded, with the links between them
and the positions of their terms, and brings this up to date before each use: triggers note which
of them a transaction touched, whoever wrote it. A store with more of them than `LARGEST` is read
from its tables instead; so is the past.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..records import Link, LinkType, Record, Tier
from ..store import SEARCHABLE, TermStatistics
from ..text import index_terms
from .decode import COLUMNS, SOURCE, credits_of, decoded, taint_of

LARGEST = 200_000
"""Records of the searchable tiers that are kept; with more, all is read from the tables."""
_CHUNK = 500
_GROW = 1024
_NOT_OF_A_STEP = "EXISTS (SELECT 1 FROM records r WHERE r.n = l.src AND r.tier != 'interaction')"
_FEW = 8
"""Links of a shelf that are entered one by one at most; more are sorted in at once."""
_K1 = 1.2
_B = 0.75


@dataclass(frozen=True, slots=True)
class Entry:
    """A record, and what decides who sees it.

    Attributes:
        record: With its present counters.
        scope: Number of its scope.
        visible_from: Position; None while its trial is open.
    """

    record: Record
    scope: int
    visible_from: int | None


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


class Words:
    """The terms of one tier: for each the records it occurs in, and how often."""

    def __init__(self) -> None:
        self._size = 0
        self._numbers: NDArray[np.int64] = np.zeros(_GROW, np.int64)
        self._scopes: NDArray[np.int64] = np.zeros(_GROW, np.int64)
        self._lengths: NDArray[np.float64] = np.zeros(_GROW, np.float64)
        self._counted: NDArray[np.bool_] = np.zeros(_GROW, np.bool_)
        self._live: NDArray[np.bool_] = np.zeros(_GROW, np.bool_)
        self._rows: dict[int, int] = {}
        self._postings: dict[str, tuple[array[int], array[int]]] = {}

    @property
    def outgrown(self) -> bool:
        """Whether most of it is of what records said once."""
        return self._size > 2 * len(self._rows) + _GROW

    def put(self, number: int, entry: Entry, before: Entry | None) -> None:
        """Enter a record, or put it in the place of what it was.

        Args:
            number: Of the record.
            entry: As it is.
            before: As it was entered before, if it was.
        """
        record = entry.record
        # An open trial is counted for its own run alone, one that was taken away for nobody.
        counted = entry.visible_from is not None and record.expired is None
        known = self._rows.get(number)
        was = None if before is None else (before.record.text, before.record.keys)
        if known is not None and was == (record.text, record.keys):
            self._counted[known] = counted
            self._live[known] = record.expired is None
            return
        if known is not None:
            self._live[known] = self._counted[known] = False
        found = Counter(index_terms(record.text, record.keys))
        row = self._append()
        self._numbers[row], self._scopes[row] = number, entry.scope
        self._lengths[row] = found.total()
        self._counted[row], self._live[row] = counted, record.expired is None
        self._rows[number] = row
        for term, count in found.items():
            posting = self._postings.get(term)
            if posting is None:
                posting = self._postings[term] = (array("q"), array("q"))
            posting[0].append(row)
            posting[1].append(count)

    def _append(self) -> int:
        row = self._size
        self._size += 1
        if row == len(self._numbers):
            for name in ("_numbers", "_scopes", "_lengths", "_counted", "_live"):
                old = getattr(self, name)
                setattr(self, name, np.concatenate([old, np.zeros_like(old)]))
        return row

    def _of(self, scopes: Sequence[int]) -> NDArray[np.bool_]:
        """Which rows are of some scopes, whoever may see them."""
        own = self._scopes[: self._size]
        if len(scopes) == 1:
            only: NDArray[np.bool_] = own == scopes[0]
            return only
        return np.isin(own, scopes)

    def statistics(
        self, scopes: Sequence[int], wanted: Iterable[str], own: Sequence[Record]
    ) -> TermStatistics:
        """Counts over what everybody sees of the scopes, and over a run's own open records.

        Args:
            scopes: Numbers of the visible scopes.
            wanted: The terms to count.
            own: The open records.
        """
        counted = self._of(scopes) & self._counted[: self._size]
        documents = int(counted.sum())
        length = int(self._lengths[: self._size][counted].sum())
        frequency = {}
        for term in sorted(wanted):
            posting = self._postings.get(term)
            there = [] if posting is None else counted[np.array(posting[0])]
            frequency[term] = int(np.count_nonzero(there))
        for record in own:
            found = Counter(index_terms(record.text, record.keys))
            documents += 1
            length += found.total()
            for term in frequency.keys() & found.keys():
                frequency[term] += 1
        return TermStatistics(documents=documents, terms=length, frequency=frequency)

    def ranking(self, scopes: Sequence[int], statistics: TermStatistics) -> Ranking:
        """Ranks the records of some scopes for one text after the other, by BM25.

        Args:
            scopes: Numbers of the visible scopes.
            statistics: Of this tier.
        """
        mean = max(statistics.terms / max(statistics.documents, 1), 1.0)
        return Ranking(
            statistics=statistics,
            postings=self._postings,
            numbers=self._numbers[: self._size],
            seen=self._of(scopes) & self._live[: self._size],
            norm=_K1 * (1 - _B + _B / mean * self._lengths[: self._size]),
        )


@dataclass(frozen=True, slots=True)
class Ranking:
    """The records of some scopes as they are ranked; r rows.

    Attributes:
        statistics: Counts of the terms.
        postings: For each term the rows it occurs in, and how often.
        numbers: Of the records; shape (r,).
        seen: Which rows are looked at; shape (r,).
        norm: What BM25 adds to a count because of the record's length; shape (r,).
        weighed: What each term that was asked for adds to the rows it occurs in.
    """

    statistics: TermStatistics
    postings: Mapping[str, tuple[array[int], array[int]]]
    numbers: NDArray[np.int64]
    seen: NDArray[np.bool_]
    norm: NDArray[np.float64]
    weighed: dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]] = field(default_factory=dict)

    def of(self, terms: Iterable[str]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Numbers of the records with any of the terms, and their scores.

        Returns:
            Two arrays of shape (n,), in no order.
        """
        scores = np.zeros(len(self.numbers))
        for term in terms:
            if term in self.postings:
                rows, values = self.weighed.get(term) or self._weigh(term)
                scores[rows] += values
        rows = np.flatnonzero((scores > 0) & self.seen)
        return self.numbers[rows], scores[rows]

    def _weigh(self, term: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        rows, counts = map(np.array, self.postings[term])
        frequency = self.statistics.frequency[term]
        idf = np.log1p((self.statistics.documents - frequency + 0.5) / (frequency + 0.5))
        values = idf * counts * (_K1 + 1) / (counts + self.norm[rows])
        self.weighed[term] = (rows, values)
        return rows, values


class Replica:
    """The records of the searchable tiers, the links between them, and their terms.

    Hold `lock` while using it; `sync` first.
    """

    def __init__(self, largest: int = LARGEST) -> None:
        self.lock = threading.RLock()
        self._largest = largest
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        with self.lock:
            self._too_large = self._loaded = False
            self._changes = 0
            self._link = 0
            self._position = 0
            self.entries: dict[int, Entry] = {}
            self.numbers: dict[str, int] = {}
            self.open: dict[str, set[int]] = {}
            self.words: dict[Tier, Words] = {tier: Words() for tier in sorted(SEARCHABLE)}
            self.out: dict[tuple[int, LinkType], Shelf] = {}
            self.into: dict[tuple[int, LinkType], Shelf] = {}

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

    # --- records ------------------------------------------------------------------------------

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
                self._put(number, Entry(record, row[-2], row[-1]))

    def _put(self, number: int, entry: Entry) -> None:
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

    # --- links --------------------------------------------------------------------------------

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
            self._shelve([*fresh, *gone])

    def _shelve(self, rows: Iterable[Sequence[Any]]) -> None:
        """Enter links between records that are kept; nearly all others are of steps."""
        entries = self.entries
        placed: dict[tuple[bool, int, LinkType], list[tuple[Any, ...]]] = {}
        for number, source, target, name, via, weight, added, expired in rows:
            near = entries.get(source)
            if near is None:
                continue
            far = entries.get(target)
            if far is None:
                continue
            type_ = _TYPES[name]
            src, dst = near.record.id, far.record.id
            link = Link(
                src=src, dst=dst, type=type_, via=via, weight=weight, added=added, expired=expired
            )
            for outward, one, other, far_id in (
                (True, source, target, dst),
                (False, target, source, src),
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


_TYPES = {type_.value: type_ for type_ in LinkType}
