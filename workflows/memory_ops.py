"""`triforium bench memory-ops`: how fast a store serves a memory of a given size.

The memory is grown through `Memory.write`, like any other. Then, while one writer goes on writing,
whole recalls and commits of long trials are timed one after the other, as one agent would call
them; what the timed recalls looked at is compared with exhaustive scoring afterwards.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.metadata
import math
import os
import platform
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from .. import __version__
from ..errors import InvalidInput
from ..graph import SEARCHABLE, Add, Op, Statistics, Store, Tier, digest
from ..graph.open import open_store
from ..memory import Memory
from ..memory.embedders import Embedder, embed_async, get_embedder
from .memory_ops_data import LONG_TRIAL, Grown, Mix
from .memory_ops_overlap import Everything, Watched, overlap
from .results import Metric, mean, write_result
from .runner import progress_bar

SCOPE = "bench"
SOURCE = "memory-ops"
BATCH = 2_000
"""Records of one changeset while the memory is grown."""
PACE = 0.05
"""Seconds from one trial of the writer to the next, if the store keeps up."""
OPENINGS = 7
WARM_UP = {"sqlite": 50}
WARM_UP_SERVER = 1_500
"""A Java virtual machine compiles what it runs often only after many calls, and beside them."""
COMMITS_PER_WARM_UP = 5
"""Calls of the warm-up for each commit of it: they are much larger."""
_LONG = 1_000_000_000
"""Numbers of the long trials, apart from all others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpsSettings:
    """What to measure.

    Attributes:
        store: URL of an empty store; a temporary SQLite file if empty.
        records: Size of the memory.
        seed: Of all that is drawn.
        warm_up: Calls before the timing begins; -1 for what suits the store.
        recalls: Timed recalls.
        commits: Timed commits.
    """

    store: str = ""
    records: int = 100_000
    seed: int = 0
    warm_up: int = -1
    recalls: int = 500
    commits: int = 100

    def warm_up_of(self, url: str) -> int:
        """Calls before the timing begins, for a store at `url`."""
        if self.warm_up >= 0:
            return self.warm_up
        return WARM_UP.get(url.split(":", 1)[0], WARM_UP_SERVER)


async def run_memory_ops(
    settings: OpsSettings, *, out: Path, command: str, console: Console
) -> dict[str, Any]:
    """Grow a memory, time it, and write `result.json`.

    Args:
        settings: What to measure.
        out: Folder for the result.
        command: As it was typed.
        console: Shows progress and the table.

    Returns:
        What stands in `result.json`.

    Raises:
        InvalidInput: The store is not empty, or the settings cannot be measured.
    """
    mix = Mix.of(settings.records)
    if settings.recalls < 1 or settings.commits < 1:
        raise InvalidInput("There must be a recall and a commit at least to measure them.")
    if settings.store:
        result = await _measure(settings, mix, settings.store, command, console)
    else:
        with tempfile.TemporaryDirectory(prefix="triforium-") as folder:
            # Not `sqlite://`, which does not wait for the disk.
            url = f"sqlite:///{folder}/memory.db"
            result = await _measure(settings, mix, url, command, console)
    await asyncio.to_thread(_save, out, result)
    show_memory_ops(result, console)
    return result


