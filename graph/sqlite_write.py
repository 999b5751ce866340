"""How a changeset is applied to the tables: one class, one method per operation."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Conflict, IdConflict, InvalidInput, NotFound
from .changes import (
    Add,
    AddCredit,
    AddLink,
    Changeset,
    Close,
    Op,
    Patch,
    SetStatus,
    Supersede,
    Unlink,
    op_to_json,
)
from .ids import JSON, canonical
from .records import Link, LinkType, OutcomeKind, Record, Status, Tier
from .scopes import check_scope, visible_scopes
from .store import SEARCHABLE, Applied
from .text import terms

_IMAGE = "revision, keys, confidence, cluster, summary, status, outcome"
_COUNTED = {LinkType.SUPPORTS: "support", LinkType.REFUTES: "refuted"}


def index_token(term: str) -> str:
    """A term as the full-text index holds it: letters and digits of ASCII only."""
    if term.isascii() and term.isalnum():
        return term
    return "u" + term.encode("utf-8", "surrogatepass").hex()


def index_terms(record: Record) -> list[str]:
    """The terms a searchable record is found by: of its text and keys."""
    found = terms(record.text)
    for key in record.keys:
        found.extend(terms(key))
    return found


def scope_number(connection: sqlite3.Connection, scope: str) -> int:
    """The number of a scope, given to it on first use."""
    row = connection.execute("SELECT n FROM scopes WHERE path = ?", (scope,)).fetchone()
    if row is None:
        check_scope(scope)
        return int(
            connection.execute("INSERT INTO scopes (path) VALUES (?)", (scope,)).lastrowid or 0
        )
    return int(row[0])


class Application:
    """One changeset being applied inside the writer's transaction.

    Args:
        connection: In a transaction.
        changeset: What to apply.
        position: The journal position it gets.
        now: The time it gets.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        changeset: Changeset,
        position: int,
        now: datetime,
    ) -> None:
        self._connection = connection
        self._changeset = changeset
        self._position = position
        self._now = now.isoformat()
        self._scopes = visible_scopes(changeset.scope)
        self._rows: dict[str, tuple[int, str, str]] = {}
        self.added: dict[str, tuple[int, int, Tier]] = {}

    def already(self, digest: str) -> Applied | None:
        """The answer given before to this changeset, if any."""
        row = self._connection.execute(
            "SELECT position, hash FROM journal WHERE id = ?", (self._changeset.id,)
        ).fetchone()
        if row is None:
            return None
        if row[1] != digest:
            raise IdConflict(
                f"The changeset id {self._changeset.id!r} is taken by another changeset. "
                "Give this one an id of its own.",
                id=self._changeset.id,
            )
        return Applied(int(row[0]), replayed=True)

    def apply(self, digest: str) -> None:
        """Apply all operations and write the journal."""
        before = [self._apply(op) for op in self._changeset.ops]
        self._connection.execute(
            "INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._position,
                self._changeset.id,
                digest,
                scope_number(self._connection, self._changeset.scope),
                self._changeset.actor,
                self._changeset.reason,
                self._changeset.base,
                self._now,
                canonical([op_to_json(op) for op in self._changeset.ops]),
                canonical(before),
            ),
        )

    def _apply(self, op: Op) -> JSON:
        match op:
            case Add(record):
                return self._add(record)
            case AddLink(link):
                return self._link(link)
            case Unlink(src, dst, type_, via):
                return self._unlink(src, dst, type_, via)
            case Patch(id_, revision, fields):
                return self._patch(id_, revision, fields)
            case Close(id_, revision, _):
                return self._close(op, id_, revision)
            case Supersede(old, revision, new):
                self._find(new)
                self._link(Link(src=new, dst=old, type=LinkType.SUPERSEDES))
                return self._set(old, revision, {"status": Status.SUPERSEDED.value})
            case AddCredit():
                return self._credit(op)
            case SetStatus(id_, revision, status, _):
                return self._set(id_, revision, {"status": status.value})

    # --- finding ------------------------------------------------------------------------------

    def _find(self, id_: str) -> tuple[int, str, str]:
        """(number, scope, tier) of a record that this changeset may see."""
        found = self._rows.get(id_)
        if found is None:
            row = self._connection.execute(
                "SELECT r.n, s.path, r.tier FROM records r JOIN scopes s ON s.n = r.scope "
                "WHERE r.id = ? AND r.expired IS NULL",
                (id_,),
            ).fetchone()
            if row is None or row[1] not in self._scopes:
                raise NotFound(
                    f"There is no record {id_!r} in scope {self._changeset.scope!r}.", id=id_
                )
            found = self._rows[id_] = (int(row[0]), row[1], row[2])
        return found

    def _own(self, id_: str) -> int:
        number, scope, _ = self._find(id_)
        if scope != self._changeset.scope:
            raise InvalidInput(
                f"The record {id_!r} belongs to scope {scope!r}; change it from there.", id=id_
            )
        return number

    # --- operations ---------------------------------------------------------------------------

    def _add(self, record: Record) -> JSON:
        if record.scope != self._changeset.scope:
            raise InvalidInput(
                f"A changeset of scope {self._changeset.scope!r} cannot add a record of scope "
                f"{record.scope!r}.",
                id=record.id,
            )
        if not record.id:
            raise InvalidInput("A record needs an id.")
        digest = record.content_hash()
        row = self._connection.execute(
            "SELECT content_hash, expired FROM records WHERE id = ?", (record.id,)
        ).fetchone()
        if row is not None:
            if row[0] == digest and row[1] is None:
                return "same"
            raise IdConflict(
                f"The record id {record.id!r} is taken by other content. "
                "Derive the id from the content, or supersede the record.",
                id=record.id,
            )
        scope = scope_number(self._connection, record.scope)
        origin = record.provenance
        number = int(
            self._connection.execute(
                "INSERT INTO records (id, tier, kind, text, scope, task_key, source, role, agent, "
                "run, trial, step, data, valid_from, valid_to, content_hash, keys, confidence, "
                "cluster, summary, added, visible_from, created_at, revision, status) VALUES "
                "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?)",
                (
                    record.id,
                    record.tier.value,
                    record.kind,
                    record.text,
                    scope,
                    record.task_key,
                    origin.source,
                    origin.role,
                    origin.agent,
                    origin.run,
                    origin.trial,
                    origin.step,
                    canonical(dict(record.data)),
                    record.valid_from.isoformat() if record.valid_from else None,
                    record.valid_to.isoformat() if record.valid_to else None,
                    digest,
                    canonical(list(record.keys)),
                    record.confidence,
                    record.cluster,
                    record.summary,
                    self._position,
                    self._visible_from(record),
                    self._now,
                    Status.ACTIVE.value,
                ),
            ).lastrowid
            or 0
        )
        self._rows[record.id] = (number, record.scope, record.tier.value)
        if record.tier in SEARCHABLE:
            self.added[record.id] = (number, scope, record.tier)
            index_record(self._connection, number, scope, record.tier, index_terms(record))
        return None

    def _visible_from(self, record: Record) -> int | None:
        """The position from which everybody sees the record; None while its trial is open."""
        if record.tier is Tier.QUERY:
            return None
        if not record.provenance.trial:
            return self._position
        row = self._connection.execute(
            "SELECT visible_from FROM records WHERE id = ? AND tier = 'query'",
            (record.provenance.trial,),
        ).fetchone()
        return None if row is not None and row[0] is None else self._position

    def _live(self, src: int, dst: int, type_: LinkType, via: str) -> tuple[int, float] | None:
        row = self._connection.execute(
            "SELECT n, weight FROM links WHERE src = ? AND type = ? AND dst = ? AND via = ? "
            "AND expired IS NULL",
            (src, type_.value, dst, via),
        ).fetchone()
        return None if row is None else (int(row[0]), float(row[1]))

    def _link(self, link: Link) -> JSON:
        src, dst = self._find(link.src)[0], self._find(link.dst)[0]
        if link.type is LinkType.SIMILAR and link.src > link.dst:
            src, dst = dst, src
        live = self._live(src, dst, link.type, link.via)
        if live is not None:
            if live[1] == link.weight:
                return {"weight": live[1]}
            self._expire_link(live[0])
        self._connection.execute(
            "INSERT INTO links (src, dst, type, via, weight, added) VALUES (?, ?, ?, ?, ?, ?)",
            (src, dst, link.type.value, link.via, link.weight, self._position),
        )
        if live is None:
            self._count(link.type, dst, 1)
            return None
        return {"weight": live[1]}

    def _unlink(self, src_id: str, dst_id: str, type_: LinkType, via: str) -> JSON:
        src, dst = self._find(src_id)[0], self._find(dst_id)[0]
        if type_ is LinkType.SIMILAR and src_id > dst_id:
            src, dst = dst, src
        live = self._live(src, dst, type_, via)
        if live is None:
            return None
        self._expire_link(live[0])
        self._count(type_, dst, -1)
        return {"weight": live[1]}

    def _expire_link(self, number: int) -> None:
        # A link that came and went within one changeset was never there at any position.
        self._connection.execute(
            "DELETE FROM links WHERE n = ? AND added = ?", (number, self._position)
        )
        self._connection.execute(
            "UPDATE links SET expired = ? WHERE n = ?", (self._position, number)
        )

    def _count(self, type_: LinkType, dst: int, delta: int) -> None:
        column = _COUNTED.get(type_)
        if column is not None:
            self._connection.execute(
                f"UPDATE records SET {column} = {column} + ? WHERE n = ?", (delta, dst)
            )

    def _patch(self, id_: str, revision: int, fields: Mapping[str, Any]) -> JSON:
        plain = {
            name: canonical(list(value)) if name == "keys" else value
            for name, value in fields.items()
        }
        before = self._set(id_, revision, plain)
        if "keys" in fields:
            self._reindex(self._rows[id_][0])
        return before

    def _reindex(self, number: int) -> None:
        text, keys, tier, scope, old = self._connection.execute(
            "SELECT r.text, r.keys, r.tier, r.scope, f.body FROM records r "
            "LEFT JOIN fulltext f ON f.rowid = r.n WHERE r.n = ?",
            (number,),
        ).fetchone()
        if old is None:
            return
        unindex_record(self._connection, number, scope, Tier(tier), old)
        found = terms(text)
        for key in json.loads(keys):
            found.extend(terms(key))
        index_record(self._connection, number, scope, Tier(tier), found)

    def _close(self, op: Close, id_: str, revision: int) -> JSON:
        number, _, tier = self._find(id_)
        if tier != Tier.QUERY.value:
            raise InvalidInput(f"The record {id_!r} is not a trial; only a trial is closed.")
        earlier = self._connection.execute(
            "SELECT outcome FROM records WHERE n = ?", (number,)
        ).fetchone()[0]
        if earlier is not None and json.loads(earlier)["kind"] != OutcomeKind.UNKNOWN.value:
            raise Conflict(
                f"The trial {id_!r} is closed already: {json.loads(earlier)['kind']}. "
                "An outcome is set once.",
                id=id_,
            )
        before = self._set(id_, revision, {"outcome": canonical(op.outcome.to_json())})
        self._connection.execute(
            "UPDATE records SET visible_from = ? WHERE (n = ? OR trial = ?) "
            "AND visible_from IS NULL",
            (self._position, number, id_),
        )
        return before

    def _set(self, id_: str, revision: int, fields: Mapping[str, Any]) -> JSON:
        """Change mutable columns of an own record; returns the image replaced."""
        number = self._own(id_)
        image = self._connection.execute(
            f"SELECT {_IMAGE} FROM records WHERE n = ?", (number,)
        ).fetchone()
        if image[0] != revision:
            raise Conflict(
                f"The record {id_!r} is at revision {image[0]}, not {revision}: it changed since "
                "it was read. Read it again and retry.",
                id=id_,
                revision=image[0],
            )
        self._connection.execute(
            f"INSERT INTO versions (n, until, {_IMAGE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (number, self._position, *image),
        )
        columns = ", ".join(f"{name} = ?" for name in fields)
        self._connection.execute(
            f"UPDATE records SET {columns}{', ' if columns else ''}revision = revision + 1 "
            "WHERE n = ?",
            (*fields.values(), number),
        )
        return dict(zip(_IMAGE.split(", "), image, strict=True))

    def _credit(self, op: AddCredit) -> JSON:
        if not op.receipt:
            raise InvalidInput("Credit needs the id of the receipt it is given for.", id=op.id)
        number = self._find(op.id)[0]
        added = self._connection.execute(
            "INSERT OR IGNORE INTO credit_deltas VALUES (?, ?, ?, ?, ?, ?, ?)",
            (number, op.role, op.receipt, self._position, op.uses, op.helped, op.hurt),
        ).rowcount
        if added:
            self._connection.execute(
                "INSERT INTO credits VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                "uses = uses + excluded.uses, helped = helped + excluded.helped, "
                "hurt = hurt + excluded.hurt",
                (number, op.role, op.uses, op.helped, op.hurt),
            )
        return {"counted": bool(added)}


