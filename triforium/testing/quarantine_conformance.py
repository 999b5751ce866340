"""What a store promises of quarantine, taint and the counts of sources. Subclass it for yours.

::

    class TestMyStore(QuarantineConformance):
        async def open(self):
            return await open_my_store(fresh_place())
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from ..errors import Frozen
from ..graph import (
    Add,
    AddCredit,
    Close,
    Expire,
    Filter,
    Hold,
    HoldState,
    Hop,
    LinkType,
    Outcome,
    Provenance,
    Record,
    SetStatus,
    SourceCounts,
    Status,
    Store,
    Tier,
    Unlink,
)
from ..graph.application import frozen_id
from ..graph.audit import examine
from ..graph.revert import plan_revert
from .store_conformance import (
    ALL,
    PRIVATE,
    SIBLING,
    TEAM,
    changes,
    found,
    insight,
    link,
    rows_of,
    trial,
)

ANYTHING = Filter(statuses=frozenset(), tainted=None)
_DOWN = frozenset({LinkType.SUPPORTS, LinkType.LED_TO, LinkType.DERIVED_FROM})


def by(record: Record, source: str) -> Record:
    """The same record of a source."""
    return replace(record, provenance=replace(record.provenance, source=source))


def quarantine(id_: str, revision: int = 1) -> SetStatus:
    """The op that puts a record into quarantine."""
    return SetStatus(id_, revision, Status.QUARANTINED, "odd", ("w1", "w2"))


def active(id_: str, revision: int) -> SetStatus:
    """The op that takes it out again."""
    return SetStatus(id_, revision, Status.ACTIVE, "fine")


async def taint(
    store: Store, *ids: str, at: int | None = None, scope: str = TEAM
) -> list[set[str]]:
    """The roots that taint some records."""
    view = await store.view(scope, at=at)
    records = await view.get(ids)
    return [set(records[id_].taint) for id_ in ids]


@pytest.mark.asyncio
class QuarantineConformance:
    """Subclass and define `open`; every test opens a store of its own."""

    async def open(self) -> Store:
        """A new, empty store."""
        raise NotImplementedError

    @pytest_asyncio.fixture
    async def store(self) -> AsyncIterator[Store]:
        """An open, empty store."""
        store = await self.open()
        yield store
        assert (await examine(store)).problems == ()
        await store.close()

    async def chain(self, store: Store) -> None:
        """bad -> t (LED_TO) -> rule (SUPPORTS) <- derived; other -> rule as well."""
        await store.apply(
            changes(
                "chain",
                Add(by(trial("bad"), "eve")), Add(by(trial("t"), "ann")),
                Add(by(trial("other"), "bob")), Add(insight("rule")), Add(insight("derived")),
                *(Close(id_, 1, Outcome.success()) for id_ in ("bad", "t", "other")),
                link("bad", "t", LinkType.LED_TO), link("t", "rule"), link("other", "rule"),
                link("derived", "rule", LinkType.DERIVED_FROM),
            )
        )  # fmt: skip

    async def test_why_a_record_is_held(self, store: Store) -> None:
        """Reason, dissenters, state and position are kept with the status, and go with it."""
        await store.apply(changes("c1", Add(insight("a"))))
        await store.apply(changes("c2", quarantine("a")))
        sure = SetStatus("a", 2, Status.QUARANTINED, "seen", ("w1",), HoldState.CONFIRMED)
        await store.apply(changes("c3", sure))
        await store.apply(changes("c4", active("a", 3)))
        expected = [
            None,
            Hold("odd", ("w1", "w2"), HoldState.SUSPECTED, 2),
            Hold("seen", ("w1",), HoldState.CONFIRMED, 2),
            None,
        ]
        for position, hold in enumerate(expected, 1):
            assert (await (await store.view(TEAM, at=position)).get(["a"]))["a"].hold == hold
        assert await found(store, "door") == {"a"}
        assert not await found(store, "door", at=3)

    async def test_what_came_of_it_is_tainted(self, store: Store) -> None:
        """Taint passes along LED_TO, SUPPORTS and DERIVED_FROM, in the same changeset."""
        await self.chain(store)
        await store.apply(changes("q", quarantine("bad", 2)))
        ids = ("bad", "t", "rule", "derived", "other")
        assert await taint(store, *ids) == [set(), {"bad"}, {"bad"}, {"bad"}, set()]
        assert await taint(store, *ids, at=1) == [set()] * 5
        await store.apply(changes("r", active("bad", 3)))
        assert await taint(store, *ids) == [set()] * 5
        assert await taint(store, *ids, at=2) == [set(), {"bad"}, {"bad"}, {"bad"}, set()]

    async def test_tainted_records_are_not_found(self, store: Store) -> None:
        """Searches, walks and the most recent leave them out, now and as of then."""
        await self.chain(store)
        await store.apply(changes("q", quarantine("bad", 2)))
        for at in (None, 2):
            view = await store.view(TEAM, at=at)
            assert await found(store, "door", at=at) == {"other"}
            assert {one.id for one in await view.recent(tiers=ALL, k=9)} == {"other"}
            assert not (await view.walk(["other"], [Hop(_DOWN)])).levels[1]
            hop = Hop(_DOWN, where=Filter(tainted=True))
            assert (await view.walk(["other"], [hop])).levels[1] == ("rule",)
            only = await view.recent(tiers=ALL, k=9, where=Filter(tainted=True))
            assert {one.id for one in only} == {"t", "rule", "derived"}
            rooted = Filter(tainted=None, roots=frozenset({"bad"}))
            assert {one.id for one in await view.recent(tiers=ALL, k=9, where=rooted)} == {
                "t", "rule", "derived",
            }  # fmt: skip
            assert await found(store, "door", at=at, where=ANYTHING) == {
                "bad", "t", "rule", "derived", "other",
            }  # fmt: skip
        assert await found(store, "door", at=1) == {"bad", "t", "rule", "derived", "other"}

    async def test_two_independent_supports(self, store: Store) -> None:
        """What two untainted sources support is recalled; two records of one source are one."""
        await self.chain(store)
        again = changes(
            "again", Add(by(trial("again"), "bob")), Close("again", 1, Outcome.success()),
            link("again", "rule"),
        )  # fmt: skip
        await store.apply(again)
        await store.apply(changes("q", quarantine("bad", 2)))
        assert "rule" not in await found(store, "door")
        third = changes(
            "third", Add(by(trial("third"), "cleo")), Close("third", 1, Outcome.success()),
            link("third", "rule"),
        )  # fmt: skip
        await store.apply(third)
        assert "rule" in await found(store, "door")
        assert "rule" in await found(store, "door", at=4)
        assert "rule" not in await found(store, "door", at=3)
        assert "derived" not in await found(store, "door")
        await store.apply(changes("q2", quarantine("third", 2)))
        assert "rule" not in await found(store, "door")

    async def test_supports_that_not_everybody_sees(self, store: Store) -> None:
        """What an inner scope or an open trial says lifts no taint, for any reader."""
        await self.chain(store)
        await store.apply(changes("q", quarantine("bad", 2)))
        for name in ("x", "y"):
            inner = by(insight(f"inner {name}", scope=PRIVATE), name)
            changeset = changes(name, Add(inner), link(inner.id, "rule"), scope=PRIVATE)
            await store.apply(changeset)
            unfinished = by(trial(f"open {name}", run="elsewhere"), f"open {name}")
            await store.apply(changes(f"o{name}", Add(unfinished), link(unfinished.id, "rule")))
        for scope in (TEAM, PRIVATE):
            assert "rule" not in await found(store, "door", scope)
            assert "rule" not in await found(store, "door", scope, at=6)

    async def test_taint_stays_within_the_scope_of_its_root(self, store: Store) -> None:
        """It does not go through a record outside to one inside."""
        await store.apply(changes("outer", Add(insight("outer"))))
        inner = [Add(insight(id_, scope=PRIVATE)) for id_ in ("root", "far")]
        derived = link("far", "outer", LinkType.DERIVED_FROM)
        await store.apply(changes("inner", *inner, derived, scope=PRIVATE))
        await store.apply(changes("q", quarantine("root"), scope=PRIVATE))
        await store.apply(changes("late", link("root", "outer"), scope=PRIVATE))
        assert await taint(store, "far", "outer", scope=PRIVATE) == [set(), set()]

    async def test_release_removes_one_root(self, store: Store) -> None:
        """What descends from two roots stays tainted by the other."""
        await self.chain(store)
        await store.apply(changes("q1", quarantine("bad", 2)))
        await store.apply(changes("q2", quarantine("other", 2)))
        assert await taint(store, "rule", "t") == [{"bad", "other"}, {"bad"}]
        await store.apply(changes("r", active("bad", 3)))
        assert await taint(store, "rule", "t") == [{"other"}, set()]
        assert await taint(store, "rule", "t", at=3) == [{"bad", "other"}, {"bad"}]

    async def test_taint_follows_the_links(self, store: Store) -> None:
        """Links that come later pass taint on, and those that go take it along; also in circles."""
        await self.chain(store)
        await store.apply(changes("q", quarantine("bad", 2)))
        await store.apply(changes("c1", Add(insight("late")), link("t", "late")))
        await store.apply(changes("c2", Add(insight("tip"))))
        await store.apply(changes("c3", link("late", "tip"), link("tip", "late")))
        assert await taint(store, "late", "tip") == [{"bad"}, {"bad"}]
        await store.apply(changes("c4", link("bad", "tip", weight=0.5)))
        await store.apply(changes("c5", Unlink("bad", "t", LinkType.LED_TO)))
        ids = ("t", "rule", "derived", "late", "tip")
        assert await taint(store, *ids) == [set(), set(), set(), {"bad"}, {"bad"}]
        await store.apply(changes("c6", link("bad", "tip", weight=0.7)))
        assert await taint(store, "tip") == [{"bad"}]
        await store.apply(changes("c7", Unlink("bad", "tip", LinkType.SUPPORTS)))
        assert await taint(store, *ids) == [set()] * 5
        assert await taint(store, "tip", at=6) == [{"bad"}]

    async def test_taint_and_scopes(self, store: Store) -> None:
        """Taint reaches inner scopes; a private record taints nothing that others see."""
        await store.apply(changes("c1", Add(insight("outer")), Add(insight("rule"))))
        inner = [Add(insight("inner", scope=PRIVATE)), Add(insight("own", scope=PRIVATE))]
        links = [link("inner", "outer", LinkType.DERIVED_FROM), link("own", "rule")]
        await store.apply(changes("c2", *inner, *links, scope=PRIVATE))
        await store.apply(changes("q1", quarantine("outer")))
        await store.apply(changes("q2", quarantine("own"), scope=PRIVATE))
        assert await taint(store, "inner", scope=PRIVATE) == [{"outer"}]
        assert await taint(store, "rule") == [set()]
        await store.apply(changes("late", link("own", "rule", weight=2.0), scope=PRIVATE))
        assert await taint(store, "rule") == [set()]

    async def test_a_held_record_that_goes(self, store: Store) -> None:
        """It leaves no taint behind."""
        await store.apply(changes("c1", Add(insight("a")), Add(insight("b")), link("a", "b")))
        await store.apply(changes("q", quarantine("a")))
        assert await taint(store, "b") == [{"a"}]
        gone = changes("c2", Unlink("a", "b", LinkType.SUPPORTS), Expire("a", 2))
        await store.apply(gone)
        assert await taint(store, "b") == [set()]

    async def test_revert(self, store: Store) -> None:
        """The inverse of a quarantine is a release, and the other way round."""
        await self.chain(store)
        await store.apply(changes("q", quarantine("bad", 2)))
        for number, expected in enumerate(([set(), set()], [{"bad"}, {"bad"}], [set(), set()])):
            last = (await store.journal(TEAM, after=1 + number))[-1].changeset.id
            plan = await plan_revert(store, TEAM, [last])
            await store.apply(plan.changeset)
            assert await taint(store, "t", "rule") == expected
            bad = (await (await store.view(TEAM)).get(["bad"]))["bad"]
            assert (bad.hold is not None) == bool(expected[0])

    async def test_dump_and_restore(self, store: Store) -> None:
        """Holds, taint and the counts of sources survive."""
        await self.chain(store)
        await store.apply(changes("q", quarantine("bad", 2)))
        await store.apply(changes("k", AddCredit("t", "solver", "r1", 1.0, 1.0)))
        rows = await rows_of(store, "")
        names = ("eve", "ann", "bob", "", "nobody")
        counts = await (await store.view(TEAM)).sources(names)
        other = await self.other()

        async def each() -> AsyncIterator[Mapping[str, Any]]:
            for row in rows:
                yield row

        try:
            await other.restore(each())
            assert (await examine(other)).problems == ()
            assert await taint(other, "t", "rule") == [{"bad"}, {"bad"}]
            bad = (await (await other.view(TEAM)).get(["bad"]))["bad"]
            assert bad.hold == Hold("odd", ("w1", "w2"), HoldState.SUSPECTED, 2)
            assert await (await other.view(TEAM)).sources(names) == counts
            await other.apply(changes("r", active("bad", 3)))
            assert await taint(other, "t", "rule") == [set(), set()]
        finally:
            await other.close()

    async def other(self) -> Store:
        """A second store; opened with `open` unless you say otherwise."""
        return await self.open()

    async def test_a_frozen_scope(self, store: Store) -> None:
        """It and those in it take no records and close no trials, until it is unfrozen."""
        await store.apply(changes("c1", Add(trial("t")), Add(insight("a"))))
        marker = Record(
            id=frozen_id(TEAM), tier=Tier.INTERACTION, kind="freeze", text="frozen", scope=TEAM
        )
        await store.apply(changes("f1", Add(marker)))
        refused = (
            changes("c2", Add(insight("b"))),
            changes("c3", Add(insight("c", scope=PRIVATE)), scope=PRIVATE),
            changes("c4", Close("t", 1, Outcome.success())),
        )
        for one in refused:
            with pytest.raises(Frozen):
                await store.apply(one)
        await store.apply(changes("q", quarantine("a")))
        await store.apply(changes("s", Add(insight("d", scope=SIBLING)), scope=SIBLING))
        await store.apply(changes("f2", SetStatus(marker.id, 1, Status.ARCHIVED)))
        for one in refused:
            assert not (await store.apply(one)).replayed
        assert set(await (await store.view(TEAM)).get(["b", "t"])) == {"b", "t"}

    async def test_sources(self, store: Store) -> None:
        """What a source has added, how it ended, and what became of it."""
        await store.apply(
            changes(
                "c1", *(Add(by(trial(f"t{n}"), "ann")) for n in range(4)),
                Add(by(insight("i"), "bob")),
            )
        )  # fmt: skip
        await store.apply(
            changes(
                "c2", Close("t0", 1, Outcome.success()), Close("t1", 1, Outcome.score(0.25)),
                Close("t2", 1, Outcome.unknown()), AddCredit("i", "x", "r", 1.0, 0.0, 1.0),
                AddCredit("t0", "x", "r", 1.0, 0.5, 0.5),
            )
        )  # fmt: skip
        view = await store.view(TEAM)
        assert await view.sources(["ann", "bob", "nobody"]) == {
            "ann": SourceCounts(4, 0, 1.25, 0.75, 0.5, 0.5),
            "bob": SourceCounts(1, 0, 0.0, 0.0, 0.0, 1.0),
            "nobody": SourceCounts(),
        }
        await store.apply(changes("c3", quarantine("t0", 2), Expire("i", 1)))
        view = await store.view(TEAM)
        assert await view.sources(["ann", "bob"]) == {
            "ann": SourceCounts(4, 1, 0.25, 0.75, 0.5, 0.5),
            "bob": SourceCounts(0, 0, 0.0, 0.0, 0.0, 1.0),
        }
        then = await (await store.view(TEAM, at=2)).sources(["ann"])
        assert then["ann"].successes == 1.25
        await store.apply(changes("c4", active("t0", 3)))
        assert (await view.sources(["ann"]))["ann"] == SourceCounts(4, 0, 1.25, 0.75, 0.5, 0.5)
        # What a team says of itself is no record of it, now and then.
        own = Outcome.success(judge="team")
        await store.apply(changes("c5", Add(by(trial("t9"), "cid")), Close("t9", 1, own)))
        now = await store.view(TEAM)
        assert (await now.sources(["cid"]))["cid"] == SourceCounts(1)
        await store.apply(changes("p", Add(by(insight("q", scope=PRIVATE), "ann")), scope=PRIVATE))
        then = await (await store.view(TEAM, at=now.position)).sources(["cid"])
        assert then["cid"] == SourceCounts(1)
        assert (await view.sources(["ann"]))["ann"].records == 4
        assert (await (await store.view(PRIVATE)).sources(["ann"]))["ann"].records == 5

    async def test_filter_by_source_and_time(self, store: Store) -> None:
        """Records of some sources, or of a span of time."""
        for number, source in enumerate(("ann", "bob", "ann")):
            record = replace(insight(f"i{number}"), provenance=Provenance(source))
            await store.apply(changes(f"c{number}", Add(record)))
        view = await store.view(TEAM)
        times = {one.id: one.created_at for one in await view.recent(tiers=ALL, k=9)}
        for where, expected in (
            (Filter(sources=frozenset({"ann"})), {"i0", "i2"}),
            (Filter(since=times["i1"]), {"i1", "i2"}),
            (Filter(until=times["i1"]), {"i0"}),
            (Filter(sources=frozenset({"ann"}), since=times["i1"]), {"i2"}),
        ):
            assert {one.id for one in await view.recent(tiers=ALL, k=9, where=where)} == expected
            assert await found(store, "door", where=where) == expected
            assert await found(store, "door", where=where, at=3) == expected
