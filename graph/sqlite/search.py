"""Candidates for texts and vectors: the full-text index for the present, a scan for the past."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from ..records import Record, Tier
from ..store import SEARCHABLE, Candidates, Filter, Hit, TermStatistics, Vectors
from ..text import index_terms, index_token, terms
from .present import PresentReader
from .read import RANK, Reader
from .vectors import Scored, VectorIndex, best

RAREST = 8
"""Terms of a query text that are looked up at most."""
ENOUGH = 512
"""Once so many records may match, commoner terms are looked up only if too few remain."""


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


def search(
    connection: sqlite3.Connection, reader: Reader, index: VectorIndex, query: Query
) -> Candidates:
    """The candidates of every channel, ordered by id.

    Args:
        connection: In a snapshot.
        reader: What may be seen.
        index: The vectors of the store.
        query: What is asked for.
    """
    tiers = sorted(query.tiers & SEARCHABLE)
    wanted = {term for text in query.texts for term in terms(text)}
    queries = _comparable(connection, index, query.vectors)
    scored = None if queries is None else index.score(queries)
    counted: dict[Tier, TermStatistics] = {}
    found: dict[int, Record] = {}
    for tier in tiers:
        counted[tier], records = _of_tier(connection, reader, query, scored, tier, wanted)
        found |= records
    cosines = repeat(()) if queries is None else index.cosines(list(found), queries)
    hits = [Hit(record, cosine) for record, cosine in zip(found.values(), cosines, strict=False)]
    hits.sort(key=lambda hit: hit.record.id)
    return Candidates(tuple(hits), counted)


def _of_tier(
    connection: sqlite3.Connection,
    reader: Reader,
    query: Query,
    scored: Scored | None,
    tier: Tier,
    wanted: set[str],
) -> tuple[TermStatistics, dict[int, Record]]:
    """The term statistics of one tier, and its candidates by words and by vectors."""
    tiers, where = frozenset({tier}), query.of(tier)
    past = _Past(reader, tiers) if reader.lens.historic else None
    kept = _Kept(reader, tier, wanted) if isinstance(reader, PresentReader) else None
    if past is not None:
        statistics = past.statistics(wanted)
    elif kept is not None:
        statistics = kept.statistics
    else:
        statistics = _statistics(connection, reader, tiers, wanted)
    found: dict[int, Record] = {}
    if not reader.lens.scopes:
        return statistics, found
    for text in query.texts:
        rarest = _rarest(text, statistics)
        if rarest and past is not None:
            found |= past.lexical(rarest, query.k, where)
        elif rarest and kept is not None:
            found |= kept.lexical(rarest, query.k, where, found)
        elif rarest:
            few = _enough(rarest, statistics)
            best = _lexical(reader, few, tiers, query.k, where)
            if len(best) < query.k and len(few) < len(rarest):
                best = _lexical(reader, rarest, tiers, query.k, where)
            found |= best
    if scored is not None:
        found |= scored.nearest(reader.lens.scopes, tier, query.k, found, reader, where)
    return statistics, found


def _comparable(
    connection: sqlite3.Connection, index: VectorIndex, vectors: Vectors | None
) -> Vectors | None:
    if vectors is None or not len(vectors):
        return None
    index.refresh(connection)
    if vectors.ndim != 2 or vectors.shape[1] != index.width:
        return None
    return np.ascontiguousarray(vectors, np.float32)


def _rarest(text: str, statistics: TermStatistics) -> list[str]:
    frequency = statistics.frequency
    known = {term for term in terms(text) if frequency.get(term, 0) > 0}
    return sorted(known, key=lambda term: (frequency[term], term))[:RAREST]


def _enough(rarest: Sequence[str], statistics: TermStatistics) -> Sequence[str]:
    """The first of the terms, until enough records may match."""
    total = 0
    for count, term in enumerate(rarest):
        if count and total + statistics.frequency[term] > ENOUGH:
            return rarest[:count]
        total += statistics.frequency[term]
    return rarest


def _statistics(
    connection: sqlite3.Connection, reader: Reader, tiers: frozenset[Tier], wanted: set[str]
) -> TermStatistics:
    """From the counts that are kept, and from the open trials of the reader's own run."""
    scopes = json.dumps(reader.lens.scopes)
    names = json.dumps(sorted(tier.value for tier in tiers))
    documents, length = connection.execute(
        "SELECT coalesce(sum(documents), 0), coalesce(sum(terms), 0) FROM term_totals "
        "WHERE scope IN (SELECT value FROM json_each(?)) "
        "AND tier IN (SELECT value FROM json_each(?))",
        (scopes, names),
    ).fetchone()
    tokens = {index_token(term): term for term in wanted}
    frequency = dict.fromkeys(sorted(wanted), 0)
    for token, count in connection.execute(
        "SELECT term, sum(documents) FROM terms WHERE term IN (SELECT value FROM json_each(?)) "
        "AND scope IN (SELECT value FROM json_each(?)) "
        "AND tier IN (SELECT value FROM json_each(?)) GROUP BY term",
        (json.dumps(sorted(tokens)), scopes, names),
    ):
        frequency[tokens[token]] = count
    for record in reader.own_open(tiers):
        found = Counter(index_terms(record.text, record.keys))
        documents += 1
        length += found.total()
        for term in wanted & found.keys():
            frequency[term] += 1
    return TermStatistics(documents=documents, terms=length, frequency=frequency)


