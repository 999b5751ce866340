"""Insights of `gmemory`: their score, and the rounds in which they are made and revised.

A round looks at some remembered trials, each with its most similar successes and failures, and
asks for operations: ADD, EDIT, AGREE, REMOVE (paper, section 4.3; the operations and the numbers
below are those of its published code, after ExpeL, arXiv 2308.10144). Without a model the contrast
of `mining` stands in: it compares successes and failures as the model is asked to.

The score of an insight is kept as credit: the operations under a role of their own, the rewards as
the credit that every served record gets. Its support set is its SUPPORTS links.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..graph import (
    Add,
    AddCredit,
    AddLink,
    Filter,
    Hop,
    Link,
    LinkType,
    Op,
    Provenance,
    Record,
    Supersede,
    Tier,
    View,
    digest,
)
from .baselines import JUDGED, TRIALS
from .cases import case_of, steps_of
from .condense import condense
from .gmemory_model import MOST_OPERATIONS, Advisor, Operation
from .mining import Judged, contrast, judge
from .recall import Case
from .scoring import bm25
from .strategy import ClosedTrial

GUIDELINES = Filter(kinds=frozenset({"guideline"}))
"""Only the insights that this strategy made, so that strategies may share a store."""
INSIGHTS = frozenset({Tier.INSIGHT})
START = 5
"""Trials before the first round (published code: start_insights_threshold)."""
EVERY = 5
"""Trials between rounds (published code: rounds_per_insights)."""
POINTS = 5
"""Trials that a round looks at (published code: insights_point_num)."""
SUCCESSES, FAILURES = 3, 1
"""Similar trials that each is compared with (published code)."""
FULL = 10
"""Insights from which on an addition must be well founded (published code)."""
INITIAL = 2.0
"""Score of a new insight (published code)."""
AGREED = 1.0
"""What AGREE and EDIT add to a score (published code)."""
REMOVED, REMOVED_WHEN_FULL = 1.0, 3.0
"""What REMOVE takes from a score (published code)."""
REWARD, PENALTY = 1.0, 2.0
"""What a success adds to the score of each insight that was served, and a failure takes away
(published code)."""
POOL = 256
"""Newest trials from which a round draws (our choice: the published code draws from all)."""
LISTED = 64
"""Insights that a round knows of, the newest (our choice: the published code has no bound)."""
WELL_FOUNDED = 3
"""Trials that must share what is added when the list is full (our choice: the published code only
asks the model to be strict)."""

_OPERATIONS = "gmemory/operations"
"""The role under which the operations are credited."""


def score(record: Record) -> float:
    """The score of an insight; it is in use while this is above 0."""
    total = INITIAL
    for role, credit in record.credit.items():
        if role == _OPERATIONS:
            total += credit.helped - credit.hurt
        else:
            total += REWARD * credit.helped - PENALTY * credit.hurt
    return total


def in_use(record: Record) -> bool:
    """Whether an insight of this strategy may be served and revised."""
    return record.kind in GUIDELINES.kinds and score(record) > 0.0


@dataclass(frozen=True, slots=True)
class _Point:
    """One trial of a round and those like it."""

    won: tuple[Case, ...]
    lost: tuple[Case, ...]

    @property
    def trials(self) -> frozenset[str]:
        return frozenset(case.id for case in (*self.won, *self.lost))


@dataclass(frozen=True, slots=True)
class _Change:
    """An operation with the trials it rests on."""

    op: str
    known: Record | None = None
    text: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    trials: tuple[str, ...] = ()
    against: tuple[str, ...] = ()


async def due(view: View, trial: ClosedTrial) -> bool:
    """Whether a round follows this trial: after every fifth of the scope."""
    found = await view.search([trial.record.text], None, tiers=TRIALS, k=1)
    count = found.statistics.documents
    return count >= START and count % EVERY == 0


async def revise(view: View, trial: ClosedTrial, advisor: Advisor | None) -> list[Op]:
    """One round: what the trials it looks at change about the insights.

    Args:
        view: The memory as the trial saw it.
        trial: The trial that has just ended; the first to be looked at.
        advisor: The model; the contrast of `mining` stands in without one.
    """
    found = await view.recent(tiers=INSIGHTS, k=LISTED, where=GUIDELINES)
    hop = Hop(frozenset({LinkType.SUPPORTS}), "in", TRIALS, fan=256)
    walk = await view.walk([record.id for record in found], [hop])
    ledger = _Ledger(trial.record, [record for record in found if in_use(record)], walk.links)
    for point in await _points(view, trial):
        related = ledger.related(point.trials)
        full = ledger.count >= FULL
        changes = None
        if advisor is not None:
            changes = await _asked(advisor, point, related, full=full)
        if changes is None:
            changes = _contrasted(point, related, full=full)
        for change in changes:
            ledger.apply(change, full=full)
    return ledger.ops


async def _points(view: View, trial: ClosedTrial) -> list[_Point]:
    """The trial and others drawn by its id, each with the most similar successes and failures."""
    pool = await view.recent(tiers=TRIALS, k=POOL, where=JUDGED)
    drawn = sorted(
        (record for record in pool if record.id != trial.record.id),
        key=lambda record: digest("gmemory point", trial.record.id, record.id),
    )
    points = []
    for anchor in [trial.record, *drawn[: POINTS - 1]]:
        likes = await _like(view, anchor)
        steps = await steps_of(view, [record.id for record in (anchor, *likes)])
        cases = [condense(case_of(record, steps.get(record.id, ()))) for record in likes]
        if anchor.id == trial.record.id:
            own = replace(case_of(anchor, trial.steps), outcome=trial.outcome)
        else:
            own = case_of(anchor, steps.get(anchor.id, ()))
        cases.insert(0, condense(own) if own.outcome.succeeded else own)
        points.append(
            _Point(
                tuple(case for case in cases if case.outcome.succeeded),
                tuple(case for case in cases if case.outcome.succeeded is False),
            )
        )
    return points


async def _like(view: View, anchor: Record) -> list[Record]:
    """The successes and the failure most like a trial, by words: its vector is not at hand."""
    k = 4 * (SUCCESSES + FAILURES)
    found = await view.search([anchor.text], None, tiers=TRIALS, k=k, where=JUDGED)
    ranked = sorted(
        (hit.record for hit in found.hits if hit.record.id != anchor.id),
        key=lambda record: (-bm25(anchor.text, record, found.statistics), record.id),
    )
    won = [one for one in ranked if one.outcome and one.outcome.succeeded]
    lost = [one for one in ranked if one.outcome and one.outcome.succeeded is False]
    return [*won[:SUCCESSES], *lost[:FAILURES]]


async def _asked(
    advisor: Advisor, point: _Point, related: Sequence[Record], *, full: bool
) -> list[_Change] | None:
    """What the model says: of each pair of a success and a failure, and of the successes."""
    groups: list[tuple[tuple[Case, ...], tuple[Case, ...]]] = [
        ((won,), (lost,)) for won, lost in zip(point.won, point.lost, strict=False)
    ]
    if point.won:
        groups.append((point.won, ()))
    texts = [record.text for record in related]
    changes: list[_Change] = []
    touched: set[int] = set()
    answered = False
    for won, lost in groups:
        operations = await advisor.operations(texts, won, lost, full=full)
        if operations is None:
            continue
        answered = True
        trials = tuple(case.id for case in (*won, *lost))
        for operation in _once_each(operations, touched):
            record = related[operation.number - 1] if operation.op != "ADD" else None
            changes.append(_change(operation, record, trials))
    return changes if answered else None


def _once_each(operations: Sequence[Operation], touched: set[int]) -> list[Operation]:
    """One operation for each insight; within a round the first counts."""
    kept = []
    for operation in operations:
        if operation.op == "ADD":
            kept.append(operation)
        elif operation.number not in touched:
            touched.add(operation.number)
            kept.append(operation)
    return kept


def _change(operation: Operation, record: Record | None, trials: tuple[str, ...]) -> _Change:
    text = " ".join(operation.text.split())
    if operation.op == "REMOVE":
        return _Change("REMOVE", record, against=trials)
    return _Change(operation.op, record, text, trials=trials)


def _contrasted(point: _Point, related: Sequence[Record], *, full: bool) -> list[_Change]:
    """The stand-in: what is borne out or contradicted, and what the successes share."""
    cases = {case.id: case for case in (*point.won, *point.lost)}
    judged = [
        Judged.of(
            case.id,
            case.task,
            case.outcome.succeeded is True,
            [step.action for step in case.steps if step.action],
        )
        for case in cases.values()
    ]
    if not judged:
        return []
    found = contrast(judged[0], judged[1:])
    said = {_key(one.rule.form, one.rule.data): one for one in found}
    changes: list[_Change] = []
    for record in related:
        form, data = str(record.data.get("form", "")), record.data.get("data", {})
        for_, against = set[str](), set[str]()
        for one in judged:
            verdict = judge(form, data, one, cases[one.id])
            if verdict is not None:
                (for_ if verdict else against).add(one.id)
        if same := said.pop(_key(form, data), None):
            for_ |= set(same.supports)
        if for_:
            changes.append(_Change("AGREE", record, trials=tuple(sorted(for_))))
        elif against:
            changes.append(_Change("REMOVE", record, against=tuple(sorted(against))))
    least = WELL_FOUNDED if full else 2
    additions = [
        _Change(
            "ADD",
            None,
            one.rule.text,
            {"form": one.rule.form, "data": dict(one.rule.data)},
            one.supports,
            one.refutes,
        )
        for one in said.values()
        if len(one.supports) >= least
    ]
    additions.sort(key=lambda one: (len(one.against) - len(one.trials), one.text))
    order = ("REMOVE", "AGREE", "EDIT", "ADD")
    changes.sort(key=lambda one: order.index(one.op))
    return [*changes, *additions][: max(MOST_OPERATIONS, len(changes))]


def _key(form: str, data: Mapping[str, Any]) -> str:
    return digest(form, dict(data))


@dataclass(slots=True)
class _Kept:
    """An insight as it stands within a round."""

    record: Record
    score: float
    support: set[str]


class _Ledger:
    """The insights in use during a round, and the operations that it comes to."""

    def __init__(self, trial: Record, known: Sequence[Record], links: Sequence[Link]) -> None:
        self._trial = trial
        self._kept = {record.id: _Kept(record, score(record), set()) for record in known}
        self._added: set[str] = set()
        self._credits = 0
        self.ops: list[Op] = []
        for link in links:
            if link.dst in self._kept:
                self._kept[link.dst].support.add(link.src)

    @property
    def count(self) -> int:
        return len(self._kept)

    def related(self, trials: frozenset[str]) -> list[Record]:
        """The insights that at least half of the trials support (published code)."""
        return [
            kept.record
            for _, kept in sorted(self._kept.items())
            if 2 * len(kept.support & trials) >= len(trials)
        ]

    def apply(self, change: _Change, *, full: bool) -> None:
        if change.op in ("ADD", "EDIT"):
            # The same words are the same insight: to add them, or edit to them, is to agree.
            for kept in self._kept.values():
                if kept.record.text == change.text:
                    change = replace(change, op="AGREE", known=kept.record)
                    break
        if change.known is None:
            self._add(change.text, change.data, change.trials, change.against)
            return
        kept_ = self._kept.get(change.known.id)
        if kept_ is None:
            return
        match change.op:
            case "AGREE":
                self._agree(kept_, change.trials)
            case "REMOVE":
                self._remove(kept_, change.against, REMOVED_WHEN_FULL if full else REMOVED)
            case "EDIT":
                self._edit(kept_, change)

    def _agree(self, kept: _Kept, trials: Sequence[str]) -> None:
        self._credit(kept, AGREED)
        self._link(trials, kept.record.id, LinkType.SUPPORTS)
        kept.support |= set(trials)

    def _remove(self, kept: _Kept, against: Sequence[str], strength: float) -> None:
        self._credit(kept, -strength)
        self._link(against, kept.record.id, LinkType.REFUTES)
        if kept.score <= 0.0:
            del self._kept[kept.record.id]

    def _edit(self, old: _Kept, change: _Change) -> None:
        trials = (*change.trials, *sorted(old.support - set(change.trials)))
        new = self._add(change.text, old.record.data, trials, ())
        if new is None or old.record.scope != self._trial.scope:
            # What a wider scope says is not this one's to take back.
            return
        self.ops.append(Supersede(old.record.id, old.record.revision, new.record.id))
        self._credit(new, old.score + AGREED - INITIAL)
        del self._kept[old.record.id]

    def _add(
        self, text: str, data: Mapping[str, Any], trials: Sequence[str], against: Sequence[str]
    ) -> _Kept | None:
        # One that scored out of use may be found again later: it is a new insight then.
        id_ = digest("guideline", self._trial.scope, text, dict(data), self._trial.id)
        if id_ in self._added:
            return None
        self._added.add(id_)
        record = Record(
            id=id_,
            tier=Tier.INSIGHT,
            kind="guideline",
            text=text,
            scope=self._trial.scope,
            provenance=Provenance(trial=self._trial.id, run=self._trial.provenance.run),
            data=dict(data),
        )
        self.ops.append(Add(record))
        self._link(trials, id_, LinkType.SUPPORTS)
        self._link(against, id_, LinkType.REFUTES)
        # The store counts revisions from 1.
        kept = _Kept(replace(record, revision=1), INITIAL, set(trials))
        self._kept[id_] = kept
        return kept

    def _credit(self, kept: _Kept, delta: float) -> None:
        kept.score += delta
        self._credits += 1
        self.ops.append(
            AddCredit(
                id=kept.record.id,
                role=_OPERATIONS,
                receipt=digest("gmemory round", self._trial.id, self._credits),
                helped=max(delta, 0.0),
                hurt=max(-delta, 0.0),
            )
        )

    def _link(self, trials: Sequence[str], id_: str, type_: LinkType) -> None:
        self.ops += [AddLink(Link(src=trial, dst=id_, type=type_)) for trial in trials]
