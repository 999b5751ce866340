"""What the inspector holds while a team works: nothing stale, nothing lost, and not too much."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from triforium.graph import LinkType, Outcome, SetStatus, Status, Tier
from triforium.graph.sqlite import open_sqlite
from triforium.inspector import journals, live, receipts, schema, state
from triforium.inspector.graphs import GraphQuery, graph_of
from triforium.inspector.history import timeline
from triforium.inspector.live import Poller
from triforium.inspector.reading import Reading
from triforium.inspector.snapshot import Snapshot
from triforium.inspector.state import Inspector
from triforium.memory import Memory, Trial, lift

TEAM = "acme/red"


async def begin(memory: Memory, number: int) -> Trial:
    trial = await memory.begin(f"put mug {number % 5} on shelf {number % 3}", run=f"run-{number}")
    await memory.recall(trial.task, trial=trial, role="solver")
    await memory.observe(trial, "You see a mug.", action="walk to shelf 1", role="solver")
    return trial


async def play(memory: Memory, number: int) -> str:
    trial = await begin(memory, number)
    await memory.commit(trial, Outcome.success() if number % 3 else Outcome.failure())
    return trial.id


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncIterator[Memory]:
    store = await open_sqlite(f"sqlite:///{tmp_path}/memory.db")
    memory = Memory(store, scope=TEAM, embedder=None)
    for number in range(6):
        await play(memory, number)
    yield memory
    await store.close()


@pytest.fixture
def here(memory: Memory) -> Inspector:
    return Inspector(memory.store)


@pytest.fixture
def reading(memory: Memory) -> Reading:
    return Reading(memory.store, TEAM)


async def as_if_read_anew(memory: Memory, here: Inspector) -> Snapshot:
    """The followed snapshot, once it is the same as one that was read now, order and all."""
    followed = await here.snapshots.at(TEAM)
    anew = await Inspector(memory.store).snapshots.at(TEAM)
    assert list(followed.records.items()) == list(anew.records.items())
    assert followed.links == anew.links
    query = GraphQuery(clusters="never")
    assert graph_of(followed, query, 0) == graph_of(anew, query, 0)
    return followed


async def test_a_snapshot_that_was_handed_out_stays_as_it_was(
    memory: Memory, here: Inspector
) -> None:
    """Threads make graphs of it: a change would break them, or be kept under its position."""
    held = await here.snapshots.at(TEAM)
    before, walking = list(held.records), iter(held.links.items())
    next(walking)
    await play(memory, 20)
    followed = await here.snapshots.at(TEAM)
    assert len(followed.records) > len(before)
    assert list(held.records) == before
    assert len(list(walking)) == len(held.links) - 1


async def test_graphs_can_be_made_while_a_team_works(
    memory: Memory, here: Inspector, reading: Reading
) -> None:
    async def work() -> None:
        for number in range(30, 40):
            await play(memory, number)

    async def look(page: int) -> None:
        for number in range(12):
            text = f"{page} {number}" if number % 2 else ""
            graph = schema.Graph.model_validate_json(
                await here.graph(reading, GraphQuery(clusters="never", text=text))
            )
            assert text or all(node.added <= graph.position for node in graph.nodes)
            schema.Learning.model_validate_json(await here.learning(reading, 5))

    await asyncio.gather(work(), *(look(page) for page in range(4)))
    await as_if_read_anew(memory, here)


async def test_taint_is_followed(memory: Memory, here: Inspector) -> None:
    held = await here.snapshots.at(TEAM)
    causes = {link.src for link in held.links.values() if link.type is LinkType.SUPPORTS}
    root = min(causes)
    assert not any(one.taint for one in held.records.values())
    await memory.quarantine([root], reason="odd")
    followed = await as_if_read_anew(memory, here)
    assert [one.id for one in followed.records.values() if one.taint]
    await play(memory, 20)
    await as_if_read_anew(memory, here)
    await memory.release(root, reason="fine")
    followed = await as_if_read_anew(memory, here)
    assert not any(one.taint for one in followed.records.values())
    rule = next(one for one in followed.records.values() if one.tier is Tier.INSIGHT)
    current = (await (await memory.view()).get([rule.id]))[rule.id]
    held_back = SetStatus(rule.id, current.revision, Status.QUARANTINED)
    await memory.write([held_back], reason="odd", id_="held")
    await as_if_read_anew(memory, here)
    await memory.revert("held")
    await as_if_read_anew(memory, here)


async def test_a_trial_that_closes_late_stands_where_it_was_added(
    memory: Memory, here: Inspector
) -> None:
    late = await begin(memory, 20)
    await here.snapshots.at(TEAM)
    await play(memory, 21)
    last = list((await as_if_read_anew(memory, here)).records)[-1]
    await memory.commit(late, Outcome.success())
    order = list((await as_if_read_anew(memory, here)).records)
    assert order.index(late.id) < order.index(last)


async def test_words_are_kept_with_their_snapshot(memory: Memory, here: Inspector) -> None:
    held = await here.snapshots.at(TEAM)
    graph_of(held, GraphQuery(), 0)
    assert held.words
    assert not (await Inspector(memory.store).snapshots.at(TEAM)).words
    await play(memory, 20)
    assert (await here.snapshots.at(TEAM)).words is held.words
    held.words |= {str(number): frozenset() for number in range(1_000)}
    await play(memory, 21)
    assert not (await here.snapshots.at(TEAM)).words


async def test_lift_is_measured_as_often_as_that_is_cheap(
    memory: Memory, here: Inspector, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, measured = [0.0], []
    here.clock = lambda: now[0]

    async def slow(*given: Any, **options: Any) -> Any:
        measured.append(now[0])
        now[0] += 3.0
        return await truly(*given, **options)

    truly = lift
    monkeypatch.setattr(state, "lift", slow)
    id_ = memory.trial_id("run-1", 0)
    first = await here.lift_of(TEAM, id_)
    assert first is not None
    for number in range(20, 23):
        await play(memory, number)
        assert await here.lift_of(TEAM, id_) == first
    now[0] += 61.0
    await here.lift_of(TEAM, id_)
    await here.lift_of(TEAM, "nobody")
    assert measured == [0.0, 64.0]


class Whole(list[Any]):
    """A list that nobody may go through."""

    def __iter__(self) -> Any:
        raise AssertionError("the whole log is gone through")


async def test_the_timeline_does_not_go_through_the_journal(
    memory: Memory, here: Inspector, reading: Reading
) -> None:
    log = await here.journals.of(TEAM)
    log.entries = Whole(log.entries)
    told = await timeline(reading, here.journals, 7)
    assert len(told.moments) == 7
    statistics = await memory.statistics()
    assert told.moments[-1].records == sum(statistics.records.values())


async def test_indexes_forget_the_oldest(
    memory: Memory, here: Inspector, reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "MOST", 20)
    monkeypatch.setattr(receipts, "MOST", 5)
    for number in range(20, 32):
        await play(memory, number)
        log, index = await here.journals.of(TEAM), await here.receipts.of(TEAM)
        assert len(log.entries) <= 22
        assert len(index.lines) <= 6
    present = (await memory.view()).position
    assert (log.entries[-1].position, log.complete) == (present, False)
    assert len(log.entries) == len(log.positions) == len(log.grown)
    assert min(min(of) for of in log.changed.values()) >= log.positions[0]
    assert not index.complete
    kept = {line.id for line in index.lines}
    assert index.known == kept
    assert {part.line.id for of in index.by_record.values() for part in of} <= kept
    assert {line.id for of in index.by_trial.values() for line in of} <= kept
    assert (await timeline(reading, here.journals, 3)).moments[-1].records is None


def events_of(page: Any) -> list[schema.Event]:
    """What waits for a page."""
    found = []
    while not page.queue.empty():
        body = page.queue.get_nowait().decode()
        data = next(line[6:] for line in body.splitlines() if line.startswith("data: "))
        found.append(schema.Event.model_validate_json(data))
    return found


async def test_no_change_is_lost_among_many(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look reads some entries at a time: also those of other scopes must not end it."""
    monkeypatch.setattr(live, "_READ", 8)
    monkeypatch.setattr(live, "QUEUED", 100)
    other = Memory(memory.store, scope="acme/blue", embedder=None)
    poller = Poller(memory.store, interval=3600.0)
    stream = poller.watch(TEAM, None)
    await anext(stream)
    before = (await memory.view()).position
    for number in range(5):
        await play(other, number)
    trials = [await play(memory, number) for number in range(20, 25)]
    await poller.look()
    page = next(iter(poller._pages))
    found = events_of(page)
    entries = [one.position for event in found for one in event.entries]
    journal = await memory.store.journal(TEAM, after=before)
    assert entries == [one.position for one in journal]
    assert set(trials) <= {id_ for event in found for id_ in event.ids}
    assert found[-1].position == (await memory.view()).position
    assert not any(event.more for event in found)
    await stream.aclose()
    await poller.close()


async def test_a_look_that_fails_is_not_the_last(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a look at the journal raises, the pages are told of what comes later."""
    poller = Poller(memory.store, interval=0.01)
    stream = poller.watch(TEAM, None)
    await anext(stream)
    look, failed = poller.look, asyncio.Event()

    async def fails_once() -> None:
        if not failed.is_set():
            failed.set()
            raise ValueError("not what a store raises")
        await look()

    monkeypatch.setattr(Poller, "look", lambda self: fails_once())
    await failed.wait()
    trial = await play(memory, 0)
    async with asyncio.timeout(30):
        while trial.encode() not in await anext(stream):
            pass
    assert "could not be looked at" in caplog.text
    await stream.aclose()
    await poller.close()
