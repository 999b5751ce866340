"""Workflows: who acts when, worlds to act in, and the benchmarks."""

from .app import App, Run
from .embodied import embodied
from .inputs import Prepared
from .topologies import chain, loop, solver_critic, supervisor
from .workflow import Workflow
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
