"""The one scorer: from text, vectors and per-scope statistics to a final score.

Stores only return candidates; because this module computes the score, they agree.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from ..graph import Record, TermStatistics, terms

_K1 = 1.2
_B = 0.75

WEIGHTS: Mapping[str, float] = {"semantic": 0.45, "lexical": 0.35, "context": 0.2}
"""Weight of each channel in the final score of a trial."""


def bm25(query: str, record: Record, statistics: TermStatistics) -> float:
    """BM25 (Robertson and Zaragoza 2009) of a record, as a share of the query's own score.

    Returns:
        In [0, 1]; 1 for a record with the very terms of the query.
    """
    wanted = Counter(terms(query))
    if not wanted:
        return 0.0
    own = _raw(wanted, wanted, statistics)
    if own <= 0.0:
        return 0.0
    found = Counter(terms(record.text))
    for key in record.keys:
        found.update(terms(key))
    return min(1.0, _raw(wanted, found, statistics) / own)


def _raw(wanted: Counter[str], found: Counter[str], statistics: TermStatistics) -> float:
    documents = max(statistics.documents, 1)
    mean = max(statistics.terms / documents, 1.0)
    length = found.total()
    score = 0.0
    for term in wanted:
        count = found.get(term, 0)
        if count:
            frequency = min(statistics.frequency.get(term, 0), documents)
            idf = math.log(1.0 + (documents - frequency + 0.5) / (frequency + 0.5))
            score += idf * count * (_K1 + 1) / (count + _K1 * (1 - _B + _B * length / mean))
    return score


def overlap(a: frozenset[str], b: frozenset[str]) -> float:
    """Jaccard overlap of two sets, 0 when both are empty."""
    union = len(a | b)
    return len(a & b) / union if union else 0.0


def weigh(channels: Mapping[str, float], weights: Mapping[str, float] = WEIGHTS) -> float:
    """Weighted mean of the channels that are present, so that a missing one costs nothing."""
    total = sum(weights[name] for name in channels if name in weights)
    if not total:
        return 0.0
    return sum(weights[name] * channels[name] for name in channels if name in weights) / total
