"""LangGraph is really LangGraph: what its users do with their own graphs works with our agents."""

from __future__ import annotations

import operator
from typing import Annotated, Any, Literal, TypedDict

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AnyMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.runtime import get_runtime
from langgraph.types import Command, Send, interrupt

from triforium import Outcome, Team, Turn, Workflow
from triforium.errors import WorkflowError
from triforium.testing.scripted import ScriptedModel


class Notes(TypedDict, total=False):
    task: str
    notes: Annotated[list[str], operator.add]
    part: str


async def test_reducers_and_plain_nodes_beside_agents() -> None:
    team = Team("writers")

    @team.agent
    async def first(state: Notes, turn: Turn) -> Notes:
        return {"notes": [f"first saw {state['task']}"]}

    @team.agent
    async def second(state: Notes) -> Notes:
        return {"notes": [f"second saw {len(state['notes'])}"]}

    def plain(state: Notes) -> Notes:
        return {"notes": ["plain"]}

    graph = StateGraph(Notes).add_sequence([first, plain, second]).add_edge(START, "first")
    async with Workflow(graph, team, outcome=lambda _: True).open() as app:
        run = await app.ainvoke({"task": "a letter"})
        sent = app.bus.statistics().sent
    assert run.state["notes"] == ["first saw a letter", "plain", "second saw 2"]
    assert run.outcome == Outcome.success(judge="function")
    assert dict(sent) == {"request": 2, "reply": 2}, "two envelopes for each agent activation"


async def test_a_node_that_bypasses_the_bus_is_seen() -> None:
    """The count of envelopes tells an agent from a function that only looks like one."""
    team = Team("writers")
    ran: list[str] = []

    @team.agent
    async def honest(state: Notes) -> Notes:
        ran.append("honest")
        return {"notes": ["honest"]}

    async def bypass(state: Notes) -> Notes:
        ran.append("bypass")
        return {"notes": ["bypass"]}

    graph = StateGraph(Notes).add_sequence([honest, bypass]).add_edge(START, "honest")
    async with Workflow(graph, team).open() as app:
        await app.ainvoke({"task": "x"})
        envelopes = sum(app.bus.statistics().sent.values())
    assert ran == ["honest", "bypass"]
    assert envelopes != 2 * len(ran)


async def test_send_fans_out_to_one_agent() -> None:
    team = Team("readers")

    @team.agent(concurrency=3)
    async def reader(state: Notes, turn: Turn) -> Notes:
        return {"notes": [state["part"].upper()]}

    graph = StateGraph(Notes).add_node("reader", reader)
    graph.add_conditional_edges(
        START, lambda state: [Send("reader", {"part": part}) for part in "abc"], ["reader"]
    )
    async with Workflow(graph, team).open() as app:
        run = await app.ainvoke({"task": "read"})
        assert app.bus.statistics().sent["request"] == 3
    assert sorted(run.state["notes"]) == ["A", "B", "C"]
    assert run.steps == 3


async def test_a_subgraph_with_agents_of_the_same_team() -> None:
    team = Team("nested")

    @team.agent
    async def inner(state: Notes) -> Notes:
        return {"notes": ["inner"]}

    @team.agent
    async def outer(state: Notes) -> Notes:
        return {"notes": ["outer"]}

    sub = StateGraph(Notes).add_node("inner", inner).add_edge(START, "inner").compile()
    graph = StateGraph(Notes).add_node("outer", outer).add_node("sub", sub)
    graph.add_edge(START, "outer").add_edge("outer", "sub")
    async with Workflow(graph, team).open() as app:
        run = await app.ainvoke({"task": "x"})
        assert app.bus.statistics().sent["request"] == 2
    assert [note for note in run.state["notes"] if note == "inner"]


async def test_an_agent_routes_with_command() -> None:
    team = Team("routers")

    @team.agent
    async def router(state: Notes) -> Command[Literal["right"]]:
        return Command(goto="right", update={"notes": ["routed"]})

    @team.agent
    async def right(state: Notes) -> Notes:
        return {"notes": ["right"]}

    @team.agent
    async def wrong(state: Notes) -> Notes:
        return {"notes": ["wrong"]}

    graph = StateGraph(Notes).add_node("router", router).add_node("right", right)
    graph.add_node("wrong", wrong).add_edge(START, "router")
    async with Workflow(graph, team).open() as app:
        run = await app.ainvoke({"task": "x"})
    assert run.state["notes"] == ["routed", "right"]


