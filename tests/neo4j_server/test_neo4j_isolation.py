"""Nothing breaks out of a scope or a query on a real Neo4j server."""

from __future__ import annotations

import pytest

from triforium.graph import Store
from triforium.testing.isolation_conformance import IsolationConformance

from .test_neo4j_store import opened

pytestmark = pytest.mark.timeout(600)


class TestNeo4j(IsolationConformance):
    async def open(self) -> Store:
        return await opened()
