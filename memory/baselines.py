"""The strategies to compare with: no memory, the recent context, and flat similarity."""

from __future__ import annotations

from collections.abc import Sequence

from ..graph import Candidates, Filter, Op, Record, Tier, View
from .cases import case_of, steps_of, trial_candidate, without_observations
from .recall import Recall
from .scoring import Bm25, overlap, weigh
from .strategy import Candidate, ClosedTrial, Cue

TRIALS = frozenset({Tier.QUERY})
JUDGED = Filter(outcomes=frozenset({"success", "failure", "score"}))
"""Trials whose outcome is known: an unknown one teaches nothing."""


class NoMemory:
    """Retrieves nothing and leaves nothing: what an agent does without a memory."""

    name = "none"
    version = "1"

    async def retrieve(self, view: View, cue: Cue) -> Sequence[Candidate]:
        """Nothing."""
        return ()

    async def observe(self, view: View, trial: Record, step: Record) -> Sequence[Op]:
        """Nothing."""
        return ()

    async def commit(
        self, view: View, trial: ClosedTrial, receipts: Sequence[Recall]
    ) -> Sequence[Op]:
        """Nothing."""
        return ()

    async def maintain(self, view: View) -> Sequence[Op]:
        """Nothing."""
        return ()


class RecentContext(NoMemory):
    """The most recent trials that fit, verbatim: what a long context window amounts to."""

    name = "context"

    async def retrieve(self, view: View, cue: Cue) -> Sequence[Candidate]:
        """Trials, newest first."""
        trials = [
            trial
            for trial in await view.recent(tiers=TRIALS, k=32, where=JUDGED)
            if trial.id != cue.trial
        ]
        steps = await steps_of(view, [trial.id for trial in trials])
        newest = max((trial.added for trial in trials), default=1)
        return [
            _verbatim(trial, steps.get(trial.id, []), {"recency": trial.added / newest})
            for trial in trials
        ]


class FlatSimilarity(NoMemory):
    """The most similar trials, verbatim: retrieval over experience without any structure."""

    name = "exprag"

    async def retrieve(self, view: View, cue: Cue) -> Sequence[Candidate]:
        """Trials by similarity of their task to this one."""
        ranked = (await rank_trials(view, cue))[:32]
        steps = await steps_of(view, [trial.id for trial, _ in ranked])
        return [_verbatim(trial, steps.get(trial.id, []), scores) for trial, scores in ranked]


def _verbatim(trial: Record, steps: Sequence[Record], scores: dict[str, float]) -> Candidate:
    scores = {**scores, "final": scores.get("final", scores.get("recency", 0.0))}
    case = case_of(trial, steps, scores["final"])
    return trial_candidate(trial, [case, without_observations(case)], scores)


async def rank_trials(
    view: View, cue: Cue, *, k: int = 32
) -> list[tuple[Record, dict[str, float]]]:
    """Trials with a known outcome by similarity to the cue: meaning, words and surroundings.

    Returns:
        Pairs of record and scores per channel with "final", best first, ties by id.
    """
    return score_trials(
        await view.search([cue.task], cue.vectors(), tiers=TRIALS, k=k, where=JUDGED), cue
    )


def score_trials(found: Candidates, cue: Cue) -> list[tuple[Record, dict[str, float]]]:
    """What a search found of trials, scored as `rank_trials` says."""
    ranked = []
    lexical = Bm25(cue.task, found.statistics)
    for hit in found.hits:
        if hit.record.id == cue.trial:
            continue
        scores = {"lexical": lexical.score(hit.record)}
        if hit.cosine:
            scores["semantic"] = max(0.0, hit.cosine[0])
        if cue.context:
            around = frozenset(hit.record.data.get("context", ()))
            scores["context"] = overlap(cue.context, around)
        scores["final"] = weigh(scores)
        ranked.append((hit.record, scores))
    ranked.sort(key=lambda pair: (-pair[1]["final"], pair[0].id))
    return ranked