def _lexical(
    reader: Reader, rarest: Sequence[str], tiers: frozenset[Tier], k: int, where: Filter
) -> dict[int, Record]:
    """The k best by the index's own measure that can be seen and pass the filter."""
    match = (
        f"scope : ({' OR '.join(f's{number}' for number in reader.lens.scopes)}) AND "
        f"tier : ({' OR '.join(sorted(tier.value for tier in tiers))}) AND "
        f"body : ({' OR '.join(chr(34) + index_token(term) + chr(34) for term in rarest)})"
    )
    # Nearly all that matches passes, so looking at all of it before ranking is a waste.
    few = k + k // 4
    best = reader.matching(match, few)
    found = reader.numbered(best, where)
    if len(found) < k and len(best) == few:
        return reader.select(
            "fulltext MATCH ?",
            [match],
            where,
            source="fulltext JOIN records r ON r.n = fulltext.rowid JOIN scopes s ON s.n = r.scope",
            tail=f"ORDER BY {RANK} LIMIT ?",
            tail_parameters=[k],
        )
    return {number: found[number] for number in [n for n in best if n in found][:k]}


class _Kept:
    """The records of one tier that are kept in memory."""

    def __init__(self, reader: PresentReader, tier: Tier, wanted: set[str]) -> None:
        words, scopes = reader.replica.words[tier], reader.lens.scopes
        own = reader.own_open(frozenset({tier}))
        self._reader = reader
        self.statistics = words.statistics(scopes, wanted, own)
        self._ranking = words.ranking(scopes, self.statistics)

    def lexical(
        self, rarest: Sequence[str], k: int, where: Filter, known: Mapping[int, Record]
    ) -> dict[int, Record]:
        """The k best by BM25 over the terms that can be seen and pass the filter.

        Args:
            rarest: The terms.
            k: How many.
            where: The filter.
            known: Records that are known to pass.
        """
        numbers, scores = self._ranking.of(rarest)
        return best(scores, numbers, min(k, len(numbers)), known, self._reader, where)


class _Past:
    """All searchable records as they were, for want of an index of the past."""

    def __init__(self, reader: Reader, tiers: frozenset[Tier]) -> None:
        self._reader = reader
        self._records = reader.of_tiers(tiers) if tiers else {}
        self._found: Mapping[int, Counter[str]] = {
            number: Counter(index_terms(record.text, record.keys))
            for number, record in self._records.items()
        }

    def statistics(self, wanted: set[str]) -> TermStatistics:
        return TermStatistics(
            documents=len(self._found),
            terms=sum(found.total() for found in self._found.values()),
            frequency={
                term: sum(term in found for found in self._found.values())
                for term in sorted(wanted)
            },
        )

    def lexical(self, rarest: Sequence[str], k: int, where: Filter) -> dict[int, Record]:
        """The k records with the most of the terms."""
        shared = {
            number: sum(term in found for term in rarest) for number, found in self._found.items()
        }
        passing = self._reader.numbered([n for n, count in shared.items() if count], where)
        best = sorted(passing, key=lambda number: (-shared[number], passing[number].id))
        return {number: passing[number] for number in best[:k]}
