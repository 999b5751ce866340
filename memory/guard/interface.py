"""The guard's seam: what may be written, recalled and done (A-MemGuard, arXiv 2510.02373).

Memory calls a `Guard` at four places. `OpenGuard`, the present default, lets everything pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from ...graph import Changeset, View
from ..strategy import Candidate


class Verdict(StrEnum):
    """What a guard says, from mild to severe."""

    ALLOW = "allow"
    FLAG = "flag"
    SET_ASIDE = "set aside"
    """Not for this task."""
    QUARANTINE = "quarantine"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with its reason.

    Attributes:
        verdict: What is to happen.
        reason: A sentence a person understands; empty for ALLOW.
        dissenters: Ids of the records that speak against it.
        found_by: Words of the task by which it was found and which hardly anyone else uses; what
            it is replaced with is looked for without them.
    """

    verdict: Verdict = Verdict.ALLOW
    reason: str = ""
    dissenters: tuple[str, ...] = ()
    found_by: frozenset[str] = frozenset()


ALLOWED = Judgement()


@dataclass(frozen=True, slots=True)
class ProposedStep:
    """An action before it is taken, or after.

    Attributes:
        task: The task of the trial.
        role: Who acts.
        action: What is to be done.
        observation: What came of it; "" before the step.
        based_on: Ids of the records the action was taken from.
    """

    task: str
    role: str
    action: str
    observation: str = ""
    based_on: tuple[str, ...] = ()


class Guard(Protocol):
    """Judges what enters the memory, what leaves it, and what agents do with it.

    Guarantees: it never raises for content, it judges; it changes nothing itself.
    """

    async def admit(self, changeset: Changeset) -> Judgement:
        """May this be written? Anything but ALLOW and FLAG refuses the changeset."""
        ...

    async def screen(
        self, view: View, task: str, candidates: Sequence[Candidate]
    ) -> Sequence[Judgement]:
        """One judgement for each candidate, in order, before any is selected."""
        ...

    async def before_step(self, view: View, step: ProposedStep) -> Judgement:
        """May this action be taken?"""
        ...

    async def after_step(self, view: View, step: ProposedStep) -> Judgement:
        """Was what came of it as expected?"""
        ...


class OpenGuard:
    """Lets everything pass."""

    async def admit(self, changeset: Changeset) -> Judgement:
        """Allow."""
        return ALLOWED

    async def screen(
        self, view: View, task: str, candidates: Sequence[Candidate]
    ) -> Sequence[Judgement]:
        """Allow each."""
        return [ALLOWED] * len(candidates)

    async def before_step(self, view: View, step: ProposedStep) -> Judgement:
        """Allow."""
        return ALLOWED

    async def after_step(self, view: View, step: ProposedStep) -> Judgement:
        """Allow."""
        return ALLOWED
