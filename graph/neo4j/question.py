"""What a search asks a server for, and what becomes of the answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..records import Record, Tier
from ..replica import Query
from ..store import Candidates, Filter, Hit, TermStatistics, Vectors, passes_then
from ..text import index_terms, index_token, terms
from . import cypher
from .read import filter_map

WORDS = 64
"""Distinct words of a text that are looked up at most, the longest ones."""
OVER = 2
"""An index is asked for so many times k, since some of it may not be seen or not pass."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a search asks for.

    Attributes:
        texts: Any of them may be matched.
        vectors: Any of them may be near; shape (n, width). None where none can be compared.
        tiers: Those searched, each with what its hits must satisfy.
        k: How many of each tier for each text and vector.
        wanted: The terms of all texts.
    """

    texts: Sequence[str]
    vectors: Vectors | None
    tiers: tuple[tuple[Tier, Filter], ...]
    k: int
    wanted: frozenset[str]

    @classmethod
    def of(cls, query: Query, vectors: Vectors | None) -> Question:
        """The question of a search.

        Args:
            query: What is asked for.
            vectors: Those of it that can be compared with the store's.
        """
        tiers = tuple((tier, query.of(tier)) for tier in query.chosen())
        return cls(query.texts, vectors, tiers, query.k, frozenset(query.wanted()))

    def text(self, *, exact: bool, quarantine: bool) -> str:
        """The Cypher; see `cypher.search`."""
        return cypher.search(
            self.tiers,
            lexical=bool(self.wanted),
            vectors=self.vectors is not None,
            exact=exact,
            quarantine=quarantine,
        )

    def parameters(self, scopes: Sequence[str]) -> dict[str, Any]:
        """Its parameters, for a reader of some scopes."""
        values: dict[str, Any] = {
            "tiers": [tier.value for tier, _ in self.tiers],
            "tokens": sorted(map(index_token, self.wanted)),
            "k": self.k,
            "over": OVER * self.k,
            "vectors": [] if self.vectors is None else self.vectors.tolist(),
            "compared": self.vectors is not None,
        }
        for number, (tier, where) in enumerate(self.tiers):
            values[f"tier{number}"] = tier.value
            values[f"words{number}"] = [
                _lucene(words, scopes, tier, where)
                for text in self.texts
                if (words := _words(text))
            ]
            values[f"f{number}"] = filter_map(where)
        return values

    def statistics(self, found: Mapping[str, Any]) -> dict[Tier, TermStatistics]:
        """The counts that are kept, and those of the open trials of the reader's own run."""
        tokens = {index_token(term): term for term in self.wanted}
        documents: Counter[str] = Counter()
        lengths: Counter[str] = Counter()
        frequency: dict[str, Counter[str]] = {tier.value: Counter() for tier, _ in self.tiers}
        for tier, count, length in found["totals"]:
            documents[tier] += count
            lengths[tier] += length
        for tier, token, count in found["frequency"]:
            frequency[tier][tokens[token]] += count
        for tier, body in found["own"]:
            own = Counter(body.split())
            documents[tier] += 1
            lengths[tier] += own.total()
            for token in own.keys() & tokens.keys():
                frequency[tier][tokens[token]] += 1
        return {
            tier: TermStatistics(
                documents=documents[tier.value],
                terms=lengths[tier.value],
                frequency={term: frequency[tier.value][term] for term in sorted(self.wanted)},
            )
            for tier, _ in self.tiers
        }

    def scan(self, everything: Sequence[tuple[Record, tuple[float, ...], int]]) -> Candidates:
        """Candidates among all records of the past: the most words, the nearest vectors."""
        hits: dict[str, Hit] = {}
        counted: dict[Tier, TermStatistics] = {}
        for tier, where in self.tiers:
            own = [
                (one, cosine, Counter(index_terms(one.text, one.keys)), remaining)
                for one, cosine, remaining in everything
                if one.tier is tier
            ]
            counted[tier] = TermStatistics(
                documents=len(own),
                terms=sum(found.total() for _, _, found, _ in own),
                frequency={
                    term: sum(term in found for _, _, found, _ in own)
                    for term in sorted(self.wanted)
                },
            )
            passing = [
                one[:3]
                for one in own
                if passes_then(one[0], where, one[3]) and _holds(one[0], where)
            ]
            for text in self.texts:
                words = set(terms(text))
                shared = [(len(words & found.keys()), one, c) for one, c, found in passing]
                shared = [entry for entry in shared if entry[0]]
                shared.sort(key=lambda entry: (-entry[0], entry[1].id))
                hits |= {one.id: Hit(one, c) for _, one, c in shared[: self.k]}
            for number in range(0 if self.vectors is None else len(self.vectors)):
                near = [(c[number], one, c) for one, c, _ in passing if c]
                near.sort(key=lambda entry: (-entry[0], entry[1].added, entry[1].id))
                hits |= {one.id: Hit(one, c) for _, one, c in near[: self.k]}
        return Candidates(tuple(hits[id_] for id_ in sorted(hits)), counted)


def _holds(one: Record, where: Filter) -> bool:
    """Whether a record satisfies the parts of a filter that never change."""
    if where.kinds and one.kind not in where.kinds:
        return False
    if where.roles and one.provenance.role and one.provenance.role not in where.roles:
        return False
    if where.sources and one.provenance.source not in where.sources:
        return False
    if one.created_at is not None:
        if where.since is not None and one.created_at < where.since:
            return False
        if where.until is not None and one.created_at >= where.until:
            return False
    if where.task_key and one.task_key != where.task_key:
        return False
    at = where.valid_at
    if at is None or one.kind != "fact":
        return True
    return (one.valid_from is None or one.valid_from <= at) and (
        one.valid_to is None or one.valid_to > at
    )


def _words(text: str) -> list[str]:
    """The words of a text as tokens of the index; of too many, the longest."""
    found = sorted(set(terms(text)))
    if len(found) > WORDS:
        found = sorted(sorted(found, key=lambda word: (-len(word), word))[:WORDS])
    return [index_token(word) for word in found]


def _lucene(words: Sequence[str], scopes: Sequence[str], tier: Tier, where: Filter) -> str:
    """A query of the full-text index. All of it is letters and digits, or a checked scope."""
    body = " OR ".join(f'"{word}"' for word in words)
    seen = " OR ".join(f'"{scope}"' for scope in scopes)
    query = f'(+body:({body}) +scope:({seen})^0 +tier:"{tier.value}"^0'
    if where.statuses:
        statuses = " OR ".join(f'"{status.value}"' for status in sorted(where.statuses))
        query += f" +status:({statuses})^0"
    return query + ")"
