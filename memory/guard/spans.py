"""Which words of a text others use too, and which only a few sources do.

Words that many independent sources use tell the situation. Words that hardly anyone else uses are
names and values, or the trigger of a poison; a text is compared with others without them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TypeAlias

from ...graph import terms

KNOWN = 1.5
"""Weight of the sources that must use a word for it to be part of the common language."""

Feature: TypeAlias = str | tuple[str, str]
"""A word, or a pair of neighbouring words."""


@lru_cache(maxsize=16_384)
def words_of(text: str) -> tuple[str, ...]:
    """The index terms of a text in order."""
    return tuple(terms(text))


@lru_cache(maxsize=16_384)
def has_digit(word: str) -> bool:
    """Whether a word is a number or an identifier rather than a word."""
    return any(character.isdigit() for character in word)


@lru_cache(maxsize=16_384)
def features_of(text: str) -> frozenset[Feature]:
    """The words of a text, and the pairs of neighbours among them; numbers do not count."""
    found: set[Feature] = set()
    before = ""
    for word in words_of(text):
        if has_digit(word):
            before = ""
            continue
        found.add(word)
        if before:
            found.add((before, word))
        before = word
    return frozenset(found)


class Usage:
    """Who uses which words, and which pairs of neighbouring words.

    Args:
        texts: Pairs of a source and a text of it.
        weights: Per source what its vote weighs.
        wanted: Only the words and pairs of these texts are counted.
    """

    def __init__(
        self,
        texts: Iterable[tuple[str, str]],
        weights: Mapping[str, float],
        wanted: Iterable[str],
    ) -> None:
        by_source: dict[str, set[Feature]] = {}
        for source, text in texts:
            by_source.setdefault(source, set()).update(features_of(text))
        counted = frozenset[Feature]().union(*(features_of(text) for text in wanted))
        self.weights = weights
        self._support: dict[Feature, float] = dict.fromkeys(counted, 0.0)
        support = self._support
        for source, used in by_source.items():
            weight = weights.get(source, 0.0)
            for what in counted & used:
                support[what] += weight

    def support(self, what: Feature) -> float:
        """The weight of the sources that use a word or a pair."""
        return self._support.get(what, 0.0)

    def rare(self, text: str, known: float = KNOWN) -> frozenset[Feature]:
        """The words and pairs of a text that few sources use."""
        support = self._support
        return frozenset(what for what in features_of(text) if support.get(what, 0.0) < known)


def spelled(features: Iterable[Feature]) -> frozenset[str]:
    """The words of some words and pairs."""
    return frozenset(
        word for what in features for word in ((what,) if isinstance(what, str) else what)
    )


def strength(shared: Iterable[Feature]) -> float:
    """How much it says that texts share some rare words and pairs: three pairs count as a word."""
    return sum(1.0 if isinstance(what, str) else 0.34 for what in shared)
