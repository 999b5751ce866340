"""`App`: a workflow that is open, and `Run`: what came of one invocation."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic

from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command
from langgraph.typing import StateT

from ..agents import ActiveRun, Bus, ChatModel, Recorder, Task, Usage, running
from ..errors import DeadlineExceeded, InvalidInput, TriforiumError, WorkflowError
from ..graph import Outcome
from ..memory import Explanation, Memory, Trial
from .inputs import Prepared, as_input

if TYPE_CHECKING:
    from .workflow import Workflow


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
                last checkpoint. Leave out tasks that have ended: they would be run again.
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
