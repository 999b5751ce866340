"""A guard that notes what another says, for counting."""

from __future__ import annotations

from collections.abc import Sequence

from ...graph import Changeset, View
from ...memory import Guard, Judgement, ProposedStep, Verdict
from ...memory.guard.interface import ALLOWED
from ...memory.strategy import Candidate


class Watched:
    """A guard that notes what it says of each record. `lessons` False: it asks none."""

    def __init__(self, guard: Guard, *, lessons: bool = True) -> None:
        self._guard, self._lessons = guard, lessons
        self.said: dict[str, set[Verdict]] = {}

    async def admit(self, changeset: Changeset) -> Judgement:
        """As the guard says."""
        return await self._guard.admit(changeset)

    async def screen(
        self, view: View, task: str, candidates: Sequence[Candidate]
    ) -> Sequence[Judgement]:
        """As the guard says, noted."""
        judged = await self._guard.screen(view, task, candidates)
        for one, judgement in zip(candidates, judged, strict=True):
            self.said.setdefault(one.record.id, set()).add(judgement.verdict)
        return judged

    async def before_step(self, view: View, step: ProposedStep) -> Judgement:
        """As the guard says."""
        return await self._guard.before_step(view, step) if self._lessons else ALLOWED

    async def after_step(self, view: View, step: ProposedStep) -> Judgement:
        """As the guard says."""
        return await self._guard.after_step(view, step)
