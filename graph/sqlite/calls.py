"""Calls from an event loop to threads and back, with as little as possible in between.

A `concurrent.futures.Future` wrapped for asyncio takes locks on both sides, so that two threads
that run Python wake each other several times for one answer. A recall asks a store four times.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any


class Call:
    """A job for a thread, and the future of the event loop that waits for its answer."""

    __slots__ = ("_loop", "future", "job")

    def __init__(self, job: Callable[..., Any]) -> None:
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self._loop.create_future()
        self.job = job

    def answer(self, result: Any, problem: BaseException | None = None) -> None:
        """Wake who waits. From any thread; nobody may be left to hear it."""
        with suppress(RuntimeError):  # The loop is closed.
            self._loop.call_soon_threadsafe(self._settle, result, problem)

    def _settle(self, result: Any, problem: BaseException | None) -> None:
        if self.future.done():
            return
        if problem is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(problem)


class Pool:
    """A few threads that run calls. The one that worked last is asked first: its caches are warm.

    Args:
        size: Threads at most; they start when they are needed.
        name: Of the threads, with a number.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._idle: list[queue.SimpleQueue[Call | None]] = []
        self._waiting: deque[Call] = deque()
        self._closed = False

    def waiting(self) -> int:
        """Calls that no thread has taken yet."""
        return len(self._waiting)

    def submit(self, call: Call) -> None:
        """Give a call to a thread, or to the first that will be free."""
        with self._lock:
            if self._idle:
                self._idle.pop().put(call)
            elif len(self._threads) < self._size:
                number = len(self._threads)
                thread = threading.Thread(
                    target=self._run, args=(call,), name=f"{self._name}_{number}", daemon=True
                )
                self._threads.append(thread)
                thread.start()
            else:
                self._waiting.append(call)

    def _run(self, call: Call | None) -> None:
        inbox: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        while call is not None:
            result, problem = None, None
            if not call.future.cancelled():
                try:
                    result = call.job()
                except BaseException as error:
                    problem = error
            done, call = call, None
            # Free before it answers, or the next question would find no thread.
            with self._lock:
                if self._waiting:
                    call = self._waiting.popleft()
                elif not self._closed:
                    self._idle.append(inbox)
                last = call is None and self._closed
            done.answer(result, problem)
            # What was found is not to be kept alive until the next question.
            del done, result, problem
            if call is None and not last:
                call = inbox.get()

    def close(self) -> None:
        """Finish what was accepted, then end the threads. Blocks."""
        with self._lock:
            self._closed = True
            for inbox in self._idle:
                inbox.put(None)
            self._idle.clear()
        for thread in self._threads:
            thread.join()
