"""`gmemory`: the algorithm of G-Memory (Zhang et al. 2025, arXiv 2506.07398), for comparison.

The three tiers are the paper's: interaction graph, query graph, insight graph (section 3). Reading
is coarse retrieval by similarity (equation 4) with one hop of the query graph (5), then upward to
the insights whose support set meets the trials found (6), and downward to the interaction graphs
of the most relevant trials, cut down to their core (7), told for the role that asks (8). Writing
adds the query, linked to the queries that were used and to those that support the insights that
were (9); insights are made by comparing trials (10), and a trial joins the evidence of the insights
it used (11). Constants name their source below and in `gmemory_insights`: the paper, or its
published code (github.com/bingreeky/GMemory), by the defaults there; where none is named the choice
is ours.

A language model is optional. Without one, or when its answer cannot be used:

- relevance of a trial: the similarity of the tasks;
- core of an interaction graph: `condense`, which keeps the steps that the outcome depended on. It
  is nearest to what the paper asks the model for; keeping the last occurrence of each step, say,
  would also keep what was tried in vain;
- telling for a role: the insights as they are;
- operations on insights: the contrast of `mining`, which compares successes with failures.

Deviations from the paper and its published code:

- Similarity is that of the embedder of the memory (the paper: MiniLM); of words without one.
- Both kinds of query link are followed: LED_TO (the paper's, equation 9) and SIMILAR (the code's,
  cosine of at least 0.7), so that the graph has edges where nothing was ever served.
- Insights are made in rounds after every fifth trial, as in the code; the paper makes one of each
  trial.
- A success joins the support set of an insight it used; a failure counts against it (REFUTES, and
  the score). In equation 11 both join the support set.
- Trials that a round compares are looked up by words.
- EDIT writes a new insight that supersedes the old one, with its support and score.
- Rewards are per served receipt, and only for what was acted on where agents say so.
- There is no merging of all insights after every 20 trials, which the code has and the paper does
  not: equal insights are one record, EDIT and REMOVE join the others.

Faults of the published code that are not repeated: the sparsifier here takes steps away; no state
is lost (each step is a record); few graph hits are not replaced by plain vector hits; a task is
identified by its record, not its string; a reward reaches the insight that was served, not one of
like wording; no merging can erase all insights; what was served is read from the receipts of the
trial, not from a shared object; all is one changeset; an unusable model answer ends in the
stand-in; failed trials are shown, as counter-examples; the interaction graph is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..graph import (
    Add,
    AddLink,
    Hop,
    Link,
    LinkType,
    Op,
    Record,
    SetStatus,
    Status,
    Tier,
    View,
    Walk,
    similar,
)
from .baselines import JUDGED, TRIALS, NoMemory
from .cases import case_of, steps_of, trial_candidate, without_observations
from .condense import condense
from .gmemory_insights import GUIDELINES, INSIGHTS, due, in_use, revise, score
from .gmemory_model import Advisor, AskModel, ModelCounts
from .insights import confidence
from .recall import Case, Placement, Recall, Rule
from .scoring import bm25
from .strategy import Candidate, ClosedTrial, Cue, Form

COARSE = 2
"""k, the trials found by similarity (paper, sections 5.1 and 5.4: 1 or 2)."""
HOPS = 1
"""Hops of the query graph (paper, section 5.4; published code: hop=1)."""
EXAMPLES = 2
"""Successful trials served (published code: successful_topk=2). With the failed ones they are the M
of the paper, which section 5.1 sets between 2 and 5."""
COUNTER_EXAMPLES = 1
"""Failed trials served (published code: failed_topk=1)."""
MOST_INSIGHTS = 10
"""Insights served (published code: insight_windows=10)."""
LEAST_SIMILAR = 0.3
"""Similarity from which a trial is served (published code: threshold=0.3)."""
LINKED_FROM = 0.7
"""Cosine from which two trials are linked as SIMILAR (published code)."""
LINKED = 10
"""Nearest trials looked at for such links (published code)."""
FAN = 32
"""Links followed per trial and hop, and supports of a used insight that are linked (our choice:
the paper has no bound)."""
_SEARCHED = 64

_QUERY_LINKS = frozenset({LinkType.SIMILAR, LinkType.LED_TO})
_SUPPORTS = frozenset({LinkType.SUPPORTS})


@dataclass(frozen=True, slots=True)
class _Reached:
    """A trial of the neighbourhood.

    Attributes:
        record: The trial.
        similarity: To the task, in [0, 1].
        path: From the trial found by similarity to this one.
    """

    record: Record
    similarity: float
    path: tuple[str, ...]


class GMemory(NoMemory):
    """G-Memory: coarse retrieval, one hop, upward to insights, downward to cores."""

    name = "gmemory"

    def __init__(self, model: AskModel | None = None) -> None:
        """The strategy.

        Args:
            model: A language model, called with instructions and a question; None for the
                stand-ins. With one the strategy is no longer deterministic.
        """
        self._advisor = Advisor(model) if model is not None else None
        self.version = "1" if model is None else "1+model"

    @property
    def model_counts(self) -> ModelCounts:
        """Questions asked of the model so far, and answers that could not be used."""
        return ModelCounts() if self._advisor is None else replace(self._advisor.counts)

    async def retrieve(self, view: View, cue: Cue) -> Sequence[Candidate]:
        """Insights with the most supporters among the trials found, then the trials."""
        near = await _nearest(view, cue, k=_SEARCHED)
        seeds = [(record, close) for record, close in near if close > 0.0][:COARSE]
        if not seeds:
            return []
        hops = (
            Hop(_QUERY_LINKS, "both", TRIALS, JUDGED, FAN),
            Hop(_SUPPORTS, "out", INSIGHTS, GUIDELINES, start=0),
            Hop(_SUPPORTS, "out", INSIGHTS, GUIDELINES, start=HOPS),
        )
        walk = await view.walk([record.id for record, _ in seeds], hops)
        reached = _neighbourhood(seeds, {one.id: close for one, close in near}, walk, cue)
        supporters: dict[str, list[str]] = {}
        for link in walk.links:
            if link.type is LinkType.SUPPORTS and link.src in reached:
                supporters.setdefault(link.dst, []).append(link.src)
        insights = await self._insights(supporters, walk.records, cue)
        return [*insights, *await self._trials(view, reached, cue)]

    async def commit(
        self, view: View, trial: ClosedTrial, receipts: Sequence[Recall]
    ) -> Sequence[Op]:
        """The links of the new query, its part in support sets, and a round when one is due."""
        if trial.outcome.succeeded is None:
            return []
        served = _served(trial, receipts)
        ops = [AddLink(link) for link in await _query_links(view, trial, served)]
        insights = [one for one in served if one.kind in GUIDELINES.kinds]
        says = LinkType.SUPPORTS if trial.outcome.succeeded else LinkType.REFUTES
        ops += [AddLink(Link(src=trial.record.id, dst=one.id, type=says)) for one in insights]
        if not await due(view, trial):
            return ops
        revised = await revise(view, trial, self._advisor)
        made = [op.record.id for op in revised if isinstance(op, Add)]
        grown = [
            AddLink(Link(src=new, dst=old.id, type=LinkType.DERIVED_FROM, via=trial.record.id))
            for new in made
            for old in insights
        ]
        return [*ops, *revised, *grown]

    async def maintain(self, view: View) -> Sequence[Op]:
        """Archive the insights whose score is used up."""
        known = await view.recent(tiers=INSIGHTS, k=1000, where=GUIDELINES)
        return [
            SetStatus(record.id, record.revision, Status.ARCHIVED, "its score is used up")
            for record in known
            if not in_use(record) and record.scope == view.scope
        ]

    async def _insights(
        self, supporters: Mapping[str, Sequence[str]], records: Mapping[str, Record], cue: Cue
    ) -> list[Candidate]:
        usable = [records[id_] for id_ in supporters if id_ in records and in_use(records[id_])]
        usable.sort(key=lambda one: (-len(supporters[one.id]), -score(one), one.id))
        chosen = usable[:MOST_INSIGHTS]
        texts: Sequence[str] = [record.text for record in chosen]
        if self._advisor is not None and cue.role and chosen:
            texts = await self._advisor.project(cue.role, texts) or texts
        most = max((len(supporters[record.id]) for record in chosen), default=1)
        return [
            Candidate(
                record=record,
                placement=Placement.RULE,
                scores={
                    "votes": len(supporters[record.id]) / most,
                    "score": score(record),
                    "final": len(supporters[record.id]) / most,
                },
                path=(min(supporters[record.id]), record.id),
                forms=(Form(text, rule=_rule(record, text)),),
            )
            for record, text in zip(chosen, texts, strict=True)
        ]

    async def _trials(
        self, view: View, reached: Mapping[str, _Reached], cue: Cue
    ) -> list[Candidate]:
        """The most relevant trials, twice as many looked at as are served (published code)."""
        ranked = sorted(
            (one for one in reached.values() if one.similarity >= LEAST_SIMILAR),
            key=lambda one: (-one.similarity, one.record.id),
        )
        won = [one for one in ranked if _succeeded(one.record)][: 2 * EXAMPLES]
        lost = [one for one in ranked if not _succeeded(one.record)][:COUNTER_EXAMPLES]
        steps = await steps_of(view, [one.record.id for one in (*won, *lost)])
        cases = {
            one.record.id: case_of(one.record, steps.get(one.record.id, ()), one.similarity)
            for one in (*won, *lost)
        }
        relevance = {one.record.id: one.similarity for one in (*won, *lost)}
        if self._advisor is not None:
            for one in won:
                judged = await self._advisor.relevance(cue.task, cases[one.record.id])
                if judged is not None:
                    relevance[one.record.id] = judged
        won.sort(key=lambda one: (-relevance[one.record.id], one.record.id))
        candidates = []
        for one in (*won[:EXAMPLES], *lost):
            core = await self._core(cue.task, cases[one.record.id])
            candidates.append(
                trial_candidate(
                    one.record,
                    [core, without_observations(core)],
                    {"similarity": one.similarity, "final": relevance[one.record.id]},
                    one.path,
                )
            )
        return candidates

    async def _core(self, task: str, case: Case) -> Case:
        if self._advisor is not None and case.steps:
            kept = await self._advisor.core(task, case)
            if kept is not None:
                return replace(case, steps=tuple(case.steps[number] for number in kept))
        return condense(case)


def _succeeded(record: Record) -> bool:
    return record.outcome is not None and record.outcome.succeeded is True


def _rule(record: Record, text: str) -> Rule:
    data = record.data.get("data", {})
    return Rule(
        id=record.id,
        text=text,
        form=str(record.data.get("form", "")),
        data=dict(data) if isinstance(data, Mapping) else {},
        confidence=confidence(record),
        support=record.support,
    )


async def _nearest(view: View, cue: Cue, *, k: int) -> list[tuple[Record, float]]:
    """Trials with a known outcome by similarity of their tasks, ties by id."""
    vectors = None if cue.vector is None else np.asarray([cue.vector], np.float32)
    found = await view.search([cue.task], vectors, tiers=TRIALS, k=k, where=JUDGED)
    ranked = []
    for hit in found.hits:
        if hit.record.id == cue.trial:
            continue
        if hit.cosine:
            close = max(0.0, hit.cosine[0])
        else:
            close = bm25(cue.task, hit.record, found.statistics)
        ranked.append((hit.record, close))
    ranked.sort(key=lambda pair: (-pair[1], pair[0].id))
    return ranked[:k]


def _neighbourhood(
    seeds: Sequence[tuple[Record, float]], close: Mapping[str, float], walk: Walk, cue: Cue
) -> dict[str, _Reached]:
    """The trials found by similarity and those one link away; the latter by their own similarity,
    or, where the search did not give it, by that of the trial they are linked to."""
    reached = {one.id: _Reached(one, near, (one.id,)) for one, near in seeds}
    starts = dict(reached)
    for link in walk.links:
        if link.type not in _QUERY_LINKS:
            continue
        for near, far in ((link.src, link.dst), (link.dst, link.src)):
            if near not in starts or far in starts or far == cue.trial or far not in walk.records:
                continue
            passed = close.get(far, starts[near].similarity * min(1.0, link.weight))
            if far not in reached or reached[far].similarity < passed:
                reached[far] = _Reached(walk.records[far], passed, (near, far))
    return reached


def _served(trial: ClosedTrial, receipts: Sequence[Recall]) -> list[Record]:
    """What was served to the trial, each once; only what agents acted on, if they said so."""
    items = {item.record.id: item.record for one in receipts for item in one.items}
    if trial.used:
        return [record for id_, record in items.items() if id_ in trial.used]
    return list(items.values())


async def _query_links(view: View, trial: ClosedTrial, served: Sequence[Record]) -> list[Link]:
    """From the queries that were used and those behind the insights that were; to like ones."""
    new = trial.record.id
    used = {record.id for record in served if record.tier is Tier.QUERY}
    insights = [record.id for record in served if record.kind in GUIDELINES.kinds]
    if insights:
        walk = await view.walk(insights, [Hop(_SUPPORTS, "in", TRIALS, JUDGED, FAN)])
        used |= set(walk.levels[1])
    links = [Link(src=old, dst=new, type=LinkType.LED_TO) for old in sorted(used) if old != new]
    if trial.vector is not None:
        cue = Cue(task=trial.record.text, trial=new, vector=trial.vector)
        near = await _nearest(view, cue, k=LINKED)
        links += [similar(new, one.id, close) for one, close in near if close >= LINKED_FROM]
    return links
