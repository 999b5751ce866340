"""`Turn`: what one agent holds while it is activated once."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar, overload

from langgraph.config import get_stream_writer
from pydantic import BaseModel, create_model

from ..errors import InvalidInput, InvalidModelOutput, UnfinishedEffect, WorkflowError
from ..graph import digest
from ..memory import Recall, Trial
from .models import Completion, Message
from .run import ActiveRun

Schema = TypeVar("Schema", bound=BaseModel)
Result = TypeVar("Result")


class Turn:
    """The role-bound handle of one activation of one agent.

    An agent that records nothing itself has what it returns recorded as its utterance. Nothing
    that was recalled is ever written back to state, checkpoint or memory as new content.
    """

    def __init__(
        self, run: ActiveRun, *, role: str, agent: str, key: str, instructions: str, timeout: float
    ) -> None:
        self._run = run
        self.role = role
        self.agent = agent
        self._key = key
        self._instructions = instructions
        self._ends = time.monotonic() + timeout
        self._recalls: dict[str, Recall] = {}
        self._cited: set[str] = set()
        self._ordinal = 0
        self._recorded = False

    @property
    def run(self) -> str:
        """The workflow execution."""
        return self._run.id

    @property
    def trial(self) -> Trial:
        """The open trial."""
        return self._run.trial

    @property
    def task(self) -> str:
        """The task of the trial, in words."""
        return self._run.trial.task

    @property
    def resources(self) -> dict[str, Any]:
        """What the agents of this run share and no checkpoint can hold."""
        return self._run.resources

    @property
    def has_model(self) -> bool:
        """Whether the team has a model to ask."""
        return self._run.model is not None

    @property
    def recorded(self) -> bool:
        """Whether the turn has recorded something itself, or said that there is nothing."""
        return self._recorded

    def silent(self) -> None:
        """Do not record what this turn returns: it is no utterance."""
        self._recorded = True

    async def recall(
        self,
        task: str = "",
        *,
        context: Iterable[str] = (),
        budget: int | None = None,
        step: str = "",
    ) -> Recall:
        """What the team remembers for this role; asking twice in a turn costs once.

        Args:
            task: What it is for; the task of the trial if empty.
            context: Names of what is around.
            budget: Tokens; the memory's own if None.
            step: Names the recall within the trial: a later turn that gives the same name gets
                the same answer. By default each turn recalls anew.
        """
        task = task or self.task
        if task not in self._recalls:
            self._recalls[task] = await self._run.memory.recall(
                task,
                trial=self.trial,
                role=self.role,
                step=step or f"{self._key}/{len(self._recalls)}",
                context=context,
                budget=budget,
            )
        return self._recalls[task]

    def cite(self, ids: Iterable[str]) -> None:
        """Say which recalled records this turn acts on: they get the credit for its outcome."""
        self._cited.update(ids)

    @overload
    async def ask(
        self,
        prompt: str,
        *,
        system: str = ...,
        recall: bool = ...,
        stream: bool = ...,
        max_tokens: int | None = ...,
    ) -> str: ...

    @overload
    async def ask(
        self,
        prompt: str,
        *,
        returns: type[Schema],
        system: str = ...,
        recall: bool = ...,
        max_tokens: int | None = ...,
    ) -> Schema: ...

    async def ask(
        self,
        prompt: str,
        *,
        returns: type[Schema] | None = None,
        system: str = "",
        recall: bool = True,
        stream: bool = False,
        max_tokens: int | None = None,
    ) -> str | Schema:
        """Ask the team's model, with what the team remembers placed after the system prompt.

        Args:
            prompt: The question.
            returns: A pydantic model; the reply is validated against it.
            system: The system prompt; the agent's instructions if empty.
            recall: Whether to recall first.
            stream: Send each piece of the reply to LangGraph's custom stream as it arrives, as
                ``{"agent": ..., "token": ...}``.
            max_tokens: Length of the reply.

        Raises:
            WorkflowError: The team has no model.
            ModelUnavailable: The model cannot be reached.
            InvalidModelOutput: The reply does not fit `returns`.
        """
        model = self._run.model
        if model is None:
            raise WorkflowError(
                f"The agent {self.agent!r} asks a model, but the team has none. "
                'Give it one: Team(..., model="openai:NAME").',
                agent=self.agent,
            )
        messages = [Message("system", text) for text in (system or self._instructions,) if text]
        if recall and (block := (await self.recall()).render()):
            messages.append(Message("system", block))
        messages.append(Message("user", prompt))
        deadline = max(0.001, self._ends - time.monotonic())
        if stream:
            write = get_stream_writer()
            pieces: list[str] = []
            async for piece in model.stream(
                messages, deadline=deadline, max_tokens=max_tokens, on_complete=self._count
            ):
                pieces.append(piece)
                write({"agent": self.agent, "token": piece})
            return "".join(pieces)
        completion = await model.complete(
            messages, returns=returns, deadline=deadline, max_tokens=max_tokens
        )
        self._count(completion)
        if returns is None:
            return completion.text
        if not isinstance(completion.parsed, returns):
            raise InvalidModelOutput(
                f"The model {model.name} answered with something that is not a {returns.__name__}.",
                model=model.name,
            )
        return completion.parsed

    def _count(self, completion: Completion) -> None:
        self._run.usage = self._run.usage + completion.usage

    async def choose(self, options: Sequence[str], *, prompt: str = "") -> str:
        """Choose one option: by the model if there is one, else by what worked before.

        Without a model the option that recalled successes contain most often, less those of
        failures, is taken; the first of equals.

        Args:
            options: At least one.
            prompt: What the choice is about; the task of the trial if empty.

        Raises:
            InvalidInput: There are no options.
        """
        if not options:
            raise InvalidInput("choose() needs at least one option.")
        if self._run.model is not None:
            listed = "\n".join(f"{number}. {option}" for number, option in enumerate(options, 1))
            schema = create_model("Choice", number=(int, ...))
            try:
                answer = await self.ask(
                    f"{prompt or self.task}\n\nChoose one by its number:\n{listed}", returns=schema
                )
                number = int(answer.model_dump()["number"])
                if 1 <= number <= len(options):
                    return options[number - 1]
            except InvalidModelOutput:
                pass
            self._run.resources["choices_without_model"] = (
                int(self._run.resources.get("choices_without_model", 0)) + 1
            )
        recalled = await self.recall()
        votes = dict.fromkeys(options, 0.0)
        for case in recalled.cases:
            sign = {True: 1.0, False: -1.0, None: 0.0}[case.outcome.succeeded]
            said = "\n".join(f"{step.action}\n{step.observation}" for step in case.steps).casefold()
            for option in votes:
                if option.casefold() in said:
                    votes[option] += sign * max(case.score, 0.01)
        return max(options, key=lambda option: votes[option])

    async def say(self, text: str) -> str:
        """Record an utterance beside what the agent returns; returns the id of the record."""
        self._recorded = True
        return await self._run.recorder.utterance(
            text, role=self.role, agent=self.agent, key=self._next(), used=self._cited
        )

    async def act(
        self, action: str, observation: str, *, data: dict[str, Any] | None = None
    ) -> str:
        """Record an action with what came of it; returns the id of the record."""
        self._recorded = True
        return await self._run.recorder.action(
            action,
            observation,
            role=self.role,
            agent=self.agent,
            key=self._next(),
            used=self._cited,
            data=data,
        )

    async def once(self, key: str, effect: Callable[[], Awaitable[Result]]) -> Result:
        """Perform a side effect once, also when this turn is replayed after a crash.

        Args:
            key: Names the effect within the turn, and what is asked of it.
            effect: Performs it; its result must be plain JSON.

        Returns:
            The result, of this attempt or of an earlier one.

        Raises:
            UnfinishedEffect: An earlier attempt began and left no result: whether it happened is
                not known here.
        """
        id_ = digest("effect", self.run, self._key, key)
        request = digest(key)
        earlier = await self._run.memory.begin_effect(id_, request)
        if earlier is not None:
            if not earlier.done:
                raise UnfinishedEffect(
                    f"The effect {key!r} of run {self.run!r} began in an earlier attempt and left "
                    "no result. Find out whether it happened before the run goes on.",
                    key=key,
                    run=self.run,
                )
            return earlier.result  # type: ignore[return-value]
        result = await effect()
        await self._run.memory.finish_effect(id_, request, result)
        return result

    @property
    def cited(self) -> frozenset[str]:
        """Ids that `cite` was told of."""
        return frozenset(self._cited)

    def _next(self) -> str:
        self._ordinal += 1
        return f"{self._key}#{self._ordinal}"
