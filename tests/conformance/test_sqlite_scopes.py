"""Every scope condition in the SQL of the SQLite store is needed."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

import triforium.graph.sqlite
from triforium.graph import Add, Changeset, Record, Tier
from triforium.graph.replica import Entry, Present, vectors
from triforium.graph.replica.words import Words
from triforium.graph.sqlite import SQLiteStore, open_sqlite
from triforium.testing.isolation import PROBES, grow
from triforium.testing.mutations import (
    Mutant,
    Rule,
    Tap,
    fragments,
    mutants,
    survives,
    texts_of_probes,
    unexplained,
    values_of,
)

FOLDER = Path(triforium.graph.sqlite.__file__).parent
_LIST = r"\((?:\?(?:, \?)*|SELECT value FROM json_each\(\?\d?\))\)"
# The parameters stay where they are, so the condition is made true instead of taken out.
RULES: tuple[Rule, ...] = (
    (re.compile(rf"\+?\b(?:\w+\.)?(?:scope|path) IN {_LIST}"), lambda m: f"({m.group()} OR 1)"),
    (re.compile(r"\b(?:\w+\.)?(?:scope|path) = \?"), lambda m: f"({m.group()} OR 1)"),
    (
        re.compile(rf"(?<=FROM scopes WHERE )n IN {_LIST}"),
        lambda m: f"({m.group()} OR 1)",
    ),
)
CONDITION = re.compile(r"\b(?:scope|path) (?:IN|=)")
SHIELD = re.compile(r"scope : \([^)]*\) AND ")
READS = re.compile(
    r"\b(?:FROM|JOIN) (?:records|links|journal|receipts|effects|terms|term_totals|vectors|versions"
    r"|credits|credit_deltas|taint|fulltext)\b"
)
KNOWN = {
    "FROM records r JOIN scopes s ON s.n = r.scope WHERE r.n IN (SELECT value FROM json_each(?))":
        "records that the same lens has shown just now",
    "FROM versions WHERE n = ?": "of a record that is seen",
    "FROM links WHERE dst = ?": "counts the evidence of a record that is seen",
    "FROM credits WHERE n IN": "of records that are seen",
    "FROM credit_deltas WHERE n IN": "of records that are seen",
    "FROM taint WHERE n IN": "of records that are seen",
    "SELECT 1 FROM taint LIMIT 1": "whether there is any",
    "FROM journal ORDER BY position DESC LIMIT 1": "the position of the store",
    "FROM vectors WHERE position > ?": "the matrix of all; rows of other scopes are masked",
    "SELECT rowid FROM fulltext": "the question names the scopes",
}  # fmt: skip


def without(text: str) -> str:
    """A text without any scope condition on a record."""
    for pattern, change in RULES[:2]:
        text = pattern.sub(change, text)
    return text


def unhindered_hops(text: str) -> str:
    """Links lead anywhere: what they lead to is looked up under the condition once more."""
    return without(text) if "CROSS JOIN links" in text else text


def unhindered_lookups(text: str) -> str:
    """Any record is looked up by its number: only numbers of visible ones are found."""
    return without(text) if "WHERE r.n IN (" in text else text


NO_READING = {
    "CREATE TABLE": "the schema",
    "UPDATE taint": "taint follows from links, down to the inner scopes of what is in quarantine",
    "INSERT INTO taint": "the same",
    "WITH RECURSIVE": "the same",
}
"""Pieces that name a scope and read nothing for a View."""


@pytest.fixture
def tap(monkeypatch: pytest.MonkeyPatch) -> Tap:
    tap = Tap()
    connect = sqlite3.connect

    class Tapped(sqlite3.Connection):
        def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
            if not tap.shields:
                parameters = values_of(parameters, lambda value: SHIELD.sub("", value))
            return super().execute(tap.through(sql), parameters)

    def tapped(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        return connect(*args, **kwargs, factory=Tapped)

    group = vectors._group
    monkeypatch.setattr(sqlite3, "connect", tapped)
    monkeypatch.setattr(
        vectors, "_group", lambda scope, tier: group(scope if tap.shields else 0, tier)
    )
    return tap


@pytest_asyncio.fixture
async def grown(tmp_path: Path, tap: Tap) -> AsyncIterator[SQLiteStore]:
    store = await open_sqlite(f"sqlite:///{tmp_path}/grown.db", kept=0)
    await grow(store)
    yield store
    await store.close()


@pytest.mark.parametrize("probe", PROBES)
async def test_reads_stay_in_their_scope(grown: SQLiteStore, probe: str) -> None:
    await PROBES[probe](grown)


async def test_every_condition_is_needed(grown: SQLiteStore, tap: Tap, tmp_path: Path) -> None:
    executed = await texts_of_probes(grown, tap)
    await grown.close()

    async def unnoticed(mutant: Mutant, probes: Sequence[str]) -> bool:
        path = tmp_path / "mutant.db"
        shutil.copy(tmp_path / "grown.db", path)
        store = await open_sqlite(f"sqlite:///{path}", kept=0)
        try:
            return await survives(store, tap, mutant, probes)
        finally:
            await store.close()
            path.unlink()

    found = [one for text in executed for one in mutants(text, RULES)]
    assert len(found) > 40
    left = [one for one in found if await unnoticed(one, executed[one.text])]
    # What another condition stands before: each is needed once that one is not there.
    unchanged = Mutant("SELECT 1", "", "SELECT 1")
    for tap.shields, tap.lowered in ((False, unhindered_hops), (True, unhindered_lookups)):
        enough = {probe for probe in PROBES if await unnoticed(unchanged, [probe])}
        assert len(enough) > 10
        still = []
        for mutant in left:
            alone = Mutant(mutant.text, mutant.condition, without(mutant.text))
            probes = [probe for probe in executed[mutant.text] if probe in enough]
            if await unnoticed(alone, probes):
                still.append(mutant)
        left = still
    assert not left, "\n\n".join(map(str, left))


@pytest.mark.parametrize("part", ["sees", "_of"])
async def test_what_is_kept_in_memory_asks_for_the_scope(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """The same for the two conditions of the replica, which are no SQL."""
    store = await open_sqlite(f"sqlite:///{tmp_path}/kept.db")
    try:
        await grow(store)
        for probe in PROBES.values():
            await probe(store)
        if part == "sees":
            sees = Present.sees

            def all_scopes(self: Present, entry: Entry) -> bool:
                self.scopes |= {entry.scope}
                return sees(self, entry)

            monkeypatch.setattr(Present, part, all_scopes)
            noticed = {"get, now", "walk, now", "fan, now", "search, now"}
        else:
            monkeypatch.setattr(Words, part, lambda self, scopes: self._numbers[: self._size] > 0)
            noticed = {"search, now"}
        failed = set()
        for name, probe in PROBES.items():
            try:
                await probe(store)
            except AssertionError:
                failed.add(name)
        assert failed == noticed
    finally:
        await store.close()


async def test_no_condition_is_overlooked(grown: SQLiteStore, tap: Tap) -> None:
    """Each piece of SQL that names a scope is executed; what reads without one has a reason."""
    executed = await texts_of_probes(grown, tap)
    found = fragments(sorted(FOLDER.glob("*.py")), CONDITION)
    pieces = [piece for piece in found if not any(part in piece for part in NO_READING)]
    assert len(pieces) > 10
    assert not [piece for piece in pieces if not any(piece in text for text in executed)]
    assert not unexplained(list(executed), READS, RULES, KNOWN)


async def test_the_index_is_asked_for_the_scope(
    grown: SQLiteStore, tap: Tap, tmp_path: Path
) -> None:
    """A crowd in another scope does not make the search go through everything."""
    crowd = [
        Add(Record(id=f"c{n}", tier=Tier.INSIGHT, kind="note", text="door", scope="elsewhere"))
        for n in range(200)
    ]
    await grown.apply(Changeset(id="crowd", scope="elsewhere", ops=tuple(crowd)))
    asked = {}
    for tap.shields in (True, False):
        tap.texts = {}
        view = await grown.view("org/team/private")
        await view.search(["door"], k=4, tiers=frozenset({Tier.INSIGHT}))
        asked[tap.shields] = sum("fulltext MATCH" in text for text in tap.texts)
    assert asked == {True: 1, False: 2}
