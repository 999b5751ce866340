"""What is kept in memory of a server's store is what the server would answer.

Every read is asked of two stores on one database: of one that keeps trials and insights, and of one
that keeps nothing and puts each search and walk to the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from triforium.errors import StoreError
from triforium.graph import (
    Add,
    AddCredit,
    AddLink,
    Close,
    Expire,
    Filter,
    Hop,
    Link,
    LinkType,
    Op,
    Outcome,
    Patch,
    Revive,
    SetStatus,
    Status,
    Store,
    Supersede,
    Tier,
    Unlink,
)
from triforium.graph.neo4j import Neo4jStore, open_neo4j, replica
from triforium.graph.neo4j.server import Server
from triforium.graph.sqlite import open_sqlite
from triforium.memory.cases import steps_hop
from triforium.testing.store_conformance import TEAM, changes, insight, link, step, trial, unit
from triforium.testing.store_machine import ANY, StoreMachine

from . import servers
from .test_neo4j_store import opened

pytestmark = pytest.mark.timeout(600)

SEARCHABLE = frozenset({Tier.QUERY, Tier.INSIGHT})
UPPER = frozenset(LinkType) - {LinkType.PART_OF, LinkType.NEXT, LinkType.REPLY_TO}
ALL = Filter(statuses=frozenset(), tainted=None)
HOPS = (
    Hop(UPPER, "both", SEARCHABLE, fan=99),
    Hop(UPPER, "out", SEARCHABLE, ALL, fan=99, start=0),
    Hop(frozenset({LinkType.SIMILAR, LinkType.LED_TO}), "in", SEARCHABLE, ANY, 2, start=0),
    replace(steps_hop(start=0, without_summary=True), fan=99),
    steps_hop(start=1),
    replace(steps_hop(start=2), where=ALL, fan=99),
)
COLOURS = ("red", "green", "blue")
VECTORS = {"red": unit(1, 0, 0), "green": unit(0, 1, 0), "blue": unit(0.6, 0.8, 0)}


@dataclass
class Both:
    """Two stores on one database.

    Attributes:
        kept: Keeps trials and insights in memory.
        asked: Asks the server.
    """

    kept: Neo4jStore
    asked: Neo4jStore

    async def compare(self, ids: Sequence[str], scope: str = TEAM, run: str = "") -> Any:
        """Both give the same; returns what a search gives."""
        views = [await store.view(scope, run=run) for store in (self.kept, self.asked)]
        assert views[0].position == views[1].position
        found = None
        for where in (Filter(), ALL, Filter(outcomes=frozenset({"success"}), tainted=None)):
            one, two = [
                await view.search(
                    ["red blue", "green door mug"], unit(0.8, 0.6, 0)[None], k=999, where=where
                )
                for view in views
            ]
            assert one == two, where
            found = found or one
        seeds = sorted((await views[1].get(ids)).keys())
        one_walk, two_walk = [await view.walk(seeds, HOPS) for view in views]
        assert one_walk == two_walk
        assert list(one_walk.records) == list(two_walk.records)
        assert self.kept._replicas.of((await self.kept.view(scope))._lens.scopes) is not None
        assert self.asked._replicas.of((await self.asked.view(scope))._lens.scopes) is None
        return found

    async def close(self) -> None:
        await self.kept.close()
        await self.asked.close()


@asynccontextmanager
async def _both(place: servers.Place, **more: Any) -> AsyncIterator[Both]:
    both = Both(
        await open_neo4j(place.url, credentials=place.credentials, patience=120.0, **more),
        await open_neo4j(place.url, credentials=place.credentials, patience=120.0, kept=0),
    )
    try:
        yield both
    finally:
        await both.close()


class FollowingMachine(StoreMachine):
    """After each step of a random history."""

    async def open(self) -> Store:
        store = await opened()
        assert isinstance(store, Neo4jStore)
        # The one that writes keeps nothing, so that what it writes has to be found out.
        store._replicas._largest = 0
        self.other = await open_neo4j(
            store.url, credentials=_credentials(store.url), patience=120.0
        )
        self.both = Both(self.other, store)
        return store

    def teardown(self) -> None:
        self.runner.run(self.other.close())
        super().teardown()

    async def compare(self, scope: str, run: str, at: int | None) -> None:
        if at is None:
            seeds = [
                f"r{n}"
                for n in range(self.count + 1)
                if (row := self.states[-1].rows.get(f"r{n}"))
                and row.record.tier is not Tier.INTERACTION
            ]
            await self.both.compare(seeds, scope, run)


def _credentials(url: str) -> tuple[str, str]:
    return next(place.credentials for place in servers.places() if place.url == url)


TestFollowing = FollowingMachine.TestCase
TestFollowing.settings = settings(
    max_examples=4,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


async def write(store: Neo4jStore, id_: str, *ops: Op) -> None:
    added = {op.record.id: op.record.text for op in ops if isinstance(op, Add)}
    vectors = {id_: VECTORS[text.split()[0]] for id_, text in added.items() if text[0] in "rgb"}
    await store.apply(changes(id_, *ops), vectors=vectors, embedder="three/1")


OPS: tuple[tuple[Op, ...], ...] = (
    (Add(insight("a", "red mug")), Add(insight("b", "blue mug")), Add(trial("t", "green door"))),
    (Add(step("s1", "t", 1)), link("s1", "t", LinkType.PART_OF)),
    (Add(step("s2", "t", 2)), link("s2", "t", LinkType.PART_OF), link("s1", "s2", LinkType.NEXT)),
    (Close("t", 1, Outcome.success()), link("t", "a"), link("t", "b", weight=0.5)),
    (AddLink(Link(src="a", dst="b", type=LinkType.SIMILAR, weight=0.5)),),
    (AddLink(Link(src="a", dst="b", type=LinkType.SIMILAR, weight=0.9)),),
    (AddCredit("a", "solver", "r1", uses=1.0, helped=1.0),),
    (AddCredit("s2", "solver", "r1", uses=1.0, helped=1.0),),
    (Patch("b", 1, {"keys": ("green", "kettle")}),),
    (Patch("t", 2, {"summary": "short"}),),
    (Patch("t", 3, {"summary": ""}),),
    # Steps of a closed trial change: each is seen in the next walk.
    (Add(step("s3", "t", 3)), link("s3", "t", LinkType.PART_OF)),
    (SetStatus("s1", 1, Status.ARCHIVED, "odd"),),
    (Unlink("s2", "t", LinkType.PART_OF),),
    (Unlink("s3", "t", LinkType.PART_OF), Expire("s3", 1)),
    (Revive("s3"), link("s3", "t", LinkType.PART_OF)),
    # Quarantine taints what came of a record, steps and trials too, and its release undoes it.
    (
        Add(trial("u", "red door")),
        link("s1", "u", LinkType.LED_TO),
        link("b", "t", LinkType.LED_TO),
    ),
    (SetStatus("b", 2, Status.QUARANTINED, "odd"),),
    (SetStatus("b", 3, Status.ACTIVE, "it was not"),),
    (SetStatus("s1", 2, Status.QUARANTINED, "odd"),),
    (SetStatus("s1", 3, Status.ACTIVE, "it was not"),),
    (Unlink("a", "b", LinkType.SIMILAR),),
    (Add(insight("c", "blue kettle")), Supersede("a", 1, "c")),
    (Unlink("t", "b", LinkType.SUPPORTS), Unlink("b", "t", LinkType.LED_TO), Expire("b", 4)),
    (Revive("b"), link("t", "b")),
)


async def test_every_kind_of_change_is_followed() -> None:
    async with servers.empty_place() as place, _both(place) as both:
        for number, ops in enumerate(OPS):
            await write(both.asked, f"c{number}", *ops)
            found = await both.compare(["a", "b", "c", "t", "u"])
        assert {hit.record.id for hit in found.hits} >= {"b", "c"}
        walk = await (await both.kept.view(TEAM)).walk(["t"], [steps_hop()])
        assert walk.levels == (("t",), ("s1",)) or "s3" in walk.levels[1]


async def test_one_view_sees_what_this_process_writes_meanwhile() -> None:
    """Counters and status are read as of the call."""
    async with servers.empty_place() as place, _both(place) as both:
        await write(both.kept, "c0", Add(insight("a", "red mug")), Add(insight("b", "red door")))
        view = await both.kept.view(TEAM)
        assert len((await view.search(["red"])).hits) == 2
        await write(both.kept, "c1", SetStatus("b", 1, Status.ARCHIVED, "old"))
        assert [hit.record.id for hit in (await view.search(["red"])).hits] == ["a"]
        await write(both.kept, "c2", AddCredit("a", "solver", "r", uses=2.0))
        walk = await view.walk(["a"], [HOPS[0]])
        assert walk.records["a"].credit["solver"].uses == 2.0


async def test_nothing_is_missed_beside_writers() -> None:
    """What two processes write while a third reads is there once they are done.

    The server shows a transaction in part while it commits: what a reader took over then would be
    missing for ever if it were taken for the whole.
    """
    rounds = 60
    async with servers.empty_place() as place, _both(place) as both:
        other = await open_neo4j(place.url, credentials=place.credentials, patience=120.0)
        writers = (both.asked, other)
        done = asyncio.Event()

        async def writing(number: int) -> None:
            store = writers[number]
            for turn in range(rounds):
                name = f"{number}-{turn}"
                ops: list[Op] = [Add(insight(name, f"{COLOURS[turn % 3]} {name}"))]
                if turn:
                    ops.append(link(f"{number}-{turn - 1}", name, LinkType.SIMILAR))
                    # Each is changed once more: a change that is missed stays so.
                    ops.append(AddCredit(f"{number}-{turn - 1}", "solver", name, uses=1.0))
                await write(store, name, *ops)

        async def reading() -> int:
            reads = 0
            while not done.is_set():
                view = await both.kept.view(TEAM)
                found = await view.search(["red green blue"], k=999)
                # Each writer's records come in order and without a gap, up to the View's position.
                seen = {hit.record.id for hit in found.hits}
                assert len(seen) == view.position
                reads += 1
            return reads

        try:
            await write(both.kept, "first", Add(insight("first", "red first")))
            reader = asyncio.create_task(reading())
            await asyncio.gather(writing(0), writing(1))
            done.set()
            assert await reader > 3
            names = [f"{number}-{turn}" for number in (0, 1) for turn in range(rounds)]
            found = await both.compare(names)
            assert {hit.record.id for hit in found.hits} >= set(names)
        finally:
            done.set()
            await other.close()


async def test_a_large_one_is_read_in_the_background(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica, "AT_ONCE", -1)
    async with servers.empty_place() as place, _both(place) as both:
        await write(both.asked, "c", Add(insight("a", "red mug")), Add(insight("b", "blue mug")))
        scopes = (await both.kept.view(TEAM))._lens.scopes
        for _ in range(2):
            assert both.kept._replicas.of(scopes) is None
            assert not both.kept._replicas._tasks, "not before the second search"
            found = await (await both.kept.view(TEAM)).search(["mug"])
            assert len(found.hits) == 2, "the server was asked"
        await asyncio.gather(*both.kept._replicas._tasks)
        assert both.kept._replicas.of(scopes) is not None
        await both.compare(["a", "b"])


async def test_one_that_cannot_be_read_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica, "AT_ONCE", -1)
    read = replica.Replicas._read
    failed: list[tuple[str, ...]] = []

    async def fails(self: replica.Replicas, scopes: tuple[str, ...], start: Any) -> None:
        if not failed:
            failed.append(scopes)
            self._loading.discard(scopes)
            raise StoreError("The server is gone.")
        await read(self, scopes, start)

    monkeypatch.setattr(replica.Replicas, "_read", fails)
    async with servers.empty_place() as place, _both(place) as both:
        await write(both.asked, "c", Add(insight("a", "red mug")))
        for _ in range(3):
            assert len((await (await both.kept.view(TEAM)).search(["mug"])).hits) == 1
            await asyncio.gather(*both.kept._replicas._tasks)
        assert failed
        await both.compare(["a"])


async def test_too_many_are_not_kept() -> None:
    async with servers.empty_place() as place, _both(place, kept=1) as both:
        await write(both.asked, "c", Add(insight("a", "red mug")), Add(insight("b", "blue mug")))
        for _ in range(2):
            view = await both.kept.view(TEAM)
            assert len((await view.search(["mug"])).hits) == 2
        assert both.kept._replicas.of(view._lens.scopes) is None


async def test_what_is_too_much_to_catch_up_with_is_read_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replica, "MOST", 3)
    async with servers.empty_place() as place, _both(place) as both:
        await write(both.asked, "first", Add(insight("a", "red mug")))
        await both.compare(["a"])
        for number in range(6):
            await write(both.asked, f"c{number}", AddCredit("a", "solver", f"r{number}", uses=1.0))
        view = await both.kept.view(TEAM)
        assert both.kept._replicas.of(view._lens.scopes) is None
        await both.compare(["a"])


async def test_another_database_under_the_same_url() -> None:
    """One was emptied and filled again, as far as before or further."""
    async with servers.empty_place() as place, _both(place) as both:
        for number in range(3):
            await write(both.asked, f"c{number}", Add(insight(f"a{number}", "red mug")))
        assert len((await both.compare(["a0"])).hits) == 3
        for more in (2, 5):
            await servers.wipe(place)
            fresh = await open_neo4j(place.url, credentials=place.credentials, kept=0)
            for number in range(more):
                await write(fresh, f"d{number}", Add(insight(f"b{number}", "red mug")))
            await fresh.close()
            assert len((await both.compare(["b0"])).hits) == more


async def test_reading_of_what_is_kept_asks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A View, a search and a walk down to steps that were walked before: one question in all."""
    async with servers.empty_place() as place, _both(place) as both:
        for number, ops in enumerate(OPS[:4]):
            await write(both.asked, f"c{number}", *ops)
        await both.compare(["a", "b", "t"])
        asked = []
        query = Server._query

        async def noted(self: Server, text: str, parameters: Any, *, writing: bool) -> Any:
            asked.append(text)
            return await query(self, text, parameters, writing=writing)

        monkeypatch.setattr(Server, "_query", noted)
        monkeypatch.setattr(replica, "FRESH_SECONDS", 60.0)
        view = await both.kept.view(TEAM)
        await view.search(["red"], unit(1, 0, 0)[None])
        assert (await view.walk(["t"], HOPS)).levels[4] == ("s1", "s2")
        assert len(asked) == 1


