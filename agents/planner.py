"""A planner: which steps solved tasks like this one."""

from __future__ import annotations

from collections.abc import Sequence

from ..memory import Case
from ..memory.entities import Mention
from .guide import Experience, Need, Step


class Planner:
    """Makes a plan from recalled cases. Holds no state."""

    def plan(
        self, task: str, cases: Sequence[Case], around: Sequence[Mention] = ()
    ) -> tuple[str, ...]:
        """The steps of the best fitting success, with this task's things put for its own.

        Args:
            task: What is to be done, in words.
            cases: Recalled trials.
            around: What is known to be there.

        Returns:
            One line for each step, such as "take mug from any place"; empty without a success.
        """
        guides = Experience(task, cases, (), around).guides()
        return tuple(_in_words(step) for step in guides[0].steps) if guides else ()


def _in_words(step: Step) -> str:
    """A step with its slots filled: by the kind wanted, or by "any"."""
    words = step.template.split(" ")
    slots = iter(step.slots)
    filled = []
    for word in words:
        if word == "_":
            slot = next(slots)
            filled.append("any" if slot.need is Need.FREE else slot.kind)
        else:
            filled.append(word)
    return " ".join(filled)
