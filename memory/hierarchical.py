"""The default strategy: three tiers, walked both ways (after G-Memory, arXiv 2506.07398).

For a task it finds like trials (coarse), expands them by one hop of the query graph, goes up to
the insights they support, and down to their steps, condensed to what the outcome depended on.
The published algorithm differs; the faithful one is a strategy of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..graph import (
    Add,
    AddLink,
    Candidates,
    Hop,
    Link,
    LinkType,
    Op,
    Provenance,
    Record,
    Tier,
    View,
    Walk,
    digest,
    similar,
)
from .baselines import JUDGED, TRIALS, NoMemory, rank_trials
from .cases import case_of, group_steps, steps_hop, trial_candidate, without_observations
from .condense import condense
from .mining import mine
from .recall import Placement, Recall, Rule
from .scoring import bm25
from .strategy import Candidate, ClosedTrial, Cue, Form

SEEDS = 12
"""Trials from which the walk starts."""
FAN = 8
"""Links followed per trial in the query graph."""
RULES = 16
"""Insights offered at most before the trials."""
EXAMPLES_PER_COUNTER = 4
"""Successes offered for each failure."""
SIMILAR_AT_LEAST = 0.6
"""Final score from which two trials are linked as SIMILAR."""
SIMILAR_LINKS = 4
"""SIMILAR links that a new trial makes."""
NEIGHBOUR_SHARE = 0.8
"""Share of a trial's score that passes along a link of the query graph."""

_INSIGHTS = frozenset({Tier.INSIGHT})
_QUERY_LINKS = frozenset({LinkType.SIMILAR, LinkType.LED_TO})
_HOPS = (
    Hop(_QUERY_LINKS, "both", TRIALS, JUDGED, FAN),
    Hop(frozenset({LinkType.SUPPORTS}), "out", _INSIGHTS, start=0),
    Hop(frozenset({LinkType.SUPPORTS}), "out", _INSIGHTS, start=1),
    steps_hop(start=0),
    steps_hop(start=1),
)


class Hierarchical(NoMemory):
    """Insights above, trials between, interactions below."""

    name = "hierarchical"
    version = "1"

    async def retrieve(self, view: View, cue: Cue) -> Sequence[Candidate]:
        """Insights the like trials vote for, then the trials, failures beside successes."""
        seeds = (await rank_trials(view, cue))[:SEEDS]
        insights = await _search_insights(view, cue)
        walk = await view.walk([trial.id for trial, _ in seeds], _HOPS)
        trials = _expand({trial.id: scores for trial, scores in seeds}, walk, cue)
        rules = _rank_insights(insights, trials, walk, cue)
        return [*rules, *_rank_trials(trials, walk, cue)]

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
        for other, scores in (await rank_trials(view, cue, k=2 * SIMILAR_LINKS))[:SIMILAR_LINKS]:
            if scores["final"] >= SIMILAR_AT_LEAST:
                ops.append(AddLink(similar(trial.record.id, other.id, scores["final"])))
        ops += _led_to(trial, receipts)
        ops += _insights(trial)
        return ops


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
    trials: Mapping[str, tuple[dict[str, float], tuple[str, ...]]], walk: Walk, cue: Cue
) -> list[Candidate]:
    """Successes best first, with a failure after every few as a counter-example."""
    steps = group_steps(walk.records)
    successes: list[Candidate] = []
    failures: list[Candidate] = []
    for id_, (scores, path) in trials.items():
        record = walk.records[id_]
        final = scores["final"] * _helpfulness(record, cue.role)
        case = case_of(record, steps.get(id_, []), final)
        core = condense(case)
        candidate = trial_candidate(
            record,
            # What was seen where is in the insights; an example needs only what was done.
            [without_observations(core)],
            {**scores, "credit": _helpfulness(record, cue.role), "final": final},
            path,
        )
        failed = candidate.placement is Placement.COUNTER_EXAMPLE
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


def _helpfulness(record: Record, role: str) -> float:
    """Between 0.5 and 1: how often the record helped this role, with a prior of four uses."""
    total = record.total_credit()
    own = record.credit.get(role, total) if role else total
    helped, hurt = own.helped + 3.0, own.hurt + 1.0
    return 0.5 + 0.5 * helped / (helped + hurt)


async def _search_insights(view: View, cue: Cue) -> Candidates:
    vectors = None if cue.vector is None else np.asarray([cue.vector], np.float32)
    return await view.search([cue.task], vectors, tiers=_INSIGHTS, k=2 * RULES)


def _rank_insights(
    searched: Candidates,
    trials: Mapping[str, tuple[dict[str, float], tuple[str, ...]]],
    walk: Walk,
    cue: Cue,
) -> list[Candidate]:
    """Insights by what they say, by the votes of the trials that support them, and by credit."""
    votes: dict[str, float] = {}
    voters: dict[str, str] = {}
    for link in walk.links:
        if link.type is LinkType.SUPPORTS and link.src in trials:
            share = trials[link.src][0]["final"]
            votes[link.dst] = votes.get(link.dst, 0.0) + share
            if share >= trials.get(voters.get(link.dst, ""), ({"final": 0.0},))[0]["final"]:
                voters[link.dst] = link.src
    most = max(votes.values(), default=1.0)
    records = {hit.record.id: hit.record for hit in searched.hits}
    records |= {id_: walk.records[id_] for id_ in votes}
    candidates = []
    for id_, record in records.items():
        about = bm25(cue.task, record, searched.statistics)
        vote = votes.get(id_, 0.0) / most
        if about <= 0.0:
            continue
        confidence = _confidence(record)
        final = (0.6 * about + 0.4 * vote) * confidence * _helpfulness(record, cue.role)
        rule = Rule(
            id=id_,
            text=record.text,
            form=str(record.data.get("form", "")),
            data=dict(record.data.get("data", {})),
            confidence=confidence,
            support=record.support,
        )
        voter = voters.get(id_)
        candidates.append(
            Candidate(
                record=record,
                placement=Placement.RULE,
                scores={"lexical": about, "votes": vote, "final": final},
                path=(voter, id_) if voter else (id_,),
                forms=(Form(f"{record.text} (seen in {record.support})", rule=rule),),
            )
        )
    candidates.sort(key=lambda one: (-one.scores["final"], one.record.id))
    return candidates[:RULES]


def _confidence(record: Record) -> float:
    """Laplace's rule of succession over the evidence for and against."""
    return (record.support + 1.0) / (record.support + record.refuted + 2.0)


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


def _insights(trial: ClosedTrial) -> list[Op]:
    """The insights one trial speaks for or against. They are the same record for every trial."""
    ops: list[Op] = []
    record = trial.record
    for mined in mine(trial.steps):
        id_ = digest("insight", record.scope, mined.form, dict(mined.data))
        ops.append(
            Add(
                Record(
                    id=id_,
                    tier=Tier.INSIGHT,
                    kind="rule",
                    text=mined.text,
                    scope=record.scope,
                    provenance=Provenance(trial=record.id, run=record.provenance.run),
                    data={"form": mined.form, "data": dict(mined.data)},
                )
            )
        )
        type_ = LinkType.SUPPORTS if mined.holds else LinkType.REFUTES
        ops.append(AddLink(Link(src=record.id, dst=id_, type=type_)))
    return ops
