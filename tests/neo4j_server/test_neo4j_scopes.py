"""Every scope condition in the Cypher of the Neo4j store is needed; needs the servers."""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from triforium.graph import (
    Add,
    AddLink,
    Changeset,
    Filter,
    Hop,
    Link,
    LinkType,
    Record,
    SetStatus,
    Status,
    Tier,
)
from triforium.graph.neo4j import Neo4jStore, cypher, open_neo4j
from triforium.graph.neo4j.server import Server
from triforium.testing.isolation import grow
from triforium.testing.mutations import (
    Mutant,
    Rule,
    Tap,
    fragments,
    mutants,
    survives,
    texts_of_probes,
    values_of,
)

from . import servers

pytestmark = pytest.mark.timeout(900)
FOLDER = Path(cypher.__file__).parent
RULES: tuple[Rule, ...] = (
    (re.compile(r"\b\w+\.scope (?:IN \$scopes|= scope\b)"), lambda m: "true"),
    (re.compile(r"\{scope: \$?scope, "), lambda m: "{"),
    (re.compile(r", scope: \$?scope\}"), lambda m: "}"),
)
CONDITION = re.compile(r"\.scope (?:IN|=)|\{scope: |, scope: ")
SHIELD = re.compile(r" \+scope:\([^)]*\)\^0")
CLAUSE = re.compile(r"\b(?:MATCH|MERGE|YIELD)\b")
FILTER = re.compile(r" AND [^$]*\$[fh]\d*\.| AND \(?size\(coalesce| AND true")
SCOPED = "Record|Query|Insight|Interaction|Receipt|Changeset|Effect|Term|Totals|Source"
KNOWN = {
    "MATCH (c:Changeset) WHERE c.created_at <= $moment": "a time is a position of the store's",
    "MATCH (b:Changeset {position: $since})": "whether it is the same journal still",
    "MATCH (c:Changeset) WHERE $since < c.position": "its ids are looked up in the scopes only",
    "MATCH (r:Record {id: id}) }": "whether all of them can be seen yet",
    "RETURN collect([[r.id, r.tier": "reads what a query with the condition has just found",
    "MERGE (t:Receipt {id: $id})": "ids are of the whole store; one of another scope is refused",
    "-(p:Record) WHERE": "what a record came from counts if who sees the one sees the other",
    "->(p:Record) WHERE": "what a record came from counts if who sees the one sees the other",
}
"""Clauses without a scope condition that the probes execute, with the reason."""
_TAINTED = "taint follows from links, down to the inner scopes of what is in quarantine"
WRITES = {
    "LOCK_AND_LOAD": "what a changeset may touch is decided by `application.plan` for all stores",
    "WRITE": "writes what was decided",
    "BASE": "where a replica begins, without what it holds",
    "CREDIT_OF": "of the rows that a copy brings",
    "TAKE_ROWS": "writes a copy",
    "COUNT_NODES": "whether a database is empty, before it is a store",
    "EMPTY_SOME": "empties an unfinished copy",
    "ROOTS": _TAINTED,
    "RELEASE": _TAINTED,
    "PLACE": _TAINTED,
    "CHILDREN": _TAINTED,
    "IN_SCOPE": _TAINTED,
    "TAINTED": _TAINTED,
    "TAINT": _TAINTED,
    "TOUCH": _TAINTED,
    "PUT_RECEIPT": "ids are of the whole store; one of another scope is refused",
}
"""Texts that are no reading of a View, with the reason."""
REPLICA = (cypher.KEPT, cypher.LINKS, cypher.FOLLOW, cypher.SUPPORTS_LEFT)
"""What fills a replica; the probes of a store that keeps nothing do not execute it."""


@pytest.fixture
def tap(monkeypatch: pytest.MonkeyPatch) -> Tap:
    tap = Tap()
    query, stream = Server._query, Server.stream

    def changed(parameters: Mapping[str, Any]) -> Any:
        if tap.shields:
            return parameters
        return values_of(parameters, lambda value: SHIELD.sub("", value))

    async def tapped(self: Server, text: str, parameters: Any, *, writing: bool) -> Any:
        return await query(self, tap.through(text), changed(parameters), writing=writing)

    def tapped_stream(self: Server, text: str, **parameters: Any) -> AsyncIterator[Any]:
        return stream(self, tap.through(text), **parameters)

    monkeypatch.setattr(Server, "_query", tapped)
    monkeypatch.setattr(Server, "stream", tapped_stream)
    return tap


