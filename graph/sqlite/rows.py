"""Positions, scopes and counts as the SQLite store reads them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from ..store import Statistics
from .write import head


def position_of(connection: sqlite3.Connection) -> int:
    """The last journal position."""
    return head(connection)[0]


def scope_numbers(connection: sqlite3.Connection, paths: Sequence[str]) -> tuple[int, ...]:
    """The numbers of those of the scopes that exist."""
    rows = connection.execute(
        "SELECT n FROM scopes WHERE path IN (SELECT value FROM json_each(?))",
        (json.dumps(list(paths)),),
    )
    return tuple(row[0] for row in rows)


def embedder_of(connection: sqlite3.Connection) -> str:
    """The fingerprint of the vectors in the store, "" for none."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'embedder'").fetchone()
    return "" if row is None else str(row[0])


RECEIPT = (
    "SELECT t.id, s.path, t.run, t.trial, t.role, t.position, t.created_at, t.body "
    "FROM receipts t JOIN scopes s ON s.n = t.scope"
)


def statistics_of(
    connection: sqlite3.Connection, paths: Sequence[str] | None, embedder: str, size: int
) -> Statistics:
    """Counts of what some scopes see; of everything for None."""
    if paths is None:
        scopes = json.dumps([row[0] for row in connection.execute("SELECT n FROM scopes")])
    else:
        scopes = json.dumps(scope_numbers(connection, paths))
    visible = "scope IN (SELECT value FROM json_each(?)) AND expired IS NULL"

    def counts(sql: str, *parameters: str) -> dict[str, int]:
        return dict(connection.execute(sql, parameters).fetchall())

    return Statistics(
        position=position_of(connection),
        records=counts(
            "SELECT tier || '/' || kind, count(*) FROM records "
            f"WHERE {visible} GROUP BY tier, kind ORDER BY 1",
            scopes,
        ),
        statuses=counts(
            f"SELECT status, count(*) FROM records WHERE {visible} GROUP BY status", scopes
        ),
        outcomes=counts(
            "SELECT coalesce(json_extract(outcome, '$.kind'), 'open'), count(*) FROM records "
            f"WHERE {visible} AND tier = 'query' GROUP BY 1",
            scopes,
        ),
        links=counts(
            "SELECT l.type, count(*) FROM links l JOIN records a ON a.n = l.src "
            "JOIN records b ON b.n = l.dst WHERE l.expired IS NULL "
            "AND a.scope IN (SELECT value FROM json_each(?1)) "
            "AND b.scope IN (SELECT value FROM json_each(?1)) GROUP BY l.type",
            scopes,
        ),
        receipts=connection.execute(
            "SELECT count(*) FROM receipts WHERE scope IN (SELECT value FROM json_each(?))",
            (scopes,),
        ).fetchone()[0],
        embedder=embedder,
        bytes=size,
        scopes=tuple(
            row[0]
            for row in connection.execute(
                "SELECT path FROM scopes WHERE n IN (SELECT value FROM json_each(?)) ORDER BY path",
                (scopes,),
            )
        ),
    )
