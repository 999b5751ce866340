"""Mining again: what all trials of a scope together say, as operations on what is remembered.

When a trial closes, it is compared with the trials like it that were there before. So what is
mined on the way depends a little on the order. Mining again does not: insights and their evidence
become a function of the trials, and doing it twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..graph import (
    Add,
    AddLink,
    Filter,
    Hop,
    Link,
    LinkType,
    Op,
    Outcome,
    Record,
    SetStatus,
    Status,
    Unlink,
    View,
)
from .baselines import JUDGED, TRIALS
from .cases import case_of, group_steps, steps_hop
from .condense import condense
from .insights import INSIGHTS, Evidence, insight_data
from .mining import Judged, contrast_all, judge, mine
from .recall import Case

MAX_TRIALS = 2000
"""The newest trials that are read; what older ones said of insights is left as it is."""
MAX_INSIGHTS = 10_000
CHUNK = 64
RULES = Filter(kinds=frozenset({"rule"}), statuses=frozenset(Status), tainted=None)
SILENCED = (
    replace(JUDGED, statuses=frozenset({Status.QUARANTINED}), tainted=None),
    replace(JUDGED, tainted=True),
)
_EVIDENCE = {LinkType.SUPPORTS: True, LinkType.REFUTES: False}


async def remine(view: View, *, afresh: bool = False) -> list[Op]:
    """What is to be changed so that the insights are what the trials say.

    Insights that nobody speaks for any more are archived; those that somebody speaks for again
    come back. Only insights that were mined are touched.

    Args:
        view: The memory.
        afresh: Also archive rules that trials speak for, but that mining them again does not
            find: then what is left depends on nothing but the trials.

    Returns:
        Operations; empty when nothing is to be done.
    """
    trials = await view.recent(tiers=TRIALS, k=MAX_TRIALS, where=JUDGED)
    trials = tuple(sorted(trials, key=lambda trial: (trial.added, trial.id)))
    there = {
        record.id: record
        for record in await view.recent(tiers=INSIGHTS, k=MAX_INSIGHTS, where=RULES)
    }
    said, records = await _said(view, trials, {} if afresh else there)
    # Who is quarantined, or held back by its taint, says nothing: what it said is taken back.
    silenced = {trial.id: trial for trial in trials}
    for where in SILENCED:
        found = await view.recent(tiers=TRIALS, k=MAX_TRIALS, where=where)
        silenced |= {trial.id: trial for trial in found}
    linked = await _linked(view, tuple(silenced.values()))
    ops: list[Op] = [Add(record) for id_, record in records.items() if id_ not in there]
    ops += _links(said, linked, {*there, *records})
    ops += _statuses(said, linked, there)
    return ops


async def _said(
    view: View, trials: Sequence[Record], there: Mapping[str, Record]
) -> tuple[dict[str, dict[str, bool]], dict[str, Record]]:
    """Per insight who speaks for or against it, and the insights as records."""
    evidence = Evidence()
    cases: dict[str, Case] = {}
    judged: list[Judged] = []
    for start in range(0, len(trials), CHUNK):
        chunk = trials[start : start + CHUNK]
        walk = await view.walk([trial.id for trial in chunk], [steps_hop()])
        steps = group_steps(walk.records)
        for trial in chunk:
            case = replace(
                case_of(trial, steps.get(trial.id, [])), outcome=trial.outcome or Outcome.unknown()
            )
            won = case.outcome.succeeded
            if won is None or not any(step.action for step in case.steps):
                continue
            one = Judged.of(trial.id, trial.text, won, _actions(trial, case))
            cases[trial.id] = case
            judged.append(one)
            for rule in mine(one, case):
                evidence.add(trial, rule, {trial.id: rule.holds})
    by_id = {trial.id: trial for trial in trials}
    for found in contrast_all(judged):
        speakers = dict.fromkeys(found.supports, True) | dict.fromkeys(found.refutes, False)
        evidence.add(by_id[found.supports[0]], found.rule, speakers)
    for id_, record in {**there, **evidence.records}.items():
        form, data = str(record.data.get("form", "")), insight_data(record)
        for one in judged:
            if one.id not in evidence.said.get(id_, {}):
                says = judge(form, data, one, cases[one.id])
                if says is not None:
                    evidence.said.setdefault(id_, {})[one.id] = says
    return evidence.said, evidence.records


def _actions(trial: Record, case: Case) -> list[str]:
    """What the outcome depended on: as it was worked out when the trial closed, or anew."""
    if trial.summary:
        return trial.summary.split("\n")
    core = condense(case) if case.outcome.succeeded else case
    return [step.action for step in core.steps if step.action]


async def _linked(view: View, trials: Sequence[Record]) -> dict[str, dict[str, set[LinkType]]]:
    """Per insight and trial, what the links say now."""
    linked: dict[str, dict[str, set[LinkType]]] = {}
    hop = Hop(frozenset(_EVIDENCE), "out", INSIGHTS, RULES, fan=1_000_000)
    for start in range(0, len(trials), CHUNK):
        walk = await view.walk([trial.id for trial in trials[start : start + CHUNK]], [hop])
        for link in walk.links:
            linked.setdefault(link.dst, {}).setdefault(link.src, set()).add(link.type)
    return linked


def _links(
    said: Mapping[str, Mapping[str, bool]],
    linked: Mapping[str, Mapping[str, set[LinkType]]],
    known: set[str],
) -> list[Op]:
    ops: list[Op] = []
    for id_ in sorted({*said, *linked} & known):
        now, wanted = linked.get(id_, {}), said.get(id_, {})
        for trial in sorted({*now, *wanted}):
            holds = wanted.get(trial)
            for type_, meaning in _EVIDENCE.items():
                has = type_ in now.get(trial, ())
                if holds is meaning and not has:
                    ops.append(AddLink(Link(src=trial, dst=id_, type=type_)))
                elif holds is not meaning and has:
                    ops.append(Unlink(trial, id_, type_))
    return ops


def _statuses(
    said: Mapping[str, Mapping[str, bool]],
    linked: Mapping[str, Mapping[str, set[LinkType]]],
    there: Mapping[str, Record],
) -> list[Op]:
    ops: list[Op] = []
    for id_, record in sorted(there.items()):
        mine_ = sum(LinkType.SUPPORTS in types for types in linked.get(id_, {}).values())
        supported = any(said.get(id_, {}).values()) or record.support > mine_
        if supported and record.status is Status.ARCHIVED:
            ops.append(SetStatus(id_, record.revision, Status.ACTIVE, "trials speak for it again"))
        elif not supported and record.status is Status.ACTIVE:
            ops.append(
                SetStatus(id_, record.revision, Status.ARCHIVED, "no trial speaks for it any more")
            )
    return ops
