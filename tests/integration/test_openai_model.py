"""The real package `openai` against a small server that speaks its protocol."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pydantic import BaseModel, Field

from triforium.agents.models import Completion, Message, Usage, forbid_real_models, parse_model
from triforium.agents.openai_model import LONGEST_WAIT, OpenAIModel
from triforium.errors import (
    DeadlineExceeded,
    InvalidModelOutput,
    ModelRejected,
    ModelUnavailable,
)
from triforium.testing.openai_server import Answer, FakeOpenAIServer

KEY = "sk-very-secret-0123456789"
HELLO = [Message("system", "Be brief."), Message("user", "Hello")]


class City(BaseModel):
    name: str
    people: int = Field(ge=0)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


class Waits(list[float]):
    """Stands in for `asyncio.sleep` and keeps what it was asked for."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


@asynccontextmanager
async def serving(
    *answers: Answer | str, retries: int = 3, api_key: str | None = KEY
) -> AsyncIterator[tuple[OpenAIModel, FakeOpenAIServer, Waits]]:
    waits = Waits()
    async with FakeOpenAIServer(answers) as server:
        model = OpenAIModel(
            "tiny", base_url=server.url, api_key=api_key, retries=retries, sleep=waits
        )
        try:
            yield model, server, waits
        finally:
            await model.close()


async def test_answer() -> None:
    async with serving("Hi.") as (model, server, _):
        completion = await model.complete(HELLO, max_tokens=9, temperature=0.5)
    assert (completion.text, completion.parsed, completion.model) == ("Hi.", None, "scripted-1")
    assert completion.usage == Usage(7, 3, 1)
    assert completion.finish_reason == "stop"
    assert completion.seconds > 0
    (request,) = server.requests
    assert request.path == "/v1/chat/completions"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.body == {
        "model": "tiny",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
        ],
        "max_tokens": 9,
        "temperature": 0.5,
    }


async def test_structured_output() -> None:
    async with serving('{"name": "Rome", "people": 3}') as (model, server, _):
        completion = await model.complete(HELLO, returns=City)
    assert completion.parsed == City(name="Rome", people=3)
    format_ = server.requests[0].body["response_format"]
    assert format_["type"] == "json_schema"
    assert format_["json_schema"]["name"] == "City"
    assert format_["json_schema"]["strict"] is True
    assert format_["json_schema"]["schema"]["additionalProperties"] is False


async def test_fenced_json_is_read() -> None:
    async with serving('```json\n{"name": "Rome", "people": 3}\n```') as (model, _, _):
        completion = await model.complete(HELLO, returns=City)
    assert completion.parsed == City(name="Rome", people=3)


async def test_one_repair() -> None:
    async with serving('{"name": "Rome"}', '{"name": "Rome", "people": 3}') as (model, server, _):
        completion = await model.complete(HELLO, returns=City)
    assert completion.parsed == City(name="Rome", people=3)
    assert completion.usage == Usage(14, 6, 2, invalid=1)
    told = server.requests[1].body["messages"][2:]
    assert told[0] == {"role": "assistant", "content": '{"name": "Rome"}'}
    assert "people: Field required" in told[1]["content"]


async def test_no_second_repair() -> None:
    async with serving("Rome!", '{"name": "Rome", "people": -1}') as (model, _, _):
        with pytest.raises(InvalidModelOutput, match=r"twice.*people") as caught:
            await model.complete(HELLO, returns=City)
    assert vars(caught.value)["usage"] == Usage(14, 6, 2, invalid=2)


@pytest.mark.parametrize("text", ["", "  \n", None])
@pytest.mark.parametrize("returns", [None, City])
async def test_empty_answer(text: str | None, returns: type[BaseModel] | None) -> None:
    async with serving(Answer(text)) as (model, _, _):
        with pytest.raises(InvalidModelOutput, match="answered nothing"):
            await model.complete(HELLO, returns=returns)


