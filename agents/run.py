"""The run that is going on: what an agent's node needs to find its bus, memory and trial."""

from __future__ import annotations

import time
from collections import Counter
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from ..errors import DeadlineExceeded, WorkflowError
from ..memory import Memory, Trial
from .bus import Bus
from .models import ChatModel, Usage
from .recorder import Recorder

DEFAULT_TIMEOUT = 120.0
"""Seconds an agent may take for one activation, unless it says otherwise."""


@dataclass(slots=True, eq=False)
class ActiveRun:
    """One invocation of a workflow. Opened by `triforium.workflows.App`.

    Attributes:
        id: The run; the thread id of its checkpoints.
        invocation: Distinguishes several invocations of one run (a resume is a new one).
        memory: The team's memory.
        trial: The open trial.
        bus: Carries the requests to the agents.
        recorder: Writes what agents say and do.
        model: The team's chat model, or None.
        timeout: Seconds an agent may take for one activation.
        deadline: `time.monotonic()` at which the run must end, or None.
        resources: What agents share and no checkpoint can hold, such as an open environment.
        usage: What the models cost so far.
        activations: Activations of agents so far, by task of the graph.
    """

    id: str
    invocation: str
    memory: Memory
    trial: Trial
    bus: Bus
    recorder: Recorder
    model: ChatModel | None = None
    timeout: float = DEFAULT_TIMEOUT
    deadline: float | None = None
    resources: dict[str, Any] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    activations: Counter[str] = field(default_factory=Counter)

    def seconds_left(self, limit: float) -> float:
        """The smaller of `limit` and what is left of the run.

        Raises:
            DeadlineExceeded: Nothing is left.
        """
        if self.deadline is None:
            return limit
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded(
                f"The deadline of run {self.id!r} has passed. "
                "Invoke it again with the same thread_id to go on from its last checkpoint.",
                run=self.id,
            )
        return min(limit, left)


_current: ContextVar[ActiveRun | None] = ContextVar("triforium_run", default=None)


def current_run() -> ActiveRun:
    """The run this code is called in.

    Raises:
        WorkflowError: There is none.
    """
    run = _current.get()
    if run is None:
        raise WorkflowError(
            "An agent was called outside of a run. Run its graph through a Workflow: "
            "`async with workflow.open(...) as app: await app.ainvoke(...)`."
        )
    return run


class running:
    """Context manager: makes a run the current one."""

    def __init__(self, run: ActiveRun) -> None:
        self._run = run

    def __enter__(self) -> ActiveRun:
        self._token = _current.set(self._run)
        return self._run

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)
