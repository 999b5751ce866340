"""The message bus: requests that are answered once, and events, over any `Transport`.

The acknowledgement of a request is its reply. The sender sends the same id again until the reply
arrives; the receiver stores replies and sends them again for a duplicate. So a handler runs at
most once for each id that its mailbox remembers, whatever the transport loses or doubles.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType, TracebackType
from typing import Self

from ..errors import (
    BusError,
    DeadlineExceeded,
    InvalidInput,
    InvalidURL,
)
from ..graph import JSON
from .clock import Clock, SystemClock
from .envelope import Envelope, check_address, make_envelope
from .inprocess import InProcessTransport
from .mailbox import (
    Handler,
    Mailbox,
    MailboxStatistics,
    Reply,
    Request,
    check_serve,
    handling,
)
from .outbox import DeadLetter, Outbox, Retry
from .transport import Attachment, Delivery, Subscription, Transport, TransportStatistics

__all__ = [
    "Bus",
    "BusStatistics",
    "DeadLetter",
    "Handler",
    "Mailbox",
    "MailboxStatistics",
    "Reply",
    "Request",
    "Retry",
    "open_bus",
]

_log = logging.getLogger(__name__)

DEFAULT_DEADLINE = 120.0
"""Seconds a requester waits unless it says otherwise."""


@dataclass(frozen=True, slots=True)
class BusStatistics:
    """What went through one bus since it was opened.

    Attributes:
        sent: Envelopes, by type; what was sent again counts again.
        received: Envelopes that reached its inbox and mailboxes, by type.
        in_flight: Requests awaiting an answer now.
        retries: Requests sent again.
        duplicates: Requests its mailboxes had seen before.
        refused: Requests its mailboxes turned away.
        late: Answers that nobody was waiting for any more.
        dead_letters: Requests given up.
        dropped_events: Events that could not be sent, or found a subscriber's buffer full.
        transport: What the transport says.
    """

    sent: Mapping[str, int]
    received: Mapping[str, int]
    in_flight: int
    retries: int
    duplicates: int
    refused: int
    late: int
    dead_letters: int
    dropped_events: int
    transport: TransportStatistics


@dataclass(slots=True, eq=False)
class _Counts:
    sent: Counter[str] = field(default_factory=Counter)
    received: Counter[str] = field(default_factory=Counter)
    dropped_events: int = 0
    # Of mailboxes that were closed.
    duplicates: int = 0
    refused: int = 0


class Bus:
    """Requests, replies and events. Use it in ``async with``; `open_bus` makes one by URL.

    - An answered request costs two envelopes when nothing is lost.
    - One mailbox for each address: its requests are handled in order of arrival, one at a time
      unless `serve` is told otherwise. Requests that a sender awaits one after the other are so
      handled in that order; those it sends at the same time have no order on a lossy transport.
    - A handler is never run twice for one id (or idempotency key) that is in the seen window.
    - In one process a handler runs in a copy of the requester's context variables, so LangGraph's
      config and stream writer work in it. What it sets there the requester does not see.
    - Every wait has a deadline. An agent that sends a request to itself while it handles one, or
      two that do so to each other, wait until then: give them more `concurrency`.
    - Cancelling a requester stops its waiting; the handler goes on and its reply is stored.

    Args:
        transport: Open; the bus does not close it.
        name: Unique on the transport; makes the address of its inbox. Random if empty.
        clock: Measures all waits.
        retry: When a request is sent again.
        rng: For the jitter of pauses.
        dead_letters: How many are kept to be read.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        name: str = "",
        clock: Clock | None = None,
        retry: Retry | None = None,
        rng: random.Random | None = None,
        dead_letters: int = 256,
    ) -> None:
        self.name = name or uuid.uuid4().hex[:16]
        self._inbox = check_address(f"_inbox/{self.name}")
        self._transport = transport
        self._clock: Clock = clock or SystemClock()
        self._outbox = Outbox(
            self._publish,
            reliable=transport.reliable,
            attachments=transport.carries_attachments,
            clock=self._clock,
            retry=retry or Retry(),
            rng=rng or random.Random(),
            dead_letters=dead_letters,
        )
        self._mailboxes: dict[str, Mailbox] = {}
        self._taps: list[Callable[[Envelope], object]] = []
        self._numbers = itertools.count(1)
        self._counts = _Counts()
        self._open = False
        self._subscription: Subscription | None = None

    async def __aenter__(self) -> Self:
        self._subscription = await self._transport.subscribe(self._inbox, self._receive_answer)
        self._open = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open = False
        for mailbox in list(self._mailboxes.values()):
            await mailbox.close()
        if self._subscription is not None:
            await self._subscription.cancel()
        self._outbox.close()

    # Receiving ------------------------------------------------------------------------------

    @asynccontextmanager
    async def serve(
        self,
        address: str,
        handler: Handler,
        *,
        concurrency: int = 1,
        window: int = 64,
        seen: int = 512,
    ) -> AsyncIterator[Mailbox]:
        """Answer requests to an address for the length of the block.

        At its end what has not begun is refused (its sender tries again) and what runs is
        cancelled (its sender gets `DeliveryFailed`).

        Args:
            address: Such as ``team/agent``.
            handler: ``async def handler(request: Request) -> Reply``, or returning the payload.
                What it raises is an error reply: `HandlerError` at the requester.
            concurrency: Handlers at a time. One keeps order; more is for stateless handlers.
            window: Requests accepted and not yet answered, over all senders. A request beyond it
                is refused, and its sender tries again until its deadline.
            seen: Replies stored for duplicates.

        Yields:
            The mailbox; it has `statistics()`.

        Raises:
            InvalidInput: It is not an address, or it is served already.
        """
        self._check_open()
        check_address(address)
        check_serve(concurrency, window, seen)
        if address in self._mailboxes:
            raise InvalidInput(
                f"The address {address!r} is served on this bus already.", address=address
            )
        mailbox = Mailbox(address, handler, concurrency, window, seen, self._clock, self._publish)
        self._mailboxes[address] = mailbox

        async def receive(delivery: Delivery) -> None:
            self._counts.received[delivery.envelope.type] += 1
            await mailbox.receive(delivery)

        try:
            subscription = await self._transport.subscribe(address, receive)
            try:
                yield mailbox
            finally:
                await subscription.cancel()
                await mailbox.close()
        finally:
            del self._mailboxes[address]
            self._counts.duplicates += mailbox.statistics().duplicates
            self._counts.refused += mailbox.statistics().refused

    @asynccontextmanager
    async def subscribe(
        self, pattern: str, *, buffer: int = 256
    ) -> AsyncIterator[AsyncIterator[Envelope]]:
        """Receive events for the length of the block.

        Args:
            pattern: Such as ``runs/+/steps`` or ``runs/#``.
            buffer: Events that may wait to be read; one that finds it full is dropped and counted.

        Yields:
            An endless iterator of envelopes.
        """
        self._check_open()
        queue: asyncio.Queue[Envelope] = asyncio.Queue(maxsize=max(1, buffer))

        async def receive(delivery: Delivery) -> None:
            if delivery.envelope.type != "event":
                return
            self._counts.received["event"] += 1
            try:
                queue.put_nowait(delivery.envelope)
            except asyncio.QueueFull:
                self._counts.dropped_events += 1

        async def events() -> AsyncIterator[Envelope]:
            while True:
                yield await queue.get()

        subscription = await self._transport.subscribe(pattern, receive)
        try:
            yield events()
        finally:
            await subscription.cancel()

    # Sending --------------------------------------------------------------------------------

    async def request(
        self,
        address: str,
        payload: JSON = None,
        *,
        id: str = "",
        sender: str = "",
        deadline: float = DEFAULT_DEADLINE,
        idempotency_key: str = "",
        trace: str = "",
        local: object = None,
    ) -> Reply:
        """Send a request and await its answer.

        Args:
            address: Who is to answer.
            payload: Plain JSON.
            id: Names the request; the same id is handled once. Random if empty.
            sender: Who asks; the bus's name if empty.
            deadline: Seconds to wait at most, over all attempts.
            idempotency_key: Requests with the same key are handled once, whatever their ids.
            trace: A W3C traceparent; that of the request being handled here if empty.
            local: An object for a handler in the same process, handed over as it is.

        Returns:
            The payload of the answer, and the object that came along with it.

        Raises:
            InvalidInput: The request cannot be sent as it is.
            HandlerError: The handler raised; `cause_type` and `detail` say what, and in the same
                process `__cause__` is the exception itself.
            DeadlineExceeded: There was no answer in time.
            DeliveryFailed: Nobody serves the address, nothing came back in all attempts, or the
                agent was stopped.
            WindowFull: The receiver refused until the deadline.
        """
        self._check_open()
        if local is not None and not self._transport.carries_attachments:
            raise InvalidInput(
                "This bus goes over a network and carries plain JSON only; put what the handler "
                "needs into the payload.",
                address=address,
            )
        if not deadline > 0:
            raise DeadlineExceeded(
                f"There was no time left for a request to {address!r}.", address=address
            )
        cause = handling.get()
        id = id or uuid.uuid4().hex
        envelope = make_envelope(
            {
                "id": id,
                "type": "request",
                "sender": sender or self.name,
                "subject": address,
                "correlation": id,
                "causation": cause.id if cause else "",
                "reply_to": self._inbox,
                "idempotency_key": idempotency_key,
                "trace": trace or (cause.trace if cause else ""),
                "payload": payload,
            }
        )
        return await self._outbox.send(envelope, local, deadline)

    async def emit(self, subject: str, payload: JSON = None, *, id: str = "") -> None:
        """Send an event. Nobody acknowledges it, and it may be lost; losses known are counted.

        Raises:
            InvalidInput: It cannot be sent as it is.
        """
        self._check_open()
        cause = handling.get()
        envelope = make_envelope(
            {
                "id": id or f"{self.name}/{next(self._numbers)}",
                "type": "event",
                "sender": self.name,
                "subject": subject,
                "causation": cause.id if cause else "",
                "trace": cause.trace if cause else "",
                "payload": payload,
            }
        )
        try:
            await self._publish(envelope)
        except BusError as error:
            self._counts.dropped_events += 1
            _log.debug("An event to %r was dropped: %s", subject, error)

    # Watching -------------------------------------------------------------------------------

    @contextmanager
    def tap(self, callback: Callable[[Envelope], object]) -> Iterator[None]:
        """Show each envelope that this bus sends to `callback`, for the length of the block.

        Args:
            callback: Returns quickly. What it raises is logged and harms nobody.
        """
        self._taps.append(callback)
        try:
            yield
        finally:
            self._taps.remove(callback)

    @property
    def dead_letters(self) -> tuple[DeadLetter, ...]:
        """The latest requests that were given up, the oldest first."""
        return tuple(self._outbox.dead)

    def statistics(self) -> BusStatistics:
        """What went through so far."""
        boxes = [mailbox.statistics() for mailbox in self._mailboxes.values()]
        return BusStatistics(
            sent=MappingProxyType(dict(self._counts.sent)),
            received=MappingProxyType(dict(self._counts.received)),
            in_flight=self._outbox.in_flight,
            retries=self._outbox.retries,
            duplicates=self._counts.duplicates + sum(box.duplicates for box in boxes),
            refused=self._counts.refused + sum(box.refused for box in boxes),
            late=self._outbox.late,
            dead_letters=self._outbox.given_up,
            dropped_events=self._counts.dropped_events,
            transport=self._transport.statistics(),
        )

    # Within ---------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if not self._open:
            raise BusError("The bus is not open; use it in `async with`.")

    async def _publish(self, envelope: Envelope, attachment: Attachment | None = None) -> bool:
        if attachment is not None and not self._transport.carries_attachments:
            attachment = None
        self._counts.sent[envelope.type] += 1
        for tap in tuple(self._taps):
            try:
                tap(envelope)
            except Exception:
                _log.exception("A tap of the bus failed.")
        return await self._transport.publish(envelope, attachment)

    async def _receive_answer(self, delivery: Delivery) -> None:
        self._counts.received[delivery.envelope.type] += 1
        await self._outbox.receive(delivery)


def open_bus(
    url: str = "inprocess://", *, clock: Clock | None = None, retry: Retry | None = None
) -> AbstractAsyncContextManager[Bus]:
    """A bus by URL, open for the length of the block.

    Args:
        url: ``inprocess://``, a bus of its own within this process.
        clock: Measures all waits.
        retry: When a request is sent again.

    Raises:
        InvalidURL: It is no URL of a bus.
    """
    if url not in ("inprocess://", "inprocess:"):
        raise InvalidURL(
            f"{url.split(':', 1)[0][:20]!r} is no bus that this version knows; it knows "
            "'inprocess://'.",
            scheme=url.split(":", 1)[0],
        )

    @asynccontextmanager
    async def opened() -> AsyncIterator[Bus]:
        async with (
            InProcessTransport() as transport,
            Bus(transport, clock=clock, retry=retry) as bus,
        ):
            yield bus

    return opened()
