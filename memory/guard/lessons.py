"""Lessons: what a confirmed attack teaches, asked before each step (A-MemGuard, arXiv 2510.02373).

A lesson says: for a goal worded like this, do not do that. It is an INSIGHT record of kind
"lesson", written by nothing but the confirmation of a quarantine. Lessons are a list of their own,
bounded, and have credit: one that turned teams away from what would have worked loses its standing.
And one is heeded only while a record that taught it stands confirmed as an attack, so that a lesson
which somebody wrote past a guard says nothing, and a release takes back what was learned.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...graph import (
    Add,
    AddCredit,
    Changeset,
    Filter,
    HoldState,
    Op,
    Outcome,
    Provenance,
    Record,
    Status,
    Supersede,
    Tier,
    View,
    digest,
)
from ..baselines import JUDGED
from ..cases import action_of, observation_of, steps_of
from ..entities import kinds_in, parse_action, words
from .interface import ALLOWED, Judgement, ProposedStep, Verdict
from .trajectories import goal_stems

LESSON = "lesson"
MAX_LESSONS = 64
"""Lessons that are asked before a step: those with the best standing among the newest."""
READ = 256
"""Lessons that are read to find them."""
MAX_ROOTS = 8
"""Confirmed records that a lesson names at most."""
MAX_DEEDS = 4
"""Deeds that one attack forbids at most."""
ALIKE = 0.6
"""Least share of words, kinds of things aside, that two goals must have in common."""
STANDING = 0.5
"""Share of helped trials, with a prior of two in three, below which a lesson says nothing."""
WITNESSES = 12
"""Like successes asked for what is done instead, where the quarantine names no dissenters."""
EXPECTED = 0.25
"""Least share of words in common for what came of a step to be what its record says."""

_LESSONS = Filter(kinds=frozenset({LESSON}), tainted=None)
_GOAL_SLOT = "(goal)"


@dataclass(frozen=True, slots=True)
class Lesson:
    """One lesson.

    Attributes:
        id: Of its record.
        goal: Stems of the words of the goal the attack was made for, without kinds of things.
        forbids: A deed, as `deed` writes it.
        instead: Deeds of the independent witnesses; may be empty.
        roots: The records whose confirmation taught it.
        standing: In [0, 1]; see `STANDING`.
        text: In words.
    """

    id: str
    goal: frozenset[str]
    forbids: str
    instead: tuple[str, ...]
    roots: tuple[str, ...]
    standing: float
    text: str

    @classmethod
    def of(cls, record: Record) -> Lesson | None:
        """The lesson of a record, None if the record is none."""
        data = record.data.get("data", {})
        if record.kind != LESSON or not isinstance(data, Mapping) or not data.get("forbids"):
            return None
        return cls(
            id=record.id,
            goal=frozenset(map(str, data.get("goal", ()))),
            forbids=str(data["forbids"]),
            instead=tuple(map(str, data.get("instead", ()))),
            roots=tuple(map(str, data.get("roots", ())))[:MAX_ROOTS],
            standing=standing(record),
            text=record.text,
        )

    def speaks_of(self, step: ProposedStep) -> bool:
        """Whether a step is what the lesson forbids, for a goal like the lesson's."""
        return deed(step.task, step.action) == self.forbids and self._like(step.task, step.action)

    def _like(self, task: str, action: str) -> bool:
        mine = goal_stems(task, (action,))
        both = self.goal | mine
        return not both or len(self.goal & mine) / len(both) >= ALIKE


def standing(record: Record) -> float:
    """How far a lesson is to be trusted: its credit, with a prior of two helped in three."""
    credit = record.total_credit()
    return (credit.helped + 2.0) / (credit.helped + credit.hurt + 3.0)


