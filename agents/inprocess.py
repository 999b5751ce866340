"""The transport inside one process: no broker, no queue, nothing is lost."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from types import MappingProxyType, TracebackType
from typing import Self

from ..errors import BusError
from .envelope import Envelope, check_pattern, is_pattern, matches
from .transport import Attachment, Delivery, Receive, TransportStatistics

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Subscription:
    transport: InProcessTransport
    pattern: str
    receive: Receive
    open: bool = True

    async def cancel(self) -> None:
        """See `Subscription.cancel`."""
        if self.open:
            self.open = False
            self.transport._forget(self)


@dataclass(slots=True, eq=False)
class _Counts:
    published: Counter[str] = field(default_factory=Counter)
    delivered: int = 0
    unreached: int = 0
    bytes: int = 0


class InProcessTransport:
    """See `Transport`. `publish` hands each receiver its own copy before it returns.

    The copy is made through the wire format, so what works here works on a network too.
    """

    reliable = True
    carries_attachments = True

    def __init__(self) -> None:
        self._exact: dict[str, list[_Subscription]] = {}
        self._patterns: list[_Subscription] = []
        self._counts = _Counts()
        self._open = False

    async def __aenter__(self) -> Self:
        self._open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open = False
        for subscription in [*self._patterns, *(s for some in self._exact.values() for s in some)]:
            await subscription.cancel()

    async def publish(self, envelope: Envelope, attachment: Attachment | None = None) -> bool:
        """See `Transport.publish`."""
        self._check_open()
        data = envelope.to_wire()
        self._counts.published[envelope.type] += 1
        self._counts.bytes += len(data)
        receivers = list(self._exact.get(envelope.subject, ()))
        receivers += [s for s in self._patterns if matches(s.pattern, envelope.subject)]
        if not receivers:
            self._counts.unreached += 1
        for receiver in receivers:
            if not receiver.open:
                continue
            self._counts.delivered += 1
            delivery = Delivery(Envelope.from_wire(data), attachment or Attachment())
            try:
                await receiver.receive(delivery)
            except Exception:
                # The publisher is not to blame, and must not fail for it.
                _log.exception("A receiver of %r failed.", receiver.pattern)
        return bool(receivers)

    async def subscribe(self, pattern: str, receive: Receive) -> _Subscription:
        """See `Transport.subscribe`."""
        self._check_open()
        subscription = _Subscription(self, check_pattern(pattern), receive)
        if is_pattern(pattern):
            self._patterns.append(subscription)
        else:
            self._exact.setdefault(pattern, []).append(subscription)
        return subscription

    def statistics(self) -> TransportStatistics:
        """See `Transport.statistics`."""
        return TransportStatistics(
            published=MappingProxyType(dict(self._counts.published)),
            delivered=self._counts.delivered,
            unreached=self._counts.unreached,
            malformed=0,
            bytes=self._counts.bytes,
            subscriptions=len(self._patterns) + sum(map(len, self._exact.values())),
        )

    def _check_open(self) -> None:
        if not self._open:
            raise BusError("The in-process transport is not open; use it in `async with`.")

    def _forget(self, subscription: _Subscription) -> None:
        if is_pattern(subscription.pattern):
            self._patterns.remove(subscription)
            return
        same = self._exact[subscription.pattern]
        same.remove(subscription)
        if not same:
            del self._exact[subscription.pattern]
