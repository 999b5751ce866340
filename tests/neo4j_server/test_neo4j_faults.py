"""What may happen to a fleet: a server or a writer dies, a clock lies, a network is slow."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from triforium import embodied
from triforium.errors import Busy, NotAStore, StoreError, Unavailable
from triforium.graph import Add, AddCredit, SetStatus, Status
from triforium.graph.audit import audit
from triforium.graph.neo4j import open_neo4j
from triforium.graph.neo4j.server import Server, parse
from triforium.testing.store_conformance import TEAM, changes, insight
from triforium.workflows.household import Household

from . import servers

pytestmark = pytest.mark.timeout(400)
ROOT = Path(__file__).parents[2]
WRITERS = 16


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Place]:
    """A server of this module's own, which may be killed."""
    servers.places()  # skips, where there are none
    folder, port = tmp_path_factory.mktemp("neo4j"), _free_port()
    environment = os.environ | {
        "TRIFORIUM_NEO4J_DIR": str(folder),
        "TRIFORIUM_NEO4J_PORT": str(port),
        "TRIFORIUM_NEO4J_MEMORY": "512m",
    }
    script = str(ROOT / "scripts/neo4j")
    subprocess.run([script, "start"], env=environment, check=True, capture_output=True)
    yield servers.Place(folder / str(port))
    subprocess.run([script, "stop"], env=environment, check=True, capture_output=True)


