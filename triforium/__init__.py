"""Memory and orchestration for teams of agents.

The names below are loaded when they are first used: importing this package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .agents import Environment, Observation, Task, Team, Turn
    from .errors import TriforiumError
    from .graph import Outcome
    from .memory import Memory, Recall
    from .workflows import App, Run, Workflow, embodied

_HOME = {
    "App": "workflows",
    "Environment": "agents",
    "Memory": "memory",
    "Observation": "agents",
    "Outcome": "graph",
    "Recall": "memory",
    "Run": "workflows",
    "Task": "agents",
    "Team": "agents",
    "TriforiumError": "errors",
    "Turn": "agents",
    "Workflow": "workflows",
    "embodied": "workflows",
}

__all__ = [
    "App",
    "Environment",
    "Memory",
    "Observation",
    "Outcome",
    "Recall",
    "Run",
    "Task",
    "Team",
    "TriforiumError",
    "Turn",
    "Workflow",
    "embodied",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