async def _measure(
    settings: OpsSettings, mix: Mix, url: str, command: str, console: Console
) -> dict[str, Any]:
    started = time.monotonic()
    embedder = get_embedder("wordllama")
    assert embedder is not None
    # Loading the weights is no part of anything that is measured.
    await asyncio.to_thread(embedder.embed, ["warm"])
    grown = Grown(mix, settings.seed, SCOPE)
    import_seconds = await _grow(url, grown, embedder, console)
    openings = await _openings(url)
    strategy = Watched()
    store = await open_store(url)
    try:
        memory = Memory(store, scope=SCOPE, source=SOURCE, strategy=strategy, embedder=embedder)
        timed = await _time(memory, strategy, embedder, grown, settings, console)
        statistics = await store.statistics(SCOPE)
        overlaps = await _overlaps(memory, strategy, embedder, console)
        environment = await _environment(store)
    finally:
        await store.close()
    both = [sum(pair) / len(pair) for pair in zip(*overlaps.values(), strict=True)]
    return {
        "name": "memory-ops",
        "version": __version__,
        "command": command,
        "seed": settings.seed,
        "n": settings.records,
        "settings": {**asdict(settings), "store": store.url, "warm_up": timed.warm_up},
        "mix": asdict(mix),
        "metrics": {
            "recall_p50_ms": quantile(timed.recalls, 0.5).to_json(),
            "recall_p99_ms": quantile(timed.recalls, 0.99).to_json(),
            "commit_p50_ms": quantile(timed.commits, 0.5).to_json(),
            "commit_p99_ms": quantile(timed.commits, 0.99).to_json(),
            "open_ms": quantile(openings, 0.5).to_json(),
            "overlap_at_10": mean(both, seed=settings.seed).to_json(),
            "overlap_at_10_trials": mean(overlaps[Tier.QUERY], seed=settings.seed).to_json(),
            "overlap_at_10_insights": mean(overlaps[Tier.INSIGHT], seed=settings.seed).to_json(),
            "records_per_second": {"value": round(mix.records / import_seconds, 1)},
        },
        "counts": {
            "recalls": len(timed.recalls),
            "commits": len(timed.commits),
            "openings": len(openings),
            "commits_found_on_return": timed.found,
        },
        "first_recall_ms": round(timed.first, 3),
        "import_seconds": round(import_seconds, 3),
        "writer": timed.writer,
        "long_trial": dict(zip(("records", "links", "credits"), LONG_TRIAL, strict=True)),
        "store": _sizes(statistics),
        "environment": environment,
        "seconds": round(time.monotonic() - started, 1),
    }


# --- growing --------------------------------------------------------------------------------------


async def _grow(url: str, grown: Grown, embedder: Embedder, console: Console) -> float:
    """Write the whole memory; returns the seconds that the store and the embedder took."""
    store = await open_store(url)
    try:
        there = await store.statistics("")
        if there.position or there.receipts:
            raise InvalidInput(
                f"The store at {store.url} is not empty: it holds {there.position:,} changesets. "
                "Give --store the URL of an empty one.",
                url=store.url,
            )
        memory = Memory(store, scope=SCOPE, source=SOURCE, embedder=embedder)
        spent = 0.0
        with progress_bar(console) as bar:
            line = bar.add_task("growing", total=grown.mix.records, note="")
            for number, ops in enumerate(grown.batches(BATCH)):
                began = time.perf_counter()
                await memory.write(ops, reason="grown", id_=digest("memory-ops batch", number))
                spent += time.perf_counter() - began
                bar.update(line, advance=sum(op.op == "ADD" for op in ops))
        return spent
    finally:
        await store.close()


async def _openings(url: str) -> list[float]:
    """Milliseconds until a store gives its first View, once for each opening."""
    taken = []
    for _ in range(OPENINGS):
        began = time.perf_counter()
        store = await open_store(url)
        try:
            await store.view(SCOPE)
            taken.append(_since(began))
        finally:
            await store.close()
    return taken


# --- timing ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Timed:
    first: float
    recalls: list[float]
    commits: list[float]
    found: int
    writer: Mapping[str, Any]
    warm_up: int