async def test_an_interrupt_suspends_the_trial_and_resumes_once() -> None:
    team = Team("careful")
    sent: list[str] = []

    @team.agent
    async def sender(state: Notes, turn: Turn) -> Notes:
        await turn.say("asking a person")
        answer = interrupt({"send?": state["task"]})

        async def effect() -> str:
            sent.append(answer)
            return "sent"

        return {"notes": [await turn.once("mail", effect)]}

    graph = StateGraph(Notes).add_node("sender", sender).add_edge(START, "sender")
    async with Workflow(graph, team, outcome=lambda s: s["notes"] == ["sent"]).open() as app:
        first = await app.ainvoke({"task": "the offer"}, thread_id="t1")
        assert first.interrupts[0].value == {"send?": "the offer"}
        assert first.outcome.succeeded is None
        statistics = await app.memory.statistics()
        assert statistics.outcomes == {"open": 1}
        second = await app.ainvoke(Command(resume="yes"), thread_id="t1")
        statistics = await app.memory.statistics()
    assert not second.interrupts
    assert second.outcome.succeeded
    assert sent == ["yes"]
    assert statistics.outcomes == {"success": 1}, "one trial, not two"


async def test_resuming_an_unknown_thread_is_refused() -> None:
    team = Team("lost")

    @team.agent
    async def only(state: Notes) -> Notes:
        return {"notes": ["x"]}

    graph = StateGraph(Notes).add_node("only", only).add_edge(START, "only")
    async with Workflow(graph, team).open() as app:
        with pytest.raises(WorkflowError, match="no checkpoint of the run 'nobody'"):
            await app.ainvoke(Command(resume=1), thread_id="nobody")


async def test_the_context_of_the_runtime_stays_the_users() -> None:
    class Mine(TypedDict):
        name: str

    team = Team("context")

    @team.agent
    async def greeter(state: Notes) -> Notes:
        return {"notes": [f"hello {get_runtime(Mine).context['name']}"]}

    graph = StateGraph(Notes, context_schema=Mine).add_node("greeter", greeter)
    graph.add_edge(START, "greeter")
    async with Workflow(graph, team).open() as app:
        run = await app.ainvoke({"task": "x"}, context={"name": "Ada"})
    assert run.state["notes"] == ["hello Ada"]


async def test_tokens_of_a_langchain_model_are_streamed() -> None:
    class Chat(TypedDict):
        messages: Annotated[list[AnyMessage], add_messages]

    team = Team("chat")
    model = GenericFakeChatModel(messages=iter([AIMessage("one two three")]))

    @team.agent
    async def talker(state: Chat) -> Chat:
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = StateGraph(Chat).add_node("talker", talker).add_edge(START, "talker")
    pieces: list[str] = []
    async with Workflow(graph, team).open() as app:
        parts: list[Any] = [
            part
            async for part in app.astream({"messages": [("user", "count")]}, stream_mode="messages")
        ]
    for message, _ in parts[:-1]:
        pieces.append(message.content)
    assert "".join(pieces[:5]) == "one two three"
    assert len(pieces) >= 3, "piece by piece"
    assert parts[-1].task == "count"


async def test_tokens_of_ask_are_streamed() -> None:
    team = Team("ask", model=ScriptedModel("one two three"))

    @team.agent
    async def talker(state: Notes, turn: Turn) -> Notes:
        return {"notes": [await turn.ask("count", stream=True)]}

    graph = StateGraph(Notes).add_node("talker", talker).add_edge(START, "talker")
    async with Workflow(graph, team).open() as app:
        parts = [part async for part in app.astream({"task": "x"}, stream_mode="custom")]
    assert [part["token"] for part in parts[:-1]] == ["one ", "two ", "three"]
    assert parts[-1].state["notes"] == ["one two three"]
    assert parts[-1].usage.calls == 1, "streamed tokens are counted too"


async def test_a_conditional_loop_is_stopped_at_its_bound() -> None:
    team = Team("loop")

    @team.agent
    async def again(state: Notes) -> Notes:
        return {"notes": ["again"]}

    graph = StateGraph(Notes).add_node("again", again).add_edge(START, "again")
    graph.add_conditional_edges(
        "again", lambda state: "again" if state["notes"] else END, ["again", END]
    )
    async with Workflow(graph, team, max_steps=5).open() as app:
        runs = [run async for run in app.stream([{"task": "x"}, {"task": "y"}])]
    assert all("Recursion" in run.error for run in runs)