async def _restart(place: servers.Place) -> None:
    environment = os.environ | {"TRIFORIUM_NEO4J_DIR": str(place.home.parent)}
    process = await asyncio.create_subprocess_exec(
        str(ROOT / "scripts/neo4j"), "restart", str(place.port), env=environment,
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert await process.wait() == 0


async def _kill(place: servers.Place, number: int = signal.SIGKILL) -> None:
    os.kill(place.pid, number)
    # It is no child of ours, so there is nothing to wait on.
    while place.runs():  # noqa: ASYNC110
        await asyncio.sleep(0.05)


async def test_the_server_is_killed_under_sixteen_writers(own: servers.Place) -> None:
    """Nothing acknowledged is lost, nothing is doubled, and the writers go on."""
    await servers.wipe(own)
    store = await open_neo4j(own.url, credentials=own.credentials, patience=5.0)
    acknowledged: list[str] = []
    killed, back, busy = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def write(writer: int) -> None:
        number = 0
        last = -1
        while number <= last or last < 0:
            name = f"{writer}-{number}"
            one = changes(name, Add(insight(name)), AddCredit(name, "solver", name, uses=1.0))
            try:
                await store.apply(one)
            except (Unavailable, Busy):
                # Before it is killed, a busy machine may let a server take too long as well.
                await (back.wait() if killed.is_set() else asyncio.sleep(0.1))
                continue
            acknowledged.append(name)
            if len(acknowledged) >= 200:
                busy.set()
            number += 1
            if back.is_set() and last < 0:
                last = number + 5

    async def kill() -> None:
        await busy.wait()
        await _kill(own)
        killed.set()
        await _restart(own)
        back.set()

    try:
        await asyncio.gather(kill(), *(write(writer) for writer in range(WRITERS)))
        assert killed.is_set()
        assert len(acknowledged) == len(set(acknowledged))
        there = await (await store.view(TEAM)).get(acknowledged)
        assert set(there) == set(acknowledged)
        assert all(record.credit["solver"].uses == 1.0 for record in there.values())
        journal = [one for start in range(0, 10**5, 1000) if (some := await store.journal(
            TEAM, after=start)) for one in some]  # fmt: skip
        ids = [entry.changeset.id for entry in journal]
        assert len(ids) == len(set(ids))
        assert [entry.position for entry in journal] == list(range(1, len(journal) + 1))
        assert await audit(store) == ()
    finally:
        await store.close()


async def test_a_run_goes_on_after_an_outage(
    own: servers.Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A team that meets an outage fails with a retryable error, and resumes without loss."""
    await servers.wipe(own)
    name, password = own.credentials
    monkeypatch.setenv("NEO4J_USERNAME", name)
    monkeypatch.setenv("NEO4J_PASSWORD", password)
    world = Household(layouts=2)
    tasks = world.tasks(4)
    ended = 0
    async with embodied(world).open(store=own.url) as app:
        async for run in app.stream(tasks[:2]):
            assert run.outcome is not None
            ended += 1
    await _kill(own)
    with pytest.raises(Unavailable):
        async with embodied(world).open(store=own.url):
            pass
    await _restart(own)
    async with embodied(world).open(store=own.url) as app:
        async for run in app.stream(tasks[2:]):
            assert run.outcome is not None
            ended += 1
        statistics = await app.memory.statistics()
    assert sum(statistics.outcomes.values()) == ended == 4


CREDITOR = """
import asyncio, sys
from triforium.graph import AddCredit, Changeset
from triforium.graph.neo4j import open_neo4j

async def main(url, password, name, count):
    store = await open_neo4j(url, credentials=("neo4j", password))
    await asyncio.gather(*(store.apply(Changeset(
        id=f"{name}{n}", scope="org/team",
        ops=(AddCredit("shared", "solver", f"{name}{n}", uses=1.0, helped=0.5),),
    )) for n in range(count)))
    await store.close()

asyncio.run(main(sys.argv[1], sys.stdin.readline().strip(), sys.argv[2], int(sys.argv[3])))
"""


async def _python(code: str, place: servers.Place, *arguments: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, place.url, *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(f"{place.credentials[1]}\n".encode())
    await process.stdin.drain()
    return process


async def test_two_processes_credit_one_insight() -> None:
    """A thousand credits from each of two processes add up."""
    async with servers.empty_place() as place:
        store = await open_neo4j(place.url, credentials=place.credentials)
        try:
            await store.apply(changes("c", Add(insight("shared"))))
            running = [await _python(CREDITOR, place, name, "1000") for name in "ab"]
            assert [await process.wait() for process in running] == [0, 0]
            credit = (await (await store.view(TEAM)).get(["shared"]))["shared"].credit["solver"]
            assert (credit.uses, credit.helped) == (2000.0, 1000.0)
            assert (await store.view(TEAM)).position == 2001
        finally:
            await store.close()


HOLDER = """
import asyncio, sys, neo4j
from triforium.graph.neo4j import cypher

async def main(url, password):
    async with neo4j.AsyncGraphDatabase.driver(url, auth=("neo4j", password)) as driver:
        async with driver.session() as session:
            transaction = await session.begin_transaction()
            none = {name: [] for name in
                    ("changesets", "records", "closing", "links", "expiring", "credits")}
            await (await transaction.run(cypher.LOCK_AND_LOAD, **none)).consume()
            await (await transaction.run("CREATE (:Changeset {id: 'half', position: 1})")).consume()
            print("holding", flush=True)
            await asyncio.Event().wait()

asyncio.run(main(sys.argv[1], sys.stdin.readline().strip()))
"""


async def test_a_writer_dies_half_way() -> None:
    """What a dead writer had begun is gone, and so is its lock."""
    async with servers.empty_place() as place:
        store = await open_neo4j(place.url, credentials=place.credentials)
        try:
            holder = await _python(HOLDER, place)
            assert holder.stdout is not None
            assert await holder.stdout.readline() == b"holding\n"
            writing = asyncio.create_task(store.apply(changes("c", Add(insight("a")))))
            done, _ = await asyncio.wait({writing}, timeout=0.3)
            assert not done, "the lock was not held"
            holder.kill()
            await holder.wait()
            async with asyncio.timeout(60):
                assert (await writing).position == 1
            assert [entry.changeset.id for entry in await store.journal("")] == ["c"]
        finally:
            await store.close()


async def test_a_clock_that_is_an_hour_off() -> None:
    """Positions and times rise, whatever the clocks of the writers say."""
    async with servers.empty_place() as place:
        late = timedelta(hours=1)
        offsets = {"right": timedelta(0), "fast": late, "slow": -late}
        stores = {
            name: await open_neo4j(
                place.url,
                credentials=place.credentials,
                clock=lambda offset=offset: datetime.now(UTC) + offset,  # type: ignore[misc]
            )
            for name, offset in offsets.items()
        }
        try:
            for number in range(4):
                for name, store in stores.items():
                    await store.apply(changes(f"{name}{number}", Add(insight(f"{name}{number}"))))
            journal = await stores["right"].journal(TEAM)
            assert [entry.position for entry in journal] == list(range(1, 13))
            times = [entry.created_at for entry in journal]
            assert times == sorted(set(times))
        finally:
            for store in stores.values():
                await store.close()


@asynccontextmanager
async def _slow(port: int, seconds: dict[str, float]) -> AsyncIterator[int]:
    """A proxy in front of a server that holds every answer back for so many seconds."""

    lines: set[asyncio.Task[Any] | None] = set()

    async def pump(reader: Any, writer: Any, *, hold: bool) -> None:
        while data := await reader.read(65536):
            if hold and seconds["hold"]:
                await asyncio.sleep(seconds["hold"])
            writer.write(data)
            await writer.drain()
        writer.close()

    async def connected(reader: Any, writer: Any) -> None:
        lines.add(asyncio.current_task())
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
        pumps = (
            pump(reader, there_writer, hold=False),
            pump(there_reader, writer, hold=True),
        )
        try:
            await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            for one in (there_writer, writer):
                one.close()
                with suppress(OSError):
                    await one.wait_closed()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for line in lines:
            if line is not None:
                line.cancel()
        await asyncio.gather(*filter(None, lines), return_exceptions=True)


async def test_a_slow_server_and_a_deadline() -> None:
    """A deadline holds although the server is slow; what was accepted is applied once."""
    async with servers.empty_place() as place:
        held = {"hold": 0.0}
        async with _slow(place.port, held) as port:
            store = await open_neo4j(f"bolt://127.0.0.1:{port}", credentials=place.credentials)
            try:
                held["hold"] = 1.0
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.3):
                        await store.apply(changes("c", Add(insight("a"))))
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.3):
                        await store.view(TEAM)
                held["hold"] = 0.0
                applied = await store.apply(changes("c", Add(insight("a"))))
                assert applied.position == 1
                assert set(await (await store.view(TEAM)).get(["a"])) == {"a"}
            finally:
                await store.close()


async def test_a_lock_that_is_held_too_long() -> None:
    """A writer does not wait for ever: it says Busy, which may be tried again."""
    async with servers.empty_place() as place:
        store = await open_neo4j(place.url, credentials=place.credentials, patience=1.0)
        try:
            holder = await _python(HOLDER, place)
            assert holder.stdout is not None
            assert await holder.stdout.readline() == b"holding\n"
            async with asyncio.timeout(60):
                with pytest.raises((Busy, Unavailable)) as caught:
                    await store.apply(changes("c", Add(insight("a"))))
            assert caught.value.retryable
            holder.kill()
            await holder.wait()
            async with asyncio.timeout(60):
                while True:
                    try:
                        applied = await store.apply(changes("c", Add(insight("a"))))
                        break
                    except (Busy, Unavailable):
                        continue
            assert applied.position == 1
        finally:
            await store.close()


async def test_clear_errors_at_opening(own: servers.Place) -> None:
    """What is wrong with a server is said in a sentence, without the password."""
    with pytest.raises(Unavailable, match="cannot be reached") as down:
        await open_neo4j("bolt://127.0.0.1:1", credentials=("neo4j", "secret"), patience=1.0)
    assert down.value.retryable
    with pytest.raises(StoreError, match="refuses the credentials") as wrong:
        await open_neo4j(own.url, credentials=("neo4j", "secret-and-wrong"), patience=1.0)
    assert "secret" not in str(wrong.value)
    await servers.wipe(own)
    server = Server(parse(own.url), own.credentials)
    try:
        await server.write("CREATE (n:Other) RETURN n")
        with pytest.raises(NotAStore, match="something else"):
            await open_neo4j(own.url, credentials=own.credentials)
        await servers.wipe(own)
        await (await open_neo4j(own.url, credentials=own.credentials)).close()
        await server.schema("DROP INDEX triforium_receipt_run")
        with pytest.raises(StoreError, match="lacks the index triforium_receipt_run"):
            await open_neo4j(own.url, credentials=own.credentials)
        await servers.wipe(own)
        store = await open_neo4j(own.url, credentials=own.credentials)
        await store.apply(changes("c", Add(insight("a"))))
        await store.apply(changes("d", SetStatus("a", 1, Status.ARCHIVED)))
        await store.close()
    finally:
        await server.close()


async def test_an_old_server(own: servers.Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that lacks what the store needs is refused with its version."""

    async def version(_: Server) -> tuple[str, str]:
        return "5.20.0", "community"

    monkeypatch.setattr(Server, "version", version)
    with pytest.raises(StoreError, match=r"5\.20\.0"):
        await open_neo4j(own.url, credentials=own.credentials)


async def test_a_database_that_may_only_be_read(own: servers.Place) -> None:
    """What is in it is read; writing says that it is read-only, and so does making a store."""
    await servers.wipe(own)
    store = await open_neo4j(own.url, credentials=own.credentials)
    await store.apply(changes("c", Add(insight("a"))))
    server = Server(parse(own.url), own.credentials)
    try:
        # A transaction that was begun for reading, and one of the whole database.
        with pytest.raises(StoreError, match="read-only"):
            await server.rows("CREATE (n:Other) RETURN n")
    finally:
        await server.close()
        await store.close()
    conf = own.home / "neo4j.conf"
    writable = conf.read_text()
    conf.write_text(f"{writable}server.databases.default_to_read_only=true\n")
    try:
        # In order: after a crash the server would have to write, to recover.
        await _kill(own, signal.SIGTERM)
        await _restart(own)
        store = await open_neo4j(own.url, credentials=own.credentials, patience=60.0)
        try:
            assert set(await (await store.view(TEAM)).get(["a"])) == {"a"}
            with pytest.raises(StoreError, match="read-only") as caught:
                await store.apply(changes("d", Add(insight("b"))))
            assert own.credentials[1] not in str(caught.value)
        finally:
            await store.close()
    finally:
        conf.write_text(writable)
        await _kill(own, signal.SIGTERM)
        await _restart(own)
