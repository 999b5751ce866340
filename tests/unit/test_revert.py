"""Reverting, planned on a plain list of changesets: what depends on what, and what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triforium.errors import Conflict, InvalidInput, NotFound
from triforium.graph import (
    Add,
    AddCredit,
    AddLink,
    Applied,
    Changeset,
    Close,
    Expire,
    JournalEntry,
    Link,
    LinkType,
    Op,
    Outcome,
    Patch,
    Provenance,
    Record,
    Restore,
    Revive,
    SetStatus,
    Status,
    Supersede,
    Tier,
    Unlink,
)
from triforium.graph.history import Asked, asked_of, reason_of
from triforium.graph.journal import changesets_by, find_changeset
from triforium.graph.revert import Reverting, plan_revert, revert
from triforium.testing.ledger import START, Position
from triforium.testing.ledger import Ledger as Plain

TEAM = "org/team"


class Ledger(Plain):
    """A ledger of one team."""

    async def do(self, id_: str, *ops: Op, scope: str = TEAM, actor: str = "me") -> Changeset:
        return await super().do(id_, *ops, scope=scope, actor=actor)

    async def plan(self, *ids: str, cascade: bool = False, scope: str = TEAM) -> Reverting:
        return await plan_revert(self.store, scope, ids, cascade=cascade, actor="me")

    async def revert(self, *ids: str, cascade: bool = False, scope: str = TEAM) -> str:
        """Revert, and give the id of the changeset that did it ("" if there was nothing to do)."""
        before = len(self.entries)
        await revert(self.store, scope, ids, cascade=cascade, actor="me")
        return self.entries[-1].changeset.id if len(self.entries) > before else ""


def insight(id_: str, scope: str = TEAM, **more: Any) -> Add:
    return Add(Record(id=id_, tier=Tier.INSIGHT, kind="rule", text="t", scope=scope, **more))


def trial(id_: str, scope: str = TEAM) -> Add:
    return Add(Record(id=id_, tier=Tier.QUERY, kind="task", text="t", scope=scope))


def step(id_: str, of: str) -> Add:
    return Add(
        Record(
            id=id_, tier=Tier.INTERACTION, kind="action", text="t", scope=TEAM,
            provenance=Provenance(trial=of),
        )
    )  # fmt: skip


def link(src: str, dst: str, type_: LinkType = LinkType.SUPPORTS, weight: float = 1.0) -> AddLink:
    return AddLink(Link(src=src, dst=dst, type=type_, weight=weight))


def patch(id_: str, confidence: float) -> Patch:
    return Patch(id_, 0, {"confidence": confidence})


def names(plan: Reverting) -> list[str]:
    return [f"{one.position} {one.op.op}" for one in plan.undone]


async def test_every_operation_has_its_inverse() -> None:
    ledger = Ledger()
    await ledger.do(
        "before", insight("a", confidence=0.1, keys=("k",)), insight("b"), trial("t"),
        link("t", "a", weight=0.5), link("t", "b"),
    )  # fmt: skip
    earlier = ledger.content()
    await ledger.do(
        "c", insight("new"), link("t", "new"), link("t", "a", weight=0.9), Unlink("t", "b",
        LinkType.SUPPORTS), Patch("a", 0, {"confidence": 0.7, "keys": ("x", "y")}),
        Close("t", 0, Outcome.success()), AddCredit("a", "solver", "r", uses=1.0, helped=0.25),
        Supersede("b", 0, "new"), SetStatus("a", 0, Status.QUARANTINED),
    )  # fmt: skip
    later = ledger.content()
    id_ = await ledger.revert("c")
    assert ledger.content() == earlier
    assert ledger.state.rows["t"].outcome == Outcome.unknown("reverted", judge="me").to_json()
    assert await ledger.revert("c") == "", "nothing is taken back twice"
    again = await ledger.revert(id_)
    assert ledger.content() == later
    await ledger.revert(again)
    assert ledger.content() == earlier


async def test_reverting_a_changeset_again_after_its_revert_was_reverted() -> None:
    ledger = Ledger()
    await ledger.do("c", insight("a"), AddCredit("a", "solver", "r", uses=1.0))
    full = ledger.content()
    await ledger.revert(await ledger.revert("c"))
    assert ledger.content() == full
    await ledger.revert("c")
    assert ledger.content()["records"] == {}
    assert ledger.credit == {("a", "solver"): 0.0}


async def test_a_revert_tells_why_and_is_exact() -> None:
    ledger = Ledger()
    await ledger.do("first", insight("a"))
    await ledger.do("second", insight("b"))
    plan = await ledger.plan("first", "second", cascade=True)
    assert plan.changeset.reason == "revert of 2 changesets (1-2) and what depends on it"
    assert (plan.changeset.base, plan.changeset.exact) == (2, True)
    assert plan.changeset.id == (await ledger.plan("second", "first", cascade=True)).changeset.id
    assert plan.changeset.id != (await ledger.plan("first")).changeset.id
    assert len(ledger.entries) == 2, "a plan changes nothing"
    await ledger.do("third", insight("c"))
    with pytest.raises(Conflict, match="by now"):
        await ledger.apply(plan.changeset)


@pytest.mark.parametrize(
    ("positions", "cascade"), [((3,), False), ((1, 2, 3, 7), True), ((1, 3, 5, 6), False)]
)
def test_reason_tells_what_was_asked(positions: tuple[int, ...], cascade: bool) -> None:
    asked = Asked(positions, cascade)
    named = [Changeset(id=f"odd (9)\nid {n}", scope=TEAM) for n in positions]
    assert asked_of(reason_of(named, asked)) == asked


@pytest.mark.parametrize(
    "reason",
    ["", "revert", "revert of x", "revert of x ()", "revert of x (1-)", "revert of x (1,2)",
     "revert of x (1-999999999999)", "a revert of x (1)", "revert of x (1) and more"],
)  # fmt: skip
def test_other_reasons_tell_nothing(reason: str) -> None:
    assert asked_of(reason) is None


DEPENDENTS: list[tuple[list[Op], list[Op], list[str]]] = [
    # what is reverted; what comes later; which of it depends
    ([insight("n")], [link("t", "n")], ["LINK"]),
    ([insight("n")], [link("n", "t", LinkType.DERIVED_FROM)], ["LINK"]),
    ([insight("n")], [link("t", "n"), Unlink("t", "n", LinkType.SUPPORTS)], ["UNLINK", "LINK"]),
    ([insight("n")], [AddCredit("n", "x", "r", uses=1)], ["CREDIT"]),
    ([insight("n")], [patch("n", 0.5)], ["PATCH"]),
    ([insight("n")], [SetStatus("n", 0, Status.ARCHIVED)], ["SET_STATUS"]),
    ([insight("n")], [Supersede("n", 0, "a")], ["SUPERSEDE"]),
    ([insight("n")], [Supersede("a", 0, "n")], ["SUPERSEDE"]),
    ([insight("n")], [insight("n")], ["ADD"]),
    ([insight("n")], [patch("a", 0.5), insight("m"), link("t", "a")], []),
    ([trial("n")], [step("s", "n"), link("s", "n", LinkType.PART_OF)], ["LINK", "ADD"]),
    ([trial("n")], [Close("n", 0, Outcome.success())], ["CLOSE"]),
    ([trial("n")], [insight("d"), link("d", "n", LinkType.DERIVED_FROM), link("t", "d"),
                    patch("d", 0.5)], ["PATCH", "LINK", "LINK", "ADD"]),
    ([patch("a", 0.3)], [patch("a", 0.5)], ["PATCH"]),
    ([patch("a", 0.3)], [patch("a", 0.3)], ["PATCH"]),
    ([patch("a", 0.3)], [Patch("a", 0, {"keys": ("k",)})], []),
    ([patch("a", 0.3)], [Restore("a", 0, {"confidence": 0.5})], ["RESTORE"]),
    ([patch("a", 0.3)], [SetStatus("a", 0, Status.ARCHIVED)], []),
    ([patch("a", 0.3)], [AddCredit("a", "x", "r", uses=1), link("t", "a")], []),
    ([SetStatus("a", 0, Status.QUARANTINED)], [Supersede("a", 0, "b")], ["SUPERSEDE"]),
    ([AddCredit("a", "x", "q", uses=1)], [AddCredit("a", "x", "r", uses=1)], []),
    ([Close("t", 0, Outcome.unknown())], [Close("t", 0, Outcome.success())], ["CLOSE"]),
    ([link("t", "a")], [link("t", "a", weight=0.5)], ["LINK"]),
    ([link("t", "a")], [link("t", "a")], ["LINK"]),
    ([link("t", "a")], [Unlink("t", "a", LinkType.SUPPORTS)], ["UNLINK"]),
    ([link("t", "a")], [link("t", "a", LinkType.REFUTES), link("t", "b")], []),
    ([link("t", "b", LinkType.SIMILAR)], [link("b", "t", LinkType.SIMILAR, 0.5)], ["LINK"]),
    ([Unlink("t", "b", LinkType.SUPPORTS)], [link("t", "b", weight=0.5)], ["LINK"]),
    ([Unlink("t", "b", LinkType.SUPPORTS)], [Expire("b", 0)], ["EXPIRE"]),
    ([Supersede("a", 0, "c")], [Unlink("c", "a", LinkType.SUPERSEDES)], ["UNLINK"]),
    ([Expire("c", 0)], [Revive("c"), link("t", "c")], ["LINK", "REVIVE"]),
    ([insight("n")], [Expire("n", 0)], ["EXPIRE"]),
]  # fmt: skip


@pytest.mark.parametrize(("first", "later", "depends"), DEPENDENTS)
async def test_what_depends(first: list[Op], later: list[Op], depends: list[str]) -> None:
    ledger = Ledger()
    await ledger.do("before", insight("a"), insight("b"), insight("c"), trial("t"), link("t", "b"))
    earlier = ledger.content()
    await ledger.do("first", *first)
    await ledger.do("later", *later)
    if not depends:
        await ledger.plan("first")
    else:
        with pytest.raises(Conflict, match=r"by later \(position 3\)") as caught:
            await ledger.plan("first")
        assert caught.value.dependents == ((3, "later"),)  # type: ignore[attr-defined]
    plan = await ledger.plan("first", cascade=True)
    assert [one.op.op for one in plan.dependents] == depends
    full = ledger.content()
    id_ = await ledger.revert("first", cascade=True)
    if len(depends) == len(later):
        assert ledger.content() == earlier
    assert (await ledger.plan("first", cascade=True)).ops == ()
    await ledger.revert(id_)
    assert ledger.content() == full


async def test_a_later_trial_keeps_its_outcome_and_loses_the_link() -> None:
    ledger = Ledger()
    await ledger.do("poison", insight("evil"))
    await ledger.do("begin", trial("t"))
    await ledger.do(
        "end", Close("t", 0, Outcome.success()), link("evil", "t", LinkType.LED_TO),
        AddCredit("evil", "solver", "r", uses=1), insight("good"), link("t", "good"),
    )  # fmt: skip
    plan = await ledger.plan("poison", cascade=True)
    assert names(plan) == ["3 CREDIT", "3 LINK", "1 ADD"]
    await ledger.revert("poison", cascade=True)
    assert set(ledger.content()["records"]) == {"t", "good"}
    assert ledger.state.rows["t"].outcome == Outcome.success().to_json()
    assert set(ledger.state.links) == {("t", "good", LinkType.SUPPORTS, "")}


async def test_what_an_earlier_revert_took_back_is_no_dependent() -> None:
    ledger = Ledger()
    await ledger.do("one", insight("a"))
    await ledger.do("two", insight("a"), link("a", "a", LinkType.SIMILAR), patch("a", 0.5))
    await ledger.do("three", Patch("a", 0, {"confidence": 0.5}))
    with pytest.raises(Conflict):
        await ledger.plan("one")
    await ledger.revert("three")
    await ledger.revert("two")
    await ledger.revert("one")
    assert ledger.content()["records"] == {}


async def test_a_message_names_ten_dependents_and_keeps_all() -> None:
    ledger = Ledger()
    await ledger.do("base", insight("a"))
    for n in range(12):
        await ledger.do(f"later{n}", AddCredit("a", "x", f"r{n}", uses=1))
    with pytest.raises(
        Conflict, match=r"later9 \(position 11\) and 2 more; revert those"
    ) as caught:
        await ledger.plan("base")
    assert len(caught.value.dependents) == 12  # type: ignore[attr-defined]


async def test_only_the_own_scope_is_reverted() -> None:
    ledger = Ledger()
    await ledger.do("team", insight("a"))
    await ledger.do("inner", trial("t", "org/team/x"), scope="org/team/x")
    with pytest.raises(InvalidInput, match="belongs to scope 'org/team'"):
        await ledger.plan("team", scope="org/team/x")
    for hidden in ("inner", "nowhere"):
        with pytest.raises(NotFound, match=f"no changeset '{hidden}' in scope 'org/team'"):
            await ledger.plan(hidden)
    with pytest.raises(InvalidInput, match="Say which"):
        await ledger.plan()


async def test_other_scopes_are_counted_and_not_named() -> None:
    ledger = Ledger()
    await ledger.do("team", insight("a"))
    await ledger.do("secret", trial("t", "org/team/x"), link("t", "a"), scope="org/team/x")
    for cascade in (False, True):
        with pytest.raises(Conflict, match="by 1 of other scopes; take those") as caught:
            await ledger.plan("team", cascade=cascade)
        assert "secret" not in str(caught.value.facts)


async def test_credit_of_inner_scopes_goes_with_the_record() -> None:
    ledger = Ledger()
    await ledger.do("team", insight("a"))
    await ledger.do("secret", AddCredit("a", "x", "r", uses=1), scope="org/team/x")
    plan = await ledger.plan("team", cascade=True)
    assert "secret" not in str(plan)
    await ledger.revert("team", cascade=True)
    assert ledger.content()["records"] == {}
    assert ledger.credit == {("a", "x"): 0.0}


async def test_a_record_that_was_added_again_is_its_own_matter() -> None:
    ledger = Ledger()
    await ledger.do("first", insight("a", confidence=0.5))
    undone = await ledger.revert("first")
    await ledger.do("again", insight("a", confidence=0.9))
    full = ledger.content()
    assert await ledger.revert("first") == ""
    with pytest.raises(Conflict, match="again"):
        await ledger.plan(undone)
    gone = await ledger.revert("again")
    assert ledger.content()["records"] == {}
    await ledger.revert(gone)
    assert ledger.content() == full
    await ledger.revert(undone, cascade=True)
    assert ledger.content()["records"]["a"]["confidence"] == 0.5


async def test_what_only_says_to_be_a_revert_is_an_ordinary_change() -> None:
    ledger = Ledger()
    await ledger.do("c", insight("a"), patch("a", 0.5))
    forged = Changeset(
        id="f", scope=TEAM, base=1, actor="me", reason="revert of c (1)",
        ops=(Restore("a", 2, {"confidence": 0.9}),),
    )  # fmt: skip
    await ledger.apply(forged)
    with pytest.raises(Conflict, match=r"by f \(position 2\)"):
        await ledger.plan("c")
    await ledger.revert("c", cascade=True)
    assert ledger.content()["records"] == {}


async def test_revert_plans_anew_when_something_was_applied_meanwhile() -> None:
    ledger = Ledger()
    await ledger.do("c", insight("a"))
    left = [2]

    async def slow(changeset: Changeset) -> Applied:
        if left[0]:
            left[0] -= 1
            await ledger.do(f"other{left[0]}", insight(f"o{left[0]}"))
        return await ledger.apply(changeset)

    store = ledger.store
    assert (await revert(store, TEAM, ["c"], apply=slow)).position == 4
    assert set(ledger.content()["records"]) == {"o0", "o1"}
    left[0] = 9
    with pytest.raises(Conflict, match="by now"):
        await revert(store, TEAM, ["other0"], apply=slow)


async def test_the_journal_is_read_backwards_and_only_as_far_as_needed() -> None:
    ledger = Ledger()
    for n in range(1500):
        await ledger.do(f"c{n}", AddCredit("a", "x", f"r{n}", uses=1) if n else insight("a"))
    await ledger.plan("c1400")
    assert ledger.reads == 1
    undone = await ledger.revert("c700")
    ledger.reads = 0
    await ledger.revert(undone)
    assert ledger.reads == 4, "back to what the revert was about"


async def test_a_journal_that_does_not_reach_back() -> None:
    ledger = Ledger()
    await ledger.do("c", insight("a"))
    await ledger.revert("c")
    await ledger.do("again", insight("a"))

    class Part(Ledger):
        async def journal(
            self, scope: str, *, after: int = 0, limit: int = 1000
        ) -> tuple[JournalEntry, ...]:
            return (ledger.entries[2],) if after < 3 else ()

        async def view(self, scope: str) -> Position:
            return await ledger.view(scope)

    with pytest.raises(InvalidInput, match="does not tell what became of the record 'a'"):
        await Part().plan("again")


async def test_finding_changesets() -> None:
    ledger = Ledger()
    for n, actor in enumerate(["eve", "ann", "eve"]):
        await ledger.do(f"abcdefgh-{n}", insight(f"i{n}"), actor=actor)
    store = ledger.store
    assert await changesets_by(store, TEAM, "eve") == ("abcdefgh-0", "abcdefgh-2")
    assert await changesets_by(store, TEAM, "eve", since=1) == ("abcdefgh-2",)
    assert await changesets_by(store, TEAM, "eve", since=START + timedelta(seconds=3)) == (
        "abcdefgh-2",
    )
    assert await changesets_by(store, "org", "eve") == ()
    await ledger.revert(*await changesets_by(store, TEAM, "eve"))
    assert set(ledger.content()["records"]) == {"i1"}
    assert (await find_changeset(store, "", "abcdefgh-1")).id == "abcdefgh-1"
    with pytest.raises(InvalidInput, match="3 changesets begin with 'abcdefgh'"):
        await find_changeset(store, "", "abcdefgh")
    for unknown in ("abcdefg", "nowhere at all"):
        with pytest.raises(NotFound):
            await find_changeset(store, "", unknown)


async def test_a_plan_reads_well() -> None:
    ledger = Ledger()
    await ledger.do("c", insight("a"))
    await ledger.do("d", AddCredit("a", "solver", "r", uses=1))
    plan = await ledger.plan("c", cascade=True)
    assert str(plan).splitlines() == [
        "Reverting c takes back 2 operations, 1 of them in 1 later changeset:",
        "       2  d, which depends on it: CREDIT 1",
        "          CREDIT a for solver",
        "       1  c: ADD 1",
        "          ADD rule a: 't'",
    ]
    for n in range(50):
        await ledger.do(f"more{n}", AddCredit("a", "solver", f"r{n}", uses=1))
    told = str(await ledger.plan("c", cascade=True)).splitlines()
    assert len(told) == 42
    assert told[1:3] == [
        "      52  more49, which depends on it: CREDIT 1",
        "      51  more48, which depends on it: CREDIT 1",
    ]
    assert told[-1] == "          and 12 more changesets"
    await ledger.revert("c", cascade=True)
    assert str(await ledger.plan("c")) == "Nothing of c is left to be taken back."


# --- random histories -------------------------------------------------------------------------

IDS = tuple("abcde")
WEIGHTS = st.sampled_from([0.5, 1.0])
TYPES = st.sampled_from([LinkType.SUPPORTS, LinkType.SIMILAR, LinkType.DERIVED_FROM])
ids = st.sampled_from(IDS)


def any_record(id_: str, of: str, confidence: float | None) -> Add:
    if id_ in "ab":
        return Add(Record(id=id_, tier=Tier.QUERY, kind="task", text="t", scope=TEAM))
    tier = Tier.INTERACTION if id_ == "c" else Tier.INSIGHT
    return Add(
        Record(
            id=id_, tier=tier, kind="k", text="t", scope=TEAM, confidence=confidence,
            provenance=Provenance(trial=of),
        )
    )  # fmt: skip


adds = st.builds(any_record, ids, st.sampled_from(["", "a", "b"]), st.sampled_from([None, 0.25]))
ops = st.one_of(
    adds,
    adds,
    st.builds(link, ids, ids, TYPES, WEIGHTS),
    st.builds(link, ids, ids, TYPES, WEIGHTS),
    st.builds(Unlink, ids, ids, TYPES),
    st.builds(patch, ids, st.sampled_from([0.25, 0.5])),
    st.builds(lambda id_: Patch(id_, 0, {"keys": ("k",), "confidence": 0.75}), ids),
    st.builds(
        Close, ids, st.just(0), st.sampled_from([Outcome.success(), Outcome.unknown("later")])
    ),
    st.builds(AddCredit, ids, st.just("x"), st.sampled_from("pqr"), st.sampled_from([1.0, 2.0])),
    st.builds(SetStatus, ids, st.just(0), st.sampled_from([Status.ACTIVE, Status.QUARANTINED])),
    st.builds(Supersede, ids, st.just(0), ids),
    st.builds(Expire, ids, st.just(0)),
)
histories = st.lists(st.lists(ops, min_size=1, max_size=4), min_size=1, max_size=10)
quick = settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


async def play(ledger: Ledger, number: int, ops: Sequence[Op]) -> None:
    """Apply what can be applied of some operations, as one changeset."""
    good: list[Op] = []
    for op in ops:
        if ledger.fits(ledger.changeset("try", *good, op, scope=TEAM)):
            good.append(op)
    if good:
        await ledger.do(f"c{number}", *good)


async def _one_by_one(history: list[list[Op]], picks: list[int]) -> None:
    ledger = Ledger()
    for number, some in enumerate(history):
        await play(ledger, number, some)
    original = tuple(ledger.entries)
    full = ledger.content()
    for pick in picks if original else []:
        entry = original[pick % len(original)]
        chosen = entry.changeset.id
        plan = await ledger.plan(chosen, cascade=True)
        undone = {(one.position, one.index) for one in plan.undone}
        undone |= {(entry.position, number) for number in range(len(entry.before))}
        alone = Ledger()
        for one in original:
            await alone.apply(one.changeset)
        expected = (await alone.without(undone, TEAM)).content()
        id_ = await ledger.revert(chosen, cascade=True)
        assert ledger.content() == expected
        assert await ledger.revert(chosen, cascade=True) == ""
        if id_:
            back = await ledger.revert(id_)
            assert ledger.content() == full
            assert await ledger.revert(id_) == ""
            again = await ledger.revert(back)
            assert ledger.content() == expected
            await ledger.revert(again)
        assert ledger.content() == full


@quick
@given(histories, st.lists(st.integers(0, 9), min_size=1, max_size=3))
def test_a_revert_leaves_what_would_be_without(history: list[list[Op]], picks: list[int]) -> None:
    asyncio.run(_one_by_one(history, picks))


async def _many_reverts(history: list[list[Op] | tuple[int, int]]) -> None:
    ledger = Ledger()
    for number, some in enumerate(history):
        if isinstance(some, list):
            await play(ledger, number, some)
        elif ledger.entries:
            a, b = (one % len(ledger.entries) for one in some)
            both = [ledger.entries[n].changeset for n in (a, b)]
            reverts = any(one.reason.startswith("revert") for one in both)
            chosen = {one.id for one in (both[:1] if reverts else both)}
            full = ledger.content()
            id_ = await ledger.revert(*chosen, cascade=True)
            assert await ledger.revert(*chosen, cascade=True) == ""
            if id_ and number % 2:
                await ledger.revert(id_)
                assert ledger.content() == full


@quick
@given(
    st.lists(
        st.one_of(
            st.lists(ops, min_size=1, max_size=4),
            st.tuples(st.integers(0, 30), st.integers(0, 30)),
        ),
        max_size=14,
    )
)
def test_reverts_of_reverts_and_of_many(history: list[list[Op] | tuple[int, int]]) -> None:
    asyncio.run(_many_reverts(history))
