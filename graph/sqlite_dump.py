"""A store as plain JSON rows, and back: what `dump` and `restore` do on the tables."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import InvalidInput
from .ids import JSON
from .records import Tier
from .scopes import check_scope
from .sqlite_index import index_record
from .sqlite_schema import FORMAT
from .sqlite_write import head, scope_number
from .store import SEARCHABLE
from .text import terms

_RECORD = (
    "id, tier, kind, text, task_key, source, role, agent, run, trial, step, data, valid_from, "
    "valid_to, content_hash, keys, confidence, cluster, summary, added, expired, visible_from, "
    "created_at, revision, status, outcome"
)
_PARSED = frozenset({"data", "keys", "outcome", "ops", "before", "body", "result"})

_TABLES: Mapping[str, tuple[str, str, str]] = {
    # kind: (columns after the scope, tables, order)
    "record": (
        ", ".join(f"r.{name}" for name in _RECORD.split(", ")),
        "records r JOIN scopes s ON s.n = r.scope",
        "r.n",
    ),
    "version": (
        "r.id, t.until, t.revision, t.keys, t.confidence, t.cluster, t.summary, t.status, "
        "t.outcome",
        "versions t JOIN records r ON r.n = t.n JOIN scopes s ON s.n = r.scope",
        "r.n, t.until, t.revision",
    ),
    "link": (
        "a.id, b.id, l.type, l.via, l.weight, l.added, l.expired",
        "links l JOIN records a ON a.n = l.src JOIN records b ON b.n = l.dst "
        "JOIN scopes s ON s.n = a.scope JOIN scopes s2 ON s2.n = b.scope",
        "l.n",
    ),
    "credit": (
        "r.id, t.role, t.receipt, t.position, t.uses, t.helped, t.hurt",
        "credit_deltas t JOIN records r ON r.n = t.n JOIN scopes s ON s.n = r.scope",
        "r.n, t.role, t.receipt",
    ),
    "taint": (
        "r.id, t.root, t.added, t.expired",
        "taint t JOIN records r ON r.n = t.n JOIN scopes s ON s.n = r.scope",
        "r.n, t.root, t.added",
    ),
    "journal": (
        "j.position, j.id, j.hash, j.actor, j.reason, j.base, j.created_at, j.ops, j.before",
        "journal j JOIN scopes s ON s.n = j.scope",
        "j.position",
    ),
    "receipt": (
        "t.id, t.run, t.trial, t.role, t.position, t.created_at, t.body",
        "receipts t JOIN scopes s ON s.n = t.scope",
        "t.n",
    ),
    "effect": (
        "t.key, t.request, t.done, t.result",
        "effects t JOIN scopes s ON s.n = t.scope",
        "s.path, t.key",
    ),
    "vector": (
        "r.id, v.position, v.vector",
        "vectors v JOIN records r ON r.n = v.n JOIN scopes s ON s.n = v.scope",
        "v.n",
    ),
}


def dump_rows(
    connection: sqlite3.Connection, paths: Sequence[str] | None
) -> Iterator[dict[str, JSON]]:
    """The rows of a dump, header first, read as they are asked for.

    Args:
        connection: In a snapshot that lasts until the last row.
        paths: Visible scopes; None for all.
    """
    yield _header(connection, paths)
    allowed = json.dumps(list(paths or ()))
    for kind, (columns, tables, order) in _TABLES.items():
        visible = "(? OR s.path IN (SELECT value FROM json_each(?)))"
        parameters: list[Any] = [paths is None, allowed]
        if kind == "link":
            visible += " AND (? OR s2.path IN (SELECT value FROM json_each(?)))"
            parameters *= 2
        for row in connection.execute(
            f"SELECT s.path, {columns} FROM {tables} WHERE {visible} ORDER BY {order}", parameters
        ):
            yield _row(kind, row)


def _header(connection: sqlite3.Connection, paths: Sequence[str] | None) -> dict[str, JSON]:
    meta = dict(connection.execute("SELECT key, value FROM meta"))
    position, last = head(connection)
    return {
        "row": "header",
        "triforium": "memory",
        "format": FORMAT,
        "scopes": None if paths is None else list(paths),
        "position": position,
        "created_at": last,
        "embedder": meta.get("embedder", ""),
        "width": int(meta.get("width", 0)),
    }


def _row(kind: str, row: Sequence[Any]) -> dict[str, JSON]:
    names = [column.strip().split(".")[-1] for column in _TABLES[kind][0].split(",")]
    if kind == "link":
        names[:2] = ["src", "dst"]
    plain: dict[str, JSON] = {"row": kind, "scope": row[0]}
    for name, value in zip(names, row[1:], strict=True):
        if name == "vector":
            plain[name] = base64.b64encode(value).decode("ascii")
        elif name in _PARSED and value is not None:
            plain[name] = json.loads(value)
        else:
            plain[name] = value
    return plain


def restore_rows(connection: sqlite3.Connection, rows: Sequence[Mapping[str, Any]]) -> int:
    """Fill empty tables from the rows of a dump.

    Raises:
        InvalidInput: A row is malformed; the message names its number.
    """
    if not rows or rows[0].get("triforium") != "memory":
        raise InvalidInput("This is not an export of triforium: its first line is no header.")
    if rows[0].get("format") != FORMAT:
        raise InvalidInput(
            f"The export has format {rows[0].get('format')!r}; this version reads {FORMAT}."
        )
    try:
        restorer = _Restorer(connection, rows[0])
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput("The first line of the export is not a whole header.") from error
    for number, row in enumerate(rows[1:], 2):
        try:
            restorer.restore(row)
        except (KeyError, TypeError, ValueError, sqlite3.Error) as error:
            raise InvalidInput(
                f"Line {number} of the export is broken "
                f"({type(error).__name__}: {str(error)[:200]}). Nothing was imported.",
                line=number,
            ) from error
    restorer.finish()
    return len(rows) - 1


class _Restorer:
    def __init__(self, connection: sqlite3.Connection, header: Mapping[str, Any]) -> None:
        self._connection = connection
        self._numbers: dict[str, tuple[int, int, Tier]] = {}
        self._width = int(header.get("width") or 0)
        # Positions of a part of a store have gaps; the next one is given after the last of all.
        connection.executemany(
            "INSERT INTO meta VALUES (?, ?)",
            [("position", str(int(header["position"]))), ("created_at", str(header["created_at"]))],
        )
        if header.get("embedder"):
            connection.executemany(
                "INSERT INTO meta VALUES (?, ?)",
                [("embedder", header["embedder"]), ("width", str(self._width))],
            )

    def restore(self, row: Mapping[str, Any]) -> None:
        restorers: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
            "record": self._record,
            "version": self._version,
            "link": self._link,
            "credit": self._credit,
            "taint": self._taint,
            "journal": self._journal,
            "receipt": self._receipt,
            "effect": self._effect,
            "vector": self._vector,
        }
        restorers[row["row"]](row)

    def _insert(self, table: str, values: Mapping[str, Any]) -> int:
        columns = ", ".join(values)
        marks = ", ".join("?" * len(values))
        plain = [
            json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            if name in _PARSED and value is not None
            else value
            for name, value in values.items()
        ]
        return int(
            self._connection.execute(
                f"INSERT INTO {table} ({columns}) VALUES ({marks})", plain
            ).lastrowid
            or 0
        )

    def _scope(self, row: Mapping[str, Any]) -> int:
        return scope_number(self._connection, check_scope(row["scope"]))

    def _record(self, row: Mapping[str, Any]) -> None:
        scope, tier = self._scope(row), Tier(row["tier"])
        values = {name: row[name] for name in _RECORD.split(", ")}
        number = self._insert("records", {**values, "scope": scope})
        self._numbers[row["id"]] = (number, scope, tier)
        if tier in SEARCHABLE and row["expired"] is None:
            found = terms(row["text"])
            for key in row["keys"]:
                found.extend(terms(key))
            index_record(
                self._connection,
                number,
                scope,
                tier,
                found,
                counted=row["visible_from"] is not None,
            )

    def _version(self, row: Mapping[str, Any]) -> None:
        names = (
            "until",
            "revision",
            "keys",
            "confidence",
            "cluster",
            "summary",
            "status",
            "outcome",
        )
        self._insert(
            "versions",
            {"n": self._numbers[row["id"]][0], **{name: row[name] for name in names}},
        )

    def _link(self, row: Mapping[str, Any]) -> None:
        names = ("type", "via", "weight", "added", "expired")
        self._insert(
            "links",
            {
                "src": self._numbers[row["src"]][0],
                "dst": self._numbers[row["dst"]][0],
                **{name: row[name] for name in names},
            },
        )

    def _credit(self, row: Mapping[str, Any]) -> None:
        names = ("role", "receipt", "position", "uses", "helped", "hurt")
        self._insert(
            "credit_deltas",
            {"n": self._numbers[row["id"]][0], **{name: row[name] for name in names}},
        )

    def _taint(self, row: Mapping[str, Any]) -> None:
        self._insert(
            "taint",
            {
                "n": self._numbers[row["id"]][0],
                **{name: row[name] for name in ("root", "added", "expired")},
            },
        )

    def _journal(self, row: Mapping[str, Any]) -> None:
        names = (
            "position",
            "id",
            "hash",
            "actor",
            "reason",
            "base",
            "created_at",
            "ops",
            "before",
        )
        self._insert("journal", {"scope": self._scope(row), **{name: row[name] for name in names}})

    def _receipt(self, row: Mapping[str, Any]) -> None:
        names = ("id", "run", "trial", "role", "position", "created_at", "body")
        self._insert("receipts", {"scope": self._scope(row), **{name: row[name] for name in names}})

    def _effect(self, row: Mapping[str, Any]) -> None:
        names = ("key", "request", "done", "result")
        self._insert("effects", {"scope": self._scope(row), **{name: row[name] for name in names}})

    def _vector(self, row: Mapping[str, Any]) -> None:
        number, scope, tier = self._numbers[row["id"]]
        blob = base64.b64decode(row["vector"], validate=True)
        if np.frombuffer(blob, np.float32).shape != (self._width,):
            raise ValueError(f"the vector is not {self._width} wide")
        self._insert(
            "vectors",
            {
                "n": number,
                "scope": scope,
                "tier": tier.value,
                "position": int(row["position"]),
                "vector": blob,
            },
        )

    def finish(self) -> None:
        """Make again what is derived: counters of credit and of evidence."""
        self._connection.execute(
            "INSERT INTO credits SELECT n, role, sum(uses), sum(helped), sum(hurt) "
            "FROM credit_deltas GROUP BY n, role"
        )
        for type_, column in (("SUPPORTS", "support"), ("REFUTES", "refuted")):
            self._connection.execute(
                f"UPDATE records SET {column} = (SELECT count(*) FROM links l WHERE "
                "l.dst = records.n AND l.type = ? AND l.expired IS NULL) WHERE tier != ?",
                (type_, Tier.INTERACTION.value),
            )
