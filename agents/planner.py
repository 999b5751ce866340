"""A planner."""

from __future__ import annotations

from collections.abc import Sequence

from ..memory import Case


class Planner:
    """Plans."""

    def plan(self, task: str, cases: Sequence[Case]) -> Sequence[str]:
        """The steps."""
        return ()
