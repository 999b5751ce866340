"""A world in other words: every verb, object and place renamed to nonsense, by a seeded bijection.

What a team does in such a world rests on what it remembers and on the form of texts, not on words
that its code, its tuning or an embedder might know.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..agents.environment import Environment, Observation, Task
from ..errors import InvalidTask
from .worlds import World

_KEPT = """
a an the this that these those some any all both each no not nothing one two three four five
i you he she it we they your my his her its our their who which what where when
of in on at to into onto from with without by for as off up down under over near inside
and or but if then so than is are was were be been am do does did has have had will can there here
"""
FUNCTION_WORDS = frozenset(_KEPT.split())
"""English words that are kept: they stand for no verb, object or place."""

_VOWELS, _CONSONANTS = "aeiou", "bcdfghjklmnpqrstvwxyz"
_WORD = re.compile(r"[A-Za-z]+")
_SHORT = 4
"""Longest word that is spelled anew: as short a nonsense word is often a word of English."""
_SYLLABLES = 3
_ROUNDS = 6
_NO_ACTION = "()"
"""An action that no world admits, for one that was not admissible in other words."""


class Renaming:
    """A bijection between words, the same in every process for the same seed.

    A word becomes one of the same length and the same order of vowels and consonants, so that it
    can be pronounced; one of up to four letters becomes three syllables. The endings -s, -es, -ed
    and -ing stay (-es as -s), so that "mugs" is the plural of what "mug" has become; irregular
    forms ("knives") and parts of compounds lose their kinship. Numbers, punctuation, capitals and
    `FUNCTION_WORDS` stay as they are.

    No two words share a name, except "-s" and "-es" on the same stem. It is a permutation of all
    words of a pattern (a Feistel network; Luby and Rackoff 1988) with cycle walking past words
    that must not come out (Black and Rogaway 2002); nothing need be known of the vocabulary.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._names: dict[str, str] = {}
        self._words: dict[str, str] = {}

    def text(self, text: str) -> str:
        """A text in the other words."""
        return _WORD.sub(lambda match: _as_written(self.word(match[0]), match[0]), text)

    def back(self, text: str) -> str:
        """A text of words that have been named before in the words of the world; others stay."""
        return _WORD.sub(
            lambda match: _as_written(self._words.get(match[0].lower(), match[0]), match[0]), text
        )

    def word(self, word: str) -> str:
        """What a word is called, in lower case."""
        word = word.lower()
        if word not in self._names:
            self._names[word] = name = self._name(word)
            self._words.setdefault(name, word)
        return self._names[word]

    def _name(self, word: str) -> str:
        if word in FUNCTION_WORDS:
            return word
        stem, ending = _split(word)
        if ending:
            return self._name(stem) + ending
        spelled = _spelled(word)
        while True:
            spelled = self._permuted(spelled)
            if spelled not in FUNCTION_WORDS and not _split(spelled)[1]:
                return spelled

    def _permuted(self, word: str) -> str:
        """The word that a keyed permutation of all words of this pattern puts in its place."""
        alphabets = [_VOWELS if letter in _VOWELS else _CONSONANTS for letter in word]
        size = 1
        number = 0
        for letter, alphabet in zip(word, alphabets, strict=True):
            size *= len(alphabet)
            number = number * len(alphabet) + alphabet.index(letter)
        key = f"{self.seed}/{''.join('v' if one is _VOWELS else 'c' for one in alphabets)}"
        number = _feistel(number, size, key)
        letters = []
        for alphabet in reversed(alphabets):
            number, place = divmod(number, len(alphabet))
            letters.append(alphabet[place])
        return "".join(reversed(letters))