def index_record(
    connection: sqlite3.Connection, number: int, scope: int, tier: Tier, found: list[str]
) -> None:
    """Enter a record into the full-text index and the term statistics."""
    connection.execute(
        "INSERT INTO fulltext (rowid, scope, tier, body) VALUES (?, ?, ?, ?)",
        (number, f"s{scope}", tier.value, " ".join(map(index_token, found))),
    )
    _count_terms(connection, scope, tier, [index_token(term) for term in found], 1)


def unindex_record(
    connection: sqlite3.Connection, number: int, scope: int, tier: Tier, body: str
) -> None:
    """Take a record out of the full-text index and the term statistics."""
    connection.execute("DELETE FROM fulltext WHERE rowid = ?", (number,))
    _count_terms(connection, scope, tier, body.split(), -1)


def _count_terms(
    connection: sqlite3.Connection, scope: int, tier: Tier, tokens: list[str], sign: int
) -> None:
    connection.executemany(
        "INSERT INTO terms VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
        "documents = documents + excluded.documents",
        [(token, scope, tier.value, sign) for token in Counter(tokens)],
    )
    connection.execute(
        "INSERT INTO term_totals VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
        "documents = documents + excluded.documents, terms = terms + excluded.terms",
        (scope, tier.value, sign, sign * len(tokens)),
    )


