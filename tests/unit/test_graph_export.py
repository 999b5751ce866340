"""Export and import: JSON lines are lossless, graphs hold what a scope sees."""

from __future__ import annotations

import json
import os
import stat
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator
from pathlib import Path

import networkx as nx
import pytest

from triforium.errors import InvalidInput, StoreError
from triforium.graph import (
    Add,
    AddLink,
    Changeset,
    Close,
    Link,
    LinkType,
    Outcome,
    Record,
    SetStatus,
    Status,
    Store,
    Tier,
)
from triforium.graph.export import export_graphml, export_jsonl, import_jsonl, to_networkx
from triforium.graph.open import open_store


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    opened = await open_store("sqlite://")
    ops = (
        Add(Record(id="t", tier=Tier.QUERY, kind="task", text="go \x00\x1b\ud7ff", scope="team")),
        Add(Record(id="i", tier=Tier.INSIGHT, kind="rule", text="a\nb", scope="team", keys=("k",))),
        AddLink(Link(src="t", dst="i", type=LinkType.SUPPORTS, weight=0.5)),
        AddLink(Link(src="t", dst="i", type=LinkType.LED_TO, via="receipt")),
        Close("t", 1, Outcome.score(0.75)),
    )
    await opened.apply(Changeset(id="c1", scope="team", ops=ops))
    other = Record(id="x", tier=Tier.INSIGHT, kind="rule", text="secret", scope="other")
    await opened.apply(Changeset(id="c2", scope="other", ops=(Add(other),)))
    archive = SetStatus("i", 1, Status.ARCHIVED)
    await opened.apply(Changeset(id="c3", scope="team", ops=(archive,)))
    yield opened
    await opened.close()


async def test_json_lines_round_trip(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "memory.jsonl"
    count = await export_jsonl(store, "", path)
    lines = path.read_text("utf-8").splitlines()
    assert len(lines) == count + 1
    copy = await open_store("sqlite://")
    try:
        assert await import_jsonl(copy, path) == count
        again = tmp_path / "again.jsonl"
        await export_jsonl(copy, "", again)
        assert again.read_bytes() == path.read_bytes()
    finally:
        await copy.close()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


async def test_export_of_a_scope_holds_nothing_else(store: Store, tmp_path: Path) -> None:
    await export_jsonl(store, "team", tmp_path / "team.jsonl")
    assert "secret" not in (tmp_path / "team.jsonl").read_text("utf-8")


async def test_failed_export_leaves_the_old_file(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "memory.jsonl"
    path.write_text("old")

    async def broken(scope: str) -> AsyncIterator[dict[str, object]]:
        yield {"row": "header"}
        raise RuntimeError("broken")

    monkeypatch.setattr(store, "dump", broken)
    with pytest.raises(RuntimeError):
        await export_jsonl(store, "team", path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["memory.jsonl"]


async def test_export_to_nowhere(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be written"):
        await export_jsonl(store, "team", tmp_path / "no" / "memory.jsonl")
    with pytest.raises(StoreError, match="cannot be written"):
        export_graphml(nx.MultiDiGraph(), tmp_path / "no" / "memory.graphml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "header"),
        (b"{}\n", "header"),
        (b"not json\n", "Line 1"),
        (b"[1]\n", "Line 1"),
        (b"\xff\xfe\n", "UTF-8"),
        (b'{"row": "header", "triforium": "memory", "format": 99}\n', "format"),
        (b'{"row": "header", "triforium": "memory", "format": 3}\n', "header"),
    ],
)
async def test_broken_imports(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_bytes(content)
    store = await open_store("sqlite://")
    try:
        with pytest.raises(InvalidInput, match=message):
            await import_jsonl(store, path)
        with pytest.raises(InvalidInput, match="cannot be read"):
            await import_jsonl(store, tmp_path / "nowhere.jsonl")
        assert (await store.statistics("")).records == {}
    finally:
        await store.close()


async def test_broken_line_is_named(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "memory.jsonl"
    await export_jsonl(store, "", path)
    lines = path.read_text("utf-8").splitlines()
    row = json.loads(lines[2])
    row["tier"] = "attic"
    path.write_text("\n".join([*lines[:2], json.dumps(row), *lines[3:]]), "utf-8")
    copy = await open_store("sqlite://")
    try:
        with pytest.raises(InvalidInput, match="Line 3"):
            await import_jsonl(copy, path)
        assert (await copy.statistics("")).records == {}
    finally:
        await copy.close()


async def test_networkx(store: Store) -> None:
    graph = await to_networkx(store, "team")
    assert set(graph) == {"t", "i"}
    assert graph.nodes["t"]["value"] == 0.75
    assert graph.nodes["i"]["status"] == "archived"
    assert {key: data["weight"] for _, _, key, data in graph.edges(keys=True, data=True)} == {
        "SUPPORTS": 0.5,
        "LED_TO receipt": 1.0,
    }
    assert set(await to_networkx(store, "team", tiers=frozenset({Tier.INSIGHT}))) == {"i"}
    assert (await to_networkx(store, "team", at=1)).nodes["i"]["status"] == "active"
    assert not await to_networkx(store, "team", at=0)


async def test_graphml(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "memory.graphml"
    export_graphml(await to_networkx(store, "team"), path)
    ET.fromstring(path.read_text("utf-8"))
    graph = nx.read_graphml(path, force_multigraph=True)
    assert graph.nodes["t"]["text"] == "go \ufffd\ufffd\ud7ff"
    assert json.loads(graph.nodes["i"]["keys"]) == ["k"]
    assert graph.number_of_edges() == 2
