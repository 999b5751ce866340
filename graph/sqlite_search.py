"""Candidates for texts and vectors: the full-text index for the present, a scan for the past."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .records import Record, Tier
from .sqlite_index import index_terms, index_token
from .sqlite_read import Reader
from .sqlite_vectors import VectorIndex
from .store import SEARCHABLE, Candidates, Filter, Hit, TermStatistics, Vectors
from .text import terms

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
    where: Filter


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
    tiers = query.tiers & SEARCHABLE
    wanted = {term for text in query.texts for term in terms(text)}
    past = _Past(reader, tiers) if reader.lens.historic else None
    if past is not None:
        statistics = past.statistics(wanted)
    else:
        statistics = _statistics(connection, reader, tiers, wanted)
    found: dict[int, Record] = {}
    if not reader.lens.scopes or not tiers:
        return Candidates((), statistics)
    for text in query.texts:
        rarest = _rarest(text, statistics)
        if rarest and past is not None:
            found |= past.lexical(rarest, query)
        elif rarest:
            few = _enough(rarest, statistics)
            best = _lexical(reader, few, tiers, query)
            if len(best) < query.k and len(few) < len(rarest):
                best = _lexical(reader, rarest, tiers, query)
            found |= best
    queries = _comparable(connection, index, query.vectors)
    if queries is not None:
        found |= index.nearest(
            queries, reader.lens.scopes, tiers, query.k, found, reader, query.where
        )
    hits = [
        Hit(record, () if queries is None else index.cosines(number, queries))
        for number, record in found.items()
    ]
    hits.sort(key=lambda hit: hit.record.id)
    return Candidates(tuple(hits), statistics)


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
        found = Counter(index_terms(record))
        documents += 1
        length += found.total()
        for term in wanted & found.keys():
            frequency[term] += 1
    return TermStatistics(documents=documents, terms=length, frequency=frequency)


def _lexical(
    reader: Reader, rarest: Sequence[str], tiers: frozenset[Tier], query: Query
) -> dict[int, Record]:
    match = (
        f"scope : ({' OR '.join(f's{number}' for number in reader.lens.scopes)}) AND "
        f"tier : ({' OR '.join(sorted(tier.value for tier in tiers))}) AND "
        f"body : ({' OR '.join(chr(34) + index_token(term) + chr(34) for term in rarest)})"
    )
    return reader.select(
        "fulltext MATCH ?",
        [match],
        query.where,
        source="fulltext f JOIN records r ON r.n = f.rowid JOIN scopes s ON s.n = r.scope",
        tail="ORDER BY bm25(fulltext, 0.0, 0.0, 1.0), r.id LIMIT ?",
        tail_parameters=[query.k],
    )


class _Past:
    """All searchable records as they were, for want of an index of the past."""

    def __init__(self, reader: Reader, tiers: frozenset[Tier]) -> None:
        self._reader = reader
        self._records = reader.of_tiers(tiers) if tiers else {}
        self._found: Mapping[int, Counter[str]] = {
            number: Counter(index_terms(record)) for number, record in self._records.items()
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

    def lexical(self, rarest: Sequence[str], query: Query) -> dict[int, Record]:
        """The k records with the most of the terms."""
        shared = {
            number: sum(term in found for term in rarest) for number, found in self._found.items()
        }
        passing = self._reader.numbered([n for n, count in shared.items() if count], query.where)
        best = sorted(passing, key=lambda number: (-shared[number], passing[number].id))
        return {number: passing[number] for number in best[: query.k]}
