"""Random histories on a real Neo4j server."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from triforium.graph import Store
from triforium.testing.store_machine import StoreMachine

from .test_neo4j_store import opened

pytestmark = pytest.mark.timeout(600)


class Neo4jMachine(StoreMachine):
    async def open(self) -> Store:
        return await opened()


TestNeo4jMachine = Neo4jMachine.TestCase
TestNeo4jMachine.settings = settings(
    max_examples=12,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
