"""`Transport`: what carries envelopes. All promises beyond "it may arrive" are the bus's own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextvars import Context
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, TypeAlias

from .envelope import Envelope


@dataclass(frozen=True, slots=True)
class Attachment:
    """What goes along with an envelope inside one process, and never on a wire.

    Attributes:
        value: An object, handed over as it is.
        context: The context variables of the sender.
        error: The exception that an error reply tells of.
    """

    value: object = None
    context: Context | None = None
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """An envelope that arrived, and what came along with it."""

    envelope: Envelope
    attachment: Attachment = Attachment()


Receive: TypeAlias = Callable[[Delivery], Awaitable[None]]
"""Takes a delivery. It returns soon (it puts the work elsewhere) and does not raise."""


class Subscription(Protocol):
    """A standing wish for envelopes."""

    async def cancel(self) -> None:
        """Receive no more. Cancelling twice does nothing."""
        ...


@dataclass(frozen=True, slots=True)
class TransportStatistics:
    """What a transport carried since it was opened.

    Attributes:
        published: Envelopes handed to it, by type.
        delivered: Envelopes handed to receivers.
        unreached: Envelopes that, as it knows, nobody subscribed to.
        malformed: What arrived and was no envelope; it was dropped.
        bytes: Size on the wire of what was published.
        subscriptions: Open now.
    """

    published: Mapping[str, int]
    delivered: int
    unreached: int
    malformed: int
    bytes: int
    subscriptions: int


class Transport(Protocol):
    """Carries envelopes from publishers to subscribers, in one process or between many.

    Guarantees, each tested by `triforium.testing.transport_conformance`:

    - What is delivered equals what was published, and shares no mutable object with it.
    - A subscription receives what is published to an address it matches after `subscribe`
      returned and before `cancel` was called; wildcards are those of MQTT 5.
    - Every matching subscription receives its own delivery.
    - Two envelopes from one publisher to one address arrive in the order of publishing, as far
      as they arrive.
    - An envelope may be lost or arrive twice unless `reliable`; no acknowledgement of the
      transport says that a receiver has seen it.
    - A receiver that raises harms neither the publisher nor other receivers.
    - Nothing is kept for receivers that come later.

    Attributes:
        reliable: Whether each envelope reaches each present receiver exactly once, so that
            sending again is useless.
        carries_attachments: Whether `Attachment` arrives. A networked transport says no, and
            refuses what has one.
    """

    @property
    def reliable(self) -> bool:
        """See the class."""
        ...

    @property
    def carries_attachments(self) -> bool:
        """See the class."""
        ...

    async def __aenter__(self) -> Self:
        """Connect."""
        ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Drop all subscriptions and disconnect."""
        ...

    async def publish(self, envelope: Envelope, attachment: Attachment | None = None) -> bool:
        """Hand an envelope to the carrier.

        Returns:
            False if the transport knows that no subscription matches (in MQTT 5, reason code
            0x10); True says nothing.

        Raises:
            InvalidInput: The envelope cannot go on the wire, or an attachment cannot be carried.
            BusError: The transport is not open.
        """
        ...

    async def subscribe(self, pattern: str, receive: Receive) -> Subscription:
        """Receive what is published to addresses that match `pattern`.

        Raises:
            InvalidInput: It is not a pattern.
            BusError: The transport is not open.
        """
        ...

    def statistics(self) -> TransportStatistics:
        """What was carried so far."""
        ...
