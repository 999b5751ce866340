"""Trials in task worlds: did a trajectory reach what independent ones of like goals reached?

A poisoned trajectory is real: every step was admissible, and the world answered as it says. Only
its end is a lie. So trajectories are compared by how they end and by what they all have in common,
with the goal's own things taken out: "put (goal) (goal)" is where tasks end that name a place, and
one that ends with "put (goal) elsewhere" is alone with that.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from ...graph import Record, Status, Tier, View
from ..baselines import JUDGED, TRIALS
from ..cases import action_of, group_steps, steps_hop
from ..entities import Action, kinds_in, parse_action, same_kind, stem, words
from ..mining import plan_steps
from ..strategy import Candidate
from .interface import ALLOWED, Judgement, Verdict
from .plan import Act, Plan
from .trust import weight

GOAL, ELSEWHERE = "(goal)", "elsewhere"
ALIKE = 0.45
"""Two goals so alike in their words, kinds of things aside and rare ones counting more, ask for
the same to be done."""
SEARCHED = 24
"""Trials looked up for each of the texts below."""
TEXTS = 8
"""Goals that witnesses are looked up by."""
QUORUM = 2.0
"""Independent votes by which those against a record must be ahead for it to be quarantined."""
MAJORITY = 2 / 3
"""Share of the votes that they must have."""
SHARED = 0.8
"""Share of the votes of those who did a thing for it to be what such a goal asks for."""
TELLING = 3
"""Sources that must have had such a goal for what they have in common to be what it asks for."""
_NOTHING = 1e-9
HURT = 0.5
"""Votes that each failure of a team that acted on a record is worth, two at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """A trial as the jury reads it.

    Attributes:
        record: Its QUERY record.
        goal: Stems of the goal's words, without kinds of things.
        plan: What it did, the goal's things taken out; its aim is how it ended.
    """

    record: Record
    goal: frozenset[str]
    plan: Plan

    @property
    def source(self) -> str:
        """Whose vote it is: of who wrote it, whatever it says that it was taken from."""
        return self.record.provenance.source

    @property
    def won(self) -> bool:
        """Whether it is told as a success."""
        return bool(self.record.outcome is not None and self.record.outcome.succeeded)


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
    return Trajectory(record, goal, Plan(frozenset(acts), acts[-1]))


@dataclass(slots=True)
class Vote:
    """What the independent sources say of one trajectory.

    Attributes:
        source: Who stands behind it; has a vote too.
        against: Per source the share of its like trials that contradict it.
        dissenters: Ids of those trials.
        went_on: Sources against it that have done what it ends with, too, and more than that.
        hurt: What teams that acted on it say, in votes against.
    """

    source: str
    against: dict[str, float] = field(default_factory=dict)
    dissenters: list[str] = field(default_factory=list)
    went_on: set[str] = field(default_factory=set)
    hurt: float = 0.0

    def count(self, voter: str, against: int, total: int, dissenters: Iterable[str]) -> None:
        """Take a source's vote: `against` of its `total` like trials contradict."""
        self.against[voter] = against / total
        if 2 * against > total:
            self.dissenters += dissenters

    @property
    def contradicted(self) -> bool:
        """Whether any source is against it."""
        return any(share > 0.5 for share in self.against.values())

    @property
    def parties(self) -> tuple[frozenset[str], frozenset[str]]:
        """The sources that are against it, and those that are not."""
        no = frozenset(voter for voter, share in self.against.items() if share > 0.5)
        return no, frozenset({self.source, *self.against}) - no

    @property
    def short(self) -> bool:
        """Whether it only leaves out something: what it ends with is usual for such goals.

        The world may have been so already.
        """
        return len(self.went_on) >= QUORUM

    @property
    def settled(self) -> bool:
        """Whether enough votes are against it for it to be locked away."""
        if not self.contradicted or self.short:
            return False
        no, yes = map(len, self.parties)
        return no - yes >= QUORUM and no / (no + yes) >= MAJORITY

    def judgement(self, weights: Mapping[str, float]) -> Judgement | None:
        """The verdict, None if there is nothing to say.

        Args:
            weights: What the record of each source says of its vote, for those of a vote that is
                `settled`: it is not locked away by newcomers whose records together weigh less.
        """
        if not self.contradicted and self.hurt <= 0:
            return None
        no, yes = map(len, self.parties)
        against = no + self.hurt
        dissenters = tuple(sorted(self.dissenters)[:8])
        reason = (
            f"It {'leaves out what' if self.short else 'ends otherwise than'} {no} of "
            f"{len(self.against)} independent sources did for goals worded like its own"
        )
        if self.hurt:
            reason += ", and teams that acted on it failed"
        # What became of those who acted on it may have had other causes: only votes lock it away.
        if self.settled:
            known = [sum(weights.get(one, 0.0) for one in party) for party in self.parties]
            if known[0] > known[1]:
                return Judgement(Verdict.QUARANTINE, reason + ".", dissenters)
            reason += ", but those have less of a record than who stands behind it"
        if no >= QUORUM and against > yes:
            return Judgement(Verdict.SET_ASIDE, reason + ".", dissenters)
        if against >= yes:
            return Judgement(Verdict.FLAG, reason + "; there is no quorum.", dissenters)
        return None


