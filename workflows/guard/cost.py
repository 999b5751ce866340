"""The suite `cost`: what the guard adds to a recall, on a memory of 100,000 records."""

from __future__ import annotations

import gc
import os
import platform
import random
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from ...graph.open import open_store
from ...memory import Memory
from ...memory.embedders import get_embedder
from ...memory.guard import OpenGuard
from ...memory.guard.consensus import ConsensusGuard
from ...memory.stages import recall
from ...memory.strategy import Cue
from ..memory_ops import BATCH, SCOPE, quantile
from ..memory_ops_data import Grown, Mix
from .suites import Arm, GuardSettings, Progress, SuiteResult

SOURCES = 40
"""Who wrote the memory, in turn."""
ITEMS = 8
"""Records in a recall."""


async def run(settings: GuardSettings, progress: Progress) -> SuiteResult:
    """Measure paired recalls: each task with the guard and without it, in random order.

    Options: ``records`` (of the memory), ``recalls`` (timed, of each kind).

    Raises:
        InvalidInput: An option cannot be used.
    """
    records = settings.number("records", 100_000)
    recalls = settings.number("recalls", 300)
    seed = settings.seeds[0] if settings.seeds else 0
    embedder = get_embedder("wordllama")
    assert embedder is not None
    embedder.embed(["warm"])
    grown = Grown(Mix.of(records), seed, SCOPE)
    with tempfile.TemporaryDirectory(prefix="triforium-") as folder:
        store = await open_store(f"sqlite:///{folder}/memory.db")
        try:
            memory = Memory(store, scope=SCOPE, source="team-0", embedder=embedder)
            done = 0
            for number, ops in enumerate(grown.batches(BATCH)):
                progress("growing", done, records)
                writer = memory.scoped(SCOPE, source=f"team-{number % SOURCES}")
                await writer.write(ops, reason="grown")
                done += len(ops)
            progress("growing", records, records)
            tasks = grown.unseen(recalls + 30, "timed")
            taken = await _time(memory, tasks, seed, progress)
        finally:
            await store.close()
    without, guarded, cpu = ([row[n] for row in taken] for n in range(3))
    added = [b - a for a, b in zip(without, guarded, strict=True)]
    return SuiteResult(
        arms=(
            _arm("off:recall", without, []),
            _arm("triforium:recall", guarded, added),
        ),
        more={
            "records": records,
            "items": ITEMS,
            "added_cpu_p50_ms": quantile(cpu, 0.5).to_json(),
            "environment": {
                "python": platform.python_version(),
                "sqlite": sqlite3.sqlite_version,
                "processors": os.cpu_count(),
                "load": os.getloadavg()[0],
            },
        },
        columns=("recall_p50_ms", "added_p50_ms"),
    )


def _arm(name: str, values: Sequence[float], added: Sequence[float]) -> Arm:
    metrics = {"recall_p50_ms": quantile(values, 0.5).to_json()}
    if added:
        metrics["added_p50_ms"] = quantile(added, 0.5).to_json()
    return Arm(name=name, n=len(values), metrics=metrics)


async def _time(
    memory: Memory, tasks: Sequence[str], seed: int, progress: Progress
) -> list[tuple[float, float, float]]:
    """Milliseconds without the guard, with it, and what it adds in time of the processor."""
    rng = random.Random(seed)
    guards: tuple[Any, Any] = (OpenGuard(), ConsensusGuard())
    budget = await _budget(memory, tasks[:10])
    taken = []
    gc.collect()
    for number, task in enumerate(tasks):
        progress("recalls", number, len(tasks))
        wall, cpu = [0.0, 0.0], [0.0, 0.0]
        for which in rng.sample((0, 1), 2):
            began, spent = time.perf_counter(), time.process_time()
            await _recall(memory, task, guards[which], budget)
            wall[which] = (time.perf_counter() - began) * 1000
            cpu[which] = (time.process_time() - spent) * 1000
        if number >= 30:
            # The first ones warm the caches up.
            taken.append((wall[0], wall[1], cpu[1] - cpu[0]))
    progress("recalls", len(tasks), len(tasks))
    return taken


async def _recall(memory: Memory, task: str, guard: Any, budget: int) -> int:
    assert memory.embedder is not None
    view = await memory.store.view(SCOPE)
    cue = Cue(task=task, vector=memory.embedder.embed([task])[0], budget=budget)
    recalled = await recall(
        view, memory.strategy, guard, cue, receipt="cost", hold_out=0.0,
        count_tokens=memory.embedder.count_tokens,
    )  # fmt: skip
    return len(recalled.items)


async def _budget(memory: Memory, tasks: Sequence[str]) -> int:
    """Tokens in which `ITEMS` records fit, on average."""
    budget = 50
    while budget < 4000:
        found = [await _recall(memory, task, OpenGuard(), budget) for task in tasks]
        if sum(found) >= ITEMS * len(tasks):
            break
        budget += 50
    return budget
