"""The one scorer: from text, vectors and per-scope statistics to a final score.

Stores only return candidates; because this module computes the score, they agree.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache

from ..graph import Record, TermStatistics, terms
from ..graph.text import index_terms

_K1 = 1.2
_B = 0.75
_LONG = 2000

WEIGHTS: Mapping[str, float] = {"semantic": 0.45, "lexical": 0.35, "context": 0.2}
"""Weight of each channel in the final score of a trial."""


class Bm25:
    """BM25 (Robertson and Zaragoza 2009) of records for one query."""

    def __init__(self, query: str, statistics: TermStatistics) -> None:
        """Weigh the terms of the query.

        Args:
            query: Any text.
            statistics: Counts over the records that will be scored.
        """
        documents = max(statistics.documents, 1)
        self._mean = max(statistics.terms / documents, 1.0)
        wanted = Counter(terms(query))
        self._idf: dict[str, float] = {}
        for term in wanted:
            frequency = min(statistics.frequency.get(term, 0), documents)
            self._idf[term] = math.log(1.0 + (documents - frequency + 0.5) / (frequency + 0.5))
        self._own = self._raw(wanted, wanted.total())

    def score(self, record: Record) -> float:
        """A record's score as a share of the query's own: in [0, 1], 1 for its very terms."""
        if self._own <= 0.0:
            return 0.0
        return min(1.0, self._raw(*_counted(record.text, record.keys)) / self._own)

    def _raw(self, found: Mapping[str, int], length: int) -> float:
        score = 0.0
        norm = _K1 * (1 - _B + _B * length / self._mean)
        for term, idf in self._idf.items():
            if term in found:
                count = found[term]
                score += idf * count * (_K1 + 1) / (count + norm)
        return score


@lru_cache(maxsize=16_384)
def _counted_short(text: str, keys: tuple[str, ...]) -> tuple[Mapping[str, int], int]:
    found = Counter(index_terms(text, keys))
    return dict(found), found.total()


def _counted(text: str, keys: tuple[str, ...]) -> tuple[Mapping[str, int], int]:
    """How often each term occurs, and how many there are; of short texts it is remembered."""
    if len(text) > _LONG:
        return _counted_short.__wrapped__(text, keys)
    return _counted_short(text, keys)


def bm25(query: str, record: Record, statistics: TermStatistics) -> float:
    """`Bm25` of a single record."""
    return Bm25(query, statistics).score(record)


def overlap(a: frozenset[str], b: frozenset[str]) -> float:
    """Jaccard overlap of two sets, 0 when both are empty."""
    union = len(a | b)
    return len(a & b) / union if union else 0.0


def weigh(channels: Mapping[str, float], weights: Mapping[str, float] = WEIGHTS) -> float:
    """Weighted mean of the channels that are present, so that a missing one costs nothing."""
    total = weighted = 0.0
    for name, value in channels.items():
        if name in weights:
            total += weights[name]
            weighted += weights[name] * value
    return weighted / total if total else 0.0
