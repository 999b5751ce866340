"""A random history on a store and on plain dictionaries: both always agree. Needs hypothesis.

::

    class MyMachine(StoreMachine):
        async def open(self):
            return await open_my_store(fresh_place())

    TestMyMachine = MyMachine.TestCase
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from ..errors import Conflict, InvalidInput, NotFound, TriforiumError
from ..graph import (
    Add,
    AddCredit,
    AddLink,
    Changeset,
    Close,
    Expire,
    Filter,
    Hop,
    Link,
    LinkType,
    Op,
    Outcome,
    Patch,
    Provenance,
    Record,
    Revive,
    SetStatus,
    Status,
    Store,
    Supersede,
    Tier,
    Unlink,
    terms,
    visible_scopes,
)

SCOPES = ("org", "org/a", "org/b")
RUNS = ("", "one", "two")
WORDS = ("red", "green", "blue")
ANY = Filter(statuses=frozenset())
KEYS = st.lists(st.sampled_from(WORDS), max_size=2).map(tuple)


@dataclass
class Row:
    """A record of the model, as it is at one position."""

    record: Record
    visible_from: int | None
    status: Status = Status.ACTIVE
    revision: int = 1
    outcome: Outcome | None = None
    credit: dict[str, float] = field(default_factory=dict)
    alive: bool = True


@dataclass
class State:
    """The whole store at one position."""

    rows: dict[str, Row] = field(default_factory=dict)
    links: dict[tuple[str, str, LinkType, str], float] = field(default_factory=dict)
    receipts: set[tuple[str, str, str]] = field(default_factory=set)

    def copy(self) -> State:
        rows = {id_: replace(row, credit=dict(row.credit)) for id_, row in self.rows.items()}
        return State(rows, dict(self.links), set(self.receipts))

    def apply(self, changeset: Changeset, position: int) -> None:
        for op in changeset.ops:
            self.apply_op(op, changeset.scope, position)

    def seen(self, id_: str, scope: str) -> Row:
        row = self.rows.get(id_)
        if row is None or not row.alive or row.record.scope not in visible_scopes(scope):
            raise NotFound(id_)
        return row

    def own(self, id_: str, scope: str, revision: int) -> Row:
        row = self.seen(id_, scope)
        if row.record.scope != scope:
            raise InvalidInput(id_)
        if row.revision != revision:
            raise Conflict(id_)
        return row

    def apply_op(self, op: Op, scope: str, position: int) -> None:
        match op:
            case Add(record):
                if record.id not in self.rows:
                    trial = self.rows.get(record.provenance.trial)
                    hidden = record.tier is Tier.QUERY or (
                        trial is not None
                        and trial.record.tier is Tier.QUERY
                        and trial.record.scope == scope
                        and trial.outcome is None
                    )
                    self.rows[record.id] = Row(record, None if hidden else position)
            case AddLink(link):
                self.seen(link.src, scope), self.seen(link.dst, scope)
                self.links[link.key] = link.weight
            case Unlink(src, dst, type_, via):
                ends = [self.seen(src, scope), self.seen(dst, scope)]
                if all(end.record.scope != scope for end in ends):
                    raise InvalidInput(src)
                self.links.pop((src, dst, type_, via), None)
            case Patch(id_, revision, fields):
                row = self.own(id_, scope, revision)
                row.record = replace(row.record, **fields)
                row.revision += 1
            case Close(id_, revision, outcome):
                row = self.own(id_, scope, revision)
                if row.outcome is not None and row.outcome.value is not None:
                    raise Conflict(id_)
                row.outcome = outcome
                row.revision += 1
                for other in self.rows.values():
                    step = other.record.provenance.trial == id_ and other.record.scope == scope
                    if (other is row or step) and other.visible_from is None:
                        other.visible_from = position
            case Supersede(old, revision, new):
                if old == new:
                    raise InvalidInput(old)
                if self.seen(old, scope).record.scope != scope:
                    raise InvalidInput(old)
                if self.seen(new, scope).record.scope != scope:
                    raise InvalidInput(new)
                row = self.own(old, scope, revision)
                row.status = Status.SUPERSEDED
                row.revision += 1
                self.links[(new, old, LinkType.SUPERSEDES, "")] = 1.0
            case AddCredit(id_, role, receipt, uses, _, _):
                row = self.seen(id_, scope)
                if (receipt, id_, role) not in self.receipts:
                    self.receipts.add((receipt, id_, role))
                    row.credit[role] = row.credit.get(role, 0.0) + uses
            case SetStatus(id_, revision, status, _):
                row = self.own(id_, scope, revision)
                row.status = status
                row.revision += 1
            case Expire(id_, revision):
                row = self.own(id_, scope, revision)
                if any(id_ in key[:2] for key in self.links):
                    raise Conflict(id_)
                row.alive = False
                row.revision += 1
            case Revive(id_):
                gone = self.rows.get(id_)
                if gone is None or gone.alive or gone.record.scope != scope:
                    raise NotFound(id_)
                gone.alive = True
                gone.revision += 1

    def visible(self, scope: str, run: str, position: int) -> dict[str, Row]:
        return {
            id_: row
            for id_, row in self.rows.items()
            if row.alive
            and row.record.scope in visible_scopes(scope)
            and (
                (row.visible_from is not None and row.visible_from <= position)
                or (run and row.record.provenance.run == run)
            )
        }


class StoreMachine(RuleBasedStateMachine):
    """Every rule does the same to both; the invariants compare what can be read."""

    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.store: Store = self.runner.run(self.open())
        self.states = [State()]
        self.count = 0
        self.latest: Changeset | None = None

    async def open(self) -> Store:
        """A new, empty store.

        Raises:
            NotImplementedError: Always; subclasses say how.
        """
        raise NotImplementedError

    @initialize(target=ids)
    def first(self) -> str:
        return self.put("org/a", Tier.QUERY, "one", "", ["red"], ())

    def teardown(self) -> None:
        self.runner.run(self.store.close())
        self.runner.close()

    def do(self, scope: str, *ops: Op) -> None:
        self.count += 1
        changeset = Changeset(id=f"c{self.count}", scope=scope, ops=ops)
        state = self.states[-1].copy()
        wanted: type[Exception] | None = None
        try:
            state.apply(changeset, len(self.states))
        except TriforiumError as error:
            wanted = type(error)
        if wanted is not None:
            with pytest.raises(wanted):
                self.runner.run(self.store.apply(changeset))
            return
        applied = self.runner.run(self.store.apply(changeset))
        assert (applied.position, applied.replayed) == (len(self.states), False)
        self.states.append(state)
        self.latest = changeset

    def revision(self, id_: str, stale: bool) -> int:
        row = self.states[-1].rows.get(id_)
        return (row.revision if row else 1) - stale

    @rule(
        target=ids,
        scope=st.sampled_from(SCOPES),
        tier=st.sampled_from(Tier),
        run=st.sampled_from(RUNS),
        trial=st.one_of(st.just(""), ids),
        words=st.lists(st.sampled_from(WORDS), max_size=3),
        keys=KEYS,
    )
    def add(
        self, scope: str, tier: Tier, run: str, trial: str, words: list[str], keys: tuple[str, ...]
    ) -> str:
        return self.put(scope, tier, run, trial, words, keys)

    def put(
        self, scope: str, tier: Tier, run: str, trial: str, words: list[str], keys: tuple[str, ...]
    ) -> str:
        id_ = f"r{self.count}"
        record = Record(
            id=id_,
            tier=tier,
            kind="k",
            text=" ".join(words),
            scope=scope,
            keys=keys,
            provenance=Provenance(run=run, trial="" if tier is Tier.QUERY else trial),
        )
        self.do(scope, Add(record))
        return id_

    @rule(
        scope=st.sampled_from(SCOPES),
        src=ids,
        dst=ids,
        type_=st.sampled_from([LinkType.NEXT, LinkType.SUPPORTS]),
        weight=st.sampled_from([0.5, 1.0]),
    )
    def link(self, scope: str, src: str, dst: str, type_: LinkType, weight: float) -> None:
        self.do(scope, AddLink(Link(src=src, dst=dst, type=type_, weight=weight)))

    @rule(scope=st.sampled_from(SCOPES), data=st.data())
    def unlink(self, scope: str, data: st.DataObject) -> None:
        links = sorted(self.states[-1].links)
        if links:
            src, dst, type_, via = data.draw(st.sampled_from(links))
            self.do(scope, Unlink(src, dst, type_, via))

    @rule(scope=st.sampled_from(SCOPES), id_=ids, keys=KEYS, stale=st.booleans())
    def patch(self, scope: str, id_: str, keys: tuple[str, ...], stale: bool) -> None:
        self.do(scope, Patch(id_, self.revision(id_, stale), {"keys": keys}))

    @rule(
        id_=ids,
        outcome=st.sampled_from([Outcome.success(), Outcome.failure("x"), Outcome.unknown()]),
        stale=st.booleans(),
    )
    def close(self, id_: str, outcome: Outcome, stale: bool) -> None:
        row = self.states[-1].rows.get(id_)
        if row is not None and row.record.tier is Tier.QUERY:
            self.do(row.record.scope, Close(id_, self.revision(id_, stale), outcome))

    @rule(scope=st.sampled_from(SCOPES), old=ids, new=ids)
    def supersede(self, scope: str, old: str, new: str) -> None:
        self.do(scope, Supersede(old, self.revision(old, False), new))

    @rule(
        scope=st.sampled_from(SCOPES),
        id_=ids,
        role=st.sampled_from("xy"),
        receipt=st.sampled_from("pq"),
        uses=st.sampled_from([1.0, 2.0]),
    )
    def credit(self, scope: str, id_: str, role: str, receipt: str, uses: float) -> None:
        self.do(scope, AddCredit(id_, role, receipt, uses=uses))

    @rule(scope=st.sampled_from(SCOPES), id_=ids, status=st.sampled_from(Status))
    def set_status(self, scope: str, id_: str, status: Status) -> None:
        self.do(scope, SetStatus(id_, self.revision(id_, False), status))

    @rule(scope=st.sampled_from(SCOPES), id_=ids, unlinked=st.booleans(), stale=st.booleans())
    def expire(self, scope: str, id_: str, unlinked: bool, stale: bool) -> None:
        ends = [key for key in sorted(self.states[-1].links) if id_ in key[:2]] if unlinked else []
        before = [Unlink(src, dst, type_, via) for src, dst, type_, via in ends]
        self.do(scope, *before, Expire(id_, self.revision(id_, stale)))

    @rule(scope=st.sampled_from(SCOPES), id_=ids)
    def revive(self, scope: str, id_: str) -> None:
        self.do(scope, Revive(id_))

    @rule(scope=st.sampled_from(SCOPES), one=ids, two=ids, keys=KEYS)
    def half_fails(self, scope: str, one: str, two: str, keys: tuple[str, ...]) -> None:
        good = Patch(one, self.revision(one, False), {"keys": keys})
        self.do(scope, good, AddCredit(two, "x", "p", uses=1), Unlink("gone", two, LinkType.NEXT))

    @rule()
    def again(self) -> None:
        if self.latest is not None:
            assert self.runner.run(self.store.apply(self.latest)).replayed

    @rule(data=st.data(), scope=st.sampled_from(SCOPES), run=st.sampled_from(RUNS))
    def read_the_past(self, data: st.DataObject, scope: str, run: str) -> None:
        position = data.draw(st.integers(0, len(self.states) - 1))
        self.runner.run(self.compare(scope, run, position))

    @invariant()
    def read_the_present(self) -> None:
        scope = SCOPES[self.count % len(SCOPES)]
        self.runner.run(self.compare(scope, RUNS[self.count % len(RUNS)], None))

    async def compare(self, scope: str, run: str, at: int | None) -> None:
        position = len(self.states) - 1 if at is None else at
        state = self.states[position]
        rows = state.visible(scope, run, position)
        view = await self.store.view(scope, run=run, at=at)
        assert view.position == position
        records = await view.get([f"r{n}" for n in range(self.count + 1)])
        assert {id_: _shown(record) for id_, record in records.items()} == {
            id_: _expected(row, state) for id_, row in rows.items()
        }
        recent = await view.recent(tiers=frozenset(Tier), k=99)
        active = {id_ for id_, row in rows.items() if row.status is Status.ACTIVE}
        assert {record.id for record in recent} == active
        assert [r.added for r in recent] == sorted((r.added for r in recent), reverse=True)
        walk = await view.walk(sorted(rows), [Hop(frozenset(LinkType), "out", where=ANY)])
        assert {one.key: one.weight for one in walk.links} == {
            key: weight for key, weight in state.links.items() if key[0] in rows and key[1] in rows
        }
        searchable = {id_: row for id_, row in rows.items() if row.record.tier != Tier.INTERACTION}
        words = {id_: _terms(row) for id_, row in searchable.items()}
        found = await view.search(["red blue"], k=99)
        assert {hit.record.id for hit in found.hits} == {
            id_ for id_ in active & words.keys() if {"red", "blue"} & set(words[id_])
        }
        assert found.statistics.documents == len(words)
        assert found.statistics.terms == sum(map(len, words.values()))
        for word in ("red", "blue"):
            assert found.statistics.frequency[word] == sum(word in own for own in words.values())


def _terms(row: Row) -> list[str]:
    return [term for text in (row.record.text, *row.record.keys) for term in terms(text)]


def _shown(record: Record) -> tuple[Any, ...]:
    uses = {role: credit.uses for role, credit in record.credit.items()}
    return (
        record.text, record.keys, record.status, record.revision, record.outcome, uses,
        record.support,
    )  # fmt: skip


def _expected(row: Row, state: State) -> tuple[Any, ...]:
    support = sum(key[1] == row.record.id and key[2] is LinkType.SUPPORTS for key in state.links)
    return (
        row.record.text,
        row.record.keys,
        row.status,
        row.revision,
        row.outcome,
        row.credit,
        support,
    )
