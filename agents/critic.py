"""A critic."""

from __future__ import annotations

from collections.abc import Sequence


class Critic:
    """Objects."""

    def objection(
        self,
        proposal: str,
        history: Sequence[tuple[str, str]],
        actions: Sequence[str],
        vetoed: Sequence[str] = (),
    ) -> str:
        """Why not, or ""."""
        return ""
