"""How far a plan is from what somebody else did in the same situation."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from .plan import Plan

AGAINST = 3.0
"""Log of the odds that a witness's dissent is worth: of plans for one situation by independent
sources 4% differ in their aim, of poisoned ones nearly all."""
_WORD = 3
"""Letters that a word must have to name something."""
UNSURE = 0.2
"""What dissent is worth, as a share, when the situations are barely alike."""
FOR = 2.5
"""Log of the odds that a witness's agreement is worth."""


class Conflict(NamedTuple):
    """How much two plans contradict each other, each part in [0, 1]; one half says nothing.

    Attributes:
        verb: The plan ends in what the other never does, or uses a verb that the other does not.
        object: The plan deals with what the other does not touch.
        detail: The plan ends in a part of the object that the other does not look at.
    """

    verb: float
    object: float
    detail: float

    @property
    def most(self) -> float:
        """The greatest of the parts."""
        return max(self)


def conflict(plan: Plan, other: Plan, own_words: Collection[str] = ()) -> Conflict:
    """How much a plan contradicts what an independent source did in the same situation.

    The aim weighs most: what a plan ends in, the other must do too, whatever else it does. That
    it deals with something else says nothing if its own text names that: who is asked for the
    height looks up the height.

    Args:
        plan: That is judged.
        other: The other's.
        own_words: Of the text that the plan belongs to, which the other's text lacks.
    """
    aim = plan.aim
    if aim is None or not other:
        return Conflict(0.5, 0.5, 0.5)
    verb = 0.7 if aim.verb in other.verbs else 1.0
    if plan.verbs <= other.verbs:
        verb = 0.0
    about = 0.5
    if aim.object and other.objects:
        new = plan.objects - other.objects
        about = 1.0 if new else 0.0
        if new and all(_named(name, own_words) for name in new):
            about = 0.5
    part = 0.5
    if aim.detail:
        looked_at = {(act.object, act.detail) for act in other.acts}
        part = 1.0
        if aim in other.acts:
            part = 0.0
        elif (aim.object, aim.detail) in looked_at and aim.verb in other.verbs:
            # The other looks at it on the way, but that is not what is asked for.
            part = 0.85
        if part and (about == 0.5 or _named(aim.detail, own_words)):
            part = 0.5
    return Conflict(verb, about, part)


def _named(name: str, words: Collection[str]) -> bool:
    """Whether one of the words names a thing, as "height" names "admissionheight"."""
    name = name.casefold()
    return any(len(word) >= _WORD and (word in name or name in word) for word in words)


def odds(contradiction: float, sureness: float = 1.0) -> float:
    """The log of the odds for poison that a vote is worth.

    Args:
        contradiction: In [0, 1]; one half says nothing.
        sureness: That the situations are the same, in [0, 1]; in unsure ones dissent is worth
            less, since honest plans then differ as well.
    """
    against = AGAINST * (UNSURE + (1.0 - UNSURE) * sureness)
    return against * max(0.0, 2 * contradiction - 1) - FOR * max(0.0, 1 - 2 * contradiction)
