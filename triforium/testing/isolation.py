"""A memory of five scopes, and every way to read it, each of which must stay within its scope.

`grow` fills an empty store; each of `PROBES` reads it from every scope and raises AssertionError
where it shows a thing of another scope, or does not show one of its own. Tests also run them on
stores whose scope conditions were taken out, one at a time, to see that each is needed.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..graph import (
    JSON,
    SEARCHABLE,
    Add,
    AddCredit,
    AddLink,
    Changeset,
    Close,
    Filter,
    Hop,
    Link,
    LinkType,
    Op,
    Outcome,
    Patch,
    Provenance,
    Record,
    Store,
    StoredEffect,
    StoredReceipt,
    Tier,
    Walk,
    visible_scopes,
)
from ..graph.sqlite import open_sqlite

SCOPES = ("org", "org/team", "org/team/private", "org/team2", "elsewhere")
"""Ancestors, a descendant, one whose name begins like another's, and a stranger."""
RUN = "run"
"""The run of every open trial: a run is no key to another scope."""
NAMES = ("trial", "trial2", "insight", "insight2", "step", "open", "open-step")
SEEN = NAMES[:5]
"""What any run sees."""
ALL = frozenset(Tier)
ANY = Filter(statuses=frozenset())
LATE = "late"
EMBEDDER = "test"

Probe: TypeAlias = Callable[[Store], Awaitable[None]]


def name(scope: str, what: str) -> str:
    """The id of a thing of a scope."""
    return f"{scope}:{what}"


def within(scope: str, names: Iterable[str] = SEEN) -> set[str]:
    """Ids of what a reader of a scope may see."""
    return {name(one, what) for one in visible_scopes(scope) for what in names}


EVERYTHING = [name(scope, what) for scope in SCOPES for what in (*NAMES, LATE)]


def direction(scope: str) -> NDArray[np.float32]:
    """Where the vectors of a scope point, shape (2,)."""
    angle = 0.3 * SCOPES.index(scope)
    return np.asarray([np.cos(angle), np.sin(angle)], np.float32)


async def grow(store: Store) -> None:
    """Fill an empty store: the same things in each scope, linked across where that is allowed."""
    source = await open_sqlite("sqlite://")
    try:
        for scope in SCOPES:
            await _grow_scope(source, scope)
        for scope in SCOPES:
            late = _record(scope, LATE, Tier.INSIGHT)
            await source.apply(_changes(scope, "late", Add(late)))
        rows = [row async for row in source.dump("")]
    finally:
        await source.close()
    # Taint that has come and gone; what is tainted now would not be recalled.
    tainted: list[dict[str, JSON]] = [
        {"row": "taint", "scope": scope, "id": name(scope, "insight"), "root": "root", "added": 1,
         "expired": 2}
        for scope in SCOPES
    ]  # fmt: skip
    at = next(n for n, row in enumerate(rows) if row["row"] == "journal")
    rows[at:at] = tainted

    async def each() -> AsyncIterator[Mapping[str, Any]]:
        for row in rows:
            yield row

    await store.restore(each())


def _record(scope: str, what: str, tier: Tier, *, trial: str = "", run: str = "past") -> Record:
    return Record(
        id=name(scope, what), tier=tier, kind="note", text=f"open the door of {scope}",
        scope=scope, task_key=f"only {scope}",
        provenance=Provenance("me", "solver", "agent", run, trial, 0),
    )  # fmt: skip


def _changes(scope: str, what: str, *ops: Op) -> Changeset:
    return Changeset(id=name(scope, what), scope=scope, ops=ops, actor="me", reason="test")


def _link(src: str, dst: str, type_: LinkType, weight: float = 1.0) -> AddLink:
    return AddLink(Link(src=src, dst=dst, type=type_, weight=weight))


