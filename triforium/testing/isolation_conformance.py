"""Nothing that is written or asked for breaks out of a query or of a scope, on any store.

::

    class TestIsolation(IsolationConformance):
        async def open(self):
            return await open_my_store(fresh_place())

Needs pytest and pytest-asyncio.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio

from ..errors import InvalidInput, InvalidScope, NotFound
from ..graph import (
    Add,
    AddCredit,
    AddLink,
    Changeset,
    Filter,
    Hop,
    Link,
    LinkType,
    Patch,
    Provenance,
    Record,
    Store,
    StoredEffect,
    StoredReceipt,
    Tier,
)
from ..graph.audit import audit
from .isolation import ALL, ANY, EVERYTHING, PROBES, SCOPES, grow, within
from .store_conformance import rows_of, unit

TEAM, STRANGER = SCOPES[1], SCOPES[-1]

SQL = (
    "'", '"', "' OR '1'='1", "'; DROP TABLE records; --", '") OR 1=1 --', "?", "?1", ":scope",
    "x' UNION SELECT id, text FROM records --", "@scope", "%", "_", "a\0b", "\0", "/*", "*/", "--",
    ";", "PRAGMA writable_schema = 1", "ATTACH DATABASE 'x.db' AS y", "load_extension('x')",
    "json_each('[1]')", '"]', '["elsewhere"]', "$.kind", "')) --", "0x41", "x' AND scope = 5 --",
    "')) UNION SELECT path FROM scopes --", "r.scope", "1; DELETE FROM journal",
)  # fmt: skip
FTS5 = (
    "door*", "^door", "NEAR(door elsewhere, 10)", "door AND elsewhere", "door NOT org",
    "scope : s5",
    "scope:s5 OR body:door", "{scope body} : s5", "- scope : s1", "(", ")", "door + elsewhere",
    '" OR scope : "s5', "fulltext", "rank", "s5", "insight AND body : door", "NEAR", "NOT", "(door",
)  # fmt: skip
LUCENE = (
    "*", "*:*", "scope:elsewhere", 'scope:"elsewhere"', "+scope:elsewhere", "-scope:org", "door~2",
    "body:door^100", "[a TO z]", "{* TO *}", "/.*/", "scope:/.*/", '\\"', "\\", "&& || !", "AND",
    '") OR scope:("elsewhere', '") +scope:("elsewhere")^0 +body:("door', "_exists_:text", "OR NOT",
    "tier:insight", "status:quarantined", "(door OR", "door\\u0022", "TO", "?oor", 'elsewhere"~9',
)  # fmt: skip
CYPHER = (
    "' OR true OR '", '"}) MATCH (n) DETACH DELETE n //', "`", "``", "`:Head {name: 'x'})", "//",
    "') DETACH DELETE r WITH 1 AS x MATCH (r {id: '", "Record`) SET n.scope = 'elsewhere' //",
    "$scopes", "$everything", "{scope: 'elsewhere'}", "UNION MATCH (n) RETURN n", "Head", "head",
    "CALL { MATCH (n) DETACH DELETE n } IN TRANSACTIONS", "CALL db.labels()", "null", "true", "[]",
    "LOAD CSV FROM 'file:///etc/passwd' AS x RETURN x", "record", "Changeset", "Query|Insight",
    ":Head", "A:B", "A&!B", "%", "IS NULL", "\\u0027", "\\'", "}) RETURN 1 AS records //", "$(x)",
    "apoc.cypher.runMany('MATCH (n) DETACH DELETE n', {})", "SUPPORTS]->() DELETE l //",
)  # fmt: skip
SCOPE_LIKE = (
    "../../elsewhere", "org/team/../team2", "elsewhere\n", " elsewhere", "org/*", "org/%",
    "org//team",
    "org/_____", "/org", "org/", "．．／elsewhere", "ｅlsewhere", "elsewhere\u200b", "elsewhere\0",
    "org/team\\", "org|elsewhere", "org,elsewhere", "org elsewhere", ".", "..", "ELSEWHERE", "Org",
)  # fmt: skip
OTHER = (
    "{0.__class__}", "%s", "%(scope)s", "{scope}", "${jndi:ldap://x}", "{{7*7}}", "\x1b[2J",
    "\u202e",
    "\r\nX: y", "\ufeff", "\U0001f600", '{"scope": "elsewhere"}', "x" * 3000, "İ ᾳ ß", "u656c",
)  # fmt: skip
HOSTILE: tuple[str, ...] = tuple(
    dict.fromkeys((*SQL, *FTS5, *LUCENE, *CYPHER, *SCOPE_LIKE, *OTHER, *EVERYTHING[-8:]))
)
"""More than a hundred texts that are commands to somebody."""
assert len(HOSTILE) > 100


def _outside(found: Any) -> set[str]:
    """What of some ids the team must not see."""
    return set(found) - within(TEAM, ("trial", "trial2", "insight", "insight2", "step", "late"))


def _id(number: int, text: str) -> str:
    """The text itself where an id may be that."""
    return (
        text if text.isprintable() and len(text) < 500 and text not in EVERYTHING else f"{number}"
    )


def _hostile_record(number: int, text: str) -> Record:
    return Record(
        id=_id(number, text), tier=Tier.INSIGHT, kind=text, text=text, scope=TEAM, task_key=text,
        provenance=Provenance(text, text, text, text, text, number), keys=(text,), cluster=text,
        summary=text, data={text: [text]},
    )  # fmt: skip


@pytest.mark.asyncio
class IsolationConformance:
    """Subclass and define `open`; every test opens a store of its own."""

    async def open(self) -> Store:
        """A new, empty store.

        Raises:
            NotImplementedError: Always; subclasses say how.
        """
        raise NotImplementedError

    @pytest_asyncio.fixture
    async def empty(self) -> AsyncIterator[Store]:
        """An empty store, closed afterwards."""
        opened = await self.open()
        yield opened
        await opened.close()

    @pytest_asyncio.fixture
    async def grown(self, empty: Store) -> Store:
        """The memory of five scopes."""
        await grow(empty)
        return empty

    async def test_reads_stay_in_their_scope(self, grown: Store) -> None:
        """Every way to read shows what the scope sees, all of it and nothing else."""
        for probe in PROBES.values():
            await probe(grown)

    async def test_hostile_questions(self, grown: Store) -> None:
        """Asked with anything, a store changes nothing and shows nothing of another scope."""
        before = await rows_of(grown, "")
        view = await grown.view(TEAM)
        for text in HOSTILE:
            for where in _filters(text):
                hits = (await view.search([f"{text} elsewhere", text], where=where)).hits
                assert not _outside(hit.record.id for hit in hits), text
                assert not _outside(
                    one.id for one in await view.recent(tiers=ALL, k=99, where=where)
                )
            # With a NUL it is another id, also to a database that is written in C.
            assert not await view.get([f"org:insight\0{text}"])
            own = await grown.view(TEAM, run=text)
            found = await own.get([text, *EVERYTHING])
            assert not _outside(found), text
            hop = Hop(frozenset(LinkType), "both", where=Filter(kinds=frozenset({text})))
            walk = await view.walk(
                [text, "org:insight"], [hop, Hop(frozenset(LinkType), where=ANY)]
            )
            assert not _outside(walk.records), text
            for how in ({"ids": [text]}, {"run": text}, {"trial": text}):
                assert not await grown.receipts(TEAM, **how), text
        assert await rows_of(grown, "") == before

    async def test_hostile_records(self, empty: Store) -> None:
        """Anything is kept verbatim in every field, and touches nothing else."""
        secret = Record(id="secret", tier=Tier.INSIGHT, kind="rule", text="door", scope=STRANGER)
        await empty.apply(Changeset(id="secret", scope=STRANGER, ops=(Add(secret),)))
        _, *before = await rows_of(empty, STRANGER)
        records = {}
        for number, text in enumerate(HOSTILE):
            record = _hostile_record(number, text)
            records[record.id] = record
        assert len(records) == len(HOSTILE)
        ops = tuple(Add(record) for record in records.values())
        await empty.apply(
            Changeset(id="'; --", scope=TEAM, ops=ops, actor="`", reason="$scopes"),
            vectors={id_: unit(1.0, n + 1.0) for n, id_ in enumerate(records)}, embedder="`'",
        )  # fmt: skip
        links = [
            AddLink(Link(src=one, dst=other, type=LinkType.SUPPORTS, via=records[one].text))
            for one, other in pairwise(records)
        ]
        credits = [AddCredit(id_, one.text, one.text, uses=1) for id_, one in records.items()]
        await empty.apply(Changeset(id="`", scope=TEAM, ops=(*links, *credits)))
        patches = [Patch(id_, 1, {"keys": (one.text,) * 2}) for id_, one in records.items()]
        await empty.apply(Changeset(id="p", scope=TEAM, ops=tuple(patches)))
        view = await empty.view(TEAM)
        kept = await view.get([*records, "secret"])
        assert kept.keys() == records.keys()
        stamps: dict[str, Any] = {"added": 0, "revision": 0, "created_at": None, "support": 0}
        for id_, record in kept.items():
            text = records[id_].text
            given = replace(records[id_], keys=(text, text), **stamps)
            assert replace(record, credit={}, **stamps) == given, text
            assert record.credit[text].uses == 1
            walk = await view.walk([id_], [Hop(frozenset({LinkType.SUPPORTS}), "out")])
            assert [one.via for one in walk.links] == [text] * len(walk.links)
            found = (await view.search([text], where=Filter(kinds=frozenset({text})))).hits
            assert {hit.record.id for hit in found} <= {id_}
        _, *after = await rows_of(empty, STRANGER)
        assert after == before
        assert (await (await empty.view(STRANGER)).get(["secret"]))["secret"].support == 0
        assert await audit(empty) == ()

    async def test_hostile_receipts_and_effects(self, grown: Store) -> None:
        """Receipts and effects keep anything, each for its own scope."""
        before = await rows_of(grown, STRANGER)
        for number, text in enumerate(HOSTILE):
            receipt = StoredReceipt(
                id=f"r{_id(number, text)}", scope=TEAM, run=text, trial=text, role=text,
                body={text: text},
            )  # fmt: skip
            assert (await grown.put_receipt(receipt)).body == {text: text}
            for how in ({"ids": [receipt.id]}, {"run": text}, {"trial": text}):
                found = await grown.receipts(TEAM, **how)
                assert [one.id for one in found] == [receipt.id], text
            effect = StoredEffect(key=f"e{text}", scope=TEAM, request=text)
            assert await grown.begin_effect(effect) is None, text
            await grown.finish_effect(replace(effect, done=True, result=text))
            left = await grown.begin_effect(effect)
            assert left == replace(effect, done=True, result=text), text
        assert await rows_of(grown, STRANGER) == before

    async def test_hostile_scopes(self, grown: Store) -> None:
        """A scope is a path of plain names; nothing else is one, and no name is a pattern."""
        before = await rows_of(grown, "")
        for text in HOSTILE:
            if text in SCOPES:
                continue
            try:
                view = await grown.view(text)
            except InvalidScope:
                await _refuses(grown, text)
                continue
            assert not await view.get(EVERYTHING), text
            assert not (await view.search(["door"])).hits, text
            assert (await view.search(["door"])).statistics.documents == 0
            assert not await grown.journal(text)
            assert not (await grown.statistics(text)).scopes, text
        assert await rows_of(grown, "") == before

    @pytest.mark.parametrize("scope", ["OR", "AND/NOT", "NEAR", "s1", "insight", "TO", "rank", "0"])
    async def test_scopes_named_like_operators(self, grown: Store, scope: str) -> None:
        """A scope may be called like a word of a query language."""
        record = Record(id="i", tier=Tier.INSIGHT, kind="rule", text="the door", scope=scope)
        await grown.apply(Changeset(id="c", scope=scope, ops=(Add(record),)))
        found = await (await grown.view(scope)).search(["door OR open"])
        assert [hit.record.id for hit in found.hits] == ["i"]
        assert found.statistics.documents == 1
        assert not _outside(
            hit.record.id for hit in (await (await grown.view(TEAM)).search(["the door"])).hits
        )


def _filters(text: str) -> Iterator[Filter]:
    one = frozenset({text})
    yield Filter(kinds=one)
    yield Filter(roles=one, task_key=text, outcomes=one)
    yield Filter()


async def _refuses(store: Store, scope: str) -> None:
    record = Record(id="x", tier=Tier.INSIGHT, kind="rule", text="x", scope=scope)
    calls: Mapping[str, Any] = {
        "apply": lambda: store.apply(Changeset(id="x", scope=scope, ops=(Add(record),))),
        "add": lambda: store.apply(Changeset(id="x", scope=TEAM, ops=(Add(record),))),
        "receipts": lambda: store.receipts(scope),
        "put_receipt": lambda: store.put_receipt(StoredReceipt(id="x", scope=scope)),
        "begin_effect": lambda: store.begin_effect(StoredEffect(key="x", scope=scope, request="")),
        "finish_effect": lambda: store.finish_effect(
            StoredEffect(key="x", scope=scope, request="")
        ),
        "journal": lambda: store.journal(scope),
        "statistics": lambda: store.statistics(scope),
        "dump": lambda: rows_of(store, scope),
    }
    for name, call in calls.items():
        try:
            await call()
        except (InvalidInput, NotFound):
            continue
        raise AssertionError(f"{name} takes the scope {scope!r}")
