"""Insights from a trial: what it says that may hold for others too.

Each form is general; the evidence for it is counted over trials by links, so that an insight is a
function of its evidence. Forms so far:

- ``found_at``: things of a kind are found at places of a kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..graph import Record
from .cases import action_of, observation_of
from .entities import mentions


@dataclass(frozen=True, slots=True)
class MinedRule:
    """What one trial says about a rule.

    Attributes:
        form: The general form, such as "found_at".
        text: The rule in words.
        data: Its arguments by name; form and data identify the rule.
        holds: Whether the trial speaks for it or against it.
    """

    form: str
    text: str
    data: Mapping[str, Any]
    holds: bool = True


def mine(steps: Sequence[Record]) -> tuple[MinedRule, ...]:
    """The rules that the recorded steps of one trial speak for or against, each once."""
    found = {(rule.form, *sorted(rule.data.items())): rule for rule in _found_at(steps)}
    return tuple(found.values())


def _found_at(steps: Sequence[Record]) -> Iterator[MinedRule]:
    for step in steps:
        done = mentions(action_of(step))
        if len(done) != 1:
            # With two things in it an action says where one is put, not where it is found.
            continue
        place = done[0]
        for thing in mentions(observation_of(step)):
            if thing.kind != place.kind:
                yield MinedRule(
                    "found_at",
                    f"{thing.kind} is found at {place.kind}",
                    {"thing": thing.kind, "place": place.kind},
                )
