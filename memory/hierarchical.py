"""The default strategy: three tiers, walked both ways (after G-Memory, arXiv 2506.07398).

For a task it finds like trials (coarse), expands them by one hop of the query graph, goes up to
the insights they support, and down to their steps, condensed to what the outcome depended on.
The published algorithm differs; the faithful one is a strategy of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..graph import (
    AddLink,
    Hop,
    Link,
    LinkType,
    Op,
    Record,
    Tier,
    View,
    Walk,
    similar,
)
from .baselines import JUDGED, TRIALS, NoMemory, rank_trials
from .cases import (
    case_of,
    group_steps,
    projections,
    steps_hop,
    trial_candidate,
    without_observations,
)
from .condense import condense
from .insights import INSIGHTS, Vote, helpfulness, learn, offered, search_insights
from .recall import Case, CaseStep, Placement, Recall
from .remine import remine
from .strategy import Candidate, ClosedTrial, Cue

SEEDS = 12
"""Trials from which the walk starts."""
FAN = 8
"""Links followed per trial in the query graph."""
EXAMPLES_PER_COUNTER = 4
"""Successes offered for each failure."""
SIMILAR_AT_LEAST = 0.6
"""Final score from which two trials are linked as SIMILAR."""
CLUSTER = 16
"""Like trials that a closed trial is compared with."""
SIMILAR_LINKS = 4
"""SIMILAR links that a new trial makes."""
NEIGHBOUR_SHARE = 0.8
"""Share of a trial's score that passes along a link of the query graph."""

_QUERY_LINKS = frozenset({LinkType.SIMILAR, LinkType.LED_TO})
_HOPS = (
    Hop(_QUERY_LINKS, "both", TRIALS, JUDGED, FAN),
    Hop(frozenset({LinkType.SUPPORTS}), "out", INSIGHTS, start=0),
    Hop(frozenset({LinkType.SUPPORTS}), "out", INSIGHTS, start=1),
    steps_hop(start=0),
    steps_hop(start=1),
)


@dataclass(frozen=True, slots=True)
class Parts:
    """What of the strategy is in use; all of it, but in an ablation.

    Attributes:
        insights: Upward: insights are offered.
        examples: Downward: steps of successful trials are offered.
        counter_examples: Downward: steps of failed trials are offered.
        neighbours: The query graph is followed by one hop from the like trials.
    """

    insights: bool = True
    examples: bool = True
    counter_examples: bool = True
    neighbours: bool = True


ABLATIONS: Mapping[str, Parts] = {
    "upward": Parts(examples=False, counter_examples=False),
    "downward": Parts(insights=False, counter_examples=False),
    "no-queries": Parts(neighbours=False),
    "no-counter-examples": Parts(counter_examples=False),
    "no-insights": Parts(insights=False),
}
"""The strategy with a part taken out, to measure what the part is worth."""


class Hierarchical(NoMemory):
    """Insights above, trials between, interactions below, walked both ways."""

    name: str = "hierarchical"
    version = "2"

    def __init__(self, parts: Parts | None = None, *, name: str = "hierarchical") -> None:
        """The strategy; with `parts`, an ablation of it under its own `name`."""
        self._parts = parts or Parts()
        self.name = name

    async def retrieve(self, view: View, cue: Cue) -> Sequence[Candidate]:
        """Insights the like trials vote for, then the trials, failures beside successes."""
        parts = self._parts
        seeds = (await rank_trials(view, cue))[:SEEDS]
        insights = await search_insights(view, cue)
        walk = await view.walk([trial.id for trial, _ in seeds], _HOPS)
        trials = _expand({trial.id: scores for trial, scores in seeds}, walk, cue)
        if not parts.neighbours:
            trials = {trial.id: trials[trial.id] for trial, _ in seeds if trial.id in trials}
        rules = offered(insights, votes(trials, walk), walk, cue) if parts.insights else []
        return [*rules, *_rank_trials(trials, walk, cue, parts)]

    async def commit(
        self, view: View, trial: ClosedTrial, receipts: Sequence[Recall]
    ) -> Sequence[Op]:
        """Links to like trials and to what was used, and the insights the trial speaks for."""
        ops: list[Op] = []
        cue = Cue(
            task=trial.record.text,
            run=trial.record.provenance.run,
            trial=trial.record.id,
            vector=trial.vector,
            context=frozenset(trial.record.data.get("context", ())),
        )
        like = (await rank_trials(view, cue, k=CLUSTER))[:CLUSTER]
        for other, scores in like[:SIMILAR_LINKS]:
            if scores["final"] >= SIMILAR_AT_LEAST:
                ops.append(AddLink(similar(trial.record.id, other.id, scores["final"])))
        ops += _led_to(trial, receipts)
        ops += await learn(view, trial, [other for other, _ in like])
        return ops

    async def maintain(self, view: View) -> Sequence[Op]:
        """Mine again from all trials; insights that nobody speaks for any more are archived."""
        return await remine(view)


