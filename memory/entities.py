"""Things that texts of a world mention, and actions with their things taken out.

The one convention assumed is that a word and a number name an instance of the kind `word`, as in
"mug 2" or "ball1". No word of any world is known here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_NUMBERED = re.compile(r"(?<![^\W\d_])([^\W\d_][\w'-]{0,63}?)[ _]?(\d{1,18})\b")
# Bounded, so that a text of a million letters takes no longer than others of its length.
_WORD = re.compile(r"[^\W\d_][\w'-]*")
SLOT = "_"
_COMPOUND = 4
"""Shortest kind that is looked for at the head of a longer word, as lamp in lamplight."""
_STEM = 4


@dataclass(frozen=True, slots=True)
class Mention:
    """A thing named by its kind and a number.

    Attributes:
        kind: Such as "mug".
        name: Such as "mug 2".
    """

    kind: str
    name: str


@lru_cache(maxsize=8192)
def mentions(text: str) -> tuple[Mention, ...]:
    """The things a text mentions, each once, in the order they first appear."""
    found = {f"{kind} {number}": kind for kind, number in _NUMBERED.findall(text.lower())}
    return tuple(Mention(kind, name) for name, kind in found.items())


@dataclass(frozen=True, slots=True)
class Action:
    """An action with its things taken out.

    Attributes:
        text: The action itself.
        template: The same with a slot for each thing, such as "take _ from _".
        things: What stood in the slots, in order.
    """

    text: str
    template: str
    things: tuple[Mention, ...]

    @property
    def head(self) -> str:
        """The first word and the number of slots: what wordings of one action share."""
        return f"{self.template.split(' ', 1)[0]}/{len(self.things)}"


@lru_cache(maxsize=8192)
def parse_action(text: str) -> Action:
    """An action as template and things."""
    things = tuple(
        Mention(kind, f"{kind} {number}") for kind, number in _NUMBERED.findall(text.lower())
    )
    template = " ".join(_NUMBERED.sub(SLOT, text.lower()).split())
    return Action(text, template, things)


@lru_cache(maxsize=8192)
def words(text: str) -> tuple[str, ...]:
    """The words of a text in order, lower case, without numbers."""
    return tuple(_WORD.findall(text.lower()))


def stem(word: str) -> str:
    """The beginning of a word, which its inflections share."""
    return word[:_STEM]


@lru_cache(maxsize=1024)
def stems(text: str) -> frozenset[str]:
    """The stems of a text's words."""
    return frozenset(stem(word) for word in words(text))


def same_kind(word: str, kind: str) -> bool:
    """Whether a word of a goal names a kind, also in the plural or at the head of a compound."""
    return kind in _named_by(word)


def kinds_named(text: str) -> frozenset[str]:
    """All that a word of a text may name; see `same_kind`."""
    return frozenset().union(*map(_named_by, words(text)))


@lru_cache(maxsize=8192)
def _named_by(word: str) -> frozenset[str]:
    """The kinds that a word names, whether there are such things or not."""
    named = {word, word.removesuffix("s"), word.removesuffix("es")}
    if word.endswith("ves"):
        named |= {f"{word[:-3]}f", f"{word[:-3]}fe"}
    named.update(word[:end] for end in range(_COMPOUND, len(word)))
    return frozenset(named)


def kinds_in(text: str, kinds: frozenset[str]) -> tuple[str, ...]:
    """Which of the kinds a text names, each once, in the order of the text."""
    found: dict[str, None] = {}
    for word in words(text):
        # The longest first: a desklamp is not a desk.
        if named := kinds & _named_by(word):
            found[min(named, key=lambda one: (-len(one), one))] = None
    return tuple(found)