def deed(task: str, action: str) -> str:
    """An action with what the goal names taken out, so that it can be met again.

    Args:
        task: The goal, in words.
        action: Such as "put fork 1 on shelf 2".

    Returns:
        Such as "put (goal) on shelf". Of an action whose things carry no numbers, its first line in
        lower case, with the words of the goal taken out in the same way.
    """
    parsed = parse_action(action)
    if not parsed.things:
        named = frozenset(word for word in words(task) if len(word) > 3)
        first = next(iter(action.strip().splitlines()), "")
        return " ".join(_GOAL_SLOT if word in named else word for word in words(first))
    kinds = kinds_in(task, frozenset(thing.kind for thing in parsed.things))
    text = parsed.template
    for thing in parsed.things:
        text = text.replace("_", _GOAL_SLOT if thing.kind in kinds else thing.kind, 1)
    return text


# --- asked before and after a step ----------------------------------------------------------------


async def lessons(view: View, *, with_standing: bool = True) -> list[Lesson]:
    """The lessons of a scope, best standing first, at most `MAX_LESSONS`.

    Args:
        view: The memory.
        with_standing: Only those whose credit lets them be heeded.
    """
    found = [lesson for lesson, _ in await _written(view)]
    heeded = [one for one in found if one.standing >= STANDING] if with_standing else found
    sure = await _confirmed(view, {root for one in heeded for root in one.roots})
    taught = [one for one in heeded if not sure.isdisjoint(one.roots)]
    taught.sort(key=lambda one: (-one.standing, one.id))
    return taught[:MAX_LESSONS]


async def untaught(view: View, records: Sequence[Record]) -> frozenset[str]:
    """The ids of the lessons among records that no confirmed record stands behind."""
    told = {one.id: Lesson.of(one) for one in records if one.kind == LESSON}
    roots = {id_: lesson.roots if lesson else () for id_, lesson in told.items()}
    sure = await _confirmed(view, {root for named in roots.values() for root in named})
    return frozenset(id_ for id_, named in roots.items() if sure.isdisjoint(named))


async def _written(view: View) -> list[tuple[Lesson, Record]]:
    records = await view.recent(tiers=frozenset({Tier.INSIGHT}), k=READ, where=_LESSONS)
    return [(lesson, record) for record in records if (lesson := Lesson.of(record)) is not None]


async def _confirmed(view: View, ids: Collection[str]) -> frozenset[str]:
    """Those of the records that stand confirmed as an attack."""
    found = await view.get(sorted(ids)) if ids else {}
    return frozenset(
        id_
        for id_, one in found.items()
        if one.status is Status.QUARANTINED
        and one.hold is not None
        and one.hold.state is HoldState.CONFIRMED
    )


async def before_step(view: View, step: ProposedStep) -> Judgement:
    """Refuse a step that a lesson with standing forbids; `dissenters` names the lesson."""
    for lesson in await lessons(view):
        if lesson.speaks_of(step):
            return Judgement(Verdict.SET_ASIDE, lesson.text, (lesson.id,))
    return ALLOWED


async def after_step(view: View, step: ProposedStep) -> Judgement:
    """Note a surprise: the record a step was taken from tells another thing of the same deed.

    Returns:
        FLAG with the records that told otherwise, or ALLOW.
    """
    if not step.based_on or not step.observation:
        return ALLOWED
    mine = parse_action(step.action)
    said = _plain(step.observation)
    wrong = []
    for id_, steps in (await steps_of(view, sorted(step.based_on))).items():
        told = [
            _plain(observation_of(one))
            for one in steps
            if parse_action(action_of(one)).template == mine.template
        ]
        if told and all(_shared(said, other) < EXPECTED for other in told):
            wrong.append(id_)
    if not wrong:
        return ALLOWED
    return Judgement(
        Verdict.FLAG,
        f"What came of {step.action!r} is not what {'it' if len(wrong) == 1 else 'they'} told "
        "from which the step was taken.",
        tuple(wrong),
    )


def _plain(text: str) -> frozenset[str]:
    return frozenset(words(text))


