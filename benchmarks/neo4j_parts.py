"""What a recall and a commit on Neo4j are made of, on a memory that `bench memory-ops` has filled.

    scripts/neo4j start          # shows how to set NEO4J_USERNAME and NEO4J_PASSWORD
    triforium bench memory-ops --store neo4j://127.0.0.1:17687 --records 100000
    python benchmarks/neo4j_parts.py --store neo4j://127.0.0.1:17687

Recalls are timed of a process that keeps trials and insights in memory, and of one that keeps
nothing and puts each search and walk to the server. A part of a recall is the time between a
question to the server and its answer, as the event loop sees it; the rest of the recall is Python.
Commits differ in what the server has to index: thirty steps have neither words nor vectors, a task
has words, with an embedder a vector as well.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from triforium.errors import TriforiumError
from triforium.graph import Add, Changeset, Op, Provenance, Record, Tier
from triforium.graph.neo4j import Neo4jStore, open_neo4j
from triforium.graph.neo4j.server import Server
from triforium.memory import Memory
from triforium.memory.embedders import Embedder, get_embedder
from triforium.workflows.memory_ops import SCOPE, SOURCE
from triforium.workflows.memory_ops_data import Grown, Mix

STEPS = 30
WARM_UP = 300


def part_of(query: str) -> str:
    """What a query of a recall is for."""
    if "queryNodes" in query:
        return "search"
    if "$since" in query:
        return "head, and what changed since"
    if "$seeds" in query:
        return "walk"
    if query.startswith("UNWIND $ids"):
        return "records not known yet"
    return "receipt" if "(t:Receipt" in query else "head"


class Timed:
    """Measures each question to the server while it is in use."""

    def __init__(self) -> None:
        self.taken: dict[str, list[float]] = {}

    def __enter__(self) -> Timed:
        self._query = query = Server._query

        async def timed(
            server: Server, text: str, parameters: Mapping[str, Any], *, writing: bool
        ) -> Any:
            began = time.perf_counter()
            try:
                return await query(server, text, parameters, writing=writing)
            finally:
                self.taken.setdefault(part_of(text), []).append(time.perf_counter() - began)

        Server._query = timed  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        Server._query = self._query  # type: ignore[method-assign]


def show(name: str, taken: Sequence[float]) -> None:
    """Print the median, and the middle half."""
    low, middle, high = (1000 * one for one in statistics.quantiles(taken, n=4))
    print(f"{name:34} {middle:6.1f} ms  [{low:.1f}, {high:.1f}]  n {len(taken)}")


async def recalls(store: Neo4jStore, embedder: Embedder, tasks: Sequence[str]) -> None:
    """Time whole recalls and their parts."""
    memory = Memory(store, scope=SCOPE, source=SOURCE, embedder=embedder)
    for task in tasks[:WARM_UP]:
        await memory.recall(task)
    whole = []
    with Timed() as timed:
        for task in tasks[WARM_UP:]:
            began = time.perf_counter()
            await memory.recall(task)
            whole.append(time.perf_counter() - began)
    show("recall", whole)
    for name, taken in timed.taken.items():
        show(f"  {name}", taken)


async def searches(store: Neo4jStore, embedder: Embedder, tasks: Sequence[str]) -> None:
    """Time searches of the server, also without one channel."""
    memory = Memory(store, scope=SCOPE, source=SOURCE, embedder=embedder)
    view = await memory.view()
    for name, words, meaning in (
        ("search by words and meaning", True, True),
        ("search by words", True, False),
        ("search by meaning", False, True),
    ):
        spent = []
        for task in tasks:
            vectors = embedder.embed([task]) if meaning else None
            began = time.perf_counter()
            await view.search([task] if words else [], vectors)
            spent.append(time.perf_counter() - began)
        show(name, spent[WARM_UP:])


async def commits(store: Neo4jStore, embedder: Embedder, count: int) -> None:
    """Time commits of what the server indexes more and more of."""
    for name, task, vector in (
        ("commit of 30 steps", False, False),
        ("commit of 30 steps and a task", True, False),
        ("the same with its vector", True, True),
    ):
        taken = []
        for _ in range(WARM_UP // 12 + count):
            ops: list[Op] = [Add(_record(Tier.INTERACTION)) for _ in range(STEPS)]
            vectors = {}
            if task:
                record = _record(Tier.QUERY)
                ops.append(Add(record))
                if vector:
                    vectors[record.id] = embedder.embed([record.text])[0]
            changes = Changeset(id=uuid.uuid4().hex, scope=SCOPE, actor=SOURCE, ops=tuple(ops))
            fingerprint = embedder.fingerprint if vector else ""
            began = time.perf_counter()
            await store.apply(changes, vectors=vectors, embedder=fingerprint)
            taken.append(time.perf_counter() - began)
        show(name, taken[-count:])


def _record(tier: Tier) -> Record:
    id_ = uuid.uuid4().hex
    kind = "task" if tier is Tier.QUERY else "action"
    return Record(
        id=id_, tier=tier, kind=kind, scope=SCOPE, text=f"measure {id_[:6]} and put it on a shelf",
        provenance=Provenance(source=SOURCE),
    )  # fmt: skip


async def main(url: str, count: int, seed: int) -> None:
    """Measure a store."""
    embedder = get_embedder("wordllama")
    assert embedder is not None
    embedder.embed(["warm"])
    store, plain = await open_neo4j(url), await open_neo4j(url, kept=0)
    try:
        held = sum((await store.statistics(SCOPE)).records.values())
        print(f"{held:,} records in {store.url}")
        tasks = Grown(Mix.of(100_000), seed, SCOPE).unseen(WARM_UP + count, "parts")
        for name, one in (("trials and insights kept in memory", store), ("nothing kept", plain)):
            print(name)
            await recalls(one, embedder, tasks)
        await searches(plain, embedder, tasks)
        await commits(store, embedder, count)
    finally:
        await plain.close()
        await store.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--store", required=True, metavar="URL", help="What memory-ops filled.")
    parser.add_argument("--count", type=int, default=200, help="Timed calls of each kind.")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    try:
        asyncio.run(main(given.store, given.count, given.seed))
    except TriforiumError as error:
        sys.exit(str(error))
