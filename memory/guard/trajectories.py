"""Trials in task worlds, as plans that can be compared.

A poisoned trajectory is real: every step was admissible, and the world answered as it says. Only
its end is a lie. So trajectories are compared by how they end and by what they all have in common,
with the goal's own things taken out: "put (goal) (goal)" is where tasks end that name a place, and
one that ends with "put (goal) elsewhere" is alone with that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ...graph import Record, View
from ..cases import action_of, group_steps, steps_hop
from ..entities import Action, kinds_in, parse_action, same_kind, stem, words
from ..mining import plan_steps
from .plan import Act, Plan

GOAL, ELSEWHERE = "(goal)", "elsewhere"


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """A trial as the jury reads it. What it asks for again and again is looked up once.

    Attributes:
        record: Its QUERY record.
        goal: Stems of the goal's words, without kinds of things.
        plan: What it did, the goal's things taken out; its aim is how it ended.
        source: Whose vote it is: of who wrote it, whatever it says that it was taken from.
        won: Whether it is told as a success.
        hurt: How many more teams that acted on it failed than not.
    """

    record: Record
    goal: frozenset[str]
    plan: Plan
    source: str
    won: bool
    hurt: float

    @classmethod
    def of(cls, record: Record, goal: frozenset[str], plan: Plan) -> Trajectory:
        """A record as a trajectory, whose goal and plan were read from it."""
        credit = record.total_credit()
        return cls(
            record,
            goal,
            plan,
            source=record.provenance.source,
            won=bool(record.outcome is not None and record.outcome.succeeded),
            hurt=max(0.0, credit.hurt - credit.helped),
        )


def trajectory_plan(record: Record, actions: Sequence[str]) -> Plan | None:
    """The plan of a trial whose actions name numbered things; None of others.

    An act is a verb and, for each thing, whether the goal names its kind. The way to the place
    where it ends is left out.
    """
    return _plan(record.text, tuple(actions))


@lru_cache(maxsize=8192)
def _plan(task: str, actions: tuple[str, ...]) -> Plan | None:
    parsed = [parse_action(line) for text in actions for line in text.splitlines() if line.strip()]
    if not parsed or 2 * sum(bool(one.things) for one in parsed) < len(parsed):
        return None
    kinds = kinds_in(task, frozenset(thing.kind for one in parsed for thing in one.things))
    touching = [one for one in parsed if any(thing.kind in kinds for thing in one.things[:2])]
    place = _place(touching[-1]) if touching else ""
    # What never touches anything that its goal names is told by what it does instead.
    acts = [
        Act(
            one.template.split(" ", 1)[0],
            *(GOAL if thing.kind in kinds else ELSEWHERE for thing in one.things[:2]),
        )
        for one in touching or parsed
        if [thing.kind for thing in one.things] != [place]
    ]
    return Plan(frozenset(acts), acts[-1])


def _place(last: Action) -> str:
    """The kind of place where an action leaves a thing of another kind; "" if it leaves none.

    What is done to such a place alone is the way there, and some need it and some do not: they
    are there already, or it stands open.
    """
    kinds = [thing.kind for thing in last.things[:2]]
    return kinds[1] if len(kinds) > 1 and kinds[0] != kinds[1] else ""


@lru_cache(maxsize=8192)
def goal_stems(text: str, actions: tuple[str, ...]) -> frozenset[str]:
    """The stems of a goal's words without the kinds of things that the actions deal with."""
    kinds = {thing.kind for action in actions for thing in parse_action(action).things}
    return frozenset(
        stem(word) for word in words(text) if not any(same_kind(word, kind) for kind in kinds)
    )


def of_rule(record: Record) -> Trajectory | None:
    """A plan insight as a trajectory; None of other records."""
    data = record.data.get("data", {})
    if record.data.get("form") != "plan" or not isinstance(data, Mapping):
        return None
    acts = []
    for step in plan_steps(data):
        # A slot that is open to any kind lets a thing be put anywhere: that is elsewhere too.
        slots = [GOAL if slot.goal else ELSEWHERE for slot in step.slots[:2]]
        if GOAL in slots:
            acts.append(Act(step.head.split("/", 1)[0], *slots))
    if not acts:
        return None
    goal = frozenset(stem(word) for word in words(str(data.get("goal", ""))))
    return Trajectory.of(record, goal, Plan(frozenset(acts), acts[-1]))


_READ: dict[str, tuple[Record, Trajectory | None]] = {}
_LARGEST = 8192
"""Records of which is kept what they were read as, at most."""


async def read(view: View, records: Sequence[Record]) -> dict[str, Trajectory]:
    """The trajectories among records, by id."""
    known: dict[str, Trajectory | None] = {}
    bare = []
    for record in records:
        if not record.summary:
            bare.append(record)
            continue
        # Stores give the same object as long as nothing of a record changes.
        same, one = _READ.get(record.id, (None, None))
        known[record.id] = one if same is record else _keep(record)
    if bare:
        walk = await view.walk([record.id for record in bare], [steps_hop()])
        steps = group_steps(walk.records)
        for record in bare:
            told = steps.get(record.id, ())
            actions = tuple(action for step in told if (action := action_of(step)))
            known[record.id] = _read(record, actions)
    return {record.id: one for record in records if (one := known.get(record.id)) is not None}


def _keep(record: Record) -> Trajectory | None:
    if len(_READ) >= _LARGEST:
        _READ.clear()
    one = _read(record, tuple(record.summary.split("\n")))
    _READ[record.id] = (record, one)
    return one


def _read(record: Record, actions: tuple[str, ...]) -> Trajectory | None:
    plan = trajectory_plan(record, actions)
    return None if plan is None else Trajectory.of(record, goal_stems(record.text, actions), plan)


@lru_cache(maxsize=8192)
def deeds(acts: frozenset[Act]) -> frozenset[Act]:
    """What was done to the goal's things, or by things to these; not where they lay, nor with what.

    A thing may happen to lie where it shall go in the end.
    """
    return frozenset(Act(act.verb, act.object) for act in acts)
