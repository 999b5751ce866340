"""Teams share, teams do not leak; and what happens when an agent fails."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TypedDict

import pytest
from langgraph.graph import START, StateGraph

from triforium import Memory, Outcome, Team, Turn, Workflow
from triforium.errors import DeadlineExceeded, InvalidInput, InvalidURL, NotFound, WorkflowError
from triforium.graph import Tier
from triforium.testing.scripted import ScriptedModel


class State(TypedDict, total=False):
    task: str
    answer: str


def asking_team(name: str) -> tuple[Team, Workflow[State]]:
    team = Team(name)

    @team.agent
    async def asker(state: State, turn: Turn) -> State:
        return {"answer": await turn.ask(state["task"])}

    @team.agent
    async def checker(state: State, turn: Turn) -> State:
        return {"answer": (await turn.recall()).render() or state["answer"]}

    graph = StateGraph(State).add_sequence([asker, checker]).add_edge(START, "asker")
    return team, Workflow(graph, team, outcome=lambda state: True)


async def test_agents_of_one_team_see_what_the_others_learned(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/team.db"
    _, workflow = asking_team("one")
    model = ScriptedModel("blue", "red")
    async with workflow.open(store=store, model=model, hold_out=0.0) as app:
        await app.ainvoke({"task": "the colour of the sky"})
        second = await app.ainvoke({"task": "the colour of the sky"})
    assert "asker: answer: blue" in second.state["answer"], "the checker sees the asker's words"


async def test_two_teams_on_one_store_see_nothing_of_each_other(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/shared.db"
    for name in ("one", "two"):
        _, workflow = asking_team(name)
        async with workflow.open(store=store, model=ScriptedModel(f"secret of {name}")) as app:
            run = await app.ainvoke({"task": "the colour of the sky"})
            assert "secret" not in "".join(
                item.text for recall in run.explain().recalls for item in recall.items
            )
            trials = await (await app.memory.view()).recent(tiers=frozenset(Tier), k=100)
            assert trials
            assert {trial.scope for trial in trials} == {name}
            with pytest.raises(NotFound):
                await app.memory.scoped("three").explain(run.id)


async def test_a_parent_scope_is_read_and_not_written(tmp_path: Path) -> None:
    async with Memory.open(f"sqlite:///{tmp_path}/m.db", scope="org") as org:
        trial = await org.begin("open the vault", run="r")
        await org.observe(trial, "it opens", action="turn the key")
        await org.commit(trial, Outcome.success())
        team = org.scoped("org/team")
        recalled = await team.recall("open the vault")
        assert [case.task for case in recalled.cases] == ["open the vault"]
        own = await team.begin("open the vault", run="r")
        await team.commit(own, Outcome.success())
        assert len((await org.recall("open the vault")).cases) == 1


async def test_an_agent_that_raises_raises_its_own_error_and_can_be_resumed() -> None:
    team = Team("fragile")
    broken = [True]

    @team.agent
    async def fragile(state: State, turn: Turn) -> State:
        if broken[0]:
            raise LookupError("the index is gone")
        return {"answer": "ok"}

    graph = StateGraph(State).add_node("fragile", fragile).add_edge(START, "fragile")
    async with Workflow(graph, team, outcome=lambda state: True).open() as app:
        with pytest.raises(LookupError, match="the index is gone") as caught:
            await app.ainvoke({"task": "look"}, thread_id="t")
        assert "agent 'fragile'" in "".join(caught.value.__notes__)
        broken[0] = False
        run = await app.ainvoke(None, thread_id="t")
        assert run.state["answer"] == "ok"
        assert (await app.memory.statistics()).outcomes == {"success": 1}


async def test_a_stream_goes_on_after_an_agent_that_raises() -> None:
    team = Team("mixed")

    @team.agent
    async def solver(state: State, turn: Turn) -> State:
        if "bad" in state["task"]:
            raise LookupError("the index is gone")
        return {"answer": "ok"}

    graph = StateGraph(State).add_node("solver", solver).add_edge(START, "solver")
    workflow = Workflow(graph, team, outcome=lambda state: True)
    async with workflow.open() as app:
        runs = [run async for run in app.stream(["good", "bad", "good again"])]
        assert [run.error for run in runs] == ["", "LookupError: the index is gone", ""]
        assert (await app.memory.statistics()).outcomes == {"success": 2, "unknown": 1}
        with pytest.raises(LookupError):
            async for _ in app.stream(["bad"], on_error="stop"):
                pass
        with pytest.raises(InvalidInput, match="on_error"):
            async for _ in app.stream([], on_error="maybe"):
                pass


async def test_an_agent_that_hangs_is_stopped_with_one_sentence() -> None:
    team = Team("slow")
    stopped = asyncio.Event()

    @team.agent(timeout=0.05)
    async def sleeper(state: State, turn: Turn) -> State:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return {}

    graph = StateGraph(State).add_node("sleeper", sleeper).add_edge(START, "sleeper")
    async with Workflow(graph, team).open() as app:
        with pytest.raises(DeadlineExceeded, match="slow/sleeper"):
            await app.ainvoke({"task": "sleep"})
        await asyncio.wait_for(stopped.wait(), 30)


async def test_a_run_ends_at_its_deadline_and_can_go_on() -> None:
    team = Team("late")
    release = asyncio.Event()

    @team.agent
    async def waiter(state: State, turn: Turn) -> State:
        await release.wait()
        return {"answer": "done"}

    graph = StateGraph(State).add_node("waiter", waiter).add_edge(START, "waiter")
    async with Workflow(graph, team).open() as app:
        with pytest.raises(DeadlineExceeded):
            await app.ainvoke({"task": "wait"}, thread_id="t", deadline=0.1)
        release.set()
        run = await app.ainvoke(None, thread_id="t")
    assert run.state["answer"] == "done"


async def test_settle_says_later_how_a_run_ended(tmp_path: Path) -> None:
    _, workflow = asking_team("later")
    workflow.outcome = None
    async with workflow.open(model=ScriptedModel("blue", "red")) as app:
        run = await app.ainvoke({"task": "sky"}, thread_id="4711")
        assert run.outcome.succeeded is None
        assert not (await app.memory.recall("sky")).cases, "unknown teaches nothing"
        await app.settle("4711", Outcome.failure("customer reopened"))
        (case,) = (await app.memory.recall("sky")).cases
        assert case.outcome == Outcome.failure("customer reopened", judge="person")
        with pytest.raises(NotFound, match="all of them have an outcome"):
            await app.settle("4711", Outcome.success())
        with pytest.raises(NotFound, match="no trial to settle under 'nobody'"):
            await app.settle("nobody", Outcome.success())


async def test_wrong_urls_are_one_clear_sentence() -> None:
    _, workflow = asking_team("urls")
    for options, word in (
        ({"store": "postgres://user:hunter2@host/db"}, "sqlite"),
        ({"store": "team.db"}, "sqlite:///team.db"),
        ({"bus": "mqtts://user:hunter2@broker:8883"}, "inprocess"),
        ({"checkpoints": "redis://hunter2@x"}, "sqlite"),
        ({"model": "claude"}, "openai:NAME"),
    ):
        with pytest.raises(InvalidURL) as caught:
            async with workflow.open(**options):  # type: ignore[arg-type]
                pass
        assert word in str(caught.value)
        assert "hunter2" not in str(caught.value)


async def test_an_agent_outside_of_a_run_says_so() -> None:
    team = Team("outside")

    @team.agent
    async def lonely(state: State) -> State:
        return state

    with pytest.raises(WorkflowError, match=r"outside of a run"):
        await lonely({"task": "x"})
    with pytest.raises(InvalidInput, match="async def"):
        team.agent(lambda state: state)
    with pytest.raises(InvalidInput, match="already"):
        team.agent(name="lonely")(_nothing)


async def _nothing(state: State) -> State:
    return state
