"""The store on a real Neo4j server keeps every promise of the interface."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import IO

import pytest

from triforium.graph import Store
from triforium.graph.neo4j import Neo4jStore, open_neo4j
from triforium.testing.store_conformance import Clock, StoreConformance

from . import servers

pytestmark = pytest.mark.timeout(300)


class _Released(Neo4jStore):
    """Gives its server back when it is closed."""

    lock: IO[bytes]

    async def close(self) -> None:
        await super().close()
        self.lock.close()


def _now() -> datetime:
    return datetime.now(UTC)


async def opened(clock: Clock | None = None) -> Store:
    place, lock = servers.take()
    try:
        await servers.wipe(place)
        # On a busy machine a server takes its time; deadlines are tested elsewhere.
        store = await open_neo4j(
            place.url, credentials=place.credentials, clock=clock or _now, patience=120.0
        )
    except BaseException:
        lock.close()
        raise
    store.__class__ = _Released
    assert isinstance(store, _Released)
    store.lock = lock
    return store


class TestNeo4jStore(StoreConformance):
    async def open(self, *, clock: Clock | None = None) -> Store:
        return await opened(clock)
