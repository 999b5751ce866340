"""Times `neo4j-agent-memory` and triforium side by side on one Neo4j server.

Both write the same trials and messages, embed with the same local embedder, and search with the
same tasks, turn by turn, so that neither has the quieter minutes. No model is asked and no key is
needed: the peer's extraction of entities, which wants one, is off.

    pip install 'triforium[neo4j]' 'neo4j-agent-memory>=0.8,<0.9'
    scripts/neo4j start          # shows how to set NEO4J_USERNAME and NEO4J_PASSWORD
    python benchmarks/peer_neo4j_agent_memory.py --store neo4j://127.0.0.1:17687 --traces 100

The database must be empty, and holds both memories afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from neo4j_agent_memory import MemoryClient, MemorySettings
from neo4j_agent_memory.config.settings import ExtractionConfig, ExtractorType, Neo4jConfig
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from triforium import Memory
from triforium.errors import TriforiumError
from triforium.graph import Add, Close, Op, Outcome, Record, Tier
from triforium.memory.cases import action_of, observation_of
from triforium.memory.embedders import Embedder, embed_async, get_embedder
from triforium.workflows.memory_ops import quantile
from triforium.workflows.memory_ops_data import Grown, Mix
from triforium.workflows.results import write_result

STEPS = 30
SCOPE = "bench"
LIMIT = 10
"""Results of a search by the peer; what `Memory.recall` gives is bounded by tokens."""

Work: TypeAlias = tuple[str, Callable[[], Awaitable[Any]]]
"""What is timed, and under which name."""


class LocalProvider:
    """Our embedder behind the peer's `EmbeddingProvider` protocol."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.model = embedder.name
        self.dimensions = embedder.width

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Vectors in the order of the texts."""
        rows: list[list[float]] = (await embed_async(self._embedder, list(texts))).tolist()
        return rows

    async def embed_one(self, text: str) -> list[float]:
        """The vector of one text."""
        return (await self.embed([text]))[0]


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial in the words of both: our operations, and what the peer is told.

    Attributes:
        ops: For `Memory.write`.
        task: Its task.
        steps: Action and observation of each.
        outcome: How it ended.
    """

    ops: list[Op]
    task: Record
    steps: list[tuple[str, str]]
    outcome: Outcome

    @classmethod
    def of(cls, ops: list[Op]) -> Trial:
        """The trial that the operations write."""
        added = [op.record for op in ops if isinstance(op, Add)]
        (task,) = (record for record in added if record.tier is Tier.QUERY)
        steps = [
            (action_of(record), observation_of(record))
            for record in added
            if record.tier is Tier.INTERACTION
        ]
        (outcome,) = (op.outcome for op in ops if isinstance(op, Close))
        return cls(ops, task, steps, outcome)


@dataclass(slots=True)
class Times:
    """Milliseconds by what was done."""

    taken: dict[str, list[float]] = field(default_factory=dict)
    keep: bool = False

    async def of(self, name: str, work: Callable[[], Awaitable[Any]]) -> Any:
        """Do it, and note how long it took."""
        began = time.perf_counter()
        answer = await work()
        if self.keep:
            self.taken.setdefault(name, []).append((time.perf_counter() - began) * 1000)
        return answer


# --- the same work by both ------------------------------------------------------------------------


async def peer_trace(peer: Any, trial: Trial, session: str) -> None:
    """As its documentation records a run: a trace, its steps one by one, and the end."""
    trace = await peer.reasoning.start_trace(session, trial.task.text)
    for action, observation in trial.steps:
        await peer.reasoning.add_step(trace.id, action=action, observation=observation)
    await peer.reasoning.complete_trace(
        trace.id, outcome=str(trial.outcome), success=bool(trial.outcome.succeeded)
    )


async def our_steps(memory: Memory, trial: Trial, run: str) -> None:
    """As an agent's recorder writes a run: each step as it completes, then the outcome.

    What the strategy learns from the outcome is part of it.
    """
    ours = await memory.begin(trial.task.text, run=run)
    for action, observation in trial.steps:
        await memory.observe(ours, observation, action=action, role="solver")
    await memory.commit(ours, trial.outcome)


async def traces(peer: Any, memory: Memory, times: Times, grown: Grown, first: int, n: int) -> None:
    """Write trials with both; who goes first takes turns."""
    for number in range(first, first + n):
        trial = Trial.of(grown.trial(number, STEPS))
        theirs: list[Work] = [
            ("peer: trace, step by step", partial(peer_trace, peer, trial, f"session-{number}"))
        ]
        ours: list[Work] = [
            ("triforium: trial, one changeset", partial(memory.write, trial.ops, reason="trial")),
            (
                "triforium: trial, step by step, and what is learned",
                partial(our_steps, memory, trial, f"run-{number}"),
            ),
        ]
        for name, work in [*theirs, *ours] if number % 2 else [*ours, *theirs]:
            await times.of(name, work)


