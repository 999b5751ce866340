"""Candidates for texts and vectors among the records that are kept in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from ..records import Record, Tier
from ..store import SEARCHABLE, Candidates, Filter, Hit, TermStatistics, Vectors
from ..text import terms
from .present import Present
from .vectors import Scored, VectorIndex, best

RAREST = 8
"""Terms of a query text that are looked up at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What a search asks for; see `View.search`."""

    texts: Sequence[str]
    vectors: Vectors | None
    tiers: frozenset[Tier]
    k: int
    where: Filter | Mapping[Tier, Filter]

    def of(self, tier: Tier) -> Filter:
        """What the hits of a tier must satisfy."""
        if isinstance(self.where, Filter):
            return self.where
        return self.where.get(tier, Filter())

    def chosen(self) -> Sequence[Tier]:
        """The tiers that can be searched."""
        return sorted(self.tiers & SEARCHABLE)

    def wanted(self) -> set[str]:
        """The terms of all texts."""
        return {term for text in self.texts for term in terms(text)}


def search(present: Present, index: VectorIndex, query: Query) -> Candidates:
    """The candidates of every channel, ordered by id.

    Args:
        present: What may be seen.
        index: The vectors of the store, up to date.
        query: What is asked for.
    """
    wanted = query.wanted()
    queries = comparable(index, query.vectors)
    scored = None if queries is None else index.score(queries)
    counted: dict[Tier, TermStatistics] = {}
    found: dict[int, Record] = {}
    for tier in query.chosen():
        counted[tier], records = _of_tier(present, query, scored, tier, wanted)
        found |= records
    return candidates(found, counted, index, queries)


def candidates(
    found: Mapping[int, Record],
    counted: Mapping[Tier, TermStatistics],
    index: VectorIndex,
    queries: Vectors | None,
) -> Candidates:
    """What was found, ordered by id, with the cosines.

    Args:
        found: Records by number.
        counted: The term statistics of each tier.
        index: The vectors of the store.
        queries: See `comparable`.
    """
    cosines = repeat(()) if queries is None else index.cosines(list(found), queries)
    hits = [Hit(record, cosine) for record, cosine in zip(found.values(), cosines, strict=False)]
    hits.sort(key=lambda hit: hit.record.id)
    return Candidates(tuple(hits), counted)


def comparable(index: VectorIndex, vectors: Vectors | None) -> Vectors | None:
    """The vectors of a question, if those of the store are of their width."""
    if vectors is None or not len(vectors) or vectors.ndim != 2:
        return None
    if vectors.shape[1] != index.width:
        return None
    return np.ascontiguousarray(vectors, np.float32)


def rarest(text: str, statistics: TermStatistics) -> list[str]:
    """The terms of a text that are looked up: those in the fewest records."""
    frequency = statistics.frequency
    known = {term for term in terms(text) if frequency.get(term, 0) > 0}
    return sorted(known, key=lambda term: (frequency[term], term))[:RAREST]


def _of_tier(
    present: Present, query: Query, scored: Scored | None, tier: Tier, wanted: set[str]
) -> tuple[TermStatistics, dict[int, Record]]:
    """The term statistics of one tier, and its candidates by words and by vectors."""
    words, where, scopes = present.replica.words[tier], query.of(tier), sorted(present.scopes)
    statistics = words.statistics(scopes, wanted, present.own_open(frozenset({tier})))
    found: dict[int, Record] = {}
    if not scopes:
        return statistics, found
    ranking = words.ranking(scopes, statistics)
    for text in query.texts:
        if few := rarest(text, statistics):
            numbers, scores = ranking.of(few)
            found |= best(scores, numbers, min(query.k, len(numbers)), found, present, where)
    if scored is not None:
        found |= scored.nearest(scopes, tier, query.k, found, present, where)
    return statistics, found
