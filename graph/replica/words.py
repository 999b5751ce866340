"""The terms of records in memory, and how well each record suits some of them."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..records import Record
from ..store import TermStatistics
from ..text import index_terms
from .entry import Entry

_GROW = 1024
_K1 = 1.2
_B = 0.75


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
