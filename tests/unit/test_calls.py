"""Calls between an event loop and the threads of a store."""

from __future__ import annotations

import asyncio
import threading

import pytest

from triforium.graph.sqlite.calls import Call, Pool


@pytest.fixture
def pool() -> Pool:
    return Pool(2, "test")


async def test_one_after_the_other_needs_one_thread(pool: Pool) -> None:
    names = set()
    for _ in range(50):
        call = Call(lambda: threading.current_thread().name)
        pool.submit(call)
        names.add(await call.future)
    assert names == {"test_0"}
    pool.close()


async def test_no_more_threads_than_allowed_and_every_call_is_answered(pool: Pool) -> None:
    running, most = set(), 0
    lock = threading.Lock()
    open_ = threading.Event()

    def job() -> int:
        nonlocal most
        with lock:
            running.add(threading.get_ident())
            most = max(most, len(running))
        open_.wait(10)
        with lock:
            running.discard(threading.get_ident())
        return len(running)

    calls = [Call(job) for _ in range(20)]
    for call in calls:
        pool.submit(call)
    assert pool.waiting() == 18
    open_.set()
    assert len(await asyncio.gather(*(call.future for call in calls))) == 20
    assert most <= 2
    assert pool.waiting() == 0
    pool.close()


async def test_an_error_reaches_who_waits_and_the_thread_goes_on(pool: Pool) -> None:
    def fail() -> None:
        raise KeyError("gone")

    failing = Call(fail)
    pool.submit(failing)
    with pytest.raises(KeyError, match="gone"):
        await failing.future
    fine = Call(lambda: 1)
    pool.submit(fine)
    assert await fine.future == 1
    pool.close()


async def test_a_call_that_was_cancelled_before_its_turn_is_not_made(pool: Pool) -> None:
    open_ = threading.Event()
    blocking = [Call(lambda: open_.wait(10)) for _ in range(2)]
    made = []
    cancelled = Call(lambda: made.append(1))
    for call in (*blocking, cancelled):
        pool.submit(call)
    cancelled.future.cancel()
    open_.set()
    await asyncio.gather(*(call.future for call in blocking))
    last = Call(lambda: 2)
    pool.submit(last)
    assert await last.future == 2
    assert made == []
    pool.close()


async def test_close_finishes_what_was_accepted(pool: Pool) -> None:
    open_ = threading.Event()
    calls = [Call(lambda: open_.wait(10)) for _ in range(6)]
    for call in calls:
        pool.submit(call)
    closing = asyncio.create_task(asyncio.to_thread(pool.close))
    open_.set()
    assert all(await asyncio.gather(*(call.future for call in calls)))
    await closing
    pool.close()


def test_an_answer_for_a_loop_that_is_gone_is_dropped() -> None:
    async def make() -> Call:
        return Call(lambda: 1)

    asyncio.run(make()).answer(1)
