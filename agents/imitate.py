"""Acting in worlds whose things carry no numbers, by imitating recalled successes.

A case is carried over by putting the words of this goal for those in which the case's goal differs;
each of its steps is then made as it stands, or as the offered action most like it. Only the form of
texts is used: the code knows no word of any world.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from ..memory import Case, mentions

LIKE = 0.5
"""Least likeness of an offered action to a step that it may stand for."""
CONNECTING = 2
"""Words of at most this many letters tell little."""
_WORD = re.compile(r"[\w'-]+")


@dataclass(slots=True)
class _Carried:
    """A case carried over to this goal."""

    case: str
    steps: tuple[str, ...]
    at: int = 0


@dataclass(slots=True)
class Imitator:
    """Follows recalled successes through one episode. Deterministic for equal calls.

    Args:
        goal: In words.
        cases: Recalled trials, best first; those that succeeded are followed.
    """

    goal: str
    cases: Sequence[Case]
    _plans: list[_Carried] = field(init=False)
    _plan: int = field(init=False, default=0)
    _seen: int = field(init=False, default=0)
    _made: Counter[str] = field(init=False, default_factory=Counter)

    def __post_init__(self) -> None:
        won = [case for case in self.cases if case.outcome.succeeded]
        self._plans = [
            _Carried(case.id, carry_over(case, self.goal))
            for case in sorted(won, key=lambda case: -likeness(case.task, self.goal))
        ]

    def propose(
        self,
        actions: Sequence[str],
        history: Sequence[tuple[str, str]],
        vetoed: frozenset[str] = frozenset(),
    ) -> tuple[str, str, str] | None:
        """The next action, a few words for people, and the case it is from; None if none fits.

        Args:
            actions: What the world admits now.
            history: (action, observation) pairs so far.
            vetoed: Actions that a critic sent back.
        """
        for action, _ in history[self._seen :]:
            self._made[action] += 1
        self._seen = len(history)
        offered = {action.lower(): action for action in actions if action not in vetoed}
        rarity = Counter(word for action in offered for word in set(_WORD.findall(action)))
        while self._plan < len(self._plans):
            plan = self._plans[self._plan]
            while plan.at < len(plan.steps):
                step = plan.steps[plan.at]
                if step in offered:
                    plan.at += 1
                    return offered[step], "as in the case", plan.case
                found = self._like(step, offered, rarity)
                if found is not None:
                    plan.at += 1
                    return offered[found], f"like {step!r} in the case", plan.case
                plan.at += 1
            self._plan += 1
        return None

    def _like(self, step: str, offered: dict[str, str], rarity: Counter[str]) -> str | None:
        """The offered action most like a step, of equals the one least made and the shortest."""
        known = [word for word in _WORD.findall(step) if len(word) > CONNECTING and rarity[word]]
        if not known:
            return None
        best = max(
            offered,
            key=lambda action: (
                likeness(step, action),
                -self._made[offered[action]],
                -len(action),
                action,
            ),
            default=None,
        )
        return best if best is not None and likeness(step, best) >= LIKE else None


def by_words(cases: Sequence[Case]) -> bool:
    """Whether most actions of the successes name no numbered thing, so that words must do."""
    actions = [
        step.action
        for case in cases
        if case.outcome.succeeded
        for step in case.steps
        if step.action
    ]
    return bool(actions) and 2 * sum(bool(mentions(action)) for action in actions) < len(actions)


def carry_over(case: Case, goal: str) -> tuple[str, ...]:
    """The actions of a case, with the words of this goal for those in which the case's differs."""
    mine, its = _WORD.findall(goal.lower()), _WORD.findall(case.task.lower())
    put: dict[str, str] = {}
    for kind, low, high, start, end in SequenceMatcher(
        None, its, mine, autojunk=False
    ).get_opcodes():
        if kind == "replace":
            if high - low == end - start:
                put |= dict(zip(its[low:high], mine[start:end], strict=True))
            put[" ".join(its[low:high])] = " ".join(mine[start:end])
    # What this goal says too stays what it is.
    put = {old: new for old, new in put.items() if old not in mine}
    steps = []
    for step in case.steps:
        if step.action:
            text = step.action.lower()
            for old in sorted(put, key=lambda one: (-len(one), one)):
                text = re.sub(rf"(?<![\w-]){re.escape(old)}(?![\w-])", put[old], text)
            steps.append(text)
    return tuple(steps)


def likeness(one: str, other: str) -> float:
    """The overlap of two texts in their words; the first word and short ones count less."""
    a, b = _weights(one), _weights(other)
    both = sum(min(a[word], b[word]) for word in a.keys() & b.keys())
    either = sum(max(a.get(word, 0.0), b.get(word, 0.0)) for word in a.keys() | b.keys())
    return both / either if either else 0.0


def _weights(text: str) -> dict[str, float]:
    weights: dict[str, float] = {}
    for number, word in enumerate(_WORD.findall(text.lower())):
        weight = 0.2 if len(word) <= CONNECTING else 1.0 if number == 0 else 2.0
        weights[word] = max(weight, weights.get(word, 0.0))
    return weights
