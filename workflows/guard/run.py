"""`triforium bench guard`: run a suite, write `result.json` and `items.jsonl`, show the table."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ... import __version__
from ..results import write_result
from ..runner import progress_bar
from .suites import GuardSettings, SuiteResult, get_suite


async def run_guard(
    settings: GuardSettings, *, out: Path, command: str, console: Console
) -> dict[str, Any]:
    """Measure a suite.

    Args:
        settings: What to measure.
        out: Folder for the results.
        command: As it was typed.
        console: Shows progress and the table.

    Returns:
        What stands in `result.json`.

    Raises:
        InvalidInput: There is no such suite, or its data cannot be used.
    """
    suite = get_suite(settings.suite)
    started = time.monotonic()
    with progress_bar(console) as bar:
        lines: dict[str, Any] = {}

        def progress(what: str, done: int, total: int) -> None:
            if what not in lines:
                lines[what] = bar.add_task(what, total=total, note="")
            bar.update(lines[what], completed=done, total=total)

        measured = await suite(settings, progress)
    result = {
        "name": f"guard-{settings.suite}",
        "version": __version__,
        "command": command,
        "settings": settings.to_json(),
        "arms": {arm.name: arm.to_json() for arm in measured.arms},
        **measured.more,
        "seconds": round(time.monotonic() - started, 1),
    }
    await asyncio.to_thread(_save, out, result, measured)
    show_guard(result, measured, console)
    return result


def _save(out: Path, result: Mapping[str, Any], measured: SuiteResult) -> None:
    out.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(item, sort_keys=True) + "\n" for item in measured.items)
    (out / "items.jsonl").write_text("".join(lines), encoding="utf-8")
    for name, text in measured.files.items():
        (out / name).write_text(text, encoding="utf-8")
    write_result(out / "result.json", result)


def show_guard(result: Mapping[str, Any], measured: SuiteResult, console: Console) -> None:
    """Print the table: a row for each arm."""
    if not measured.arms:
        return
    columns = measured.columns or tuple(measured.arms[0].metrics)
    table = Table("arm", "n", *columns, title=result["name"])
    for arm in measured.arms:
        cells = []
        for column in columns:
            metric = arm.metrics.get(column)
            cells.append(
                "" if metric is None
                else f"{metric['value']:.3f} [{metric['low']:.3f}, {metric['high']:.3f}]"
            )  # fmt: skip
        table.add_row(arm.name, str(arm.n), *cells)
    console.print(table)