async def test_cut_off() -> None:
    async with serving(Answer("It beg", finish_reason="length")) as (model, _, _):
        with pytest.raises(InvalidModelOutput, match="max_tokens") as caught:
            await model.complete(HELLO, max_tokens=2)
    assert vars(caught.value)["text"] == "It beg"
    assert vars(caught.value)["usage"].calls == 1


async def test_refusal() -> None:
    async with serving(Answer(None, refusal="I will not.")) as (model, _, _):
        with pytest.raises(ModelRejected, match=r"refuses: I will not\."):
            await model.complete(HELLO)


async def test_content_filter() -> None:
    async with serving(Answer("", finish_reason="content_filter")) as (model, _, _):
        with pytest.raises(ModelRejected, match="content filter"):
            await model.complete(HELLO)


async def test_rate_limit_then_success() -> None:
    busy = Answer("Slow down.", status=429, headers={"Retry-After": "3"})
    async with serving(busy, "Hi.") as (model, _, waits):
        completion = await model.complete(HELLO)
    assert completion.text == "Hi."
    assert completion.usage == Usage(7, 3, 1, retries=1)
    assert waits == [3.0]


async def test_retry_after_is_capped() -> None:
    busy = Answer("Slow down.", status=503, headers={"Retry-After": "86400"})
    async with serving(busy, "Hi.") as (model, _, waits):
        await model.complete(HELLO)
    assert waits == [LONGEST_WAIT]


async def test_server_errors_until_retries_are_used_up() -> None:
    async with serving(*[Answer("Oops.", status=500)] * 4) as (model, server, waits):
        with pytest.raises(ModelUnavailable, match="500") as caught:
            await model.complete(HELLO)
    assert len(server.requests) == 4
    assert len(waits) == 3
    assert waits == sorted(waits)
    assert caught.value.retryable


@pytest.mark.parametrize(
    "answer",
    [
        Answer(disconnect=True),
        Answer(raw=b'{"choices": [', content_type="application/json"),
        Answer(raw=b"<html>Welcome</html>", content_type="text/html"),
    ],
    ids=["disconnect", "malformed", "html"],
)
async def test_what_is_no_completion(answer: Answer) -> None:
    async with serving(answer, answer, retries=1) as (model, _, waits):
        with pytest.raises(ModelUnavailable, match=r"cannot be reached|no chat completion"):
            await model.complete(HELLO)
    assert len(waits) == 1


async def test_completion_without_choices() -> None:
    async with serving(Answer(raw=b"{}")) as (model, _, _):
        with pytest.raises(InvalidModelOutput, match="without a choice"):
            await model.complete(HELLO)


async def test_nobody_listens() -> None:
    async with FakeOpenAIServer([]) as server:
        url = server.url
    model = OpenAIModel("tiny", base_url=url, api_key=KEY, retries=0)
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        await model.complete(HELLO)
    await model.close()


@pytest.mark.parametrize(
    ("status", "hint"),
    [(400, "Bad"), (401, "key"), (403, "may not use"), (404, "name of the model"), (422, "Bad")],
)
async def test_rejected(status: int, hint: str) -> None:
    async with serving(Answer("Bad words.", status=status)) as (model, _, waits):
        with pytest.raises(ModelRejected, match=hint) as caught:
            await model.complete(HELLO)
    assert waits == []
    assert not caught.value.retryable
    assert vars(caught.value)["status"] == status


async def test_deadline_is_over_all_attempts() -> None:
    never = asyncio.Event()
    answers = (Answer("Oops.", status=500), Answer("late", wait_for=never))
    async with serving(*answers) as (model, server, _):
        with pytest.raises(DeadlineExceeded, match=r"0\.3 s"):
            await model.complete(HELLO, deadline=0.3)
        await asyncio.wait_for(server.disconnected.wait(), 30)


async def test_cancelling_closes_the_request() -> None:
    never = asyncio.Event()
    async with serving(Answer("late", wait_for=never)) as (model, server, _):
        task = asyncio.create_task(model.complete(HELLO))
        await asyncio.wait_for(server.arrived.wait(), 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.disconnected.wait(), 30)


