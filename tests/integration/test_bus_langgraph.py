"""LangGraph's context reaches a handler that a node asks over the bus."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

from langgraph.config import get_config, get_stream_writer
from langgraph.graph import START, StateGraph
from langgraph.types import Send

from triforium.agents.bus import Reply, Request, open_bus


class State(TypedDict, total=False):
    words: list[str]
    said: Annotated[list[str], operator.add]


async def test_config_and_stream_writer_work_in_a_handler() -> None:
    async def handler(request: Request) -> Reply:
        get_stream_writer()({"token": request.local["word"]})
        return Reply(get_config()["configurable"]["thread_id"])

    async with open_bus() as bus, bus.serve("team/agent", handler, concurrency=3):

        async def node(state: Any) -> Any:
            reply = await bus.request("team/agent", local=state)
            return {"said": [f"{state['word']} in {reply.payload}"]}

        graph = StateGraph(State)
        graph.add_node("agent", node)
        graph.add_conditional_edges(
            START, lambda state: [Send("agent", {"word": word}) for word in state["words"]]
        )
        streamed: list[str] = []
        state: Any = None
        stream: Any = graph.compile().astream(
            {"words": ["a", "b", "c"]},
            {"configurable": {"thread_id": "t-1"}},
            stream_mode=["custom", "values"],
        )
        async for mode, part in stream:
            if mode == "custom":
                streamed.append(part["token"])
            else:
                state = part
        envelopes = dict(bus.statistics().sent)
    assert sorted(streamed) == ["a", "b", "c"]
    assert state["said"] == ["a in t-1", "b in t-1", "c in t-1"]
    assert envelopes == {"request": 3, "reply": 3}
