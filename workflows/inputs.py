"""What goes into a graph: tasks as inputs, and what is set up before it runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..agents import Task
from ..errors import WorkflowError


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `Workflow.prepare` gives back.

    Attributes:
        input: The input of the graph; None to go on from the last checkpoint.
        context: Names of what is around, for recall.
        close: Called when the invocation ends.
    """

    input: Any
    context: frozenset[str] = frozenset()
    close: Callable[[], Awaitable[None]] | None = None


Prepare = Callable[[Any, dict[str, Any]], Awaitable[Prepared]]
"""Gets the input (or, to resume, the checkpointed state) and the run's resources to fill."""


def task_of(state: Any) -> str:
    """The task in words: ``state["task"]``, else the content of the last message."""
    if isinstance(state, str):
        return state
    if isinstance(state, Mapping):
        if "task" in state:
            return str(state["task"])
        messages = state.get("messages")
        if messages:
            last = messages[-1]
            if isinstance(last, tuple | list) and len(last) == 2:
                return str(last[1])
            return str(getattr(last, "content", last))
    task = getattr(state, "task", None)
    if task is not None:
        return str(task)
    raise WorkflowError(
        "The input has neither a 'task' nor 'messages'. Say what the task is: "
        "Workflow(..., task=lambda state: ...)."
    )


def as_input(task: Task | Mapping[str, Any] | str) -> dict[str, Any]:
    """A task as the input of a graph."""
    if isinstance(task, str):
        return {"task": task}
    if isinstance(task, Task):
        own = {"task": task.goal, "task_id": task.id, "kind": task.kind, "data": dict(task.data)}
        return {**task.data, **own}
    return dict(task)
