"""The gmemory strategy: what it finds, what it leaves, with a model and without."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from triforium import Memory, Outcome
from triforium.agents import Message
from triforium.errors import ModelUnavailable
from triforium.graph import (
    Add,
    AddLink,
    Filter,
    Hop,
    Link,
    LinkType,
    Op,
    Record,
    Status,
    Tier,
)
from triforium.memory import GMemory, Placement, Recall, Trial, get_strategy
from triforium.memory.gmemory_model import AskModel
from triforium.testing import ScriptedModel

STEPS = (("go to desk 1", "On it: pen 1."), ("take pen 1 from desk 1", "You take it."))


@asynccontextmanager
async def opened(model: AskModel | None = None, *, embed: bool = False) -> AsyncIterator[Memory]:
    async with Memory.open(
        "sqlite://",
        scope="team",
        strategy=GMemory(model),
        embedder="wordllama" if embed else None,
        hold_out=0.0,
        budget=4000,
    ) as memory:
        yield memory


@pytest.fixture
async def memory() -> AsyncIterator[Memory]:
    async with opened() as one:
        yield one


async def lived(
    memory: Memory,
    task: str,
    *steps: tuple[str, str],
    won: bool = True,
    recall: bool = False,
    role: str = "",
) -> Trial:
    trial = await memory.begin(task)
    if recall:
        await memory.recall(task, trial=trial, role=role)
    for action, said in steps or STEPS:
        await memory.observe(trial, said, action=action)
    await memory.commit(trial, Outcome.success() if won else Outcome.failure())
    return trial


async def link(memory: Memory, *links: tuple[str, str, LinkType]) -> None:
    ops: list[Op] = [AddLink(Link(src=a, dst=b, type=type_)) for a, b, type_ in links]
    await memory.write(ops, reason="test")


async def guideline(memory: Memory, text: str, *trials: str) -> str:
    record = Record(
        id=f"insight {text}", tier=Tier.INSIGHT, kind="guideline", text=text, scope=memory.scope
    )
    await memory.write([Add(record)], reason="test")
    await link(memory, *((trial, record.id, LinkType.SUPPORTS) for trial in trials))
    return record.id


async def guidelines(memory: Memory, *statuses: Status) -> list[Record]:
    view = await memory.view()
    where = Filter(kinds=frozenset({"guideline"}), statuses=frozenset(statuses or {Status.ACTIVE}))
    return list(await view.recent(tiers=frozenset({Tier.INSIGHT}), k=100, where=where))


def _hops() -> list[Hop]:
    links = {LinkType.LED_TO, LinkType.SIMILAR, LinkType.SUPPORTS}
    return [Hop(frozenset(links), "both")]


def texts(recalled: Recall, placement: Placement) -> list[str]:
    return [item.record.text for item in recalled.items if item.placement is placement]


async def test_it_is_there_by_name() -> None:
    assert get_strategy("gmemory").name == "gmemory"
    assert GMemory().version != GMemory(scripted(ScriptedModel())).version


async def test_an_empty_store_gives_nothing_and_learns_from_its_first_trial(
    memory: Memory,
) -> None:
    assert not (await memory.recall("take the pen")).items
    await lived(memory, "take the pen", recall=True)
    recalled = await memory.recall("take the pen")
    assert texts(recalled, Placement.EXAMPLE) == ["take the pen"]


async def test_a_failure_is_a_counter_example_and_never_an_example(memory: Memory) -> None:
    await lived(memory, "take the pen", won=False)
    await lived(memory, "take the pen now", won=True)
    recalled = await memory.recall("take the pen")
    assert texts(recalled, Placement.EXAMPLE) == ["take the pen now"]
    assert texts(recalled, Placement.COUNTER_EXAMPLE) == ["take the pen"]
    assert [case.outcome.succeeded for case in recalled.cases] == [True, False]


async def test_an_unknown_outcome_is_not_served(memory: Memory) -> None:
    trial = await memory.begin("take the pen")
    await memory.commit(trial, Outcome.unknown())
    assert not (await memory.recall("take the pen")).items


async def test_two_trials_start_the_walk_and_no_plain_hit_fills_up(memory: Memory) -> None:
    first = await lived(memory, "take the pen", won=False)
    await lived(memory, "take the pen", won=False)
    third = await lived(memory, "take the red pen of mine", won=True)
    assert not texts(await memory.recall("take the pen"), Placement.EXAMPLE)
    await link(memory, (first.id, third.id, LinkType.LED_TO))
    recalled = await memory.recall("take the pen")
    assert texts(recalled, Placement.EXAMPLE) == ["take the red pen of mine"]
    assert recalled.items[0].path == (first.id, third.id)


async def test_the_query_graph_is_followed_one_hop_only(memory: Memory) -> None:
    first = await lived(memory, "take the pen", won=False)
    await lived(memory, "take the pen", won=False)
    one = await lived(memory, "pen to shelf", won=False)
    two = await lived(memory, "pen to box please", won=True)
    await link(memory, (first.id, one.id, LinkType.LED_TO), (one.id, two.id, LinkType.LED_TO))
    assert not texts(await memory.recall("take the pen"), Placement.EXAMPLE)


async def test_at_most_two_examples_and_one_counter_example(memory: Memory) -> None:
    trials = [await lived(memory, "take the pen", won=number % 2 == 0) for number in range(8)]
    # Whichever two of the equals are found first, the hop reaches all others.
    everything = [
        (one.id, other.id, LinkType.LED_TO)
        for number, one in enumerate(trials)
        for other in trials[number + 1 :]
    ]
    await link(memory, *everything)
    recalled = await memory.recall("take the pen")
    assert len(texts(recalled, Placement.EXAMPLE)) == 2
    assert len(texts(recalled, Placement.COUNTER_EXAMPLE)) == 1


async def test_insights_come_by_their_support_set_most_votes_first(memory: Memory) -> None:
    near = [await lived(memory, "take the pen") for _ in range(2)]
    far = await lived(memory, "boil an egg")
    await guideline(memory, "one vote", near[0].id)
    await guideline(memory, "two votes", *(trial.id for trial in near))
    await guideline(memory, "take the pen take the pen", far.id)
    recalled = await memory.recall("take the pen")
    assert [rule.text for rule in recalled.rules] == ["two votes", "one vote"]


async def test_at_most_ten_insights(memory: Memory) -> None:
    near = await lived(memory, "take the pen")
    for number in range(12):
        await guideline(memory, f"lesson {number}", near.id)
    assert len((await memory.recall("take the pen")).rules) == 10


async def test_a_core_leaves_out_what_was_tried_in_vain(memory: Memory) -> None:
    await lived(
        memory,
        "take the pen",
        ("go to shelf 1", "On it: nothing."),
        ("go to desk 1", "On it: pen 1."),
        ("take pen 1 from desk 1", "You take it."),
    )
    (case,) = (await memory.recall("take the pen")).cases
    assert [step.action for step in case.steps] == ["go to desk 1", "take pen 1 from desk 1"]


async def test_a_new_query_is_linked_to_what_was_used_and_to_what_backs_the_insights(
    memory: Memory,
) -> None:
    shown = await lived(memory, "take the pen")
    behind = await lived(memory, "boil an egg", won=False)
    rule = await guideline(memory, "look on desks", shown.id, behind.id)
    new = await lived(memory, "take the pen again", recall=True)
    walk = await (await memory.view()).walk([new.id], _hops())
    led = {one.src for one in walk.links if one.type is LinkType.LED_TO}
    assert led == {shown.id, behind.id}
    assert rule in {one.dst for one in walk.links if one.type is LinkType.SUPPORTS}


async def test_a_failure_counts_against_the_insight_it_used(memory: Memory) -> None:
    shown = await lived(memory, "take the pen")
    await guideline(memory, "look on desks", shown.id)
    await lived(memory, "take the pen again", won=False, recall=True)
    (record,) = await guidelines(memory)
    assert (record.support, record.refuted) == (1, 1)


async def test_like_tasks_are_linked_unlike_ones_are_not() -> None:
    async with opened(embed=True) as memory:
        first = await lived(memory, "put the red pen on the desk")
        await lived(memory, "how old is the king of Spain")
        new = await lived(memory, "put the blue pen on the desk")
        walk = await (await memory.view()).walk([new.id], _hops())
        ends = {end for one in walk.links for end in (one.src, one.dst)}
        assert ends == {first.id, new.id}


async def test_insights_are_made_after_the_fifth_trial_from_what_successes_share(
    memory: Memory,
) -> None:
    for number in range(1, 6):
        assert not await guidelines(memory)
        thing = ("pen", "cup", "hat", "key", "box")[number - 1]
        await lived(
            memory,
            f"take the {thing}" if number != 3 else "look at the hat",
            ("go to desk 1", f"On it: {thing} 1."),
            (f"take {thing} 1 from desk 1" if number != 3 else "look at hat 1", "Done."),
        )
    made = await guidelines(memory)
    assert made
    assert all(record.support >= 2 for record in made)
    assert any(record.data["form"] for record in made)


async def test_a_round_agrees_with_what_it_finds_again_and_adds_it_once(memory: Memory) -> None:
    for number in range(10):
        thing = ("pen", "cup", "hat", "key")[number % 4]
        await lived(
            memory,
            f"take the {thing}",
            ("go to desk 1", f"On it: {thing} 1."),
            (f"take {thing} 1 from desk 1", "Done."),
        )
    made = await guidelines(memory)
    assert made
    assert len({record.text for record in made}) == len(made)
    assert max(record.total_credit().helped for record in made) > 0


async def test_a_failure_takes_an_insight_out_of_use_and_upkeep_archives_it(
    memory: Memory,
) -> None:
    shown = await lived(memory, "take the pen")
    await guideline(memory, "look on desks", shown.id)
    assert await memory.maintain() == 0
    await lived(memory, "take the pen again", won=False, recall=True)
    assert not (await memory.recall("take the pen")).rules
    assert await memory.maintain(dry_run=True) == 1
    assert not await guidelines(memory, Status.ARCHIVED)
    assert await memory.maintain() == 1
    assert await memory.maintain() == 0
    assert len(await guidelines(memory, Status.ARCHIVED)) == 1


async def test_a_success_makes_up_for_part_of_a_failure(memory: Memory) -> None:
    shown = await lived(memory, "take the pen")
    await guideline(memory, "look on desks", shown.id)
    await lived(memory, "take the pen again", recall=True)
    await lived(memory, "take the pen again", won=False, recall=True)
    assert (await memory.recall("take the pen")).rules
    await lived(memory, "take the pen again", won=False, recall=True)
    assert not (await memory.recall("take the pen")).rules


async def test_insights_of_other_strategies_are_left_alone(memory: Memory) -> None:
    near = await lived(memory, "take the pen")
    other = Record(id="o", tier=Tier.INSIGHT, kind="rule", text="theirs", scope=memory.scope)
    await memory.write([Add(other)], reason="test")
    await link(memory, (near.id, "o", LinkType.SUPPORTS))
    assert not (await memory.recall("take the pen")).rules


# --- with a model ---------------------------------------------------------------------------------


def scripted(model: ScriptedModel) -> AskModel:
    async def ask(system: str, prompt: str) -> str:
        messages = [Message("system", system), Message("user", prompt)]
        return (await model.complete(messages)).text

    return ask


RELEVANCE, CORE, TELL, COMPARE = "how useful", "cut a record", "reword lessons", "short list"


async def test_a_model_ranks_cuts_and_tells_for_the_role() -> None:
    script = ScriptedModel(
        (lambda prompt: RELEVANCE in prompt and "of mine" in prompt, '{"score": 9}'),
        (RELEVANCE, '{"score": 2}'),
        (CORE, '```json\n{"steps": [2]}\n```'),
        (TELL, '{"insights": ["Solver: look on desks."]}'),
    )
    with script:
        async with opened(scripted(script)) as memory:
            near = await lived(memory, "take the pen")
            await lived(memory, "take the pen of mine")
            await guideline(memory, "look on desks", near.id)
            recalled = await memory.recall("take the pen", role="solver")
    assert [rule.text for rule in recalled.rules] == ["Solver: look on desks."]
    assert [case.task for case in recalled.cases] == ["take the pen of mine", "take the pen"]
    assert [step.action for step in recalled.cases[0].steps] == ["take pen 1 from desk 1"]


@pytest.mark.parametrize(
    "garbage",
    [
        "I would say seven.",
        '{"score": 70, "steps": [99], "insights": [], "operations": [{"op": "BURN"}]}',
        '{"score": 0, "steps": [], "insights": ["a", "b", "c"], "operations": [{"op": "EDIT"}]}',
        ModelUnavailable("The server is gone."),
    ],
)
async def test_what_does_not_parse_falls_back_and_is_counted(garbage: str | Exception) -> None:
    async def life(memory: Memory) -> tuple[list[str], list[str]]:
        for number in range(5):
            thing = ("pen", "cup", "hat", "key", "pot")[number]
            trial = await lived(
                memory,
                f"take the {thing}",
                ("go to desk 1", f"On it: {thing} 1."),
                (f"take {thing} 1 from desk 1", "Done."),
                won=number != 3,
            )
        await guideline(memory, "look on desks", trial.id)
        recalled = await memory.recall("take the pot", role="solver")
        made = sorted(record.text for record in await guidelines(memory))
        return [item.text for item in recalled.items], made

    async with opened() as plain:
        expected = await life(plain)
    strategy_model = ScriptedModel((anything, garbage))
    async with opened(scripted(strategy_model)) as memory:
        assert await life(memory) == expected
        strategy = memory.strategy
        assert isinstance(strategy, GMemory)
        counts = strategy.model_counts
    assert counts.calls == counts.fallbacks == len(strategy_model.calls) > 0


def anything(prompt: str) -> bool:
    return bool(prompt)


def asked(*operations: dict[str, object]) -> str:
    return json.dumps({"operations": list(operations)})


@asynccontextmanager
async def after_a_round(*operations: dict[str, object]) -> AsyncIterator[Memory]:
    """Five trials, the insight "old" backed by the first four, and one round."""
    script = ScriptedModel((COMPARE, asked(*operations)))
    async with opened(scripted(script)) as memory:
        four = [await lived(memory, "take the pen") for _ in range(4)]
        await guideline(memory, "old", *(trial.id for trial in four))
        await lived(memory, "take the pen")
        yield memory
    assert script.calls


async def test_the_model_adds_an_insight_that_rests_on_the_trials_it_saw() -> None:
    async with after_a_round({"op": "ADD", "text": "Pens lie on desks."}) as memory:
        (made,) = [one for one in await guidelines(memory) if one.text != "old"]
        assert made.text == "Pens lie on desks."
        assert made.support >= 4
        assert "Pens lie on desks." in [
            rule.text for rule in (await _quiet(memory).recall("take the pen")).rules
        ]


async def test_an_edit_supersedes_and_keeps_support_and_score() -> None:
    async with after_a_round({"op": "EDIT", "number": 1, "text": "New words."}) as memory:
        (new,) = await guidelines(memory)
        (old,) = await guidelines(memory, Status.SUPERSEDED)
        assert (old.text, new.text) == ("old", "New words.")
        assert new.support == 5
        assert new.total_credit().helped >= 1


async def test_a_removal_lowers_the_score_until_the_insight_is_out_of_use() -> None:
    async with after_a_round({"op": "REMOVE", "number": 1}) as memory:
        (old,) = [one for one in await guidelines(memory) if one.text == "old"]
        assert old.refuted > 0
        rules = (await _quiet(memory).recall("take the pen")).rules
        assert "old" not in [rule.text for rule in rules]


async def test_a_round_of_no_operations_erases_nothing() -> None:
    async with after_a_round() as memory:
        (old,) = await guidelines(memory)
        assert (old.text, old.status) == ("old", Status.ACTIVE)


def _quiet(memory: Memory) -> Memory:
    """The same memory without a model."""
    return Memory(memory.store, scope=memory.scope, strategy=GMemory(), hold_out=0.0)