async def messages(
    peer: Any, memory: Memory, times: Times, texts: Sequence[str], session: str
) -> None:
    """Add the same messages to a conversation of each."""
    ours = await memory.begin("a conversation", run=session)
    add = peer.short_term.add_message
    for text in texts:
        await times.of("peer: message", partial(add, session, "user", text))
        await times.of("triforium: message", partial(memory.observe, ours, text, role="user"))
    await memory.commit(ours, Outcome.unknown())


async def searches(peer: Any, memory: Memory, times: Times, tasks: Sequence[str]) -> None:
    """Look for what the same tasks have to do with; the peer with its default thresholds."""
    traces_ = partial(peer.reasoning.get_similar_traces, limit=LIMIT, success_only=False)
    messages_ = partial(peer.short_term.search_messages, limit=LIMIT)
    for task in tasks:
        await times.of("peer: search of traces", partial(traces_, task))
        await times.of("peer: search of messages", partial(messages_, task))
        await times.of("peer: whole context", partial(peer.get_context, task, max_items=LIMIT))
        await times.of("triforium: recall with its receipt", partial(memory.recall, task))


# --- the run --------------------------------------------------------------------------------------


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Warm both up, then time them."""
    embedder = get_embedder("wordllama")
    assert embedder is not None
    await asyncio.to_thread(embedder.embed, ["warm"])
    total = options.traces + options.warm_up
    # The trials of the mix come first; the numbers after it are those that both write.
    grown = Grown(Mix.of(1000), options.seed, SCOPE)
    # Ours is opened first: it refuses a database that holds something else.
    async with Memory.open(options.store, scope=SCOPE, embedder=embedder) as memory:
        if (await memory.store.statistics("")).position:
            raise SystemExit(f"The store at {memory.store.url} is not empty; give an empty one.")
        for ops in grown.batches(1000):
            await memory.write(ops, reason="grown")
        settings = MemorySettings(
            backend="bolt",
            neo4j=Neo4jConfig(
                uri=options.store,
                username=os.environ.get("NEO4J_USERNAME", "neo4j"),
                password=SecretStr(os.environ.get("NEO4J_PASSWORD", "")),
            ),
            embedding=LocalProvider(embedder),
            llm=None,
            extraction=ExtractionConfig(extractor_type=ExtractorType.NONE),
        )
        async with MemoryClient(settings) as peer:
            times = Times()
            first = grown.mix.trials
            await traces(peer, memory, times, grown, first, options.warm_up)
            calls = options.warm_up * STEPS
            await messages(peer, memory, times, grown.unseen(calls, "warm-up"), "warm-up")
            await searches(peer, memory, times, grown.unseen(calls, "warm-up"))
            times.keep = True
            await traces(peer, memory, times, grown, first + options.warm_up, options.traces)
            timed = grown.unseen(options.messages, "messages")
            await messages(peer, memory, times, timed, "timed")
            await searches(peer, memory, times, grown.unseen(options.searches, "searches"))
            server = await peer.query.cypher(
                "CALL dbms.components() YIELD versions, edition RETURN versions, edition"
            )
    return {
        "name": "peer-neo4j-agent-memory",
        "command": " ".join(["python", *sys.argv]),
        "seed": options.seed,
        "traces": total,
        "steps": STEPS,
        "warm_up": {"traces": options.warm_up, "messages": calls, "searches": calls},
        "milliseconds": {
            name: {
                "n": len(taken),
                **{f"p{q}": quantile(taken, q / 100).to_json() for q in (50, 99)},
            }
            for name, taken in times.taken.items()
        },
        "environment": {
            "python": platform.python_version(),
            "platform": platform.platform(),
            "processors": os.cpu_count(),
            "neo4j": server,
            **{
                name: importlib.metadata.version(name)
                for name in ("triforium", "neo4j-agent-memory", "neo4j")
            },
        },
    }


def show(result: dict[str, Any], console: Console) -> None:
    """Print the table."""
    table = Table("", "n", "median, ms", "95%", "99%, ms", title="On one server, turn by turn")
    for name, found in result["milliseconds"].items():
        median = found["p50"]
        table.add_row(
            name,
            str(found["n"]),
            f"{median['value']:.1f}",
            f"{median['low']:.1f} to {median['high']:.1f}",
            f"{found['p99']['value']:.1f}",
        )
    console.print(table)


def main() -> None:
    """Parse, measure, write, show."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--store", required=True, metavar="URL", help="An empty Neo4j database.")
    parser.add_argument("--traces", type=int, default=100, help="Timed trials of 30 steps.")
    parser.add_argument("--messages", type=int, default=200, help="Timed messages.")
    parser.add_argument("--searches", type=int, default=200, help="Timed searches.")
    parser.add_argument("--warm-up", type=int, default=10, help="Trials before the timing.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("peer-results"), metavar="DIR")
    options = parser.parse_args()
    if min(options.traces, options.messages, options.searches, options.warm_up) < 1:
        parser.error("there must be one of each at least")
    try:
        result = asyncio.run(measure(options))
    except TriforiumError as error:
        raise SystemExit(f"{parser.prog}: {error}") from None
    options.out.mkdir(parents=True, exist_ok=True)
    write_result(options.out / "result.json", result)
    show(result, Console())


if __name__ == "__main__":
    main()
