"""What `gmemory` asks a language model, and how its answers are checked.

The paper (arXiv 2506.07398) asks a model for four things: how relevant a trial is and which of its
steps matter (equation 7), what is told to a role (equation 8), and what trials teach (equation 10).
The prompts are in our own words. Every answer is JSON that must fit a
schema; what does not is counted and the caller uses its stand-in instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, Field, ValidationError

from ..errors import TriforiumError
from .cases import render_case
from .recall import Case

AskModel: TypeAlias = Callable[[str, str], Awaitable[str]]
"""A language model: instructions and a question in, an answer out."""

DEADLINE = 60.0
"""Seconds for one answer (our choice)."""
MOST_OPERATIONS = 4
"""Operations of one answer (published code, its prompt)."""
LONGEST_INSIGHT = 400
"""Characters (our choice)."""

_Answer = TypeVar("_Answer", bound=BaseModel)
_Text = Annotated[str, Field(min_length=1, max_length=LONGEST_INSIGHT)]


class _Relevance(BaseModel):
    score: Annotated[int, Field(ge=1, le=10)]


class _Core(BaseModel):
    steps: Annotated[list[int], Field(min_length=1)]


class _Projection(BaseModel):
    insights: list[_Text]


class Operation(BaseModel):
    """One change of the insights that a model asks for.

    Attributes:
        op: ADD a new one; EDIT, AGREE with or REMOVE the one with that number.
        number: From 1, in the order they were shown; 0 for ADD.
        text: The new wording, for ADD and EDIT.
    """

    op: Literal["ADD", "EDIT", "AGREE", "REMOVE"]
    number: int = 0
    text: Annotated[str, Field(max_length=LONGEST_INSIGHT)] = ""


class _Operations(BaseModel):
    operations: Annotated[list[Operation], Field(max_length=MOST_OPERATIONS)]


@dataclass(slots=True)
class ModelCounts:
    """How a model did.

    Attributes:
        calls: Questions asked.
        fallbacks: Answers that could not be used: late, failed, or not of the form asked for.
    """

    calls: int = 0
    fallbacks: int = 0


class Advisor:
    """Asks the model, and answers None where its answer cannot be used."""

    def __init__(self, ask: AskModel, *, deadline: float = DEADLINE) -> None:
        """Ask through `ask`, at most `deadline` seconds for each answer."""
        self._ask = ask
        self._deadline = deadline
        self.counts = ModelCounts()

    async def relevance(self, task: str, case: Case) -> float | None:
        """How much a trial helps with a task, in [0, 1]."""
        answer = await self._answer(
            _Relevance,
            "You judge how useful one finished task is for another. Answer with JSON: "
            '{"score": n}, n from 1 (no use) to 10 (the same problem).',
            f"Task at hand: {task}\n\nFinished task:\n{render_case(case)}",
        )
        return None if answer is None else answer.score / 10

    async def core(self, task: str, case: Case) -> tuple[int, ...] | None:
        """Positions of the steps of a trial that matter for a task, in order."""
        listed = "\n".join(
            f"{number}. {step.role}: {step.action} -> {step.observation}"
            for number, step in enumerate(case.steps, 1)
        )
        answer = await self._answer(
            _Core,
            "You cut a record of work down to the steps that its result depended on. Leave out "
            "what was tried in vain, undone or repeated. Answer with JSON: "
            '{"steps": [numbers to keep]}.',
            f"Task at hand: {task}\n\nRecorded task: {case.task} ({case.outcome})\n{listed}",
        )
        if answer is None:
            return None
        kept = sorted(set(answer.steps))
        if kept[0] < 1 or kept[-1] > len(case.steps):
            self.counts.fallbacks += 1
            return None
        return tuple(number - 1 for number in kept)

    async def project(self, role: str, insights: Sequence[str]) -> tuple[str, ...] | None:
        """The insights worded for a role, one for each in the same order."""
        answer = await self._answer(
            _Projection,
            "You reword lessons for one member of a team, so that each says what this member "
            "should do. Keep their number and order, add nothing. Answer with JSON: "
            '{"insights": [texts]}.',
            f"Member: {role}\n\nLessons:\n{_numbered(insights)}",
        )
        if answer is None:
            return None
        if len(answer.insights) != len(insights):
            self.counts.fallbacks += 1
            return None
        return tuple(answer.insights)

    async def operations(
        self, known: Sequence[str], won: Sequence[Case], lost: Sequence[Case], *, full: bool
    ) -> tuple[Operation, ...] | None:
        """What trials change about the insights.

        Args:
            known: The insights that have to do with the trials.
            won: Trials that succeeded.
            lost: Trials that failed, to compare with.
            full: Whether there are as many insights as there should be.
        """
        shown = [f"Succeeded:\n{render_case(case)}" for case in won]
        shown += [f"Failed:\n{render_case(case)}" for case in lost]
        answer = await self._answer(
            _Operations,
            "You keep a short list of lessons that hold for many tasks. Compare the tasks below: "
            "what did the successes do that the failures did not, or what do the successes "
            f"share? Then change the list by at most {MOST_OPERATIONS} operations: ADD a lesson "
            "that is new and general, EDIT one to be more general, AGREE with one that the tasks "
            "bear out, REMOVE one that they contradict. Name no particular task. Answer with "
            'JSON: {"operations": [{"op": "ADD", "text": "..."}, {"op": "AGREE", "number": 1}]}.'
            + (" The list is full: ADD only what is truly new." if full else ""),
            "\n\n".join(shown) + f"\n\nLessons so far:\n{_numbered(known) or 'none'}",
        )
        if answer is None:
            return None
        if any(not _usable(operation, len(known)) for operation in answer.operations):
            self.counts.fallbacks += 1
            return None
        return tuple(answer.operations)

    async def _answer(self, schema: type[_Answer], system: str, prompt: str) -> _Answer | None:
        self.counts.calls += 1
        try:
            text = await asyncio.wait_for(self._ask(system, prompt), self._deadline)
            return schema.model_validate_json(_unfenced(text))
        except (TriforiumError, TimeoutError, OSError, ValidationError):
            self.counts.fallbacks += 1
            return None


def _usable(operation: Operation, known: int) -> bool:
    if operation.op == "ADD":
        return bool(operation.text.strip())
    if not 1 <= operation.number <= known:
        return False
    return operation.op != "EDIT" or bool(operation.text.strip())


def _numbered(texts: Sequence[str]) -> str:
    return "\n".join(f"{number}. {' '.join(text.split())}" for number, text in enumerate(texts, 1))


def _unfenced(text: str) -> str:
    """The answer without the fence that models like to put around JSON."""
    lines = text.strip().splitlines()
    if len(lines) > 1 and lines[0].startswith("```") and lines[-1].strip() == "```":
        return "\n".join(lines[1:-1])
    return text.strip()
