"""The inspector on a Neo4j server gives what it gives on SQLite, for the same memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from triforium.graph import Outcome, SetStatus, Status, Tier
from triforium.graph.copying import copy_store
from triforium.graph.neo4j import open_neo4j
from triforium.graph.sqlite import open_sqlite
from triforium.inspector.access import Grant
from triforium.inspector.details import record_detail, search
from triforium.inspector.graphs import GraphQuery, graph_of
from triforium.inspector.history import difference, revert_of, timeline, versions
from triforium.inspector.live import Poller
from triforium.inspector.quarantine import inbox, release, suspect
from triforium.inspector.reading import Reading
from triforium.inspector.replay import replay
from triforium.inspector.state import Inspector
from triforium.inspector.trials import agents, trial_detail
from triforium.memory import Memory

from . import servers

pytestmark = pytest.mark.timeout(400)
TEAM = "acme/red"
EDITOR = Grant("", True)


async def _play(memory: Memory, number: int) -> None:
    trial = await memory.begin(f"put mug {number} on shelf 1", run=f"run-{number}")
    await memory.recall(trial.task, trial=trial, role="solver")
    for action in ("walk to shelf 1", "put mug on shelf 1"):
        await memory.observe(trial, "You see it.", action=action, role="solver", agent="anna")
    await memory.commit(trial, Outcome.success() if number % 2 else Outcome.failure())


async def _told(inspector: Inspector, reading: Reading) -> dict[str, Any]:
    """Every view of a memory as plain data."""
    store = inspector.store
    snapshot = await inspector.snapshots.at(TEAM)
    past = await inspector.snapshots.at(TEAM, 12)
    receipts = await store.receipts(TEAM)
    trials = [one.id for one in snapshot.records.values() if one.tier is Tier.QUERY]
    rules = [one.id for one in snapshot.records.values() if one.tier is Tier.INSIGHT]
    changesets = [one.changeset.id for one in await store.journal(TEAM)]
    journals, of_receipts = inspector.journals, inspector.receipts
    views: dict[str, Any] = {
        "graph": graph_of(snapshot, GraphQuery(), snapshot.position),
        "past": graph_of(past, GraphQuery(), snapshot.position),
        "clusters": graph_of(snapshot, GraphQuery(clusters="always"), snapshot.position),
        "recalls": [await replay(reading, one.id) for one in receipts],
        "records": [
            await record_detail(reading, of_receipts, id_, None) for id_ in (*trials, *rules)
        ],
        "trials": [await trial_detail(reading, of_receipts, id_) for id_ in trials],
        "versions": [await versions(reading, journals, id_) for id_ in trials],
        "agents": await agents(reading, of_receipts),
        "inbox": await inbox(reading, EDITOR, 50),
        "suspects": [
            await suspect(reading, journals, of_receipts, EDITOR, id_) for id_ in rules[:3]
        ],
        "timeline": await timeline(reading, journals, 9),
        "difference": await difference(reading, journals, 5, None),
        "reverts": [await revert_of(reading, id_, cascade=False) for id_ in changesets[-3:]],
        "search": await search(reading, snapshot, "mug on shelf", GraphQuery(), 20),
        "learning": (await inspector.learning_model(reading, 5)).model_copy(update={"bytes": 0}),
    }
    return {
        name: [one.model_dump() for one in view] if isinstance(view, list) else view.model_dump()
        for name, view in views.items()
    }


async def test_every_view_is_the_same_on_both(tmp_path: Path) -> None:
    async with servers.empty_place() as place:
        local = await open_sqlite(f"sqlite:///{tmp_path}/memory.db")
        remote = await open_neo4j(place.url, credentials=place.credentials)
        try:
            memory = Memory(local, scope=TEAM, embedder=None)
            for number in range(4):
                await _play(memory, number)
            rule = (await (await memory.view()).recent(tiers=frozenset({Tier.INSIGHT}), k=1))[0]
            held = SetStatus(rule.id, rule.revision, Status.QUARANTINED, "odd one out")
            await memory.write([held], reason="guard")
            await copy_store(local, remote)
            on_sqlite = await _told(Inspector(local), Reading(local, TEAM))
            on_neo4j = await _told(Inspector(remote), Reading(remote, TEAM))
            assert on_sqlite.keys() == on_neo4j.keys()
            for name, told in on_sqlite.items():
                assert on_neo4j[name] == told, name
        finally:
            await local.close()
            await remote.close()


async def test_changes_are_followed_and_decided_on_a_server() -> None:
    async with servers.empty_place() as place:
        store = await open_neo4j(place.url, credentials=place.credentials)
        other = await open_neo4j(place.url, credentials=place.credentials)
        poller = Poller(other, interval=3600.0)
        page = poller.watch(TEAM, None)
        try:
            memory = Memory(store, scope=TEAM, embedder=None)
            await _play(memory, 0)
            inspector = Inspector(other)
            await inspector.snapshots.at(TEAM)
            await anext(page)
            await _play(memory, 1)
            await poller.look()
            assert memory.trial_id("run-1", 0).encode() in await anext(page)
            followed = await inspector.snapshots.at(TEAM)
            anew = await Inspector(other).snapshots.at(TEAM)
            assert list(followed.records.items()) == list(anew.records.items())
            assert followed.links == anew.links
            rule = (await (await memory.view()).recent(tiers=frozenset({Tier.INSIGHT}), k=1))[0]
            held = SetStatus(rule.id, rule.revision, Status.QUARANTINED, "odd one out")
            await memory.write([held], reason="guard")
            done = await release(Reading(other, TEAM), EDITOR, rule.id, "fine")
            assert done.status == "active"
        finally:
            await page.aclose()
            await poller.close()
            await other.close()
            await store.close()