async def _time(
    memory: Memory,
    strategy: Watched,
    embedder: Embedder,
    grown: Grown,
    settings: OpsSettings,
    console: Console,
) -> _Timed:
    warm_up = settings.warm_up_of(memory.store.url)
    long_ones = iter(range(_LONG, 2 * _LONG))
    tasks = grown.unseen(settings.recalls, "timed")
    warming = grown.unseen(warm_up + 1, "warm-up")
    # What growing left is not to be collected while something is timed, nor looked through: the
    # drawn memory is held by who measures, not by who uses a store.
    gc.collect()
    gc.freeze()
    began = time.perf_counter()
    await memory.recall(warming[-1])
    first = _since(began)
    recalls: list[float] = []
    commits: list[float] = []
    found = 0
    with progress_bar(console) as bar:
        line = bar.add_task("timing", total=len(tasks) + settings.commits, note="")
        async with _writing(memory, grown) as writer:
            for task in warming[:-1]:
                await memory.recall(task)
            strategy.watching = True
            for task in tasks:
                began = time.perf_counter()
                await memory.recall(task)
                recalls.append(_since(began))
                bar.update(line, advance=1)
            strategy.watching = False
            for _ in range(warm_up // COMMITS_PER_WARM_UP):
                await memory.write(grown.long_trial(next(long_ones)), reason="warm-up")
            for _ in range(settings.commits):
                ops = grown.long_trial(next(long_ones))
                began = time.perf_counter()
                await memory.write(ops, reason="trial")
                commits.append(_since(began))
                found += await _are_found(memory, embedder, ops)
                bar.update(line, advance=1)
    gc.unfreeze()
    return _Timed(first, recalls, commits, found, writer.to_json(), warm_up)


async def _are_found(memory: Memory, embedder: Embedder, ops: Sequence[Op]) -> bool:
    """Whether the next search finds what was just written, by its own words and meaning."""
    written = [
        op.record for op in ops if isinstance(op, Add) and op.record.tier is not Tier.INTERACTION
    ]
    texts = [record.text for record in written]
    view = await memory.view()
    found = await view.search(texts, await embed_async(embedder, texts))
    return {record.id for record in written} <= {hit.record.id for hit in found.hits}


@dataclass(slots=True)
class _Writer:
    trials: int = 0
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "pace_ms": PACE * 1000,
            "trials": self.trials,
            "trials_per_second": round(self.trials / self.seconds, 2) if self.seconds else 0.0,
        }


@asynccontextmanager
async def _writing(memory: Memory, grown: Grown) -> AsyncIterator[_Writer]:
    """One writer in the background: a trial of 24 steps every `PACE`, if the store keeps up."""
    writer = _Writer()
    stop = asyncio.Event()

    async def write() -> None:
        while not stop.is_set():
            began = time.perf_counter()
            await memory.write(grown.trial(grown.mix.trials + writer.trials), reason="writer")
            writer.trials += 1
            left = PACE - (time.perf_counter() - began)
            try:
                await asyncio.wait_for(stop.wait(), max(left, 0.0))
            except TimeoutError:
                continue

    began = time.perf_counter()
    task = asyncio.create_task(write(), name="memory-ops writer")
    try:
        yield writer
    finally:
        stop.set()
        await task
        writer.seconds = time.perf_counter() - began


def _since(began: float) -> float:
    """Milliseconds since a reading of the performance counter."""
    return (time.perf_counter() - began) * 1000


async def _overlaps(
    memory: Memory, strategy: Watched, embedder: Embedder, console: Console
) -> dict[Tier, list[float]]:
    """Per tier and timed recall, see `overlap`."""
    view = await memory.view()
    everything = {tier: await Everything.of(view, tier, embedder) for tier in sorted(SEARCHABLE)}
    overlaps: dict[Tier, list[float]] = {tier: [] for tier in everything}
    with progress_bar(console) as bar:
        line = bar.add_task("exhaustive scoring", total=len(strategy.calls), note="")
        for call in strategy.calls:
            for tier, all_of_it in everything.items():
                overlaps[tier].append(overlap(call, tier, all_of_it))
            bar.update(line, advance=1)
    return overlaps


# --- the result -----------------------------------------------------------------------------------


