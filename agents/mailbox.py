"""The receiving half of the bus: one mailbox for each address that is served."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ..errors import InvalidInput, TriforiumError
from ..graph import JSON
from .clock import Clock
from .envelope import Envelope, check_size
from .transport import Attachment, Delivery

_log = logging.getLogger(__name__)

_DETAIL = 2000
"""Characters of an exception's text that go into an error reply."""
_STORED_BYTES = 32 * 1024 * 1024
"""Size of the replies that one mailbox stores."""
_ASKERS = 16
"""Requests with the same idempotency key that may wait for one handler."""
_PATIENCE = 5.0
"""Seconds that a cancelled handler has to end when its mailbox is closed."""
_HEADROOM = 8192
"""Bytes that the rest of an envelope takes, at most."""

handling: ContextVar[Envelope | None] = ContextVar("triforium_handling", default=None)
"""The request that is being handled here: the cause of what is sent meanwhile."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as its handler sees it.

    Attributes:
        envelope: As it arrived.
        local: The object that came along from the same process, or None.
        ends: The clock's time at which the sender stops waiting, or None.
        clock: What `ends` is measured by.
    """

    envelope: Envelope
    local: Any
    ends: float | None
    clock: Clock

    @property
    def payload(self) -> Any:
        """What it is about: plain JSON."""
        return self.envelope.payload

    @property
    def seconds_left(self) -> float:
        """Until the handler is cancelled; infinity without a deadline."""
        return float("inf") if self.ends is None else max(0.0, self.ends - self.clock.monotonic())


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a request.

    Attributes:
        payload: Plain JSON.
        local: An object for a requester in the same process.
    """

    payload: Any = None
    local: Any = None


Handler: TypeAlias = Callable[[Request], Awaitable["Reply | JSON"]]
"""Answers a request; what is not a `Reply` is taken as the payload of one."""

Send: TypeAlias = Callable[[Envelope, Attachment | None], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class MailboxStatistics:
    """What one mailbox has seen.

    Attributes:
        accepted: Requests taken in.
        handled: Requests answered, errors included.
        waiting: Requests in the queue now.
        running: Handlers running now.
        duplicates: Requests that had been seen before.
        refused: Requests turned away because the window was full.
        stored: Replies kept for duplicates now.
    """

    accepted: int
    handled: int
    waiting: int
    running: int
    duplicates: int
    refused: int
    stored: int


@dataclass(slots=True, eq=False)
class _Answer:
    type: str
    payload: JSON
    attachment: Attachment | None
    size: int


@dataclass(slots=True, eq=False)
class _Entry:
    """A request that was accepted and not answered yet."""

    key: str
    delivery: Delivery
    ends: float | None
    askers: dict[str, Envelope]
    task: asyncio.Task[Any] | None = None


@dataclass(slots=True, eq=False)
class _Counts:
    accepted: int = 0
    handled: int = 0
    duplicates: int = 0
    refused: int = 0
    stored_bytes: int = 0
    running: int = 0


@dataclass(slots=True, eq=False)
class Mailbox:
    """Takes requests for one address and runs its handler. Made by `Bus.serve`.

    Requests are started in the order of arrival. A request that was seen before is not started
    again: while it is open it is acknowledged, and afterwards its stored reply is sent again.
    """

    address: str
    handler: Handler
    concurrency: int
    window: int
    seen: int
    clock: Clock
    send: Send
    _open: dict[str, _Entry] = field(default_factory=dict)
    _stored: OrderedDict[str, _Answer] = field(default_factory=OrderedDict)
    _queue: deque[_Entry] = field(default_factory=deque)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _counts: _Counts = field(default_factory=_Counts)
    _closing: bool = False
    # Supervising tasks must not see the context variables of whichever requester came first.
    _context: contextvars.Context = field(default_factory=contextvars.copy_context)

    def statistics(self) -> MailboxStatistics:
        """What it has seen so far."""
        return MailboxStatistics(
            accepted=self._counts.accepted,
            handled=self._counts.handled,
            waiting=len(self._queue),
            running=self._counts.running,
            duplicates=self._counts.duplicates,
            refused=self._counts.refused,
            stored=len(self._stored),
        )

    async def receive(self, delivery: Delivery) -> None:
        """Accept, acknowledge, answer again or refuse; never waits for the handler."""
        envelope = delivery.envelope
        if envelope.type != "request" or not envelope.reply_to:
            return
        key = envelope.idempotency_key or envelope.id
        if (answer := self._stored.get(key)) is not None:
            self._counts.duplicates += 1
            self._stored.move_to_end(key)
            await self._answer(envelope, answer)
        elif (entry := self._open.get(key)) is not None:
            self._counts.duplicates += 1
            if envelope.id in entry.askers or len(entry.askers) < _ASKERS:
                entry.askers[envelope.id] = envelope
                await self._deliver(_answer_to(envelope, "ack", None))
            else:
                await self._refuse(envelope)
        elif self._closing or len(self._open) >= self.window:
            self._counts.refused += 1
            await self._refuse(envelope)
        else:
            self._accept(key, delivery)

    async def close(self) -> None:
        """Refuse what has not begun, cancel what runs, and wait a little for it to end."""
        self._closing = True
        while self._queue:
            await self._turn_away(self._queue.popleft())
        for entry in self._open.values():
            if entry.task is not None:
                entry.task.cancel()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=_PATIENCE)
            for task in late:
                _log.warning("A handler of %r does not end when it is cancelled.", self.address)
                task.cancel()

    async def _turn_away(self, entry: _Entry) -> None:
        del self._open[entry.key]
        for envelope in entry.askers.values():
            await self._refuse(envelope)

    def _accept(self, key: str, delivery: Delivery) -> None:
        envelope = delivery.envelope
        left = envelope.milliseconds_left
        entry = _Entry(
            key=key,
            delivery=delivery,
            ends=None if left is None else self.clock.monotonic() + left / 1000,
            askers={envelope.id: envelope},
        )
        self._counts.accepted += 1
        self._open[key] = entry
        self._queue.append(entry)
        self._start()

    def _start(self) -> None:
        while self._queue and self._counts.running < self.concurrency and not self._closing:
            entry = self._queue.popleft()
            self._counts.running += 1
            task = asyncio.get_running_loop().create_task(
                self._supervise(entry), context=self._context.copy()
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _supervise(self, entry: _Entry) -> None:
        try:
            await self._handle(entry)
        finally:
            self._counts.running -= 1
            self._start()

    async def _handle(self, entry: _Entry) -> None:
        if self._closing:
            await self._turn_away(entry)
            return
        attachment = entry.delivery.attachment
        request = Request(entry.delivery.envelope, attachment.value, entry.ends, self.clock)
        if request.seconds_left <= 0:
            await self._finish(entry, _late("had passed before its turn came"))
            return
        loop = asyncio.get_running_loop()
        entry.task = task = loop.create_task(
            _call(self.handler, request), context=attachment.context
        )
        ended: asyncio.Future[None] = loop.create_future()

        def end(_: object = None) -> None:
            if not ended.done():
                ended.set_result(None)

        task.add_done_callback(end)
        timer = self.clock.call_later(request.seconds_left, end) if entry.ends is not None else None
        try:
            await ended
        finally:
            if timer is not None:
                timer.cancel()
        if not task.done():
            task.cancel()
            # The answer does not wait for a handler that is slow to give up; the mailbox does,
            # because the next request must not run beside it.
            await self._finish(entry, _late("passed; it was cancelled"))
            await asyncio.wait({task})
            _retrieve(task)
        else:
            await self._finish(entry, self._outcome(task))

    def _outcome(self, task: asyncio.Task[Any]) -> _Answer:
        if task.cancelled():
            if self._closing:
                return _error("stopped", "", "the agent was stopped while it worked on this")
            return _error("handler", "CancelledError", "the handler was cancelled")
        error = task.exception()
        if error is not None:
            return _error("handler", type(error).__qualname__, str(error), error)
        result = task.result()
        reply = result if isinstance(result, Reply) else Reply(result)
        try:
            text = json.dumps(reply.payload, allow_nan=False, ensure_ascii=False)
            size = len(text.encode("utf-8", "surrogatepass"))
            check_size(size + _HEADROOM, "The reply")
        except (TypeError, ValueError, RecursionError) as error:
            return _error("handler", type(error).__qualname__, f"its reply cannot be sent: {error}")
        # Read back, so that a tuple or a number as key becomes what the requester would get.
        local = None if reply.local is None else Attachment(value=reply.local)
        return _Answer("reply", json.loads(text), local, size)

    async def _finish(self, entry: _Entry, answer: _Answer) -> None:
        del self._open[entry.key]
        self._stored[entry.key] = answer
        self._counts.handled += 1
        self._counts.stored_bytes += answer.size
        # The oldest are forgotten; the newest stays, however large it is.
        while len(self._stored) > self.seen or (
            self._counts.stored_bytes > _STORED_BYTES and len(self._stored) > 1
        ):
            _, forgotten = self._stored.popitem(last=False)
            self._counts.stored_bytes -= forgotten.size
        for envelope in entry.askers.values():
            await self._answer(envelope, answer)

    async def _answer(self, request: Envelope, answer: _Answer) -> None:
        await self._deliver(_answer_to(request, answer.type, answer.payload), answer.attachment)

    async def _refuse(self, request: Envelope) -> None:
        reason = "is stopping" if self._closing else "has its window full"
        payload = {"code": "refused", "type": "", "detail": reason}
        await self._deliver(_answer_to(request, "error", payload))

    async def _deliver(self, envelope: Envelope, attachment: Attachment | None = None) -> None:
        try:
            await self.send(envelope, attachment)
        except TriforiumError as error:
            # The requester sends again and gets the stored reply then.
            _log.warning("An answer of %r was not sent: %s", self.address, error)


async def _call(handler: Handler, request: Request) -> object:
    handling.set(request.envelope)
    return await handler(request)


def _answer_to(request: Envelope, type_: str, payload: JSON) -> Envelope:
    return Envelope.model_validate(
        {
            "id": f"{request.id[:200]}/{type_}/{request.attempt}",
            "type": type_,
            "sender": request.subject[:256],
            "subject": request.reply_to,
            "correlation": request.correlation or request.id,
            "causation": request.id,
            "trace": request.trace,
            "payload": payload,
        }
    )


def _error(code: str, kind: str, detail: str, error: BaseException | None = None) -> _Answer:
    detail = detail if len(detail) <= _DETAIL else f"{detail[:_DETAIL]}…"
    attachment = None if error is None else Attachment(error=error)
    return _Answer(
        "error", {"code": code, "type": kind, "detail": detail}, attachment, len(detail) + 100
    )


def _late(detail: str) -> _Answer:
    return _error("deadline", "DeadlineExceeded", detail)


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Take the exception of an abandoned task, so that asyncio does not report it as lost."""
    if not task.cancelled():
        task.exception()


def check_serve(concurrency: int, window: int, seen: int) -> None:
    """Refuse bounds that make no mailbox.

    Raises:
        InvalidInput: One of them is below 1.
    """
    if min(concurrency, window, seen) < 1:
        raise InvalidInput("concurrency, window and seen of a mailbox must be at least 1.")
