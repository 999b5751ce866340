"""Plan skeletons: what a trial did to reach its goal, with the goal's own things taken out.

"cool some apple and put it in microwave" done by "take apple 1 from diningtable 1", "cool apple 1
with fridge 1", "move apple 1 to microwave 1" has the steps "take (1) from diningtable", "cool (1)
with fridge", "move (1) to (2)", where (1) and (2) are the kinds the goal names, in its order.
Two trials with equal skeletons did the same, whatever they did it with.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .entities import Action, kinds_in, parse_action, same_kind, stem, words

ANY = ""
"""A slot that takes things of any kind."""
_SLOT = re.compile(r"(?<!\w)_(?!\w)")


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for a thing in a step.

    Attributes:
        goal: Which of the goal's kinds stands here, from 1 in the goal's order; 0 for none.
        which: Tells several things of one of the goal's kinds apart, from 0 as they first appear.
        kind: The kind that stands here; `ANY` if it may be any.
    """

    goal: int = 0
    which: int = 0
    kind: str = ANY

    def __str__(self) -> str:
        if self.goal:
            return f"({self.goal}{chr(ord('a') + self.which % 26) if self.which else ''})"
        return self.kind or "any"


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a skeleton: an action's template and what stands in its slots."""

    template: str
    slots: tuple[Slot, ...]

    @property
    def head(self) -> str:
        """The first word and the number of slots, as of `Action.head`."""
        return f"{self.template.split(' ', 1)[0]}/{len(self.slots)}"

    def __str__(self) -> str:
        filled = iter(self.slots)
        return _SLOT.sub(lambda found: str(next(filled, found[0])), self.template)


@dataclass(frozen=True, slots=True)
class Skeleton:
    """What a trial did.

    Attributes:
        goal: Stems of the goal's words without the kinds it names.
        pattern: The goal with its kinds numbered, such as "put some (1) on (2)".
        kinds: The kinds it names, in its order.
        steps: Those that deal with a thing of such a kind.
    """

    goal: frozenset[str]
    pattern: str
    kinds: tuple[str, ...]
    steps: tuple[Step, ...]


def skeleton(task: str, actions: Sequence[str]) -> Skeleton:
    """The plan skeleton of a trial.

    Args:
        task: Its goal, in words.
        actions: What its outcome depended on, in order (see `condense`).
    """
    parsed = [parse_action(action) for action in actions if action]
    kinds = kinds_in(task, frozenset(thing.kind for one in parsed for thing in one.things))
    seen: dict[str, list[str]] = {kind: [] for kind in kinds}
    steps: list[tuple[Action, Step]] = []
    for action in parsed:
        if not any(thing.kind in seen for thing in action.things):
            continue
        slots = []
        for thing in action.things:
            if thing.kind in seen:
                names = seen[thing.kind]
                if thing.name not in names:
                    names.append(thing.name)
                number = kinds.index(thing.kind) + 1
                slots.append(Slot(number, names.index(thing.name), thing.kind))
            else:
                slots.append(Slot(kind=thing.kind))
        steps.append((action, Step(action.template, tuple(slots))))
    return Skeleton(bare(task, kinds), _pattern(task, kinds), kinds, without_errands(steps))


def _pattern(task: str, kinds: Sequence[str]) -> str:
    numbered = []
    for word in words(task):
        named = (number for number, kind in enumerate(kinds, 1) if same_kind(word, kind))
        number = next(named, 0)
        numbered.append(f"({number})" if number else word)
    return " ".join(numbered)


def bare(task: str, kinds: Sequence[str]) -> frozenset[str]:
    """The stems of a task's words, without those that name one of the kinds."""
    return frozenset(
        stem(word) for word in words(task) if not any(same_kind(word, kind) for kind in kinds)
    )


def without_errands(steps: Sequence[tuple[Action, Step]]) -> tuple[Step, ...]:
    """Drop single-slot steps whose thing the next step deals with too: they only lead to it."""
    kept = []
    for number, (action, step) in enumerate(steps):
        later = steps[number + 1][0].things if number + 1 < len(steps) else ()
        if len(action.things) == 1 and action.things[0] in later:
            continue
        kept.append(step)
    return tuple(kept)
