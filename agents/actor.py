"""An actor."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from ..memory import Case, Rule


@dataclass(frozen=True, slots=True)
class Decision:
    """What an actor does next, and why."""

    action: str
    reason: str = ""
    case: str = ""


class CaseGuidedActor:
    """Acts."""

    def __init__(
        self,
        *,
        goal: str,
        cases: Sequence[Case],
        rules: Sequence[Rule],
        plan: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        self._random = random.Random(seed)

    def act(
        self,
        observation: str,
        actions: Sequence[str],
        history: Sequence[tuple[str, str]],
        *,
        vetoed: frozenset[str] = frozenset(),
    ) -> Decision:
        """Choose."""
        return Decision(self._random.choice([a for a in actions if a not in vetoed] or actions))