def _expand(
    scores: dict[str, dict[str, float]], walk: Walk, cue: Cue
) -> dict[str, tuple[dict[str, float], tuple[str, ...]]]:
    """Scores and path of each trial of the neighbourhood: the seeds, and what they link to."""
    reached: dict[str, tuple[dict[str, float], tuple[str, ...]]] = {
        id_: (values, (id_,)) for id_, values in scores.items()
    }
    for link in walk.links:
        if link.type not in _QUERY_LINKS:
            continue
        for near, far in ((link.src, link.dst), (link.dst, link.src)):
            if near not in scores or far in scores or far == cue.trial:
                continue
            weight = min(1.0, link.weight)
            passed = NEIGHBOUR_SHARE * weight * scores[near]["final"]
            if far not in reached or reached[far][0]["final"] < passed:
                channel = "similar" if link.type is LinkType.SIMILAR else "led_to"
                reached[far] = ({channel: passed, "final": passed}, (near, far))
    return {id_: value for id_, value in reached.items() if id_ in walk.records}


def _rank_trials(
    trials: Mapping[str, tuple[dict[str, float], tuple[str, ...]]],
    walk: Walk,
    cue: Cue,
    parts: Parts,
) -> list[Candidate]:
    """Successes best first, with a failure after every few as a counter-example."""
    steps = group_steps(walk.records)
    successes: list[Candidate] = []
    failures: list[Candidate] = []
    for id_, (scores, path) in trials.items():
        record = walk.records[id_]
        final = scores["final"] * helpfulness(record, cue.role)
        case = case_of(record, steps.get(id_, []), final)
        core = _core(record, case)
        candidate = trial_candidate(
            record,
            # What was seen where is in the insights; an example needs only what was done.
            projections(without_observations(core), cue.role),
            {**scores, "credit": helpfulness(record, cue.role), "final": final},
            path,
        )
        failed = candidate.placement is Placement.COUNTER_EXAMPLE
        if parts.counter_examples if failed else parts.examples:
            (failures if failed else successes).append(candidate)
    for group in (successes, failures):
        group.sort(key=lambda one: (-one.scores["final"], one.record.id))
    mixed: list[Candidate] = []
    while successes or failures:
        mixed += successes[:EXAMPLES_PER_COUNTER]
        del successes[:EXAMPLES_PER_COUNTER]
        mixed += failures[:1]
        del failures[:1]
    return mixed


def _core(record: Record, case: Case) -> Case:
    """What the trial's outcome depended on: as it was worked out when it closed, or anew."""
    if record.summary and case.outcome.succeeded:
        return replace(case, steps=tuple(CaseStep(line) for line in record.summary.split("\n")))
    return condense(case)


def votes(
    trials: Mapping[str, tuple[dict[str, float], tuple[str, ...]]], walk: Walk
) -> dict[str, Vote]:
    """Per insight, how much the trials that support it are like the task."""
    counted: dict[str, Vote] = {}
    for link in walk.links:
        if link.type is LinkType.SUPPORTS and link.src in trials:
            share = trials[link.src][0]["final"]
            vote = counted.setdefault(link.dst, Vote())
            vote.total += share
            if share > vote.best:
                vote.best, vote.voter = share, link.src
    return counted


def _led_to(trial: ClosedTrial, receipts: Sequence[Recall]) -> list[Op]:
    """Links from the trials that were used; from all that were shown, if no agent said which."""
    ops: list[Op] = []
    for receipt in receipts:
        for item in receipt.items:
            if item.record.tier is not Tier.QUERY:
                continue
            if trial.used and item.record.id not in trial.used:
                continue
            ops.append(
                AddLink(
                    Link(
                        src=item.record.id,
                        dst=trial.record.id,
                        type=LinkType.LED_TO,
                        via=receipt.receipt,
                    )
                )
            )
    return ops
