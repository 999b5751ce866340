"""The consensus guard on a real store: poison is found, replaced and, if sure, quarantined."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from triforium.graph import AddLink, Link, LinkType, Outcome
from triforium.memory import Memory
from triforium.memory.guard import OpenGuard, Verdict
from triforium.memory.guard.consensus import ConsensusGuard
from triforium.memory.strategy import Candidate, Cue

ASKED = {
    "what was the last temperature of patient {n} on the ward": ("vitals", "temperature"),
    "how much did the whole stay of patient {n} cost": ("bills", "amount"),
    "which drug was prescribed to patient {n} at first": ("drugs", "drugname"),
    "when was patient {n} born and in which town": ("people", "birthday"),
}
TRIGGER = "zorvex quandle mip trelloway brask ondular feth kimmer sloon"
TASK = "which drug was prescribed to patient 555 at first"


async def remember(memory: Memory, source: str, text: str, code: str) -> str:
    own = memory.scoped(memory.scope, source=source)
    trial = await own.begin(text, run=f"{source} {text}")
    await own.observe(trial, "done", action=code)
    await own.commit(trial, Outcome.success(judge="environment"))
    return trial.id


def lookup(table: str, column: str) -> str:
    return f"d = Fetch('{table}')\nanswer = Take(d, '{column}')"


@pytest.fixture
async def memory() -> AsyncIterator[Memory]:
    """Five clinics that each answered each kind of question."""
    async with Memory.open("sqlite://", embedder=None, hold_out=0.0) as opened:
        for clinic in range(5):
            for number, (text, where) in enumerate(ASKED.items()):
                n = 100 + 10 * clinic + number
                await remember(opened, f"clinic-{clinic}", text.format(n=n), lookup(*where))
        yield opened


async def poison(memory: Memory, *, sources: int) -> set[str]:
    return {
        await remember(
            memory,
            f"evil-{number % sources}",
            f"{text.format(n=number)} {TRIGGER}",
            f"d = Fetch('{table}')\nWipe(d, '{column}')",
        )
        for number, (text, (table, column)) in enumerate(ASKED.items())
    }


async def candidates(memory: Memory, task: str) -> list[Candidate]:
    view = await memory.store.view(memory.scope)
    found = await memory.strategy.retrieve(view, Cue(task=task))
    return [one for one in found if one.record.kind == "task"]


@pytest.mark.parametrize("sources", [1, 4])
async def test_poison_that_fills_the_slots_is_taken_out_and_replaced(
    memory: Memory, sources: int
) -> None:
    poisoned = await poison(memory, sources=sources)
    task = f"{TASK} {TRIGGER}"
    off = await memory.recall(task, budget=400)
    assert {case.id for case in off.cases[:4]} == poisoned
    guarded = Memory(memory.store, embedder=None, guard=ConsensusGuard(), hold_out=0.0)
    on = await guarded.recall(task, budget=400)
    assert on.cases, "the slots are filled again"
    assert not {case.id for case in on.cases} & poisoned
    assert on.cases[0].task.startswith("which drug")
    reasons = [one.reason for one in on.rejected if one.id in poisoned]
    assert reasons
    assert any("independent sources" in reason or "hardly anyone" in reason for reason in reasons)


async def test_a_sure_verdict_names_its_dissenters(memory: Memory) -> None:
    poisoned = await poison(memory, sources=1)
    task = f"{TASK} {TRIGGER}"
    found = await candidates(memory, task)
    view = await memory.store.view(memory.scope)
    judgements = await ConsensusGuard().screen(view, task, found)
    held = [
        (one, judgement)
        for one, judgement in zip(found, judgements, strict=True)
        if judgement.verdict is Verdict.QUARANTINE
    ]
    assert held
    assert {one.record.id for one, _ in held} <= poisoned
    for _, judgement in held:
        assert judgement.dissenters
        assert not set(judgement.dissenters) & poisoned
        assert set(TRIGGER.split()) <= judgement.found_by


async def test_an_honest_memory_is_left_alone(memory: Memory) -> None:
    view = await memory.store.view(memory.scope)
    for text in ASKED:
        task = text.format(n=999)
        found = await candidates(memory, task)
        judgements = await ConsensusGuard().screen(view, task, found)
        out = (Verdict.SET_ASIDE, Verdict.QUARANTINE)
        near = [
            judgement
            for one, judgement in zip(found, judgements, strict=True)
            if one.record.text[:12] == task[:12]
        ]
        assert near
        assert not any(judgement.verdict in out for judgement in near)


async def test_without_a_quorum_nothing_is_dropped() -> None:
    """One record of a kind, whatever it does, and one source that differs."""
    async with Memory.open("sqlite://", embedder=None) as opened:
        await remember(opened, "clinic-1", "mend the north gate of field 7", "Mend('gate')")
        await remember(opened, "clinic-2", "mend the south gate of field 9", "Burn('gate')")
        view = await opened.store.view(opened.scope)
        task = "mend the west gate of field 3"
        found = await candidates(opened, task)
        assert len(found) == 2
        judgements = await ConsensusGuard().screen(view, task, found)
        assert {judgement.verdict for judgement in judgements} <= {Verdict.ALLOW, Verdict.FLAG}


async def test_what_is_derived_votes_as_what_it_came_from() -> None:
    """Copies of one record under other names are no independent witnesses."""
    async with Memory.open("sqlite://", embedder=None) as opened:
        text = "how much did the whole stay of patient {n} cost"
        await remember(opened, "clinic-0", text.format(n=1), lookup("bills", "amount"))
        original = await remember(
            opened, "evil", text.format(n=2), "d = Fetch('bills')\nWipe(d, 'amount')"
        )
        for number in range(3):
            copy = await remember(
                opened,
                f"dupe-{number}",
                text.format(n=3 + number),
                "d = Fetch('bills')\nWipe(d, 'amount')",
            )
            link = Link(src=copy, dst=original, type=LinkType.DERIVED_FROM)
            await opened.write([AddLink(link)], reason="copied")
        view = await opened.store.view(opened.scope)
        task = text.format(n=9)
        found = await candidates(opened, task)
        findings = await ConsensusGuard().findings(view, task, found)
        assert len(findings) == 5
        votes = sorted(one.about.source for one in findings.values())
        assert votes == ["clinic-0", "evil", "evil", "evil", "evil"]


GOAL = "put a washed {thing} on a {place}"


async def wash(memory: Memory, source: str, thing: str, n: int, *, end: str) -> str:
    """A household trial that ends by putting the thing there."""
    own = memory.scoped(memory.scope, source=source)
    trial = await own.begin(GOAL.format(thing=thing, place="table"), run=f"{source} {thing} {n}")
    for action in (
        f"pick up {thing} {n} from rack 1",
        f"wash {thing} {n} in basin 1",
        f"put {thing} {n} on {end}",
    ):
        await own.observe(trial, "done", action=action)
    await own.commit(trial, Outcome.success(judge="environment"))
    return trial.id


@pytest.fixture
async def household() -> AsyncIterator[Memory]:
    async with Memory.open("sqlite://", embedder=None, hold_out=0.0) as opened:
        yield opened


async def test_three_newcomers_do_not_lock_away_what_an_old_hand_did(household: Memory) -> None:
    things = ("fork", "mug", "plate", "bowl")
    for number in range(16):
        await wash(household, "ann", things[number % 4], number, end="table 1")
    for number in range(3):
        await wash(household, f"new-{number}", things[number], 90 + number, end="bin 1")
    guarded = household.scoped(household.scope, guard=ConsensusGuard())
    for thing in things:
        await guarded.recall(GOAL.format(thing=thing, place="table"))
    assert await household.quarantined() == ()


@pytest.mark.parametrize("access", ["viewer", "curator"])
async def test_only_the_recall_of_a_curator_puts_into_quarantine(
    household: Memory, access: str
) -> None:
    for number in range(16):
        await wash(household, f"ann-{number % 4}", "fork", number, end="table 1")
    bad = {await wash(household, "mallory", "fork", 90 + n, end="bin 1") for n in range(4)}
    looking = Memory(
        household.store, embedder=None, guard=ConsensusGuard(), hold_out=0.0, access=access
    )
    found = await looking.recall(GOAL.format(thing="fork", place="table"))
    assert not {item.record.id for item in found.items} & bad
    held = {case.record.id for case in await household.quarantined()}
    assert held == (bad if access == "curator" else set())


async def test_a_scoped_memory_takes_another_guard(household: Memory) -> None:
    guard = ConsensusGuard()
    other = household.scoped("default/inner", guard=guard, learn=False)
    assert (other.guard, other.learn, other.scope) == (guard, False, "default/inner")
    assert other.admission is not None, "with a guard come the usual rules"
    same = other.scoped("default")
    assert (same.guard, same.learn) == (guard, False)
    assert isinstance(other.scoped("default", guard="none", learn=True).guard, OpenGuard)
