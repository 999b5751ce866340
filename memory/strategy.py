"""The interface of a memory mechanism: what is retrieved for a task, and what a trial leaves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..graph import Op, Outcome, Record, View
from .recall import Case, Placement, Recall, Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """What a recall is for.

    Attributes:
        task: The task, in words.
        role: The role that asks.
        run: The workflow execution.
        trial: Id of the open trial, "" for none; it is never recalled for itself.
        vector: The task embedded, shape (width,), or None without an embedder.
        context: Names of what is around, such as the things in the room.
        budget: Tokens.
    """

    task: str
    role: str = ""
    run: str = ""
    trial: str = ""
    vector: NDArray[np.float32] | None = None
    context: frozenset[str] = frozenset()
    budget: int = 1000

    def vectors(self) -> NDArray[np.float32] | None:
        """The embedded task as the only row of a matrix, shape (1, width), or None."""
        return None if self.vector is None else np.asarray([self.vector], np.float32)


@dataclass(frozen=True, slots=True)
class Form:
    """One way to pack a candidate: the text that enters a prompt, and what it carries."""

    text: str
    case: Case | None = None
    rule: Rule | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A record that a strategy offers.

    Attributes:
        record: The record.
        placement: What it would be there for.
        scores: One per channel, and "final".
        path: Ids walked to reach it, the first candidate first.
        forms: From the fullest to the shortest; the first that fits the budget is packed. Or what
            works them out, since most candidates are never packed.
    """

    record: Record
    placement: Placement
    scores: Mapping[str, float]
    path: tuple[str, ...] = ()
    forms: Sequence[Form] | Callable[[], Sequence[Form]] = ()

    def offered(self) -> Sequence[Form]:
        """The forms, worked out now if that was put off."""
        return self.forms() if callable(self.forms) else self.forms


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedTrial:
    """A trial whose outcome has just become known.

    Attributes:
        record: Its QUERY record, as it was while open.
        outcome: How it ended.
        steps: Its INTERACTION records in order.
        vector: Its task embedded.
        used: Ids that its agents said they acted on; empty if none said.
    """

    record: Record
    outcome: Outcome
    steps: tuple[Record, ...]
    vector: NDArray[np.float32] | None = None
    used: frozenset[str] = field(default_factory=frozenset)


class Strategy(Protocol):
    """A memory mechanism. It reads through a View and answers with candidates or operations.

    Guarantees: pure (all it knows comes in through the arguments), deterministic, and free of any
    storage of its own, so that the same store serves every strategy.
    """

    @property
    def name(self) -> str:
        """What a person calls it."""
        ...

    @property
    def version(self) -> str:
        """Changes when the same store would give other answers."""
        ...

    async def retrieve(self, view: View, cue: Cue) -> Sequence[Candidate]:
        """Candidates, best first, more than fit: the guard may take some away."""
        ...

    async def observe(self, view: View, trial: Record, step: Record) -> Sequence[Op]:
        """What to write beside a step that has just been recorded."""
        ...

    async def commit(
        self, view: View, trial: ClosedTrial, receipts: Sequence[Recall]
    ) -> Sequence[Op]:
        """What a closed trial leaves, beside its outcome and the credit of what was served."""
        ...

    async def maintain(self, view: View) -> Sequence[Op]:
        """What a periodic clean-up changes; empty when there is nothing to do."""
        ...


@runtime_checkable
class Rebuilding(Protocol):
    """A strategy that can work out anew all that it has made of the trials."""

    async def rebuild(
        self, view: View, trials: Sequence[tuple[Record, NDArray[np.float32] | None]]
    ) -> Sequence[Op]:
        """What makes everything derived a function of the trials that are there now.

        Args:
            view: The memory.
            trials: All closed trials, with their tasks embedded.
        """
        ...
