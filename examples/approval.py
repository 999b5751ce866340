"""A person approves before a side effect happens, and the effect happens once."""

import asyncio
from typing import TypedDict

from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt

from triforium import Team, Turn, Workflow


class State(TypedDict, total=False):
    task: str
    sent: bool


team = Team("mailers")
outbox: list[str] = []


@team.agent
async def mailer(state: State, turn: Turn) -> State:
    answer = interrupt(f"Send {state['task']!r}?")
    if answer != "yes":
        return {"sent": False}

    async def send() -> bool:
        outbox.append(state["task"])
        return True

    return {"sent": await turn.once("send", send)}


graph = StateGraph(State).add_node("mailer", mailer).add_edge(START, "mailer")
workflow = Workflow(graph, team, outcome=lambda state: bool(state["sent"]))


async def main() -> None:
    async with workflow.open() as app:
        asked = await app.ainvoke({"task": "the offer"})
        print(asked.interrupts[0].value)
        done = await app.ainvoke(Command(resume="yes"), thread_id=asked.id)
        print(done.outcome, outbox)


if __name__ == "__main__":
    asyncio.run(main())