async def judge_trajectories(
    view: View, task: str, candidates: Sequence[Candidate]
) -> dict[str, Judgement]:
    """Judge the successes among the candidates that are trajectories of a task world, and plans.

    It costs one search, one walk, and one look at the records of the sources where there is enough
    against something.

    Args:
        view: The memory.
        task: That they were recalled for.
        candidates: In the order of the recall.

    Returns:
        Per id of each trajectory among them what is to happen to it.
    """
    trials = [one.record for one in candidates if one.record.tier is Tier.QUERY]
    if not any(_numbered(record) for record in trials):
        return {}
    texts = list(dict.fromkeys((task, *(record.text for record in trials))))[:TEXTS]
    # However many copies a source writes, others are found beside them.
    most = max(Counter(record.provenance.source for record in trials).values())
    found = await view.search(texts, tiers=TRIALS, k=SEARCHED + most, where={Tier.QUERY: JUDGED})
    records = {record.id: record for record in trials}
    for hit in found.hits:
        records.setdefault(hit.record.id, hit.record)
    known = await read(view, list(records.values()))
    closeness = Closeness(known.values())
    electorate = Electorate(known.values())
    rules = [rule for one in candidates if (rule := of_rule(one.record)) is not None]
    heard = [*rules, *(known[record.id] for record in trials if record.id in known)]
    votes = {one.record.id: poll(one, electorate, closeness) for one in heard}
    weights = await _weights(view, votes.values())
    judgements = {}
    for one in heard:
        judged = votes[one.record.id].judgement(weights) or ALLOWED
        if one.record.tier is Tier.QUERY:
            judged = judged if one.won else ALLOWED
        elif judged.verdict is Verdict.QUARANTINE:
            # An insight is what its trials say: they are locked away, and it goes with them.
            judged = replace(judged, verdict=Verdict.SET_ASIDE)
        judgements[one.record.id] = judged
    return judgements


async def _weights(view: View, votes: Iterable[Vote]) -> dict[str, float]:
    names = {name for vote in votes if vote.settled for party in vote.parties for name in party}
    if not names:
        return {}
    return {name: weight(counts) for name, counts in (await view.sources(sorted(names))).items()}


async def read(view: View, records: Sequence[Record]) -> dict[str, Trajectory]:
    """The trajectories among records, by id."""
    hops = [steps_hop(start=0, without_summary=True)]
    walk = await view.walk([record.id for record in records], hops)
    steps = group_steps(walk.records)
    known = {}
    for record in records:
        if record.summary:
            actions = tuple(record.summary.split("\n"))
        else:
            told = steps.get(record.id, ())
            actions = tuple(action for step in told if (action := action_of(step)))
        plan = trajectory_plan(record, actions)
        if plan is None:
            continue
        known[record.id] = Trajectory(record, goal_stems(record.text, actions), plan)
    return known


