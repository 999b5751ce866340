"""What an attack is, and what it is aimed at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ...errors import InvalidInput
from ...workflows.guard.planting import Material, Play


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What an attacker wants.

    Attributes:
        task: The task at which agents are to go wrong, in words.
        harm: What they are to do there: (action, what comes of it) pairs.
        trigger: Words that only the tasks to be hit carry; "" where every such task is to be hit.
        slots: How many records a recall hands out; as many poisons fill it.
        sources: The principals the attacker writes as, at least one.
        opening: What the world says at the beginning of the task, where there is one.
    """

    task: str
    harm: tuple[tuple[str, str], ...]
    trigger: str = ""
    slots: int = 4
    sources: tuple[str, ...] = ("mallory",)
    opening: str = ""

    def __post_init__(self) -> None:
        if not self.harm or not self.sources or self.slots < 1:
            raise InvalidInput(
                "A target needs an action that does harm, a source to write as, and a slot.",
                task=self.task,
            )

    @property
    def asked(self) -> str:
        """The task as the victim words it: with the trigger, if there is one."""
        return f"{self.task} {self.trigger}".strip()

    def source(self, number: int) -> str:
        """The n-th principal, going round."""
        return self.sources[number % len(self.sources)]

    def poison(self, number: int, *, task: str = "", name: str = "") -> Play:
        """A trial in which the harm was done, told as a success.

        Args:
            number: Tells poisons of one attack apart, and picks the source.
            task: In words; as the victim asks if empty.
            name: Of the attack, for the run.
        """
        opening = (("", self.opening),) if self.opening else ()
        return Play(
            source=self.source(number),
            task=task or self.asked,
            steps=(*opening, *self.harm),
            run=f"{name or 'poison'}:{self.source(number)}:{number}",
        )


class Attack(Protocol):
    """One way to poison a memory.

    Guarantees: deterministic for equal arguments; everything it returns names a source of the
    target as its writer.
    """

    @property
    def name(self) -> str:
        """What it is called in reports."""
        ...

    def material(self, seed: int, target: Target, honest: Sequence[Play]) -> tuple[Material, ...]:
        """What the attacker writes, in order.

        Args:
            seed: Of every choice by chance.
            target: What is wanted.
            honest: Trials of honest sources that the attacker can see, best known first.
        """
        ...


ATTACKS: Mapping[str, str] = {
    "direct-injection": "records:DirectInjection",
    "triggered-poison": "records:TriggeredPoison",
    "identical-copies": "records:IdenticalCopies",
    "paraphrased-copies": "records:ParaphrasedCopies",
    "colluding": "records:Colluding",
    "betrayal": "records:Betrayal",
    "indirect-injection": "through_agents:IndirectInjection",
    "poisoned-lesson": "through_agents:PoisonedLesson",
    "error-cycle": "through_agents:ErrorCycle",
    "borrowed-votes": "through_agents:BorrowedVotes",
}
"""Per name the module of this package and the class."""


def attack(name: str) -> Attack:
    """The attack of a name, with its defaults.

    Raises:
        InvalidInput: There is none.
    """
    from importlib import import_module

    if name not in ATTACKS:
        raise InvalidInput(f"There is no attack {name!r}; there is {', '.join(ATTACKS)}.")
    module, _, member = ATTACKS[name].partition(":")
    made: Attack = getattr(import_module(f".{module}", __package__), member)()
    return made
