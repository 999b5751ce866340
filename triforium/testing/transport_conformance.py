"""What every transport promises, and what the bus promises on top of it; one test for each.

Subclass `TransportConformance`, give it `open_transport`, and let pytest collect it::

    class TestMyTransport(TransportConformance):
        @asynccontextmanager
        async def open_transport(self):
            async with MyTransport(...) as transport:
                yield transport

It needs pytest-asyncio in auto mode. Addresses are unique for each test, so that all of them may
share one broker.
"""

from __future__ import annotations

import asyncio
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

import pytest

from ..agents.bus import Bus, Reply, Request, Retry
from ..agents.envelope import MAX_BYTES, Envelope, make_envelope
from ..agents.transport import Delivery, Transport
from ..errors import (
    BusError,
    DeadlineExceeded,
    DeliveryFailed,
    HandlerError,
    InvalidInput,
    WindowFull,
)
from .lossy import LossyTransport, seeded_plan

Result = TypeVar("Result")

_PATIENCE = 10.0
"""Seconds after which a test gives up; none of them waits that long when it passes."""
_RETRY = Retry(attempts=8, first=0.005, cap=0.05)


def event(subject: str, payload: object = None, **fields: Any) -> Envelope:
    """An event for tests."""
    made = {"id": uuid.uuid4().hex, "type": "event", "sender": "test", "subject": subject}
    return make_envelope({**made, "payload": payload, **fields})


