"""The sending half of the bus: requests that await their answers, and those given up."""

from __future__ import annotations

import asyncio
import contextvars
import math
import random
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ..errors import (
    BusError,
    DeadlineExceeded,
    DeliveryFailed,
    HandlerError,
    InvalidInput,
    WindowFull,
)
from .clock import Clock
from .envelope import Envelope
from .mailbox import Reply
from .transport import Attachment, Delivery


@dataclass(frozen=True, slots=True)
class Retry:
    """When a request is sent again.

    Attributes:
        attempts: Sendings without any sign of life from the receiver before giving up. A refusal
            or an acknowledgement is one, and begins the count anew.
        first: Seconds before the second sending.
        factor: By which each pause is longer than the one before.
        cap: Seconds of the longest pause.
        jitter: Share of a pause by which it is shortened at random.
    """

    attempts: int = 6
    first: float = 0.2
    factor: float = 2.0
    cap: float = 5.0
    jitter: float = 0.2

    def pause(self, attempt: int, rng: random.Random) -> float:
        """Seconds to wait after the given attempt, which counts from 1."""
        # The exponent is bounded because a long deadline allows many refusals.
        pause = min(self.cap, self.first * self.factor ** min(attempt - 1, 60))
        return pause * (1 - self.jitter * rng.random())


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A request that was given up.

    Attributes:
        envelope: As it was sent last.
        reason: Why, in words.
        sent: How often it was sent.
    """

    envelope: Envelope
    reason: str
    sent: int


@dataclass(slots=True, eq=False)
class _Pending:
    """A request that awaits its answer."""

    deadline: float
    ends: float
    final: Delivery | None = None
    signal: str = ""
    waiter: asyncio.Future[None] | None = None
    sent: int = 0
    refused: bool = False

    def wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


class Outbox:
    """Sends requests until they are answered or given up. Part of `Bus`.

    Args:
        publish: Hands an envelope to the transport.
        reliable: Whether sending again is useless while a receiver is there.
        attachments: Whether objects and context variables may go along.
        clock: Measures all waits.
        retry: When a request is sent again.
        rng: For the jitter of pauses.
        dead_letters: How many are kept to be read.
    """

    def __init__(
        self,
        publish: Callable[[Envelope, Attachment | None], Awaitable[bool]],
        *,
        reliable: bool,
        attachments: bool,
        clock: Clock,
        retry: Retry,
        rng: random.Random,
        dead_letters: int,
    ) -> None:
        self._publish = publish
        self._reliable = reliable
        self._attachments = attachments
        self._clock = clock
        self._retry = retry
        self._rng = rng
        self._pending: dict[str, _Pending] = {}
        self.dead: deque[DeadLetter] = deque(maxlen=dead_letters)
        self.given_up = 0
        self.retries = 0
        self.late = 0

    @property
    def in_flight(self) -> int:
        """Requests awaiting an answer now."""
        return len(self._pending)

    async def receive(self, delivery: Delivery) -> None:
        """Take what arrives at the inbox."""
        envelope = delivery.envelope
        pending = self._pending.get(envelope.correlation)
        if pending is None or pending.final is not None:
            self.late += 1
        elif envelope.type == "ack":
            pending.signal = "ack"
            pending.wake()
        elif envelope.type == "error" and _fact(envelope, "code") == "refused":
            pending.signal = "refused"
            pending.wake()
        elif envelope.type in ("reply", "error"):
            pending.final = delivery
            pending.wake()

    def close(self) -> None:
        """Give up all that is pending."""
        for pending in self._pending.values():
            pending.signal = "closed"
            pending.wake()

    async def send(self, envelope: Envelope, local: object, deadline: float) -> Reply:
        """Send a request until there is an answer; see `Bus.request` for what it raises."""
        if envelope.id in self._pending:
            raise InvalidInput(
                f"A request {envelope.id!r} is waiting for its answer already.", id=envelope.id
            )
        context = contextvars.copy_context() if self._attachments else None
        attachment = Attachment(local, context) if self._attachments else None
        pending = _Pending(deadline, self._clock.monotonic() + deadline)
        self._pending[envelope.id] = pending
        try:
            answer = await self._exchange(envelope, attachment, pending)
        finally:
            del self._pending[envelope.id]
        if answer.envelope.type == "reply":
            return Reply(answer.envelope.payload, answer.attachment.value)
        raise self._failure(envelope, pending, answer) from answer.attachment.error

    async def _exchange(
        self, envelope: Envelope, attachment: Attachment | None, pending: _Pending
    ) -> Delivery:
        silent = refusals = 0
        reason = ""
        while True:
            left = pending.ends - self._clock.monotonic()
            # A timer may fire a hair early; that is no reason to send once more.
            if left <= 0 or (pending.sent and left < 0.001):
                raise self._expired(envelope, pending)
            if silent == self._retry.attempts:
                raise self._undelivered(envelope, pending, reason)
            pending.sent += 1
            silent += 1
            self.retries += pending.sent > 1
            update = {"attempt": pending.sent, "milliseconds_left": max(1, math.ceil(left * 1000))}
            envelope = envelope.model_copy(update=update)
            reached, reason = await self._try(envelope, attachment)
            pause = self._retry.pause(silent, self._rng)
            if reached and self._reliable:
                pause = left
            signal = await self._await_signal(pending, min(pause, left))
            if signal == "ack":
                silent = refusals = 0
                signal = await self._await_signal(pending, min(self._retry.cap, left))
            if signal == "refused":
                silent, refusals = 0, refusals + 1
                pause = self._retry.pause(refusals, self._rng)
                signal = await self._await_signal(pending, min(pause, left))
            pending.refused = refusals > 0
            if pending.final is not None:
                return pending.final
            if signal == "closed":
                raise self._undelivered(envelope, pending, "the bus was closed")

    async def _try(self, envelope: Envelope, attachment: Attachment | None) -> tuple[bool, str]:
        """Whether it may have arrived, and what to say if no answer comes."""
        try:
            if await self._publish(envelope, attachment):
                return True, "no answer came back"
            return False, "nobody serves this address"
        except BusError as error:
            return False, str(error)

    async def _await_signal(self, pending: _Pending, seconds: float) -> str:
        """Wait for whatever comes back; the kind of it, or "" when nothing did."""
        if pending.final is None and not pending.signal:
            pending.waiter = asyncio.get_running_loop().create_future()
            timer = self._clock.call_later(seconds, pending.wake)
            try:
                await pending.waiter
            finally:
                timer.cancel()
                pending.waiter = None
        signal, pending.signal = pending.signal, ""
        return signal

    def _bury(self, envelope: Envelope, reason: str, sent: int) -> None:
        self.given_up += 1
        self.dead.append(DeadLetter(envelope, reason, sent))

    def _expired(self, envelope: Envelope, pending: _Pending) -> BusError:
        address, deadline = envelope.subject, pending.deadline
        if pending.refused:
            self._bury(envelope, "refused until the deadline", pending.sent)
            return WindowFull(
                f"{address!r} took no more requests for {deadline:g} s. "
                "Send fewer at a time, or serve it with more concurrency.",
                address=address,
                deadline=deadline,
            )
        self._bury(envelope, "no answer before the deadline", pending.sent)
        return DeadlineExceeded(
            f"{address!r} did not answer within {deadline:g} s. "
            "Give it more time, or see why it takes so long.",
            address=address,
            deadline=deadline,
        )

    def _undelivered(self, envelope: Envelope, pending: _Pending, reason: str) -> DeliveryFailed:
        self._bury(envelope, reason, pending.sent)
        return DeliveryFailed(
            f"The request to {envelope.subject!r} was given up after {pending.sent} "
            f"attempt{'s' if pending.sent > 1 else ''}: {reason}.",
            address=envelope.subject,
            reason=reason,
            attempts=pending.sent,
        )

    def _failure(self, envelope: Envelope, pending: _Pending, answer: Delivery) -> BusError:
        """The error that an error reply stands for."""
        kind, detail = _fact(answer.envelope, "type"), _fact(answer.envelope, "detail")
        code, address = _fact(answer.envelope, "code"), envelope.subject
        if code == "deadline":
            self._bury(envelope, f"its deadline {detail}", pending.sent)
            return DeadlineExceeded(
                f"The deadline of {pending.deadline:g} s for {address!r} {detail}. "
                "Give it more time, or see why it takes so long.",
                address=address,
                deadline=pending.deadline,
            )
        if code == "stopped":
            return self._undelivered(envelope, pending, detail)
        return HandlerError(
            f"The agent at {address!r} failed: {kind}: {detail}",
            address=address,
            cause_type=kind,
            detail=detail,
        )


def _fact(envelope: Envelope, name: str) -> str:
    """A text of an error reply; "" when it has none."""
    payload = envelope.payload
    value = payload.get(name) if isinstance(payload, dict) else None
    return value if isinstance(value, str) else ""
