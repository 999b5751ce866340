"""Insights of the default strategy: which a task is offered, and what a closed trial does to them.

An insight is one immutable record for each form and arguments. Its evidence is links from trials,
SUPPORTS and REFUTES, which the store counts; so it is a function of its evidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..graph import (
    Add,
    AddLink,
    Candidates,
    Hop,
    Link,
    LinkType,
    Op,
    Patch,
    Provenance,
    Record,
    Tier,
    View,
    Walk,
    digest,
)
from .cases import action_of, case_of
from .condense import condense, reduced
from .entities import same_kind, stem, stems, words
from .mining import Judged, MinedRule, contrast, judge, mine, plan_steps
from .recall import Placement, Rule
from .scoring import bm25
from .strategy import Candidate, ClosedTrial, Cue, Form

INSIGHTS = frozenset({Tier.INSIGHT})
SEARCHED = 32
"""Insights looked up by their text."""
QUOTAS: Mapping[str, int] = {
    "plan": 3,
    "found_at": 8,
    "achieves": 4,
    "precedes": 2,
    "reveals": 2,
    "never_works": 2,
}
"""Insights offered of each form at most, so that no form crowds out the others."""
_ABOUT_THE_TASK = frozenset({"found_at", "achieves"})
"""Forms that are of use only if the task speaks of their arguments."""
OTHERS = 6
"""Insights offered of any other form."""
LEAST_CONFIDENCE = 0.4
"""An insight with less is not offered."""
SURELY_DULL = 0.8
"""Confidence from which an action of which nothing comes is left out of what a success did."""
LONGEST_SUMMARY = 80
"""Actions kept in the summary of a trial."""


@dataclass(slots=True)
class Vote:
    """What the like trials say for an insight.

    Attributes:
        total: Sum of the scores of those that support it.
        best: The highest of them.
        voter: The trial that has it.
    """

    total: float = 0.0
    best: float = 0.0
    voter: str = ""


async def search_insights(view: View, cue: Cue) -> Candidates:
    """Insights by what they say."""
    vectors = None if cue.vector is None else np.asarray([cue.vector], np.float32)
    return await view.search([cue.task], vectors, tiers=INSIGHTS, k=SEARCHED)


def offered(
    searched: Candidates, votes: Mapping[str, Vote], walk: Walk, cue: Cue
) -> list[Candidate]:
    """Insights by what they say, by the votes of the trials that support them, and by credit."""
    most = max((vote.total for vote in votes.values()), default=1.0)
    records = {hit.record.id: hit.record for hit in searched.hits}
    records |= {id_: walk.records[id_] for id_ in votes if id_ in walk.records}
    candidates = []
    for id_, record in records.items():
        vote = votes.get(id_, Vote())
        about = _about(record, cue.task, searched)
        trusted = confidence(record)
        if (about <= 0.0 and vote.total <= 0.0) or trusted < LEAST_CONFIDENCE:
            continue
        # A change is asked for by a word; how many like trials made it says little.
        weight = 0.9 if record.data.get("form") == "achieves" else 0.6
        final = weight * about + (1.0 - weight) * vote.total / most
        final *= trusted * helpfulness(record, cue.role)
        candidates.append(
            Candidate(
                record=record,
                placement=Placement.RULE,
                scores={"lexical": about, "votes": vote.total / most, "final": final},
                path=(vote.voter, id_) if vote.voter else (id_,),
                forms=(Form(_told(record), rule=_rule(record, trusted)),),
            )
        )
    candidates.sort(key=lambda one: (-one.scores["final"], one.record.id))
    return _within_quotas(candidates)


def _about(record: Record, task: str, searched: Candidates) -> float:
    """How much an insight speaks of the task; where something is found must be of what it names."""
    data = insight_data(record)
    thing, change = data.get("thing"), data.get("change")
    if isinstance(thing, str) and not any(same_kind(word, thing) for word in words(task)):
        return 0.0
    if isinstance(change, str):
        asked = {stem(word) for word in words(change)}
        if not asked <= stems(task):
            return 0.0
        # A word that a goal asks with is kept as its stem; the task has to meet it as such.
        task = " ".join(stem(word) if stem(word) in asked else word for word in words(task))
    return bm25(task, record, searched.statistics)


def _within_quotas(candidates: Sequence[Candidate]) -> list[Candidate]:
    left = dict(QUOTAS)
    others = OTHERS
    kept = []
    for candidate in candidates:
        form = str(candidate.record.data.get("form", ""))
        if form in _ABOUT_THE_TASK and candidate.scores["lexical"] <= 0.0:
            continue
        if form in left:
            left[form] -= 1
            if left[form] >= 0:
                kept.append(candidate)
        elif others > 0:
            others -= 1
            kept.append(candidate)
    return kept


def _told(record: Record) -> str:
    against = f", against {record.refuted}" if record.refuted else ""
    return f"{record.text} (seen in {record.support}{against})"


def _rule(record: Record, trusted: float) -> Rule:
    return Rule(
        id=record.id,
        text=record.text,
        form=str(record.data.get("form", "")),
        data=dict(insight_data(record)),
        confidence=trusted,
        support=record.support,
    )


def insight_data(record: Record) -> Mapping[str, Any]:
    """The arguments of an insight."""
    data = record.data.get("data", {})
    return data if isinstance(data, Mapping) else {}


def confidence(record: Record) -> float:
    """Laplace's rule of succession over the evidence for and against."""
    return (record.support + 1.0) / (record.support + record.refuted + 2.0)


