"""The clock that waits are measured by; tests put a fake one in its place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Forget the call; does nothing if it was made already."""
        ...


class Clock(Protocol):
    """Tells time and calls back. Both methods are used from the event loop's thread only."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        ...

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call `callback` from the event loop after `seconds`, not from within this method."""
        ...


class SystemClock:
    """The machine's monotonic clock and the running loop's timers."""

    def monotonic(self) -> float:
        """Seconds of `time.monotonic`."""
        return time.monotonic()

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """See `Clock.call_later`."""
        return asyncio.get_running_loop().call_later(max(0.0, seconds), callback)
