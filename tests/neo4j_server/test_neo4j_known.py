"""A process is sent only what it does not know; what changes while it reads is noticed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from triforium.graph import (
    Add,
    AddCredit,
    AddLink,
    Filter,
    Hop,
    Link,
    LinkType,
    Op,
    SetStatus,
    Status,
    Tier,
)
from triforium.graph.neo4j import Neo4jStore, cypher, open_neo4j
from triforium.graph.neo4j.server import Server
from triforium.testing.store_conformance import TEAM, changes, insight

from . import servers

INSIGHTS = frozenset({Tier.INSIGHT})
ACTIVE = Filter(statuses=frozenset({Status.ACTIVE}))
SIMILAR = Hop(frozenset({LinkType.SIMILAR}), tiers=INSIGHTS, where=ACTIVE)


class Asked:
    """The records a process asks for, and what another one does before it is answered."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ids: list[list[str]] = []
        self.meanwhile: list[tuple[Neo4jStore, Op]] = []
        read = Server.read

        async def noted(server: Server, query: str, **parameters: Any) -> Any:
            if query == cypher.LACKING:
                self.ids.append(sorted(parameters["ids"]))
                if self.meanwhile:
                    store, op = self.meanwhile.pop()
                    await store.apply(changes(f"meanwhile {len(self.ids)}", op))
            return await read(server, query, **parameters)

        monkeypatch.setattr(Server, "read", noted)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(monkeypatch)


@pytest_asyncio.fixture
async def pair() -> AsyncIterator[tuple[Neo4jStore, Neo4jStore]]:
    """Two processes' stores over one server."""
    async with servers.empty_place() as place:
        one = await open_neo4j(place.url, credentials=place.credentials, kept=0)
        other = await open_neo4j(place.url, credentials=place.credentials, kept=0)
        try:
            link = Link(src="a", dst="b", type=LinkType.SIMILAR)
            await one.apply(changes("c", Add(insight("a")), Add(insight("b")), AddLink(link)))
            yield one, other
        finally:
            await one.close()
            await other.close()


async def search(store: Neo4jStore) -> dict[str, Any]:
    view = await store.view(TEAM)
    found = await view.search([insight("a").text], tiers=INSIGHTS, where=ACTIVE)
    return {hit.record.id: hit.record for hit in found.hits}


async def test_only_what_has_changed_is_sent_again(
    pair: tuple[Neo4jStore, Neo4jStore], asked: Asked
) -> None:
    one, other = pair
    assert set(await search(one)) == {"a", "b"}
    assert set(await search(one)) == {"a", "b"}
    walk = await (await one.view(TEAM)).walk(["a"], [SIMILAR])
    assert walk.levels == (("a",), ("b",))
    assert asked.ids == [["a", "b"]]
    await other.apply(changes("d", AddCredit("b", "solver", "r", uses=1.0)))
    assert (await search(one))["b"].credit["solver"].uses == 1.0
    assert asked.ids == [["a", "b"], ["b"]]


@pytest.mark.parametrize("status", [Status.QUARANTINED, Status.ARCHIVED])
async def test_what_changes_while_it_is_read(
    pair: tuple[Neo4jStore, Neo4jStore], asked: Asked, status: Status
) -> None:
    """A record that passed a filter may not pass it any more when it is sent."""
    one, other = pair
    asked.meanwhile = [(other, SetStatus("b", 1, status, reason="odd"))]
    assert set(await search(one)) == {"a"}
    asked.meanwhile = [(one, SetStatus("b", 2, Status.ACTIVE, reason="it was not"))]
    walk = await (await other.view(TEAM)).walk(["a"], [SIMILAR])
    assert walk.levels == (("a",), ()), "it is asked for a alone, then b comes back"
    walk = await (await other.view(TEAM)).walk(["a"], [SIMILAR])
    assert walk.levels == (("a",), ("b",))
    assert walk.records["b"].status is Status.ACTIVE
    asked.meanwhile = [(one, AddCredit("a", "solver", "r", uses=2.0))]
    await one.apply(changes("e", AddCredit("a", "solver", "q", uses=1.0)))
    walk = await (await other.view(TEAM)).walk(["a"], [SIMILAR])
    assert walk.records["a"].credit["solver"].uses == 3.0
