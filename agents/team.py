"""`Team`: agents that are LangGraph nodes and bus addresses, and share one memory."""

from __future__ import annotations

import asyncio
import inspect
import typing
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, cast, overload

from langgraph.config import get_config
from langgraph.errors import GraphBubbleUp

from ..errors import HandlerError, InvalidInput, WorkflowError
from ..graph import check_scope, digest
from .bus import Bus, Reply, Request
from .models import ChatModel
from .recorder import describe_update
from .run import ActiveRun, current_run
from .turn import Turn

State_contra = TypeVar("State_contra", contravariant=True)
StateT = TypeVar("StateT")
Update = TypeVar("Update")
Update_co = TypeVar("Update_co", covariant=True)


class AgentNode(Protocol[State_contra, Update_co]):
    """What `Team.agent` returns: a node for any LangGraph graph."""

    def __call__(self, state: State_contra) -> Awaitable[Update_co]:
        """Send the request over the bus of the current run, and await the reply."""
        ...


@dataclass(frozen=True, slots=True)
class Agent:
    """A member of a team.

    Attributes:
        name: Within the team.
        role: What it is to the memory; its name unless given.
        function: What it does; takes the state, and a `Turn` if it has a second parameter.
        instructions: The system prompt of `Turn.ask`.
        timeout: Seconds for one activation; the run's own if None.
        concurrency: Activations at a time.
        wants_turn: Whether `function` takes a `Turn`.
    """

    name: str
    role: str
    function: Callable[..., Any]
    instructions: str = ""
    timeout: float | None = None
    concurrency: int = 1
    wants_turn: bool = True


class Team:
    """Agents under one name, which is also the scope of their memory.

    Defining a team opens nothing.
    """

    def __init__(self, name: str, *, model: str | ChatModel | None = None, scope: str = "") -> None:
        """Define a team.

        Args:
            name: Such as "analysts".
            model: Such as "openai:gpt-5-mini", a `ChatModel`, or None to do without.
            scope: The tenant path of its memory; the name if empty.

        Raises:
            InvalidScope: The name or scope is not a path of plain names.
        """
        self.name = check_scope(name)
        self.scope = check_scope(scope or name)
        self.model = model
        self.agents: dict[str, Agent] = {}

    @overload
    def agent(
        self, function: Callable[[StateT, Turn], Awaitable[Update]], /
    ) -> AgentNode[StateT, Update]: ...

    @overload
    def agent(
        self, function: Callable[[StateT], Awaitable[Update]], /
    ) -> AgentNode[StateT, Update]: ...

    @overload
    def agent(
        self,
        function: None = None,
        /,
        *,
        name: str = ...,
        role: str = ...,
        instructions: str = ...,
        timeout: float | None = ...,
        concurrency: int = ...,
    ) -> _Decorator: ...

    def agent(self, function: Any = None, /, **options: Any) -> Any:
        """Make a function an agent of this team: a LangGraph node and an address on the bus.

        Use it as ``@team.agent`` or ``@team.agent(role="critic", ...)``.

        Args:
            function: ``async def writer(state)`` or ``async def writer(state, turn)``.
            **options: `name`: its name and the node's; that of the function if empty. `role`:
                what it is to the memory; its name if empty. `instructions`: the system prompt of
                `Turn.ask`. `timeout`: seconds for one activation; the run's own if None.
                `concurrency`: activations at a time; the default of one keeps the order of
                messages, raise it for a stateless agent that a `Send` fans out to.

        Raises:
            InvalidInput: It is not a coroutine function, or the name is taken.
        """
        if function is not None:
            return self._join(function)
        return lambda function: self._join(function, **options)

    def _join(
        self,
        function: Callable[..., Any],
        *,
        name: str = "",
        role: str = "",
        instructions: str = "",
        timeout: float | None = None,
        concurrency: int = 1,
    ) -> AgentNode[Any, Any]:
        if not inspect.iscoroutinefunction(function):
            raise InvalidInput(
                f"The agent {getattr(function, '__name__', function)!r} must be an "
                "`async def` function.",
                function=function,
            )
        parameters = list(inspect.signature(function).parameters)
        agent = Agent(
            name=check_scope(name or function.__name__),
            role=role or name or function.__name__,
            function=function,
            instructions=instructions,
            timeout=timeout,
            concurrency=concurrency,
            wants_turn=len(parameters) > 1,
        )
        if agent.name in self.agents:
            raise InvalidInput(
                f"The team {self.name!r} has an agent {agent.name!r} already; "
                "give this one another name.",
                name=agent.name,
            )
        self.agents[agent.name] = agent
        return _node(self, agent, parameters)

    def address(self, agent: str) -> str:
        """Where an agent is reached on the bus."""
        return f"{self.name}/{agent}"

    @asynccontextmanager
    async def serve(self, bus: Bus) -> AsyncIterator[None]:
        """Answer requests to the agents of this team for the length of the block."""
        async with AsyncExitStack() as stack:
            for agent in self.agents.values():
                await stack.enter_async_context(
                    bus.serve(
                        self.address(agent.name),
                        _handler(self, agent),
                        concurrency=agent.concurrency,
                    )
                )
            yield