def quantile(values: Sequence[float], q: float) -> Metric:
    """A quantile with the 95% interval between two order statistics.

    The interval asks nothing of the distribution (David and Nagaraja 2003, section 7.1). With too
    few values for a quantile near the end, it ends at the smallest or largest value.

    Args:
        values: At least one.
        q: Between 0 and 1.
    """
    ordered = sorted(values)
    n = len(ordered)
    below = 0.0
    low, high = 0, n - 1
    for count in range(n):
        # `below` is the probability that fewer than `count` values lie below the quantile.
        if below <= 0.025:
            low = max(count - 1, 0)
        if below >= 0.975:
            high = min(high, count - 1)
        below += math.exp(
            math.lgamma(n + 1)
            - math.lgamma(count + 1)
            - math.lgamma(n - count + 1)
            + count * math.log(q)
            + (n - count) * math.log1p(-q)
        )
    return Metric(float(np.quantile(ordered, q)), ordered[low], ordered[high])


def _save(out: Path, result: Mapping[str, Any]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    write_result(out / "result.json", result)


async def _environment(store: Store) -> dict[str, Any]:
    """What it was measured on."""
    found = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
    }
    if store.url.startswith("sqlite"):
        return {**found, "sqlite": sqlite3.sqlite_version}
    from ..graph.neo4j.server import Server, from_environment, parse

    server = Server(parse(store.url), from_environment())
    try:
        version, edition = await server.version()
    finally:
        await server.close()
    driver = importlib.metadata.version("neo4j")
    return {**found, "neo4j": f"{version} {edition}", "driver": driver}


def _sizes(statistics: Statistics) -> dict[str, Any]:
    return {
        "records": dict(statistics.records),
        "links": dict(statistics.links),
        "receipts": statistics.receipts,
        "position": statistics.position,
        "bytes": statistics.bytes or None,
    }


_ROWS = (
    ("recall, median", "recall_p50_ms", "ms", "recalls"),
    ("recall, 99%", "recall_p99_ms", "ms", "recalls"),
    ("commit of a 30-step trial, median", "commit_p50_ms", "ms", "commits"),
    ("commit of a 30-step trial, 99%", "commit_p99_ms", "ms", "commits"),
    ("opening, median", "open_ms", "ms", "openings"),
    ("overlap of the top 10", "overlap_at_10", "", "recalls"),
    ("of it trials", "overlap_at_10_trials", "", "recalls"),
    ("of it insights", "overlap_at_10_insights", "", "recalls"),
)


def show_memory_ops(result: Mapping[str, Any], console: Console) -> None:
    """Print the table."""
    where = result["environment"]
    engine = f"Neo4j {where['neo4j']}" if "neo4j" in where else f"SQLite {where['sqlite']}"
    table = Table("", "value", "95%", "n", title=f"{result['n']:,} records, {engine}")
    metrics, counts = result["metrics"], result["counts"]
    for name, key, unit, count in _ROWS:
        metric = metrics[key]
        digits = 2 if unit else 3
        table.add_row(
            name,
            f"{metric['value']:.{digits}f} {unit}".rstrip(),
            f"{metric['low']:.{digits}f} to {metric['high']:.{digits}f}",
            f"{counts[count]:,}",
        )
    table.add_row("growing", f"{metrics['records_per_second']['value']:,.0f} records/s", "", "1")
    table.add_row("first recall after opening", f"{result['first_recall_ms']:.1f} ms", "", "1")
    size = result["store"]["bytes"]
    table.add_row("size on disk", f"{size / 1e6:,.1f} MB" if size else "not known", "", "")
    console.print(table)
    console.print(
        f"Warm-up: {result['settings']['warm_up']} calls. Beside the timed calls one writer "
        f"committed {result['writer']['trials_per_second']:.1f} trials/s. "
        f"{counts['commits_found_on_return']} of {counts['commits']} timed commits were found by "
        "the next search."
    )
