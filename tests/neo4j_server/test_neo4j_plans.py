"""No query of a recall goes through all nodes, or through all of a label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from triforium.graph.neo4j import cypher, open_neo4j
from triforium.graph.neo4j.server import Server, parse
from triforium.memory import Memory
from triforium.memory.embedders import get_embedder
from triforium.workflows.memory_ops_data import Grown, Mix

from . import servers

pytestmark = pytest.mark.timeout(900)
RECORDS = 4000
SCANS = ("AllNodesScan", "NodeByLabelScan", "UnionNodeByLabelsScan", "IntersectionNodeByLabelsScan")


def _operators(plan: Mapping[str, Any]) -> Iterator[str]:
    yield str(plan["operatorType"]).partition("@")[0]
    for child in plan.get("children", ()):
        yield from _operators(child)


async def test_recall_scans_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `Memory.recall` asks, and the rest of what an agent does on the way."""
    asked: dict[str, Mapping[str, Any]] = {}
    query = Server._query

    async def noted(self: Server, text: str, parameters: Any, *, writing: bool) -> Any:
        if not text.startswith("PROFILE"):
            asked[text] = dict(parameters)
        return await query(self, text, parameters, writing=writing)

    grown = Grown(Mix.of(RECORDS), 0, "bench")
    async with servers.empty_place() as place:
        store = await open_neo4j(place.url, credentials=place.credentials, patience=120.0)
        plain = await open_neo4j(place.url, credentials=place.credentials, patience=120.0, kept=0)
        server = Server(parse(place.url), place.credentials, patience=120.0)
        try:
            embedder = get_embedder("wordllama")
            one = Memory(store, scope="bench", embedder=embedder)
            for ops in grown.batches(2000):
                await one.write(ops, reason="grown")
            monkeypatch.setattr(Server, "_query", noted)
            for memory in (Memory(plain, scope="bench", embedder=embedder), one):
                for task in grown.unseen(4, memory.store.url):
                    trial = await memory.begin(task)
                    recalled = await memory.recall(task, trial=trial)
                    assert recalled.items
                    await memory.recall(task, trial=trial)
                    await memory.store.receipts("bench", run=trial.run)
                    await memory.store.receipts("bench", trial=trial.id)
                    await memory.explain(recalled.receipt)
            searched = [text for text in asked if cypher.TEXT_INDEX in text]
            walked = [text for text in asked if text.startswith("CALL () { UNWIND $seeds")]
            assert searched
            assert {cypher.BASE, cypher.KEPT, cypher.LINKS, cypher.FOLLOW} <= asked.keys()
            assert walked
            assert cypher.PUT_RECEIPT in asked
            scans = {}
            for text, parameters in asked.items():
                plan = await server.profile(text, **parameters)
                found = [one for one in _operators(plan) if one in SCANS]
                if found:
                    scans[text] = found
            assert not scans
        finally:
            await server.close()
            await plain.close()
            await store.close()
