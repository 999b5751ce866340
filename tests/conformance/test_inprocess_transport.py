"""The in-process transport keeps every promise of a transport, and some of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

import pytest

from triforium.agents.bus import Bus, Reply, Request, Retry, open_bus
from triforium.agents.envelope import Envelope
from triforium.agents.inprocess import InProcessTransport
from triforium.agents.transport import Attachment, Transport
from triforium.errors import (
    BusError,
    DeadlineExceeded,
    DeliveryFailed,
    HandlerError,
    InvalidInput,
    InvalidURL,
)
from triforium.testing.clock import FakeClock, settle
from triforium.testing.lossy import LossyTransport
from triforium.testing.transport_conformance import TransportConformance, lose_first

user: ContextVar[str] = ContextVar("user", default="nobody")


class TestInProcessTransport(TransportConformance):
    @asynccontextmanager
    async def open_transport(self) -> AsyncIterator[Transport]:
        async with InProcessTransport() as transport:
            yield transport


class WireOnly(InProcessTransport):
    """Stands in for a network: nothing goes along, and nothing is said about arrival."""

    reliable = False
    carries_attachments = False

    async def publish(self, envelope: Envelope, attachment: Attachment | None = None) -> bool:
        assert attachment is None
        await super().publish(envelope)
        return True


class TestOverAWire(TransportConformance):
    """The suite also fits a transport that has no process to share."""

    @asynccontextmanager
    async def open_transport(self) -> AsyncIterator[Transport]:
        async with WireOnly() as transport:
            yield transport


async def test_over_a_wire_only_json_goes() -> None:
    async def handler(request: Request) -> Reply:
        if request.payload == "raise":
            raise LookupError("gone")
        return Reply(user.get(), local=object())

    async with WireOnly() as transport, Bus(transport) as bus, bus.serve("team/agent", handler):
        user.set("requester")
        reply = await bus.request("team/agent")
        assert (reply.payload, reply.local) == ("nobody", None)
        with pytest.raises(HandlerError, match="gone") as caught:
            await bus.request("team/agent", "raise")
        assert caught.value.__cause__ is None
        with pytest.raises(InvalidInput, match="network"):
            await bus.request("team/agent", local=object())


async def echo(request: Request) -> Reply:
    return Reply(request.payload, local=request.local)


async def test_handler_runs_in_the_context_of_the_requester() -> None:
    async def handler(request: Request) -> Reply:
        before = user.get()
        user.set("handler")
        await asyncio.sleep(0)
        return Reply([before, user.get()])

    async with open_bus() as bus, bus.serve("team/agent", handler, concurrency=2):

        async def ask(name: str) -> tuple[object, str]:
            user.set(name)
            reply = await bus.request("team/agent")
            return reply.payload, user.get()

        answers = await asyncio.gather(ask("ada"), ask("bob"))
    assert answers[0] == (["ada", "handler"], "ada")
    assert answers[1] == (["bob", "handler"], "bob")
    assert user.get() == "nobody"


async def test_mailbox_does_not_keep_the_context_of_the_first_requester() -> None:
    seen: list[str] = []

    async def handler(request: Request) -> Reply:
        seen.append(user.get())
        return Reply()

    async with open_bus() as bus, bus.serve("team/agent", handler):
        for name in ("ada", "bob"):
            user.set(name)
            await bus.request("team/agent")
    assert seen == ["ada", "bob"]


async def test_objects_go_along_as_they_are() -> None:
    thing = object()
    async with open_bus() as bus, bus.serve("team/agent", echo):
        reply = await bus.request("team/agent", {"a": 1}, local=thing)
    assert reply.local is thing
    assert reply.payload == {"a": 1}


async def test_exception_of_a_handler_is_the_cause() -> None:
    error = LookupError("gone")

    async def handler(request: Request) -> Reply:
        raise error

    async with open_bus() as bus, bus.serve("team/agent", handler):
        with pytest.raises(HandlerError) as caught:
            await bus.request("team/agent")
    assert caught.value.__cause__ is error


async def test_a_slow_handler_costs_two_envelopes() -> None:
    clock = FakeClock()
    finish = asyncio.Event()

    async def handler(request: Request) -> Reply:
        await finish.wait()
        return Reply()

    async with open_bus(clock=clock) as bus, bus.serve("team/agent", handler):
        task = asyncio.create_task(bus.request("team/agent", deadline=1000))
        await clock.advance(999)
        finish.set()
        await task
        assert dict(bus.statistics().sent) == {"request": 1, "reply": 1}


async def test_acknowledged_request_is_not_given_up_while_it_is_worked_on() -> None:
    clock = FakeClock()
    finish = asyncio.Event()
    retry = Retry(attempts=3, first=1, cap=4, jitter=0)

    async def handler(request: Request) -> Reply:
        await finish.wait()
        return Reply("late but there")

    async with InProcessTransport() as inner:
        lossy = LossyTransport(inner, lambda envelope: [0.0], clock=clock)
        async with Bus(lossy, clock=clock, retry=retry) as bus, bus.serve("team/agent", handler):
            task = asyncio.create_task(bus.request("team/agent", deadline=1000))
            await clock.advance(200)
            assert not task.done()
            finish.set()
            assert (await task).payload == "late but there"
            assert bus.statistics().retries > 10
            assert bus.statistics().sent["reply"] == 1


async def test_pauses_grow_and_are_capped() -> None:
    clock = FakeClock()
    sent: list[float] = []
    retry = Retry(attempts=6, first=1, factor=2, cap=5, jitter=0)
    async with InProcessTransport() as inner:
        lossy = LossyTransport(inner, lambda envelope: [], clock=clock)
        async with Bus(lossy, clock=clock, retry=retry) as bus:
            with bus.tap(lambda envelope: sent.append(clock.monotonic() - 1000)):
                task = asyncio.create_task(bus.request("team/agent", deadline=100))
                await clock.advance(50)
            with pytest.raises(DeliveryFailed):
                await task
    assert sent == [0, 1, 3, 7, 12, 17]


async def test_deadline_is_over_all_attempts() -> None:
    clock = FakeClock()
    left: list[int | None] = []
    retry = Retry(attempts=9, first=1, factor=2, jitter=0)
    async with InProcessTransport() as inner:
        lossy = LossyTransport(inner, lose_first(99, "request"), clock=clock)
        async with Bus(lossy, clock=clock, retry=retry) as bus:
            with bus.tap(lambda envelope: left.append(envelope.milliseconds_left)):
                task = asyncio.create_task(bus.request("team/agent", deadline=6))
                await clock.advance(5.9)
                assert not task.done()
                await clock.advance(0.1)
            with pytest.raises(DeadlineExceeded, match="6 s"):
                await task
            assert bus.dead_letters[0].reason == "no answer before the deadline"
    assert left == [6000, 5000, 3000]


async def test_handler_is_cancelled_by_the_clock_of_the_receiver() -> None:
    clock = FakeClock()
    seen: list[object] = []

    async def handler(request: Request) -> Reply:
        seen.append(request.seconds_left)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        return Reply()

    async with open_bus(clock=clock) as bus, bus.serve("team/agent", handler) as mailbox:
        first = asyncio.create_task(bus.request("team/agent", deadline=10))
        second = asyncio.create_task(bus.request("team/agent", deadline=4))
        await clock.advance(9.9)
        assert seen == [10]
        await clock.advance(0.2)
        for task in (first, second):
            with pytest.raises(DeadlineExceeded):
                await task
        # The second had expired in the queue, so it was never begun.
        assert seen == [10, "cancelled"]
        assert mailbox.statistics().handled == 2


async def test_late_handler_keeps_its_mailbox_until_it_ends() -> None:
    clock = FakeClock()
    release = asyncio.Event()
    log: list[str] = []

    async def handler(request: Request) -> Reply:
        log.append(f"begin {request.payload}")
        try:
            await release.wait()
        except asyncio.CancelledError:
            await release.wait()
        log.append(f"end {request.payload}")
        return Reply()

    async with open_bus(clock=clock) as bus, bus.serve("team/agent", handler):
        slow = asyncio.create_task(bus.request("team/agent", 1, deadline=1))
        await clock.advance(2)
        with pytest.raises(DeadlineExceeded):
            await slow
        following = asyncio.create_task(bus.request("team/agent", 2, deadline=60))
        await settle()
        assert log == ["begin 1"]
        release.set()
        await following
    assert log == ["begin 1", "end 1", "begin 2", "end 2"]


async def test_nobody_serves_then_somebody_does() -> None:
    clock = FakeClock()
    async with open_bus(clock=clock) as bus:
        task = asyncio.create_task(bus.request("team/agent", 5, deadline=60))
        await clock.advance(0.1)
        async with bus.serve("team/agent", echo):
            await clock.advance(5)
            assert (await task).payload == 5


async def test_nobody_serves() -> None:
    clock = FakeClock()
    async with open_bus(clock=clock) as bus:
        task = asyncio.create_task(bus.request("team/agent", deadline=600))
        await clock.advance(60)
        with pytest.raises(DeliveryFailed, match="nobody serves this address"):
            await task


async def test_stored_replies_are_bounded_and_the_oldest_go_first() -> None:
    runs: list[str] = []

    async def handler(request: Request) -> Reply:
        runs.append(request.envelope.id)
        return Reply()

    async with open_bus() as bus, bus.serve("team/agent", handler, seen=2) as mailbox:
        for id_ in ("a", "b", "a", "c", "a", "b"):
            await bus.request("team/agent", id=id_)
        assert mailbox.statistics().stored == 2
    assert runs == ["a", "b", "c", "b"]


async def test_stopped_before_it_began() -> None:
    began: list[object] = []

    async def handler(request: Request) -> Reply:
        began.append(request.payload)
        await asyncio.Event().wait()
        return Reply()

    clock = FakeClock()
    async with open_bus(clock=clock) as bus:
        async with bus.serve("team/agent", handler):
            task = asyncio.create_task(bus.request("team/agent", deadline=600))
            await asyncio.sleep(0)
        assert began == []
        await clock.advance(60)
        with pytest.raises(DeliveryFailed, match="nobody serves"):
            await task


async def test_a_tap_that_fails_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def bad(envelope: object) -> None:
        raise RuntimeError("a bad tap")

    async with open_bus() as bus, bus.serve("team/agent", echo):
        with bus.tap(bad):
            assert (await bus.request("team/agent", 1)).payload == 1
    assert "tap" in caplog.text


async def test_closing_the_bus_ends_all_waiting() -> None:
    clock = FakeClock()
    async with InProcessTransport() as inner:
        lossy = LossyTransport(inner, lambda envelope: [], clock=clock)
        async with Bus(lossy, clock=clock) as bus:
            task = asyncio.create_task(bus.request("team/agent", deadline=60))
            await settle()
        with pytest.raises(DeliveryFailed, match="closed"):
            await task
        with pytest.raises(BusError, match="not open"):
            await bus.request("team/agent")
        assert inner.statistics().subscriptions == 0


async def test_bad_input_is_refused_before_anything_is_sent() -> None:
    async with open_bus() as bus, bus.serve("team/agent", echo):
        with pytest.raises(InvalidInput, match="payload"):
            await bus.request("team/agent", {"x": object()})  # type: ignore[dict-item]
        with pytest.raises(InvalidInput, match="not plain JSON"):
            await bus.request("team/agent", float("nan"))
        with pytest.raises(InvalidInput, match="not an address"):
            await bus.request("team/+")
        with pytest.raises(InvalidInput, match="served"):
            async with bus.serve("team/agent", echo):
                pass
        with pytest.raises(InvalidInput, match="at least 1"):
            async with bus.serve("team/other", echo, window=0):
                pass
        with pytest.raises(DeadlineExceeded):
            await bus.request("team/agent", deadline=0)
        assert bus.statistics().transport.published == {}
        assert bus.statistics().in_flight == 0


async def test_same_id_twice_at_once_is_refused() -> None:
    async with open_bus() as bus, bus.serve("team/agent", echo):
        task = asyncio.create_task(bus.request("team/agent", id="r"))
        await asyncio.sleep(0)
        with pytest.raises(InvalidInput, match="waiting"):
            await bus.request("team/agent", id="r")
        await task


@pytest.mark.parametrize("url", ["", "mqtt://broker", "inprocess", "inprocess://x"])
def test_unknown_urls(url: str) -> None:
    with pytest.raises(InvalidURL, match="inprocess://"):
        open_bus(url)