def store_vectors(
    connection: sqlite3.Connection,
    added: Mapping[str, tuple[int, int, Tier]],
    vectors: Mapping[str, NDArray[np.float32]],
    fingerprint: str,
) -> None:
    """Keep the vectors of added records, if they are of the store's embedder."""
    wanted = {id_: vector for id_, vector in vectors.items() if id_ in added}
    if not wanted or not fingerprint:
        return
    width = next(iter(wanted.values())).shape[-1]
    connection.execute("INSERT OR IGNORE INTO meta VALUES ('embedder', ?)", (fingerprint,))
    connection.execute("INSERT OR IGNORE INTO meta VALUES ('width', ?)", (str(width),))
    meta = dict(
        connection.execute("SELECT key, value FROM meta WHERE key IN ('embedder', 'width')")
    )
    if meta["embedder"] != fingerprint:
        return
    rows = []
    for id_, vector in wanted.items():
        plain = np.ascontiguousarray(vector, np.float32)
        if plain.shape != (int(meta["width"]),):
            raise InvalidInput(
                f"The vector of {id_!r} has shape {plain.shape}, the store's have "
                f"({meta['width']},).",
                id=id_,
            )
        number, scope, tier = added[id_]
        rows.append((number, scope, tier.value, plain.tobytes()))
    connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?)", rows)
