"""The SQLite store keeps the promises of every store, and those of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from triforium.graph.sqlite import SQLiteStore, open_sqlite
from triforium.testing.store_conformance import Clock, StoreConformance


async def opened(url: str, clock: Clock | None) -> SQLiteStore:
    return await (open_sqlite(url) if clock is None else open_sqlite(url, clock=clock))


class TestSQLiteFile(StoreConformance):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path
        self.count = 0

    async def open(self, *, clock: Clock | None = None) -> SQLiteStore:
        self.count += 1
        return await opened(f"sqlite:///{self.folder}/{self.count}.db", clock)


class TestSQLiteTemporary(StoreConformance):
    async def open(self, *, clock: Clock | None = None) -> SQLiteStore:
        return await opened("sqlite://", clock)
