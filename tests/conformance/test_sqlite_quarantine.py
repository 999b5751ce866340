"""Quarantine, taint and the counts of sources on the SQLite store."""

from __future__ import annotations

from pathlib import Path

import pytest

from triforium.graph import Store
from triforium.graph.sqlite import open_sqlite
from triforium.testing.quarantine_conformance import QuarantineConformance


class TestSQLite(QuarantineConformance):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path
        self.count = 0

    async def open(self) -> Store:
        self.count += 1
        return await open_sqlite(f"sqlite:///{self.folder}/{self.count}.db")


class TestSQLiteTables(QuarantineConformance):
    """A store with too much to keep in memory."""

    async def open(self) -> Store:
        return await open_sqlite("sqlite://", kept=0)
