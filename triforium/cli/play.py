"""Commands that let a team work: `demo` and `run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .base import (
    DEFAULT_STORE,
    OutOption,
    SeedOption,
    StoreOption,
    app,
    console,
    finish,
    looking,
    program,
)


@app.command()
def demo(
    out: OutOption = Path("triforium-demo"),
    tasks: Annotated[int, typer.Option("--tasks", min=1, max=1000, help="Number of tasks.")] = 60,
    seed: SeedOption = 0,
    store: Annotated[
        str, typer.Option("--store", help="URL of the memory; in DIR by default.", metavar="URL")
    ] = "",
) -> None:
    """Watch a team learn household tasks, and write a page that shows what it remembers."""
    from ..inspector.export import export_page
    from ..workflows.demo import run_demo
    from ..workflows.examine import TEAM

    page = (out / "memory.html").resolve()

    async def show() -> str:
        url = await run_demo(out=out, tasks=tasks, seed=seed, store=store, console=console)
        await looking(url, lambda opened: export_page(opened, page, scope=TEAM))
        return url

    url = finish(show())
    typer.echo(f"Open {page} to see the three storeys of what it remembers, or look at it live:")
    typer.echo(f"{program()} inspect --store {url}")


@app.command()
def run(
    workflow: Annotated[str, typer.Argument(help="Where the workflow is.", metavar="FILE.py:NAME")],
    tasks: Annotated[
        Path, typer.Option("--tasks", help='JSON lines, each with "task".', metavar="TASKS.jsonl")
    ],
    store: StoreOption = DEFAULT_STORE,
    out: OutOption = Path("triforium-run"),
    on_error: Annotated[
        str, typer.Option("--on-error", help="Broken lines and failing agents: stop or continue.")
    ] = "continue",
) -> None:
    """Run a workflow over a stream of tasks; run it again to go on after an interruption."""
    from ..workflows.runner import run_file

    failed = finish(
        run_file(workflow, tasks=tasks, store=store, out=out, on_error=on_error, console=console)
    )
    if failed:
        raise typer.Exit(1)