async def _grow_scope(store: Store, scope: str) -> None:
    own = {what: name(scope, what) for what in NAMES}
    ops: list[Op] = [
        Add(_record(scope, "insight", Tier.INSIGHT)),
        Add(_record(scope, "insight2", Tier.INSIGHT)),
        Add(_record(scope, "trial", Tier.QUERY)),
        Add(_record(scope, "trial2", Tier.QUERY)),
        Add(_record(scope, "step", Tier.INTERACTION, trial=own["trial"])),
        Close(own["trial"], 1, Outcome.success()),
        Close(own["trial2"], 1, Outcome.failure()),
        Add(_record(scope, "open", Tier.QUERY, run=RUN)),
        Add(_record(scope, "open-step", Tier.INTERACTION, trial=own["open"], run=RUN)),
        _link(own["step"], own["trial"], LinkType.PART_OF),
        _link(own["open-step"], own["open"], LinkType.PART_OF),
    ]
    # What strangers link to weighs more, so that it comes first where few links are followed.
    weight = 1.0 + SCOPES.index(scope)
    for above in visible_scopes(scope):
        theirs = name(above, "insight")
        ops.append(_link(own["trial"], theirs, LinkType.SUPPORTS, weight))
        ops.append(_link(theirs, own["insight2"], LinkType.DERIVED_FROM, weight))
        ops.append(AddCredit(theirs, "solver", name(scope, "receipt"), uses=1))
    vectors = {own[what]: direction(scope) for what in NAMES if "step" not in what}
    await store.apply(_changes(scope, "first", *ops), vectors=vectors, embedder=EMBEDDER)
    await store.apply(_changes(scope, "patch", Patch(own["insight"], 1, {"summary": scope})))
    await store.put_receipt(
        StoredReceipt(
            id=name(scope, "receipt"), scope=scope, run=RUN, trial="trial", body={"id": "named"}
        )
    )
    effect = StoredEffect(key=name(scope, "effect"), scope=scope, request="what")
    await store.begin_effect(effect)


# --- probes ---------------------------------------------------------------------------------------


def _same(found: Iterable[str], expected: Iterable[str]) -> None:
    got, wanted = sorted(found), sorted(expected)
    assert got == wanted, (
        f"shown {sorted(set(got) - set(wanted))}, lacking {set(wanted) - set(got)}"
    )


async def _at(store: Store, past: bool) -> tuple[int | None, tuple[str, ...]]:
    """A position of the past or the present, and what there is then beside `SEEN`."""
    if not past:
        return None, (LATE,)
    return (await store.view(SCOPES[0])).position - len(SCOPES), ()


async def probe_get(store: Store, past: bool = False) -> None:
    """Records by id."""
    at, more = await _at(store, past)
    for scope in SCOPES:
        view = await store.view(scope, at=at)
        _same(await view.get(EVERYTHING), within(scope, (*SEEN, *more)))
        own = await store.view(scope, run=RUN, at=at)
        _same(await own.get(EVERYTHING), within(scope, (*NAMES, *more)))


async def probe_recent(store: Store, past: bool = False) -> None:
    """The last added, each once."""
    at, more = await _at(store, past)
    for scope in SCOPES:
        view = await store.view(scope, at=at)
        found = await view.recent(tiers=ALL, k=99)
        _same((record.id for record in found), within(scope, (*SEEN, *more)))


_BOTH = Hop(frozenset(LinkType), "both", where=ANY)
_WALKS: Mapping[str, tuple[Hop, ...]] = {
    "seeds": (),
    "one hop": (_BOTH,),
    "two hops": (
        Hop(frozenset({LinkType.SUPPORTS}), "out", where=ANY),
        Hop(frozenset({LinkType.SUPPORTS, LinkType.PART_OF}), "in", where=ANY),
    ),
    "back to the seeds": (
        Hop(frozenset({LinkType.SUPPORTS}), "in"),
        Hop(frozenset({LinkType.DERIVED_FROM}), "out", start=0),
    ),
}


def _check_walk(walk: Walk, visible: set[str]) -> None:
    shown = {id_ for level in walk.levels for id_ in level}
    _same(shown - visible, ())
    _same(walk.records.keys() - visible, ())
    _same({end for link in walk.links for end in (link.src, link.dst)} - visible, ())


