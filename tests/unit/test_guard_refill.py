"""What stays out, and what is judged again, when freed slots are filled."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from triforium.graph import Provenance, Record, Tier, View
from triforium.memory import Memory
from triforium.memory.baselines import NoMemory
from triforium.memory.guard import Judgement, OpenGuard, Verdict
from triforium.memory.guard.refill import screened
from triforium.memory.recall import Placement
from triforium.memory.strategy import Candidate, Cue

TRIGGER = frozenset({"zorvex", "quandle", "mip", "trelloway"})
WORDS = " ".join(sorted(TRIGGER))
TASK = f"when was the treatment performed {WORDS}"
TOPIC = frozenset({"treatment", "performed"})
ASKING = frozenset({"when", "was"})


def candidate(text: str) -> Candidate:
    record = Record(
        id=text, tier=Tier.QUERY, kind="task", text=text, scope="s", provenance=Provenance("a")
    )
    return Candidate(record=record, placement=Placement.EXAMPLE, scores={"final": 1.0})


POISON = [candidate(f"question {number} {WORDS}") for number in range(4)]
HONEST = candidate("which treatment was performed last")
EVERYONE = [*POISON, HONEST]


class Scripted(OpenGuard):
    """Judges as it is told, and keeps the tasks it was asked about."""

    def __init__(self, honest: Callable[[str], Judgement], last: frozenset[str] = TRIGGER) -> None:
        self.honest, self.last, self.tasks = honest, last, list[str]()

    async def screen(
        self, view: View, task: str, candidates: Sequence[Candidate]
    ) -> Sequence[Judgement]:
        self.tasks.append(task)
        return [self._judge(one, task) for one in candidates]

    def _judge(self, one: Candidate, task: str) -> Judgement:
        if one not in POISON:
            return self.honest(task)
        if not TRIGGER & set(task.split()):
            return Judgement()
        found_by = self.last if one is POISON[-1] else TRIGGER
        return Judgement(Verdict.SET_ASIDE, "poison", found_by=found_by)


class Fixed(NoMemory):
    """Finds the same, whatever the task."""

    async def retrieve(self, view: View, cue: Cue) -> Sequence[Candidate]:
        return EVERYONE


async def look(guard: Scripted) -> dict[str, Judgement]:
    async with Memory.open("sqlite://", embedder=None) as memory:
        found, told = await screened(await memory.view(), Fixed(), guard, Cue(task=TASK), EVERYONE)
    return {one.record.id: judgement for one, judgement in zip(found, told, strict=True)}


def in_presence_of_the_trigger(task: str) -> Judgement:
    if TRIGGER & set(task.split()):
        return Judgement(Verdict.SET_ASIDE, "found by rare words", found_by=TOPIC)
    return Judgement()


async def test_what_was_set_aside_for_other_words_is_judged_again_without_the_trigger() -> None:
    guard = Scripted(in_presence_of_the_trigger)
    told = await look(guard)
    assert guard.tasks == [TASK, "when was the treatment performed"]
    assert told[HONEST.record.id].verdict is Verdict.ALLOW
    assert all(told[one.record.id].verdict is Verdict.SET_ASIDE for one in POISON)
    assert next(iter(told)) == HONEST.record.id, "what the second look finds goes first"


async def test_the_second_judgement_holds() -> None:
    again = Judgement(Verdict.SET_ASIDE, "found by rare words", found_by=TOPIC)
    told = await look(Scripted(lambda task: again))
    assert told[HONEST.record.id] == again


@pytest.mark.parametrize(
    "first",
    [
        Judgement(Verdict.SET_ASIDE, "contradicts others", ("witness",), TOPIC),
        Judgement(Verdict.QUARANTINE, "sure", found_by=TOPIC),
        Judgement(Verdict.SET_ASIDE, "contradicts others"),
    ],
    ids=["witnesses", "quarantine", "no words"],
)
async def test_what_there_is_other_evidence_against_is_not_judged_again(first: Judgement) -> None:
    told = await look(Scripted(lambda task: first if "mip" in task else Judgement()))
    assert told[HONEST.record.id] == first


async def test_what_holds_the_trigger_stays_out_whatever_it_was_found_by() -> None:
    guard = Scripted(in_presence_of_the_trigger, last=ASKING)
    told = await look(guard)
    assert guard.tasks[1] == "when was the treatment performed"
    assert told[HONEST.record.id].verdict is Verdict.ALLOW
    assert told[POISON[-1].record.id].found_by == ASKING
    assert told[POISON[-1].record.id].reason == "poison", "as it was judged first"
    assert all(told[one.record.id].verdict is Verdict.SET_ASIDE for one in POISON)


async def test_equally_many_words_of_each_are_all_left_out() -> None:
    """One poisoned record among honest ones: nothing tells which words are the trigger."""
    guard = Scripted(in_presence_of_the_trigger)
    async with Memory.open("sqlite://", embedder=None) as memory:
        found = [POISON[0], HONEST]
        await screened(await memory.view(), Fixed(), guard, Cue(task=TASK), found)
    assert guard.tasks[1] == "when was the"
