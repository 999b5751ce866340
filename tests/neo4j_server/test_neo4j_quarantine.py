"""Quarantine, taint and the counts of sources on a real Neo4j server."""

from __future__ import annotations

from triforium.graph import Store
from triforium.testing.quarantine_conformance import QuarantineConformance

from .test_neo4j_store import opened


class TestNeo4j(QuarantineConformance):
    async def open(self) -> Store:
        return await opened()