async def test_a_copy_is_kept_too() -> None:
    """Its changesets do not say what they touched, and its journal may have gaps."""
    async with servers.empty_place() as place, _both(place) as both:
        source = await open_sqlite("sqlite://")
        try:
            await source.apply(changes("other", Add(insight("x", scope="else")), scope="else"))
            await source.apply(changes("c", Add(insight("a", "red mug")), Add(insight("b", "red"))))
            await source.apply(changes("last", Add(insight("y", scope="else")), scope="else"))
            await both.asked.restore(source.dump(TEAM))
        finally:
            await source.close()
        await both.compare(["a", "b"])
        await write(both.asked, "more", Add(insight("c", "red door")), link("a", "c"))
        assert len((await both.compare(["a", "b", "c"])).hits) == 3


async def test_a_view_that_is_older_than_what_is_kept_leaves_nothing_behind() -> None:
    """Steps that were asked for as of before are not taken for those of now."""
    async with servers.empty_place() as place, _both(place) as both:
        for number, ops in enumerate(OPS[:3]):
            await write(both.asked, f"c{number}", *ops)
        old = await both.kept.view(TEAM, run="run")
        await write(both.asked, "late", Add(step("s9", "t", 9)), link("s9", "t", LinkType.PART_OF))
        await write(both.asked, "closed", Close("t", 1, Outcome.success()))
        await old.search(["door"])
        assert (await old.walk(["t"], [steps_hop()])).levels[1] == ("s1", "s2")
        await both.compare(["a", "b", "t"])
        walk = await (await both.kept.view(TEAM)).walk(["t"], [steps_hop()])
        assert walk.levels[1] == ("s1", "s2", "s9")
