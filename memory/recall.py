"""What a recall hands to an agent: items, and the cases and rules they carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ..graph import Outcome, Record


class Placement(StrEnum):
    """Where in a prompt a recalled item stands, and what it is there for."""

    RULE = "rule"
    EXAMPLE = "example"
    COUNTER_EXAMPLE = "counter-example"
    WARNING = "warning"
    FACT = "fact"


@dataclass(frozen=True, slots=True)
class CaseStep:
    """One step of a recalled trial. Parts that did not fit the budget are empty."""

    action: str
    observation: str = ""
    role: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """A recalled trial, as far as it was packed.

    Attributes:
        id: Of the QUERY record.
        task: The task of that trial, in words.
        outcome: How it ended.
        steps: In order.
        score: Final score of the recall, higher is better.
    """

    id: str
    task: str
    outcome: Outcome
    steps: tuple[CaseStep, ...]
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Rule:
    """A recalled insight.

    Attributes:
        id: Of the INSIGHT record.
        text: In words.
        form: The general form it was mined in, such as "found_at"; "" if only words.
        data: Its arguments by name, plain JSON.
        confidence: In [0, 1].
        support: Number of trials it rests on.
    """

    id: str
    text: str
    form: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    confidence: float = 0.0
    support: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One recalled record.

    Attributes:
        record: The record.
        placement: What it is there for.
        scores: One per channel, and "final".
        path: Ids walked from a candidate to the record, the candidate first.
        text: What was packed of it, verbatim as it stands in a prompt.
        tokens: Length of `text`.
        case: For a trial.
        rule: For an insight.
    """

    record: Record
    placement: Placement
    scores: Mapping[str, float]
    path: tuple[str, ...]
    text: str
    tokens: int
    case: Case | None = None
    rule: Rule | None = None
