"""Task streams: one JSON object per line (https://jsonlines.org)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NoReturn

from ..agents.environment import Task
from ..errors import InvalidInput, InvalidTask

LONGEST_LINE = 1_000_000
"""Bytes of one line."""

OnError = Literal["stop", "skip"]


def read_tasks(
    path: Path | str,
    *,
    on_error: OnError = "stop",
    report: Callable[[InvalidTask], None] | None = None,
) -> Iterator[Task]:
    """Read a task stream, line by line.

    A line is an object such as ``{"id": "q1", "task": "revenue by month"}``. The text stands
    under "task" or "goal". Without an "id" the task is called after its line, as in "line-7". A
    "kind" is for statistics. Other fields become the task's data, beside those of an object
    under "data". Blank lines are passed over.

    Args:
        path: A UTF-8 file.
        on_error: "stop" raises at the first broken line, after the tasks before it; "skip" goes
            on with the next line.
        report: With "skip", called with the error of each line that is left out.

    Yields:
        The tasks, in order.

    Raises:
        InvalidTask: The file cannot be read, or a line is not a task, is longer than
            `LONGEST_LINE`, or has an id that an earlier line has.
        InvalidInput: `on_error` is neither "stop" nor "skip".
    """
    if on_error not in ("stop", "skip"):
        raise InvalidInput(f'on_error is "stop" or "skip", not {on_error!r}.', on_error=on_error)
    path = Path(path)
    if not path.is_file():
        raise InvalidTask(f"There is no task file {path}.", path=str(path))
    return _read(path, on_error == "skip", report or (lambda error: None))


def _read(path: Path, skip: bool, report: Callable[[InvalidTask], None]) -> Iterator[Task]:
    lines: dict[str, int] = {}
    for number, line in _lines(path):
        if line is not None and not line.strip():
            continue
        try:
            task = _parse(path, number, line)
            if task.id in lines:
                _reject(path, number, f"the id {task.id!r} is taken by line {lines[task.id]}")
        except InvalidTask as error:
            if not skip:
                raise
            report(error)
            continue
        lines[task.id] = number
        yield task


def _lines(path: Path) -> Iterator[tuple[int, bytes | None]]:
    """Lines with their numbers; None stands for one that is too long, which is never held."""
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(LONGEST_LINE + 1):
                number += 1
                if number == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                if len(line) <= LONGEST_LINE:
                    yield number, line
                    continue
                while line and not line.endswith(b"\n"):
                    line = file.readline(LONGEST_LINE)
                yield number, None
    except OSError as error:
        raise InvalidTask(
            f"The task file {path} cannot be read: {error.strerror}.", path=str(path)
        ) from error


def _parse(path: Path, number: int, line: bytes | None) -> Task:
    if line is None:
        _reject(path, number, f"it is longer than {LONGEST_LINE} bytes")
    try:
        row = json.loads(line.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError:
        _reject(path, number, "it is not UTF-8")
    except RecursionError:
        _reject(path, number, "it is nested too deeply")
    except ValueError as error:
        _reject(path, number, f"it is not JSON ({error})")
    if not isinstance(row, dict):
        _reject(path, number, "it is not a JSON object")
    texts = [row.pop(key) for key in ("task", "goal") if key in row]
    if len(texts) != 1 or not isinstance(texts[0], str) or not texts[0].strip():
        _reject(path, number, 'it needs a text under either "task" or "goal"')
    id_ = row.pop("id", f"line-{number}")
    if isinstance(id_, bool) or not isinstance(id_, str | int) or not str(id_).strip():
        _reject(path, number, 'its "id" is neither a text nor a whole number')
    kind = row.pop("kind", "")
    if not isinstance(kind, str):
        _reject(path, number, 'its "kind" is not a text')
    return Task(str(id_), texts[0].strip(), kind, _data(path, number, row))


def _data(path: Path, number: int, row: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(row.get("data"), dict):
        return row
    data: dict[str, Any] = row.pop("data")
    if both := sorted(data.keys() & row.keys()):
        _reject(path, number, f'{both[0]!r} stands both in its "data" and beside it')
    return {**data, **row}


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _reject(path: Path, number: int, why: str) -> NoReturn:
    raise InvalidTask(
        f"Line {number} of {path} is not a task: {why}.", path=str(path), line=number, why=why
    )
