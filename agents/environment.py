"""Task worlds: the interface between agents and an environment that answers actions with text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Task:
    """One task of a world.

    Attributes:
        id: Unique within the stream and stable between runs.
        goal: What is to be done, in words.
        kind: Group for statistics, such as "heat then place"; never shown to agents.
        data: What the world needs to set the task up (a seed, a file); plain JSON.
    """

    id: str
    goal: str
    kind: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Observation:
    """What a world answers to `reset` and to each action.

    Attributes:
        text: What an agent sees.
        actions: The admissible actions, or None when the world does not tell them.
        reward: Of the last action.
        progress: Share of the goal that is reached, in [0, 1], where the world tells it.
        won: The goal is reached.
        done: The episode is over, won or not.
    """

    text: str
    actions: tuple[str, ...] | None = None
    reward: float = 0.0
    progress: float | None = None
    won: bool = False
    done: bool = False


@runtime_checkable
class Environment(Protocol):
    """A task world that plays one episode at a time.

    Guarantees:
        - `reset` with the same task and seed, followed by the same actions, gives the same
          observations; an interrupted episode is resumed by replaying its actions.
        - An action that is not admissible is answered in text and changes nothing.
        - Neither method blocks the event loop.
    """

    async def reset(self, task: Task, seed: int = 0) -> Observation:
        """Begin an episode.

        Raises:
            InvalidGame: The task's game file cannot be loaded.
        """
        ...

    async def step(self, action: str) -> Observation:
        """Perform one action."""
        ...

    async def close(self) -> None:
        """Release what the world holds."""
        ...
