"""A benchmark whose memories a Neo4j server holds ends as one whose memories are files."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from triforium.errors import InvalidInput, InvalidURL
from triforium.workflows.bench import run_bench
from triforium.workflows.settings import Settings

from . import servers

pytestmark = pytest.mark.timeout(900)


async def played(out: Path, store: str = "", **more: Any) -> dict[tuple[str, str], Any]:
    settings = Settings(
        "household",
        arms=("none", "exprag", "hierarchical"),
        demonstrations=10,
        limit=6,
        store=store,
        **more,
    )
    await run_bench(settings, out=out, command="", console=Console(file=io.StringIO()))
    lines = (out / "items.jsonl").read_text(encoding="utf-8").splitlines()
    return {
        (row["arm"], row["task"]): (row["success"], row["steps"], row["tokens"])
        for row in map(json.loads, lines)
    }


async def test_the_same_task_by_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with servers.empty_place() as place:
        name, password = place.credentials
        monkeypatch.setenv("NEO4J_USERNAME", name)
        monkeypatch.setenv("NEO4J_PASSWORD", password)
        fleet = await played(tmp_path / "fleet", place.url)
        files = await played(tmp_path / "files")
        assert fleet == files
        assert len(files) == 18
        assert password not in "".join(
            path.read_text(encoding="utf-8") for path in (tmp_path / "fleet").iterdir()
        )
        # Begun again in the same place, it goes on: here there is nothing left to play.
        assert await played(tmp_path / "fleet", place.url) == fleet
        # Played again elsewhere, it would find the memories of this one.
        with pytest.raises(InvalidInput, match="not empty"):
            await played(tmp_path / "again", place.url)
        await servers.wipe(place)
        with pytest.raises(InvalidInput, match="not what this benchmark left"):
            await played(tmp_path / "fleet", place.url)


async def test_what_a_store_cannot_do_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="leave it out"):
        await played(tmp_path / "out", "neo4j://localhost", play=3)
    with pytest.raises(InvalidURL):
        await played(tmp_path / "out", "neo4j://me:secret@localhost")
    assert not (tmp_path / "out").exists()