async def probe_walk(store: Store, past: bool = False) -> None:
    """Records and links from any seed, hop by hop."""
    at, more = await _at(store, past)
    for scope in SCOPES:
        view = await store.view(scope, at=at)
        visible = within(scope, (*SEEN, *more))
        for hops in _WALKS.values():
            walk = await view.walk(EVERYTHING, hops)
            _same(walk.levels[0], visible)
            _check_walk(walk, visible)
            own = [name(scope, "trial"), name(scope.split("/")[0], "insight")]
            _check_walk(await view.walk(own, hops), visible)
        walk = await view.walk([name(scope, "trial")], _WALKS["two hops"])
        _same(walk.levels[1], within(scope, ["insight"]))
        above = visible_scopes(scope)
        backers = {name(one, "trial") for one in above}
        assert backers <= set(walk.levels[2])


async def probe_fan(store: Store, past: bool = False) -> None:
    """Links to strangers take none of the places of a hop."""
    at, _ = await _at(store, past)
    hub = name(SCOPES[0], "insight")
    supported, derived = frozenset({LinkType.SUPPORTS}), frozenset({LinkType.DERIVED_FROM})
    for scope in SCOPES[:-1]:
        view = await store.view(scope, at=at)
        for hop, what in (
            (Hop(supported, "in", fan=1), "trial"),
            (Hop(supported, "in", SEARCHABLE, fan=1), "trial"),
            (Hop(derived, "out", fan=1), "insight2"),
            (Hop(supported, "both", fan=1), "trial"),
            (Hop(derived, "both", fan=1), "insight2"),
        ):
            walk = await view.walk([hub], [hop])
            _same(walk.levels[1], [name(scope, what)])
        # Once more from what a hop has reached.
        own = name(scope, "trial")
        walk = await view.walk([own], [Hop(supported, "out"), Hop(supported, "in", fan=1)])
        _same(walk.levels[2], [own])


async def _search(store: Store, texts: list[str], scope: str, near: str, **more: Any) -> None:
    """One search, with the statistics of its terms."""
    run, at, beside = more.pop("run", ""), more.pop("at", None), more.pop("beside", ())
    expected = more.pop("expected", None)
    view = await store.view(scope, run=run, at=at)
    vectors = np.asarray([direction(near)]) if near else None
    found = await view.search(texts, vectors, **more)
    names = ["trial", "trial2", "insight", "insight2", *beside, *(["open"] if run else [])]
    visible = within(scope, names)
    _same({hit.record.id for hit in found.hits} - visible, ())
    if expected is None:
        _same((hit.record.id for hit in found.hits), visible)
    else:
        assert len(found.hits) >= expected
    counted = found.statistics
    assert counted.documents == len(visible), f"{counted.documents} documents, not {len(visible)}"
    for term, count in counted.frequency.items():
        assert count == (len(visible) if term == "door" else 0), f"{term} counted {count} times"


async def probe_search(store: Store, past: bool = False) -> None:
    """Searches by words and by meaning, through the indexes and past them."""
    at, more = await _at(store, past)
    for scope in SCOPES:
        given: dict[str, Any] = {"at": at, "beside": more}
        await _search(store, ["door"], scope, "", k=99, **given)
        await _search(store, ["door"], scope, scope, k=99, **given)
        await _search(store, ["door"], scope, "", k=99, run=RUN, **given)
        await _search(store, ["door"], scope, scope, k=99, run=RUN, **given)
        for near in SCOPES:
            # Few are asked for and strangers are nearer: the indexes alone do not do.
            await _search(store, [], scope, near, k=1, expected=2, **given)
            only = Filter(task_key=f"only {near}")
            for texts in (["door"], []):
                await _search(store, texts, scope, near, k=1, where=only, expected=0, **given)
                await _search(store, texts, scope, near, k=99, where=only, expected=0, **given)
            await _search(store, ["door"], scope, "", k=1, where=only, expected=0, **given)


