"""Counts of a scope, taken anew only as often as taking them is cheap."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..graph import Statistics, Store

REST = 20.0
"""Counts are kept for so many times as long as it took to take them."""
_KEPT = 64


@dataclass(frozen=True, slots=True)
class _Taken:
    found: Statistics
    until: float


class Counts:
    """The statistics of a store, of each scope that was asked for.

    A large store takes a second to be counted. Its counts are given again for a while even when
    something has changed since; the position is always the present one.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._taken: dict[str, _Taken] = {}
        self._lock = asyncio.Lock()

    async def of(self, scope: str) -> Statistics:
        """The counts of what a scope sees; of everything for ""."""
        async with self._lock:
            position = (await self._store.view(scope or "default")).position
            held = self._taken.get(scope)
            if held and (held.found.position == position or self._clock() < held.until):
                return replace(held.found, position=position)
            started = self._clock()
            found = await self._store.statistics(scope)
            ended = self._clock()
            if len(self._taken) >= _KEPT:
                self._taken.clear()
            self._taken[scope] = _Taken(found, ended + REST * (ended - started))
            if not scope and len(found.scopes) == 1:
                # It is alone: what it sees is everything.
                self._taken[found.scopes[0]] = self._taken[scope]
            return found
