"""What the inspector costs: a large memory, and many pages that watch a team at work.

    python benchmarks/inspector.py fill --store sqlite:////tmp/big.db --records 100000
    python benchmarks/inspector.py look --store sqlite:////tmp/big.db
    python benchmarks/inspector.py watch --store sqlite:////tmp/team.db --pages 50 --rounds 6

`fill` makes a memory of trials with their steps and insights. `look` starts an inspector on it and
times its first view, searches and details. `watch` lets a team write steps, in alternating rounds
with pages that watch and without; the store must be new. Inspectors are processes of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from triforium.graph import Add, AddLink, Changeset, Close, Link, LinkType, Op, Outcome
from triforium.graph.open import open_store
from triforium.graph.records import Provenance, Record, Tier, similar
from triforium.memory import Memory

SCOPE = "bench"
STEPS = 20
"""Steps of a trial that `fill` makes."""
THINGS = tuple(
    re.split(
        " ",
        "mug plate bowl fork spoon knife apple egg lemon potato tomato bread lettuce pan pot "
        "kettle cup glass vase book pen pencil key watch box cloth soap towel candle lamp radio",
    )
)
PLACES = tuple(
    re.split(
        " ",
        "shelf drawer cabinet counter table desk bed sofa sink stove fridge microwave bin safe "
        "dresser cart basin bench rack wardrobe hamper larder icebox oven",
    )
)


async def fill(url: str, records: int) -> None:
    """Make a memory of about so many records, with links as the default strategy makes them."""
    store = await open_store(url)
    draw = random.Random(0)
    started = time.monotonic()
    trials = records * 100 // (100 * (STEPS + 1) + 50)
    insights = [f"insight-{number}" for number in range(trials // 2)]
    try:
        await store.apply(Changeset(id="insights", scope=SCOPE, ops=tuple(map(_insight, insights))))
        for number in range(trials):
            await store.apply(_trial(number, draw, insights))
        counted = await store.statistics(SCOPE)
    finally:
        await store.close()
    total, links = sum(counted.records.values()), sum(counted.links.values())
    print(f"{total:,} records, {links:,} links in {time.monotonic() - started:.0f} s")


def _insight(id_: str) -> Op:
    draw = random.Random(id_)
    text = f"{draw.choice(THINGS)} is found at {draw.choice(PLACES)} {draw.randrange(9)}"
    return Add(Record(id=id_, tier=Tier.INSIGHT, kind="rule", text=text, scope=SCOPE))


def _trial(number: int, draw: random.Random, insights: list[str]) -> Changeset:
    thing, place = draw.choice(THINGS), draw.choice(PLACES)
    id_ = f"trial-{number}"
    origin = Provenance("bench", "solver", "solver", f"run-{number}")
    ops: list[Op] = [
        Add(Record(id=id_, tier=Tier.QUERY, kind="task", scope=SCOPE, provenance=origin,
                   text=f"put a {thing} on the {place} of room {number % 97}"))
    ]  # fmt: skip
    before = ""
    for step in range(STEPS):
        name = f"{id_}-{step}"
        where = Provenance("bench", "solver", "solver", f"run-{number}", id_, step)
        ops.append(
            Add(Record(id=name, tier=Tier.INTERACTION, kind="action", scope=SCOPE, provenance=where,
                       text=f"go to {draw.choice(PLACES)}\nOn it you see a {draw.choice(THINGS)}.",
                       data={"action": "go"}))
        )  # fmt: skip
        ops.append(AddLink(Link(src=name, dst=id_, type=LinkType.PART_OF)))
        if before:
            ops.append(AddLink(Link(src=before, dst=name, type=LinkType.NEXT)))
        before = name
    outcome = Outcome.success() if draw.random() < 0.6 else Outcome.failure()
    ops.append(Close(id_, 1, outcome))
    for insight in draw.sample(insights, min(4, len(insights))):
        type_ = LinkType.SUPPORTS if outcome.succeeded else LinkType.REFUTES
        ops.append(AddLink(Link(src=id_, dst=insight, type=type_)))
    if number:
        earlier = f"trial-{draw.randrange(number)}"
        ops.append(AddLink(similar(id_, earlier, 0.7)))
        if number % 3 == 0:
            ops.append(AddLink(Link(src=earlier, dst=id_, type=LinkType.LED_TO, via="r")))
    return Changeset(id=f"c{number}", scope=SCOPE, ops=tuple(ops))


class Inspector:
    """A running inspector, asked over HTTP."""

    def __init__(self, url: str, token: str, pid: int) -> None:
        self.url, self.token, self.pid = url, token, pid

    def cpu(self) -> float:
        """Seconds of the processor that the inspector has used: what a busy machine leaves true."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def ask(self, path: str) -> tuple[float, bytes]:
        """The seconds that an answer took, and the answer."""
        request = urllib.request.Request(
            self.url + path, headers={"authorization": f"Bearer {self.token}"}
        )
        started = time.perf_counter()
        with urllib.request.urlopen(request, timeout=120) as response:
            body: bytes = response.read()
        return time.perf_counter() - started, body


