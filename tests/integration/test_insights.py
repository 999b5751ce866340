"""Insights and their evidence in a real store, on small worlds of nonsense words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from triforium import Memory, Outcome
from triforium.agents import CaseGuidedActor
from triforium.errors import InvalidInput
from triforium.graph import Add, AddLink, Filter, Link, LinkType, Record, SetStatus, Status, Tier
from triforium.memory import Placement, Trial, get_strategy
from triforium.memory.hierarchical import ABLATIONS


@dataclass(frozen=True)
class Lived:
    """A trial to be recorded."""

    task: str
    steps: tuple[tuple[str, str], ...]
    won: bool = True


ZORP = "zorp a blip to the fnord"
CARRY = (
    ("hop plinth 1", "At plinth 1: blip 3."),
    ("grab blip 3 off plinth 1", "Grabbed."),
    ("hop fnord 2", "At fnord 2: glam 4."),
    ("drop blip 3 at fnord 2", "Dropped."),
)


def carry(thing: str, off: str, to: str, *, warm: bool = False, won: bool = True) -> Lived:
    """A trial that carries a thing; on the way it warms it, if the goal says "toasty"."""
    between = [(f"smoulder {thing} 1 with gleeb 1", "Warm.")] if warm else []
    return Lived(
        f"zorp the {'toasty ' if warm else ''}{thing} to the {to}",
        (
            (f"hop {off} 1", f"At {off} 1: {thing} 1."),
            (f"grab {thing} 1 off {off} 1", "Grabbed."),
            *between,
            (f"hop {to} 1", f"At {to} 1: nothing."),
            (f"drop {thing} 1 at {to} 1", "Dropped."),
        ),
        won,
    )


@pytest.fixture
async def memory() -> AsyncIterator[Memory]:
    async with Memory.open("sqlite://", embedder=None, hold_out=0.0) as opened:
        yield opened


async def live(memory: Memory, trial: Lived, used: Iterable[str] = ()) -> Trial:
    open_ = await memory.begin(trial.task)
    for action, said in trial.steps:
        await memory.observe(open_, said, action=action, used=used)
    await memory.commit(open_, Outcome.success() if trial.won else Outcome.failure())
    return open_


async def insights(memory: Memory, status: Status = Status.ACTIVE) -> dict[str, Record]:
    """By their text."""
    where = Filter(statuses=frozenset({status}))
    found = await (await memory.view()).recent(tiers=frozenset({Tier.INSIGHT}), k=500, where=where)
    assert len({record.text for record in found}) == len(found), "each is one record"
    return {record.text: record for record in found}


async def counts(memory: Memory) -> dict[str, tuple[int, int]]:
    return {text: (one.support, one.refuted) for text, one in (await insights(memory)).items()}


async def speakers(memory: Memory, insight: str, type_: LinkType) -> set[str]:
    edges: list[tuple[str, str, str]] = list((await memory.graph()).edges(data="type"))
    return {src for src, dst, kind in edges if dst == insight and str(kind) == type_}


async def set_status(memory: Memory, id_: str, status: Status) -> None:
    record = (await (await memory.view()).get([id_]))[id_]
    await memory.write([SetStatus(id_, record.revision, status, "test")], reason="test")


# --- evidence -------------------------------------------------------------------------------------


async def test_one_insight_however_many_trials_say_it(memory: Memory) -> None:
    trials = [await live(memory, Lived(ZORP, CARRY)) for _ in range(3)]
    plan = (await insights(memory))[
        "To zorp a (1) to the (2): grab (1) off plinth; drop (1) at (2)"
    ]
    assert (plan.support, plan.refuted) == (3, 0)
    assert await speakers(memory, plan.id, LinkType.SUPPORTS) == {trial.id for trial in trials}


async def test_a_failure_that_carried_the_plan_out_refutes_it(memory: Memory) -> None:
    await live(memory, Lived(ZORP, CARRY))
    lost = await live(memory, Lived(ZORP, CARRY, won=False))
    (plan,) = [one for text, one in (await insights(memory)).items() if text.startswith("To zorp")]
    assert (plan.support, plan.refuted) == (1, 1)
    assert await speakers(memory, plan.id, LinkType.REFUTES) == {lost.id}
    (rule,) = [one for one in (await memory.recall(ZORP)).rules if one.form == "plan"]
    assert rule.confidence == 0.5


async def test_where_things_are_is_unlearned_as_they_move(memory: Memory) -> None:
    await live(memory, Lived(ZORP, CARRY))
    moved = (
        ("hop plinth 1", "At plinth 1: glam 2."),
        ("hop quux 1", "At quux 1: blip 3."),
        ("grab blip 3 off quux 1", "Grabbed."),
        ("drop blip 3 at fnord 2", "Dropped."),
    )
    for _ in range(4):
        await live(memory, Lived(ZORP, moved))
    found = await counts(memory)
    assert found["blip is found at plinth"] == (1, 4)
    assert found["blip is found at quux"] == (4, 0)
    offered = [one.text for one in (await memory.recall(ZORP)).rules]
    assert "blip is found at quux" in offered
    assert "blip is found at plinth" not in offered, "more speaks against it than for it"


async def test_a_shorter_success_refutes_the_needless_step(memory: Memory) -> None:
    long = (*CARRY[:2], ("smoulder blip 3 with gleeb 1", "Warm."), *CARRY[2:])
    await live(memory, Lived(ZORP, long))
    await live(memory, Lived(ZORP, CARRY))
    plans = {text: said for text, said in (await counts(memory)).items() if text.startswith("To ")}
    assert [said for text, said in plans.items() if "smoulder" in text] == [(1, 1)]
    assert [said for text, said in plans.items() if "smoulder" not in text] == [(1, 0)]


async def test_a_word_that_calls_for_an_action_is_offered_to_who_uses_it(memory: Memory) -> None:
    for thing, to in (("blip", "fnord"), ("snib", "wump"), ("glam", "fnord")):
        await live(memory, carry(thing, "quux", to))
        await live(memory, carry(thing, "quux", to, warm=True))
    said = "'smoulder ... with ...' achieves what 'toas' in a goal asks for"

    async def offered(task: str) -> list[str]:
        return [one.text for one in (await memory.recall(task)).rules if one.form == "achieves"]

    assert said in await offered("zorp the toasty blip to the wump")
    assert said not in await offered("zorp the blip to the wump")


async def test_a_quarantined_trial_is_no_evidence_any_more(memory: Memory) -> None:
    trials = [await live(memory, Lived(ZORP, CARRY)) for _ in range(2)]
    kept = await counts(memory)
    await set_status(memory, trials[0].id, Status.QUARANTINED)
    await memory.maintain()
    assert set((await counts(memory)).values()) == {(1, 0)}
    await set_status(memory, trials[1].id, Status.QUARANTINED)
    await memory.maintain()
    assert not await insights(memory), "nobody speaks for them"
    assert set(await insights(memory, Status.ARCHIVED)) == set(kept), "but they are not deleted"
    for trial in trials:
        await set_status(memory, trial.id, Status.ACTIVE)
    await memory.maintain()
    assert await counts(memory) == kept, "mining again is the way back"


# --- following a plan -----------------------------------------------------------------------------


async def test_a_success_that_followed_a_plan_is_told_as_that_plan(memory: Memory) -> None:
    """What was tried besides, on the way, is not taken for a part of it."""
    first = await live(memory, Lived(ZORP, CARRY))
    (plan,) = [one for one in (await insights(memory)).values() if one.data["form"] == "plan"]
    astray = (*CARRY[:2], ("smoulder blip 3 with gleeb 1", "Warm."), *CARRY[2:])

    async def told(*used: str) -> bool:
        trial = await live(memory, Lived(ZORP, astray), used)
        summary = (await (await memory.view()).get([trial.id]))[trial.id].summary
        return "smoulder" in summary

    assert await told(), "on its own it counts"
    assert not await told(plan.id), "an insight was followed"
    assert not await told(first.id), "a case was followed"


# --- a function of the evidence -------------------------------------------------------------------

TRIALS = (
    carry("blip", "plinth", "fnord"),
    carry("snib", "quux", "wump"),
    carry("blip", "quux", "wump", warm=True),
    carry("glam", "quux", "fnord", warm=True),
    carry("snib", "plinth", "fnord", won=False),
    Lived(ZORP, (("poke quux 1", "Nothing."), ("poke quux 1", "Nothing.")), won=False),
)


async def _mined(trials: Sequence[Lived]) -> dict[str, tuple[int, int]]:
    async with Memory.open("sqlite://", embedder=None, hold_out=0.0) as memory:
        for trial in trials:
            await live(memory, trial)
        await memory.maintain()
        mined = await counts(memory)
        assert await memory.maintain() == 0, "doing it twice changes nothing"
        assert await counts(memory) == mined
        return mined


@settings(max_examples=12, deadline=None)
@example(TRIALS[::-1])
@given(st.permutations(TRIALS))
def test_the_order_of_experience_does_not_matter_to_what_is_mined_again(
    trials: Sequence[Lived],
) -> None:
    assert asyncio.run(_mined(trials)) == asyncio.run(_mined(TRIALS))


async def test_maintenance_can_be_tried_dry(memory: Memory) -> None:
    trials = [await live(memory, trial) for trial in TRIALS]
    await set_status(memory, trials[0].id, Status.QUARANTINED)
    before, position = await counts(memory), (await memory.view()).position
    planned = await memory.maintain(dry_run=True)
    assert planned > 0
    assert (await memory.view()).position == position
    assert await counts(memory) == before
    assert await memory.maintain() == planned
    assert await counts(memory) != before


# --- parts taken out ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "served"),
    [
        ("hierarchical", {Placement.RULE, Placement.EXAMPLE, Placement.COUNTER_EXAMPLE}),
        ("hierarchical:upward", {Placement.RULE}),
        ("hierarchical:downward", {Placement.EXAMPLE}),
        ("hierarchical:no-insights", {Placement.EXAMPLE, Placement.COUNTER_EXAMPLE}),
        ("hierarchical:no-counter-examples", {Placement.RULE, Placement.EXAMPLE}),
        (
            "hierarchical:no-queries",
            {Placement.RULE, Placement.EXAMPLE, Placement.COUNTER_EXAMPLE},
        ),
    ],
)
async def test_an_ablation_serves_all_but_its_part(name: str, served: set[Placement]) -> None:
    async with Memory.open("sqlite://", strategy=name, embedder=None, hold_out=0.0) as memory:
        assert memory.strategy.name == name
        await live(memory, Lived(ZORP, CARRY))
        await live(memory, Lived(ZORP, CARRY[:2], won=False))
        recalled = await memory.recall(ZORP)
        assert {item.placement for item in recalled.items} == served
        assert recalled.strategy.startswith(f"{name}/")


async def test_an_ablation_learns_the_same(memory: Memory) -> None:
    for trial in TRIALS:
        await live(memory, trial)
    for name in ABLATIONS:
        strategy = f"hierarchical:{name}"
        async with Memory.open(
            "sqlite://", strategy=strategy, embedder=None, hold_out=0.0
        ) as other:
            for trial in TRIALS:
                await live(other, trial)
            assert await counts(other) == await counts(memory), name


async def test_without_the_query_graph_only_like_trials_are_served() -> None:
    served = {}
    for name in ("hierarchical", "hierarchical:no-queries"):
        async with Memory.open("sqlite://", strategy=name, embedder=None, hold_out=0.0) as memory:
            first = await live(memory, Lived("bring mirth", (("sing blip 1", "Ha."),)))
            trial = await memory.begin(ZORP)
            await memory.recall("bring mirth", trial=trial)
            for action, said in CARRY:
                await memory.observe(trial, said, action=action, used=[first.id])
            await memory.commit(trial, Outcome.success())
            served[name] = {case.task for case in (await memory.recall(ZORP)).cases}
    assert served["hierarchical"] == {ZORP, "bring mirth"}, "it led to the other"
    assert served["hierarchical:no-queries"] == {ZORP}


@pytest.mark.parametrize("name", ["magic", "hierarchical:", "hierarchical:magic", "none:upward"])
def test_an_unknown_name_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        get_strategy(name)
    told = str(raised.value)
    assert repr(name) in told
    assert all(known in told for known in ("exprag", "hierarchical:upward", "hierarchical:no-qu"))


@pytest.mark.parametrize(
    "data",
    [
        {"form": "plan", "data": "?"},
        {"form": "plan", "data": {"goal": "zorp a (1) to the (2)", "steps": [["grab _", 1]]}},
        {"form": "plan", "data": {"goal": "zorp a (1) to the (2)", "steps": [["grab _ off _"]]}},
        {"form": "never_works", "data": {"action": None}},
        {"form": ["found_at"], "data": {"thing": 1}},
    ],
)
async def test_an_insight_of_any_form_does_no_harm(memory: Memory, data: dict[str, Any]) -> None:
    """A record may come from anywhere; trials are still closed, recalled and mined again."""
    text = "to zorp a blip to the fnord"
    odd = Record(id="x", tier=Tier.INSIGHT, kind="rule", text=text, scope="default", data=data)
    first = await live(memory, Lived(ZORP, CARRY))
    support = AddLink(Link(src=first.id, dst="x", type=LinkType.SUPPORTS))
    await memory.write([Add(odd), support], reason="test")
    for won in (True, False):
        await live(memory, Lived(ZORP, CARRY, won=won), ["x"])
    recalled = await memory.recall(ZORP)
    assert "x" in [rule.id for rule in recalled.rules]
    assert CaseGuidedActor(goal=ZORP, cases=recalled.cases, rules=recalled.rules).act(
        "Here: plinth 1.", ["hop plinth 1"], []
    )
    await memory.maintain()
    assert await memory.maintain() == 0
