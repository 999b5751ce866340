"""A hundred processes are killed while their eight writers write: nothing told is lost."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

import pytest

from triforium.graph import LinkType, Tier
from triforium.graph.audit import audit
from triforium.graph.sqlite import open_sqlite
from triforium.graph.store import Hop

pytestmark = pytest.mark.timeout(600)
KILLS = 100
WRITERS = 8
CHILD = """
import asyncio, sys
from triforium.graph import Add, AddCredit, AddLink, Changeset, Link, LinkType, Record, Tier
from triforium.graph.sqlite import open_sqlite

url, life, writers = sys.argv[1], sys.argv[2], int(sys.argv[3])

def insight(id_):
    return Record(id=id_, tier=Tier.INSIGHT, kind="rule", text="words of " + id_, scope="team")

async def write(store, writer):
    number = 0
    while True:
        name = f"{life}-{writer}-{number}"
        ops = [Add(insight(name + "a")), Add(insight(name + "b"))]
        ops.append(AddLink(Link(src=name + "a", dst=name + "b", type=LinkType.SUPPORTS)))
        ops.append(AddCredit(name + "a", "solver", name, uses=1.0))
        await store.apply(Changeset(id=name, scope="team", ops=tuple(ops)))
        print(name, flush=True)
        number += 1

async def main():
    store = await open_sqlite(url)
    print("writing", flush=True)
    await asyncio.gather(*(write(store, writer) for writer in range(writers)))

asyncio.run(main())
"""


async def _live_and_die(url: str, life: int, moment: float) -> list[str]:
    """Start a child, kill it `moment` seconds after it began to write; what it acknowledged."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, url, str(life), str(WRITERS),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert await process.stdout.readline() == b"writing\n"
    reading = asyncio.create_task(process.stdout.read())
    done, _ = await asyncio.wait({reading}, timeout=moment)
    assert not done, "the child ended by itself"
    process.kill()
    told = (await reading).decode()
    await process.wait()
    # A last line without its end was not told.
    return told.split("\n")[:-1]


async def test_a_hundred_kills(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/team.db"
    await (await open_sqlite(url)).close()
    rng = random.Random(5)
    told: list[str] = []
    for life in range(KILLS):
        told += await _live_and_die(url, life, rng.uniform(0.001, 0.08))
    assert len(told) > KILLS
    store = await open_sqlite(url)
    try:
        view = await store.view("team")
        records = {one.id: one for one in await view.recent(tiers=frozenset(Tier), k=10**6)}
        hop = Hop(frozenset({LinkType.SUPPORTS}), "out")
        for start in range(0, len(told), 500):
            names = told[start : start + 500]
            walk = await view.walk([f"{name}a" for name in names], [hop])
            linked = {(link.src, link.dst) for link in walk.links}
            for name in names:
                assert records[f"{name}a"].credit["solver"].uses == 1.0
                assert (f"{name}a", f"{name}b") in linked
        # What was written and not acknowledged is there whole, or not at all.
        ends = {id_[:-1] for id_ in records}
        assert all(f"{name}a" in records and f"{name}b" in records for name in ends)
        assert await audit(store) == ()
    finally:
        await store.close()
