"""What reverting and auditing promise on any store, each as a test.

::

    class TestReverting(RevertConformance):
        async def open(self, *, clock=None):
            return await open_my_store(fresh_place(), clock=clock)

Needs pytest and pytest-asyncio.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from ..errors import Conflict, InvalidInput, NotFound
from ..graph import (
    Add,
    AddCredit,
    AddLink,
    Changeset,
    Close,
    Expire,
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
    Supersede,
    Tier,
    Unlink,
)
from ..graph.audit import audit, examine
from ..graph.journal import changesets_by, find_changeset, latest
from ..graph.revert import Reverting, plan_revert, revert, take_back
from .ledger import Ledger, content_of_store
from .store_conformance import PRIVATE, TEAM, Clock, changes, found, insight, link, step, trial

HISTORIES = 12
"""Random histories that a store is compared on."""


@pytest.mark.asyncio
class RevertConformance:
    """Subclass and define `open`; every test opens a store of its own."""

    async def open(self, *, clock: Clock | None = None) -> Store:
        """A new, empty store; `clock` gives its time in UTC.

        Raises:
            NotImplementedError: Always; subclasses say how.
        """
        raise NotImplementedError

    @pytest_asyncio.fixture
    async def store(self) -> AsyncIterator[Store]:
        """An empty store, whole when it is closed."""
        opened = await self.open()
        yield opened
        problems = await audit(opened)
        await opened.close()
        assert problems == ()

    async def test_added_records_go_and_come_again(self, store: Store) -> None:
        """A reverted record is not found, walked to or counted; reverting that brings it back."""
        await store.apply(changes("base", Add(insight("a")), Add(insight("c", "keep warm"))))
        await store.apply(
            changes("c", Add(insight("b", "shut the window")), link("b", "a", LinkType.SIMILAR))
        )
        done = await take_back(store, TEAM, ["c"], actor="me")
        assert await found(store, "window keep") == {"a", "c"}
        assert (await store.statistics(TEAM)).records == {"insight/rule": 2}
        assert (await store.statistics(TEAM)).links == {}
        await revert(store, TEAM, [done.changeset.id])
        assert await found(store, "window keep") == {"a", "b", "c"}
        assert (await store.statistics(TEAM)).links == {"SIMILAR": 1}

    async def test_derived_fields_status_and_outcome_are_restored(self, store: Store) -> None:
        """PATCH, SET_STATUS and SUPERSEDE give back the image before; CLOSE leaves an unknown."""
        await store.apply(
            changes("base", Add(insight("a", keys=("old",))), Add(insight("b")), Add(trial("t")))
        )
        await store.apply(
            changes(
                "c",
                Patch("a", 1, {"keys": ("new",), "confidence": 0.5, "summary": "s"}),
                SetStatus("a", 2, Status.QUARANTINED),
                Supersede("b", 1, "a"),
                Close("t", 1, Outcome.success(judge="environment")),
            )
        )
        assert await found(store, "new") == set()
        await revert(store, TEAM, ["c"], actor="ann")
        records = await (await store.view(TEAM)).get(["a", "b", "t"])
        assert records["a"].keys == ("old",)
        assert (records["a"].confidence, records["a"].summary) == (None, "")
        assert records["a"].status is records["b"].status is Status.ACTIVE
        assert records["t"].outcome == Outcome.unknown("reverted", judge="ann")
        assert await found(store, "new") == set()
        assert await found(store, "old") == {"a"}
        await store.apply(
            changes("settled", Close("t", records["t"].revision, Outcome.failure(judge="person")))
        )

    async def test_links_and_credit_are_restored(self, store: Store) -> None:
        """LINK and UNLINK give back the weight before; credit is given back, once."""
        await store.apply(
            changes(
                "base", Add(trial("t")), Add(insight("a")), Add(insight("b")), Close("t", 1,
                Outcome.success()), link("t", "a", weight=0.25), link("t", "b"),
            )
        )  # fmt: skip
        await store.apply(
            changes(
                "c",
                link("t", "a", weight=0.75),
                Unlink("t", "b", LinkType.SUPPORTS),
                AddCredit("a", "solver", "r", uses=1.0, helped=0.5),
            )
        )
        for _ in range(2):
            await revert(store, TEAM, ["c"])
        records = await (await store.view(TEAM)).get(["a", "b"])
        assert (records["a"].support, records["b"].support) == (1, 1)
        assert (records["a"].credit["solver"].uses, records["a"].credit["solver"].helped) == (0, 0)
        content = await content_of_store(store.dump(TEAM))
        assert content["links"] == {
            ("t", "a", "SUPPORTS", ""): 0.25,
            ("t", "b", "SUPPORTS", ""): 1.0,
        }
        undone = (await latest(store, TEAM, 1))[0].changeset
        await revert(store, TEAM, [undone.id])
        records = await (await store.view(TEAM)).get(["a", "b"])
        assert (records["a"].support, records["b"].support) == (1, 0)
        assert records["a"].credit["solver"].uses == 1

    async def test_a_retry_does_not_bring_it_back(self, store: Store) -> None:
        """A changeset that was reverted has still been applied."""
        changeset = changes("c", Add(insight("a")))
        await store.apply(changeset)
        await revert(store, TEAM, ["c"])
        assert (await store.apply(changeset)).replayed
        assert not await (await store.view(TEAM)).get(["a"])
        await store.apply(changes("d", Add(insight("a", confidence=0.5))))
        record = (await (await store.view(TEAM)).get(["a"]))["a"]
        assert record.confidence == 0.5

    async def test_the_past_stays_as_it_was(self, store: Store) -> None:
        """A View of an earlier position shows what was reverted later, and nothing where it was
        gone."""
        await store.apply(changes("c", Add(insight("a")), Add(insight("b")), link("a", "b")))
        done = await take_back(store, TEAM, ["c"])
        await revert(store, TEAM, [done.changeset.id])
        for position, there in enumerate([set(), {"a", "b"}, set(), {"a", "b"}]):
            view = await store.view(TEAM, at=position)
            assert set(await view.get(["a", "b"])) == there
            assert await found(store, "door", at=position) == there

    async def test_an_open_trial_goes_with_its_steps(self, store: Store) -> None:
        """What belongs to a trial depends on it, also while only its run sees it."""
        await store.apply(changes("begin", Add(trial("t"))))
        await store.apply(changes("say", Add(step("s", "t")), link("s", "t", LinkType.PART_OF)))
        with pytest.raises(Conflict, match=r"say \(position 2\)"):
            await revert(store, TEAM, ["begin"])
        await revert(store, TEAM, ["begin"], cascade=True)
        view = await store.view(TEAM, run="run")
        assert not await view.get(["t", "s"])

    async def test_only_what_depends_goes_with_it(self, store: Store) -> None:
        """A later trial keeps its outcome; its link to the vanished insight goes."""
        await store.apply(changes("poison", Add(insight("evil"))))
        await store.apply(
            changes(
                "honest", Add(trial("t")), Add(insight("good")), AddLink(Link(src="evil", dst="t",
                type=LinkType.LED_TO)), link("t", "good"), AddCredit("evil", "x", "r", uses=1),
                Close("t", 1, Outcome.success()),
            )
        )  # fmt: skip
        position = (await store.view(TEAM)).position
        with pytest.raises(Conflict) as caught:
            await revert(store, TEAM, ["poison"])
        assert caught.value.facts["dependents"] == ((2, "honest"),)
        assert (await store.view(TEAM)).position == position, "nothing was done"
        plan = await plan_revert(store, TEAM, ["poison"], cascade=True)
        assert (await store.view(TEAM)).position == position, "a plan does nothing"
        assert [one.op.op for one in plan.dependents] == ["CREDIT", "LINK"]
        await revert(store, TEAM, ["poison"], cascade=True)
        records = await (await store.view(TEAM)).get(["evil", "t", "good"])
        assert set(records) == {"t", "good"}
        assert records["t"].outcome == Outcome.success()
        assert records["good"].support == 1

    async def test_scopes(self, store: Store) -> None:
        """Only the own scope's changesets are reverted; others are not told of."""
        await store.apply(changes("team", Add(insight("a"))))
        await store.apply(
            changes("inner", Add(trial("p", scope=PRIVATE)), link("p", "a"), scope=PRIVATE)
        )
        with pytest.raises(InvalidInput, match="belongs to scope"):
            await revert(store, PRIVATE, ["team"])
        for id_ in ("inner", "nowhere"):
            with pytest.raises(NotFound, match="no changeset"):
                await revert(store, TEAM, [id_])
        with pytest.raises(Conflict, match="other scopes") as caught:
            await revert(store, TEAM, ["team"], cascade=True)
        assert "by inner" not in str(caught.value)
        await revert(store, PRIVATE, ["inner"])
        await revert(store, TEAM, ["team"])
        assert not await (await store.view(TEAM)).get(["a"])

    async def test_at_the_same_time(self, store: Store) -> None:
        """Reverted by two at once, while others write: it is taken back once, nothing is lost."""
        await store.apply(changes("c", Add(insight("a")), AddCredit("a", "x", "r", uses=1)))
        await store.apply(changes("other", Add(insight("b"))))
        answers = await asyncio.gather(
            revert(store, TEAM, ["c"]),
            revert(store, TEAM, ["c"]),
            *(store.apply(changes(f"w{n}", Add(insight(f"w{n}")))) for n in range(8)),
            return_exceptions=True,
        )
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, Conflict):
                raise answer
        await revert(store, TEAM, ["c"])
        records = await (await store.view(TEAM)).get(["a", "b", *(f"w{n}" for n in range(8))])
        assert set(records) == {"b", *(f"w{n}" for n in range(8))}
        reverts = [one for one in await store.journal(TEAM) if "revert" in one.changeset.reason]
        assert len(reverts) == 1

    async def test_an_exact_changeset_is_applied_only_at_its_base(self, store: Store) -> None:
        """A plan made before something else was applied is refused."""
        await store.apply(changes("c", Add(insight("a"))))
        plan = await plan_revert(store, TEAM, ["c"])
        await store.apply(changes("d", Add(insight("b"))))
        with pytest.raises(Conflict):
            await store.apply(plan.changeset)
        first = await store.apply((await plan_revert(store, TEAM, ["c"])).changeset)
        again = (await store.journal(TEAM))[-1].changeset
        assert (await store.apply(again)).position == first.position

    async def test_all_of_a_source(self, store: Store) -> None:
        """The changesets of one source are found and reverted together."""
        for n, actor in enumerate(["eve", "ann", "eve", "eve"]):
            one = Changeset(id=f"c{n}", scope=TEAM, ops=(Add(insight(f"i{n}")),), actor=actor)
            await store.apply(one)
        ids = await changesets_by(store, TEAM, "eve", since=1)
        assert ids == ("c2", "c3")
        await revert(store, TEAM, ids)
        view = await store.view(TEAM)
        assert set(await view.get(["i0", "i1", "i2", "i3"])) == {"i0", "i1"}

    async def test_finding_a_changeset(self, store: Store) -> None:
        """By its id or the beginning of it; the journal is read from its end."""
        for n in range(300):
            await store.apply(changes(f"long-name-{n}", Add(insight(f"i{n}"))))
        assert [one.position for one in await latest(store, TEAM, 3)] == [300, 299, 298]
        assert (await find_changeset(store, "", "long-name-7")).id == "long-name-7"
        assert (await find_changeset(store, "", "long-name-29")).id == "long-name-29"
        with pytest.raises(InvalidInput, match="300 changesets begin"):
            await find_changeset(store, TEAM, "long-name")
        with pytest.raises(NotFound):
            await find_changeset(store, "elsewhere", "long-name-7")
        await revert(store, TEAM, ["long-name-3"])

    async def test_audit_of_a_part(self, store: Store) -> None:
        """What one scope sees, and what was restored from that, can be audited too."""
        for n, scope in enumerate((TEAM, PRIVATE, TEAM)):
            await store.apply(changes(f"c{n}", Add(insight(f"i{n}", scope=scope)), scope=scope))
        part = await examine(store, TEAM)
        assert part.problems == ()
        assert "not replayed" in str(part)
        copy = await self.open()
        try:
            await copy.restore(store.dump(TEAM))
            assert (await examine(copy)).problems == ()
        finally:
            await copy.close()

    @pytest.mark.parametrize("seed", range(HISTORIES))
    async def test_a_random_history(self, store: Store, seed: int) -> None:
        """After a revert all is as if what was undone had never been; reverting that gives it
        back."""
        draw = random.Random(seed)
        ledger = Ledger()

        async def both(changeset: Changeset) -> None:
            await ledger.apply(changeset)
            await store.apply(changeset)

        async def undo(*ids: str) -> Reverting:
            plan = await plan_revert(store, TEAM, ids, cascade=True)
            assert (
                plan.changeset
                == (await plan_revert(ledger.store, TEAM, ids, cascade=True)).changeset
            )
            if plan.ops:
                await both(plan.changeset)
            return plan

        for number in range(16):
            await both(random_changeset(draw, ledger, f"c{number}"))
        full = await content_of_store(store.dump(TEAM))
        assert full == ledger.content()
        for entry in draw.sample(ledger.entries[:16], 3):
            plan = await plan_revert(store, TEAM, [entry.changeset.id], cascade=True)
            undone = {(one.position, one.index) for one in plan.undone}
            undone |= {(entry.position, n) for n in range(len(entry.before))}
            alone = Ledger()
            for one in ledger.entries[:16]:
                await alone.apply(one.changeset)
            expected = (await alone.without(undone, TEAM)).content()
            await undo(entry.changeset.id)
            assert await content_of_store(store.dump(TEAM)) == expected
            assert await audit(store) == ()
            if plan.ops:
                await undo(plan.changeset.id)
            assert await content_of_store(store.dump(TEAM)) == full
        for _ in range(4):
            await undo(*(one.changeset.id for one in draw.sample(ledger.entries, 2)))
            await both(random_changeset(draw, ledger, f"more{len(ledger.entries)}"))
            assert await content_of_store(store.dump(TEAM)) == ledger.content()