def _feistel(number: int, size: int, key: str) -> int:
    """A keyed permutation of the numbers below `size`."""
    half = max(1, -(-(size - 1).bit_length() // 2))
    mask = (1 << half) - 1
    while True:
        left, right = number >> half, number & mask
        for turn in range(_ROUNDS):
            noise = hashlib.blake2b(f"{key}/{turn}/{right}".encode()).digest()
            left, right = right, left ^ (int.from_bytes(noise, "big") & mask)
        number = left << half | right
        if number < size:
            return number


def _split(word: str) -> tuple[str, str]:
    """A word without its ending, and the ending as it is written in other words; "" if none.

    Whether "-s", "-ed" or "-ing" is an ending depends only on the vowels and consonants before
    it, which a name shares with its word.
    """
    if word.endswith(("ches", "shes", "xes", "zes", "sses")) or (
        word.endswith("oes") and len(word) > 5
    ):
        return word[:-2], "s"
    for ending in ("ing", "ed", "s"):
        stem = word.removesuffix(ending)
        if stem != word and len(stem) > 2 and any(letter in _VOWELS for letter in stem):
            return stem, ending
    return word, ""


def _spelled(word: str) -> str:
    """A word, short ones in syllables; regular longer ones make room for them by one letter."""
    if len(word) <= _SHORT:
        number = 0
        for letter in word:
            number = number * 26 + ord(letter) - ord("a") + 1
        letters = []
        for _ in range(_SYLLABLES):
            number, consonant = divmod(number, len(_CONSONANTS))
            number, vowel = divmod(number, len(_VOWELS))
            letters += [_CONSONANTS[consonant], _VOWELS[vowel]]
        return "".join(letters)
    regular = all((letter in _VOWELS) == bool(place % 2) for place, letter in enumerate(word))
    if regular and len(word) >= 2 * _SYLLABLES:
        return word + ("n" if word[-1] in _VOWELS else "a")
    return word


def _as_written(word: str, like: str) -> str:
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word.capitalize() if like[0].isupper() else word


@dataclass(frozen=True, slots=True)
class Renamed:
    """A world in other words. Implements `World`.

    Args:
        world: The world.
        seed: Of the bijection.
    """

    world: World
    seed: int = 1
    renaming: Renaming = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "renaming", Renaming(self.seed))

    @property
    def name(self) -> str:
        """The world's own name, and the seed."""
        return f"{self.world.name}-renamed-{self.seed}"

    def tasks(self, n: int, *, seed: int = 0) -> Sequence[Task]:
        """The world's tasks in other words; ids and kinds stay."""
        return [self.task(task) for task in self.world.tasks(n, seed=seed)]

    def task(self, task: Task) -> Task:
        """A task of the world in other words."""
        plain = {"goal": task.goal, "kind": task.kind, "data": dict(task.data)}
        return replace(task, goal=self.renaming.text(task.goal), data={"in its own words": plain})

    def own(self, task: Task) -> Task:
        """A task in the world's own words again.

        Raises:
            InvalidTask: The task is not one of this world.
        """
        plain = task.data.get("in its own words")
        if not isinstance(plain, Mapping) or set(plain) != {"goal", "kind", "data"}:
            raise InvalidTask(
                f"The task {task.id!r} is not in other words; take it from `Renamed.tasks`.",
                task=task.id,
            )
        return Task(task.id, plain["goal"], plain["kind"], plain["data"])

    def environment(self) -> RenamedEnvironment:
        """A fresh environment."""
        return RenamedEnvironment(self, self.world.environment())

    async def demonstration(self, task: Task) -> list[str]:
        """The actions of the world's expert in other words."""
        actions = await self.world.demonstration(self.own(task))
        return [self.renaming.text(action) for action in actions]


class RenamedEnvironment:
    """Plays a world's tasks in other words. Implements `Environment`."""

    def __init__(self, world: Renamed, environment: Environment) -> None:
        self._world = world
        self._environment = environment
        self._own: dict[str, str] | None = None

    async def reset(self, task: Task, seed: int = 0) -> Observation:
        """Begin an episode."""
        return self._told(await self._environment.reset(self._world.own(task), seed))

    async def step(self, action: str) -> Observation:
        """Perform one action, given in the other words."""
        if self._own is None:
            own = self._world.renaming.back(action)
        else:
            own = self._own.get(action.strip(), _NO_ACTION)
        return self._told(await self._environment.step(own))

    async def close(self) -> None:
        """Close the world's environment."""
        await self._environment.close()

    def _told(self, observed: Observation) -> Observation:
        rename = self._world.renaming.text
        actions = None
        self._own = None
        if observed.actions is not None:
            self._own = {rename(action): action for action in observed.actions}
            actions = tuple(sorted(self._own))
        return replace(observed, text=rename(observed.text), actions=actions)