@contextmanager
def inspector(store: str) -> Iterator[Inspector]:
    """Start an inspector as a process of its own."""
    start = "from triforium.cli import main; main()"
    command = [sys.executable, "-u", "-c", start, "inspect", "--store", store, "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"(http://\S+)/#token=(\S+)", line)
        if found is None:
            raise SystemExit(f"The inspector did not start: {line!r}")
        yield Inspector(found.group(1), found.group(2), process.pid)
    finally:
        process.terminate()
        process.wait(20)


def look(store: str, times: int) -> None:
    """Time the first view, searches and details."""
    started = time.monotonic()
    with inspector(store) as one:
        ready = time.monotonic() - started
        meta, _ = one.ask("/api/meta")
        first, body = one.ask("/api/graph")
        graph = json.loads(body)
        print(f"started in {ready:.2f} s; then meta {meta:.2f} s, first graph {first:.2f} s, "
              f"{one.cpu():.2f} s of the processor in all "
              f"({len(body) / 1e6:.2f} MB, {len(graph['nodes'])} nodes, "
              f"{len(graph['clusters'])} clusters of {graph['total']:,})")  # fmt: skip
        opened = max(graph["clusters"], key=lambda each: int(each["count"]), default=None)
        paths = {
            "graph again": "/api/graph",
            "search, one word": "/api/search?q={thing}",
            "search, a sentence": "/api/search?q=put%20a%20{thing}%20on%20the%20{place}",
            "search, letters": "/api/search?q={part}",
            "filter": "/api/graph?outcome=failure&text={thing}",
            "record": "/api/record/trial-{number}",
            "trial": "/api/trial/trial-{number}",
            "journal": "/api/journal",
        }
        if opened:
            paths["cluster opened"] = f"/api/graph?open={opened['id']}"
        draw = random.Random(1)
        for name, form in paths.items():
            taken = []
            used = one.cpu()
            for _ in range(times):
                thing = draw.choice(THINGS)
                taken.append(one.ask(form.format(
                    thing=thing, place=draw.choice(PLACES), part=thing[1:],
                    number=draw.randrange(1000)))[0])  # fmt: skip
            used = (one.cpu() - used) / times
            taken.sort()
            worst = taken[min(len(taken) - 1, int(0.95 * len(taken)))]
            print(f"{name:20} median {statistics.median(taken) * 1000:7.0f} ms, "
                  f"p95 {worst * 1000:7.0f} ms, processor {used * 1000:5.0f} ms, "
                  f"n {times}")  # fmt: skip


async def watch(store: str, pages: int, rounds: int, steps: int) -> None:
    """Steps of a team per second, with pages that watch and without, in alternating rounds."""
    taken: dict[bool, list[float]] = {True: [], False: []}
    async with Memory.open(store, scope=SCOPE, embedder=None) as memory:
        await _steps(memory, "warm", steps)
        with inspector(store) as one:
            for number in range(rounds):
                # Which comes first changes, so that a memory that grows favours neither.
                for watched in (True, False) if number % 2 else (False, True):
                    watchers = await _open_pages(one, pages if watched else 0)
                    taken[watched] += await _steps(memory, f"{number}-{watched}", steps)
                    for writer, task in watchers:
                        task.cancel()
                        writer.close()
    means = {watched: statistics.fmean(of) * 1000 for watched, of in taken.items()}
    slower = means[True] / means[False] - 1
    low, high = _interval(taken[True], taken[False])
    print(f"a step took {means[False]:.2f} ms alone and {means[True]:.2f} ms with {pages} pages: "
          f"{slower:+.1%} [{low:+.1%}, {high:+.1%}], n {len(taken[True])} each")  # fmt: skip


async def _steps(memory: Memory, run: str, count: int) -> list[float]:
    """Seconds of each step: think for 5 ms, recall now and then, and record."""
    taken = []
    trial = await memory.begin(f"put a mug on shelf {run}", run=run)
    for number in range(count):
        started = time.perf_counter()
        if number % 10 == 0:
            await memory.recall(trial.task, trial=trial, role="solver", step=number)
        await memory.observe(trial, f"You see mug {number}.", action="look", role="solver")
        taken.append(time.perf_counter() - started)
        await asyncio.sleep(0.005)
    await memory.commit(trial, Outcome.success())
    return taken


async def _open_pages(
    one: Inspector, count: int
) -> list[tuple[asyncio.StreamWriter, asyncio.Task[None]]]:
    """Follow the events as a page does."""
    host, port = one.url.removeprefix("http://").split(":")
    found = []
    for _ in range(count):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            f"GET /api/events HTTP/1.1\r\nHost: {host}:{port}\r\n"
            f"Authorization: Bearer {one.token}\r\n\r\n".encode()
        )
        await writer.drain()
        await reader.readuntil(b"id: ")
        found.append((writer, asyncio.create_task(_drain(reader))))
    return found


async def _drain(reader: asyncio.StreamReader) -> None:
    while await reader.read(65_536):
        pass


def _interval(served: list[float], alone: list[float]) -> tuple[float, float]:
    """The 95% percentile bootstrap of the ratio of means, less one."""
    draw = random.Random(0)
    ratios = sorted(
        statistics.fmean(draw.choices(served, k=len(served)))
        / statistics.fmean(draw.choices(alone, k=len(alone)))
        - 1
        for _ in range(500)
    )
    return ratios[12], ratios[487]


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("job", choices=("fill", "look", "watch"))
    parser.add_argument("--store", required=True, metavar="URL")
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--pages", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--steps", type=int, default=150)
    given = parser.parse_args()
    if given.job == "fill":
        asyncio.run(fill(given.store, given.records))
    elif given.job == "look":
        look(given.store, given.times)
    else:
        asyncio.run(watch(given.store, given.pages, given.rounds, given.steps))


if __name__ == "__main__":
    main()
