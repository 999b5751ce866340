"""Nothing breaks out of a scope or a query of the SQLite store."""

from __future__ import annotations

from triforium.graph import Store
from triforium.graph.sqlite import open_sqlite
from triforium.testing.isolation_conformance import IsolationConformance


class TestSQLite(IsolationConformance):
    async def open(self) -> Store:
        return await open_sqlite("sqlite://")


class TestSQLiteTables(IsolationConformance):
    """A store with too much to keep in memory."""

    async def open(self) -> Store:
        return await open_sqlite("sqlite://", kept=0)
