"""`LossyTransport`: loses, doubles, delays and so reorders what goes through it, as planned."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, TypeAlias

from ..agents.clock import Clock, SystemClock
from ..agents.envelope import Envelope
from ..agents.transport import Attachment, Receive, Subscription, Transport, TransportStatistics
from ..errors import BusError

Plan: TypeAlias = Callable[[Envelope], Sequence[float]]
"""What becomes of an envelope: for each copy that arrives, its delay in seconds.

``[]`` loses it, ``[0]`` carries it, ``[0, 0]`` doubles it, ``[2]`` delays it by two seconds.
"""


def seeded_plan(
    seed: int,
    *,
    drop: float = 0.0,
    duplicate: float = 0.0,
    delay: float = 0.0,
    longest: float = 1.0,
) -> Plan:
    """A plan that decides by chance, the same again for the same seed and envelopes.

    Args:
        seed: Of the generator.
        drop: Probability that an envelope is lost.
        duplicate: Probability that it arrives twice.
        delay: Probability that a copy is delayed.
        longest: Seconds of the longest delay.
    """
    rng = random.Random(seed)

    def plan(envelope: Envelope) -> Sequence[float]:
        if rng.random() < drop:
            return []
        copies = 2 if rng.random() < duplicate else 1
        return [rng.random() * longest if rng.random() < delay else 0.0 for _ in range(copies)]

    return plan


class LossyTransport:
    """Wraps an open transport. What it says about itself is that nothing is sure to arrive.

    Args:
        inner: Carries what is left; the wrapper neither opens nor closes it.
        plan: What becomes of each envelope.
        clock: Measures the delays.
    """

    reliable = False

    def __init__(self, inner: Transport, plan: Plan, *, clock: Clock | None = None) -> None:
        self._inner = inner
        self._plan = plan
        self._clock: Clock = clock or SystemClock()
        self._tasks: set[asyncio.Task[bool]] = set()
        self._open = True
        self.lost = 0
        self.doubled = 0
        self.delayed = 0

    @property
    def carries_attachments(self) -> bool:
        """As the transport within."""
        return self._inner.carries_attachments

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open = False
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def publish(self, envelope: Envelope, attachment: Attachment | None = None) -> bool:
        """See `Transport.publish`; a publisher is never told of a loss."""
        envelope.to_wire()
        delays = list(self._plan(envelope))
        self.lost += not delays
        self.doubled += len(delays) > 1
        for delay in delays:
            if delay <= 0:
                await self._inner.publish(envelope, attachment)
            else:
                self.delayed += 1
                self._clock.call_later(delay, lambda: self._later(envelope, attachment))
        return True

    async def subscribe(self, pattern: str, receive: Receive) -> Subscription:
        """See `Transport.subscribe`."""
        return await self._inner.subscribe(pattern, receive)

    def statistics(self) -> TransportStatistics:
        """Those of the transport within."""
        return self._inner.statistics()

    def _later(self, envelope: Envelope, attachment: Attachment | None) -> None:
        if not self._open:
            return
        task = asyncio.get_running_loop().create_task(self._inner.publish(envelope, attachment))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[bool]) -> None:
        self._tasks.discard(task)
        # What comes after the transport was closed is lost, as on a network.
        if not task.cancelled() and (error := task.exception()) is not None:
            self.lost += 1
            if not isinstance(error, BusError):
                raise error
