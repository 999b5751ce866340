"""Random histories on the SQLite store."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from triforium.graph import Store
from triforium.graph.sqlite import open_sqlite
from triforium.testing.store_machine import StoreMachine


class SQLiteMachine(StoreMachine):
    async def open(self) -> Store:
        return await open_sqlite("sqlite://")


TestSQLiteMachine = SQLiteMachine.TestCase
TestSQLiteMachine.settings = settings(
    max_examples=80,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


class SQLiteTablesMachine(StoreMachine):
    """The same for a store with too much to keep in memory."""

    async def open(self) -> Store:
        return await open_sqlite("sqlite://", kept=0)


TestSQLiteTablesMachine = SQLiteTablesMachine.TestCase
TestSQLiteTablesMachine.settings = settings(TestSQLiteMachine.settings, max_examples=30)
