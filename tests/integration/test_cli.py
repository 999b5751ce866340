"""The command line as a user types it: each bad input is one sentence and an exit code."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from triforium.cli import app
from triforium.graph import Filter, Tier
from triforium.memory import Memory
from triforium.memory.guard.quarantine import QuarantineCase
from triforium.workflows.examine import TEAM

WORKFLOW = """
from typing import TypedDict
from langgraph.graph import START, StateGraph
from triforium import Team, Turn, Workflow

State = TypedDict("State", {"task": str, "answer": str, "wrong": bool}, total=False)
team = Team("cli")

@team.agent
async def solver(state: State, turn: Turn) -> State:
    if "broken" in state["task"]:
        raise LookupError("the index is gone")
    return {"answer": state["task"].upper()}

graph = StateGraph(State).add_node("solver", solver).add_edge(START, "solver")
workflow = Workflow(graph, team, outcome=lambda state: not state.get("wrong"))
"""


def run(*arguments: str | Path, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.output


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.py").write_text(WORKFLOW)
    return tmp_path


def items(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_help_and_version() -> None:
    told = run("--help")
    for command in ("demo", "run", "bench", "explain", "stats", "export", "import"):
        assert command in told
    assert "Exit codes" in told
    assert run("--version").startswith("triforium ")


def test_a_stream_of_tasks_with_broken_lines_and_a_failing_agent(folder: Path) -> None:
    (folder / "tasks.jsonl").write_text(
        '{"id": "a", "task": "one"}\nnot json\n{"id": "b", "task": "broken"}\n'
        '{"id": "c", "task": "two", "wrong": true}\n'
    )
    arguments = ("run", "app.py:workflow", "--tasks", "tasks.jsonl", "--store", "sqlite:///m.db",
                 "--out", "out")  # fmt: skip
    told = " ".join(run(*arguments, code=1).split())
    assert "Line 2" in told
    assert "b: LookupError: the index is gone" in told
    done = items(folder / "out" / "items.jsonl")
    assert [(one["task"], one["success"]) for one in done] == [
        ("a", True), ("b", None), ("c", False),
    ]  # fmt: skip
    assert "<svg" in (folder / "out" / "curve.svg").read_text()
    run(*arguments, code=1)
    assert len(items(folder / "out" / "items.jsonl")) == 3, "nothing is run twice"
    stats = json.loads(run("stats", "--store", "sqlite:///m.db", "--scope", "cli", "--json"))
    assert stats["outcomes"] == {"failure": 1, "success": 1, "unknown": 1}


def test_a_stream_can_stop_at_the_first_broken_line(folder: Path) -> None:
    (folder / "tasks.jsonl").write_text('{"task": "one"}\nnot json\n')
    told = run("run", "app.py:workflow", "--tasks", "tasks.jsonl", "--on-error", "stop", code=2)
    assert "Line 2" in " ".join(told.split())


def test_explain_export_and_import(folder: Path) -> None:
    (folder / "tasks.jsonl").write_text('{"task": "one"}\n')
    run("run", "app.py:workflow", "--tasks", "tasks.jsonl", "--store", "sqlite:///m.db")
    store = ("--store", "sqlite:///m.db")
    assert "in cli" in run("explain", "nobody", *store, code=3)
    assert "Wrote" in run("export", "all.jsonl", *store)
    assert "Read" in run("import", "all.jsonl", "--store", "sqlite:///copy.db")
    run("export", "copy.jsonl", "--store", "sqlite:///copy.db")
    assert (folder / "all.jsonl").read_text() == (folder / "copy.jsonl").read_text()
    assert "Wrote" in run("export", "all.graphml", *store, "--scope", "cli")
    assert "--scope" in run("export", "all.graphml", *store, code=2)
    assert "not empty" in run("import", "all.jsonl", *store, code=2)
    assert "jsonl" in run("export", "all.txt", *store, code=2)


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("stats", "--store", "sqlite:///nowhere.db"), 2, "no store at nowhere.db"),
        (("stats", "--store", "redis://x"), 2, "names no store"),
        (("stats", "--store", "sqlite:///app.py"), 3, "app.py"),
        (("run", "app.py", "--tasks", "t.jsonl"), 2, "FILE.py:NAME"),
        (("run", "app.py:nothing", "--tasks", "t.jsonl"), 2, "has no workflow 'nothing'"),
        (("run", "bad.py:workflow", "--tasks", "t.jsonl"), 2, "cannot be loaded: SyntaxError"),
        (("run", "app.py:workflow", "--tasks", "missing.jsonl"), 2, "missing.jsonl"),
        (("bench", "chess", "--out", "o"), 2, "no benchmark 'chess'"),
        (("bench", "household", "--out", "o", "--arms", "magic"), 2, "no arm magic"),
        (("bench", "alfworld", "--out", "o"), 2, "--games"),
        (("bench", "household", "--out", "o", "--seed", "dice"), 2, '"random", not'),
        (("bench", "household", "--out", "o", "--demonstrations", "few"), 2, '"all", not'),
        (("bench", "household", "--out", "o", "--mislabel", "2"), 2, "share from 0 to 1"),
        (("bench", "alfworld", "--out", "o", "--games", "empty"), 2, "empty"),
        (("bench", "alfworld", "--out", "o", "--games", "broken"), 2, "game.tw-pddl"),
    ],
)
def test_bad_input_is_one_sentence(
    folder: Path, arguments: tuple[str, ...], code: int, word: str
) -> None:
    (folder / "bad.py").write_text("def (")
    (folder / "empty").mkdir()
    game = folder / "broken" / "task" / "trial" / "game.tw-pddl"
    game.parent.mkdir(parents=True)
    game.write_text("{not a game")
    told = run(*arguments, code=code)
    assert word in " ".join(told.split())
    assert not list(folder.glob("nowhere*"))


def test_bench_household_writes_results_and_goes_on(folder: Path) -> None:
    arguments = (
        "bench",
        "household",
        "--out",
        "out",
        "--arms",
        "none,hierarchical",
        "--limit",
        "4",
    )
    run(*arguments)
    result = json.loads((folder / "out" / "result.json").read_text())
    assert result["name"] == "household"
    assert result["n"] == 4
    assert set(result) >= {
        "version", "command", "seed", "metrics", "model_calls", "tokens", "seconds",
    }  # fmt: skip
    for arm in ("none", "hierarchical"):
        rate = result["metrics"][arm]["success_rate"]
        assert 0 <= rate["low"] <= rate["value"] <= rate["high"] <= 1
    log = folder / "out" / "items.jsonl"
    first = items(log)
    assert len(first) == 8
    assert all(one["tokens"] <= 1000 for one in first)
    # A crash in the middle of a line, and two tasks not played yet: they alone are played.
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[:-2]) + lines[-1][:20])
    run(*arguments)
    assert sorted(map(key, items(log))) == sorted(map(key, first)), "and come out the same"
    told = run(*arguments[:-1], "5", code=2)
    assert "other settings" in told


def test_bench_draws_a_seed_and_keeps_it(folder: Path) -> None:
    arguments = (
        "bench", "household", "--out", "out", "--seed", "random", "--arms", "exprag",
        "--demonstrations", "2", "--play", "1", "--limit", "1", "--max-steps", "4",
    )  # fmt: skip
    told = run(*arguments)
    result = json.loads((folder / "out" / "result.json").read_text())
    assert f"The seed is {result['seed']}." in told
    assert result["experience"]["all"]["demonstrations"] == 2
    assert result["played"]["exprag+1"]["n"] == 1
    assert f"The seed is {result['seed']}." in run(*arguments), "it goes on with the same"


def key(item: dict[str, Any]) -> tuple[str, str, bool, int]:
    return item["arm"], item["task"], item["success"], item["steps"]


@pytest.mark.timeout(400)
def test_the_demo_learns_and_writes_its_page(folder: Path) -> None:
    told = run("demo", "--out", "out", "--tasks", "32")
    assert "is found at" in told
    page = (folder / "out" / "memory.html").read_text()
    assert page.count("</script>") == 2, "its data and its script"
    assert "default-src 'none'" in page.partition("<style>")[0], "loads nothing"
    assert "/api/recall/" in page
    done = items(folder / "out" / "items.jsonl")
    solved = {
        arm: sum(one["success"] for one in done if one["arm"] == arm)
        for arm in ("with memory", "without memory")
    }
    assert solved["with memory"] > solved["without memory"]
    assert "mallory" in told
    held, lessons = asyncio.run(_held(f"sqlite:///{folder}/out/memory.db"))
    poisoned = [one for one in held if one.record.provenance.source == "mallory"]
    assert len(poisoned) > 15
    assert len(held) - len(poisoned) <= 3, "hardly anybody else is held"
    assert {one.state.value for one in poisoned} == {"confirmed"}
    assert lessons
    assert all(f"/api/guard/{one.record.id}" in page for one in poisoned)
    played = [one for one in done if one["arm"] == "poisoned, guarded"]
    assert len(played) == 16
    assert any(one["success"] for one in played), "the team goes on"


async def _held(url: str) -> tuple[tuple[QuarantineCase, ...], int]:
    """What is in quarantine, and how many lessons there are."""
    async with Memory.open(url, scope=TEAM, embedder=None) as memory:
        lessons = Filter(kinds=frozenset({"lesson"}))
        view = await memory.view()
        found = await view.recent(tiers=frozenset({Tier.INSIGHT}), k=100, where=lessons)
        return await memory.quarantined(), len(found)
