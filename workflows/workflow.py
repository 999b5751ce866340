"""`Workflow`: a LangGraph graph, a team, and a way to tell how it went."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Generic

from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.typing import StateT

from ..agents import DEFAULT_TIMEOUT, ChatModel, Team, open_bus, parse_model
from ..graph import Outcome
from ..memory import Memory, Strategy
from .app import App, Run
from .checkpoints import open_checkpoints
from .inputs import Prepare, task_of

Verdict = Outcome | bool | float | None
"""What an outcome function may return; None is unknown."""


class Workflow(Generic[StateT]):
    """What a team does with a task. Defining one opens nothing."""

    def __init__(
        self,
        graph: StateGraph[StateT, Any, Any, Any] | CompiledStateGraph[StateT, Any, Any, Any],
        team: Team,
        *,
        outcome: Callable[[Any], Verdict] | None = None,
        task: Callable[[Any], str] | None = None,
        judge: str = "function",
        prepare: Prepare | None = None,
        max_steps: int = 100,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        """Define a workflow.

        Args:
            graph: Who acts when. Any LangGraph graph; its agents are made by `Team.agent`.
            team: Whose agents and whose memory.
            outcome: From the final state: success or failure (bool), a score in [0, 1], an
                `Outcome`, or None for unknown. Without it every outcome is unknown until
                `App.settle`.
            task: From the input: the task in words. By default ``state["task"]``, else the last
                message.
            judge: Who `outcome` speaks for, such as "environment".
            prepare: Sets up what no checkpoint can hold, before the graph runs.
            max_steps: Supersteps of the graph before it is stopped.
            timeout: Seconds an agent may take for one activation.
        """
        self.builder: StateGraph[StateT, Any, Any, Any] = (
            graph.builder if isinstance(graph, CompiledStateGraph) else graph
        )
        self.team = team
        self.outcome = outcome
        self.task = task or task_of
        self.judge = judge
        self.prepare = prepare
        self.max_steps = max_steps
        self.timeout = timeout

    @asynccontextmanager
    async def open(
        self,
        *,
        store: str = "sqlite://",
        bus: str = "inprocess://",
        checkpoints: str | None = "auto",
        source: str = "",
        strategy: str | Strategy = "hierarchical",
        embedder: str | None = "wordllama",
        budget: int = 1000,
        hold_out: float = 0.02,
        learn: bool = True,
        model: str | ChatModel | None = None,
    ) -> AsyncIterator[App[StateT]]:
        """Open store, bus, checkpoints and model; close them at the end of the block.

        Args:
            store: URL of the memory, such as ``sqlite:///team.db``; in memory by default.
            bus: URL of the bus; only ``inprocess://`` in this version.
            checkpoints: "auto" keeps them beside a SQLite store (``team.checkpoints.db``),
                "memory" for the length of the block, a ``sqlite:///`` URL elsewhere; None keeps
                none, and then nothing can be resumed.
            source: The principal that writes; the user of the operating system if empty.
            strategy: Name of a memory strategy, or your own.
            embedder: Name of an embedder; None for lexical search only.
            budget: Tokens of one recall.
            hold_out: Probability of leaving out a recalled item, to measure its worth.
            learn: False freezes what is remembered; see `Memory.open`.
            model: Instead of the team's own.
        """
        async with AsyncExitStack() as stack:
            memory = await stack.enter_async_context(
                Memory.open(
                    store,
                    scope=self.team.scope,
                    source=source,
                    strategy=strategy,
                    embedder=embedder,
                    budget=budget,
                    hold_out=hold_out,
                    learn=learn,
                )
            )
            yield await self._open_on(stack, memory, bus, checkpoints, model)

    @asynccontextmanager
    async def open_with(
        self,
        memory: Memory,
        *,
        bus: str = "inprocess://",
        checkpoints: str | None = "auto",
        model: str | ChatModel | None = None,
    ) -> AsyncIterator[App[StateT]]:
        """As `open`, on a memory that is open already and stays so."""
        async with AsyncExitStack() as stack:
            yield await self._open_on(stack, memory, bus, checkpoints, model)

    async def _open_on(
        self,
        stack: AsyncExitStack,
        memory: Memory,
        bus: str,
        checkpoints: str | None,
        model: str | ChatModel | None,
    ) -> App[StateT]:
        saver = await stack.enter_async_context(open_checkpoints(checkpoints, memory.store.url))
        carrier = await stack.enter_async_context(open_bus(bus))
        wanted = model if model is not None else self.team.model
        chat = parse_model(wanted) if wanted is not None else None
        if chat is not None and chat is not wanted:
            stack.push_async_callback(chat.close)
        await stack.enter_async_context(self.team.serve(carrier))
        return App(self, memory, carrier, self.builder.compile(checkpointer=saver), chat)

    def run(
        self,
        input: Any,
        *,
        store: str = "sqlite://",
        thread_id: str = "",
        deadline: float | None = None,
        **options: Any,
    ) -> Run:
        """Open, run once, close: for scripts. Use `open` inside a running event loop.

        Args:
            input: The input of the graph.
            store: URL of the memory.
            thread_id: See `App.ainvoke`.
            deadline: See `App.ainvoke`.
            **options: See `open`.
        """

        async def once() -> Run:
            async with self.open(store=store, **options) as app:
                return await app.ainvoke(input, thread_id=thread_id, deadline=deadline)

        return asyncio.run(once())
