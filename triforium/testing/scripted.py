"""`ScriptedModel`: a chat model whose answers a test writes down."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from types import TracebackType

from pydantic import BaseModel

from ..agents.models import Completion, Message, Usage
from ..errors import InvalidModelOutput

Answer = str | BaseModel | Exception
Rule = tuple[str | re.Pattern[str] | Callable[[str], bool], Answer | Callable[[str], Answer]]


@dataclass(frozen=True, slots=True)
class Call:
    """One call that was made."""

    prompt: str
    answer: Answer


class ScriptedModel:
    """Answers by rules; fails on a call that no rule expects and on a rule that no call used.

    Use it as a context manager to have unused rules reported at the end of the block. It sees
    nothing but the prompt, so an answer that depends on something proves that it was there.
    """

    name = "scripted"

    def __init__(self, *rules: Rule | str) -> None:
        """Write the script.

        Args:
            *rules: Pairs of what the whole prompt must contain (a text, a pattern, or a
                predicate) and the answer (text, a pydantic object, an error to raise, or a
                function of the prompt). The first that fits answers, any number of times. Plain
                texts instead of pairs are answered in order, once each.
        """
        self._rules = [rule for rule in rules if not isinstance(rule, str)]
        self._lines = [rule for rule in rules if isinstance(rule, str)]
        self._used: set[int] = set()
        self.calls: list[Call] = []

    def __enter__(self) -> ScriptedModel:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.assert_used()

    def assert_used(self) -> None:
        """Fail if part of the script was never used.

        Raises:
            AssertionError: With what was not used.
        """
        unused = [str(rule[0]) for n, rule in enumerate(self._rules) if n not in self._used]
        unused += self._lines
        if unused:
            raise AssertionError(f"The script was not used up: {unused}")

    def _answer(self, prompt: str) -> Answer:
        for number, (matcher, answer) in enumerate(self._rules):
            if _fits(matcher, prompt):
                self._used.add(number)
                return answer(prompt) if callable(answer) else answer
        if self._lines:
            return self._lines.pop(0)
        raise AssertionError(f"No rule of the script expects this prompt:\n{prompt}")

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        returns: type[BaseModel] | None = None,
        deadline: float | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
    ) -> Completion:
        """Answer by the script."""
        prompt = "\n\n".join(f"{message.role}: {message.content}" for message in messages)
        answer = self._answer(prompt)
        self.calls.append(Call(prompt, answer))
        if isinstance(answer, Exception):
            raise answer
        text = answer if isinstance(answer, str) else answer.model_dump_json()
        usage = Usage(len(prompt.split()), len(text.split()), 1)
        if returns is None:
            return Completion(text, None, usage, self.name)
        try:
            return Completion(text, returns.model_validate_json(text), usage, self.name)
        except ValueError as error:
            raise InvalidModelOutput(
                f"The script's answer is not a {returns.__name__}.", model=self.name
            ) from error

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        deadline: float | None = None,
        max_tokens: int | None = None,
    ) -> AsyncIterator[str]:
        """Answer by the script, word by word."""
        completion = await self.complete(messages)
        for piece in re.findall(r"\S+\s*", completion.text):
            yield piece

    async def close(self) -> None:
        """Nothing to release."""


def _fits(matcher: str | re.Pattern[str] | Callable[[str], bool], prompt: str) -> bool:
    if isinstance(matcher, str):
        return matcher in prompt
    if isinstance(matcher, re.Pattern):
        return matcher.search(prompt) is not None
    return matcher(prompt)