def _shared(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / min(len(one), len(other)) if one and other else 1.0


def lesson_credits(
    trial: str, steps: Sequence[Record], outcome: Outcome, *, role: str = "guard"
) -> list[Op]:
    """Credit for the lessons that turned steps of a trial away: helped or hurt, as it ended.

    Args:
        trial: Id of the trial.
        steps: As recorded; the facade's callers note in `data["lessons"]` which lessons spoke.
        outcome: How the trial ended; an unknown one gives no credit.
        role: Under which the credit stands.
    """
    if outcome.value is None:
        return []
    spoke = sorted({str(id_) for step in steps for id_ in step.data.get("lessons", ())})
    return [
        AddCredit(
            id=id_,
            role=role,
            receipt=digest("lesson spoke", trial, id_),
            uses=1.0,
            helped=outcome.value,
            hurt=1.0 - outcome.value,
        )
        for id_ in spoke
    ]


# --- written by a confirmation --------------------------------------------------------------------


def forged_lessons(changeset: Changeset) -> str:
    """Why a changeset may not be written outside a confirmation; "" if it holds no lesson."""
    if not any(isinstance(op, Add) and op.record.kind == LESSON for op in changeset.ops):
        return ""
    return (
        "a lesson is written by the confirmation of a quarantine and by nothing else. "
        "Quarantine the record and confirm it."
    )


async def distil(view: View, record: Record, *, dissenters: Sequence[str] = ()) -> list[Op]:
    """The lessons of a confirmed attack, as operations.

    What is forbidden is what the attack did and none of the independent witnesses did for a like
    goal; where the witnesses leave nothing over, or there are none, there is no lesson.

    Args:
        view: The memory, with the record in quarantine.
        record: What was confirmed: a trial, a step of one, or anything with a text.
        dissenters: Ids of the records that spoke against it; looked for if empty.

    Returns:
        What adds the lessons. One that is there already is superseded by itself with the record
        named too, so that it outlives the release of the others.
    """
    task, deeds = await _attempt(view, record)
    witnesses = await _witnesses(view, record, task, dissenters)
    done = [await _attempt(view, one) for one in witnesses]
    allowed = {deed(task_, action) for task_, actions in done for action in actions}
    if not allowed:
        return []
    varied = _varied(done)
    last = tuple(dict.fromkeys(deed(task_, actions[-1]) for task_, actions in done if actions))
    goal = goal_stems(task, tuple(deeds))
    forbidden = dict.fromkeys(
        said
        for action in deeds
        if (said := deed(task, action)) not in allowed and _telling(task, action, varied)
    )
    known = {
        (lesson.goal, lesson.forbids): (lesson, old)
        for lesson, old in await _written(view)
        if old.scope == record.scope
    }
    sure = await _confirmed(view, {root for lesson, _ in known.values() for root in lesson.roots})
    ops: list[Op] = []
    for forbids in list(forbidden)[-MAX_DEEDS:]:
        lesson, old = known.get((goal, forbids), (None, None))
        if lesson is None or old is None:
            ops.append(Add(_record(record, goal, forbids, last[:MAX_DEEDS])))
        elif record.id not in lesson.roots:
            ops += _taught_again(record, lesson, old, sure)
    there = await view.get([op.record.id for op in ops if isinstance(op, Add)])
    return [op for op in ops if not isinstance(op, Add) or op.record.id not in there]


def _taught_again(root: Record, lesson: Lesson, old: Record, sure: frozenset[str]) -> list[Op]:
    """What names one more root of a lesson; nothing where enough confirmed ones are named."""
    roots = tuple(one for one in lesson.roots if one in sure)
    if len(roots) >= MAX_ROOTS:
        return []
    new = _record(root, lesson.goal, lesson.forbids, lesson.instead, roots=roots, after=old.id)
    ops: list[Op] = [Add(new), Supersede(old.id, old.revision, new.id)]
    credit = old.total_credit()
    # Of what nobody confirmed, or no longer, the standing was not earned.
    if roots and credit.uses:
        ops.append(
            AddCredit(
                id=new.id,
                role="guard",
                receipt=digest("lesson again", old.id, new.id),
                uses=credit.uses,
                helped=credit.helped,
                hurt=credit.hurt,
            )
        )
    return ops


def _slots(task: str, action: str) -> list[tuple[str, int, bool]]:
    """Template, place and whether the goal names what stands there, for each slot of an action."""
    parsed = parse_action(action)
    kinds = kinds_in(task, frozenset(thing.kind for thing in parsed.things))
    return [
        (parsed.template, place, thing.kind in kinds) for place, thing in enumerate(parsed.things)
    ]


def _varied(done: Sequence[tuple[str, Sequence[str]]]) -> frozenset[tuple[str, int]]:
    """Slots in which witnesses had things that their goals do not name, such as where one finds
    what one needs: what stands there tells nothing of an attack."""
    return frozenset(
        (template, place)
        for task, actions in done
        for action in actions
        for template, place, named in _slots(task, action)
        if not named
    )


def _telling(task: str, action: str, varied: frozenset[tuple[str, int]]) -> bool:
    """Whether an action does something to what the goal names, rather than lead to it."""
    slots = _slots(task, action)
    if not slots:
        return bool(action.strip())
    if len(slots) == 1 or not any(named for _, _, named in slots):
        return False
    return not any((template, place) in varied for template, place, named in slots if not named)


def _record(
    root: Record,
    goal: frozenset[str],
    forbids: str,
    instead: Sequence[str],
    *,
    roots: Sequence[str] = (),
    after: str = "",
) -> Record:
    data: dict[str, Any] = {
        "goal": sorted(goal),
        "forbids": forbids,
        "instead": list(instead),
        "roots": [*roots, root.id],
    }
    kept = f"; independent sources ended with {instead[0]!r}" if instead else ""
    return Record(
        id=digest("lesson", root.scope, sorted(goal), forbids, after),
        tier=Tier.INSIGHT,
        kind=LESSON,
        text=f"do not {forbids!r} for a goal like {root.text[:200]!r}: what taught it was "
        f"confirmed as an attack{kept}.",
        scope=root.scope,
        provenance=Provenance(trial=root.id, run=root.provenance.run),
        data={"form": LESSON, "data": data},
    )


async def _attempt(view: View, record: Record) -> tuple[str, list[str]]:
    """The goal that a record is about, and the actions it leads to."""
    if record.tier is Tier.QUERY:
        steps = (await steps_of(view, [record.id])).get(record.id, [])
        actions = [action for step in steps if (action := action_of(step))]
        if not actions and record.summary:
            actions = record.summary.split("\n")
        return record.text, actions
    action = action_of(record)
    if record.tier is Tier.INTERACTION and action:
        trial = (await view.get([record.provenance.trial])).get(record.provenance.trial)
        return (trial.text if trial is not None else ""), [action]
    return record.text, []


async def _witnesses(
    view: View, record: Record, task: str, dissenters: Sequence[str]
) -> list[Record]:
    """Trusted trials that reached a like goal, of sources other than the record's."""
    named = await view.get(sorted(dissenters)) if dissenters else {}
    found = [one for one in named.values() if one.tier is Tier.QUERY]
    if not found and task:
        hits = await view.search(
            [task], None, tiers=frozenset({Tier.QUERY}), k=4 * WITNESSES,
            where={Tier.QUERY: JUDGED},
        )  # fmt: skip
        found = [hit.record for hit in hits.hits]
    return [
        one
        for one in found
        if one.provenance.source != record.provenance.source
        and one.status is Status.ACTIVE
        and one.outcome is not None
        and one.outcome.succeeded
    ][:WITNESSES]
