"""The jury of trajectories: one vote for each independent source.

Nearly all trials that are recalled for one task have goals of their own, and dozens are recalled.
So all of them are polled together: the witnesses' trials are counted by source and plan, and the
rest is a few products of small matrices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ...graph import Record, Status, Tier, View
from ..baselines import JUDGED, TRIALS
from ..entities import parse_action
from ..strategy import Candidate
from .interface import ALLOWED, Judgement, Verdict
from .plan import Act, Plan
from .products import product
from .trajectories import Trajectory, deeds, of_rule, read
from .trust import weight

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

_Counts = NDArray[np.float64]
_Flags = NDArray[np.bool_]


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
    rules = [rule for one in candidates if (rule := of_rule(one.record)) is not None]
    heard = [*rules, *(known[record.id] for record in trials if record.id in known)]
    votes = Electorate(known.values()).poll(heard)
    weights = await _weights(view, votes)
    judgements = {}
    for one, vote in zip(heard, votes, strict=True):
        judged = vote.judgement(weights) or ALLOWED
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


def _numbered(record: Record) -> bool:
    return bool(record.summary) and bool(parse_action(record.summary.split("\n", 1)[0]).things)


@dataclass(slots=True)
class Vote:
    """What the independent sources say of one trajectory.

    Attributes:
        source: Who stands behind it; has a vote too.
        against: Per source the share of its like trials that contradict it; empty if those who
            contradict it are fewer than those who do not.
        dissenters: Ids of those trials.
        went_on: Sources against it that have done what it ends with, too, and more than that.
        hurt: What teams that acted on it say, in votes against.
    """

    source: str
    against: dict[str, float] = field(default_factory=dict)
    dissenters: list[str] = field(default_factory=list)
    went_on: set[str] = field(default_factory=set)
    hurt: float = 0.0

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


class Electorate:
    """The successes that may speak about others, by source and plan.

    A group is what one source did by one plan. Below, n accused are heard, and there are g goals,
    q groups, s sources, p plans and a deeds.
    """

    def __init__(self, known: Iterable[Trajectory]) -> None:
        """Of all that is known; what is not won or not active says nothing."""
        told = list(known)
        self._closeness = Closeness(told)
        self._plans: list[Plan] = []
        numbers: dict[tuple[frozenset[Act], Act | None], int] = {}
        trials: list[tuple[str, int, int, str]] = []
        for one in told:
            if not one.won or one.record.status is not Status.ACTIVE:
                continue
            plan = one.plan
            number = numbers.setdefault((plan.acts, plan.aim), len(self._plans))
            if number == len(self._plans):
                self._plans.append(plan)
            goal = self._closeness.rows[one.goal]
            trials.append((one.source, number, goal, one.record.id))
        # One group stands beside the other, and so do those of a source.
        trials.sort()
        self._ids = [id_ for *_, id_ in trials]
        self._goal_of = np.array([goal for _, _, goal, _ in trials], np.intp)
        groups = [(source, number) for source, number, _, _ in trials]
        self._group_at = _starts(groups)
        self._groups = [groups[at] for at in self._group_at]
        self._source_at = _starts([source for source, _ in self._groups])
        self._sources = [self._groups[at][0] for at in self._source_at]
        self._trials = _runs(self._group_at, len(trials))
        self._groups_of = _runs(self._source_at, len(self._groups))
        self._number = {source: number for number, source in enumerate(self._sources)}
        self._source_of = np.array([self._number[one] for one, _ in self._groups], np.intp)
        self._plan_of = np.array([number for _, number in self._groups], np.intp)
        columns: dict[Act, int] = {}
        done = [deeds(plan.acts) for plan in self._plans]
        for some in done:
            for act in some:
                columns.setdefault(act, len(columns))
        self._columns = columns
        # Shape (p, a): which plan does what.
        self._done = np.zeros((len(self._plans), len(columns)))
        for row, some in enumerate(done):
            self._done[row, [columns[act] for act in some]] = 1.0

    def poll(self, heard: Sequence[Trajectory]) -> list[Vote]:
        """Ask every independent source about some trajectories; each has one vote about each.

        A source speaks by its trials of like goals. One that has none still tells how things end:
        by its trials of any goal that ended with the same kind of act.
        """
        votes = [Vote(one.source, hurt=HURT * min(2.0, one.hurt)) for one in heard]
        if not self._groups or not heard:
            return votes
        near = self._closeness.near([one.goal for one in heard])
        numbers = [self._number.get(one.source, -1) for one in heard]
        own = np.array(numbers)[:, None] == np.arange(len(self._sources))
        # Shape (n, q): the trials of like goals, those of the accused left out.
        counts = np.add.reduceat(near[:, self._goal_of], self._group_at, axis=1, dtype=np.float64)
        counts[own[:, self._source_of]] = 0.0
        totals = self._by_source(counts)
        speaks = totals > 0.0
        shares = counts / np.maximum(totals, 1.0)[:, self._source_of]
        contradicts = self._end_otherwise(heard) | self._do_more(heard, shares, speaks.sum(axis=1))
        against = self._by_source(counts * contradicts[:, self._plan_of])
        others, ended = self._endings(heard)
        also = (ended > 0.0) & ~speaks & ~own
        share = np.where(speaks, against / np.maximum(totals, 1.0), 0.0)
        share[also] = (others / np.maximum(ended, 1.0))[also]
        opposed, asked = share > 0.5, speaks | also
        no = opposed.sum(axis=1)
        # Fewer against it than for it, itself among these: there is nothing to say.
        heeded = no + np.array([vote.hurt for vote in votes]) >= asked.sum(axis=1) - no + 1
        for row in np.flatnonzero(heeded).tolist():
            vote, aim = votes[row], heard[row].plan.aim
            shared, held = share[row].tolist(), counts[row].tolist()
            speaking, opposing = speaks[row].tolist(), contradicts[row].tolist()
            vote.against = {
                self._sources[n]: shared[n] for n in np.flatnonzero(asked[row]).tolist()
            }
            for one in np.flatnonzero(opposed[row]).tolist():
                groups: Sequence[int] = self._groups_of[one]
                if speaking[one]:
                    groups = [at for at in groups if held[at]]
                    if any(aim in self._plans[self._groups[at][1]].acts for at in groups):
                        vote.went_on.add(self._sources[one])
                    groups = [at for at in groups if opposing[self._groups[at][1]]]
                    vote.dissenters += self._trials_of(groups, near[row])
                else:
                    groups = [at for at in groups if self._ends_elsewhere(at, aim)]
                    vote.dissenters += self._trials_of(groups)
        return votes

    def _by_source(self, values: _Counts) -> _Counts:
        """Sums over the groups of each source, of shape (n, s)."""
        found: _Counts = np.add.reduceat(values, self._source_at, axis=1)
        return found

    def _end_otherwise(self, heard: Sequence[Trajectory]) -> _Flags:
        """Which accused and which plans do not hold each other's end, of shape (n, p)."""
        known: dict[tuple[frozenset[Act], Act | None], list[bool]] = {}
        rows = []
        for one in heard:
            acts, aim = one.plan.acts, one.plan.aim
            row = known.get((acts, aim))
            if row is None:
                row = known[acts, aim] = [
                    aim not in plan.acts or plan.aim not in acts for plan in self._plans
                ]
            rows.append(row)
        return np.array(rows, np.bool_)

    def _do_more(
        self, heard: Sequence[Trajectory], shares: _Counts, voters: NDArray[np.intp]
    ) -> _Flags:
        """Which plans do what an accused does not and such a goal asks for, of shape (n, p).

        Nobody has to have done all that another did, but what nearly all sources did.

        Args:
            heard: The accused.
            shares: Of each group in its source's trials of like goals, of shape (n, q).
            voters: How many sources have such trials.
        """
        taken = product(shares, self._done[self._plan_of])
        missing = taken >= (SHARED * voters - _NOTHING)[:, None]
        missing &= (voters >= TELLING)[:, None]
        for row, one in enumerate(heard):
            columns = (self._columns.get(act) for act in deeds(one.plan.acts))
            missing[row, [column for column in columns if column is not None]] = False
        more: _Flags = product(missing, self._done.T) > 0.0
        return more

    def _endings(self, heard: Sequence[Trajectory]) -> tuple[_Counts, _Counts]:
        """Per accused and source the trials of any goal that end with an act of the same verb, but
        with another; and all that end with the verb. Both have the shape (n, s)."""
        sizes = np.array([len(run) for run in self._trials])
        known: dict[Act | None, tuple[_Counts, _Counts]] = {}
        for one in heard:
            aim = one.plan.aim
            if aim not in known:
                alike = np.array([_ends_alike(plan.aim, aim) for plan in self._plans], np.bool_)
                other = alike & np.array([plan.aim != aim for plan in self._plans], np.bool_)
                both = np.stack([other, alike])[:, self._plan_of] * sizes
                others, ended = self._by_source(both)
                known[aim] = (others, ended)
        rows = [known[one.plan.aim] for one in heard]
        return np.stack([one for one, _ in rows]), np.stack([one for _, one in rows])

    def _ends_elsewhere(self, group: int, aim: Act | None) -> bool:
        end = self._plans[self._groups[group][1]].aim
        return end != aim and _ends_alike(end, aim)

    def _trials_of(self, groups: Iterable[int], near: _Flags | None = None) -> list[str]:
        """Ids of the trials of some groups, of all goals or of those that are near."""
        return [
            self._ids[at]
            for group in groups
            for at in self._trials[group]
            if near is None or near[self._goal_of[at]]
        ]


