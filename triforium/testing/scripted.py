"""`ScriptedModel`: a chat model whose answers a test writes down."""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeAlias

from pydantic import BaseModel, ValidationError

from ..agents.models import Completion, Message, Usage, forbid_real_models
from ..errors import InvalidModelOutput

__all__ = ["Answer", "Call", "Matcher", "Rule", "ScriptedModel", "forbid_real_models"]

Answer: TypeAlias = str | BaseModel | Exception
"""A text, an object (sent as its JSON), or an error to raise."""
Matcher: TypeAlias = str | re.Pattern[str] | Callable[[str], bool]
"""What the whole prompt must contain, a pattern to be found in it, or a predicate of it."""
Rule: TypeAlias = tuple[Matcher, Answer | Callable[[str], Answer | Awaitable[Answer]]]


@dataclass(frozen=True, slots=True)
class Call:
    """One call that was made.

    Attributes:
        prompt: The conversation as one text, ``role: content`` for each message.
        answer: What it was answered with.
        messages: The conversation.
        returns: The schema asked for, if any.
    """

    prompt: str
    answer: Answer
    messages: tuple[Message, ...] = ()
    returns: type[BaseModel] | None = None


class ScriptedModel:
    """Answers by rules; fails on a call that no rule expects and on a rule that no call used.

    Use it as a context manager to have unused rules reported at the end of the block. It sees
    nothing but the prompt, so an answer that depends on something proves that it was there. Its
    usage counts words.

    Attributes:
        calls: What was asked, and answered.
    """

    name = "scripted"

    def __init__(self, *rules: Rule | Answer) -> None:
        """Write the script.

        Args:
            *rules: Pairs of what the prompt must be like (a text that it contains, a pattern, or a
                predicate) and the answer (text, a pydantic object, an error to raise, or a
                function of the prompt, which may be a coroutine function). The first that fits
                answers, any number of times. Answers instead of pairs are given in order, once
                each, to the calls that no pair fits.
        """
        self._rules = [rule for rule in rules if isinstance(rule, tuple)]
        self._lines = [rule for rule in rules if not isinstance(rule, tuple)]
        self._used: set[int] = set()
        self.calls: list[Call] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.assert_used()

    @property
    def usage(self) -> Usage:
        """What all calls cost, in words."""
        return sum((_usage(call.prompt, _text(call.answer)) for call in self.calls), Usage())

    def assert_used(self) -> None:
        """Fail if part of the script was never used.

        Raises:
            AssertionError: With what was not used.
        """
        unused = [_shown(rule[0]) for n, rule in enumerate(self._rules) if n not in self._used]
        unused += [_shown(line) for line in self._lines]
        if unused:
            raise AssertionError(
                f"The script was not used up after {len(self.calls)} calls: {', '.join(unused)}"
            )

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        returns: type[BaseModel] | None = None,
        deadline: float | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
    ) -> Completion:
        """Answer by the script.

        Raises:
            AssertionError: The script does not expect this prompt.
            InvalidModelOutput: The answer does not fit `returns`, or is empty.
        """
        prompt = "\n\n".join(f"{message.role}: {message.content}" for message in messages)
        answer = await self._answer(prompt)
        self.calls.append(Call(prompt, answer, tuple(messages), returns))
        if isinstance(answer, Exception):
            raise answer
        text = _text(answer)
        usage = _usage(prompt, text)
        if not text.strip():
            raise InvalidModelOutput("The script answered nothing.", model=self.name, usage=usage)
        if returns is None:
            return Completion(text, None, usage, self.name)
        try:
            return Completion(text, returns.model_validate_json(text), usage, self.name)
        except ValidationError as error:
            raise InvalidModelOutput(
                f"The script's answer is not a {returns.__name__}: {text[:200]}",
                model=self.name,
                usage=usage + Usage(invalid=1),
            ) from error

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        deadline: float | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        on_complete: Callable[[Completion], object] | None = None,
    ) -> AsyncIterator[str]:
        """Answer by the script, word by word."""
        completion = await self.complete(messages)
        for piece in re.findall(r"\s*\S+\s*", completion.text):
            yield piece
        if on_complete is not None:
            on_complete(completion)

    async def close(self) -> None:
        """Nothing to release."""

    async def _answer(self, prompt: str) -> Answer:
        for number, (matcher, answer) in enumerate(self._rules):
            if _fits(matcher, prompt):
                self._used.add(number)
                if not callable(answer):
                    return answer
                made: Any = answer(prompt)
                return await made if inspect.isawaitable(made) else made  # type: ignore[no-any-return]
        if self._lines:
            return self._lines.pop(0)
        raise AssertionError(
            f"The script does not expect call number {len(self.calls) + 1}, with this prompt:\n"
            f"{prompt}"
        )


def _fits(matcher: Matcher, prompt: str) -> bool:
    if isinstance(matcher, str):
        return matcher in prompt
    if isinstance(matcher, re.Pattern):
        return matcher.search(prompt) is not None
    return matcher(prompt)


def _text(answer: Answer) -> str:
    if isinstance(answer, BaseModel):
        return answer.model_dump_json()
    return answer if isinstance(answer, str) else ""


def _usage(prompt: str, text: str) -> Usage:
    return Usage(len(prompt.split()), len(text.split()), 1)


def _shown(part: object) -> str:
    if isinstance(part, re.Pattern):
        return repr(part.pattern)
    return repr(part) if not callable(part) else getattr(part, "__name__", repr(part))
