"""From rows of the tables to records."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from ..records import Credit, Hold, Outcome, Provenance, Record, Status, Tier

COLUMNS = (
    "r.n, r.id, r.tier, r.kind, r.text, s.path, r.task_key, r.source, r.role, r.agent, r.run, "
    "r.trial, r.step, r.data, r.valid_from, r.valid_to, r.keys, r.confidence, r.cluster, "
    "r.summary, r.added, r.expired, r.created_at, r.revision, r.status, r.outcome, r.support, "
    "r.refuted, r.hold"
)
SOURCE = "records r JOIN scopes s ON s.n = r.scope"


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def hold_of(text: str | None) -> Hold | None:
    """Why a record is in quarantine, from its column."""
    return None if text is None else Hold.from_json(json.loads(text))


def decoded(row: Sequence[Any]) -> Record:
    """A record from a row of `COLUMNS`, without its credit and taint."""
    data = json.loads(row[13])
    return Record(
        id=row[1],
        tier=Tier(row[2]),
        kind=row[3],
        text=row[4],
        scope=row[5],
        task_key=row[6],
        provenance=Provenance(row[7], row[8], row[9], row[10], row[11], row[12]),
        data=MappingProxyType(data),
        valid_from=_time(row[14]),
        valid_to=_time(row[15]),
        keys=tuple(json.loads(row[16])) if row[16] != "[]" else (),
        confidence=row[17],
        cluster=row[18],
        summary=row[19],
        added=row[20],
        expired=row[21],
        created_at=_time(row[22]),
        revision=row[23],
        status=Status(row[24]),
        outcome=None if row[25] is None else Outcome.from_json(json.loads(row[25])),
        support=row[26],
        refuted=row[27],
        hold=hold_of(row[28]),
    )


def credits_of(connection: sqlite3.Connection, numbers: str) -> dict[int, dict[str, Credit]]:
    """The present credit per record and role.

    Args:
        connection: In a snapshot.
        numbers: A JSON list of numbers of records.
    """
    found: dict[int, dict[str, Credit]] = {}
    for number, role, uses, helped, hurt in connection.execute(
        "SELECT n, role, uses, helped, hurt FROM credits "
        "WHERE n IN (SELECT value FROM json_each(?))",
        (numbers,),
    ):
        found.setdefault(number, {})[role] = Credit(uses, helped, hurt)
    return found


def taint_of(connection: sqlite3.Connection, numbers: str) -> dict[int, list[str]]:
    """The present roots of taint per record.

    Args:
        connection: In a snapshot.
        numbers: A JSON list of numbers of records.
    """
    found: dict[int, list[str]] = {}
    if connection.execute("SELECT 1 FROM taint LIMIT 1").fetchone():
        for number, root in connection.execute(
            "SELECT n, root FROM taint WHERE n IN (SELECT value FROM json_each(?)) "
            "AND expired IS NULL ORDER BY n, root",
            (numbers,),
        ):
            found.setdefault(number, []).append(root)
    return found