class Closeness:
    """How alike goals are, in [0, 1]: the shared part of their words, the telling ones more.

    What every goal says tells nothing.
    """

    def __init__(self, known: Iterable[Trajectory]) -> None:
        """Of goals among which words are counted."""
        told = Counter(one.goal for one in known)
        self.rows = {goal: row for row, goal in enumerate(told)}
        """The number of each goal."""
        self._columns: dict[str, int] = {}
        number = self._columns.setdefault
        words = [number(word, len(self._columns)) for goal in told for word in goal]
        columns = np.array(words, np.intp)
        rows = np.repeat(np.arange(len(told)), np.fromiter(map(len, told), np.intp, len(told)))
        times = np.fromiter(told.values(), np.float64, len(told))
        counts = np.bincount(columns, times[rows], len(self._columns))
        self._rarity = np.log((told.total() + 1.0) / (counts + 0.5))
        # Shape (goals, words): how much a word weighs in a goal that has it.
        self._weigh = np.zeros((len(told), len(self._columns)))
        self._weigh[rows, columns] = self._rarity[columns]
        self._has = (self._weigh > 0.0).astype(np.float64)
        self._weights = self._weigh.sum(axis=1)

    def near(self, goals: Sequence[frozenset[str]]) -> _Flags:
        """Which of the known goals are at least `ALIKE` to some, of shape (goals, known)."""
        numbers = [self.rows.get(goal, -1) for goal in goals]
        weigh, own = self._weigh[numbers], self._weights[numbers]
        for row, (number, goal) in enumerate(zip(numbers, goals, strict=True)):
            if number < 0:
                columns = [self._columns[word] for word in goal if word in self._columns]
                weigh[row] = 0.0
                weigh[row, columns] = self._rarity[columns]
                # A word that no known goal has weighs one.
                own[row] = self._rarity[columns].sum() + len(goal) - len(columns)
        both = product(weigh, self._has.T)
        either = self._weights + own[:, None] - both
        close: _Flags = (either <= _NOTHING) | (both >= ALIKE * either - _NOTHING)
        return close


def _starts(values: Sequence[object]) -> list[int]:
    """Where runs of equal values begin."""
    return [at for at, one in enumerate(values) if not at or one != values[at - 1]]


def _runs(starts: Sequence[int], end: int) -> list[range]:
    """The runs that begin there, one after the other."""
    return [range(at, after) for at, after in zip(starts, [*starts[1:], end], strict=True)]


def _ends_alike(aim: Act | None, other: Act | None) -> bool:
    """Whether two ends are of the same verb."""
    return aim is not None and other is not None and aim.verb == other.verb
