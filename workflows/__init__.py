"""Workflows: who acts when, worlds to act in, and the benchmarks."""

from .embodied import embodied
from .topologies import chain, loop, solver_critic, supervisor
from .workflow import App, Prepared, Run, Workflow
from .worlds import World

__all__ = [
    "App",
    "Prepared",
    "Run",
    "Workflow",
    "World",
    "chain",
    "embodied",
    "loop",
    "solver_critic",
    "supervisor",
]
