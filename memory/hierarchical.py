"""The default strategy: three tiers, walked both ways (after G-Memory, arXiv 2506.07398).

For a task it finds like trials (coarse), expands them by one hop of the query graph, goes up to
the insights they support, and down to their steps, condensed to what the outcome depended on.
The published algorithm differs; the faithful one is a strategy of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from ..graph import (
    AddLink,
    Filter,
    Hop,
    Link,
    LinkType,
    Op,
    Outcome,
    Record,
    Tier,
    Unlink,
    View,
    Walk,
    similar,
)
from .baselines import JUDGED, TRIALS, NoMemory, rank_trials, score_trials
from .cases import (
    case_of,
    group_steps,
    projections,
    render_case,
    steps_hop,
    trial_candidate,
    without_observations,
)
from .condense import condense
from .insights import INSIGHTS, Vote, helpfulness, learn, offered
from .recall import Case, CaseStep, Placement, Recall
from .remine import remine
from .strategy import Candidate, ClosedTrial, Cue, Form

SEEDS = 12
"""Trials from which the walk starts."""
SEARCHED = 32
"""Trials, and insights, looked up by words and by meaning."""
FAN = 4
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

_SHORT = 4000
"""Characters of a trial that is remembered as it was shown, at most."""
_Shown = tuple[tuple[str, Case], ...]
"""The texts of a trial from the fullest to the shortest, each with what it says."""

_JUDGED_TRIALS = {Tier.QUERY: JUDGED}
_SUPPORTS = LinkType.SUPPORTS
_QUERY_LINKS = frozenset({LinkType.SIMILAR, LinkType.LED_TO})
_HOPS = (
    Hop(_QUERY_LINKS, "both", TRIALS, JUDGED, FAN),
    Hop(frozenset({LinkType.SUPPORTS}), "out", INSIGHTS, start=0),
    Hop(frozenset({LinkType.SUPPORTS}), "out", INSIGHTS, start=1),
    steps_hop(start=0, without_summary=True),
    steps_hop(start=1, without_summary=True),
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
        found = await view.search(
            [cue.task], cue.vectors(), tiers=TRIALS | INSIGHTS, k=SEARCHED, where=_JUDGED_TRIALS
        )
        seeds = score_trials(found.of(Tier.QUERY), cue)[:SEEDS]
        walk = await view.walk([trial.id for trial, _ in seeds], _HOPS)
        trials = _expand({trial.id: scores for trial, scores in seeds}, walk, cue)
        if not parts.neighbours:
            trials = {trial.id: trials[trial.id] for trial, _ in seeds if trial.id in trials}
        rules = (
            offered(found.of(Tier.INSIGHT), votes(trials, walk), walk, cue)
            if parts.insights
            else []
        )
        return [*rules, *_rank_trials(trials, walk, cue, parts)]

    async def commit(
        self, view: View, trial: ClosedTrial, receipts: Sequence[Recall]
    ) -> Sequence[Op]:
        """Links to like trials and to what was used, and the insights the trial speaks for."""
        like = await _like(view, trial.record, trial.vector)
        ops: list[Op] = [AddLink(link) for link in _similar(trial.record, like)]
        ops += _led_to(trial, receipts)
        ops += await learn(view, trial, [other for other, _ in like])
        return ops

    async def maintain(self, view: View) -> Sequence[Op]:
        """Mine again from all trials; insights that nobody speaks for any more are archived."""
        return await remine(view)

    async def rebuild(
        self, view: View, trials: Sequence[tuple[Record, NDArray[np.float32] | None]]
    ) -> Sequence[Op]:
        """Mine the insights afresh, and link like trials again.

        The links that a trial got when it closed say what was like it among those before it, by
        the words that were rare then.

        Args:
            view: The memory.
            trials: All closed trials, with their tasks embedded.
        """
        return [*await remine(view, afresh=True), *await self._relink(view, trials)]

    async def _relink(
        self, view: View, trials: Sequence[tuple[Record, NDArray[np.float32] | None]]
    ) -> list[Op]:
        wanted: dict[tuple[str, ...], Link] = {}
        for trial, vector in trials:
            for link in _similar(trial, await _like(view, trial, vector)):
                known = wanted.get(link.key)
                if known is None or known.weight < link.weight:
                    wanted[link.key] = link
        ids = [trial.id for trial, _ in trials]
        hop = Hop(frozenset({LinkType.SIMILAR}), where=Filter(statuses=frozenset()), fan=1_000_000)
        now = {link.key: link for link in (await view.walk(ids, [hop])).links}
        ops: list[Op] = [
            Unlink(link.src, link.dst, link.type, link.via)
            for key, link in sorted(now.items())
            if key not in wanted and link.src in set(ids) and link.dst in set(ids)
        ]
        ops += [
            AddLink(link)
            for key, link in sorted(wanted.items())
            if key not in now or now[key].weight != link.weight
        ]
        return ops


async def _like(
    view: View, trial: Record, vector: NDArray[np.float32] | None
) -> Sequence[tuple[Record, Mapping[str, float]]]:
    """The trials most like one, best first."""
    cue = Cue(
        task=trial.text,
        run=trial.provenance.run,
        trial=trial.id,
        vector=vector,
        context=frozenset(trial.data.get("context", ())),
    )
    return (await rank_trials(view, cue, k=CLUSTER))[:CLUSTER]


def _similar(trial: Record, like: Sequence[tuple[Record, Mapping[str, float]]]) -> Sequence[Link]:
    return [
        similar(trial.id, other.id, scores["final"])
        for other, scores in like[:SIMILAR_LINKS]
        if scores["final"] >= SIMILAR_AT_LEAST
    ]


def _expand(
    scores: dict[str, dict[str, float]], walk: Walk, cue: Cue
) -> dict[str, tuple[dict[str, float], tuple[str, ...]]]:
    """Scores and path of each trial of the neighbourhood: the seeds, and what they link to."""
    reached: dict[str, tuple[dict[str, float], tuple[str, ...]]] = {
        id_: (values, (id_,)) for id_, values in scores.items()
    }
    for link in walk.links:
        type_ = link.type
        # Most links are votes; a name on a class takes its time to look up.
        if type_ is _SUPPORTS or type_ not in _QUERY_LINKS:
            continue
        for near, far in ((link.src, link.dst), (link.dst, link.src)):
            if near not in scores or far in scores or far == cue.trial:
                continue
            weight = min(1.0, link.weight)
            passed = NEIGHBOUR_SHARE * weight * scores[near]["final"]
            if far not in reached or reached[far][0]["final"] < passed:
                channel = "similar" if type_ is LinkType.SIMILAR else "led_to"
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
        credit = helpfulness(record, cue.role)
        final = scores["final"] * credit
        candidate = trial_candidate(
            record,
            partial(_forms, record, steps.get(id_, ()), final, cue.role),
            {**scores, "credit": credit, "final": final},
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


def _forms(record: Record, steps: Sequence[Record], final: float, role: str) -> Sequence[Form]:
    """A trial as one role needs it, from its fullest form to its shortest."""
    if record.summary:
        outcome = record.outcome or Outcome.unknown()
        told = _told if len(record.text) + len(record.summary) <= _SHORT else _told.__wrapped__
        shown = told(record.text, outcome, record.summary, role)
    else:
        # What was seen where is in the insights; an example needs only what was done.
        shown = _shown(without_observations(condense(case_of(record, steps))), role)
    return [
        Form(text, case=Case(record.id, case.task, case.outcome, case.steps, final))
        for text, case in shown
    ]


@lru_cache(maxsize=8192)
def _told(task: str, outcome: Outcome, summary: str, role: str) -> _Shown:
    """A trial by what was kept of it when it closed: what its outcome depended on."""
    case = Case("", task, outcome, tuple(CaseStep(line) for line in summary.split("\n")))
    return _shown(case if outcome.succeeded else condense(case), role)


def _shown(core: Case, role: str) -> _Shown:
    return tuple((render_case(case), case) for case in projections(core, role))


def votes(
    trials: Mapping[str, tuple[dict[str, float], tuple[str, ...]]], walk: Walk
) -> dict[str, Vote]:
    """Per insight, how much the trials that support it are like the task."""
    shares = {id_: scores["final"] for id_, (scores, _) in trials.items()}
    counted: dict[str, Vote] = {}
    for link in walk.links:
        if link.type is not _SUPPORTS or (share := shares.get(link.src)) is None:
            continue
        vote = counted.get(link.dst)
        if vote is None:
            vote = counted[link.dst] = Vote()
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
