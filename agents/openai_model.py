"""Chat models over the protocol of OpenAI's chat completions, with the package openai."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
import random
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from pydantic import BaseModel

from ..errors import (
    DeadlineExceeded,
    InvalidModelOutput,
    MissingExtra,
    ModelError,
    ModelRejected,
    ModelUnavailable,
)
from .json_schema import parse, response_format
from .models import Completion, Message, Usage, check_real_models_allowed

RETRIES = 3
"""Attempts after the first when the server is unavailable."""
LONGEST_WAIT = 20.0
"""Seconds between attempts at most, also when the server asks for more."""
DEADLINE = 120.0
"""Seconds for a call that names none."""

_SAID = 300
"""Characters of a server's own words that go into an error."""
_HINTS = {
    401: "Check the key.",
    403: "The key may not use this model.",
    404: "Check the name of the model and base_url.",
}


class OpenAIModel:
    """A model behind OpenAI's server, or one that speaks the same protocol. See `ChatModel`."""

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        retries: int = RETRIES,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Name a model; nothing is opened before the first call.

        Args:
            model: As the server calls it.
            base_url: Of the server; OPENAI_BASE_URL or OpenAI's own if None.
            api_key: OPENAI_API_KEY if None, read at the first call. A server given by its
                base_url may do without.
            retries: Attempts after the first.
            sleep: Waits between attempts.

        Raises:
            MissingExtra: The package openai is not installed.
        """
        if importlib.util.find_spec("openai") is None:
            raise MissingExtra(f"The model openai:{model}", "openai")
        self._model = model
        self._base_url = base_url
        self._api_key = api_key
        self._retries = retries
        self._sleep = sleep
        self._random = random.Random(model)
        self._openai: Any = None
        self._client: Any = None
        self._own_server = True
        self._connecting = asyncio.Lock()

    @property
    def name(self) -> str:
        """What a person calls it."""
        return f"openai:{self._model}"

    def __repr__(self) -> str:
        return f"OpenAIModel({self._model!r})"

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        returns: type[BaseModel] | None = None,
        deadline: float | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
    ) -> Completion:
        """Answer a conversation; see `ChatModel.complete`."""
        started = time.monotonic()
        limit = DEADLINE if deadline is None else deadline
        try:
            async with asyncio.timeout(limit):
                text, parsed, usage, answer = await self._complete(
                    messages, returns, max_tokens, temperature
                )
        except TimeoutError:
            raise self._late(limit) from None
        return Completion(
            text,
            parsed,
            usage,
            str(answer.model or self._model),
            time.monotonic() - started,
            str(answer.choices[0].finish_reason or "stop"),
        )

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        deadline: float | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        on_complete: Callable[[Completion], object] | None = None,
    ) -> AsyncIterator[str]:
        """Answer a conversation piece by piece; see `ChatModel.stream`."""
        started = time.monotonic()
        limit = DEADLINE if deadline is None else deadline
        stream: Any = None
        pieces: list[str] = []
        counted, finish, model = Usage(calls=1), "", self._model
        try:
            async with asyncio.timeout_at(self._loop_time(started + limit)):
                await self._connect()
                stream, retried = await self._send(
                    {
                        **self._options(max_tokens, temperature),
                        "messages": _plain(messages),
                        "stream": True,
                        "stream_options": {"include_usage": True},
                    }
                )
            parts = aiter(stream)
            while True:
                # The timeout must not be open while the consumer holds the generator.
                async with asyncio.timeout_at(self._loop_time(started + limit)):
                    part = await self._next(parts)
                if part is None:
                    break
                model = str(part.model or model)
                if part.usage is not None:
                    counted = _counted(part.usage)
                if not part.choices:
                    continue
                finish = str(part.choices[0].finish_reason or finish)
                if piece := part.choices[0].delta.content:
                    pieces.append(piece)
                    yield piece
        except TimeoutError:
            raise self._late(limit) from None
        finally:
            if stream is not None:
                await stream.close()
        text = "".join(pieces)
        usage = counted + Usage(retries=retried)
        self._check(text, finish, usage)
        if on_complete is not None:
            seconds = time.monotonic() - started
            on_complete(Completion(text, None, usage, model, seconds, finish or "stop"))

    async def close(self) -> None:
        """Release connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _connect(self) -> None:
        check_real_models_allowed(self.name)
        async with self._connecting:
            if self._client is not None:
                return
            key = self._api_key or os.environ.get("OPENAI_API_KEY")
            base_url = self._base_url or os.environ.get("OPENAI_BASE_URL") or None
            if not key and not base_url:
                raise ModelRejected(
                    "There is no key for OpenAI. Set OPENAI_API_KEY, or give the base_url of a "
                    "server that needs none.",
                    model=self.name,
                )
            self._own_server = base_url is None

            def opened() -> tuple[Any, Any]:
                module = importlib.import_module("openai")
                # Our own retries are counted and end at the deadline; the package's would not.
                client = module.AsyncOpenAI(api_key=key or "none", base_url=base_url, max_retries=0)
                return module, client

            # The import and reading the certificates take about a second.
            self._openai, self._client = await asyncio.to_thread(opened)

    def _options(self, max_tokens: int | None, temperature: float | None) -> dict[str, Any]:
        options: dict[str, Any] = {"model": self._model}
        if max_tokens is not None:
            # OpenAI's newer models know the one name only, many other servers the other.
            name = "max_completion_tokens" if self._own_server else "max_tokens"
            options[name] = max_tokens
        if temperature is not None:
            options["temperature"] = temperature
        return options

    async def _complete(
        self,
        messages: Sequence[Message],
        returns: type[BaseModel] | None,
        max_tokens: int | None,
        temperature: float | None,
    ) -> tuple[str, BaseModel | None, Usage, Any]:
        await self._connect()
        usage, problem = Usage(), ""
        conversation = _plain(messages)
        options = self._options(max_tokens, temperature)
        if returns is not None:
            options["response_format"] = response_format(returns)
        # One repair: a model that fails twice in a row does not get better by the third.
        for _ in range(1 if returns is None else 2):
            answer, retried = await self._send({**options, "messages": conversation})
            usage = usage + _counted(answer.usage) + Usage(retries=retried)
            text = self._text_of(answer, usage)
            if returns is None:
                return text, None, usage, answer
            parsed, problem = parse(returns, text)
            if parsed is not None:
                return text, parsed, usage, answer
            usage = usage + Usage(invalid=1)
            conversation = [*conversation, *_repair(text, problem)]
        raise InvalidModelOutput(
            f"The model {self.name} answered twice with something that does not fit "
            f"{returns.__name__ if returns else 'the schema'}: {problem}.",
            model=self.name,
            usage=usage,
        )

    def _text_of(self, answer: Any, usage: Usage) -> str:
        if not answer.choices:
            raise InvalidModelOutput(
                f"The model {self.name} answered without a choice.", model=self.name, usage=usage
            )
        choice = answer.choices[0]
        if refusal := getattr(choice.message, "refusal", None):
            raise ModelRejected(
                f"The model {self.name} refuses: {self._redacted(refusal)}",
                model=self.name,
                usage=usage,
            )
        text = choice.message.content or ""
        self._check(text, choice.finish_reason, usage)
        return str(text)

    def _check(self, text: str, finish_reason: str | None, usage: Usage) -> None:
        if finish_reason == "length":
            raise InvalidModelOutput(
                f"The answer of {self.name} was cut off at its longest. Raise max_tokens.",
                model=self.name,
                usage=usage,
                text=text,
            )
        if finish_reason == "content_filter":
            raise ModelRejected(
                f"The server of {self.name} withheld the answer (content filter).",
                model=self.name,
                usage=usage,
            )
        if not text.strip():
            raise InvalidModelOutput(
                f"The model {self.name} answered nothing.", model=self.name, usage=usage
            )

    async def _send(self, body: dict[str, Any]) -> tuple[Any, int]:
        """One request with bounded retries; the answer, and how many were needed."""
        for attempt in range(self._retries + 1):
            try:
                answer = await self._client.chat.completions.create(**body)
            except self._openai.OpenAIError as error:
                failure, wait = self._translated(error), self._wait(error, attempt)
            except ValueError:
                # The package lets a body that is no JSON through as it came from the parser.
                failure, wait = self._garbled(), self._wait(None, attempt)
            else:
                # A body that says it is text comes back from the package as a string.
                if not isinstance(answer, str):
                    return answer, attempt
                failure, wait = self._garbled(), self._wait(None, attempt)
            # Raised out here, so that the package's error, which holds the request and with it
            # the key, does not hang on ours.
            if not failure.retryable or attempt == self._retries:
                raise failure
            await self._sleep(wait)
        raise AssertionError("unreachable")

    async def _next(self, parts: AsyncIterator[Any]) -> Any:
        """The next part of a stream, None at its end."""
        try:
            return await anext(parts)
        except StopAsyncIteration:
            return None
        except self._openai.OpenAIError as error:
            failure = self._translated(error)
        except ValueError:
            failure = self._garbled()
        except TimeoutError:
            raise
        except Exception as error:
            # A connection that breaks within a stream comes as an error of the HTTP package.
            failure = ModelUnavailable(
                f"The server of {self.name} broke off its answer ({type(error).__name__}). "
                "Try again.",
                model=self.name,
                status=None,
            )
        raise failure

    def _wait(self, error: Any, attempt: int) -> float:
        response = getattr(error, "response", None)
        asked = response.headers.get("retry-after", "") if response is not None else ""
        try:
            return min(LONGEST_WAIT, max(0.0, float(asked)))
        except ValueError:
            return min(LONGEST_WAIT, 0.5 * 2.0**attempt * (0.5 + self._random.random()))

    def _translated(self, error: Any) -> ModelError:
        """An error of the package as one of ours."""
        status = getattr(error, "status_code", None)
        facts = {"model": self.name, "status": status}
        if isinstance(error, self._openai.APIResponseValidationError):
            return self._garbled()
        if status is None:
            return ModelUnavailable(
                f"The server of {self.name} cannot be reached ({type(error).__name__}). "
                "Check base_url and network.",
                **facts,
            )
        if status in (408, 409, 429) or status >= 500:
            return ModelUnavailable(
                f"The server of {self.name} answers {status}. Try again later.", **facts
            )
        body = getattr(error, "body", None)
        said = body.get("message") if isinstance(body, dict) else ""
        hint = _HINTS.get(status) or self._redacted(said) or "Check the request."
        return ModelRejected(
            f"The server of {self.name} refuses the request ({status}). {hint}", **facts
        )

    def _garbled(self) -> ModelUnavailable:
        return ModelUnavailable(
            f"The server of {self.name} answered with something that is no chat completion. "
            "Check base_url.",
            model=self.name,
            status=None,
        )

    def _late(self, limit: float) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"The model {self.name} did not finish within {limit:g} s. Give it more time.",
            model=self.name,
            deadline=limit,
        )

    def _redacted(self, text: object) -> str:
        """A server's own words without a key in them, and not too many."""
        words = re.sub(r"\b(sk|key)-[\w*-]{4,}", "[key]", str(text or ""))
        if self._client is not None and len(key := str(self._client.api_key)) > 4:
            words = words.replace(key, "[key]")
        return words[:_SAID]

    @staticmethod
    def _loop_time(monotonic: float) -> float:
        """A moment of `time.monotonic` on the clock of the loop."""
        return asyncio.get_running_loop().time() + monotonic - time.monotonic()


def _plain(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


def _repair(text: str, problem: str) -> list[dict[str, str]]:
    return [
        {"role": "assistant", "content": text},
        {
            "role": "user",
            "content": f"This does not fit the schema ({problem}). "
            "Answer again with JSON that does.",
        },
    ]


def _counted(usage: Any) -> Usage:
    return Usage(
        getattr(usage, "prompt_tokens", 0) or 0, getattr(usage, "completion_tokens", 0) or 0, 1
    )
