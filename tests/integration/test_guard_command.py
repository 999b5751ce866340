"""`triforium guard` and `triforium revert --source` as the person on call types them."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from triforium import Memory, Outcome
from triforium.cli import app
from triforium.cli.base import moment
from triforium.errors import InvalidInput

STORE = ("--store", "sqlite:///m.db")
TASK = "put a hot egg in the fridge"


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, [*arguments, *STORE], env={"COLUMNS": "250"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.output


def plain(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json"))


@pytest.fixture
def bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The trial of eve that the team acted on."""
    monkeypatch.chdir(tmp_path)
    return asyncio.run(_fill())


async def _fill() -> str:
    async with Memory.open("sqlite:///m.db", scope="shop", embedder=None, source="eve") as eve:
        poison = await eve.begin(TASK, run="e1")
        await eve.observe(poison, "done", action="throw egg", role="solver")
        await eve.commit(poison, Outcome.success(judge="environment"))
        ann = eve.scoped("shop", source="ann")
        trial = await ann.begin(TASK, run="a1")
        await ann.recall(TASK, trial=trial, role="solver")
        await ann.observe(trial, "gone", action="throw egg", role="solver", used=[poison.id])
        await ann.commit(trial, Outcome.failure("no egg", judge="environment"))
        return poison.id


def test_from_quarantine_to_release(bad: str) -> None:
    assert "Nothing is in quarantine" in run("guard", "list")
    assert plain("guard", "quarantine", bad, "--reason", "throws eggs")["changed"] == [bad]
    told = run("guard", "list")
    assert bad in told
    assert "throws eggs" in told
    (case,) = plain("guard", "list")["quarantined"]
    assert (case["record"], case["state"], case["source"]) == (bad, "suspected", "eve")
    assert case["descendants"]
    assert "throws eggs" in run("guard", "show", bad)
    assert plain("guard", "show", bad)["source_counts"]["quarantined"] == 1
    assert plain("guard", "confirm", bad) == {"changed": [bad]}
    assert "confirmed already" in run("guard", "confirm", bad)
    assert "was released" in run("guard", "release", bad, "--reason", "a bin")
    assert plain("guard", "list") == {"frozen": [], "quarantined": []}
    run("guard", "release", bad, code=2)
    run("guard", "show", "nothing", code=1)
    run("audit")


def test_what_would_steer_a_terminal_is_not_printed(bad: str) -> None:
    run("guard", "quarantine", bad, "--reason", "\x1b[2Jgone\u202e\x9b")
    told = run("guard", "list") + run("guard", "show", bad)
    assert "gone" in told
    assert not set("\x1b\u202e\x9b") & set(told)


def test_trace(bad: str) -> None:
    told = run("guard", "trace", bad)
    for part in ("written by eve", "run a1, solver", "acted on it: throw egg", "failure (no egg)"):
        assert part in told
    (use,) = plain("guard", "trace", bad)["uses"]
    assert use["certain"]
    assert [one["action"] for one in use["actions"]] == ["throw egg"]


def test_a_viewer_only_looks(bad: str) -> None:
    for command in (
        ("quarantine", bad), ("release", bad), ("confirm", bad), ("freeze", "--scope", "shop"),
        ("unfreeze", "--scope", "shop"),
    ):  # fmt: skip
        assert "viewer may not" in run("guard", *command, "--access", "viewer", code=2)
    assert "viewer may not" in run("revert", "--source", "eve", "--access", "viewer", code=2)
    assert bad in run("guard", "quarantine", bad, "--access", "viewer", "--dry-run")
    assert "Nothing" in run("guard", "list")


def test_bulk_by_source_and_time(bad: str) -> None:
    dry = plain("guard", "quarantine", "--source", "eve", "--since", "1h", "--dry-run")
    assert bad in dry["found"]
    assert dry["changed"] == []
    assert plain("guard", "list")["quarantined"] == []
    assert plain("guard", "quarantine", "--source", "eve", "--until", "1h")["changed"] == []
    done = plain("guard", "quarantine", "--source", "eve", "--since", "1h")
    assert done["changed"] == dry["found"]
    assert "0 records" in run("guard", "quarantine", "--source", "eve")
    run("guard", "quarantine", code=2)
    run("guard", "quarantine", bad, "--source", "eve", code=2)
    run("guard", "quarantine", "--source", "eve", "--since", "yesterday", code=2)


def test_nothing_is_done_when_a_record_is_not_there(bad: str) -> None:
    for more in ((), ("--dry-run",), ("--scope", "shop")):
        assert "no record 'NOSUCH'" in run("guard", "quarantine", bad, "NOSUCH", *more, code=1)
    assert "no record" in run("guard", "quarantine", bad, "--scope", "shop/inner", code=1)
    assert "Nothing" in run("guard", "list")


def test_what_a_person_types(bad: str) -> None:
    assert "https://host/path" in run("guard", "release", bad, "--webhook", "http://[x", code=2)
    run("guard", "quarantine", bad, "--reason", "told by bob@x.org")
    (case,) = plain("guard", "list")["quarantined"]
    assert case["reason"] == "told by [redacted email]"


def test_freeze(bad: str) -> None:
    assert "is frozen" in run("guard", "freeze", "--scope", "shop", "--reason", "attack")
    assert "as it was" in run("guard", "freeze", "--scope", "shop")
    assert "shop is frozen" in run("guard", "list")
    assert plain("guard", "unfreeze", "--scope", "shop") == {
        "scope": "shop", "state": "not frozen", "changed": True,
    }  # fmt: skip
    run("audit")


def test_revert_by_source(bad: str) -> None:
    (dry,) = plain("revert", "--source", "eve", "--dry-run")
    assert dry["applied"] is None
    assert any(bad in one["op"] for one in dry["undone"])
    assert any(one["dependent"] for one in dry["undone"])
    assert "takes back" in run("revert", "--source", "eve", "--since", "1h", "--dry-run")
    assert "changed nothing" in run("revert", "--source", "eve", "--until", "1h")
    assert "took back" in run("revert", "--source", "eve")
    run("guard", "show", bad, code=1)
    run("audit")
    assert "Nothing" in run("revert", "--source", "eve")
    run("revert", code=2)
    run("revert", "abcdefgh", "--source", "eve", code=2)


def test_times() -> None:
    assert moment("") is None
    assert moment("2026-11-25T03:00") == datetime(2026, 11, 25, 3, tzinfo=UTC)
    ago = moment("90m")
    assert ago is not None
    assert abs(datetime.now(UTC) - ago - timedelta(minutes=90)) < timedelta(minutes=1)
    with pytest.raises(InvalidInput):
        moment("soon")
