"""An audit finds each kind of damage; the damage is done to the rows on their way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from triforium.graph import (
    Add,
    AddCredit,
    AddLink,
    Changeset,
    Close,
    Expire,
    Link,
    LinkType,
    Outcome,
    Patch,
    Provenance,
    Record,
    Revive,
    Store,
    Tier,
    Unlink,
)
from triforium.graph.audit import SHOWN, audit, examine
from triforium.graph.open import open_store

TEAM = "org/team"
Rows = list[dict[str, Any]]


class Damaged:
    """A store whose dump says something else than it holds."""

    def __init__(self, store: Store, damage: Callable[[Rows], object]) -> None:
        self._store = store
        self._damage = damage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def dump(self, scope: str) -> AsyncIterator[dict[str, Any]]:
        rows = [dict(row) async for row in self._store.dump(scope)]
        self._damage(rows)
        for row in rows:
            yield row


def record(id_: str, tier: Tier = Tier.INSIGHT, of: str = "") -> Add:
    return Add(
        Record(
            id=id_, tier=tier, kind="k", text=f"words of {id_}", scope=TEAM,
            provenance=Provenance(trial=of),
        )
    )  # fmt: skip


async def filled() -> Store:
    store = await open_store("sqlite://")
    t_a = Link(src="t", dst="a", type=LinkType.SUPPORTS, weight=1)
    for number, ops in enumerate(
        [
            (record("t", Tier.QUERY), record("s", Tier.INTERACTION, "t"), record("a")),
            (Patch("a", 1, {"keys": ("k",), "confidence": 1}), AddLink(t_a)),
            (Close("t", 1, Outcome.success()), AddCredit("a", "x", "r", uses=1)),
            (record("b"), AddLink(Link(src="b", dst="a", type=LinkType.SIMILAR))),
            (Unlink("a", "b", LinkType.SIMILAR), AddCredit("a", "x", "q", helped=0.1)),
            (Expire("b", 1),),
            (Revive("b"),),
            (record("open", Tier.QUERY), record("o", Tier.INTERACTION, "open")),
        ],
        1,
    ):
        await store.apply(Changeset(id=f"c{number}", scope=TEAM, ops=ops))
    inner = Add(Record(id="i", tier=Tier.INSIGHT, kind="k", text="x", scope="org/team/x"))
    await store.apply(Changeset(id="inner", scope="org/team/x", ops=(inner,)))
    return store


def rows_of(rows: Rows, kind: str) -> Rows:
    return [row for row in rows if row["row"] == kind]


def edit(kind: str, number: int = 0, **fields: Any) -> Callable[[Rows], object]:
    return lambda rows: rows_of(rows, kind)[number].update(fields)


def drop(kind: str, number: int = 0) -> Callable[[Rows], object]:
    return lambda rows: rows.remove(rows_of(rows, kind)[number])


def add(**row: Any) -> Callable[[Rows], object]:
    return lambda rows: rows.append(row)


def patch_op(rows: Rows) -> dict[str, Any]:
    op: dict[str, Any] = rows_of(rows, "journal")[1]["ops"][0]
    return op


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (edit("journal", 3, position=3), "position 3 after 3"),
        (edit("journal", 3, created_at="2000"), "time of position 4 is not after that of 3"),
        (edit("header", position=4), "goes beyond the position of the store, 4"),
        (drop("journal", 1), "lacks position 2, which changed the record 'a'"),
        (drop("record", 2), "'t' SUPPORTS 'a' has an end that does not exist"),
        (edit("record", 2, expired=9), "'t' SUPPORTS 'a' is live, and one of its ends"),
        (lambda rows: rows.append(dict(rows_of(rows, "link")[0])), "is there 2 times"),
        (edit("link", 1, expired=4), "ended before it began"),
        (edit("record", 2, revision=3), "'a' is at revision 3 and has not an image of each"),
        (drop("version"), "has not an image of each before"),
        (add(row="version", id="x", until=1, revision=1, keys=[], confidence=None, cluster="",
             summary="", status="active", outcome=None, hold=None), "images of a record 'x'"),
        (add(row="vector", id="s"), "a vector for 's', which is no record that is searched"),
        (add(row="vector", id="x"), "a vector for 'x'"),
        (edit("record", 0, visible_from=None), "'t' is closed, and 't' of it is still hidden"),
        (edit("record", 1, visible_from=None), "'t' is closed, and 's' of it is still hidden"),
        (edit("record", 2, confidence=0.5), "A View shows the record 'a' otherwise"),
        (edit("record", 2, confidence=0.5), "differs from what the journal leads to in confidence"),
        (edit("record", 3, gaps=None), "'b' differs from what the journal leads to in gaps"),
        (edit("record", 1, trial=""), "'s' differs from what the journal leads to in trial"),
        (edit("record", 2, content_hash="x"), "differs from what the journal leads to in content"),
        (edit("record", 2, created_at="2001"), "differs from what the journal leads to in time"),
        (drop("link"), "says it has 1 supports and 0 refutations; its live links are 0 and 0"),
        (drop("link"), "leads to the link"),
        (edit("link", 0, weight=0.5), "to which no changeset led"),
        (drop("credit"), "The credit of the record 'a' for the role 'x' is not the sum"),
        (edit("credit", 1, uses=7.0), "is not the sum of its deltas"),
        (edit("version", 0, summary="x"), "leads to the image"),
        (add(row="taint", id="a", root="t", added=1, expired=None), "'a' is tainted by 't' and"),
        (edit("record", 0, status="quarantined"), "'a' descends from 't' in quarantine"),
        (edit("record", 2, source="eve"), "The counts of the source 'eve'"),
        (edit("record", 2, text="words of z"), "The term 'z' is in 1 insight records"),
        (edit("record", 1, text="other"), "'s' differs from what the journal leads to in text"),
        (edit("record", 2, text="words"), "count 2 records and 7 terms; there are 2 and 5"),
        (lambda rows: patch_op(rows).update(revision=7), "cannot be replayed at position 2"),
        (lambda rows: patch_op(rows)["fields"].update(confidence=0), "is not what was hashed"),
        (edit("journal", 1, before=[{}, None]), "other images at position 2 than were there"),
        (lambda rows: rows_of(rows, "journal")[0]["ops"].pop(), "cannot be replayed"),
    ],
)  # fmt: skip
async def test_damage_is_found(damage: Callable[[Rows], object], told: str) -> None:
    store = await filled()
    try:
        assert await audit(store) == ()
        problems = await audit(Damaged(store, damage))
    finally:
        await store.close()
    assert any(told in problem for problem in problems), problems


async def test_many_problems_of_a_kind_are_counted() -> None:
    def damage(rows: Rows) -> None:
        link = rows_of(rows, "link")[0]
        for number in range(SHOWN + 5):
            rows.append({**link, "via": str(number), "src": "nobody"})

    store = await filled()
    try:
        found = await examine(Damaged(store, damage))
    finally:
        await store.close()
    ends = [one for one in found.problems if "an end that does not exist" in one]
    assert len(ends) == SHOWN
    assert "... and 5 more like this." in found.problems
    assert str(found).startswith(f"{len(found.problems)} problems in 9 changesets, 7 records")


async def test_a_store_in_use() -> None:
    """What is compared is of one instant; the counters of a later one are left alone."""
    store = await filled()

    class Written(Damaged):
        async def dump(self, scope: str) -> AsyncIterator[dict[str, Any]]:
            async for row in store.dump(scope):
                yield row
            await store.apply(Changeset(id="late", scope=TEAM, ops=(record("late"),)))

    try:
        found = await examine(Written(store, len))
        assert found.problems == ()
        assert "Scope 'org/team' was written to meanwhile" in str(found)
        assert str(await examine(store)).startswith("clean: 10 changesets, 8 records")
    finally:
        await store.close()


async def test_an_empty_store_is_clean() -> None:
    store = await open_store("sqlite://")
    try:
        assert str(await examine(store)) == (
            "clean: 0 changesets, 0 records, 0 links, 0 deltas of credit"
        )
    finally:
        await store.close()
