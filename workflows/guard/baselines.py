"""Other guards, to compare with: each gives every recalled record a score, the higher the worse.

They see what is recalled, and where they are trained, the texts of the whole memory.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...memory.guard.plan import Plan


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A recalled record, as a baseline sees it.

    Attributes:
        id: Of the record.
        text: What it says.
        steps: What was noted and done, in words.
        plan: What it would lead to.
        vector: Its text embedded, or None.
    """

    id: str
    text: str
    steps: str
    plan: Plan
    vector: NDArray[np.float32] | None = None


class Baseline(Protocol):
    """Scores recalled records."""

    def scores(self, recalled: Sequence[Seen]) -> list[float]:
        """One a record; the higher, the more suspicious."""
        ...


class Majority:
    """The odd ones out among the best of the recall (A-MemGuard without witnesses)."""

    def __init__(self, slots: int) -> None:
        self._slots = slots

    def scores(self, recalled: Sequence[Seen]) -> list[float]:
        """The share of the slots that do something else."""
        shown = recalled[: self._slots]
        return [
            sum(one.plan.verbs != other.plan.verbs for other in shown) / max(len(shown), 1)
            for one in recalled
        ]


class Clusters:
    """DBSCAN over the embedded records of the recall: what is in no cluster is suspect.

    With two points to a cluster a point is noise if its nearest neighbour is farther than eps, so
    that distance is the score and eps the threshold.
    """

    def scores(self, recalled: Sequence[Seen]) -> list[float]:
        """The cosine distance to the nearest other record."""
        rows = [one.vector for one in recalled]
        if len(rows) < 2 or any(row is None for row in rows):
            return [0.0] * len(rows)
        points = np.stack([row for row in rows if row is not None])
        near = points @ points.T
        np.fill_diagonal(near, -1.0)
        return [float(1.0 - best) for best in near.max(axis=1)]


class Perplexity:
    """Character trigrams learnt from the texts of the memory, poison and all."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._known: dict[str, float] = {}
        self._three: Counter[str] = Counter()
        self._two: Counter[str] = Counter()
        for text in texts:
            padded = f"  {text.casefold()} "
            for at in range(len(padded) - 2):
                self._three[padded[at : at + 3]] += 1
                self._two[padded[at : at + 2]] += 1
        self._letters = len({letter for gram in self._three for letter in gram}) + 1

    def scores(self, recalled: Sequence[Seen]) -> list[float]:
        """The perplexity of each text."""
        for one in recalled:
            if one.id not in self._known:
                self._known[one.id] = self._of(one.text)
        return [self._known[one.id] for one in recalled]

    def _of(self, text: str) -> float:
        padded = f"  {text.casefold()} "
        grams = [padded[at : at + 3] for at in range(len(padded) - 2)]
        total = sum(
            math.log((self._three[gram] + 0.1) / (self._two[gram[:2]] + 0.1 * self._letters))
            for gram in grams
        )
        return math.exp(-total / max(len(grams), 1))


class Instructions:
    """Phrases by which texts give orders."""

    _PATTERNS = tuple(
        re.compile(pattern, re.IGNORECASE)
        for pattern in (
            r"\b(ignore|disregard|forget)\b.*\b(previous|above|instructions?)\b",
            r"\bthis means (that )?(we|you) (have to|must|should)\b",
            r"\b(we|you) (have to|must|need to)\b",
            r"\bbecause there is '[^']*' in the (question|task)\b",
            r"\b(delete|remove|drop|erase|wipe)\b",
            r"\b(always|never|immediately|instead)\b",
        )
    )

    def scores(self, recalled: Sequence[Seen]) -> list[float]:
        """How many of the patterns a record has."""
        return [_orders(f"{it.text}\n{it.steps}", self._PATTERNS) for it in recalled]


@lru_cache(maxsize=4096)
def _orders(text: str, patterns: tuple[re.Pattern[str], ...]) -> float:
    return float(sum(bool(one.search(text)) for one in patterns))


class Unseen:
    """What nobody else in the memory ends in is refused."""

    def __init__(self, plans: Mapping[str, Plan]) -> None:
        self._aims = Counter(plan.aim for plan in plans.values())

    def scores(self, recalled: Sequence[Seen]) -> list[float]:
        """The rarer its aim in the whole memory, the higher."""
        return [1.0 / max(1, self._aims[one.plan.aim]) for one in recalled]