async def probe_receipts(store: Store) -> None:
    """Receipts, all or by id, run and trial."""
    ids = [name(scope, "receipt") for scope in SCOPES]
    for scope in SCOPES:
        asked: tuple[dict[str, Any], ...] = (
            {}, {"ids": ids}, {"run": RUN}, {"trial": "trial"}, {"ids": ids, "run": RUN},
            {"record": "named"}, {"newest": True},
        )  # fmt: skip
        for how in asked:
            found = await store.receipts(scope, **how)
            _same((one.id for one in found), within(scope, ["receipt"]))


async def probe_sources(store: Store, past: bool = False) -> None:
    """The counts of a source."""
    at, _ = await _at(store, past)
    for scope in SCOPES:
        view = await store.view(scope, at=at)
        found = (await view.sources(["me", "nobody"]))["me"]
        n = len(visible_scopes(scope))
        # Open trials are counted at the present, whosever they are.
        assert found.records == n * (len(SEEN) if past else len(NAMES) + 1)
        assert (found.successes, found.failures) == (n, n)


async def probe_journal(store: Store) -> None:
    """Changesets."""
    for scope in SCOPES:
        entries = await store.journal(scope)
        _same((one.changeset.id for one in entries), within(scope, ["first", "patch", "late"]))


async def probe_statistics(store: Store) -> None:
    """Counts."""
    for scope in SCOPES:
        above = visible_scopes(scope)
        found = await store.statistics(scope)
        n = len(above)
        pairs = n * (n + 1) // 2
        assert found.records == {
            "insight/note": 3 * n, "interaction/note": 2 * n, "query/note": 3 * n,
        }  # fmt: skip
        assert found.statuses == {"active": 8 * n}
        assert found.outcomes == {"failure": n, "open": n, "success": n}
        assert found.links == {"DERIVED_FROM": pairs, "PART_OF": 2 * n, "SUPPORTS": pairs}
        assert found.receipts == n
        _same(found.scopes, above)


async def probe_dump(store: Store) -> None:
    """Exports: of every kind of row those of the scope, and as many as the header says."""
    for scope in SCOPES:
        rows: list[dict[str, Any]] = [row async for row in store.dump(scope)]
        header, *rest = rows
        above = visible_scopes(scope)
        records = within(scope, (*NAMES, LATE))
        for row in rest:
            assert row["scope"] in above, row
            for end in ("src", "dst"):
                assert row.get(end, next(iter(records))) in records, row
        counts = Counter(row["row"] for row in rest)
        assert {kind: count for kind, count in header["rows"].items() if count} == counts
        n = len(above)
        assert counts["record"] == len(records)
        assert (counts["journal"], counts["version"], counts["taint"]) == (3 * n, 3 * n, n)
        assert (counts["vector"], counts["receipt"]) == (5 * n, n)
        assert counts["effect"] >= n
        # Of an ancestor's record all credit is shown, also what inner scopes gave.
        assert counts["credit"] >= n
        assert counts["link"] == 2 * n + n * (n + 1)


async def probe_effects(store: Store) -> None:
    """Side effects: one key in two scopes is two effects."""
    key = uuid.uuid4().hex
    one, other = (StoredEffect(key=key, scope=scope, request="what") for scope in SCOPES[-2:])
    assert await store.begin_effect(one) is None
    assert await store.begin_effect(other) is None
    await store.finish_effect(StoredEffect(**{**_fields(other), "done": True, "result": "mine"}))
    left = await store.begin_effect(one)
    assert left is not None
    assert not left.done
    assert left.result is None
    mine = await store.begin_effect(other)
    assert mine is not None
    assert mine.result == "mine"


def _fields(effect: StoredEffect) -> dict[str, Any]:
    return {"key": effect.key, "scope": effect.scope, "request": effect.request}


PROBES: Mapping[str, Probe] = {
    "receipts": probe_receipts,
    "journal": probe_journal,
    "statistics": probe_statistics,
    "dump": probe_dump,
    "effects": probe_effects,
    **{
        f"{what}, {when}": partial(probe, past=past)
        for what, probe in (
            ("get", probe_get),
            ("recent", probe_recent),
            ("walk", probe_walk),
            ("fan", probe_fan),
            ("search", probe_search),
            ("sources", probe_sources),
        )
        for when, past in (("now", False), ("past", True))
    },
}
"""Every way to read, by name."""
