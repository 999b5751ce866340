"""How much of what exhaustive scoring ranks first is among the candidates that a recall looked at.

The calls are watched while they are timed; afterwards the same scorer ranks all trials and insights
that each of them saw.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..graph import (
    SEARCHABLE,
    Candidates,
    Filter,
    Hit,
    Hop,
    Record,
    SourceCounts,
    TermStatistics,
    Tier,
    Vectors,
    View,
    Walk,
    terms,
)
from ..graph.text import index_terms
from ..memory.baselines import score_trials
from ..memory.embedders import Embedder, embed_async
from ..memory.hierarchical import Hierarchical
from ..memory.scoring import WEIGHTS
from ..memory.strategy import Candidate, Cue

TOP = 10
SHORTLIST = 400
_SAME = 1e-6
"""Scores that differ by less are the same: of equals, any may be among the first."""


@dataclass(frozen=True, slots=True)
class Call:
    """One recall, as the store saw it.

    Attributes:
        cue: What it was for.
        position: The journal position of its View.
        found: What its searches gave.
    """

    cue: Cue
    position: int
    found: tuple[Candidates, ...]


class Watched(Hierarchical):
    """The default strategy, keeping what its searches find while `watching`.

    Attributes:
        calls: What was kept.
        watching: Whether to.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.watching = False

    async def retrieve(self, view: View, cue: Cue) -> Sequence[Candidate]:
        """As the default strategy does."""
        if not self.watching:
            return await super().retrieve(view, cue)
        watched = _WatchedView(view)
        answer = await super().retrieve(watched, cue)
        self.calls.append(Call(cue, view.position, tuple(watched.found)))
        return answer


@dataclass(frozen=True, slots=True)
class _WatchedView:
    """A `View` that keeps what its searches give."""

    view: View
    found: list[Candidates] = field(default_factory=list)

    @property
    def scope(self) -> str:
        return self.view.scope

    @property
    def position(self) -> int:
        return self.view.position

    async def search(
        self,
        texts: Sequence[str],
        vectors: Vectors | None = None,
        *,
        tiers: frozenset[Tier] = SEARCHABLE,
        k: int = 32,
        where: Filter | Mapping[Tier, Filter] = Filter(),
    ) -> Candidates:
        found = await self.view.search(texts, vectors, tiers=tiers, k=k, where=where)
        self.found.append(found)
        return found

    async def recent(
        self, *, tiers: frozenset[Tier], k: int, where: Filter = Filter()
    ) -> tuple[Record, ...]:
        return await self.view.recent(tiers=tiers, k=k, where=where)

    async def walk(self, seeds: Sequence[str], hops: Sequence[Hop]) -> Walk:
        return await self.view.walk(seeds, hops)

    async def get(self, ids: Sequence[str]) -> Mapping[str, Record]:
        return await self.view.get(ids)

    async def sources(self, names: Sequence[str]) -> Mapping[str, SourceCounts]:
        return await self.view.sources(names)


class Everything:
    """All records of one tier in the order they were added, to be ranked for any call."""

    def __init__(self, records: Sequence[Record], vectors: Vectors) -> None:
        """Of `records` and their vectors, shape (len(records), width), by position added."""
        self._records = records
        self._vectors = vectors
        self._added = [record.added for record in records]
        counted = [Counter(index_terms(one.text, one.keys)) for one in records]
        self._lengths = np.cumsum([0, *(count.total() for count in counted)])
        places: dict[str, list[int]] = {}
        for place, count in enumerate(counted):
            for term in count:
                places.setdefault(term, []).append(place)
        self._places = {term: np.asarray(found) for term, found in places.items()}

    @classmethod
    async def of(cls, view: View, tier: Tier, embedder: Embedder) -> Everything:
        """All of a tier that a View sees."""
        records = await view.recent(tiers=frozenset({tier}), k=1_000_000_000)
        records = tuple(sorted(records, key=lambda record: record.added))
        return cls(records, await embed_async(embedder, [record.text for record in records]))

    def ranked(self, call: Call) -> list[tuple[float, str]]:
        """Final score and id of all that can be among the first, best first."""
        seen = bisect_right(self._added, call.position)
        if not seen:
            return []
        nowhere = np.zeros(0, np.int64)
        places = {
            term: found[: int(np.searchsorted(found, seen))]
            for term in set(terms(call.cue.task))
            for found in [self._places.get(term, nowhere)]
        }
        statistics = TermStatistics(
            documents=seen,
            terms=int(self._lengths[seen]),
            frequency={term: len(found) for term, found in places.items()},
        )
        cosines = np.zeros(seen, np.float32)
        if call.cue.vector is not None:
            cosines = self._vectors[:seen] @ call.cue.vector
        hits = tuple(
            Hit(self._records[place], (float(cosines[place]),))
            for place in _shortlist(cosines, places)
        )
        found = Candidates(hits, {self._records[0].tier: statistics})
        return [(scores["final"], record.id) for record, scores in score_trials(found, call.cue)]


def _shortlist(
    cosines: NDArray[np.float32], places: Mapping[str, NDArray[np.int64]]
) -> NDArray[np.int64]:
    """Far more records than can be among the first, so that the scorer need not see them all.

    They are chosen by the cosine and the share of the words, the rare ones counting for more, which
    leaves out what the scorer adds: how often a word occurs, and the length.

    Args:
        cosines: Of all records with the task.
        places: Per word of the task, the records that have it.
    """
    n = len(cosines)
    weights = {term: math.log(1 + n / (1 + len(found))) for term, found in places.items()}
    share = np.zeros(n)
    for term, found in places.items():
        share[found] += weights[term] / sum(weights.values())
    rough = WEIGHTS["semantic"] * cosines.clip(0.0) + WEIGHTS["lexical"] * share
    chosen: NDArray[np.int64] = np.argsort(-rough, kind="stable")[: max(SHORTLIST, n // 20)]
    return chosen


def overlap(call: Call, tier: Tier, everything: Everything) -> float:
    """Share of the exhaustive top 10 that the candidates' own top 10 holds.

    The candidates are ranked with the cosines and the counts that the store gave. Of records that
    score the same as the tenth, any will do.

    Returns:
        Between 0 and 1; 1 if there is nothing to find.
    """
    best = everything.ranked(call)
    if not best:
        return 1.0
    scores = {id_: score for score, id_ in best}
    least = best[:TOP][-1][0] - _SAME
    found: dict[str, float] = {}
    for candidates in call.found:
        for record, channels in score_trials(candidates.of(tier), call.cue):
            found[record.id] = channels["final"]
    first = sorted(found, key=lambda id_: (-found[id_], id_))[:TOP]
    hits = sum(scores.get(id_, -1.0) >= least for id_ in first)
    return hits / min(TOP, len(best))
