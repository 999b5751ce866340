"""Take a memory out and put it back: JSON lines (lossless), networkx and GraphML."""

from __future__ import annotations

import asyncio
import json
import os
import re
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..errors import InvalidInput, StoreError
from .ids import JSON
from .records import Link, LinkType, Record, Tier
from .store import Filter, Hop, Store

if TYPE_CHECKING:
    import networkx as nx

_BATCH = 512
_EVERYTHING = 2**31 - 1
_ANY = Filter(statuses=frozenset(), tainted=None)
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


async def export_jsonl(store: Store, scope: str, path: str | Path) -> int:
    """Write all that a scope sees to a file, one JSON object per line, header first.

    The file appears under its name only when it is whole, readable by its owner alone.

    Args:
        store: What to export.
        scope: The reader's scope; "" for the whole store.
        path: The file; one that is there is replaced.

    Returns:
        The number of rows after the header.

    Raises:
        StoreError: The file cannot be written.
    """
    target = Path(path)
    try:
        handle, name = await asyncio.to_thread(
            tempfile.mkstemp, prefix=f".{target.name}.", dir=target.parent
        )
    except OSError as error:
        raise _unwritable(target, error) from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            count = await _write_rows(file, store.dump(scope))
            await asyncio.to_thread(_sync, file)
        await asyncio.to_thread(Path(name).replace, target)
    except BaseException as error:
        with suppress(FileNotFoundError):
            os.unlink(name)
        if isinstance(error, OSError):
            raise _unwritable(target, error) from error
        raise
    return count


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path} cannot be written: {error.strerror}.", path=str(path))


def _sync(file: IO[str]) -> None:
    file.flush()
    os.fsync(file.fileno())


async def _write_rows(file: IO[str], rows: AsyncIterator[dict[str, JSON]]) -> int:
    count = -1
    lines: list[str] = []
    async for row in rows:
        lines.append(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
        count += 1
        if len(lines) >= _BATCH:
            await asyncio.to_thread(file.writelines, lines)
            lines = []
    await asyncio.to_thread(file.writelines, lines)
    return count


async def import_jsonl(store: Store, path: str | Path) -> int:
    """Fill an empty store from a file of `export_jsonl`, all of it or nothing.

    Returns:
        The number of rows after the header.

    Raises:
        InvalidInput: The file cannot be read, a line is broken (its number is named), or the
            store is not empty.
    """
    try:
        file = await asyncio.to_thread(Path(path).open, encoding="utf-8", errors="strict")
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.", path=str(path)) from error
    with file:
        return await store.restore(_read_rows(file))


async def _read_rows(file: IO[str]) -> AsyncIterator[Mapping[str, Any]]:
    number = 0
    while lines := await asyncio.to_thread(_some_lines, file):
        for line in lines:
            number += 1
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InvalidInput(
                    f"Line {number} is not JSON ({error}). Nothing was imported.", line=number
                ) from error
            if not isinstance(row, dict):
                raise InvalidInput(
                    f"Line {number} is not a JSON object. Nothing was imported.", line=number
                )
            yield row


def _some_lines(file: IO[str]) -> list[str]:
    try:
        return [line for _, line in zip(range(_BATCH), file, strict=False)]
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"The file is not UTF-8 text ({error}). Nothing was imported."
        ) from error


async def to_networkx(
    store: Store,
    scope: str,
    *,
    tiers: frozenset[Tier] | None = None,
    at: int | datetime | None = None,
    run: str = "",
) -> nx.MultiDiGraph[str]:
    """What a scope sees as a graph: a node per record, an edge per link.

    Nodes and edges carry the fields of the record or link under their names; the key of an edge
    is "TYPE" or "TYPE via".

    Args:
        store: Where from.
        scope: The reader's scope.
        tiers: Only records of these tiers; all if None.
        at: A journal position or a system time; now if None.
        run: Include the open trials of this run.
    """
    import networkx as nx

    view = await store.view(scope, run=run, at=at)
    chosen = frozenset(Tier) if tiers is None else tiers
    graph: nx.MultiDiGraph[str] = nx.MultiDiGraph(scope=scope, position=view.position)
    ids: list[str] = []
    for record in reversed(await view.recent(tiers=chosen, k=_EVERYTHING, where=_ANY)):
        graph.add_node(record.id, **_node(record))
        ids.append(record.id)
    hop = Hop(frozenset(LinkType), "out", chosen, _ANY, fan=_EVERYTHING)
    for start in range(0, len(ids), _BATCH):
        walk = await view.walk(ids[start : start + _BATCH], [hop])
        for link in walk.links:
            # A record that was added since the nodes were read is no node.
            if link.dst in graph:
                graph.add_edge(link.src, link.dst, key=_edge_key(link), **_edge(link))
    return graph


def _edge_key(link: Link) -> str:
    return f"{link.type.value} {link.via}".rstrip()


def _edge(link: Link) -> dict[str, Any]:
    return {"type": link.type.value, "via": link.via, "weight": link.weight, "added": link.added}


def _node(record: Record) -> dict[str, Any]:
    origin = record.provenance
    credit = record.total_credit()
    return {
        "tier": record.tier.value,
        "kind": record.kind,
        "text": record.text,
        "scope": record.scope,
        "task_key": record.task_key,
        "source": origin.source,
        "role": origin.role,
        "agent": origin.agent,
        "run": origin.run,
        "trial": origin.trial,
        "step": origin.step,
        "data": dict(record.data),
        "valid_from": record.valid_from,
        "valid_to": record.valid_to,
        "keys": list(record.keys),
        "confidence": record.confidence,
        "cluster": record.cluster,
        "summary": record.summary,
        "added": record.added,
        "created_at": record.created_at,
        "revision": record.revision,
        "status": record.status.value,
        "outcome": record.outcome.kind.value if record.outcome else "",
        "value": record.outcome.value if record.outcome else None,
        "uses": credit.uses,
        "helped": credit.helped,
        "hurt": credit.hurt,
        "support": record.support,
        "refuted": record.refuted,
        "taint": list(record.taint),
        "held_for": record.hold.reason if record.hold else "",
    }


def export_graphml(graph: nx.MultiDiGraph[str], path: str | Path) -> None:
    """Write a graph of `to_networkx` as GraphML, for Gephi, yEd and their like. Blocks.

    Texts and numbers stay; what GraphML has no type for becomes JSON text; None is left out;
    characters that XML cannot hold become U+FFFD.

    Raises:
        StoreError: The file cannot be written.
    """
    import networkx as nx

    plain: nx.MultiDiGraph[str] = nx.MultiDiGraph(**_flat(graph.graph))
    for node, data in graph.nodes(data=True):
        plain.add_node(_xml(node), **_flat(data))
    for source, target, key, data in graph.edges(keys=True, data=True):
        plain.add_edge(_xml(source), _xml(target), key=_xml(str(key)), **_flat(data))
    target_path = Path(path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target_path.name}.", dir=target_path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                nx.write_graphml_xml(plain, file)
            Path(name).replace(target_path)
        except BaseException:
            with suppress(FileNotFoundError):
                Path(name).unlink()
            raise
    except OSError as error:
        raise _unwritable(target_path, error) from error


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)


def _flat(data: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in data.items():
        if isinstance(value, datetime):
            flat[name] = value.isoformat()
        elif isinstance(value, str):
            flat[name] = _xml(value)
        elif isinstance(value, bool | int | float):
            flat[name] = value
        elif value is not None:
            flat[name] = _xml(json.dumps(value, ensure_ascii=False, sort_keys=True))
    return flat