@pytest_asyncio.fixture
async def grown(tap: Tap) -> AsyncIterator[Neo4jStore]:
    async with servers.empty_place() as place:
        # Each mutant is a text that the server has to plan anew.
        store = await open_neo4j(place.url, credentials=place.credentials, patience=120.0, kept=0)
        try:
            await grow(store)
            yield store
        finally:
            await store.close()


def joins(src: str, dst: str, type_: str) -> AddLink:
    return AddLink(Link(src=src, dst=dst, type=LinkType(type_)))


def _without_condition(text: str) -> list[str]:
    """The clauses that find what has a scope and do not ask for it."""
    starts = [match.start() for match in CLAUSE.finditer(text)]
    found = []
    for start, end in pairwise([*starts, len(text)]):
        clause = text[start:end]
        names = set(re.findall(rf"\((\w+):(?:{SCOPED})\b", clause))
        names |= set(re.findall(r"YIELD node AS (\w+)", clause))
        for name in names:
            own = (
                rf"\b{name}\.scope (?:IN \$scopes|= scope\b)|\({name}:\w+ \{{[^}}]*scope: \$?scope"
            )
            if not re.search(own, clause):
                found.append(clause)
    return [clause for clause in found if not any(part in clause for part in KNOWN)]


def _different(texts: Iterable[str]) -> list[list[Mutant]]:
    """For each condition the texts without it, the shortest first.

    A clause that one function makes for every hop, tier, filter and type of link is the same
    clause, and whoever takes a condition out of it takes it out of all of these texts.
    """
    found: dict[str, list[Mutant]] = {}
    for text in sorted(texts, key=len):
        for mutant in mutants(text, RULES):
            # Where the mutant begins to differ, and the clause that this is in.
            pairs = enumerate(zip(text, mutant.mutated, strict=False))
            at = next(place for place, (one, other) in pairs if one != other)
            start = max(match.start() for match in CLAUSE.finditer(text) if match.start() <= at)
            clause = mutant.mutated[start : mutant.mutated.find("RETURN", at)]
            alike = FILTER.split(clause)[0]
            alike = re.sub(r"\d+|\[l:[A-Z_|]+\]|:(?:Query|Insight|Interaction)\b", "", alike)
            found.setdefault(f"{text[:24]} {alike}", []).append(mutant)
    return list(found.values())


async def _unnoticed(
    store: Neo4jStore, tap: Tap, conditions: Iterable[list[Mutant]], executed: Mapping[str, Any]
) -> list[list[Mutant]]:
    """The conditions that can be taken out of every text without any probe noticing."""
    left = []
    for one in conditions:
        for mutant in one:
            if not await survives(store, tap, mutant, executed[mutant.text]):
                break
        else:
            left.append(one)
    return left


async def test_every_condition_is_needed(grown: Neo4jStore, tap: Tap) -> None:
    executed = await texts_of_probes(grown, tap)
    # A clause that finds what has a scope asks for the scope.
    assert not [clause for text in executed for clause in _without_condition(text)]
    # Each piece of Cypher that names a scope is executed, from whichever file it comes.
    pieces = fragments(sorted(FOLDER.glob("*.py")), CONDITION)
    writes = [getattr(cypher, name) for name in WRITES]
    seen = [*executed, *REPLICA, *cypher.CONSTRAINTS, *cypher.INDEXES, *writes]
    assert not [piece for piece in pieces if not any(piece in text for text in seen)]

    found = _different(executed)
    assert len(found) > 30
    left = await _unnoticed(grown, tap, found, executed)
    # The full-text index holds the scope too: where it stands before a condition, it is lowered.
    tap.shields = False
    unchanged = Mutant("RETURN 1", "", "RETURN 1")
    searches = {probe for one in left for mutant in one for probe in executed[mutant.text]}
    for probe in searches:
        assert await survives(grown, tap, unchanged, [probe])
    left = await _unnoticed(grown, tap, left, executed)
    assert not left, "\n\n".join(str(one[0]) for one in left)