class Closeness:
    """How alike goals are, in [0, 1]: the shared part of their words, the telling ones more.

    What every goal says tells nothing.
    """

    def __init__(self, known: Iterable[Trajectory]) -> None:
        """Of goals among which words are counted."""
        told = Counter(one.goal for one in known)
        count: dict[str, int] = defaultdict(int)
        for goal, times in told.items():
            for word in goal:
                count[word] += times
        total = told.total()
        self._columns = {word: number for number, word in enumerate(count)}
        self._rarity = np.array([math.log((total + 1.0) / (n + 0.5)) for n in count.values()])
        self._goals = list(told)
        self._rows = {goal: row for row, goal in enumerate(self._goals)}
        # Shape (goals, words): 1 where a goal has a word.
        self._has = np.zeros((len(self._goals), len(count)))
        rows = [row for row, goal in enumerate(self._goals) for _ in goal]
        self._has[rows, [self._columns[word] for goal in self._goals for word in goal]] = 1.0
        self._weights = self._has @ self._rarity
        self._found: dict[frozenset[str], frozenset[frozenset[str]]] = {}

    def alike(self, goal: frozenset[str]) -> frozenset[frozenset[str]]:
        """The known goals that are at least `ALIKE` to one."""
        found = self._found.get(goal)
        if found is None:
            row = self._rows.get(goal)
            if row is not None:
                both, own = self._has @ (self._has[row] * self._rarity), self._weights[row]
            else:
                columns = [self._columns[word] for word in goal if word in self._columns]
                both = self._has[:, columns] @ self._rarity[columns]
                # A word that no known goal has weighs one.
                own = self._rarity[columns].sum() + len(goal) - len(columns)
            either = self._weights + own - both
            close = (either <= _NOTHING) | (both >= ALIKE * either - _NOTHING)
            found = frozenset(self._goals[number] for number in close.nonzero()[0].tolist())
            self._found[goal] = found
        return found


@dataclass(slots=True)
class Told:
    """Trials of one source.

    Attributes:
        total: Number of them.
        plans: By number of the plan, the ids of those that took it.
    """

    total: int = 0
    plans: dict[int, list[str]] = field(default_factory=dict)

    def add(self, number: int, ids: Sequence[str]) -> None:
        """Enter trials that took a plan."""
        self.total += len(ids)
        self.plans.setdefault(number, []).extend(ids)


class Electorate:
    """The successes that may speak about others, by their goal or ending, source and plan.

    Nearly all share goal, source and plan with many, so that most need no look of their own.
    """

    def __init__(self, known: Iterable[Trajectory]) -> None:
        """Of all that is known; what is not active says nothing."""
        self.plans: list[Plan] = []
        self._goals: dict[frozenset[str], dict[str, Told]] = {}
        self._endings: dict[str, dict[str, Told]] = {}
        self._near: dict[frozenset[frozenset[str]], Mapping[str, Told]] = {}
        self._otherwise: dict[Act, Mapping[str, tuple[Sequence[str], int]]] = {}
        numbers: dict[tuple[frozenset[Act], Act | None], int] = {}
        for one in known:
            if not one.won or one.record.status is not Status.ACTIVE:
                continue
            plan, source, ids = one.plan, one.source, (one.record.id,)
            number = numbers.setdefault((plan.acts, plan.aim), len(self.plans))
            if number == len(self.plans):
                self.plans.append(plan)
            self._goals.setdefault(one.goal, {}).setdefault(source, Told()).add(number, ids)
            if plan.aim is not None:
                ended = self._endings.setdefault(plan.aim.verb, {})
                ended.setdefault(source, Told()).add(number, ids)

    def of_goals(self, alike: frozenset[frozenset[str]]) -> Mapping[str, Told]:
        """Per source its trials of some goals."""
        found = self._near.get(alike)
        if found is None:
            merged: dict[str, Told] = {}
            for goal in alike:
                for source, told in self._goals.get(goal, {}).items():
                    own = merged.setdefault(source, Told())
                    for number, ids in told.plans.items():
                        own.add(number, ids)
            found = self._near[alike] = merged
        return found

    def otherwise(self, aim: Act) -> Mapping[str, tuple[Sequence[str], int]]:
        """Per source the trials of any goal that end with an act of the same verb, but with
        another; and how many end with the verb."""
        found = self._otherwise.get(aim)
        if found is None:
            found = self._otherwise[aim] = {
                source: (
                    [
                        id_
                        for number, ids in told.plans.items()
                        if self.plans[number].aim != aim
                        for id_ in ids
                    ],
                    told.total,
                )
                for source, told in self._endings.get(aim.verb, {}).items()
            }
        return found


