"""Vectors in memory: an exact scan over one matrix."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..cosines import cosines
from ..records import Record, Tier
from ..store import Filter, Vectors

_GROW = 1024


class Lookup(Protocol):
    """Looks records up for a View."""

    def numbered(self, numbers: Sequence[int], where: Filter) -> dict[int, Record]:
        """Visible records by number that pass a filter."""
        ...


class VectorIndex:
    """All vectors of a store in one matrix, each record's once.

    Rows are only ever appended, so readers may scan while another thread appends: they hold the
    arrays they began with.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._size = 0
        self.width = 0
        self._matrix: Vectors = np.zeros((0, 0), np.float32)
        self._numbers: NDArray[np.int64] = np.zeros(0, np.int64)
        self._groups: NDArray[np.int64] = np.zeros(0, np.int64)
        self._rows: dict[int, int] = {}

    def put(self, rows: Sequence[tuple[int, int, Tier, Vectors]]) -> None:
        """Enter vectors, or put them in the place of those that these records had.

        Args:
            rows: Number of the record, number of its scope, its tier, the vector.
        """
        if not rows:
            return
        with self._lock:
            fresh = self._replace(rows)
            if not fresh:
                return
            self.width = len(fresh[0][3])
            self._reserve(self._size + len(fresh))
            end = self._size + len(fresh)
            self._matrix[self._size : end] = [row[3] for row in fresh]
            self._numbers[self._size : end] = [row[0] for row in fresh]
            self._groups[self._size : end] = [_group(row[1], row[2]) for row in fresh]
            for offset, row in enumerate(fresh):
                self._rows[row[0]] = self._size + offset
            self._size = end

    def _replace(self, rows: Sequence[Any]) -> list[Any]:
        """Put in the vectors of records that have one already; returns the other rows."""
        known = [row for row in rows if row[0] in self._rows]
        changed = [row for row in known if (self._matrix[self._rows[row[0]]] != row[3]).any()]
        if changed:
            # Readers hold the arrays they began with, so these are copied, not changed.
            self._matrix = self._matrix.copy()
            for row in changed:
                self._matrix[self._rows[row[0]]] = row[3]
        return [row for row in rows if row[0] not in self._rows]

    def _reserve(self, size: int) -> None:
        capacity = len(self._numbers)
        if size <= capacity and self._matrix.shape[1] == self.width:
            return
        capacity = max(size, 2 * capacity, _GROW)
        matrix = np.zeros((capacity, self.width), np.float32)
        numbers = np.zeros(capacity, np.int64)
        groups = np.zeros(capacity, np.int64)
        if self._size:
            matrix[: self._size] = self._matrix[: self._size]
            numbers[: self._size] = self._numbers[: self._size]
            groups[: self._size] = self._groups[: self._size]
        self._matrix, self._numbers, self._groups = matrix, numbers, groups

    def score(self, queries: Vectors) -> Scored:
        """The product of each query with every vector: the cosine, as both have the length one.

        Args:
            queries: Shape (n, width).
        """
        with self._lock:
            size, matrix = self._size, self._matrix
            numbers, groups = self._numbers[:size], self._groups[:size]
        # Scoring the rows of other scopes too is cheaper than copying those of these scopes.
        # Not through BLAS: for so small a product its threads cost more than they bring.
        return Scored(np.einsum("qw,nw->qn", queries, matrix[:size]), numbers, groups)

    def cosines(self, numbers: Sequence[int], queries: Vectors) -> list[tuple[float, ...]]:
        """The cosine of each query with each record; empty for one that has no vector.

        Args:
            numbers: Of the records.
            queries: Shape (n, width).
        """
        with self._lock:
            matrix = self._matrix
            rows = [self._rows.get(number) for number in numbers]
        there = [row for row in rows if row is not None]
        found = iter(cosines(queries, matrix[there]))
        return [() if row is None else next(found) for row in rows]


@dataclass(frozen=True, slots=True)
class Scored:
    """All vectors of a store, scored for some queries.

    Attributes:
        scores: Shape (queries, rows).
        numbers: The record of each row.
        groups: Scope and tier of each row.
    """

    scores: NDArray[np.float32]
    numbers: NDArray[np.int64]
    groups: NDArray[np.int64]

    def nearest(
        self,
        scopes: Sequence[int],
        tier: Tier,
        k: int,
        known: Mapping[int, Record],
        reader: Lookup,
        where: Filter,
    ) -> dict[int, Record]:
        """For each query the k nearest records that can be seen and pass the filter.

        Args:
            scopes: Numbers of the visible scopes.
            tier: The tier searched.
            k: How many for each query.
            known: Records found already.
            reader: Looks the records up.
            where: The filter.
        """
        wanted = np.zeros(len(self.groups), np.bool_)
        for scope in scopes:
            wanted |= self.groups == _group(scope, tier)
        rows = np.flatnonzero(wanted)
        numbers = self.numbers[rows]
        found: dict[int, Record] = {}
        for line in self.scores:
            found |= best(line[rows], numbers, min(k, len(rows)), known, reader, where)
        return found


def best(
    scores: NDArray[np.floating[Any]],
    numbers: NDArray[np.int64],
    k: int,
    known: Mapping[int, Record],
    reader: Lookup,
    where: Filter,
) -> dict[int, Record]:
    """The k best that can be seen and pass: a few more are tried, then four times those.

    Args:
        scores: One per row.
        numbers: The record of each row.
        k: How many.
        known: Records found already.
        reader: Looks the records up.
        where: The filter.
    """
    visible: dict[int, Record] = {}
    total = len(scores)
    start, end = 0, min(k + k // 4, total)
    while start < end:
        top = np.argpartition(-scores, end - 1)[:end] if end < total else np.arange(end)
        # Ties by number, which is the order of adding and the same in every run.
        order = top[np.lexsort((numbers[top], -scores[top]))]
        batch = numbers[order[start:end]].tolist()
        seen = reader.numbered([number for number in batch if number not in known], where)
        for number in batch:
            record = seen.get(number) or known.get(number)
            if record is not None and len(visible) < k:
                visible[number] = record
        if len(visible) >= k:
            break
        start, end = end, min(4 * end, total)
    return visible


def _group(scope: int, tier: Tier) -> int:
    return 2 * scope + (tier is Tier.INSIGHT)
