"""What is kept in memory follows the file, also when another process writes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from triforium.graph import (
    Add,
    AddCredit,
    AddLink,
    Changeset,
    Filter,
    Hop,
    Link,
    LinkType,
    Op,
    Patch,
    Record,
    SetStatus,
    Status,
    Store,
    Tier,
    Unlink,
)
from triforium.graph.sqlite import open_sqlite

TEAM = "acme/team"


def insight(name: str, text: str) -> Record:
    return Record(id=name, tier=Tier.INSIGHT, kind="rule", text=text, scope=TEAM)


async def write(store: Store, id_: str, *ops: Op) -> None:
    await store.apply(Changeset(id=id_, scope=TEAM, ops=ops))


async def test_two_stores_and_the_tables_agree_after_every_write(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/m.db"
    writer, kept, tables = (
        await open_sqlite(url), await open_sqlite(url), await open_sqlite(url, kept=0)
    )  # fmt: skip
    supports = LinkType.SUPPORTS
    changes: list[tuple[Op, ...]] = [
        (Add(insight("a", "the mug is on the shelf")), Add(insight("b", "the mug is in the sink"))),
        (AddLink(Link(src="a", dst="b", type=LinkType.SIMILAR, weight=0.5)),),
        (AddCredit("a", "solver", "r1", uses=1.0, helped=1.0),),
        (Patch("b", 1, {"keys": ("kettle",)}),),
        (AddLink(Link(src="a", dst="b", type=LinkType.SIMILAR, weight=0.9)),),
        (AddLink(Link(src="a", dst="b", type=supports)),),
        (SetStatus("a", 1, Status.QUARANTINED, "odd"),),
        (Unlink("a", "b", LinkType.SIMILAR),),
    ]
    walked = Hop(frozenset({LinkType.SIMILAR, supports}), "both", where=Filter(
        statuses=frozenset(Status)), tiers=frozenset({Tier.INSIGHT}))  # fmt: skip
    try:
        before = [await store.view(TEAM) for store in (kept, tables)]
        for number, ops in enumerate(changes):
            await write(writer, str(number), *ops)
            one, other = await kept.view(TEAM), await tables.view(TEAM)
            for text in ("mug", "kettle", "shelf sink"):
                first, second = await one.search([text]), await other.search([text])
                assert first == second, (number, text)
            assert await one.walk(["a"], [walked]) == await other.walk(["a"], [walked]), number
            assert dict(await one.get(["a", "b", "c"])) == dict(await other.get(["a", "b", "c"]))
            # A View of before the first write sees none of it.
            for view in before:
                assert not (await view.search(["mug"])).hits
        assert kept._replica.loaded
        assert not tables._replica.loaded
        assert not (await one.search(["shelf"])).hits, "quarantined"
        assert not (await one.search(["kettle"])).hits, "rests on what is quarantined"
        tainted = await one.search(["kettle"], where=Filter(tainted=None))
        assert [hit.record.taint for hit in tainted.hits] == [("a",)]
    finally:
        for store in (writer, kept, tables):
            await store.close()


async def test_a_view_sees_a_link_until_it_was_taken_away(tmp_path: Path) -> None:
    store = await open_sqlite(f"sqlite:///{tmp_path}/m.db")
    hop = Hop(frozenset({LinkType.SIMILAR}), tiers=frozenset({Tier.INSIGHT}))
    try:
        link = Link(src="a", dst="b", type=LinkType.SIMILAR, weight=0.5)
        await write(store, "1", Add(insight("a", "x")), Add(insight("b", "y")), AddLink(link))
        with_link = await store.view(TEAM)
        assert len((await with_link.walk(["a"], [hop])).links) == 1
        await write(store, "2", Unlink("a", "b", LinkType.SIMILAR))
        assert len((await with_link.walk(["a"], [hop])).links) == 1
        assert not (await (await store.view(TEAM)).walk(["a"], [hop])).links
    finally:
        await store.close()


async def test_a_store_that_outgrows_the_memory_is_read_from_its_tables(tmp_path: Path) -> None:
    store = await open_sqlite(f"sqlite:///{tmp_path}/m.db", kept=3)
    try:
        for number in range(6):
            added = insight(f"i{number}", f"mug number{number}")
            vector = np.eye(8, dtype=np.float32)[number]
            await store.apply(
                Changeset(id=str(number), scope=TEAM, ops=(Add(added),)),
                vectors={added.id: vector},
                embedder="test",
            )
            view = await store.view(TEAM)
            found = await view.search([f"number{number}"], vector[None, :])
            best = max(found.hits, key=lambda hit: hit.cosine)
            assert best.record.id == f"i{number}"
    finally:
        await store.close()


async def test_changes_are_no_growth() -> None:
    store = await open_sqlite("sqlite://", kept=3)
    try:
        await write(store, "1", Add(insight("a", "mug")), Add(insight("b", "cup")))
        await (await store.view(TEAM)).search(["mug"])
        await write(store, "2", Patch("a", 1, {"keys": ("x",)}), Patch("b", 1, {"keys": ("y",)}))
        assert (await (await store.view(TEAM)).search(["x"])).hits
        assert store._replica.loaded
    finally:
        await store.close()


async def test_links_of_steps_are_passed_over_once() -> None:
    store = await open_sqlite("sqlite://")
    try:
        steps = [
            Record(id=f"s{n}", tier=Tier.INTERACTION, kind="action", text="x", scope=TEAM)
            for n in range(3)
        ]
        links = [AddLink(Link(src="s0", dst=f"s{n}", type=LinkType.NEXT)) for n in (1, 2)]
        await write(store, "1", *map(Add, steps), *links)
        await (await store.view(TEAM)).search(["x"])
        assert store._replica._link == 2
    finally:
        await store.close()


async def test_terms_that_nobody_says_any_more_are_let_go() -> None:
    store = await open_sqlite("sqlite://")
    try:
        await write(store, "0", Add(insight("a", "mug")))
        for number in range(1, 1200):
            await write(store, str(number), Patch("a", number, {"keys": (f"k{number}",)}))
            if number % 100 == 0:
                await (await store.view(TEAM)).search(["mug"])
        words = store._replica.words[Tier.INSIGHT]
        for number in range(1200, 1203):
            await write(store, str(number), Patch("a", number, {"keys": (f"k{number}",)}))
            view = await store.view(TEAM)
            assert (await view.search([f"k{number}"])).hits
            assert not (await view.search([f"k{number - 1}"])).hits
        assert words._size <= 1200
        assert not store._replica.words[Tier.INSIGHT].outgrown
    finally:
        await store.close()
