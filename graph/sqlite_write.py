"""How a changeset is applied to the tables: one class, one method per operation."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

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
from .ids import JSON, canonical, digest
from .records import Link, LinkType, OutcomeKind, Record, Status, Tier
from .scopes import check_scope, visible_scopes
from .sqlite_index import count_terms, index_record, index_terms, unindex_record
from .store import SEARCHABLE, Applied
from .text import terms

MAX_ID = 512
"""Characters of a record id at most."""
_IMAGE = "revision, keys, confidence, cluster, summary, status, outcome"
_COUNTED = {LinkType.SUPPORTS: "support", LinkType.REFUTES: "refuted"}


def stamp(when: datetime) -> str:
    """A time as the store writes it: UTC to the microsecond, so that times compare as text.

    Raises:
        InvalidInput: The time has no zone.
    """
    if when.tzinfo is None:
        raise InvalidInput(
            f"The time {when.isoformat()} has no time zone; give one, such as UTC.", when=when
        )
    return when.astimezone(UTC).isoformat(timespec="microseconds")


def head(connection: sqlite3.Connection) -> tuple[int, str]:
    """The last journal position and time stamp; (0, "") in an empty store."""
    row = connection.execute(
        "SELECT position, created_at FROM journal ORDER BY position DESC LIMIT 1"
    ).fetchone()
    # A store that was restored from a part of another goes on after the other's last position.
    meta = dict(
        connection.execute("SELECT key, value FROM meta WHERE key IN ('position', 'created_at')")
    )
    position, last = (0, "") if row is None else row
    if int(meta.get("position", 0)) > position:
        return int(meta["position"]), str(meta["created_at"])
    return int(position), str(last)


def check_record(record: Record) -> None:
    """Refuse a record whose id or derived fields cannot be kept.

    Raises:
        InvalidInput: The id is empty, long or has control characters, or the confidence is no
            number between 0 and 1.
    """
    if not 0 < len(record.id) <= MAX_ID or not record.id.isprintable():
        raise InvalidInput(
            f"A record id has 1 to {MAX_ID} printable characters, not {record.id[:80]!r}.",
            id=record.id,
        )
    check_confidence(record.id, record.confidence)


def check_confidence(id_: str, confidence: object) -> None:
    """Refuse a confidence that is neither None nor a number between 0 and 1."""
    if confidence is None:
        return
    if not isinstance(confidence, int | float) or not 0.0 <= confidence <= 1.0:
        raise InvalidInput(
            f"The confidence of {id_!r} must lie between 0 and 1, not {str(confidence)[:40]}.",
            id=id_,
        )


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
        self._now = stamp(now)
        ops: list[JSON] = [op_to_json(op) for op in changeset.ops]
        self._ops = canonical(ops)
        self._hash = digest(changeset.scope, ops)
        self._scopes = visible_scopes(changeset.scope)
        self._rows: dict[str, tuple[int, str, str]] = {}
        self._seen: dict[int, int] = {}
        self._adding = {
            op.record.id
            for op in changeset.ops
            if isinstance(op, Add) and op.record.tier is Tier.QUERY
        }
        self.embeddable: dict[str, tuple[int, int, Tier]] = {}

    def already(self) -> Applied | None:
        """The answer given before to this changeset, if any."""
        row = self._connection.execute(
            "SELECT position, hash FROM journal WHERE id = ?", (self._changeset.id,)
        ).fetchone()
        if row is None:
            return None
        if row[1] != self._hash:
            raise IdConflict(
                f"The changeset id {self._changeset.id!r} is taken by another changeset. "
                "Give this one an id of its own.",
                id=self._changeset.id,
            )
        return Applied(int(row[0]), replayed=True)

    def apply(self) -> None:
        """Apply all operations and write the journal."""
        before = [self._apply(op) for op in self._changeset.ops]
        self._connection.execute(
            "INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._position,
                self._changeset.id,
                self._hash,
                scope_number(self._connection, self._changeset.scope),
                self._changeset.actor,
                self._changeset.reason,
                self._changeset.base,
                self._now,
                self._ops,
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
                if old == new:
                    raise InvalidInput(f"The record {old!r} cannot supersede itself.", id=old)
                self._own(old)
                self._own(new)
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
        check_record(record)
        hashed = record.content_hash()
        row = self._connection.execute(
            "SELECT content_hash, expired FROM records WHERE id = ?", (record.id,)
        ).fetchone()
        if row is not None:
            if row[0] == hashed and row[1] is None:
                return "same"
            raise IdConflict(
                f"The record id {record.id!r} is taken by other content. "
                "Derive the id from the content, or supersede the record.",
                id=record.id,
            )
        scope = scope_number(self._connection, record.scope)
        origin = record.provenance
        visible_from = self._visible_from(record)
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
                    stamp(record.valid_from) if record.valid_from else None,
                    stamp(record.valid_to) if record.valid_to else None,
                    hashed,
                    canonical(list(record.keys)),
                    record.confidence,
                    record.cluster,
                    record.summary,
                    self._position,
                    visible_from,
                    self._now,
                    Status.ACTIVE.value,
                ),
            ).lastrowid
            or 0
        )
        self._rows[record.id] = (number, record.scope, record.tier.value)
        if record.tier in SEARCHABLE:
            self.embeddable[record.id] = (number, scope, record.tier)
            index_record(
                self._connection,
                number,
                scope,
                record.tier,
                index_terms(record),
                counted=visible_from is not None,
            )
        return None

    def _visible_from(self, record: Record) -> int | None:
        """The position from which everybody sees the record; None while its trial is open."""
        if record.tier is Tier.QUERY:
            return None
        trial = record.provenance.trial
        if not trial:
            return self._position
        row = self._connection.execute(
            "SELECT r.outcome FROM records r JOIN scopes s ON s.n = r.scope "
            "WHERE r.id = ? AND r.tier = 'query' AND s.path = ?",
            (trial, record.scope),
        ).fetchone()
        # A step may stand before its trial in one changeset.
        still_open = trial in self._adding if row is None else row[0] is None
        return None if still_open else self._position

    def _live(self, src: int, dst: int, type_: LinkType, via: str) -> tuple[int, float] | None:
        row = self._connection.execute(
            "SELECT n, weight FROM links WHERE src = ? AND type = ? AND dst = ? AND via = ? "
            "AND expired IS NULL",
            (src, type_.value, dst, via),
        ).fetchone()
        return None if row is None else (int(row[0]), float(row[1]))

    def _link(self, link: Link) -> JSON:
        if not math.isfinite(link.weight):
            raise InvalidInput("The weight of a link is a finite number.", key=link.key)
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
        (src, src_scope, _), (dst, dst_scope, _) = self._find(src_id), self._find(dst_id)
        if self._changeset.scope not in (src_scope, dst_scope):
            raise InvalidInput(
                f"The link from {src_id!r} to {dst_id!r} belongs to an outer scope; "
                "take it away from there.",
                src=src_id,
                dst=dst_id,
            )
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
        check_confidence(id_, fields.get("confidence"))
        plain = {
            name: canonical(list(value)) if name == "keys" else value
            for name, value in fields.items()
        }
        before = self._set(id_, revision, plain)
        number = self._rows[id_][0]
        tier = Tier(self._rows[id_][2])
        if tier in SEARCHABLE:
            scope = scope_number(self._connection, self._changeset.scope)
            self.embeddable[id_] = (number, scope, tier)
            if "keys" in fields:
                self._reindex(number, scope, tier)
        return before

    def _reindex(self, number: int, scope: int, tier: Tier) -> None:
        text, keys, visible_from, old = self._connection.execute(
            "SELECT r.text, r.keys, r.visible_from, f.body FROM records r "
            "JOIN fulltext f ON f.rowid = r.n WHERE r.n = ?",
            (number,),
        ).fetchone()
        counted = visible_from is not None
        unindex_record(self._connection, number, scope, tier, old, counted=counted)
        found = terms(text)
        for key in json.loads(keys):
            found.extend(terms(key))
        index_record(self._connection, number, scope, tier, found, counted=counted)

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
        self._publish(number, id_)
        return before

    def _publish(self, number: int, id_: str) -> None:
        """Let everybody see a trial that is closed, and its steps."""
        scope = scope_number(self._connection, self._changeset.scope)
        shown = self._connection.execute(
            "SELECT n, tier FROM records WHERE n = ? AND visible_from IS NULL UNION ALL "
            "SELECT n, tier FROM records WHERE trial = ? AND visible_from IS NULL AND scope = ? "
            "AND tier != 'query'",
            (number, id_, scope),
        ).fetchall()
        self._connection.executemany(
            "UPDATE records SET visible_from = ? WHERE n = ?",
            [(self._position, one) for one, _ in shown],
        )
        for one, tier in shown:
            if Tier(tier) in SEARCHABLE:
                body = self._connection.execute(
                    "SELECT body FROM fulltext WHERE rowid = ?", (one,)
                ).fetchone()[0]
                count_terms(self._connection, scope, Tier(tier), body.split(), 1)

    def _set(self, id_: str, revision: int, fields: Mapping[str, Any]) -> JSON:
        """Change mutable columns of an own record; returns the image replaced."""
        number = self._own(id_)
        image = self._connection.execute(
            f"SELECT {_IMAGE} FROM records WHERE n = ?", (number,)
        ).fetchone()
        # Several ops of one changeset may all carry the revision its author saw.
        if revision not in (image[0], self._seen.setdefault(number, image[0])):
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
        if not all(map(math.isfinite, (op.uses, op.helped, op.hurt))):
            raise InvalidInput("Credit is counted in finite numbers.", id=op.id)
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
