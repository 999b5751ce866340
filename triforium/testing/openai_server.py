"""`FakeOpenAIServer`: speaks the protocol of chat completions on a port of this machine.

It lets the real package `openai` be tested without a network: each request gets the next scripted
answer, also the kinds that real servers give on bad days.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server does with one request.

    Attributes:
        text: The content of the answer; None for a message without content.
        status: Of HTTP; anything but 200 is an error with `text` as its message.
        finish_reason: Why the model ended.
        refusal: The model's refusal.
        prompt_tokens: Usage reported.
        completion_tokens: Usage reported.
        headers: More headers, such as ``Retry-After``.
        raw: A body to send as it is, instead of a completion.
        content_type: Of the body.
        wait_for: The answer is held back until this is set, or the client goes away.
        disconnect: Close the connection instead of answering; within a stream, after its pieces.
    """

    text: str | None = ""
    status: int = 200
    finish_reason: str = "stop"
    refusal: str | None = None
    prompt_tokens: int = 7
    completion_tokens: int = 3
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    content_type: str = "application/json"
    wait_for: asyncio.Event | None = None
    disconnect: bool = False


@dataclass(frozen=True, slots=True)
class Received:
    """One request that arrived.

    Attributes:
        path: Such as ``/v1/chat/completions``.
        headers: With names in lower case.
        body: The JSON.
    """

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]


class FakeOpenAIServer:
    """Answers requests by a script, in order. Use it in ``async with``.

    A request beyond the script gets status 400, and the block fails at its end; so does an answer
    that was never asked for.

    Attributes:
        requests: What arrived.
        arrived: Set when there is a first request.
        disconnected: Set when a client went away while it waited for an answer.
    """

    def __init__(self, answers: Iterable[Answer | str | Callable[[str], str]]) -> None:
        """Write the script.

        Args:
            answers: One for each request: an `Answer`, a text, or a function of the prompt (all
                messages joined) that gives the text.
        """
        self._answers = list(answers)
        self._next = 0
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.requests: list[Received] = []
        self.arrived = asyncio.Event()
        self.disconnected = asyncio.Event()

    @property
    def url(self) -> str:
        """To be given as ``base_url``."""
        if self._server is None:
            raise RuntimeError("The server is not open; use it in `async with`.")
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._connections):
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections)
        if error is None and len(self.requests) != len(self._answers):
            raise AssertionError(
                f"The server's script has {len(self._answers)} answers, and "
                f"{len(self.requests)} requests arrived."
            )

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while await self._serve_one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # The client is gone, or the server is being closed; a connection has no third end.
            pass
        finally:
            self._connections.discard(task)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection stays open."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.split(":", 1) for line in head[1:] if line)
        headers = {name.strip().lower(): value.strip() for name, value in pairs}
        body = json.loads(await reader.readexactly(int(headers.get("content-length", "0"))))
        self.requests.append(Received(head[0].split(" ")[1], headers, body))
        self.arrived.set()
        answer = self._take(body)
        if answer.wait_for is not None and not await self._released(answer.wait_for, reader):
            return False
        if body.get("stream") and answer.status == 200 and answer.raw is None:
            await self._stream(answer, writer)
            return False
        if answer.disconnect:
            return False
        data = answer.raw if answer.raw is not None else json.dumps(_body(answer)).encode()
        lines = [
            f"HTTP/1.1 {answer.status} Scripted",
            f"Content-Type: {answer.content_type}",
            f"Content-Length: {len(data)}",
            *(f"{name}: {value}" for name, value in answer.headers.items()),
        ]
        writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + data)
        await writer.drain()
        return True

    def _take(self, body: Mapping[str, Any]) -> Answer:
        number, self._next = self._next, self._next + 1
        if number < len(self._answers):
            scripted = self._answers[number]
            if isinstance(scripted, Answer):
                return scripted
            if isinstance(scripted, str):
                return Answer(scripted)
            return Answer(scripted("\n\n".join(str(one["content"]) for one in body["messages"])))
        return Answer("The script has no answer for this request.", status=400)

    async def _released(self, event: asyncio.Event, reader: asyncio.StreamReader) -> bool:
        """Whether the event was set before the client went away."""
        gone = asyncio.create_task(reader.read(1))
        released = asyncio.create_task(event.wait())
        try:
            await asyncio.wait({gone, released}, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                self.disconnected.set()
                return False
            return True
        finally:
            gone.cancel()
            released.cancel()
            await asyncio.wait({gone, released})

    async def _stream(self, answer: Answer, writer: asyncio.StreamWriter) -> None:
        """Server-sent events, one for each word."""
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
        writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
        words = [word for word in (answer.text or "").split(" ") if word]
        for number, word in enumerate(words):
            _event(writer, _chunk({"content": word if number == 0 else f" {word}"}))
        if answer.disconnect:
            await writer.drain()
            return
        _event(writer, _chunk({}, finish_reason=answer.finish_reason))
        _event(writer, {**_chunk({}), "choices": [], "usage": _usage(answer)})
        _part(writer, b"data: [DONE]\n\n")
        writer.write(b"0\r\n\r\n")
        await writer.drain()


def _usage(answer: Answer) -> dict[str, int]:
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "total_tokens": answer.prompt_tokens + answer.completion_tokens,
    }


def _body(answer: Answer) -> dict[str, Any]:
    if answer.status != 200:
        return {"error": {"message": answer.text, "type": "scripted", "code": None}}
    message = {"role": "assistant", "content": answer.text, "refusal": answer.refusal}
    return {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 0,
        "model": "scripted-1",
        "choices": [{"index": 0, "message": message, "finish_reason": answer.finish_reason}],
        "usage": _usage(answer),
    }


def _chunk(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {
        "id": "chatcmpl-scripted",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "scripted-1",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    }


def _event(writer: asyncio.StreamWriter, data: dict[str, Any]) -> None:
    _part(writer, f"data: {json.dumps(data)}\n\n".encode())


def _part(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