def random_changeset(draw: random.Random, ledger: Ledger, id_: str) -> Changeset:
    """One to four operations that fit, of all kinds, on a handful of records."""
    ops: list[Op] = []
    length = draw.randint(1, 4)
    while len(ops) < length:
        op = _random_op(draw)
        if ledger.fits(ledger.changeset(id_, *ops, op, scope=TEAM)):
            ops.append(op)
    return ledger.changeset(id_, *ops, scope=TEAM)


def _random_op(draw: random.Random) -> Op:
    a, b = draw.choice("abcdef"), draw.choice("abcdef")
    type_ = draw.choice([LinkType.SUPPORTS, LinkType.SIMILAR, LinkType.DERIVED_FROM])
    match draw.randrange(12):
        case 0 | 1 | 2 | 3:
            return _random_add(draw, a)
        case 4 | 5:
            return link(a, b, type_, draw.choice([0.5, 1.0]))
        case 6:
            return Unlink(a, b, type_)
        case 7:
            more = draw.choice([{}, {"keys": ("k",)}])
            return Patch(a, 0, {"confidence": draw.choice([0.5, 0.75]), **more})
        case 8:
            return Close(a, 0, draw.choice([Outcome.success(), Outcome.unknown("later")]))
        case 9:
            return AddCredit(a, "x", draw.choice("pqrs"), uses=draw.choice([1.0, 2.0]))
        case 10:
            return SetStatus(a, 0, draw.choice([Status.ACTIVE, Status.QUARANTINED]))
    return Supersede(a, 0, b) if draw.random() < 0.5 else Expire(a, 0)


def _random_add(draw: random.Random, id_: str) -> Op:
    tier = {"a": Tier.QUERY, "b": Tier.QUERY, "c": Tier.INTERACTION}.get(id_, Tier.INSIGHT)
    trial_ = "" if tier is Tier.QUERY else draw.choice(["", "a", "b"])
    return Add(
        Record(
            id=id_,
            tier=tier,
            kind="k",
            text=f"red {id_}",
            scope=TEAM,
            keys=draw.choice([(), ("green",)]),
            provenance=Provenance(trial=trial_),
        )
    )