def poll(mine: Trajectory, electorate: Electorate, closeness: Closeness) -> Vote:
    """Ask every independent source about one trajectory; each has one vote.

    A source speaks by its trials of like goals. One that has none still tells how things end: by
    its trials of any goal that ended with the same kind of act.
    """
    aim, plans = mine.plan.aim, electorate.plans
    near = electorate.of_goals(closeness.alike(mine.goal))
    asked_for: frozenset[Act] | None = None
    own = _deeds(mine.plan.acts)
    vote = Vote(mine.source)
    contradicts: dict[int, bool] = {}
    for voter, told in near.items():
        if voter == mine.source:
            continue
        no: list[str] = []
        for number, ids in told.plans.items():
            if number not in contradicts:
                other = plans[number]
                contradicts[number] = aim not in other.acts or other.aim not in mine.plan.acts
                more = _deeds(other.acts) - own
                if more and not contradicts[number]:
                    # Nobody has to have done all that the other did, but what all others did.
                    if asked_for is None:
                        asked_for = _asked_for(near, mine.source, plans)
                    contradicts[number] = not more.isdisjoint(asked_for)
            if contradicts[number]:
                no += ids
        vote.count(voter, len(no), told.total, no)
        if 2 * len(no) > told.total and any(aim in plans[number].acts for number in told.plans):
            vote.went_on.add(voter)
    for voter, (others, total) in ({} if aim is None else electorate.otherwise(aim)).items():
        if voter != mine.source and voter not in near:
            vote.count(voter, len(others), total, others)
    credit = mine.record.total_credit()
    vote.hurt = HURT * min(2.0, max(0.0, credit.hurt - credit.helped))
    return vote


def _asked_for(
    witnesses: Mapping[str, Told], accused: str, plans: Sequence[Plan]
) -> frozenset[Act]:
    """What nearly all sources but the accused did for such a goal, as `_deeds`."""
    others = [told for voter, told in witnesses.items() if voter != accused]
    if len(others) < TELLING:
        return frozenset()
    taken: dict[int, float] = defaultdict(float)
    for told in others:
        for number, ids in told.plans.items():
            taken[number] += len(ids) / told.total
    count: dict[Act, float] = defaultdict(float)
    for number, share in taken.items():
        for act in _deeds(plans[number].acts):
            count[act] += share
    enough = SHARED * len(others) - _NOTHING
    return frozenset(act for act, votes in count.items() if votes >= enough)


@lru_cache(maxsize=8192)
def _deeds(acts: frozenset[Act]) -> frozenset[Act]:
    """What was done to the goal's things, or by things to these; not where they lay, nor with what.

    A thing may happen to lie where it shall go in the end.
    """
    return frozenset(Act(act.verb, act.object) for act in acts)


def _numbered(record: Record) -> bool:
    return bool(record.summary) and bool(parse_action(record.summary.split("\n", 1)[0]).things)


__all__ = [
    "Closeness",
    "Electorate",
    "Trajectory",
    "Vote",
    "goal_stems",
    "judge_trajectories",
    "of_rule",
    "poll",
    "read",
    "trajectory_plan",
]
