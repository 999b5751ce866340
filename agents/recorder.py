"""The recorder: writes every utterance and action of a run to the interaction tier."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..memory import Memory, Trial

_LONGEST = 20_000
"""Characters of one utterance; more is cut, and marked."""


class Recorder:
    """The only caller of `Memory.observe`: one record for each step, as it completes."""

    def __init__(self, memory: Memory, trial: Trial) -> None:
        self._memory = memory
        self._trial = trial

    async def utterance(
        self, text: str, *, role: str, agent: str, key: str = "", used: Iterable[str] = ()
    ) -> str:
        """Record what an agent said; returns the id of the record."""
        return await self._memory.observe(
            self._trial, _cut(text), role=role, agent=agent, key=key, used=used
        )

    async def action(
        self,
        action: str,
        observation: str,
        *,
        role: str,
        agent: str,
        key: str = "",
        used: Iterable[str] = (),
        data: Mapping[str, Any] | None = None,
    ) -> str:
        """Record an action with what came of it; returns the id of the record."""
        return await self._memory.observe(
            self._trial,
            _cut(observation),
            action=action,
            role=role,
            agent=agent,
            key=key,
            used=used,
            data=data,
        )


def describe_update(update: object) -> str:
    """What a node returned, as the text of an utterance: a line for each key that it set.

    Returns:
        "" when there is nothing to say.
    """
    if update is None:
        return ""
    nested = getattr(update, "update", None)
    if nested is not None and not callable(nested):
        return describe_update(nested)
    if isinstance(update, Mapping):
        return "\n".join(f"{key}: {_value(value)}" for key, value in update.items())
    if isinstance(update, list | tuple):
        return "\n".join(text for part in update if (text := describe_update(part)))
    if isinstance(update, str):
        return update
    goto = getattr(update, "goto", None)
    return f"goto: {_value(goto)}" if goto else ""


def _value(value: object) -> str:
    if isinstance(value, str):
        return value
    content = getattr(value, "content", None)
    if isinstance(content, str):
        return content
    if isinstance(value, list | tuple):
        return "; ".join(_value(part) for part in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_value(part)}" for key, part in value.items())
    return str(value)


def _cut(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    return f"{text[:_LONGEST]}\n[{len(text) - _LONGEST:,} more characters are not kept]"
