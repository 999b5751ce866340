"""Real servers for these tests: those of `scripts/neo4j start 2`, each used by one at a time.

A test may hold two of them, so that processes that test side by side need one more than they are:
else each may hold one and wait for the other's for ever.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

from triforium.graph.neo4j import cypher
from triforium.graph.neo4j.server import Server, parse

FOLDER = Path(os.environ.get("TRIFORIUM_NEO4J_DIR") or Path(__file__).parents[2] / ".neo4j")
HOUSEHOLD = "household"
"""The scope of the memory that the fixture `played` grows."""
NEEDED = max(2, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) + 1)
HOW = f"needs {NEEDED} Neo4j servers on this machine: scripts/neo4j start {NEEDED}"


@dataclass(frozen=True)
class Place:
    """A running server: where it is and how to get in."""

    home: Path

    @property
    def url(self) -> str:
        return (self.home / "url").read_text().strip()

    @property
    def port(self) -> int:
        return int(self.home.name)

    @property
    def credentials(self) -> tuple[str, str]:
        return ("neo4j", (self.home / "password").read_text().strip())

    @property
    def pid(self) -> int:
        return int((self.home / "pid").read_text())

    def runs(self) -> bool:
        try:
            return b"neo4j.conf" in Path(f"/proc/{self.pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return False


def places() -> list[Place]:
    """The running servers; without enough the test is skipped, or fails where CI asks."""
    found = [Place(path) for path in sorted(FOLDER.glob("*")) if (path / "url").exists()]
    running = [place for place in found if place.runs()]
    if len(running) < NEEDED:
        if os.environ.get("TRIFORIUM_NEO4J") == "required":
            pytest.fail(HOW)
        pytest.skip(HOW)
    return running


def take() -> tuple[Place, IO[bytes]]:
    """A server nobody uses, and the lock that keeps it so until it is closed."""
    running = places()
    while True:
        for place in running:
            lock = (place.home / "taken").open("wb")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
            else:
                return place, lock
        # All are taken, one perhaps by who asks: wait for any.
        time.sleep(0.1)


async def wipe(place: Place) -> None:
    """Empty the database; the indexes stay, but for those whose width may change."""
    # The first question to a fresh server on a busy machine may take long.
    server = Server(parse(place.url), place.credentials, patience=300.0)
    try:
        while (await server.write("MATCH (n) WITH n LIMIT 20000 DETACH DELETE n RETURN count(n)"))[
            "count(n)"
        ]:
            pass
        for name in cypher.VECTOR_INDEXES.values():
            await server.schema(f"DROP INDEX {name} IF EXISTS")
    finally:
        await server.close()


@asynccontextmanager
async def empty_place() -> AsyncIterator[Place]:
    """A server with an empty database, for this test alone."""
    place, lock = take()
    try:
        await wipe(place)
        yield place
    finally:
        lock.close()
