"""Copies a store into another, of whatever kind, in batches; what was begun can be gone on with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..errors import InvalidInput
from .store import Store

BATCH = 4000
"""Rows that are taken in one transaction."""
Progress = Callable[[int, int], None]
"""Told how many rows are there, and how many there will be."""


async def copy_store(
    source: Store,
    target: Store,
    *,
    scope: str = "",
    restart: bool = False,
    progress: Progress | None = None,
) -> int:
    """Copy all that a scope sees into an empty store, losslessly.

    Killed in the middle, it goes on where it stopped when it is called again, provided that the
    source is as it was; until it has finished nothing else may write to the target.

    Args:
        source: What to copy; left as it is.
        target: An empty store, or one that an earlier call began to fill.
        scope: The reader's scope; "" for the whole store.
        restart: Empty the target first, if an earlier call began to fill it.
        progress: Is told how far it is.

    Returns:
        The number of rows of the copy.

    Raises:
        InvalidInput: The target is not empty, or was begun from something else.
        StoreError: Another process fills the target.
    """
    rows = source.dump(scope)
    header: Mapping[str, Any] = await anext(aiter(rows))
    if restart:
        await target.abandon_copy()
    done = await target.begin_copy(header)
    total = sum(header["rows"].values())
    count = 0
    batch: list[Mapping[str, Any]] = []
    async for row in rows:
        count += 1
        if count <= done:
            continue
        batch.append(row)
        if len(batch) == BATCH:
            await target.add_rows(batch, count - len(batch))
            batch = []
            if progress is not None:
                progress(count, total)
    if count != total:
        raise InvalidInput(
            f"The source gave {count} rows instead of {total}: it changed meanwhile. Stop its "
            "writers and begin anew with --restart."
        )
    if batch:
        await target.add_rows(batch, count - len(batch))
    await target.finish_copy(header)
    if progress is not None:
        progress(count, total)
    return count
