"""Where LangGraph keeps its checkpoints: SQLite by default, no pickle, strict types."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from ..errors import InvalidURL
from ..graph.sqlite.schema import create_private

_PREFIX = "sqlite:///"


def _serializer() -> JsonPlusSerializer:
    # None allows the library's own safe types only; anything else is refused on reading.
    return JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=None)


@asynccontextmanager
async def open_checkpoints(
    url: str | None, store_url: str
) -> AsyncIterator[BaseCheckpointSaver[Any] | None]:
    """Open the checkpoints of a workflow.

    Args:
        url: "auto", "memory", ``sqlite:///PATH``, or None for none.
        store_url: Of the memory, for "auto": ``team.db`` gets ``team.checkpoints.db`` beside it.

    Raises:
        InvalidURL: The URL names nothing that keeps checkpoints.
    """
    if url == "auto":
        if store_url.startswith(_PREFIX):
            path = Path(store_url.removeprefix(_PREFIX))
            url = f"{_PREFIX}{path.with_name(f'{path.stem}.checkpoints.db')}"
        else:
            url = "memory"
    if url is None:
        yield None
    elif url == "memory":
        yield InMemorySaver(serde=_serializer())
    elif url.startswith(_PREFIX):
        async with _sqlite(Path(url.removeprefix(_PREFIX))) as saver:
            yield saver
    else:
        raise InvalidURL(
            "Checkpoints are kept under 'auto', 'memory' or 'sqlite:///PATH' in this version.",
            scheme=url.split(":", 1)[0],
        )


@asynccontextmanager
async def _sqlite(path: Path) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    import aiosqlite
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    # State may hold anything a user puts there: nobody else on the host may read it.
    create_private(path)
    async with aiosqlite.connect(path) as connection:
        saver = AsyncSqliteSaver(connection, serde=_serializer())
        await saver.setup()
        yield saver
