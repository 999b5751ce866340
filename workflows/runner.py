"""Runs a workflow over a stream of tasks: progress, learning curve, resume."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ..agents import Task
from ..errors import InvalidInput
from .app import App, Run
from .curve import svg_curve, terminal_curve
from .results import ItemLog
from .tasks import read_tasks
from .workflow import Workflow


def progress_bar(console: Console) -> Progress:
    """A bar with counts and times, and a last column for how it goes."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        transient=True,
    )


async def play(
    app: App[Any],
    tasks: Iterable[Task],
    log: ItemLog,
    *,
    arm: str,
    console: Console,
    stream_id: str = "",
    on_error: str = "continue",
    after: Callable[[Run, Task], Awaitable[None]] | None = None,
) -> list[dict[str, Any]]:
    """Run tasks in order and log each as it ends; those in the log already are not run again.

    Args:
        app: An open workflow.
        tasks: In order.
        log: Where each task is noted as it ends.
        arm: The name they are logged under.
        console: Shows the progress bar.
        stream_id: Names the stream for `App.stream`, so that a task that a crash cut off goes on
            from its last checkpoint.
        on_error: See `App.stream`.
        after: Called with each run before it is logged.

    Returns:
        The log's items of these tasks, in order.
    """
    todo = list(tasks)
    left = [task for task in todo if (arm, task.id) not in log.items]
    with progress_bar(console) as bar:
        line = bar.add_task(arm, total=len(todo), completed=len(todo) - len(left), note="")
        async for run in app.stream(left, stream_id=stream_id, on_error=on_error):
            task = next(task for task in left if task.id == run.key)
            if after is not None:
                await after(run, task)
            log.add(item_of(run, arm, task))
            done = [log.items[arm, task.id] for task in todo if (arm, task.id) in log.items]
            judged = [item["success"] for item in done[-10:] if item["success"] is not None]
            note = f"{sum(judged)} of the last {len(judged)} solved" if judged else ""
            bar.update(line, advance=1, note=note)
    return [log.items[arm, task.id] for task in todo]


def item_of(run: Run, arm: str, task: Task) -> dict[str, Any]:
    """A line of `items.jsonl`."""
    recalls = run.explain().recalls
    return {
        "arm": arm,
        "task": task.id,
        "kind": task.kind,
        "goal": run.task,
        "success": run.outcome.succeeded,
        "outcome": run.outcome.to_json(),
        "steps": run.steps,
        "tokens": sum(recall.tokens for recall in recalls),
        "recalled": sum(len(recall.items) for recall in recalls),
        "model_calls": run.usage.calls,
        "model_tokens": run.usage.prompt_tokens + run.usage.completion_tokens,
        "seconds": round(run.seconds, 4),
        "run": run.id,
        "error": run.error,
    }


def load_workflow(reference: str) -> Workflow[Any]:
    """The workflow that ``FILE.py:NAME`` refers to.

    Raises:
        InvalidInput: There is no such file or name, the file fails, or it is no workflow.
    """
    file, _, name = reference.rpartition(":")
    path = Path(file)
    if not file or not name or path.suffix != ".py" or not path.is_file():
        raise InvalidInput(
            f"{reference!r} names no workflow. Write FILE.py:NAME, with a file that exists.",
            reference=reference,
        )
    spec = importlib.util.spec_from_file_location(f"triforium_user_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InvalidInput(
            f"{path} cannot be loaded: {type(error).__name__}: {error}.", path=str(path)
        ) from error
    finally:
        sys.path.pop(0)
    workflow = getattr(module, name, None)
    if not isinstance(workflow, Workflow):
        raise InvalidInput(
            f"{path} has no workflow {name!r}. It must be a triforium.Workflow at the top level.",
            reference=reference,
        )
    return workflow


async def run_file(
    reference: str,
    *,
    tasks: Path,
    store: str,
    out: Path,
    on_error: str,
    console: Console,
) -> int:
    """Run a workflow over a file of tasks; what `triforium run` does.

    Returns:
        How many tasks ended with an error.
    """
    if on_error not in ("continue", "stop"):
        raise InvalidInput(f'--on-error is "continue" or "stop", not {on_error!r}.')
    workflow = load_workflow(reference)
    skipped: list[str] = []
    stream = list(
        read_tasks(
            tasks,
            on_error="stop" if on_error == "stop" else "skip",
            report=lambda error: skipped.append(str(error)),
        )
    )
    for sentence in skipped:
        console.print(f"Skipped: {sentence}", markup=False)
    digest = hashlib.blake2b(tasks.read_bytes(), digest_size=8).hexdigest()
    log = ItemLog.open(
        out / "items.jsonl", {"workflow": reference, "tasks": digest, "store": store}
    )
    async with workflow.open(store=store) as app:
        items = await play(
            app,
            stream,
            log,
            arm="triforium",
            console=console,
            stream_id=f"{digest}",
            on_error=on_error,
        )
    failed = [item for item in items if item["error"]]
    for item in failed:
        console.print(f"{item['task']}: {item['error']}", markup=False)
    report_curve(items, out, console)
    console.print(
        f"{len(items)} tasks, {len(failed)} with an error, {len(skipped)} lines skipped. "
        f"Details in {log.path}.",
        markup=False,
    )
    return len(failed) + len(skipped)


def report_curve(items: Iterable[Mapping[str, Any]], out: Path, console: Console) -> None:
    """Show the learning curve, and write it to `curve.svg`."""
    values = [float(item["success"]) for item in items if item["success"] is not None]
    if values:
        console.print(terminal_curve(values), markup=False, highlight=False)
        (out / "curve.svg").write_text(svg_curve({"success": values}), encoding="utf-8")
