"""`Workflow`: a LangGraph graph, a team and a way to tell how it went; `App`: one that is open."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Generic

from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command
from langgraph.typing import StateT

from ..agents import (
    DEFAULT_TIMEOUT,
    ActiveRun,
    Bus,
    ChatModel,
    Recorder,
    Task,
    Team,
    Usage,
    open_bus,
    parse_model,
    running,
)
from ..errors import DeadlineExceeded, InvalidInput, TriforiumError, WorkflowError
from ..graph import Outcome, OutcomeKind
from ..memory import Explanation, Memory, Strategy, Trial
from .checkpoints import open_checkpoints

Verdict = Outcome | bool | float | None
"""What an outcome function may return; None is unknown."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `Workflow.prepare` gives back.

    Attributes:
        input: The input of the graph; None to go on from the last checkpoint.
        context: Names of what is around, for recall.
        close: Called when the invocation ends.
    """

    input: Any
    context: frozenset[str] = frozenset()
    close: Callable[[], Awaitable[None]] | None = None


Prepare = Callable[[Any, dict[str, Any]], Awaitable[Prepared]]
"""Gets the input (or, to resume, the checkpointed state) and the run's resources to fill."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What an invocation of a workflow came to.

    Attributes:
        id: The run, also the thread id of its checkpoints.
        task: The task, in words.
        state: The final state of the graph.
        outcome: How it ended; unknown while it is interrupted.
        steps: Steps recorded.
        interrupts: What the graph waits for; empty when it has ended.
        usage: What models cost.
        seconds: Wall time of this invocation.
        error: What stopped it, in a stream that goes on after errors.
        key: Id of the task in its stream, if it came from one.
    """

    id: str
    task: str
    state: Mapping[str, Any]
    outcome: Outcome
    steps: int = 0
    interrupts: tuple[Any, ...] = ()
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    error: str = ""
    key: str = ""
    explanation: Explanation | None = None

    def explain(self) -> Explanation:
        """What was recalled for this run, why, and what came of it."""
        return self.explanation or Explanation((), (), {})


class App(Generic[StateT]):
    """An open workflow. Made by `Workflow.open`.

    Attributes:
        memory: The team's memory.
        bus: The message bus.
        graph: The compiled LangGraph graph.
    """

    def __init__(
        self,
        workflow: Workflow[StateT],
        memory: Memory,
        bus: Bus,
        graph: CompiledStateGraph[StateT, Any, Any, Any],
        model: ChatModel | None,
    ) -> None:
        self._workflow = workflow
        self._model = model
        self.memory = memory
        self.bus = bus
        self.graph = graph

    async def ainvoke(
        self,
        input: Any,
        *,
        thread_id: str = "",
        deadline: float | None = None,
        context: Any = None,
    ) -> Run:
        """Run the graph once, as one trial.

        Args:
            input: The input of the graph; ``Command(resume=...)`` to answer an interrupt, None to
                go on after a crash (both need the `thread_id` of the run).
            thread_id: Names the run; a new one if empty.
            deadline: Seconds for all of it.
            context: LangGraph's run-scoped context, for the graph's own use.

        Raises:
            DeadlineExceeded: The deadline passed; the run can be resumed.
            HandlerError: An agent failed in the bus; an agent's own exception is raised as it is.
        """
        done: list[Run] = []
        async for _ in self._play(input, thread_id, deadline, context, "values", done):
            pass
        return done[0]

    async def astream(
        self,
        input: Any,
        *,
        thread_id: str = "",
        deadline: float | None = None,
        context: Any = None,
        stream_mode: str | list[str] = "updates",
    ) -> AsyncIterator[Any]:
        """Run the graph once and pass on LangGraph's stream; the last part is the `Run`."""
        done: list[Run] = []
        async for part in self._play(input, thread_id, deadline, context, stream_mode, done):
            yield part
        yield done[0]

    async def _play(
        self,
        input: Any,
        thread_id: str,
        deadline: float | None,
        context: Any,
        stream_mode: Any,
        done: list[Run],
    ) -> AsyncIterator[Any]:
        started = time.monotonic()
        run_id = thread_id or uuid.uuid4().hex
        config: Any = {
            "configurable": {"thread_id": run_id},
            "recursion_limit": self._workflow.max_steps,
        }
        resources: dict[str, Any] = {}
        resuming = input is None or (isinstance(input, Command) and input.resume is not None)
        known = await self._checkpointed(config, resuming, run_id)
        prepared = Prepared(input)
        if self._workflow.prepare is not None:
            prepared = await self._workflow.prepare(known if resuming else input, resources)
        graph_input = input if resuming else prepared.input
        try:
            trial = await self.memory.begin(
                self._workflow.task(known if resuming else graph_input),
                run=run_id,
                context=prepared.context,
            )
            run = self._active(run_id, trial, resources, started, deadline)
            with running(run):
                stream = self.graph.astream(
                    graph_input,
                    config,
                    context=context,
                    stream_mode=stream_mode,
                    durability="sync" if self.graph.checkpointer else None,
                )
                state: Any = None
                async for part in _until(stream, run.deadline, run_id):
                    if stream_mode == "values" and set(part) != {"__interrupt__"}:
                        state = part
                    yield part
                if state is None:
                    state = await self._final_state(config)
            done.append(await self._finish(run, state, config, started))
        finally:
            if prepared.close is not None:
                await prepared.close()

    def _active(
        self,
        run_id: str,
        trial: Trial,
        resources: dict[str, Any],
        started: float,
        deadline: float | None,
    ) -> ActiveRun:
        return ActiveRun(
            id=run_id,
            invocation=uuid.uuid4().hex,
            memory=self.memory,
            trial=trial,
            bus=self.bus,
            recorder=Recorder(self.memory, trial),
            model=self._model,
            timeout=self._workflow.timeout,
            deadline=None if deadline is None else started + deadline,
            resources=resources,
        )

    async def _checkpointed(self, config: Any, resuming: bool, run_id: str) -> Mapping[str, Any]:
        if not resuming:
            return {}
        if not self.graph.checkpointer:
            raise WorkflowError(
                "This workflow was opened with checkpoints=None, so no run can be resumed."
            )
        snapshot = await self.graph.aget_state(config)
        if not snapshot.values:
            raise WorkflowError(
                f"There is no checkpoint of the run {run_id!r} to go on from. "
                "Give the thread_id of a run that was interrupted.",
                run=run_id,
            )
        values: Mapping[str, Any] = snapshot.values
        return values

    async def _final_state(self, config: Any) -> Mapping[str, Any]:
        if not self.graph.checkpointer:
            return {}
        values: Mapping[str, Any] = (await self.graph.aget_state(config)).values
        return values

    async def _finish(self, run: ActiveRun, state: Any, config: Any, started: float) -> Run:
        interrupts = tuple(state.get("__interrupt__", ())) if isinstance(state, dict) else ()
        if not interrupts and self.graph.checkpointer:
            interrupts = tuple((await self.graph.aget_state(config)).interrupts)
        outcome = Outcome.unknown("interrupted" if interrupts else "")
        if not interrupts:
            outcome = self._judge(state)
            await self.memory.commit(run.trial, outcome)
        receipts = await self.memory.explain_run(run.id)
        return Run(
            id=run.id,
            task=run.trial.task,
            state=state if isinstance(state, Mapping) else {"value": state},
            outcome=outcome,
            steps=run.trial.steps,
            interrupts=interrupts,
            usage=run.usage,
            seconds=time.monotonic() - started,
            explanation=receipts,
        )

    def _judge(self, state: Any) -> Outcome:
        if self._workflow.outcome is None:
            return Outcome.unknown("nobody has judged it yet")
        verdict = self._workflow.outcome(state)
        judge = self._workflow.judge
        if isinstance(verdict, Outcome):
            return (
                verdict
                if verdict.judge
                else Outcome(verdict.kind, verdict.value, verdict.reason, judge)
            )
        if verdict is None:
            return Outcome.unknown(judge=judge)
        if isinstance(verdict, bool):
            return Outcome.success(judge=judge) if verdict else Outcome.failure(judge=judge)
        return Outcome.score(float(verdict), judge=judge)

    async def stream(
        self,
        tasks: Iterable[Task | Mapping[str, Any] | str],
        *,
        stream_id: str = "",
        on_error: str = "continue",
    ) -> AsyncIterator[Run]:
        """Run tasks one after another; each learns from those before.

        Args:
            tasks: Tasks of a world, inputs of the graph, or plain task texts.
            stream_id: Names the stream, so that a task interrupted by a crash goes on from its
                last checkpoint and one that has ended is not run again.
            on_error: "continue" closes a task whose agents fail with an unknown outcome and goes
                on (its `Run` has the sentence in `error`); "stop" raises.

        Yields:
            One `Run` for each task, in order.
        """
        if on_error not in ("continue", "stop"):
            raise InvalidInput(
                f'on_error is "continue" or "stop", not {on_error!r}.', on_error=on_error
            )
        for number, task in enumerate(tasks):
            key = task.id if isinstance(task, Task) else str(number)
            thread = f"{stream_id}:{key}" if stream_id else uuid.uuid4().hex
            yield await self._run_task(task, key, thread, on_error)

    async def _run_task(
        self, task: Task | Mapping[str, Any] | str, key: str, thread: str, on_error: str
    ) -> Run:
        input: Any = as_input(task)
        try:
            if self.graph.checkpointer:
                snapshot = await self.graph.aget_state({"configurable": {"thread_id": thread}})
                if snapshot.values and snapshot.next:
                    input = None
            run = await self.ainvoke(input, thread_id=thread)
            await self._forget_checkpoints(thread)
            return replace(run, key=key)
        except (Exception, asyncio.CancelledError) as error:
            if on_error == "stop" or isinstance(error, asyncio.CancelledError):
                raise
            sentence = (
                str(error)
                if isinstance(error, TriforiumError)
                else f"{type(error).__name__}: {error}"
            )
            outcome = Outcome.unknown(sentence[:300], judge="runner")
            await self._abandon(thread, outcome)
            return Run(
                id=thread,
                key=key,
                task=self._workflow.task(as_input(task)),
                state={},
                outcome=outcome,
                error=sentence,
            )

    async def _abandon(self, run: str, outcome: Outcome) -> None:
        trial = await self.memory.open_trial(run)
        if trial is not None:
            await self.memory.commit(trial, outcome)
        await self._forget_checkpoints(run)

    async def _forget_checkpoints(self, thread: str) -> None:
        saver = self.graph.checkpointer
        if saver and not isinstance(saver, bool):
            await saver.adelete_thread(thread)

    async def settle(self, thread_id: str, outcome: Outcome) -> None:
        """Say later how a run ended; see `Memory.settle`."""
        await self.memory.settle(thread_id, outcome)


