"""Candidates for texts and vectors: the full-text index for the present, a scan for the past."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence

from ..records import Record, Tier
from ..replica import Query
from ..replica import search as search_replica
from ..replica.search import candidates, comparable, rarest
from ..replica.vectors import Scored
from ..store import Candidates, Filter, TermStatistics
from ..text import index_terms, index_token
from .present import PresentReader
from .read import RANK, Reader
from .replica import TableVectors

ENOUGH = 512
"""Once so many records may match, commoner terms are looked up only if too few remain."""


def search(
    connection: sqlite3.Connection, reader: Reader, index: TableVectors, query: Query
) -> Candidates:
    """The candidates of every channel, ordered by id.

    Args:
        connection: In a snapshot.
        reader: What may be seen.
        index: The vectors of the store.
        query: What is asked for.
    """
    if query.vectors is not None and len(query.vectors):
        index.refresh(connection)
    if isinstance(reader, PresentReader):
        return search_replica(reader.present, index, query)
    wanted = query.wanted()
    queries = comparable(index, query.vectors)
    scored = None if queries is None else index.score(queries)
    counted: dict[Tier, TermStatistics] = {}
    found: dict[int, Record] = {}
    for tier in query.chosen():
        counted[tier], records = _of_tier(connection, reader, query, scored, tier, wanted)
        found |= records
    return candidates(found, counted, index, queries)


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
    if past is not None:
        statistics = past.statistics(wanted)
    else:
        statistics = _statistics(connection, reader, tiers, wanted)
    found: dict[int, Record] = {}
    if not reader.lens.scopes:
        return statistics, found
    for text in query.texts:
        rare = rarest(text, statistics)
        if rare and past is not None:
            found |= past.lexical(rare, query.k, where)
        elif rare:
            few = _enough(rare, statistics)
            best = _lexical(reader, few, tiers, query.k, where)
            if len(best) < query.k and len(few) < len(rare):
                best = _lexical(reader, rare, tiers, query.k, where)
            found |= best
    if scored is not None:
        found |= scored.nearest(reader.lens.scopes, tier, query.k, found, reader, where)
    return statistics, found


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
