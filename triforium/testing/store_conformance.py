"""The promises of `triforium.graph.Store`, each as a test. Subclass it to test a store of yours.

::

    class TestMyStore(StoreConformance):
        async def open(self, *, clock=None):
            return await open_my_store(fresh_place(), clock=clock)

Needs pytest and pytest-asyncio.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from ..errors import Conflict, IdConflict, InvalidInput, InvalidScope, NotFound, StoreClosed
from ..graph import (
    Add,
    AddCredit,
    AddLink,
    Changeset,
    Close,
    Credit,
    Filter,
    Hop,
    Link,
    LinkType,
    Op,
    Outcome,
    Patch,
    Provenance,
    Record,
    SetStatus,
    Status,
    Store,
    StoredEffect,
    StoredReceipt,
    Supersede,
    Tier,
    Unlink,
    terms,
)

Clock = Callable[[], datetime]
TEAM = "org/team"
PRIVATE = "org/team/private"
SIBLING = "org/other"
ALL = frozenset(Tier)
ANY = Filter(statuses=frozenset())


def insight(id_: str, text: str = "keep the door shut", scope: str = TEAM, **more: Any) -> Record:
    """An INSIGHT record."""
    return Record(id=id_, tier=Tier.INSIGHT, kind="rule", text=text, scope=scope, **more)


def trial(id_: str, text: str = "open the door", scope: str = TEAM, run: str = "run") -> Record:
    """A QUERY record: a trial, open when it is added."""
    return Record(
        id=id_, tier=Tier.QUERY, kind="task", text=text, scope=scope,
        provenance=Provenance("me", "solver", "a", run),
    )  # fmt: skip


def step(id_: str, of: str, number: int = 0, scope: str = TEAM, run: str = "run") -> Record:
    """An INTERACTION record: a step of a trial."""
    return Record(
        id=id_, tier=Tier.INTERACTION, kind="action", text=f"step {number}", scope=scope,
        provenance=Provenance("me", "solver", "a", run, of, number),
    )  # fmt: skip


def link(src: str, dst: str, type_: LinkType = LinkType.SUPPORTS, weight: float = 1.0) -> AddLink:
    """The op that links two records."""
    return AddLink(Link(src=src, dst=dst, type=type_, weight=weight))


def changes(id_: str, *ops: Op, scope: str = TEAM) -> Changeset:
    """A changeset."""
    return Changeset(id=id_, scope=scope, ops=ops, actor="me", reason="test")


def unit(*values: float) -> Any:
    """A vector of unit length."""
    vector = np.asarray(values, np.float32)
    return vector / np.linalg.norm(vector)


async def found(store: Store, text: str, scope: str = TEAM, **more: Any) -> set[str]:
    """Ids that a search for a text finds now."""
    view = await store.view(scope, run=more.pop("run", ""), at=more.pop("at", None))
    return {hit.record.id for hit in (await view.search([text], **more)).hits}


async def rows_of(store: Store, scope: str) -> list[dict[str, Any]]:
    """A dump as a list."""
    return [row async for row in store.dump(scope)]


async def _each(rows: list[dict[str, Any]]) -> AsyncIterator[Mapping[str, Any]]:
    for row in rows:
        yield row


@pytest.mark.asyncio
class StoreConformance:
    """Subclass and define `open`; every test opens a store of its own."""

    async def open(self, *, clock: Clock | None = None) -> Store:
        """A new, empty store; `clock` gives its time in UTC.

        Raises:
            NotImplementedError: Always; subclasses say how.
        """
        raise NotImplementedError

    @pytest_asyncio.fixture
    async def store(self) -> AsyncIterator[Store]:
        """An empty store, closed afterwards."""
        opened = await self.open()
        yield opened
        await opened.close()

    # --- changesets ---------------------------------------------------------------------------

    async def test_changeset_is_atomic(self, store: Store) -> None:
        """When one op fails, none of the changeset happened and no position was taken."""
        with pytest.raises(NotFound):
            await store.apply(changes("c1", Add(insight("a")), link("a", "nowhere")))
        view = await store.view(TEAM)
        assert view.position == 0
        assert not await view.get(["a"])
        assert not await found(store, "door")
        assert (await store.apply(changes("c2", Add(insight("a"))))).position == 1

    async def test_one_failure_does_not_touch_its_neighbours(self, store: Store) -> None:
        """Changesets sent together succeed and fail each for itself."""
        odd: list[Any] = [
            changes("bad1", AddCredit("nowhere", "solver", "r")),
            changes("bad2", Add(insight("x", data={"n": float("nan")}))),
            changes("bad3", Add(insight("y", data={"n": object()}))),
            changes("bad4", Add(insight("z", confidence=10**400))),
        ]
        good = [changes(f"good{n}", Add(insight(f"i{n}"))) for n in range(4)]
        mixed = [one for pair in zip(good, odd, strict=True) for one in pair]
        answers = await asyncio.gather(*map(store.apply, mixed), return_exceptions=True)
        assert not any(isinstance(answer, BaseException) for answer in answers[::2])
        assert all(isinstance(answer, NotFound | InvalidInput) for answer in answers[1::2])
        assert set(await (await store.view(TEAM)).get(["i0", "i1", "i2", "i3", "x", "y", "z"])) == {
            "i0", "i1", "i2", "i3",
        }  # fmt: skip

    async def test_apply_is_idempotent(self, store: Store) -> None:
        """The same changeset again changes nothing and gives the first answer."""
        changeset = changes("c1", Add(insight("a")), AddCredit("a", "solver", "r", uses=1))
        first = await store.apply(changeset)
        again = await store.apply(changeset)
        assert (first.position, first.replayed) == (1, False)
        assert (again.position, again.replayed) == (1, True)
        assert (await store.view(TEAM)).position == 1

    async def test_taken_changeset_id(self, store: Store) -> None:
        """A changeset id under which something else was applied is refused."""
        await store.apply(changes("c1", Add(insight("a"))))
        with pytest.raises(IdConflict):
            await store.apply(changes("c1", Add(insight("b"))))

    async def test_empty_changeset(self, store: Store) -> None:
        """An empty changeset is nothing to do: no position is taken."""
        await store.apply(changes("c1", Add(insight("a"))))
        assert (await store.apply(changes("empty"))).position == 1
        assert len(await store.journal(TEAM)) == 1

    async def test_add_again(self, store: Store) -> None:
        """ADD with the same id and content is a no-op, with other content IdConflict."""
        await store.apply(changes("c1", Add(insight("a"))))
        await store.apply(changes("c2", Add(insight("a", confidence=0.5))))
        record = (await (await store.view(TEAM)).get(["a"]))["a"]
        assert (record.added, record.revision, record.confidence) == (1, 1, None)
        with pytest.raises(IdConflict):
            await store.apply(changes("c3", Add(insight("a", text="other"))))

    async def test_record_round_trip(self, store: Store) -> None:
        """A record comes back as it was given, with the stamps of the store."""
        given = Record(
            id="f", tier=Tier.INSIGHT, kind="fact", text="Zürich \u202e \U0001f600\nline",
            scope=TEAM, task_key="k", provenance=Provenance("s", "r", "a", "u", "", 3),
            data={"n": [1, 2.5, None, {"x": "y"}]}, keys=("one", "two"), confidence=0.25,
            valid_from=datetime(2020, 1, 1, 1, tzinfo=UTC), cluster="c", summary="short",
        )  # fmt: skip
        await store.apply(changes("c1", Add(given)))
        record = (await (await store.view(TEAM)).get(["f"]))["f"]
        assert record.created_at is not None
        assert record.created_at.utcoffset() == timedelta(0)
        assert record == replace(given, added=1, revision=1, created_at=record.created_at)
        assert record.content_hash() == given.content_hash()

    async def test_revisions(self, store: Store) -> None:
        """PATCH, CLOSE, SUPERSEDE and SET_STATUS of a changed record raise Conflict."""
        await store.apply(changes("c1", Add(insight("a")), Add(insight("b")), Add(trial("t"))))
        await store.apply(changes("c2", Patch("a", 1, {"summary": "s"}), Patch("t", 1, {})))
        stale: list[Op] = [
            Patch("a", 1, {"summary": "x"}),
            Supersede("a", 1, "b"),
            SetStatus("a", 1, Status.ARCHIVED),
            Close("t", 1, Outcome.success()),
        ]
        for number, op in enumerate(stale):
            with pytest.raises(Conflict):
                await store.apply(changes(f"stale{number}", op))
        await store.apply(changes("c3", Patch("a", 2, {"summary": "y", "confidence": 0.5})))
        record = (await (await store.view(TEAM)).get(["a"]))["a"]
        assert (record.revision, record.summary, record.confidence) == (3, "y", 0.5)

    async def test_ops_of_one_changeset_carry_what_they_saw(self, store: Store) -> None:
        """Several ops on one record may all carry the revision seen before the changeset."""
        await store.apply(changes("c1", Add(trial("t"))))
        ops = (Close("t", 1, Outcome.success()), Patch("t", 1, {"cluster": "x"}))
        await store.apply(changes("c2", *ops, SetStatus("t", 1, Status.ARCHIVED)))
        record = (await (await store.view(TEAM)).get(["t"]))["t"]
        assert (record.revision, record.cluster, record.status) == (4, "x", Status.ARCHIVED)

    async def test_close_once(self, store: Store) -> None:
        """A trial is closed once; only an unknown outcome may be closed again."""
        await store.apply(changes("c1", Add(trial("t")), Add(insight("i"))))
        await store.apply(changes("c2", Close("t", 1, Outcome.unknown("waiting"))))
        await store.apply(changes("c3", Close("t", 2, Outcome.failure("reopened", judge="me"))))
        with pytest.raises(Conflict):
            await store.apply(changes("c4", Close("t", 3, Outcome.success())))
        with pytest.raises(InvalidInput):
            await store.apply(changes("c5", Close("i", 1, Outcome.success())))
        record = (await (await store.view(TEAM)).get(["t"]))["t"]
        assert record.outcome == Outcome.failure("reopened", judge="me")

    async def test_supersede(self, store: Store) -> None:
        """SUPERSEDE sets the old record's status and links the new one to it."""
        await store.apply(changes("c1", Add(insight("old")), Add(insight("new"))))
        await store.apply(changes("c2", Supersede("old", 1, "new")))
        view = await store.view(TEAM)
        walk = await view.walk(["new"], [Hop(frozenset({LinkType.SUPERSEDES}), "out", where=ANY)])
        assert walk.levels == (("new",), ("old",))
        assert walk.records["old"].status is Status.SUPERSEDED
        assert await found(store, "door") == {"new"}

    async def test_credit_commutes_and_counts_once(self, store: Store) -> None:
        """Credit adds up in any order, once per receipt, record and role; it needs a receipt."""
        await store.apply(changes("c1", Add(insight("a"))))
        deltas = [AddCredit("a", "solver", f"r{n % 6}", uses=1, helped=0.5) for n in range(12)]
        await asyncio.gather(
            *(store.apply(changes(f"d{n}", delta)) for n, delta in enumerate(deltas))
        )
        await store.apply(changes("e", AddCredit("a", "critic", "r0", hurt=1)))
        record = (await (await store.view(TEAM)).get(["a"]))["a"]
        assert record.credit == {"solver": Credit(6, 3, 0), "critic": Credit(0, 0, 1)}
        assert record.revision == 1
        with pytest.raises(InvalidInput):
            await store.apply(changes("f", AddCredit("a", "critic", "", uses=1)))

    async def test_links(self, store: Store) -> None:
        """LINK upserts the weight; UNLINK of what is not there does nothing; both ends exist."""
        await store.apply(changes("c1", Add(insight("a")), Add(insight("b")), link("a", "b")))
        await store.apply(changes("c2", link("a", "b", weight=0.5)))
        hop = Hop(frozenset({LinkType.SUPPORTS}), "out")
        walk = await (await store.view(TEAM)).walk(["a"], [hop])
        assert [one.weight for one in walk.links] == [0.5]
        assert walk.records["b"].support == 1
        await store.apply(changes("c3", Unlink("a", "b", LinkType.SUPPORTS)))
        await store.apply(changes("c4", Unlink("a", "b", LinkType.SUPPORTS)))
        walk = await (await store.view(TEAM)).walk(["a", "b"], [hop])
        assert walk.links == ()
        assert walk.records["b"].support == 0

    # --- order and time -----------------------------------------------------------------------

    async def test_positions_have_no_gaps(self, store: Store) -> None:
        """Positions of concurrent changesets are 1, 2, 3... without gaps."""
        answers = await asyncio.gather(
            *(store.apply(changes(f"c{n}", Add(insight(f"i{n}")))) for n in range(100))
        )
        assert sorted(answer.position for answer in answers) == list(range(1, 101))
        journal = await store.journal(TEAM)
        assert [entry.position for entry in journal] == list(range(1, 101))
        assert [entry.position for entry in await store.journal(TEAM, after=40, limit=2)] == [
            41,
            42,
        ]

    async def test_time_never_goes_back(self) -> None:
        """created_at rises with the position, even when the clock goes back an hour."""
        times = iter([0, 60, -3600, -3600, 61])
        start = datetime(2026, 1, 1, tzinfo=UTC)
        store = await self.open(clock=lambda: start + timedelta(seconds=next(times)))
        try:
            for number in range(5):
                await store.apply(changes(f"c{number}", Add(insight(f"i{number}"))))
            stamps = [entry.created_at - start for entry in await store.journal(TEAM)]
        finally:
            await store.close()
        minute, tick = timedelta(seconds=60), timedelta(microseconds=1)
        assert stamps == [
            timedelta(0), minute, minute + tick, minute + 2 * tick, timedelta(seconds=61),
        ]  # fmt: skip

    async def test_journal_keeps_everything(self, store: Store) -> None:
        """The journal gives each changeset as applied, who did it and the images replaced."""
        first = changes("c1", Add(insight("a", keys=("k",))), Add(trial("t")), link("t", "a"))
        second = changes("c2", Patch("a", 1, {"keys": ("n",)}), link("t", "a", weight=0.5))
        for changeset in (first, second):
            await store.apply(changeset)
        one, two = await store.journal(TEAM)
        assert (one.changeset.id, one.changeset.actor, one.changeset.ops) == ("c1", "me", first.ops)
        assert two.changeset.content_hash() == second.content_hash()
        assert len(two.before) == 2
        assert all(image is None for image in one.before)
        assert all(image is not None for image in two.before)

    # --- scopes -------------------------------------------------------------------------------

    async def test_scopes(self, store: Store) -> None:
        """A reader sees its scope and its ancestors: no sibling and no descendant, anywhere."""
        for number, scope in enumerate(("org", TEAM, PRIVATE, SIBLING)):
            changeset = changes(
                f"c{number}", Add(insight(f"i{number}", scope=scope)),
                Add(trial(f"t{number}", scope=scope)),
                Close(f"t{number}", 1, Outcome.success()), scope=scope,
            )  # fmt: skip
            await store.apply(changeset)
            await store.put_receipt(StoredReceipt(id=f"r{number}", scope=scope, run="run"))
        for scope, seen in ((TEAM, "01"), (PRIVATE, "012"), (SIBLING, "03"), ("org", "0")):
            ids = {f"{kind}{number}" for number in seen for kind in "it"}
            view = await store.view(scope)
            assert set(await view.get([f"{k}{n}" for n in range(4) for k in "it"])) == ids
            assert await found(store, "door", scope) == ids
            assert {record.id for record in await view.recent(tiers=ALL, k=99)} == ids
            assert [e.changeset.id for e in await store.journal(scope)] == [f"c{n}" for n in seen]
            assert [one.id for one in await store.receipts(scope)] == [f"r{n}" for n in seen]
            statistics = await store.statistics(scope)
            assert statistics.records == {"insight/rule": len(seen), "query/task": len(seen)}
            assert statistics.outcomes == {"success": len(seen)}
            assert statistics.receipts == len(seen)
            words = (await view.search(["door"])).statistics
            assert (words.documents, words.frequency["door"]) == (len(ids), len(ids))
            dumped = {row["id"] for row in await rows_of(store, scope) if row["row"] == "record"}
            assert dumped == ids
        assert len(await store.journal("")) == 4
        assert (await store.statistics("")).records == {"insight/rule": 4, "query/task": 4}

    async def test_links_stay_within_sight(self, store: Store) -> None:
        """A walk shows a link only when both ends are visible to the reader."""
        await store.apply(changes("c1", Add(insight("top", scope="org")), scope="org"))
        for name, scope in (("a", TEAM), ("b", SIBLING), ("c", PRIVATE)):
            ops = (Add(insight(name, scope=scope)), link(name, "top"))
            await store.apply(changes(name, *ops, scope=scope))
        hops = [Hop(frozenset({LinkType.SUPPORTS}), "both")]
        for scope, seen in ((TEAM, ("a",)), (SIBLING, ("b",)), (PRIVATE, ("a", "c")), ("org", ())):
            walk = await (await store.view(scope)).walk(["top"], hops)
            assert walk.levels == (("top",), seen)
            assert tuple(sorted(one.src for one in walk.links)) == seen
            assert not (await (await store.view(scope)).walk(["nowhere"], hops)).records

    async def test_writes_stay_in_their_scope(self, store: Store) -> None:
        """What is out of sight is NotFound; what is an ancestor's takes only LINK and CREDIT."""
        await store.apply(changes("c1", Add(insight("top", scope="org")), scope="org"))
        await store.apply(changes("c2", Add(insight("b", scope=SIBLING)), scope=SIBLING))
        await store.apply(changes("c3", Add(insight("a"))))
        await store.apply(changes("c4", link("a", "top"), AddCredit("top", "solver", "r", uses=1)))
        hidden: list[Op] = [
            link("a", "b"), AddCredit("b", "solver", "r"), Patch("b", 1, {}),
            SetStatus("b", 1, Status.ARCHIVED), Supersede("a", 1, "b"),
            Close("b", 1, Outcome.unknown()),
        ]  # fmt: skip
        for number, op in enumerate(hidden):
            with pytest.raises(NotFound):
                await store.apply(changes(f"h{number}", op))
        refused: list[Op] = [
            Patch("top", 1, {}), SetStatus("top", 1, Status.ARCHIVED), Supersede("top", 1, "a"),
            Add(insight("x", scope="org")), Add(insight("y", scope=PRIVATE)),
        ]  # fmt: skip
        for number, op in enumerate(refused):
            with pytest.raises(InvalidInput):
                await store.apply(changes(f"r{number}", op))
        with pytest.raises(InvalidScope):
            await store.view("org//team")

    async def test_open_trials_are_private(self, store: Store) -> None:
        """An open trial and its steps are seen only by their own run, until it is closed."""
        await store.apply(
            changes("c1", Add(trial("t")), Add(step("s", "t")), link("s", "t", LinkType.PART_OF))
        )
        hops = [Hop(frozenset({LinkType.PART_OF}), "in")]
        for run, seen in (("", set()), ("other", set()), ("run", {"t", "s"})):
            view = await store.view(TEAM, run=run)
            assert set(await view.get(["t", "s"])) == seen
            assert {record.id for record in await view.recent(tiers=ALL, k=9)} == seen
            assert set((await view.walk(["t"], hops)).records) == seen
            assert await found(store, "door", run=run) == seen - {"s"}
            assert (await view.search(["door"])).statistics.documents == len(seen - {"s"})
        before = await store.view(TEAM)
        await store.apply(changes("c2", Close("t", 1, Outcome.success())))
        await store.apply(changes("c3", Add(step("late", "t", 1))))
        assert set(await (await store.view(TEAM)).get(["t", "s", "late"])) == {"t", "s", "late"}
        assert await found(store, "door") == {"t"}
        assert not await before.get(["t", "s", "late"])

    # --- views --------------------------------------------------------------------------------

    async def test_view_stays_at_its_position(self, store: Store) -> None:
        """A View does not see what is added later; status and counters are of the call."""
        await store.apply(changes("c1", Add(insight("a"))))
        view = await store.view(TEAM)
        await store.apply(changes("c2", Add(insight("b")), link("b", "a")))
        await store.apply(changes("c3", SetStatus("a", 1, Status.QUARANTINED)))
        assert view.position == 1
        assert set(await view.get(["a", "b"])) == {"a"}
        assert (await view.get(["a"]))["a"].status is Status.QUARANTINED
        assert not (await view.walk(["a"], [Hop(frozenset(LinkType), where=ANY)])).links
        assert {hit.record.id for hit in (await view.search(["door"], where=ANY)).hits} == {"a"}

    async def test_as_of(self) -> None:
        """A View of the past shows fields, links, status, counters and words as they were."""
        ticks = iter(range(1, 100))
        start = datetime(2026, 1, 1, tzinfo=UTC)
        store = await self.open(clock=lambda: start + timedelta(seconds=next(ticks)))
        try:
            await store.apply(changes("c1", Add(insight("a", keys=("red",))), Add(insight("b"))))
            await store.apply(changes("c2", link("b", "a"), AddCredit("a", "x", "r1", uses=1)))
            await store.apply(
                changes("c3", Patch("a", 1, {"keys": ("blue",), "summary": "s"}),
                        link("b", "a", weight=0.5), AddCredit("a", "x", "r2", uses=1))
            )  # fmt: skip
            await store.apply(
                changes(
                    "c4", SetStatus("a", 2, Status.ARCHIVED), Unlink("b", "a", LinkType.SUPPORTS)
                )
            )
            expected = {
                1: (("red",), "", 1, Status.ACTIVE, 0, [], 0),
                2: (("red",), "", 1, Status.ACTIVE, 1, [1.0], 1),
                3: (("blue",), "s", 2, Status.ACTIVE, 2, [0.5], 1),
                4: (("blue",), "s", 3, Status.ARCHIVED, 2, [], 0),
            }
            for position, wanted in expected.items():
                for at in (position, start + timedelta(seconds=position, milliseconds=500)):
                    view = await store.view(TEAM, at=at)
                    assert view.position == position
                    a = (await view.get(["a"]))["a"]
                    hop = Hop(frozenset({LinkType.SUPPORTS}), "out", where=ANY)
                    weights = [one.weight for one in (await view.walk(["b"], [hop])).links]
                    uses = a.total_credit().uses
                    assert wanted == (
                        a.keys, a.summary, a.revision, a.status, uses, weights, a.support,
                    )  # fmt: skip
                    assert await found(store, "red", at=at) == ({"a"} if position < 3 else set())
                    assert await found(store, "blue", at=at) == ({"a"} if position == 3 else set())
            assert (await store.view(TEAM, at=start)).position == 0
            assert not await (await store.view(TEAM, at=0)).get(["a", "b"])
            with pytest.raises(InvalidInput):
                await store.view(TEAM, at=datetime(2026, 1, 1))
        finally:
            await store.close()

    async def test_filters(self, store: Store) -> None:
        """Each field of a Filter restricts search, recent and walk alike."""
        day = datetime(2026, 1, 2, tzinfo=UTC)
        records = [
            insight("rule"),
            replace(insight("fact"), kind="fact", valid_from=day, valid_to=day + timedelta(days=1)),
            replace(insight("roled"), provenance=Provenance(role="critic"), task_key="k"),
        ]
        await store.apply(
            changes("c1", *map(Add, records), Add(insight("gone")), Add(trial("won")))
        )
        await store.apply(changes("c2", Add(trial("open")), Add(insight("hub"))))
        await store.apply(
            changes("c3", SetStatus("gone", 1, Status.ARCHIVED), Close("won", 1, Outcome.success()))
        )
        everything = ["rule", "fact", "roled", "gone", "won", "open"]
        await store.apply(changes("c4", *(link("hub", id_) for id_ in everything)))
        noon = day.astimezone(UTC) + timedelta(hours=12)
        cases: list[tuple[Filter, set[str]]] = [
            (Filter(), {"rule", "fact", "roled", "won", "open"}),
            (ANY, set(everything)),
            (Filter(kinds=frozenset({"task"})), {"won", "open"}),
            (Filter(statuses=frozenset({Status.ARCHIVED})), {"gone"}),
            (Filter(roles=frozenset({"solver"})), {"rule", "fact", "won", "open"}),
            (Filter(task_key="k"), {"roled"}),
            (Filter(outcomes=frozenset({"success"})), {"won"}),
            (Filter(outcomes=frozenset({"open"})), {"open"}),
            (Filter(valid_at=day - timedelta(seconds=1)), {"rule", "roled", "won", "open"}),
            (Filter(valid_at=noon), {"rule", "fact", "roled", "won", "open"}),
            (Filter(valid_at=day + timedelta(days=1)), {"rule", "roled", "won", "open"}),
        ]
        for at in (None, 4):
            view = await store.view(TEAM, run="run", at=at)
            for where, wanted in cases:
                hits = (await view.search(["door"], where=where)).hits
                assert {hit.record.id for hit in hits} - {"hub"} == wanted
                recent = await view.recent(tiers=ALL, k=99, where=where)
                assert {record.id for record in recent} - {"hub"} == wanted
                walk = await view.walk(["hub"], [Hop(frozenset(LinkType), "out", where=where)])
                assert set(walk.levels[1]) == wanted
            # From here on the position is one of the past.
            await store.apply(changes(f"later{at}", Add(insight(f"later{at}", text="word"))))

    async def test_recent(self, store: Store) -> None:
        """The last added come first, as many as asked for, of the tiers asked for."""
        for number in range(6):
            await store.apply(changes(f"c{number}", Add(insight(f"i{number}"))))
        view = await store.view(TEAM)
        recent = await view.recent(tiers=frozenset({Tier.INSIGHT}), k=3)
        assert [record.id for record in recent] == ["i5", "i4", "i3"]
        assert await view.recent(tiers=frozenset({Tier.QUERY}), k=3) == ()

    async def test_walk(self, store: Store) -> None:
        """Hops follow types and directions from the level they name; levels are sorted."""
        ops: list[Op] = [Add(insight("i"))]
        for name in ("a", "b"):
            ops += [Add(trial(name)), Close(name, 1, Outcome.success()), link(name, "i")]
            ops += [Add(step(f"{name}{n}", name, n)) for n in range(3)]
            ops += [link(f"{name}{n}", name, LinkType.PART_OF) for n in range(3)]
        await store.apply(changes("c1", *ops, link("a", "b", LinkType.SIMILAR)))
        view = await store.view(TEAM)
        walk = await view.walk(
            ["a", "nowhere"],
            [
                Hop(frozenset({LinkType.SIMILAR}), "both"),
                Hop(frozenset({LinkType.SUPPORTS}), "out"),
                Hop(frozenset({LinkType.PART_OF}), "in", start=1),
                Hop(frozenset({LinkType.SUPPORTS}), "both", start=0),
            ],
        )
        assert walk.levels == (("a",), ("b",), ("i",), ("b0", "b1", "b2"), ("i",))
        assert set(walk.records) == {"a", "b", "i", "b0", "b1", "b2"}
        keys = {one.key for one in walk.links}
        assert len(keys) == len(walk.links) == 6

    async def test_walk_leaves_only_from_what_has_no_summary(self, store: Store) -> None:
        """A hop may leave out records that have a summary, now and as they were."""
        await store.apply(
            changes("c1", Add(insight("a")), Add(insight("b")), Add(insight("x")),
                    Add(insight("y")), link("a", "x"), link("b", "y"))
        )  # fmt: skip
        await store.apply(changes("c2", Patch("a", 1, {"summary": "s"})))
        hop = Hop(frozenset({LinkType.SUPPORTS}), "out", without_summary=True)
        for at, reached in ((None, ("y",)), (1, ("x", "y"))):
            view = await store.view(TEAM, at=at)
            assert (await view.walk(["a", "b"], [hop])).levels[1] == reached

    async def test_hub_obeys_fan(self, store: Store) -> None:
        """Of many links the heaviest are followed, then the newest, then by id."""
        ops: list[Op] = [Add(insight("hub"))]
        for number in range(300):
            ops += [Add(insight(f"i{number:03}")), link("hub", f"i{number:03}", weight=0.1)]
        await store.apply(changes("c1", *ops))
        await store.apply(changes("c2", link("hub", "i250", weight=0.9)))
        late: list[Op] = [Add(insight("late")), link("hub", "late", weight=0.1)]
        await store.apply(changes("c3", *late))
        walk = await (await store.view(TEAM)).walk(
            ["hub"], [Hop(frozenset(LinkType), "out", fan=4)]
        )
        assert walk.levels[1] == ("i000", "i001", "i250", "late")
        assert len(walk.links) == 4

    async def test_hop_slots_refill(self, store: Store) -> None:
        """Links to records that do not satisfy the hop take none of the fan."""
        ops: list[Op] = [Add(insight("hub"))]
        for number in range(20):
            ops += [Add(insight(f"i{number:02}")), link("hub", f"i{number:02}")]
        await store.apply(changes("c1", *ops))
        archived = [SetStatus(f"i{number:02}", 1, Status.ARCHIVED) for number in range(18)]
        await store.apply(changes("c2", *archived))
        walk = await (await store.view(TEAM)).walk(["hub"], [Hop(frozenset(LinkType), fan=5)])
        assert walk.levels[1] == ("i18", "i19")

    # --- search -------------------------------------------------------------------------------

    async def test_found_at_once(self, store: Store) -> None:
        """What was acknowledged is found by the next search, by text, by key and by vector."""
        for number in range(20):
            record = insight(f"i{number}", text=f"word{number}", keys=(f"key{number}",))
            await store.apply(
                changes(f"c{number}", Add(record)),
                vectors={record.id: unit(1.0, number)}, embedder="e",
            )  # fmt: skip
            assert await found(store, f"word{number}") == {record.id}
            assert await found(store, f"KEY{number}") == {record.id}
            queries = np.asarray([unit(1.0, number)])
            assert record.id in await found(store, "", vectors=queries, k=1)

    async def test_search_counts_terms(self, store: Store) -> None:
        """The statistics count the visible records of the tiers, their terms and frequencies."""
        await store.apply(
            changes("c1", Add(insight("a", text="red red blue", keys=("Green",))),
                    Add(insight("b", text="red")), Add(step("s", "none")))
        )  # fmt: skip
        view = await store.view(TEAM)
        words = (await view.search(["red green", "black"])).statistics
        assert (words.documents, words.terms) == (2, 5)
        assert words.frequency == {"red": 2, "green": 1, "black": 0}
        await store.apply(changes("c2", Patch("a", 1, {"keys": ("black", "white")})))
        words = (await view.search(["red green", "black"])).statistics
        assert (words.documents, words.terms) == (2, 6)
        assert words.frequency == {"red": 2, "green": 0, "black": 1}
        assert await found(store, "green") == set()
        assert await found(store, "white") == {"a"}
        assert (await view.search(["red"], tiers=frozenset({Tier.QUERY}))).statistics.documents == 0

    async def test_search_gives_k_per_channel(self, store: Store) -> None:
        """At least k hits per text and per vector where there are as many that may be seen."""
        ops = [Add(insight(f"i{n:03}", text="same words")) for n in range(200)]
        vectors = {f"i{n:03}": unit(1.0, n / 100) for n in range(200)}
        await store.apply(changes("c1", *ops), vectors=vectors, embedder="e")
        hidden = [SetStatus(f"i{n:03}", 1, Status.QUARANTINED) for n in range(150)]
        await store.apply(changes("c2", *hidden))
        assert len(await found(store, "same", k=32)) >= 32
        assert len(await found(store, "same", k=99)) == 50
        queries = np.asarray([unit(1.0, 0.0)])
        assert await found(store, "", vectors=queries, k=2) == {"i150", "i151"}

    async def test_search_serves_each_tier(self, store: Store) -> None:
        """Each tier has its own k, filter and term statistics."""
        ops: list[Op] = []
        for number in range(60):
            ops += [Add(trial(f"t{number:02}")), Close(f"t{number:02}", 1, Outcome.success())]
        ops += [Add(insight("i", text="open")), Add(trial("lost"))]
        await store.apply(changes("c1", *ops, Close("lost", 1, Outcome.failure())))
        where = {Tier.QUERY: Filter(outcomes=frozenset({"failure"}))}
        hits = await (await store.view(TEAM)).search(["open"], k=5, where=where)
        assert {hit.record.id for hit in hits.hits} == {"i", "lost"}
        assert hits.terms[Tier.QUERY].frequency == {"open": 61}
        assert hits.terms[Tier.INSIGHT].frequency == {"open": 1}
        assert hits.statistics.documents == 62
        assert [hit.record.id for hit in hits.of(Tier.INSIGHT).hits] == ["i"]

    async def test_vectors(self, store: Store) -> None:
        """Every hit with a vector has its cosines; other widths and embedders are left aside."""
        a, b = unit(1, 0, 0), unit(0, 1, 0)
        await store.apply(
            changes("c1", Add(insight("a")), Add(insight("b", text="other")), Add(insight("c"))),
            vectors={"a": a, "b": b}, embedder="e1",
        )  # fmt: skip
        assert store.embedder == "e1"
        view = await store.view(TEAM)
        hits = (await view.search(["door", "x"], np.asarray([a, b]))).hits
        assert [hit.record.id for hit in hits] == ["a", "b", "c"]
        assert [hit.cosine for hit in hits] == [(1.0, 0.0), (0.0, 1.0), ()]
        narrow = (await view.search(["door"], np.asarray([unit(1, 0)]))).hits
        assert [(hit.record.id, hit.cosine) for hit in narrow] == [("a", ()), ("c", ())]
        await store.apply(
            changes("c2", Add(insight("d"))), vectors={"d": unit(1, 0)}, embedder="e2"
        )
        assert store.embedder == "e1"
        await store.apply(
            changes("c3", Patch("a", 1, {"keys": ("k",)})), vectors={"a": b}, embedder="e1"
        )
        hits = (await (await store.view(TEAM)).search(["door"], np.asarray([b]))).hits
        assert {hit.record.id: hit.cosine for hit in hits} == {
            "a": (1.0,), "b": (1.0,), "c": (), "d": (),
        }  # fmt: skip
        with pytest.raises(InvalidInput):
            await store.apply(
                changes("c4", Add(insight("e"))), vectors={"e": unit(1, 0)}, embedder="e1"
            )
        assert "e" not in await (await store.view(TEAM)).get(["e"])

    @pytest.mark.parametrize(
        "text",
        [
            "", " ", "'\"; DROP TABLE record; --", 'NEAR("a" "b") AND OR NOT * ^ : ( ) {a}', "a\0b",
            "\u202eright to left\u202c", "\ufeff\u200b", "日本語 Straße İ ᾳ", "x" * 1_000_000,
            "\U0001f600 \U0001f1e8\U0001f1ed", "scope:1 tier:insight", "%_\\ %%", "-- {{7*7}}",
            "insight s1 u6f",
        ],
    )  # fmt: skip
    async def test_hostile_texts(self, store: Store, text: str) -> None:
        """Any text is kept verbatim, found by its own words, and never read as a command."""
        await store.apply(changes("c1", Add(insight("hostile", text=text)), Add(insight("other"))))
        await store.apply(
            changes("c2", Add(insight("next", text="x", scope=SIBLING)), scope=SIBLING)
        )
        assert (await (await store.view(TEAM)).get(["hostile"]))["hostile"].text == text
        hits = await found(store, text)
        assert "next" not in hits
        assert ("hostile" in hits) == bool(terms(text))
        for where in (Filter(task_key=text), Filter(kinds=frozenset({text}))):
            assert not await found(store, text, where=where) or not text
        assert set(await (await store.view(TEAM)).get([text, "other"])) == {"other"}

    async def test_lone_surrogates(self, store: Store) -> None:
        """Text that is no Unicode is refused in any field, and asking for it finds nothing."""
        bad = "\ud800"
        records = [
            insight("a", text=bad), insight("b", keys=(bad,)), insight("c", data={"k": [bad]}),
            insight("d", task_key=bad), insight(bad),
        ]  # fmt: skip
        for number, record in enumerate(records):
            with pytest.raises(InvalidInput):
                await store.apply(changes(f"c{number}", Add(record)))
        assert not await found(store, f"{bad} door")
        assert not await (await store.view(TEAM)).get([bad])

    # --- receipts and effects -----------------------------------------------------------------

    async def test_first_receipt_wins(self, store: Store) -> None:
        """A receipt under an id is kept once; the first is returned ever after."""
        first = await store.put_receipt(
            StoredReceipt(id="r", scope=TEAM, run="u", trial="t", role="x", body={"n": 1})
        )
        again = await store.put_receipt(StoredReceipt(id="r", scope=TEAM, body={"n": 2}))
        assert first.created_at is not None
        assert again == first
        await store.put_receipt(StoredReceipt(id="q", scope=TEAM, run="u", trial="t2"))
        assert [one.id for one in await store.receipts(TEAM, run="u")] == ["r", "q"]
        assert [one.id for one in await store.receipts(TEAM, trial="t2")] == ["q"]
        assert [one.id for one in await store.receipts(TEAM, ids=["q", "r"], limit=1)] == ["r"]
        newest = await store.receipts(TEAM, newest=True)
        assert [one.id for one in newest] == ["q", "r"]
        assert await store.receipts(TEAM, newest=True, limit=1) == newest[:1]
        with pytest.raises(IdConflict):
            await store.put_receipt(StoredReceipt(id="r", scope=SIBLING))

    async def test_effects(self, store: Store) -> None:
        """An effect begins once; later attempts are given what the first left."""
        effect = StoredEffect(key="k", scope=TEAM, request="q")
        assert await store.begin_effect(effect) is None
        assert await store.begin_effect(effect) == effect
        done = replace(effect, done=True, result={"id": [1, None]})
        await store.finish_effect(done)
        assert await store.begin_effect(effect) == done
        assert await store.begin_effect(replace(effect, scope=SIBLING)) is None
        with pytest.raises(NotFound):
            await store.finish_effect(replace(effect, key="never"))

    # --- dump, life cycle ---------------------------------------------------------------------

    async def test_dump_and_restore(self, store: Store) -> None:
        """A restored store dumps the same rows, answers the same, and goes on from there."""
        await store.apply(
            changes("c1", Add(insight("a", keys=("k",))), Add(insight("b")), Add(trial("t")),
                    Add(step("s", "t")), link("b", "a"), link("s", "t", LinkType.PART_OF)),
            vectors={"a": unit(1, 2)}, embedder="e",
        )  # fmt: skip
        await store.apply(
            changes("c2", Patch("a", 1, {"keys": ("z",)}), link("b", "a", weight=0.5),
                    AddCredit("a", "x", "r", uses=1))
        )  # fmt: skip
        await store.apply(
            changes("c3", Supersede("b", 1, "a"), Unlink("b", "a", LinkType.SUPPORTS))
        )
        await store.put_receipt(StoredReceipt(id="r", scope=TEAM, body={"x": 1.5}))
        await store.begin_effect(StoredEffect(key="k", scope=TEAM, request="q"))
        await store.apply(changes("o1", Add(insight("o", scope=SIBLING)), scope=SIBLING))
        for scope in ("", TEAM):
            rows = await rows_of(store, scope)
            copy = await self.open()
            try:
                assert await copy.restore(_each(rows)) == len(rows) - 1
                assert await rows_of(copy, scope) == rows
                for at in (1, 2, None):
                    one, two = await store.view(TEAM, at=at), await copy.view(TEAM, at=at)
                    assert two.position == one.position
                    ids = ["a", "b", "t", "s", "o"]
                    assert await one.get(ids) == await two.get(ids)
                    hop = [Hop(frozenset(LinkType), where=ANY)]
                    assert await one.walk(ids, hop) == await two.walk(ids, hop)
                    query = np.asarray([unit(1, 1)])
                    assert await one.search(["keep k z"], query) == await two.search(
                        ["keep k z"], query
                    )
                assert await copy.journal(scope) == await store.journal(scope)
                assert copy.embedder == "e"
                assert (await copy.apply(changes("c4", Add(insight("n"))))).position == 5
                with pytest.raises(InvalidInput):
                    await copy.restore(_each(rows))
            finally:
                await copy.close()

    async def test_broken_dump(self, store: Store) -> None:
        """A broken row is named by its number and nothing is restored."""
        other = await self.open()
        try:
            await other.apply(changes("c1", Add(insight("a")), Add(insight("b"))))
            rows = await rows_of(other, TEAM)
        finally:
            await other.close()
        broken = [*rows[:2], {key: value for key, value in rows[2].items() if key != "text"}]
        with pytest.raises(InvalidInput, match="3"):
            await store.restore(_each(broken))
        with pytest.raises(InvalidInput):
            await store.restore(_each(rows[1:]))
        with pytest.raises(InvalidInput):
            await store.restore(_each([]))
        assert (await store.view(TEAM)).position == 0
        assert await store.restore(_each(rows)) == len(rows) - 1

    async def test_cancelled_await_does_not_abort(self, store: Store) -> None:
        """A changeset that was accepted is applied even if nobody waits for it any more."""
        task = asyncio.create_task(store.apply(changes("c1", Add(insight("a")))))
        await asyncio.sleep(0)  # lets the task hand its changeset over
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await store.apply(changes("c2", Add(insight("b"))))).position == 2
        assert set(await (await store.view(TEAM)).get(["a", "b"])) == {"a", "b"}

    async def test_close(self) -> None:
        """Closing finishes what was accepted; twice is fine; afterwards StoreClosed."""
        store = await self.open()
        view = await store.view(TEAM)
        writing = [
            asyncio.create_task(store.apply(changes(f"c{n}", Add(insight(f"i{n}")))))
            for n in range(20)
        ]
        await asyncio.sleep(0)
        await asyncio.gather(store.close(), store.close())
        assert sorted(one.position for one in await asyncio.gather(*writing)) == list(range(1, 21))
        await store.close()
        with pytest.raises(StoreClosed):
            await store.apply(changes("c", Add(insight("a"))))
        with pytest.raises(StoreClosed):
            await store.view(TEAM)
        with pytest.raises(StoreClosed):
            await view.get(["a"])
        with pytest.raises(StoreClosed):
            await store.statistics(TEAM)
