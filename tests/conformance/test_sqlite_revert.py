"""Reverting and auditing on the SQLite store."""

from __future__ import annotations

from pathlib import Path

import pytest

from triforium.graph import Store
from triforium.graph.sqlite import open_sqlite
from triforium.testing.revert_conformance import RevertConformance
from triforium.testing.store_conformance import Clock


class TestSQLite(RevertConformance):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path
        self.count = 0

    async def open(self, *, clock: Clock | None = None) -> Store:
        self.count += 1
        url = f"sqlite:///{self.folder}/{self.count}.db"
        return await (open_sqlite(url) if clock is None else open_sqlite(url, clock=clock))
