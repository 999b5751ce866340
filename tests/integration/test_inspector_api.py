"""The inspector's API tells what Python tells: recalls, the past, changes as they happen."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from triforium.errors import InvalidInput, NotFound
from triforium.graph import LinkType, Outcome, SetStatus, Status, Tier
from triforium.graph.sqlite import open_sqlite
from triforium.inspector import schema
from triforium.inspector.access import Grant
from triforium.inspector.bundle import STATIC, bundled, inlined
from triforium.inspector.details import neighbourhood, record_detail, search
from triforium.inspector.export import Answers, collect
from triforium.inspector.graphs import GraphQuery, graph_of
from triforium.inspector.history import difference, journal_page, revert_of, timeline, versions
from triforium.inspector.journals import Journals
from triforium.inspector.live import Poller
from triforium.inspector.quarantine import Refused, confirm, inbox, release, suspect
from triforium.inspector.reading import Reading
from triforium.inspector.replay import replay
from triforium.inspector.schema import Graph
from triforium.inspector.state import Inspector
from triforium.inspector.trials import agent_detail, agents, trial_detail
from triforium.memory import Memory

TEAM = "acme/red"
EDITOR = Grant("", True)


async def play(memory: Memory, number: int) -> str:
    """One trial: what was recalled first is what the agent says it acted on."""
    trial = await memory.begin(f"put mug {number % 5} on shelf {number % 3}", run=f"run-{number}")
    recalled = await memory.recall(trial.task, trial=trial, role="solver")
    used = [recalled.items[0].record.id] if recalled.items else []
    for action in ("walk to shelf 1", f"take mug {number % 5} from shelf 1", "put it"):
        await memory.observe(
            trial, "You see a mug.", action=action, role="solver", agent="anna", used=used
        )
    await memory.observe(trial, "That looks right.", role="critic", agent="bert")
    await memory.commit(trial, Outcome.success() if number % 3 else Outcome.failure())
    return trial.id


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncIterator[Memory]:
    store = await open_sqlite(f"sqlite:///{tmp_path}/memory.db")
    memory = Memory(store, scope=TEAM, embedder=None, hold_out=0.2)
    for number in range(12):
        await play(memory, number)
    yield memory
    await store.close()


@pytest.fixture
def here(memory: Memory) -> Inspector:
    return Inspector(memory.store)


@pytest.fixture
def reading(memory: Memory) -> Reading:
    return Reading(memory.store, TEAM)


async def test_a_replay_has_the_numbers_of_explain(memory: Memory, reading: Reading) -> None:
    receipts = await memory.store.receipts(TEAM)
    assert any(one.body["held_out"] for one in receipts)
    for receipt in receipts:
        explained = await memory.explain(receipt.id)
        recall = explained.recalls[0]
        shown = await replay(reading, receipt.id)
        assert (shown.budget, shown.tokens) == (recall.budget, recall.tokens)
        assert shown.position == receipt.position
        assert shown.text == str(explained)
        assert shown.prompt == recall.render()
        assert [
            (item.record.id, item.scores, item.tokens, item.text, [step.id for step in item.path])
            for item in shown.items
        ] == [
            (item.record.id, dict(item.scores), item.tokens, item.text, list(item.path))
            for item in recall.items
        ]
        assert {one.id: one.scores for one in shown.candidates if one.rank == 0} == {
            one.id: dict(one.scores) for one in recall.rejected
        }
        assert shown.held_out == list(recall.held_out)
        assert {one.id for one in shown.candidates if one.fate == "held out"} == set(
            recall.held_out
        )
        assert sum(item.tokens for item in shown.items) == shown.tokens
        for item in shown.items:
            assert item.path[0].link is None
            assert all(step.link for step in item.path[1:])


async def test_the_credit_of_a_replay_adds_up(memory: Memory, reading: Reading) -> None:
    """What all replays say a record was given is what the record has."""
    total: dict[str, float] = {}
    for receipt in await memory.store.receipts(TEAM):
        for item in (await replay(reading, receipt.id)).items:
            if item.credit is not None:
                total[item.record.id] = total.get(item.record.id, 0.0) + item.credit.uses
    records = await (await memory.view()).get(sorted(total))
    assert total
    assert {id_: one.total_credit().uses for id_, one in records.items()} == total


async def test_a_snapshot_is_followed_as_if_it_were_read_anew(
    memory: Memory, here: Inspector
) -> None:
    held = await here.snapshots.at(TEAM)
    before = held.position
    await play(memory, 20)
    rule = next(one for one in held.records.values() if one.tier is Tier.INSIGHT)
    current = (await (await memory.view()).get([rule.id]))[rule.id]
    await memory.write(
        [SetStatus(rule.id, current.revision, Status.ARCHIVED)], reason="tidy", id_="tidy"
    )
    await memory.revert("tidy")
    open_ = await memory.begin("not closed yet", run="open")
    await memory.observe(open_, "thinking", role="solver")
    followed = await here.snapshots.at(TEAM)
    anew = await Inspector(memory.store).snapshots.at(TEAM)
    assert held.position == before
    assert followed.position > before
    assert list(followed.records.items()) == list(anew.records.items())
    assert followed.links == anew.links
    assert open_.id not in followed.records


async def test_the_graph_is_the_same_each_time(here: Inspector, memory: Memory) -> None:
    snapshot = await here.snapshots.at(TEAM)
    query = GraphQuery(clusters="never")
    graph = graph_of(snapshot, query, snapshot.position)
    assert graph == graph_of(snapshot, query, snapshot.position)
    statistics = await memory.statistics()
    assert len(graph.nodes) == graph.total == sum(statistics.records.values())
    assert len(graph.links) == sum(statistics.links.values())
    places = [(node.x, node.y) for node in graph.nodes]
    assert len(set(places)) == len(places)
    storeys = {"interaction": 0, "query": 1, "insight": 2}
    assert all(abs(node.y - storeys[node.tier]) <= 0.3 for node in graph.nodes)
    assert all(0 <= node.x <= 1 for node in graph.nodes)
    few = graph_of(snapshot, GraphQuery(clusters="never", limit=5), snapshot.position)
    assert (len(few.nodes), few.truncated) == (5, True)


async def test_clusters_count_everything_and_open(here: Inspector) -> None:
    snapshot = await here.snapshots.at(TEAM)
    closed = graph_of(snapshot, GraphQuery(clusters="always"), snapshot.position)
    assert not closed.nodes
    assert sum(one.count for one in closed.clusters) == closed.total
    largest = max(closed.clusters, key=lambda one: one.count)
    query = GraphQuery(clusters="always", opened=frozenset({largest.id}))
    opened = graph_of(snapshot, query, snapshot.position)
    assert len(opened.nodes) == largest.count
    assert {node.topic for node in opened.nodes} == {largest.id}
    assert sum(one.count for one in opened.clusters) + len(opened.nodes) == opened.total


async def test_filters_of_the_graph(here: Inspector) -> None:
    snapshot = await here.snapshots.at(TEAM)

    def ids(**fields: Any) -> set[str]:
        query = GraphQuery(clusters="never", **fields)
        return {node.id for node in graph_of(snapshot, query, 0).nodes}

    failed = ids(outcomes=frozenset({"failure"}))
    assert len(failed) == 4
    assert failed < ids(tiers=frozenset({"query"}))
    assert ids(agents=frozenset({"bert"})) == ids(roles=frozenset({"critic"}))
    assert len(ids(agents=frozenset({"bert"}))) == 12
    assert not ids(statuses=frozenset({"quarantined"}))
    assert ids(text="mug 2") == {one.id for one in snapshot.records.values() if "mug 2" in one.text}


async def test_the_past_is_as_it_was(memory: Memory, here: Inspector) -> None:
    then = (await memory.view()).position
    before = graph_of(await here.snapshots.at(TEAM), GraphQuery(), 0)
    await play(memory, 30)
    past = graph_of(await here.snapshots.at(TEAM, then), GraphQuery(), 0)
    assert past.position == then
    assert past == before
    assert (await here.snapshots.at(TEAM, 10**12)).position > then


async def test_what_a_record_tells(memory: Memory, here: Inspector, reading: Reading) -> None:
    receipts = await memory.store.receipts(TEAM)
    served = next(one for one in reversed(receipts) if one.body["items"])
    id_ = served.body["items"][0]["id"]
    detail = await record_detail(reading, here.receipts, id_, None)
    naming = [
        one.id
        for one in receipts
        if id_ in {item["id"] for item in [*one.body["items"], *one.body["rejected"]]}
    ]
    assert [use.receipt for use in detail.recalled] == naming[::-1]
    assert detail.recalled_count == len(naming)
    assert any(use.part == "served" and use.rank >= 1 for use in detail.recalled)
    assert detail.written is not None
    assert detail.written.position == detail.record.added
    with pytest.raises(NotFound, match="another scope"):
        await record_detail(reading, here.receipts, "nobody", None)


async def test_a_trial_as_a_sequence(memory: Memory, here: Inspector, reading: Reading) -> None:
    id_ = memory.trial_id("run-7", 0)
    detail = await trial_detail(reading, here.receipts, id_)
    assert detail.lanes == ["anna", "bert"]
    assert [step.lane for step in detail.steps] == ["anna", "anna", "anna", "bert"]
    assert detail.steps[0].action == "walk to shelf 1"
    assert detail.steps[0].said == "You see a mug."
    assert [(seen.lane, seen.before_step) for seen in detail.recalls] == [("anna", 0)]
    assert [one.id for one in detail.used] == detail.steps[0].used
    with pytest.raises(NotFound, match="no trial"):
        await trial_detail(reading, here.receipts, detail.steps[0].record.id)


async def test_agents(here: Inspector, reading: Reading) -> None:
    found = await agents(reading, here.receipts)
    assert [(one.name, one.steps, one.trials, one.recalls) for one in found.agents] == [
        ("anna", 36, 12, 12),
        ("bert", 12, 12, 0),
    ]
    snapshot = await here.snapshots.at(TEAM)
    anna = await agent_detail(reading, snapshot, here.receipts, "solver", "anna")
    assert anna.outcomes == {"success": 8, "failure": 4}
    assert len(anna.recalls) == 12
    helped = [one.helped for one in anna.helped]
    assert helped == sorted(helped, reverse=True)
    with pytest.raises(NotFound):
        await agent_detail(reading, snapshot, here.receipts, "x", "y")


async def test_search_finds_by_words_letters_and_id(here: Inspector, reading: Reading) -> None:
    snapshot = await here.snapshots.at(TEAM)
    words = await search(reading, snapshot, "put mug 3 on shelf 0", GraphQuery(), 20)
    assert words.hits[0].channel == "words"
    assert words.hits[0].record.text == "put mug 3 on shelf 0"
    assert words.hits[0].score == pytest.approx(1.0)
    letters = await search(reading, snapshot, "loo", GraphQuery(), 20)
    assert {hit.channel for hit in letters.hits} == {"letters"}
    id_ = words.hits[0].record.id
    assert (await search(reading, snapshot, id_, GraphQuery(), 20)).hits[0].channel == "id"
    assert not (await search(reading, snapshot, "  ", GraphQuery(), 20)).hits


async def test_neighbours(memory: Memory, reading: Reading) -> None:
    id_ = memory.trial_id("run-3", 0)
    types = frozenset({LinkType.PART_OF})
    near = await neighbourhood(reading, [id_], types, "in", frozenset(Tier), 64)
    assert len(near.nodes) == 5
    assert not near.truncated
    few = await neighbourhood(reading, [id_], types, "in", frozenset(Tier), 2)
    assert (len(few.nodes), few.truncated) == (3, True)


async def test_history(memory: Memory, reading: Reading) -> None:
    journals = Journals(memory.store)
    id_ = memory.trial_id("run-5", 0)
    told = await versions(reading, journals, id_)
    assert [one.op for one in told.versions][:2] == ["ADD", "CLOSE"]
    assert told.versions[1].changes[0].field == "outcome"
    assert told.versions[1].changes[0].before is None
    present = (await memory.view()).position
    page = await journal_page(
        reading, journals, after=None, before=None, limit=3, actor="", record=""
    )
    assert [one.position for one in page.entries] == [present, present - 1, present - 2]
    of_record = await journal_page(
        reading, journals, after=None, before=None, limit=50, actor="", record=id_
    )
    assert {one.position for one in of_record.entries} == {one.position for one in told.versions}
    line = await timeline(reading, journals, 5)
    assert [line.moments[0].position, line.moments[-1].position] == [1, present]
    changed = await difference(reading, journals, line.moments[-2].position, None)
    assert changed.end == present
    assert changed.added
    with pytest.raises(InvalidInput, match="before the start"):
        await difference(reading, journals, 5, 2)


async def test_a_revert_is_only_told(memory: Memory, reading: Reading) -> None:
    before = (await memory.view()).position
    last = (await memory.journal(after=before - 1))[0].changeset.id
    told = await revert_of(reading, last, cascade=False)
    assert told.possible
    assert told.undone
    first = (await memory.journal(limit=1))[0].changeset.id
    depends = await revert_of(reading, first, cascade=False)
    assert not depends.possible
    assert depends.dependents
    assert (await memory.view()).position == before


async def test_the_inbox(memory: Memory, here: Inspector, reading: Reading) -> None:
    view = await memory.view()
    rules = await view.recent(tiers=frozenset({Tier.INSIGHT}), k=2)
    against = memory.trial_id("run-3", 0)
    for rule in rules:
        await memory.quarantine([rule.id], reason="the odd one out", dissenters=[against])
    found = await inbox(reading, EDITOR, 50)
    assert {one.record.id for one in found.records} == {rule.id for rule in rules}
    one = await suspect(reading, here.journals, here.receipts, EDITOR, rules[0].id)
    assert one.dissenters[0].id == against
    assert one.actor == memory.source
    with pytest.raises(Refused, match="--allow-edits"):
        await release(reading, Grant("", False), rules[0].id, "")
    assert (await release(reading, EDITOR, rules[0].id, "fine")).status == "active"
    with pytest.raises(InvalidInput, match="not quarantined"):
        await release(reading, EDITOR, rules[0].id, "")
    assert (await confirm(reading, EDITOR, rules[1].id, "poison")).status == "quarantined"
    rest = await inbox(reading, EDITOR, 50)
    assert [(one.record.id, one.confirmed, one.reason) for one in rest.records] == [
        (rules[1].id, True, "poison")
    ]


async def test_learning(memory: Memory, here: Inspector, reading: Reading) -> None:
    told: Any = await here.learning_model(reading, 5)
    assert [point.value for point in told.points] == [
        1.0 if number % 3 else 0.0 for number in range(12)
    ]
    assert told.points[-1].rate == pytest.approx(sum(p.value for p in told.points[-5:]) / 5)
    assert told.points[-1].low < told.points[-1].rate < told.points[-1].high
    assert told.recalls == 12
    growth = told.growth[-1]
    statistics = await memory.statistics()
    assert growth.query == 12
    assert growth.insight + growth.query + growth.interaction == sum(statistics.records.values())


def event_of(block: bytes) -> schema.Event | None:
    data = [line[6:] for line in block.decode().splitlines() if line.startswith("data: ")]
    return schema.Event.model_validate_json(data[0]) if data else None


async def test_changes_of_another_process_are_seen(memory: Memory) -> None:
    """Two stores on one file are two processes to each other; many pages share one look."""
    other = await open_sqlite(memory.store.url)
    poller = Poller(other, interval=3600.0)
    pages = [poller.watch(TEAM, None) for _ in range(50)]
    stranger = poller.watch("acme/blue", None)
    for page in [*pages, stranger]:
        assert b"retry" in await anext(page)
    try:
        await play(memory, 40)
        await poller.look()
        blocks = [await asyncio.wait_for(anext(page), 30) for page in pages]
        assert len(set(blocks)) == 1
        event = event_of(blocks[0])
        assert event is not None
        assert event.position == (await memory.view()).position
        assert [one.reason for one in event.entries][-1].startswith("trial ends")
        assert memory.trial_id("run-40", 0) in event.ids
        nothing = asyncio.ensure_future(anext(stranger))
        await poller.look()
        assert not nothing.done()
        nothing.cancel()
        await asyncio.gather(nothing, return_exceptions=True)
    finally:
        for page in [*pages, stranger]:
            await page.aclose()
        await poller.close()
        await other.close()
    assert poller.pages == 0


async def test_a_page_that_was_away_is_told(memory: Memory) -> None:
    before = (await memory.view()).position
    await play(memory, 41)
    poller = Poller(memory.store, interval=3600.0)
    page = poller.watch(TEAM, before)
    await anext(page)
    event = event_of(await anext(page))
    assert event is not None
    assert event.entries[0].position == before + 1
    await page.aclose()
    await poller.close()


async def test_a_slow_page_is_told_that_it_missed_some(memory: Memory) -> None:
    poller = Poller(memory.store, interval=3600.0)
    page = poller.watch(TEAM, None)
    await anext(page)
    for number in range(6):
        await play(memory, 50 + number)
        await poller.look()
    found = [event_of(await anext(page)) for _ in range(4)]
    assert found[-1] is not None
    assert found[-1].more
    assert found[-1].position == (await memory.view()).position
    await page.aclose()
    await poller.close()


async def test_an_export_answers_like_the_server(
    memory: Memory, here: Inspector, reading: Reading
) -> None:
    data = json.loads(await collect(memory.store, TEAM))
    shared, ref = data["shared"], data["ref"]

    def read(path: str) -> Any:
        def whole(value: Any) -> Any:
            return shared[value[ref]] if ref in value else value

        return json.loads(data["responses"][path], object_hook=whole)

    receipt = (await memory.store.receipts(TEAM))[-1].id
    shown = await replay(reading, receipt)
    assert read(f"/api/recall/{receipt}") == shown.model_dump(mode="json")
    snapshot = await here.snapshots.at(TEAM)
    graph = Graph.model_validate(read("/api/graph"))
    assert len(graph.nodes) == len(snapshot.records)
    assert read("/api/meta")["live"] is False
    for record in snapshot.records.values():
        assert f"/api/record/{record.id}" in data["responses"]
    moments = read("/api/timeline")["moments"]
    for moment in moments[:-1]:
        assert f"/api/graph?at={moment['position']}" in data["responses"]


def test_what_is_shared_stands_once() -> None:
    class Two(BaseModel):
        rows: list[dict[str, Any]]

    row = {"tier": "query", "cut": False, "text": "x"}
    answers = Answers()
    answers.put("/a", Two(rows=[row, row]))
    assert json.loads(answers.text()) == {
        "ref": "$record",
        "shared": [row],
        "responses": {"/a": '{"rows": [{"$record": 0}, {"$record": 0}]}'},
    }


def test_the_page_can_be_put_into_one_file() -> None:
    page = inlined(STATIC, "{}")
    assert "/static/" not in page.partition("<script")[0]
    assert "sha256-" in page
    assert "unsafe" not in page.partition("<style>")[0]


def test_modules_are_wrapped_in_the_order_of_need(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text('import { b as c } from "./b.js";\nexport const a = c + 1;\n')
    (tmp_path / "b.js").write_text("function one() { return 1; }\nexport { one as b };\n")
    script = bundled(tmp_path, "a.js")
    assert script.index("function one") < script.index("const a =")
    assert "const {b: c} = $module0;" in script
    assert "return {b: one};" in script
    (tmp_path / "b.js").write_text("export default 1;\n")
    with pytest.raises(InvalidInput, match="export default"):
        bundled(tmp_path, "a.js")
    (tmp_path / "b.js").write_text('import "./a.js";\n')
    with pytest.raises(InvalidInput, match="circle"):
        bundled(tmp_path, "a.js")
