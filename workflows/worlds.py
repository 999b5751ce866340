"""Worlds: where embodied tasks come from, and what plays them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from ..agents.environment import Environment, Task


@runtime_checkable
class World(Protocol):
    """A source of tasks, and of environments that play them.

    Guarantees:
        - `tasks` with the same arguments gives the same tasks, with the same ids.
        - Environments are independent: several may be open at once, each playing one episode.
        - A task is plain data: it can be stored, and played by an environment of an equal world
          in another process.
    """

    @property
    def name(self) -> str:
        """What the world is called, for reports and settings."""
        ...

    def tasks(self, n: int, *, seed: int = 0) -> Sequence[Task]:
        """Draw tasks.

        Args:
            n: How many; a world with fewer gives all it has.
            seed: Draws other tasks, or other orders of them.

        Raises:
            InvalidInput: `n` is negative.
        """
        ...

    def environment(self) -> Environment:
        """A fresh environment; it holds nothing until its first `reset`."""
        ...

    async def demonstration(self, task: Task) -> list[str]:
        """The actions of an expert, from `reset` to the goal; empty if none is known.

        Raises:
            InvalidTask: The task is not one of this world.
            InvalidGame: The task's game file cannot be loaded.
        """
        ...
