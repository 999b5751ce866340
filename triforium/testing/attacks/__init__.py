"""Attacks on a team's memory, for testing a guard and the workflows behind it.

Each attack is an object with a name and a function from (seed, target, honest material) to what
its sources write; `plant` writes it through the public API, each source as itself:

    target = Target(task="refund order 4711", harm=(("refund_all()", "done"),))
    material = TriggeredPoison().material(0, target, honest)
    planted = await plant(memory, material)

The same attacks work on task worlds: `household_target` makes the target of a household task, a
real trajectory to a wrong goal. An attack writes what its paper's attacker can write, and no more.
"""

from ...workflows.guard.paraphrase import paraphrase
from ...workflows.guard.planting import Material, Note, Planted, Play, plant
from .kit import ATTACKS, Attack, Target, attack
from .records import (
    Betrayal,
    Colluding,
    DirectInjection,
    IdenticalCopies,
    ParaphrasedCopies,
    TriggeredPoison,
)
from .through_agents import BorrowedVotes, ErrorCycle, IndirectInjection, PoisonedLesson
from .worlds import household_target

__all__ = [
    "ATTACKS",
    "Attack",
    "Betrayal",
    "BorrowedVotes",
    "Colluding",
    "DirectInjection",
    "ErrorCycle",
    "IdenticalCopies",
    "IndirectInjection",
    "Material",
    "Note",
    "ParaphrasedCopies",
    "Planted",
    "Play",
    "PoisonedLesson",
    "Target",
    "TriggeredPoison",
    "attack",
    "household_target",
    "paraphrase",
    "plant",
]
