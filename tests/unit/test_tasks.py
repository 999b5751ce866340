"""Reading task streams: what a line may be, and what is said about one that is not a task."""

from __future__ import annotations

from pathlib import Path

import pytest

from triforium.agents.environment import Task
from triforium.errors import InvalidInput, InvalidTask
from triforium.workflows import tasks as module
from triforium.workflows.tasks import read_tasks


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    return tmp_path / "tasks.jsonl"


def test_fields_of_a_line(stream: Path) -> None:
    stream.write_text(
        '{"id": "q1", "task": "revenue by month"}\n'
        "\n"
        '{"goal": " put a mug on a desk ", "kind": "place", "data": {"layout": 3}, "x": [1]}\n'
        '{"id": 7, "task": "ein Maß", "data": "plain"}',
        encoding="utf-8",
    )
    assert list(read_tasks(stream)) == [
        Task("q1", "revenue by month"),
        Task("line-3", "put a mug on a desk", "place", {"layout": 3, "x": [1]}),
        Task("7", "ein Maß", "", {"data": "plain"}),
    ]


def test_a_byte_order_mark_is_passed_over(stream: Path) -> None:
    stream.write_bytes(b'\xef\xbb\xbf{"task": "t"}\r\n')
    assert [task.goal for task in read_tasks(stream)] == ["t"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"task": "cut', "not JSON"),
        (b'["task"]', "not a JSON object"),
        (b"{}", '"task" or "goal"'),
        (b'{"task": "a", "goal": "b"}', '"task" or "goal"'),
        (b'{"task": "  "}', '"task" or "goal"'),
        (b'{"task": 5}', '"task" or "goal"'),
        (b'{"task": "a", "id": ""}', '"id"'),
        (b'{"task": "a", "id": true}', '"id"'),
        (b'{"task": "a", "kind": 1}', '"kind"'),
        (b'{"task": "a", "x": NaN}', "NaN"),
        (b'{"task": "a", "data": {"x": 1}, "x": 2}', "'x' stands both"),
        (b'{"task": "\xff"}', "UTF-8"),
        (b'{"task": "a", "x": ' + b"[" * 100_000 + b"}", "deep"),
    ],
)
def test_a_broken_line_names_file_and_line(stream: Path, line: bytes, why: str) -> None:
    stream.write_bytes(b'{"task": "good"}\n' + line + b'\n{"task": "after"}\n')
    tasks = read_tasks(stream)
    assert next(tasks).goal == "good"
    with pytest.raises(InvalidTask) as caught:
        next(tasks)
    message = str(caught.value)
    assert f"Line 2 of {stream}" in message
    assert why in message
    assert caught.value.facts["line"] == 2


def test_skip_reports_each_broken_line_and_goes_on(stream: Path) -> None:
    stream.write_text('{"task": "a"}\nnonsense\n{"id": "line-1", "task": "b"}\n{"task": "c"}\n')
    reported: list[InvalidTask] = []
    read = list(read_tasks(stream, on_error="skip", report=reported.append))
    assert [task.goal for task in read] == ["a", "c"]
    assert [error.facts["line"] for error in reported] == [2, 3]


def test_skip_works_without_a_callback(stream: Path) -> None:
    stream.write_text('nonsense\n{"task": "a"}\n')
    assert [task.id for task in read_tasks(stream, on_error="skip")] == ["line-2"]


def test_a_repeated_id_names_the_earlier_line(stream: Path) -> None:
    stream.write_text('{"id": "q", "task": "a"}\n{"id": "q", "task": "b"}\n')
    with pytest.raises(InvalidTask, match="'q' is taken by line 1"):
        list(read_tasks(stream))


def test_long_lines_are_refused_without_being_held(
    stream: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONGEST_LINE", 40)
    fits = b'{"task": "' + b"x" * 27 + b'"}\n'
    assert len(fits) == 40
    stream.write_bytes(fits + b'{"task": "' + b"y" * 200 + b'"}\n' + b'{"task": "end"}\n')
    reported: list[InvalidTask] = []
    read = list(read_tasks(stream, on_error="skip", report=reported.append))
    assert [task.id for task in read] == ["line-1", "line-3"]
    assert "longer than 40 bytes" in str(reported[0])


def test_a_missing_file_and_an_unknown_policy_are_refused_at_once(stream: Path) -> None:
    with pytest.raises(InvalidTask, match="no task file"):
        read_tasks(stream)
    stream.write_text("")
    assert list(read_tasks(stream)) == []
    with pytest.raises(InvalidInput, match='"stop" or "skip"'):
        read_tasks(stream, on_error="ignore")  # type: ignore[arg-type]
