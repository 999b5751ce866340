"""`FakeClock`: time that passes when the test says so."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

_ROUNDS = 25
"""Turns of the event loop that tasks get to react to a timer."""


@dataclass(order=True, slots=True)
class _Timer:
    due: float
    number: int
    callback: Callable[[], object] = field(compare=False)
    cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        """Forget the call."""
        self.cancelled = True


class FakeClock:
    """A `triforium.agents.clock.Clock` whose timers fire in `advance` only, in their order."""

    def __init__(self, start: float = 1000.0) -> None:
        self._now = start
        self._timers: list[_Timer] = []
        self._numbers = itertools.count()

    def monotonic(self) -> float:
        """Seconds; `start` plus what was advanced."""
        return self._now

    def call_later(self, seconds: float, callback: Callable[[], object]) -> _Timer:
        """See `Clock.call_later`."""
        timer = _Timer(self._now + max(0.0, seconds), next(self._numbers), callback)
        heapq.heappush(self._timers, timer)
        return timer

    @property
    def waiting(self) -> int:
        """Timers that are due later."""
        return sum(not timer.cancelled for timer in self._timers)

    async def advance(self, seconds: float) -> None:
        """Let time pass; tasks run after each timer that fires, and before the first."""
        await settle()
        ends = self._now + seconds
        while self._timers and self._timers[0].due <= ends:
            timer = heapq.heappop(self._timers)
            if timer.cancelled:
                continue
            self._now = max(self._now, timer.due)
            timer.callback()
            await settle()
        self._now = ends


async def settle() -> None:
    """Let all tasks run that can run now."""
    for _ in range(_ROUNDS):
        await asyncio.sleep(0)