async def _until(
    stream: AsyncIterator[Any], deadline: float | None, run: str
) -> AsyncIterator[Any]:
    """Pass a stream on until a deadline on the monotonic clock."""
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        try:
            part = await asyncio.wait_for(anext(stream), left)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            if deadline is None or time.monotonic() < deadline:
                raise
            raise DeadlineExceeded(
                f"The deadline of run {run!r} has passed. Invoke it again with the same thread_id "
                "to go on from its last checkpoint.",
                run=run,
            ) from error
        yield part


def task_of(state: Any) -> str:
    """The task in words: ``state["task"]``, else the content of the last message."""
    if isinstance(state, str):
        return state
    if isinstance(state, Mapping):
        if "task" in state:
            return str(state["task"])
        messages = state.get("messages")
        if messages:
            last = messages[-1]
            if isinstance(last, tuple | list) and len(last) == 2:
                return str(last[1])
            return str(getattr(last, "content", last))
    task = getattr(state, "task", None)
    if task is not None:
        return str(task)
    raise WorkflowError(
        "The input has neither a 'task' nor 'messages'. Say what the task is: "
        "Workflow(..., task=lambda state: ...)."
    )


def as_input(task: Task | Mapping[str, Any] | str) -> dict[str, Any]:
    """A task as the input of a graph."""
    if isinstance(task, str):
        return {"task": task}
    if isinstance(task, Task):
        return {"task": task.goal, "task_id": task.id, "kind": task.kind, "data": dict(task.data)}
    return dict(task)


__all__ = ["App", "OutcomeKind", "Prepared", "Run", "Workflow"]
