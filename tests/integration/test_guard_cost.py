"""The suites of the guard's benchmark: found by name, checked options, results on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from triforium.errors import InvalidInput
from triforium.workflows.guard.run import run_guard
from triforium.workflows.guard.suites import GuardSettings, get_suite


def test_a_suite_that_is_not_there_is_named() -> None:
    with pytest.raises(InvalidInput, match="'nope'"):
        get_suite("nope")


def test_options_are_checked(tmp_path: Path) -> None:
    settings = GuardSettings(suite="cost", options={"records": "many"})
    with pytest.raises(InvalidInput, match="records"):
        settings.number("records", 3)
    assert settings.number("recalls", 3) == 3
    with pytest.raises(InvalidInput, match="--data"):
        settings.folder()
    told = GuardSettings(suite="ehr", data=tmp_path / "logs").to_json()
    assert told["data"] == "logs", "where the data lies is nobody's business"


async def test_the_cost_is_paired_and_written(tmp_path: Path) -> None:
    settings = GuardSettings(suite="cost", seeds=(0,), options={"records": "400", "recalls": "4"})
    console = Console(quiet=True)
    result = await run_guard(settings, out=tmp_path, command="triforium ...", console=console)
    assert result == json.loads((tmp_path / "result.json").read_text()) | {}
    arms = result["arms"]
    assert arms["off:recall"]["n"] == arms["triforium:recall"]["n"] == 4
    assert arms["triforium:recall"]["metrics"]["added_p50_ms"]["value"] > 0.0
    assert result["records"] == 400
