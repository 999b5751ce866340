"""Reverting and auditing on a real Neo4j server."""

from __future__ import annotations

import pytest

from triforium.graph import Store
from triforium.testing.revert_conformance import RevertConformance
from triforium.testing.store_conformance import Clock

from .test_neo4j_store import opened

pytestmark = pytest.mark.timeout(600)


class TestNeo4j(RevertConformance):
    async def open(self, *, clock: Clock | None = None) -> Store:
        return await opened(clock)