async def test_a_replica_is_sent_nothing_of_other_scopes(grown: Neo4jStore) -> None:
    """Without any of the conditions the answer would hold something else."""
    position = (await grown.view("org/team")).position
    near, private = "org/team", "org/team/private"

    def told(name: str, scope: str, tier: Tier, kind: str) -> Add:
        return Add(Record(id=name, tier=tier, kind=kind, text="door", scope=scope))

    for number, (scope, ops) in enumerate(
        [
            (
                near,
                (
                    told("f1", near, Tier.INSIGHT, "rule"),
                    told("s", near, Tier.INTERACTION, "action"),
                ),
            ),
            (private, (told("f2", private, Tier.INSIGHT, "rule"),)),
            (private, (told("f3", private, Tier.QUERY, "task"), joins("s", "f3", "PART_OF"))),
            (private, (joins("f1", "f2", "LED_TO"), joins("f2", "f1", "SUPPORTS"))),
            (near, (SetStatus("s", 1, Status.ARCHIVED, "old"),)),
        ]
    ):
        await grown.apply(Changeset(id=f"follow {number}", scope=scope, ops=ops))
    ids = [row["id"] async for row in grown.dump("") if row["row"] == "record"]
    values = {
        "scopes": [near, "org"], "most": 1000, "since": position, "position": position + 5,
        "ids": sorted(map(str, ids)),
    }  # fmt: skip
    for text in REPLICA:
        found = mutants(text, RULES)
        assert found
        answer = await grown._server.read(text, **values)
        for mutant in found:
            assert await grown._server.read(mutant.mutated, **values) != answer, mutant


async def test_the_index_is_asked_for_the_scope(grown: Neo4jStore, tap: Tap) -> None:
    """A crowd in another scope does not make the search go through everything."""
    crowd = [
        Add(Record(id=f"c{n}", tier=Tier.INSIGHT, kind="note", text="door", scope="elsewhere"))
        for n in range(200)
    ]
    await grown.apply(Changeset(id="crowd", scope="elsewhere", ops=tuple(crowd)))
    asked = {}
    for tap.shields in (True, False):
        view = await grown.view("org/team/private")
        tap.texts = {}
        await view.search(["door"], k=4, tiers=frozenset({Tier.INSIGHT}))
        asked[tap.shields] = sum(cypher.TEXT_INDEX in text for text in tap.texts)
    assert asked == {True: 1, False: 2}


def test_no_query_is_overlooked() -> None:
    """All Cypher stands in one module, and each text of it asks for the scope, or has a reason."""
    for path in FOLDER.glob("*.py"):
        if path.name != "cypher.py":
            assert not re.search(r"\b(?:MATCH|MERGE) \(", path.read_text(encoding="utf-8")), path
    texts: dict[str, str] = {}
    for name, value in vars(cypher).items():
        if name.startswith("_"):
            continue
        if isinstance(value, str) and CLAUSE.search(value):
            texts[name] = value
        elif isinstance(value, Mapping):
            texts |= {f"{name}[{key}]": text for key, text in value.items() if " " in str(text)}
        elif inspect.isfunction(value) and value.__module__ == cypher.__name__:
            texts |= dict(_called(name, value))
    assert len(texts) > 30
    for name, text in texts.items():
        if name.partition("(")[0] not in WRITES:
            assert not _without_condition(text), name


def _called(name: str, function: Any) -> Iterator[tuple[str, str]]:
    """What a function that makes texts gives, for each setting of its switches."""
    switches = [
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    ]
    tiers = [Tier.QUERY, Tier.INSIGHT]
    given: dict[str, Any] = {
        "tiers": tiers,
        "hops": _hops(),
        "where": Filter(),
        "filters": [(tier, Filter()) for tier in tiers],
    }
    positional = [
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    if not set(positional) <= given.keys():
        return
    for setting in range(2 ** len(switches)):
        values = {switch: bool(setting >> bit & 1) for bit, switch in enumerate(switches)}
        if values.get("everything"):
            continue
        text = function(*(given[one] for one in positional), **values)
        if CLAUSE.search(text):
            yield f"{name}({values})", text


def _hops() -> list[Hop]:
    return [Hop(frozenset({type_}), "in" if type_ < "O" else "both") for type_ in LinkType]
