"""Chat models: the interface, and models by name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import BaseModel

from ..errors import InvalidURL

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What calls to a model cost.

    Attributes:
        prompt_tokens: Read.
        completion_tokens: Written.
        calls: Requests that were answered.
        retries: Requests that had to be sent again.
        invalid: Replies that did not fit the schema.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    calls: int = 0
    retries: int = 0
    invalid: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.calls + other.calls,
            self.retries + other.retries,
            self.invalid + other.invalid,
        )


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's answer.

    Attributes:
        text: As written.
        parsed: Validated against the schema that was asked for, if any.
        usage: What it cost, with retries.
        model: The name the server gives.
        seconds: Wall time, with retries.
    """

    text: str
    parsed: BaseModel | None = None
    usage: Usage = Usage()
    model: str = ""
    seconds: float = 0.0


class ChatModel(Protocol):
    """A language model that continues a conversation.

    Guarantees:
        - Every call ends: by its answer, an error, its deadline, or cancellation, which closes
          the request.
        - What does not fit the schema is never returned.
        - No key is shown in an error, a representation or a log.
    """

    @property
    def name(self) -> str:
        """What a person calls it, such as "openai:gpt-5-mini"."""
        ...

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        returns: type[BaseModel] | None = None,
        deadline: float | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
    ) -> Completion:
        """Answer a conversation.

        Args:
            messages: In order.
            returns: A pydantic model the answer must fit.
            deadline: Seconds for all attempts together.
            max_tokens: Length of the answer.
            temperature: The server's own if None.

        Raises:
            ModelUnavailable: Network, rate limit or server error, after the retries.
            ModelRejected: The server refuses the request.
            InvalidModelOutput: The answer is empty, cut off, or does not fit.
            DeadlineExceeded: Time is up.
        """
        ...

    def stream(
        self,
        messages: Sequence[Message],
        *,
        deadline: float | None = None,
        max_tokens: int | None = None,
    ) -> AsyncIterator[str]:
        """Answer a conversation piece by piece; errors as for `complete`, without retries."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


def parse_model(model: str | ChatModel, *, base_url: str | None = None) -> ChatModel:
    """The chat model of that name.

    Args:
        model: ``openai:NAME``, or a `ChatModel`, which is returned as it is.
        base_url: Of a server that speaks the same protocol; that of the package openai if None.

    Raises:
        InvalidURL: No model is known under such a name.
        MissingExtra: The package openai is not installed.
    """
    if not isinstance(model, str):
        return model
    scheme, _, name = model.partition(":")
    if scheme != "openai" or not name:
        raise InvalidURL(
            f"{model[:60]!r} names no model; use 'openai:NAME', or pass a ChatModel.",
            model=model,
        )
    from .openai_model import OpenAIModel

    return OpenAIModel(name, base_url=base_url)