async def test_many_at_once() -> None:
    async with serving(*["Hi."] * 20) as (model, _, _):
        answers = await asyncio.gather(*(model.complete(HELLO) for _ in range(20)))
    assert [answer.text for answer in answers] == ["Hi."] * 20


async def test_stream() -> None:
    done: list[Completion] = []
    async with serving("one two three") as (model, server, _):
        pieces = [piece async for piece in model.stream(HELLO, on_complete=done.append)]
    assert pieces == ["one", " two", " three"]
    assert (done[0].text, done[0].usage) == ("one two three", Usage(7, 3, 1))
    assert server.requests[0].body["stream"] is True


async def test_stream_is_retried_before_its_first_piece() -> None:
    done: list[Completion] = []
    async with serving(Answer("Oops.", status=500), "one two") as (model, _, _):
        pieces = [piece async for piece in model.stream(HELLO, on_complete=done.append)]
    assert pieces == ["one", " two"]
    assert done[0].usage.retries == 1


async def test_stream_that_breaks_off() -> None:
    async with serving(Answer("one two", disconnect=True)) as (model, _, _):
        pieces = model.stream(HELLO)
        assert [await anext(pieces), await anext(pieces)] == ["one", " two"]
        with pytest.raises(ModelUnavailable, match=r"cannot be reached|broke off"):
            await anext(pieces)


@pytest.mark.parametrize(
    ("answer", "words"),
    [(Answer(""), "answered nothing"), (Answer("one", finish_reason="length"), "max_tokens")],
)
async def test_stream_that_is_empty_or_cut_off(answer: Answer, words: str) -> None:
    async with serving(answer) as (model, _, _):
        with pytest.raises(InvalidModelOutput, match=words):
            _ = [piece async for piece in model.stream(HELLO)]


async def test_stream_deadline() -> None:
    never = asyncio.Event()
    async with serving(Answer("late", wait_for=never)) as (model, server, _):
        with pytest.raises(DeadlineExceeded):
            _ = [piece async for piece in model.stream(HELLO, deadline=0.2)]
        await asyncio.wait_for(server.disconnected.wait(), 30)


async def test_key_is_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    echo = Answer(f"Incorrect API key provided: {KEY} (Bearer {KEY})", status=400)
    async with serving(echo, Answer(None, refusal=f"Your key is {KEY}")) as (model, _, _):
        shown = [repr(model), str(model)]
        for _ in range(2):
            with pytest.raises(ModelRejected) as caught:
                await model.complete(HELLO)
            shown += traceback.format_exception(caught.value)
            shown.append(json.dumps(caught.value.facts, default=str))
            assert caught.value.__cause__ is None
            assert caught.value.__context__ is None
    shown += [record.getMessage() for record in caplog.records]
    assert [line for line in shown if KEY in line] == []


async def test_key_comes_from_the_environment_at_the_first_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving("Hi.", api_key=None) as (model, server, _):
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        await model.complete(HELLO)
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"


async def test_server_of_ones_own_needs_no_key() -> None:
    async with serving("Hi.", api_key=None) as (model, _, _):
        assert (await model.complete(HELLO)).text == "Hi."


async def test_no_key_for_openai() -> None:
    model = parse_model("openai:gpt-5-mini")
    with pytest.raises(ModelRejected, match="Set OPENAI_API_KEY"):
        await model.complete(HELLO)
    with pytest.raises(ModelRejected, match="Set OPENAI_API_KEY"):
        _ = [piece async for piece in model.stream(HELLO)]


async def test_forbidden() -> None:
    async with serving("Hi.") as (model, server, _):
        with forbid_real_models(), pytest.raises(ModelRejected, match="ScriptedModel"):
            await model.complete(HELLO)
        assert server.requests == []
        await model.complete(HELLO)


async def test_closing_twice() -> None:
    async with serving("Hi.") as (model, _, _):
        await model.complete(HELLO)
        await model.close()
        await model.close()
