"""Chat models over the protocol of OpenAI's chat completions, with the package openai."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from ..errors import (
    DeadlineExceeded,
    InvalidModelOutput,
    MissingExtra,
    ModelError,
    ModelRejected,
    ModelUnavailable,
)
from .models import Completion, Message, Usage

RETRIES = 3
"""Attempts after the first when the server is unavailable."""
LONGEST_WAIT = 20.0
"""Seconds between attempts at most, also when the server asks for more."""
DEADLINE = 120.0
"""Seconds for a call that names none."""


class OpenAIModel:
    """A model behind an OpenAI-compatible server."""

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
            api_key: OPENAI_API_KEY if None, read at the first call.
            retries: Attempts after the first.
            sleep: Waits between attempts.

        Raises:
            MissingExtra: The package openai is not installed.
        """
        try:
            import openai
        except ImportError as error:
            raise MissingExtra("The model openai:...", "openai") from error
        self._openai = openai
        self._model = model
        self._base_url = base_url
        self._api_key = api_key
        self._retries = retries
        self._sleep = sleep
        self._random = random.Random(model)
        self._client: Any = None

    @property
    def name(self) -> str:
        """What a person calls it."""
        return f"openai:{self._model}"

    def __repr__(self) -> str:
        return f"OpenAIModel({self._model!r})"

    def _connected(self) -> Any:
        if self._client is None:
            key = self._api_key or os.environ.get("OPENAI_API_KEY")
            base_url = self._base_url or os.environ.get("OPENAI_BASE_URL")
            if not key and not base_url:
                raise ModelRejected(
                    "There is no key for OpenAI. Set OPENAI_API_KEY, or give the base_url of a "
                    "server that needs none.",
                    model=self.name,
                )
            # Our own retries are counted and end at the deadline; the package's would not.
            self._client = self._openai.AsyncOpenAI(
                api_key=key or "none", base_url=base_url, max_retries=0
            )
        return self._client

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
                completion = await self._complete(messages, returns, max_tokens, temperature)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"The model {self.name} gave no answer within {limit:g} s.", model=self.name
            ) from error
        return Completion(
            completion.text,
            completion.parsed,
            completion.usage,
            completion.model,
            time.monotonic() - started,
        )

    async def _complete(
        self,
        messages: Sequence[Message],
        returns: type[BaseModel] | None,
        max_tokens: int | None,
        temperature: float | None,
    ) -> Completion:
        usage = Usage()
        conversation = [{"role": one.role, "content": one.content} for one in messages]
        options: dict[str, Any] = {"model": self._model}
        if max_tokens is not None:
            options["max_completion_tokens"] = max_tokens
        if temperature is not None:
            options["temperature"] = temperature
        if returns is not None:
            options["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": returns.__name__, "schema": returns.model_json_schema()},
            }
        problem = ""
        for _ in range(2 if returns is not None else 1):
            answer, cost = await self._send({**options, "messages": conversation})
            usage = usage + cost
            text = self._text_of(answer)
            if returns is None:
                return Completion(text, None, usage, answer.model)
            try:
                parsed = returns.model_validate_json(_unfenced(text))
                return Completion(text, parsed, usage, answer.model)
            except ValidationError as error:
                problem = "; ".join(
                    f"{'.'.join(map(str, one['loc'])) or 'reply'}: {one['msg']}"
                    for one in error.errors(include_input=False, include_url=False)[:5]
                )
                usage = usage + Usage(invalid=1)
                conversation = [
                    *conversation,
                    {"role": "assistant", "content": text},
                    {
                        "role": "user",
                        "content": f"This does not fit the schema ({problem}). "
                        "Answer again with JSON that does.",
                    },
                ]
        raise InvalidModelOutput(
            f"The model {self.name} answered twice with something that does not fit "
            f"{returns.__name__ if returns else 'the schema'}: {problem}.",
            model=self.name,
            usage=usage,
        )

    def _text_of(self, answer: Any) -> str:
        if not answer.choices:
            raise InvalidModelOutput(
                f"The model {self.name} answered without a choice.", model=self.name
            )
        choice = answer.choices[0]
        if getattr(choice.message, "refusal", None):
            raise ModelRejected(
                f"The model {self.name} refuses: {choice.message.refusal[:200]}", model=self.name
            )
        if choice.finish_reason == "length":
            raise InvalidModelOutput(
                f"The answer of {self.name} was cut off at its longest. Raise max_tokens.",
                model=self.name,
            )
        text = choice.message.content or ""
        if not text.strip():
            raise InvalidModelOutput(f"The model {self.name} answered nothing.", model=self.name)
        return str(text)

    async def _send(self, body: dict[str, Any]) -> tuple[Any, Usage]:
        """One request with bounded retries."""
        client = self._connected()
        for attempt in range(self._retries + 1):
            try:
                answer = await client.chat.completions.create(**body)
            except self._openai.OpenAIError as error:
                failure = self._translated(error)
                if not failure.retryable or attempt == self._retries:
                    raise failure from None
                await self._sleep(self._wait(error, attempt))
                continue
            counted = getattr(answer, "usage", None)
            return answer, Usage(
                getattr(counted, "prompt_tokens", 0) or 0,
                getattr(counted, "completion_tokens", 0) or 0,
                1,
                attempt,
            )
        raise AssertionError("unreachable")

    def _wait(self, error: Any, attempt: int) -> float:
        response = getattr(error, "response", None)
        asked = response.headers.get("retry-after", "") if response is not None else ""
        try:
            return min(LONGEST_WAIT, max(0.0, float(asked)))
        except ValueError:
            return min(LONGEST_WAIT, 0.5 * 2.0**attempt * (0.5 + self._random.random()))

    def _translated(self, error: Exception) -> ModelError:
        """An error of the package as one of ours; no text of it that could hold a key."""
        status = getattr(error, "status_code", None)
        facts = {"model": self.name, "status": status}
        if status is None:
            return ModelUnavailable(
                f"The server of {self.name} cannot be reached ({type(error).__name__}). "
                "Check base_url and network.",
                **facts,
            )
        if status == 429 or status >= 500 or status == 408:
            return ModelUnavailable(
                f"The server of {self.name} answers {status}. Try again later.", **facts
            )
        hint = {
            401: "Check the key.",
            403: "The key may not use this model.",
            404: "Check the name of the model and base_url.",
        }.get(status, "Check the request.")
        return ModelRejected(
            f"The server of {self.name} refuses the request ({status}). {hint}", **facts
        )

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        deadline: float | None = None,
        max_tokens: int | None = None,
    ) -> AsyncIterator[str]:
        """Answer a conversation piece by piece; see `ChatModel.stream`."""
        options: dict[str, Any] = {}
        if max_tokens is not None:
            options["max_completion_tokens"] = max_tokens
        ends = time.monotonic() + (DEADLINE if deadline is None else deadline)
        stream = None
        try:
            async with asyncio.timeout(max(0.0, ends - time.monotonic())):
                stream = await self._connected().chat.completions.create(
                    model=self._model,
                    messages=[{"role": one.role, "content": one.content} for one in messages],
                    stream=True,
                    **options,
                )
            pieces = aiter(stream)
            while True:
                # The timeout must not be open while the consumer holds the generator.
                async with asyncio.timeout(max(0.0, ends - time.monotonic())):
                    try:
                        part = await anext(pieces)
                    except StopAsyncIteration:
                        return
                if part.choices and part.choices[0].delta.content:
                    yield part.choices[0].delta.content
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"The model {self.name} did not finish within its deadline.", model=self.name
            ) from error
        except self._openai.OpenAIError as error:
            raise self._translated(error) from None
        finally:
            if stream is not None:
                await stream.close()

    async def close(self) -> None:
        """Release connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None


def _unfenced(text: str) -> str:
    """JSON out of a Markdown code fence, which some servers put around it."""
    stripped = text.strip()
    if stripped.startswith("```") and stripped.endswith("```"):
        return stripped[3:-3].removeprefix("json").strip()
    return stripped