class _Decorator(Protocol):
    @overload
    def __call__(
        self, function: Callable[[StateT, Turn], Awaitable[Update]], /
    ) -> AgentNode[StateT, Update]: ...

    @overload
    def __call__(
        self, function: Callable[[StateT], Awaitable[Update]], /
    ) -> AgentNode[StateT, Update]: ...


@dataclass(frozen=True, slots=True)
class _Activation(Generic[StateT]):
    """What travels beside the envelope inside one process."""

    run: ActiveRun
    state: StateT
    key: str


def _node(team: Team, agent: Agent, parameters: list[str]) -> AgentNode[Any, Any]:
    """The LangGraph node of an agent: it only talks to the bus."""

    async def node(state: Any) -> Any:
        run = current_run()
        task = _graph_task()
        number = run.activations[task]
        run.activations[task] += 1
        seconds = run.seconds_left(agent.timeout or run.timeout)
        # A retry by the graph is a new request, so the invocation and a count are part of the id;
        # `key` is not: what a replay records and recalls must be the same as the first time.
        try:
            reply = await run.bus.request(
                team.address(agent.name),
                {"run": run.id, "trial": run.trial.id, "task": task},
                id=digest("activation", run.invocation, team.name, agent.name, task, number),
                sender=run.id,
                deadline=seconds,
                local=_Activation(run, state, f"{agent.name}:{task}"),
            )
        except HandlerError as error:
            if isinstance(error.__cause__, Exception):
                error.__cause__.add_note(f"It was raised by the agent {agent.name!r}.")
                raise error.__cause__ from None
            raise
        if isinstance(reply.local, GraphBubbleUp):
            raise reply.local
        return reply.local

    node.__name__ = agent.name
    node.__qualname__ = agent.function.__qualname__
    node.__doc__ = agent.function.__doc__
    node.__module__ = agent.function.__module__
    try:
        hints = typing.get_type_hints(agent.function)
    except (NameError, TypeError):
        hints = dict(agent.function.__annotations__)
    node.__annotations__ = {
        name: hint
        for name, hint in (
            ("state", hints.get(parameters[0]) if parameters else None),
            ("return", hints.get("return")),
        )
        if hint is not None
    }
    return cast(AgentNode[Any, Any], node)


def _handler(team: Team, agent: Agent) -> Callable[[Request], Awaitable[Reply]]:
    """What answers the requests to an agent."""

    async def handle(request: Request) -> Reply:
        activation = request.local
        if not isinstance(activation, _Activation):
            raise WorkflowError(
                f"A request to {team.address(agent.name)!r} came without its state; agents of this "
                "version serve requests of their own process only."
            )
        run = activation.run
        turn = Turn(
            run,
            role=agent.role,
            agent=team.address(agent.name),
            key=activation.key,
            instructions=agent.instructions,
            timeout=request.seconds_left,
        )
        try:
            if agent.wants_turn:
                update = await agent.function(activation.state, turn)
            else:
                update = await agent.function(activation.state)
        except GraphBubbleUp as interrupt:
            # An interrupt is not an error: LangGraph must see it in the node itself.
            return Reply({"interrupted": True}, local=interrupt)
        said = describe_update(update)
        if said and not turn.recorded:
            await asyncio.shield(turn.say(said))
        return Reply({"said": len(said)}, local=update)

    return handle


def _graph_task() -> str:
    """Identifies the task of the graph that is being run, the same again after a crash."""
    metadata = get_config().get("metadata", {})
    return str(metadata.get("langgraph_checkpoint_ns", ""))
