"""How a database becomes a store: its head, constraints and indexes, and the check of all three."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...errors import NotAStore, StoreError, VersionMismatch
from ..records import Tier
from . import cypher
from .server import OLDEST, Server

FORMAT = 4
"""Version of the graph's layout; a store also names the oldest version that may use it."""


@dataclass(frozen=True, slots=True)
class Head:
    """The one node that holds the journal position, under whose lock all is written.

    Attributes:
        position: The last journal position.
        created_at: Its time, "" in an empty store.
        embedder: Fingerprint of the vectors, "" for none.
        width: Of the vectors.
        importing: Token of a copy that has not been finished, "" for none.
    """

    position: int
    created_at: str = ""
    embedder: str = ""
    width: int = 0
    importing: str = ""


async def create_or_check(server: Server) -> Head:
    """Make the store in an empty database; check that an existing one may be used.

    Raises:
        NotAStore: The database holds something else.
        VersionMismatch: A newer version wrote it.
        StoreError: The server is too old, read-only, or lacks an index.
    """
    await _check_server(server)
    head = await server.read(cypher.HEAD)
    if not head:
        nodes = (await server.read(cypher.COUNT_NODES))["nodes"]
        if nodes:
            raise NotAStore(
                f"The database at {server.address} holds something else ({nodes} nodes). Give an "
                "empty database, or one that holds a store already.",
                url=str(server.address),
            )
        found = dict((await server.read(cypher.STATE_OF_INDEXES))["indexes"])
        for name, statement in _statements().items():
            if name not in found:
                await server.schema(statement)
        await server.schema(cypher.AWAIT_INDEXES)
        await server.write(cypher.MAKE_HEAD, format=FORMAT)
        head = await server.read(cypher.HEAD)
    check_version(server, head["min_reader"] or 0, "read")
    if (head["format"] or 0) < FORMAT:
        raise VersionMismatch(
            f"The store at {server.address} was made by a version in development (format "
            f"{head['format']}), which this one does not read. Give another database.",
            needed=FORMAT,
        )
    await _check_indexes(server)
    return Head(head["position"], head["created_at"], head["embedder"], head["width"])


async def _check_server(server: Server) -> None:
    version, _ = await server.version()
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < OLDEST:
        raise StoreError(
            f"The Neo4j server at {server.address} has version {version}; the store needs "
            f"{OLDEST[0]}.{OLDEST[1]} or newer. Upgrade the server.",
            version=version,
        )


def _statements() -> dict[str, str]:
    """The statement that makes each constraint and index, by the name it gives."""
    statements = (*cypher.CONSTRAINTS, *cypher.INDEXES)
    return {re.findall(r"triforium_\w+", statement)[0]: statement for statement in statements}


async def _check_indexes(server: Server) -> None:
    found = dict((await server.read(cypher.STATE_OF_INDEXES))["indexes"])
    lacking = [name for name in _statements() if found.get(name) != "ONLINE"]
    if lacking:
        raise StoreError(
            f"The store at {server.address} lacks the index {lacking[0]} "
            f"({found.get(lacking[0], 'missing')}). Wait until it is online, or make it again with "
            "the statement in triforium.graph.neo4j.cypher.",
            indexes=lacking,
        )


def check_version(server: Server, needed: int, verb: str) -> None:
    """Refuse a store that this version may not touch (any more)."""
    if needed > FORMAT:
        raise VersionMismatch(
            f"To {verb} the store at {server.address} takes format {needed}; this version of "
            f"triforium knows up to {FORMAT}. Upgrade triforium.",
            needed=needed,
        )


async def make_vector_indexes(server: Server, width: int) -> None:
    """Make the vector indexes, whose width is known when the first vector comes."""
    for tier in (Tier.QUERY, Tier.INSIGHT):
        await server.schema(cypher.vector_index(tier, width))
    await server.schema(cypher.AWAIT_INDEXES)
