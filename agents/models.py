"""Chat models: the interface, and models by name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import BaseModel

from ..errors import InvalidURL, ModelRejected

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

    @property
    def tokens(self) -> int:
        """Tokens read and written."""
        return self.prompt_tokens + self.completion_tokens

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
        finish_reason: Why the model ended, as the server says.
    """

    text: str
    parsed: BaseModel | None = None
    usage: Usage = Usage()
    model: str = ""
    seconds: float = 0.0
    finish_reason: str = "stop"


class ChatModel(Protocol):
    """A language model that continues a conversation.

    Guarantees:
        - Every call ends: by its answer, an error, its deadline, or cancellation, which closes
          the request.
        - What does not fit the schema is never returned; an empty or cut-off answer is an error.
        - Usage counts all that was paid for, repairs included; `InvalidModelOutput` has it as
          its `usage`.
        - Several calls may be made at the same time.
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
        temperature: float | None = None,
        on_complete: Callable[[Completion], object] | None = None,
    ) -> AsyncIterator[str]:
        """Answer a conversation piece by piece; errors as for `complete`.

        Nothing is tried again once the first piece has arrived.

        Args:
            messages: In order.
            deadline: Seconds until the last piece.
            max_tokens: Length of the answer.
            temperature: The server's own if None.
            on_complete: Called once after the last piece with the whole answer and its usage.
        """
        ...

    async def close(self) -> None:
        """Release connections. Closing twice does nothing."""
        ...


def parse_model(
    model: str | ChatModel, *, base_url: str | None = None, api_key: str | None = None
) -> ChatModel:
    """The chat model of that name. Opens nothing and reads no environment.

    Args:
        model: ``openai:NAME``, or a `ChatModel`, which is returned as it is.
        base_url: Of a server that speaks the same protocol; that of the package openai if None.
        api_key: The key; the package's environment variable, read at the first call, if None.

    Raises:
        InvalidURL: No model is known under such a name.
        MissingExtra: The package openai is not installed.
    """
    if not isinstance(model, str):
        return model
    scheme, _, name = model.partition(":")
    if scheme != "openai" or not name.strip():
        raise InvalidURL(
            f"{model[:60]!r} names no model; use 'openai:NAME', or pass a ChatModel.",
            model=model,
        )
    from .openai_model import OpenAIModel

    return OpenAIModel(name.strip(), base_url=base_url, api_key=api_key)


_forbidden = 0


@contextmanager
def forbid_real_models() -> Iterator[None]:
    """Make every call of a model that reaches a server raise, for the length of the block.

    It holds for the whole process: put it around a test session.
    """
    global _forbidden
    _forbidden += 1
    try:
        yield
    finally:
        _forbidden -= 1


def check_real_models_allowed(name: str) -> None:
    """What an implementation that reaches a server calls before each call.

    Raises:
        ModelRejected: Inside of `forbid_real_models`.
    """
    if _forbidden:
        raise ModelRejected(
            f"The real model {name} was about to be called inside of forbid_real_models(). "
            "Use a ScriptedModel there.",
            model=name,
        )
