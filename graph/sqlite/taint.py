"""Taint in the SQLite store: what descends from records in quarantine, kept as rows.

A row (record, root) says that the record descends from that root. Which rows there are follows
from status and links alone, so that quarantine, release and revert need nothing of their own.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping

from ..application import Writes

_DOWN = """
WITH RECURSIVE
inside (n) AS (
    SELECT n FROM scopes WHERE path = ?1 OR substr(path, 1, length(?1) + 1) = ?1 || '/'
),
down (n) AS (
    SELECT r.n FROM json_each(?2) j CROSS JOIN records r ON r.n = j.value WHERE r.scope IN inside
    UNION
    SELECT l.dst FROM down CROSS JOIN links l ON l.src = down.n AND l.type IN ('LED_TO', 'SUPPORTS')
    CROSS JOIN records r ON r.n = l.dst WHERE l.expired IS NULL AND r.scope IN inside
    UNION
    SELECT l.src FROM down CROSS JOIN links l ON l.dst = down.n AND l.type = 'DERIVED_FROM'
    CROSS JOIN records r ON r.n = l.src WHERE l.expired IS NULL AND r.scope IN inside
)
"""
"""What descends from some records, and they themselves, within a scope."""
SUPPORTED = """(
    SELECT count(DISTINCT p.source) FROM (
        SELECT l.src AS n FROM links l WHERE l.dst = r.n AND l.type IN ('LED_TO', 'SUPPORTS')
        AND l.expired IS NULL
        UNION ALL
        SELECT l.dst FROM links l WHERE l.src = r.n AND l.type = 'DERIVED_FROM'
        AND l.expired IS NULL
    ) u CROSS JOIN records p ON p.n = u.n JOIN scopes a ON a.n = p.scope
    JOIN scopes b ON b.n = r.scope WHERE p.status = 'active' AND p.expired IS NULL
    AND p.visible_from IS NOT NULL
    AND substr(b.path || '/', 1, length(a.path) + 1) = a.path || '/'
    AND NOT EXISTS (SELECT 1 FROM taint x WHERE x.n = p.n AND x.expired IS NULL)
)"""
"""How many independent sources are left for a tainted record r: those of what everybody sees who
sees the record."""


def update_taint(
    connection: sqlite3.Connection, writes: Writes, numbers: Mapping[str, int]
) -> None:
    """Bring the rows of taint in line with what a changeset has written.

    Args:
        connection: In the writer's transaction, after `write`.
        writes: What was written.
        numbers: Of the records it touched.
    """
    position = writes.position
    for root in writes.released:
        connection.execute(
            "UPDATE taint SET expired = ? WHERE root = ? AND expired IS NULL", (position, root)
        )
    for root in _roots(connection, [one for one, _ in writes.cut], numbers):
        _recount(connection, root, position)
    for ancestor, descendant in writes.grown:
        for root in _roots(connection, [ancestor], numbers):
            _spread(connection, root, [numbers[descendant]], position)
    for root in writes.held:
        _recount(connection, root, position)


def _roots(
    connection: sqlite3.Connection, ancestors: Iterable[str], numbers: Mapping[str, int]
) -> list[str]:
    """The roots whose taint some records pass on."""
    asked = json.dumps(sorted({numbers[one] for one in ancestors}))
    if asked == "[]":
        return []
    rows = connection.execute(
        "SELECT root FROM taint WHERE n IN (SELECT value FROM json_each(?1)) AND expired IS NULL "
        "UNION SELECT id FROM records WHERE n IN (SELECT value FROM json_each(?1)) "
        "AND status = 'quarantined' AND expired IS NULL ORDER BY 1",
        (asked,),
    )
    return [row[0] for row in rows]


def _place(connection: sqlite3.Connection, root: str) -> tuple[int, str] | None:
    row = connection.execute(
        "SELECT r.n, s.path FROM records r JOIN scopes s ON s.n = r.scope "
        "WHERE r.id = ? AND r.status = 'quarantined' AND r.expired IS NULL",
        (root,),
    ).fetchone()
    return None if row is None else (row[0], row[1])


def _spread(connection: sqlite3.Connection, root: str, start: list[int], position: int) -> None:
    """Taint some records, and what descends from them, by a root."""
    place = _place(connection, root)
    if place is None:
        return
    number, scope = place
    connection.execute(
        f"{_DOWN} INSERT INTO taint (n, root, added) SELECT d.n, ?3, ?4 FROM down d "
        "CROSS JOIN records r ON r.n = d.n WHERE d.n != ?5 AND r.scope IN inside AND NOT EXISTS "
        "(SELECT 1 FROM taint x WHERE x.n = d.n AND x.root = ?3 AND x.expired IS NULL)",
        (scope, json.dumps(start), root, position, number),
    )


def _recount(connection: sqlite3.Connection, root: str, position: int) -> None:
    """Taint all that descends from a root, and nothing else."""
    place = _place(connection, root)
    if place is None:
        return
    number, scope = place
    if connection.execute(
        "SELECT 1 FROM taint WHERE root = ? AND expired IS NULL LIMIT 1", (root,)
    ).fetchone():
        _withdraw(connection, root, number, scope, position)
    _spread(connection, root, [number], position)


def _withdraw(
    connection: sqlite3.Connection, root: str, number: int, scope: str, position: int
) -> None:
    """Take the taint of a root from what does not descend from it any more."""
    connection.execute(
        f"{_DOWN} UPDATE taint SET expired = ?4 WHERE root = ?3 AND expired IS NULL "
        "AND n NOT IN (SELECT n FROM down)",
        (scope, json.dumps([number]), root, position),
    )
