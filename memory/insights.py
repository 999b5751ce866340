"""Insights of the default strategy: which a task is offered, and what a closed trial does to them.

An insight is one immutable record for each form and arguments. Its evidence is links from trials,
SUPPORTS and REFUTES, which the store counts; so it is a function of its evidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any

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
    TermStatistics,
    Tier,
    View,
    Walk,
    digest,
)
from .cases import action_of, case_of
from .condense import condense, reduced
from .entities import kinds_named, stem, stems, words
from .mining import Judged, MinedRule, contrast, judge, mine, plan_steps
from .recall import Placement, Rule
from .scoring import Bm25
from .strategy import Candidate, ClosedTrial, Cue, Form

INSIGHTS = frozenset({Tier.INSIGHT})
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


_NO_VOTE = Vote()


def offered(
    searched: Candidates, votes: Mapping[str, Vote], walk: Walk, cue: Cue
) -> list[Candidate]:
    """Insights by what they say, by the votes of the trials that support them, and by credit."""
    most = max((vote.total for vote in votes.values()), default=1.0)
    records = {hit.record.id: hit.record for hit in searched.hits}
    records |= {id_: walk.records[id_] for id_ in votes if id_ in walk.records}
    about_task = _About(cue.task, searched.statistics)
    ranked = []
    for id_, record in records.items():
        trusted = confidence(record)
        if trusted < LEAST_CONFIDENCE:
            continue
        about = about_task.of(record)
        vote = votes.get(id_, _NO_VOTE)
        if about <= 0.0 and vote.total <= 0.0:
            continue
        # A change is asked for by a word; how many like trials made it says little.
        weight = 0.9 if record.data.get("form") == "achieves" else 0.6
        final = weight * about + (1.0 - weight) * vote.total / most
        final *= trusted * helpfulness(record, cue.role)
        ranked.append((-final, id_, about, record))
    ranked.sort(key=lambda one: one[:2])
    candidates = []
    for negative, id_, about, record in _within_quotas(ranked):
        vote = votes.get(id_, _NO_VOTE)
        candidates.append(
            Candidate(
                record=record,
                placement=Placement.RULE,
                scores={"lexical": about, "votes": vote.total / most, "final": -negative},
                path=(vote.voter, id_) if vote.voter else (id_,),
                forms=partial(_forms, record),
            )
        )
    return candidates


def _forms(record: Record) -> Sequence[Form]:
    """An insight as it is packed."""
    return (Form(_told(record), rule=_rule(record, confidence(record))),)


class _About:
    """How much insights speak of one task."""

    def __init__(self, task: str, statistics: TermStatistics) -> None:
        self._task = task
        self._statistics = statistics
        self._words = words(task)
        self._stems = stems(task)
        self._named = kinds_named(task)
        self._plain = Bm25(task, statistics)
        self._scorers: dict[frozenset[str], Bm25] = {frozenset(): self._plain}

    def of(self, record: Record) -> float:
        """In [0, 1]; where something is found must be of what the task names."""
        data = insight_data(record)
        thing = data.get("thing")
        if isinstance(thing, str) and thing not in self._named:
            return 0.0
        change = data.get("change")
        if not isinstance(change, str):
            return self._plain.score(record)
        asked = frozenset(stem(word) for word in words(change))
        if not asked <= self._stems:
            return 0.0
        return self._scorer(asked).score(record)

    def _scorer(self, asked: frozenset[str]) -> Bm25:
        """A word that a goal asks with is kept as its stem; the task has to meet it as such."""
        if asked not in self._scorers:
            task = self._task
            if asked:
                met = (stem(word) if stem(word) in asked else word for word in self._words)
                task = " ".join(met)
            self._scorers[asked] = Bm25(task, self._statistics)
        return self._scorers[asked]


_Ranked = tuple[float, str, float, Record]
"""The negative score, the id, how much it speaks of the task, the insight."""


def _within_quotas(ranked: Sequence[_Ranked]) -> list[_Ranked]:
    left = dict(QUOTAS)
    others = OTHERS
    kept = []
    for one in ranked:
        form = str(one[3].data.get("form", ""))
        if form in _ABOUT_THE_TASK and one[2] <= 0.0:
            continue
        if form in left:
            left[form] -= 1
            if left[form] >= 0:
                kept.append(one)
        elif others > 0:
            others -= 1
            kept.append(one)
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
    data = record.data.get("data", _NOTHING)
    return data if type(data) is dict or isinstance(data, Mapping) else _NOTHING


def confidence(record: Record) -> float:
    """Laplace's rule of succession over the evidence for and against."""
    return (record.support + 1.0) / (record.support + record.refuted + 2.0)


def helpfulness(record: Record, role: str) -> float:
    """Between 0.5 and 1: how often the record helped this role, with a prior of four uses."""
    if not record.credit:
        return _UNTRIED
    own = record.credit.get(role) if role else None
    if own is None:
        own = record.total_credit()
    helped, hurt = own.helped + 3.0, own.hurt + 1.0
    return 0.5 + 0.5 * helped / (helped + hurt)


_NOTHING: Mapping[str, Any] = MappingProxyType({})
_UNTRIED = 0.5 + 0.5 * 3.0 / 4.0
"""How helpful a record without credit is taken to be."""


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
