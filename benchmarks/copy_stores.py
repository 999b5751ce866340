"""How fast `triforium copy` fills a Neo4j database, until its indexes are online, and comes back.

    scripts/neo4j start          # shows how to set NEO4J_USERNAME and NEO4J_PASSWORD
    python benchmarks/copy_stores.py --store neo4j://127.0.0.1:17687 --records 100000

The memory is that of `triforium bench memory-ops`; it is grown in a temporary SQLite file first,
which is not timed. The database must be empty, and holds the copy afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from triforium import Memory
from triforium.errors import TriforiumError
from triforium.graph import Store
from triforium.graph.copying import copy_store
from triforium.graph.neo4j import cypher
from triforium.graph.neo4j.server import Server, from_environment, parse
from triforium.graph.open import open_store
from triforium.workflows.memory_ops_data import Grown, Mix
from triforium.workflows.results import write_result
from triforium.workflows.runner import progress_bar

SCOPE = "bench"
BATCH = 2000


async def grow(url: str, grown: Grown, console: Console) -> None:
    """Write the memory that is copied."""
    async with Memory.open(url, scope=SCOPE) as memory:
        with progress_bar(console) as bar:
            line = bar.add_task("growing", total=grown.mix.records, note="")
            for ops in grown.batches(BATCH):
                await memory.write(ops, reason="grown")
                bar.update(line, advance=sum(op.op == "ADD" for op in ops))


async def timed_copy(
    source: Store, target: Store, name: str, console: Console
) -> tuple[int, float]:
    """Copy; returns the rows and the seconds it took."""
    with progress_bar(console) as bar:
        line = bar.add_task(name, total=None, note="")
        began = time.perf_counter()
        rows = await copy_store(
            source,
            target,
            progress=lambda done, total: bar.update(line, completed=done, total=total),
        )
        return rows, time.perf_counter() - began


async def indexes_online(url: str) -> tuple[float, str]:
    """Wait until all indexes of a store are online; returns the seconds, and the server."""
    server = Server(parse(url), from_environment(), patience=600.0)
    try:
        began = time.perf_counter()
        await server.schema(cypher.AWAIT_INDEXES)
        taken = time.perf_counter() - began
        states = {state for _, state in (await server.read(cypher.STATE_OF_INDEXES))["indexes"]}
        if states != {"ONLINE"}:
            raise SystemExit(f"The indexes are {', '.join(sorted(states))} after a minute.")
        return taken, " ".join(await server.version())
    finally:
        await server.close()


async def measure(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Grow, copy there, copy back, and compare what the three hold."""
    grown = Grown(Mix.of(options.records), options.seed, SCOPE)
    with tempfile.TemporaryDirectory(prefix="triforium-") as folder:
        there, back = f"sqlite:///{folder}/source.db", f"sqlite:///{folder}/back.db"
        await grow(there, grown, console)
        source, fleet, again = [await open_store(url) for url in (there, options.store, back)]
        try:
            rows, seconds = await timed_copy(source, fleet, "to Neo4j", console)
            waited, server = await indexes_online(options.store)
            _, returned = await timed_copy(fleet, again, "back to SQLite", console)
            held = [await store.statistics("") for store in (source, fleet, again)]
            same = len({(str(one.records), str(one.links), one.position) for one in held}) == 1
            records = sum(held[0].records.values())
        finally:
            for store in (source, fleet, again):
                await store.close()
    return {
        "name": "copy-stores",
        "command": " ".join(["python", *sys.argv]),
        "seed": options.seed,
        "n": records,
        "rows": rows,
        "seconds": {
            "to_neo4j": round(seconds, 2),
            "indexes": round(waited, 2),
            "to_sqlite": round(returned, 2),
        },
        "records_per_second": {
            "to_neo4j_indexes_online": round(records / (seconds + waited), 1),
            "to_sqlite": round(records / returned, 1),
        },
        "same_counts": same,
        "environment": {
            "python": platform.python_version(),
            "platform": platform.platform(),
            "processors": os.cpu_count(),
            "load": os.getloadavg()[0],
            "neo4j": server,
        },
    }


def main() -> None:
    """Parse, measure, write, say."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--store", required=True, metavar="URL", help="An empty Neo4j database.")
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("copy-results"), metavar="DIR")
    options = parser.parse_args()
    console = Console()
    try:
        result = asyncio.run(measure(options, console))
    except TriforiumError as error:
        raise SystemExit(f"{parser.prog}: {error}") from None
    options.out.mkdir(parents=True, exist_ok=True)
    write_result(options.out / "result.json", result)
    rate = result["records_per_second"]
    console.print(
        f"{result['n']:,} records, {result['rows']:,} rows. To Neo4j with indexes online: "
        f"{rate['to_neo4j_indexes_online']:,.0f} records/s; back to SQLite: "
        f"{rate['to_sqlite']:,.0f} records/s. "
        f"{'The counts agree.' if result['same_counts'] else 'THE COUNTS DIFFER.'}"
    )


if __name__ == "__main__":
    main()