class Inbox:
    """A receiver that keeps what arrives."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Envelope] = asyncio.Queue()

    async def __call__(self, delivery: Delivery) -> None:
        """Take a delivery."""
        self._queue.put_nowait(delivery.envelope)

    async def next(self) -> Envelope:
        """The next envelope; fails when none comes."""
        envelope: Envelope = await soon(self._queue.get())
        return envelope

    @property
    def empty(self) -> bool:
        """Whether nothing more has arrived."""
        return self._queue.empty()


async def soon(awaitable: Any) -> Any:
    """Await something that must happen."""
    return await asyncio.wait_for(awaitable, _PATIENCE)


def lose_first(count: int, type_: str) -> Callable[[Envelope], Sequence[float]]:
    """A plan that loses the first `count` envelopes of a type."""
    left = [count]

    def plan(envelope: Envelope) -> Sequence[float]:
        if envelope.type == type_ and left[0] > 0:
            left[0] -= 1
            return []
        return [0.0]

    return plan


class TransportConformance(ABC):
    """The suite. Docstrings are the promises, in words."""

    @abstractmethod
    def open_transport(self) -> AbstractAsyncContextManager[Transport]:
        """An open transport of its own, for the length of the block."""

    @pytest.fixture
    async def transport(self) -> AsyncIterator[Transport]:
        """The transport under test."""
        async with self.open_transport() as transport:
            yield transport

    @pytest.fixture
    async def bus(self, transport: Transport) -> AsyncIterator[Bus]:
        """A bus on the transport under test."""
        async with Bus(transport, retry=_RETRY) as bus:
            yield bus

    @pytest.fixture
    def address(self) -> str:
        """An address that no other test uses."""
        return f"test-{uuid.uuid4().hex}/agent"

    @asynccontextmanager
    async def lossy(
        self,
        transport: Transport,
        plan: Callable[[Envelope], Sequence[float]],
        retry: Retry = _RETRY,
    ) -> AsyncIterator[Bus]:
        """A bus on a transport that behaves as planned."""
        async with LossyTransport(transport, plan) as lossy, Bus(lossy, retry=retry) as bus:
            yield bus

    # The transport --------------------------------------------------------------------------

    async def test_arrives_as_it_was_sent(self, transport: Transport, address: str) -> None:
        """What is delivered equals what was published, whatever JSON it holds."""
        payload = {"text": "Grüße 🙂\u0000\n", "n": [1, -2.5, 1e300, True, None], "deep": {"": []}}
        sent = event(address, payload, trace=f"00-{'a' * 32}-{'b' * 16}-01", milliseconds_left=7)
        inbox = Inbox()
        await transport.subscribe(address, inbox)
        await transport.publish(sent)
        assert await inbox.next() == sent

    async def test_shares_nothing_mutable(self, transport: Transport, address: str) -> None:
        """A receiver that changes a payload changes nobody else's."""
        first, second = Inbox(), Inbox()
        await transport.subscribe(address, first)
        await transport.subscribe(address, second)
        sent = event(address, {"items": [1]})
        await transport.publish(sent)
        received: Any = (await first.next()).payload
        received["items"].append(2)
        assert sent.payload == {"items": [1]}
        assert (await second.next()).payload == {"items": [1]}

    async def test_every_subscription_receives(self, transport: Transport, address: str) -> None:
        """Every matching subscription receives its own delivery."""
        inboxes = [Inbox() for _ in range(3)]
        for inbox, pattern in zip(
            inboxes,
            (address, f"{address.split('/')[0]}/+", f"{address.split('/')[0]}/#"),
            strict=True,
        ):
            await transport.subscribe(pattern, inbox)
        await transport.publish(event(address, 1))
        assert [(await inbox.next()).payload for inbox in inboxes] == [1, 1, 1]

    @pytest.mark.parametrize(
        ("pattern", "received"),
        [
            ("{0}/a", [1]),
            ("{0}/+", [1, 2]),
            ("{0}/+/c", [3]),
            ("{0}/#", [0, 1, 2, 3]),
            ("{0}/A", []),
        ],
    )
    async def test_wildcards(
        self, transport: Transport, address: str, pattern: str, received: list[int]
    ) -> None:
        """Wildcards are those of MQTT 5: + is one level, # is any number; case matters."""
        root = address.split("/")[0]
        inbox, end = Inbox(), Inbox()
        await transport.subscribe(pattern.format(root), inbox)
        await transport.subscribe(f"{root}-end", end)
        for number, subject in enumerate((root, f"{root}/a", f"{root}/b", f"{root}/b/c")):
            await transport.publish(event(subject, number))
        await transport.publish(event(f"{root}-end"))
        assert [(await inbox.next()).payload for _ in received] == received
        await end.next()
        assert inbox.empty

    async def test_keeps_order(self, transport: Transport, address: str) -> None:
        """What one publisher sends to one address arrives in the order of publishing."""
        inbox = Inbox()
        await transport.subscribe(address, inbox)
        for number in range(100):
            await transport.publish(event(address, number))
        assert [(await inbox.next()).payload for _ in range(100)] == list(range(100))

    async def test_cancelled_receives_no_more(self, transport: Transport, address: str) -> None:
        """After `cancel` returned nothing arrives; cancelling twice does nothing."""
        inbox, other = Inbox(), Inbox()
        subscription = await transport.subscribe(address, inbox)
        await transport.subscribe(address, other)
        await subscription.cancel()
        await subscription.cancel()
        await transport.publish(event(address))
        await other.next()
        assert inbox.empty

    async def test_keeps_nothing_for_later(self, transport: Transport, address: str) -> None:
        """A subscription does not receive what was published before it."""
        await transport.publish(event(address, "before"))
        inbox = Inbox()
        await transport.subscribe(address, inbox)
        await transport.publish(event(address, "after"))
        assert (await inbox.next()).payload == "after"

    async def test_receiver_that_raises(self, transport: Transport, address: str) -> None:
        """A receiver that raises harms neither the publisher nor other receivers."""

        async def bad(delivery: Delivery) -> None:
            raise RuntimeError("a bad receiver")

        inbox = Inbox()
        await transport.subscribe(address, bad)
        await transport.subscribe(address, inbox)
        await transport.publish(event(address, 1))
        await transport.publish(event(address, 2))
        assert [(await inbox.next()).payload for _ in range(2)] == [1, 2]

    async def test_too_large(self, transport: Transport, address: str) -> None:
        """What is too large for the wire is refused with its size, and harms nothing."""
        with pytest.raises(InvalidInput, match="bytes"):
            await transport.publish(event(address, "x" * MAX_BYTES))
        inbox = Inbox()
        await transport.subscribe(address, inbox)
        await transport.publish(event(address, "x" * (MAX_BYTES - 2000)))
        assert len(str((await inbox.next()).payload)) == MAX_BYTES - 2000

    @pytest.mark.parametrize("pattern", ["", "/a", "a//b", "a/#/b", "a+", "a b", "x" * 2000])
    async def test_no_pattern(self, transport: Transport, pattern: str) -> None:
        """What is no pattern is refused."""
        with pytest.raises(InvalidInput, match="not an address"):
            await transport.subscribe(pattern, Inbox())

    async def test_counts(self, transport: Transport, address: str) -> None:
        """Statistics count what was published, delivered, and is subscribed."""
        inbox = Inbox()
        before = transport.statistics()
        subscription = await transport.subscribe(address, inbox)
        await transport.publish(event(address))
        await inbox.next()
        after = transport.statistics()
        assert after.published["event"] - before.published.get("event", 0) == 1
        assert after.delivered - before.delivered == 1
        assert after.subscriptions - before.subscriptions == 1
        assert after.bytes > before.bytes
        await subscription.cancel()
        assert transport.statistics().subscriptions == before.subscriptions

    async def test_closed(self, address: str) -> None:
        """After it is closed, publishing and subscribing raise `BusError`."""
        async with self.open_transport() as transport:
            pass
        with pytest.raises(BusError, match="not open"):
            await transport.publish(event(address))
        with pytest.raises(BusError, match="not open"):
            await transport.subscribe(address, Inbox())

    # The bus on it --------------------------------------------------------------------------

    async def test_two_envelopes(self, transport: Transport, address: str) -> None:
        """An answered request costs two envelopes, which belong together."""
        seen: list[Envelope] = []

        async def handler(request: Request) -> Reply:
            return Reply({"double": request.payload["n"] * 2})

        async with Bus(transport, retry=Retry(first=5)) as bus, bus.serve(address, handler):
            with bus.tap(seen.append):
                reply = await bus.request(address, {"n": 21}, id="r1", sender="me", deadline=5)
        assert reply.payload == {"double": 42}
        question, answer = seen
        assert (question.type, answer.type) == ("request", "reply")
        assert (question.id, question.sender, question.subject) == ("r1", "me", address)
        assert (answer.correlation, answer.causation, answer.sender) == ("r1", "r1", address)
        assert answer.subject == question.reply_to

    @pytest.mark.parametrize("lost", ["request", "reply"])
    async def test_loss(self, transport: Transport, address: str, lost: str) -> None:
        """A lost request or reply is made good by sending again; the handler runs once."""
        runs: list[str] = []

        async def handler(request: Request) -> Reply:
            runs.append(request.envelope.id)
            return Reply("done")

        async with self.lossy(transport, lose_first(3, lost)) as bus:
            async with bus.serve(address, handler):
                assert (await soon(bus.request(address, deadline=5, id="r"))).payload == "done"
            statistics = bus.statistics()
        assert runs == ["r"]
        assert statistics.retries == 3
        assert statistics.duplicates == (3 if lost == "reply" else 0)
        assert statistics.dead_letters == 0

    async def test_duplicate_while_running(self, transport: Transport, address: str) -> None:
        """A duplicate that arrives while the handler runs does not start it again."""
        runs = 0
        repeated = asyncio.Event()

        async def handler(request: Request) -> Reply:
            nonlocal runs
            runs += 1
            await repeated.wait()
            return Reply(runs)

        def watch(envelope: Envelope) -> None:
            if envelope.type == "ack":
                repeated.set()

        async with self.lossy(transport, lambda envelope: [0.0, 0.0]) as bus:
            with bus.tap(watch):
                async with bus.serve(address, handler, concurrency=4):
                    assert (await soon(bus.request(address, deadline=5))).payload == 1
        assert runs == 1

    async def test_same_id_later(self, bus: Bus, address: str) -> None:
        """The same id, or idempotency key, asked again gets the stored reply."""
        runs = 0

        async def handler(request: Request) -> Reply:
            nonlocal runs
            runs += 1
            return Reply(runs)

        async with bus.serve(address, handler):
            answers = [
                await bus.request(address, id="a", idempotency_key="k", deadline=5),
                await bus.request(address, id="a", idempotency_key="k", deadline=5),
                await bus.request(address, id="b", idempotency_key="k", deadline=5),
                await bus.request(address, id="c", deadline=5),
            ]
        assert [answer.payload for answer in answers] == [1, 1, 1, 2]

    @pytest.mark.parametrize("seed", [1, 2, 3])
    async def test_chaos(self, transport: Transport, address: str, seed: int) -> None:
        """Under loss, doubling and reordering each request is handled and answered once."""
        runs: list[int] = []

        async def handler(request: Request) -> Reply:
            runs.append(request.payload)
            return Reply(request.payload + 1000)

        plan = seeded_plan(seed, drop=0.2, duplicate=0.3, delay=0.3, longest=0.02)
        # With 60 requests some lose many copies in a row; giving up is another test's matter.
        patient = Retry(attempts=100, first=_RETRY.first, cap=_RETRY.cap)
        async with self.lossy(transport, plan, patient) as bus, bus.serve(address, handler):
            answers = await soon(
                asyncio.gather(*(bus.request(address, n, id=f"{n}", deadline=9) for n in range(60)))
            )
        assert [answer.payload for answer in answers] == [n + 1000 for n in range(60)]
        assert sorted(runs) == list(range(60))

    async def test_dead_letter(self, transport: Transport, address: str) -> None:
        """When no attempt is answered the sender gets `DeliveryFailed`, and a dead letter."""
        async with self.lossy(transport, lambda envelope: []) as bus:
            with pytest.raises(DeliveryFailed, match="no answer came back") as caught:
                await soon(bus.request(address, {"n": 1}, id="r", deadline=9))
            assert vars(caught.value)["attempts"] == _RETRY.attempts
            (letter,) = bus.dead_letters
        assert (letter.envelope.id, letter.envelope.payload) == ("r", {"n": 1})
        assert (letter.reason, letter.sent) == ("no answer came back", _RETRY.attempts)

    async def test_in_order(self, bus: Bus, address: str) -> None:
        """One mailbox for each address: requests are handled in order, one at a time."""
        handled: list[int] = []
        running = 0

        async def handler(request: Request) -> Reply:
            nonlocal running
            running += 1
            assert running == 1
            await asyncio.sleep(0)
            handled.append(request.payload)
            running -= 1
            return Reply()

        async with bus.serve(address, handler):
            await soon(
                asyncio.gather(*(bus.request(address, number, deadline=9) for number in range(30)))
            )
        assert handled == list(range(30))

    async def test_concurrency(self, bus: Bus, address: str) -> None:
        """With more concurrency as many handlers run side by side, and no more."""
        running = most = 0
        meet = asyncio.Barrier(3)

        async def handler(request: Request) -> Reply:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await meet.wait()
            running -= 1
            return Reply()

        async with bus.serve(address, handler, concurrency=3):
            await soon(asyncio.gather(*(bus.request(address, deadline=9) for _ in range(9))))
        assert most == 3

    async def test_window(self, bus: Bus, address: str) -> None:
        """A request beyond the window is refused, tried again, and not lost."""
        refused = asyncio.Event()

        async def handler(request: Request) -> Reply:
            await refused.wait()
            return Reply(request.payload)

        def watch(envelope: Envelope) -> None:
            if envelope.type == "error":
                refused.set()

        with bus.tap(watch):
            async with bus.serve(address, handler, window=2):
                answers = await soon(
                    asyncio.gather(*(bus.request(address, n, deadline=9) for n in range(5)))
                )
        assert [answer.payload for answer in answers] == [0, 1, 2, 3, 4]
        assert bus.statistics().refused >= 1
        assert bus.dead_letters == ()

    async def test_window_stays_full(self, bus: Bus, address: str) -> None:
        """A request that is refused until its deadline raises `WindowFull`."""
        started, forever = asyncio.Event(), asyncio.Event()

        async def handler(request: Request) -> Reply:
            started.set()
            await forever.wait()
            return Reply()

        async with bus.serve(address, handler, window=1):
            first = asyncio.create_task(bus.request(address, deadline=9))
            await soon(started.wait())
            with pytest.raises(WindowFull, match="took no more requests"):
                await soon(bus.request(address, deadline=0.1))
            forever.set()
            await soon(first)

    async def test_handler_raises(self, bus: Bus, address: str) -> None:
        """What a handler raises arrives as `HandlerError` with its type and message."""

        async def handler(request: Request) -> Reply:
            raise KeyError("no such shop")

        async with bus.serve(address, handler):
            with pytest.raises(HandlerError, match="no such shop") as caught:
                await bus.request(address, deadline=5)
            with pytest.raises(HandlerError):
                await bus.request(address, deadline=5)
        facts = vars(caught.value)
        assert (facts["cause_type"], facts["detail"]) == ("KeyError", "'no such shop'")
        assert bus.dead_letters == ()

    async def test_deadline(self, bus: Bus, address: str) -> None:
        """A handler that is too slow is cancelled, and the mailbox goes on."""
        cancelled = asyncio.Event()

        async def handler(request: Request) -> Reply:
            if request.payload == "quick":
                return Reply("done")
            assert 0 < request.seconds_left <= 0.1
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
            return Reply()

        async with bus.serve(address, handler):
            with pytest.raises(DeadlineExceeded, match=address):
                await soon(bus.request(address, "slow", deadline=0.1))
            assert (await soon(bus.request(address, "quick", deadline=5))).payload == "done"
            assert cancelled.is_set()

    async def test_requester_cancelled(self, bus: Bus, address: str) -> None:
        """A cancelled requester stops waiting; the handler goes on, and its reply is stored."""
        started, finish = asyncio.Event(), asyncio.Event()

        async def handler(request: Request) -> Reply:
            started.set()
            await finish.wait()
            return Reply("kept")

        async with bus.serve(address, handler):
            task = asyncio.create_task(bus.request(address, id="r", deadline=9))
            await soon(started.wait())
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert bus.statistics().in_flight == 0
            started.clear()
            finish.set()
            assert (await soon(bus.request(address, id="r", deadline=9))).payload == "kept"
            assert not started.is_set()

    async def test_stopped(self, bus: Bus, address: str) -> None:
        """When an agent is stopped, those who wait for it learn so at once."""
        started = asyncio.Event()

        async def handler(request: Request) -> Reply:
            started.set()
            await asyncio.Event().wait()
            return Reply()

        async with bus.serve(address, handler):
            running = asyncio.create_task(bus.request(address, 1, deadline=60))
            waiting = asyncio.create_task(bus.request(address, 2, deadline=60))
            await soon(started.wait())
        with pytest.raises(DeliveryFailed, match="stopped"):
            await soon(running)
        with pytest.raises(DeliveryFailed):
            await soon(waiting)

    async def test_events(self, bus: Bus, address: str) -> None:
        """Events reach every subscriber; one that finds the buffer full is dropped and counted."""
        async with bus.subscribe(address, buffer=2) as events, bus.subscribe(address) as all_events:
            for number in range(4):
                await bus.emit(address, number)
            every = [(await soon(anext(all_events))).payload for _ in range(4)]
            some = [(await soon(anext(events))).payload for _ in range(2)]
        assert every == [0, 1, 2, 3]
        assert some == [0, 1]
        assert bus.statistics().dropped_events == 2

    async def test_cause_and_trace(self, bus: Bus, address: str) -> None:
        """What is sent while a request is handled names it as cause, and carries its trace."""
        trace = f"00-{'c' * 32}-{'d' * 16}-01"
        seen: dict[str, Envelope] = {}

        async def inner(request: Request) -> Reply:
            return Reply()

        async def outer(request: Request) -> Reply:
            return await bus.request(f"{address}/inner", id="second", deadline=5)

        with bus.tap(lambda envelope: seen.setdefault(envelope.id, envelope)):
            async with bus.serve(address, outer), bus.serve(f"{address}/inner", inner):
                await bus.request(address, id="first", trace=trace, deadline=5)
        assert seen["first"].causation == ""
        assert seen["second"].causation == "first"
        assert {envelope.trace for envelope in seen.values()} == {trace}

    async def test_reply_that_cannot_be_sent(self, bus: Bus, address: str) -> None:
        """A reply that is not JSON, or too large, is an error reply, not silence."""

        async def handler(request: Request) -> Reply:
            return Reply({1, 2} if request.payload == "set" else "x" * MAX_BYTES)

        async with bus.serve(address, handler):
            with pytest.raises(HandlerError, match="cannot be sent"):
                await soon(bus.request(address, "set", deadline=5))
            with pytest.raises(HandlerError, match="bytes"):
                await soon(bus.request(address, "large", deadline=5))