def helpfulness(record: Record, role: str) -> float:
    """Between 0.5 and 1: how often the record helped this role, with a prior of four uses."""
    total = record.total_credit()
    own = record.credit.get(role, total) if role else total
    helped, hurt = own.helped + 3.0, own.hurt + 1.0
    return 0.5 + 0.5 * helped / (helped + hurt)


# --- learning -------------------------------------------------------------------------------------


async def learn(view: View, trial: ClosedTrial, like: Sequence[Record]) -> list[Op]:
    """The summary of a closed trial, the insights it makes, and the evidence it gives.

    Args:
        view: The memory as the trial saw it.
        trial: The trial.
        like: QUERY records of like trials, best first.
    """
    case = replace(case_of(trial.record, trial.steps), outcome=trial.outcome)
    won = trial.outcome.succeeded
    if won is None or not any(step.action for step in case.steps):
        return []
    up = Hop(frozenset({LinkType.SUPPORTS}), "out", INSIGHTS)
    known = await view.walk([record.id for record in like], [up]) if like else None
    core = condense(case, _dull(known)) if won else case
    actions = [step.action for step in core.steps if step.action][-LONGEST_SUMMARY:]
    if won:
        actions = await _as_followed(view, trial, actions)
    this = Judged.of(trial.record.id, trial.record.text, won, actions)
    others = [judged for record in like if (judged := judged_of(record)) is not None]
    evidence = Evidence()
    for rule in mine(this, case):
        evidence.add(trial.record, rule, {this.id: rule.holds})
    for found in contrast(this, others):
        said = dict.fromkeys(found.supports, True) | dict.fromkeys(found.refutes, False)
        evidence.add(trial.record, found.rule, said)
    for record in known.records.values() if known else ():
        if record.tier is Tier.INSIGHT and record.id not in evidence.said:
            says = judge(str(record.data.get("form", "")), insight_data(record), this, case)
            if says is not None:
                evidence.said[record.id] = {this.id: says}
    there = frozenset(known.records) if known else frozenset()
    unknown = [id_ for id_ in evidence.said if id_ not in there]
    there |= frozenset(await view.get(unknown)) if unknown else frozenset()
    summary = Patch(trial.record.id, trial.record.revision, {"summary": "\n".join(actions)})
    return [summary, *evidence.ops(there)]


def _dull(known: Walk | None) -> frozenset[str]:
    """Templates of actions of which nothing ever comes, as far as the like trials say."""
    return frozenset(
        str(insight_data(record).get("action"))
        for record in (known.records.values() if known else ())
        if record.data.get("form") == "never_works" and confidence(record) >= SURELY_DULL
    )


async def _as_followed(view: View, trial: ClosedTrial, actions: list[str]) -> list[str]:
    """What a success that followed a recalled plan in the end did of it.

    A team that gave up one plan for another has also done what only the first asked for.
    """
    last = next((step for step in reversed(trial.steps) if action_of(step)), None)
    used = last.data.get("used", ()) if last is not None else ()
    records = await view.get([str(id_) for id_ in used][:1])
    for record in records.values():
        if record.tier is Tier.INSIGHT:
            followed = plan_steps(insight_data(record))
        else:
            other = judged_of(record)
            followed = other.skeleton.steps if other is not None and other.won else ()
        return reduced(trial.record.text, actions, [step.template for step in followed])
    return actions


def judged_of(record: Record) -> Judged | None:
    """A remembered trial as mining reads it; None if its outcome or actions are not known."""
    won = record.outcome.succeeded if record.outcome else None
    if won is None or not record.summary:
        return None
    return Judged.of(record.id, record.text, won, record.summary.split("\n"))


class Evidence:
    """What is said for and against insights.

    Attributes:
        records: Insights that somebody speaks for, by id.
        said: Per id, what each trial says.
    """

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.said: dict[str, dict[str, bool]] = {}

    def add(self, trial: Record, rule: MinedRule, said: Mapping[str, bool]) -> None:
        """Note what trials say of a rule.

        Args:
            trial: Whose scope it is, and who said it first.
            rule: The insight.
            said: Per trial, whether it speaks for it or against it.
        """
        id_ = digest("insight", trial.scope, rule.form, dict(rule.data))
        if any(said.values()) and id_ not in self.records:
            # What nobody speaks for is not worth a record; evidence against one that is there
            # still counts.
            self.records[id_] = Record(
                id=id_,
                tier=Tier.INSIGHT,
                kind="rule",
                text=rule.text,
                scope=trial.scope,
                provenance=Provenance(trial=trial.id, run=trial.provenance.run),
                data={"form": rule.form, "data": dict(rule.data)},
            )
        self.said.setdefault(id_, {}).update(said)

    def ops(self, there: frozenset[str]) -> list[Op]:
        """New records first, then the links.

        Args:
            there: Ids of the insights that are remembered already.
        """
        ops: list[Op] = [Add(record) for id_, record in self.records.items() if id_ not in there]
        for id_, said in self.said.items():
            if id_ not in there and id_ not in self.records:
                continue
            for trial, holds in said.items():
                type_ = LinkType.SUPPORTS if holds else LinkType.REFUTES
                ops.append(AddLink(Link(src=trial, dst=id_, type=type_)))
        return ops
