"""A store as plain JSON rows, and back: what `dump`, `restore` and a copy do on the tables."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ...errors import InvalidInput, StoreError
from ..ids import JSON
from ..records import LinkType, Status, Tier
from ..rows import KINDS, check_header, header, token, unfinished
from ..scopes import check_scope
from ..store import SEARCHABLE
from ..text import index_terms
from .index import Place, index_record
from .write import head, scope_number

_PARSED = frozenset({"data", "keys", "gaps", "outcome", "hold", "ops", "before", "body", "result"})
_SOURCES: Mapping[str, tuple[str, str, str]] = {
    # kind: (prefix of its columns, tables, order)
    "record": ("r", "records r JOIN scopes s ON s.n = r.scope", "r.n"),
    "version": (
        "t",
        "versions t JOIN records r ON r.n = t.n JOIN scopes s ON s.n = r.scope",
        "r.n, t.until, t.revision",
    ),
    "link": (
        "l",
        "links l JOIN records a ON a.n = l.src JOIN records b ON b.n = l.dst "
        "JOIN scopes s ON s.n = a.scope JOIN scopes s2 ON s2.n = b.scope",
        "l.added, a.id, b.id, l.type, l.via, l.n",
    ),
    "credit": (
        "t",
        "credit_deltas t JOIN records r ON r.n = t.n JOIN scopes s ON s.n = r.scope",
        "r.n, t.role, t.receipt",
    ),
    "taint": (
        "t",
        "taint t JOIN records r ON r.n = t.n JOIN scopes s ON s.n = r.scope",
        "r.n, t.root, t.added",
    ),
    "journal": ("t", "journal t JOIN scopes s ON s.n = t.scope", "t.position"),
    "vector": (
        "t",
        "vectors t JOIN records r ON r.n = t.n JOIN scopes s ON s.n = t.scope",
        "t.n",
    ),
    "receipt": ("t", "receipts t JOIN scopes s ON s.n = t.scope", "t.n"),
    "effect": ("t", "effects t JOIN scopes s ON s.n = t.scope", "s.path, t.key"),
}


def _columns(kind: str) -> str:
    prefix = _SOURCES[kind][0]
    own = {"version", "credit", "taint", "vector"}
    names = {"id": "r.id"} if kind in own else {}
    names |= {"src": "a.id", "dst": "b.id"} if kind == "link" else {}
    return ", ".join(names.get(name, f"{prefix}.{name}") for name in KINDS[kind])


def dump_rows(
    connection: sqlite3.Connection, paths: Sequence[str] | None
) -> Iterator[dict[str, JSON]]:
    """The rows of a dump, header first, read as they are asked for.

    Args:
        connection: In a snapshot that lasts until the last row.
        paths: Visible scopes; None for all.
    """
    allowed = json.dumps(list(paths or ()))
    visible = "(? OR s.path IN (SELECT value FROM json_each(?)))"
    conditions: dict[str, tuple[str, list[Any]]] = {}
    for kind in KINDS:
        parameters: list[Any] = [paths is None, allowed]
        conditions[kind] = (f"{_SOURCES[kind][1]} WHERE {visible}", parameters)
        if kind == "link":
            both = f"{conditions[kind][0]} AND {visible.replace('s.path', 's2.path')}"
            conditions[kind] = (both, parameters * 2)
    meta = dict(connection.execute("SELECT key, value FROM meta"))
    position, last = head(connection)
    yield header(
        scopes=paths,
        position=position,
        created_at=last,
        embedder=meta.get("embedder", ""),
        width=int(meta.get("width", 0)),
        rows={
            kind: connection.execute(f"SELECT count(*) FROM {source}", values).fetchone()[0]
            for kind, (source, values) in conditions.items()
        },
    )
    for kind, (source, values) in conditions.items():
        query = f"SELECT s.path, {_columns(kind)} FROM {source} ORDER BY {_SOURCES[kind][2]}"
        for row in connection.execute(query, values):
            yield _row(kind, row)


def _row(kind: str, row: Sequence[Any]) -> dict[str, JSON]:
    plain: dict[str, JSON] = {"row": kind, "scope": row[0]}
    for name, value in zip(KINDS[kind], row[1:], strict=True):
        if name == "vector":
            plain[name] = base64.b64encode(value).decode("ascii")
        elif name in _PARSED and value is not None:
            plain[name] = json.loads(value)
        else:
            plain[name] = value
    return plain


def check_finished(connection: sqlite3.Connection) -> None:
    """Refuse to write to a store whose copy was not finished.

    Raises:
        StoreError: It was not.
    """
    if connection.execute("SELECT 1 FROM meta WHERE key = 'importing'").fetchone():
        raise unfinished()


def begin_copy(connection: sqlite3.Connection, first: Mapping[str, Any]) -> int:
    """Mark a store as being filled from a dump; returns how many rows it has taken already.

    Raises:
        InvalidInput: The store is not empty, or is being filled from another dump.
    """
    check_header(first)
    meta = dict(connection.execute("SELECT key, value FROM meta"))
    if "importing" in meta:
        if meta["importing"] != token(first):
            raise InvalidInput(
                "The copy into this store was begun from something else, or its source has "
                "changed since. Begin anew with --restart."
            )
        return int(meta["imported"])
    if head(connection)[0] or _holds_anything(connection):
        raise InvalidInput("The store is not empty; import into a new one.")
    _set_meta(connection, importing=token(first), imported=0)
    if first["embedder"]:
        _set_meta(connection, embedder=first["embedder"], width=int(first["width"]))
    return 0


def _holds_anything(connection: sqlite3.Connection) -> bool:
    """Whether there is something although nothing was ever applied."""
    sql = "SELECT EXISTS (SELECT 1 FROM receipts) OR EXISTS (SELECT 1 FROM effects)"
    return bool(connection.execute(sql).fetchone()[0])


def _set_meta(connection: sqlite3.Connection, **values: object) -> None:
    connection.executemany(
        "INSERT OR REPLACE INTO meta VALUES (?, ?)",
        [(key, str(value)) for key, value in values.items()],
    )


def add_rows(connection: sqlite3.Connection, rows: Sequence[Mapping[str, Any]], start: int) -> None:
    """Take some rows of a dump.

    Args:
        connection: In a transaction.
        rows: In the order of the dump.
        start: How many rows were taken before.

    Raises:
        InvalidInput: A row is malformed; its number is named.
    """
    meta = dict(connection.execute("SELECT key, value FROM meta"))
    if int(meta.get("imported", -1)) != start:
        raise StoreError("Another process fills this store just now. Let it finish.")
    restorer = _Restorer(connection, int(meta.get("width", 0)))
    for number, row in enumerate(rows, start + 2):
        try:
            restorer.restore(row)
        except (KeyError, TypeError, ValueError, sqlite3.Error) as error:
            raise InvalidInput(
                f"Line {number} of the export is broken "
                f"({type(error).__name__}: {str(error)[:200]}). Nothing was imported.",
                line=number,
            ) from error
    _set_meta(connection, imported=start + len(rows))


def finish_copy(connection: sqlite3.Connection, first: Mapping[str, Any]) -> None:
    """Make again what is derived, the counters of credit and of evidence, and open the store."""
    connection.execute(
        "INSERT INTO credits SELECT n, role, sum(uses), sum(helped), sum(hurt) "
        "FROM credit_deltas GROUP BY n, role"
    )
    connection.execute(
        "INSERT INTO sources SELECT scope, source, sum(there), sum(q), "
        "sum(iif(q, 0.0, coalesce(v, 0.0))), sum(iif(q OR v IS NULL, 0.0, 1.0 - v)), "
        "sum(helped), sum(hurt) FROM (SELECT r.scope, r.source, r.expired IS NULL AS there, "
        "r.expired IS NULL AND r.status = 'quarantined' AS q, "
        "iif(r.expired IS NULL, json_extract(r.outcome, '$.value'), NULL) AS v, "
        "coalesce((SELECT sum(c.helped) FROM credits c WHERE c.n = r.n), 0.0) AS helped, "
        "coalesce((SELECT sum(c.hurt) FROM credits c WHERE c.n = r.n), 0.0) AS hurt "
        "FROM records r) GROUP BY scope, source"
    )
    for type_, column in (("SUPPORTS", "support"), ("REFUTES", "refuted")):
        connection.execute(
            f"UPDATE records SET {column} = (SELECT count(*) FROM links l WHERE "
            "l.dst = records.n AND l.type = ? AND l.expired IS NULL) WHERE tier != ?",
            (type_, Tier.INTERACTION.value),
        )
    # Positions of a part of a store have gaps; the next one is given after the last of all.
    _set_meta(connection, position=int(first["position"]), created_at=first["created_at"])
    connection.execute("DELETE FROM meta WHERE key IN ('importing', 'imported')")


def abandon_copy(connection: sqlite3.Connection) -> None:
    """Empty a store whose copy was not finished.

    Raises:
        InvalidInput: The store is in use.
    """
    if not connection.execute("SELECT 1 FROM meta WHERE key = 'importing'").fetchone():
        raise InvalidInput("The store is in use; only an unfinished copy can be begun anew.")
    for table in (
        "credits", "credit_deltas", "versions", "links", "taint", "vectors", "terms",
        "term_totals", "sources", "fulltext", "changed", "records", "journal", "receipts",
        "effects", "scopes",
    ):  # fmt: skip
        connection.execute(f"DELETE FROM {table}")
    connection.execute("DELETE FROM meta WHERE key NOT IN ('format', 'min_reader', 'min_writer')")


class _Restorer:
    def __init__(self, connection: sqlite3.Connection, width: int) -> None:
        self._connection = connection
        self._places: dict[str, Place] = {}
        self._scopes: dict[str, int] = {}
        self._width = width

    def restore(self, row: Mapping[str, Any]) -> None:
        restorers: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
            "record": self._record,
            "version": self._of_a_record("versions"),
            "link": self._link,
            "credit": self._of_a_record("credit_deltas"),
            "taint": self._of_a_record("taint"),
            "journal": self._of_a_scope("journal"),
            "receipt": self._of_a_scope("receipts"),
            "effect": self._of_a_scope("effects"),
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
        scope = row["scope"]
        if scope not in self._scopes:
            self._scopes[scope] = scope_number(self._connection, check_scope(scope))
        return self._scopes[scope]

    def _place(self, id_: str) -> Place:
        """Where a record is, also one of an earlier batch."""
        if id_ not in self._places:
            row = self._connection.execute(
                "SELECT n, scope, tier FROM records WHERE id = ?", (id_,)
            ).fetchone()
            if row is None:
                raise ValueError(f"there is no record {id_!r}")
            self._places[id_] = Place(row[0], row[1], Tier(row[2]))
        return self._places[id_]

    def _record(self, row: Mapping[str, Any]) -> None:
        scope, tier = self._scope(row), Tier(row["tier"])
        Status(row["status"])
        values = {name: row[name] for name in KINDS["record"]}
        number = self._insert("records", {**values, "scope": scope})
        place = self._places[row["id"]] = Place(number, scope, tier)
        if tier in SEARCHABLE and row["expired"] is None:
            counted = row["visible_from"] is not None
            found = index_terms(row["text"], row["keys"])
            index_record(self._connection, place, found, counted=counted)

    def _link(self, row: Mapping[str, Any]) -> None:
        LinkType(row["type"])
        values = {name: row[name] for name in KINDS["link"]}
        ends = {end: self._place(row[end]).number for end in ("src", "dst")}
        self._insert("links", values | ends)

    def _of_a_record(self, table: str) -> Callable[[Mapping[str, Any]], None]:
        def restore(row: Mapping[str, Any]) -> None:
            values = {name: row[name] for name in KINDS[row["row"]] if name != "id"}
            self._insert(table, {"n": self._place(row["id"]).number, **values})

        return restore

    def _of_a_scope(self, table: str) -> Callable[[Mapping[str, Any]], None]:
        def restore(row: Mapping[str, Any]) -> None:
            values = {name: row[name] for name in KINDS[row["row"]]}
            self._insert(table, {"scope": self._scope(row), **values})

        return restore

    def _vector(self, row: Mapping[str, Any]) -> None:
        place = self._place(row["id"])
        blob = base64.b64decode(row["vector"], validate=True)
        if np.frombuffer(blob, np.float32).shape != (self._width,):
            raise ValueError(f"the vector is not {self._width} wide")
        self._insert(
            "vectors",
            {
                "n": place.number,
                "scope": place.scope,
                "tier": place.tier.value,
                "position": int(row["position"]),
                "vector": blob,
            },
        )
