"""The questions of docs/neo4j.md, as they stand there, agree with the Python API."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from triforium.graph import Add, Filter, Hop, LinkType, Record, Store, Tier
from triforium.graph.copying import copy_store
from triforium.graph.neo4j import open_neo4j
from triforium.graph.neo4j.server import Server, parse
from triforium.graph.sqlite import open_sqlite
from triforium.memory import Memory
from triforium.memory.cases import steps_of

from . import servers
from .servers import HOUSEHOLD

pytestmark = pytest.mark.timeout(600)
PAGE = (Path(__file__).parents[2] / "docs/neo4j.md").read_text(encoding="utf-8")
QUESTIONS = dict(re.findall(r"### ([^\n]+)\n\n```cypher\n(.*?)```", PAGE, re.DOTALL))
ANY = Filter(statuses=frozenset())


@dataclass(frozen=True)
class Fleet:
    """The household memory on a server, and a connection of the person who asks."""

    store: Store
    memory: Memory
    server: Server

    async def ask(self, question: str, **parameters: Any) -> list[Mapping[str, Any]]:
        return await self.server.rows(QUESTIONS[question], **parameters)

    async def records(self, tier: Tier) -> list[Record]:
        view = await self.store.view(HOUSEHOLD)
        return list(await view.recent(tiers=frozenset({tier}), k=10**6, where=ANY))


@pytest_asyncio.fixture
async def fleet(played: Path, tmp_path: Path) -> AsyncIterator[Fleet]:
    shutil.copy(played, tmp_path / "team.db")
    source = await open_sqlite(f"sqlite:///{tmp_path}/team.db")
    async with servers.empty_place() as place:
        store = await open_neo4j(place.url, credentials=place.credentials, patience=120.0)
        server = Server(parse(place.url), place.credentials, patience=120.0)
        try:
            await copy_store(source, store)
            yield Fleet(store, Memory(store, scope=HOUSEHOLD), server)
        finally:
            await server.close()
            await store.close()
            await source.close()


async def test_five_questions(fleet: Fleet) -> None:
    """All in one test, for the copy takes longer than the answers."""
    assert len(QUESTIONS) == 5
    await _who_wrote_this(fleet)
    await _who_recalled_it(fleet)
    await _what_an_insight_rests_on(fleet)
    await _how_a_task_failed(fleet)
    await _what_a_source_wrote(fleet)


async def _who_wrote_this(fleet: Fleet) -> None:
    journal = {one.position: one for one in await fleet.store.journal("", limit=10**6)}
    for tier in Tier:
        record = (await fleet.records(tier))[0]
        [row] = await fleet.ask("Who wrote this?", id=record.id)
        entry = journal[record.added]
        origin = record.provenance
        assert (row["source"], row["role"], row["agent"]) == (
            origin.source, origin.role, origin.agent,
        )  # fmt: skip
        assert (row["run"], row["trial"]) == (origin.run, origin.trial)
        assert (row["changeset"], row["actor"], row["reason"]) == (
            entry.changeset.id, entry.changeset.actor, entry.changeset.reason,
        )  # fmt: skip
        assert record.id in {op.record.id for op in entry.changeset.ops if isinstance(op, Add)}


async def _who_recalled_it(fleet: Fleet) -> None:
    receipts = await fleet.store.receipts(HOUSEHOLD, limit=10**6)
    served: dict[str, set[str]] = {}
    for receipt in receipts:
        for item in receipt.body["items"]:
            served.setdefault(item["id"], set()).add(receipt.id)
    id_ = max(served, key=lambda one: (len(served[one]), one))
    rows = await fleet.ask("Who recalled it, and what followed?", id=id_)
    # Every trial here has ended, so every recall has given its credit.
    assert {row["receipt"] for row in rows} == served[id_]
    assert len(rows) == len(served[id_]) > 1
    for row in rows:
        explained = await fleet.memory.explain(row["receipt"])
        [recall] = explained.recalls
        assert id_ in {item.record.id for item in recall.items}
        [trial] = explained.trials.values()
        assert trial.outcome is not None
        assert (row["task"], row["outcome"]) == (trial.text, trial.outcome.kind.value)
        assert f"outcome   {row['outcome']}" in str(explained)
        assert id_ in str(explained)
        assert (row["role"], row["run"]) == (recall.role, trial.provenance.run)


async def _what_an_insight_rests_on(fleet: Fleet) -> None:
    view = await fleet.store.view(HOUSEHOLD)
    seen = {"SUPPORTS": 0, "REFUTES": 0}
    insights = await fleet.records(Tier.INSIGHT)
    refuted = [one for one in insights if one.refuted][:3]
    for insight in [*insights[:5], *refuted]:
        rows = await fleet.ask("What does an insight rest on?", id=insight.id)
        hop = Hop(frozenset({LinkType.SUPPORTS, LinkType.REFUTES}), "in", where=ANY, fan=10**6)
        walk = await view.walk([insight.id], [hop])
        assert {(row["evidence"], row["trial"]) for row in rows} == {
            (link.type.value, link.src) for link in walk.links
        }
        for row in rows:
            seen[row["evidence"]] += 1
            trial = walk.records[row["trial"]]
            assert trial.outcome is not None
            assert (row["task"], row["outcome"], row["source"]) == (
                trial.text, trial.outcome.kind.value, trial.provenance.source,
            )  # fmt: skip
        assert sum(row["evidence"] == "SUPPORTS" for row in rows) == insight.support
        assert sum(row["evidence"] == "REFUTES" for row in rows) == insight.refuted
    assert all(seen.values())


async def _how_a_task_failed(fleet: Fleet) -> None:
    view = await fleet.store.view(HOUSEHOLD)
    failures: dict[str, list[Record]] = {}
    for trial in await fleet.records(Tier.QUERY):
        if trial.outcome is not None and trial.outcome.kind == "failure":
            failures.setdefault(trial.text, []).append(trial)
    assert failures
    for task, trials in list(failures.items())[:3]:
        rows = await fleet.ask("How did this task fail?", scope=HOUSEHOLD, task=task)
        assert {row["trial"] for row in rows} == {trial.id for trial in trials}
        steps = await steps_of(view, [trial.id for trial in trials])
        for row in rows:
            assert row["steps"] == [step.text for step in steps[row["trial"]]]
    assert not await fleet.ask("How did this task fail?", scope="other", task=task)


async def _what_a_source_wrote(fleet: Fleet) -> None:
    journal = await fleet.store.journal("", limit=10**6)
    middle = journal[len(journal) // 2]
    source, since = middle.changeset.actor, middle.created_at
    rows = await fleet.ask(
        "What did a source write since a time?",
        source=source, since=since.strftime("%Y-%m-%dT%H:%M:%S.%f"),
    )  # fmt: skip
    wrote = [one for one in journal if one.changeset.actor == source and one.created_at >= since]
    assert [row["position"] for row in rows] == [one.position for one in wrote]
    assert [row["changeset"] for row in rows] == [one.changeset.id for one in wrote]
    assert [row["reason"] for row in rows] == [one.changeset.reason for one in wrote]
