"""Loads what a changeset needs and writes what it was worked out to write, on one connection."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...errors import IdConflict
from ..application import LinkKey, Needs, Row, State, Writes, replayed, stamp
from ..changes import Changeset
from ..ids import canonical
from ..records import LinkType, Tier
from ..scopes import check_scope
from ..store import Applied
from ..text import index_token
from .index import Place
from .taint import update_taint

_ROW = (
    "SELECT r.n, r.id, r.tier, s.path, r.content_hash, r.trial, "
    "iif(r.tier = 'interaction', '', r.text), r.visible_from, r.expired, r.gaps, r.revision, "
    "r.keys, r.confidence, r.cluster, r.summary, r.status, r.outcome, r.hold, r.source "
    "FROM records r JOIN scopes s ON s.n = r.scope"
)


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


def scope_number(connection: sqlite3.Connection, scope: str) -> int:
    """The number of a scope, given to it on first use."""
    row = connection.execute("SELECT n FROM scopes WHERE path = ?", (scope,)).fetchone()
    if row is None:
        check_scope(scope)
        return int(
            connection.execute("INSERT INTO scopes (path) VALUES (?)", (scope,)).lastrowid or 0
        )
    return int(row[0])


def already(connection: sqlite3.Connection, changeset: Changeset, hashed: str) -> Applied | None:
    """The answer given before to this changeset, if any.

    Raises:
        IdConflict: Its id is taken by another changeset.
    """
    row = connection.execute(
        "SELECT position, hash FROM journal WHERE id = ?", (changeset.id,)
    ).fetchone()
    return None if row is None else replayed(changeset, hashed, int(row[0]), row[1])


@dataclass(slots=True)
class Loaded:
    """What a changeset needs, and the numbers of the records in the tables."""

    state: State = field(default_factory=State)
    numbers: dict[str, int] = field(default_factory=dict)

    def take(self, row: tuple[Any, ...]) -> Row:
        """Keep a row of `_ROW`."""
        known = Row(
            id=row[1],
            tier=Tier(row[2]),
            scope=row[3],
            hash=row[4],
            trial=row[5],
            text=row[6],
            visible_from=row[7],
            expired=row[8],
            gaps=tuple(json.loads(row[9])) if row[9] else (),
            revision=row[10],
            keys=tuple(json.loads(row[11])) if row[11] != "[]" else (),
            confidence=row[12],
            cluster=row[13],
            summary=row[14],
            status=row[15],
            outcome=json.loads(row[16]) if row[16] else None,
            hold=json.loads(row[17]) if row[17] else None,
            source=row[18],
        )
        self.state.rows[known.id] = known
        self.numbers[known.id] = row[0]
        return known


def load(connection: sqlite3.Connection, needs: Needs) -> Loaded:
    """Read what a changeset needs; one query for each part that is asked for."""
    loaded = Loaded()
    state, numbers = loaded.state, loaded.numbers
    for row in connection.execute(
        f"{_ROW} WHERE r.id IN (SELECT value FROM json_each(?))", (_json(needs.records),)
    ):
        loaded.take(row)
    for trial in sorted(needs.closing & numbers.keys()):
        hidden = connection.execute(
            f"{_ROW} WHERE r.trial = ? AND r.visible_from IS NULL", (trial,)
        ).fetchall()
        state.hidden[trial] = {loaded.take(row).id for row in hidden}
    keys = [key for key in needs.links if key[0] in numbers and key[1] in numbers]
    if keys:
        _load_links(connection, loaded, keys)
    for id_ in sorted(needs.expiring & numbers.keys()):
        state.touching[id_] = _touching(connection, loaded, numbers[id_])
    credited = [key for key in needs.credits if key[0] in numbers]
    for number, role, receipt in credited:
        found = connection.execute(
            "SELECT 1 FROM credit_deltas WHERE n = ? AND role = ? AND receipt = ?",
            (numbers[number], role, receipt),
        )
        if found.fetchone():
            state.credits.add((number, role, receipt))
    return loaded


def _load_links(connection: sqlite3.Connection, loaded: Loaded, keys: Iterable[LinkKey]) -> None:
    for key in keys:
        src, dst, type_, via = key
        row = connection.execute(
            "SELECT weight FROM links WHERE src = ? AND dst = ? AND type = ? AND via = ? "
            "AND expired IS NULL",
            (loaded.numbers[src], loaded.numbers[dst], type_.value, via),
        ).fetchone()
        if row is not None:
            loaded.state.links[key] = row[0]


def _touching(connection: sqlite3.Connection, loaded: Loaded, number: int) -> set[LinkKey]:
    """The live links of a record."""
    found: set[LinkKey] = set()
    for src, dst, type_, via, weight, a, b in connection.execute(
        "SELECT a.id, b.id, l.type, l.via, l.weight, a.n, b.n FROM links l "
        "JOIN records a ON a.n = l.src JOIN records b ON b.n = l.dst "
        "WHERE l.expired IS NULL AND (l.src = ?1 OR l.dst = ?1)",
        (number,),
    ):
        key = (src, dst, LinkType(type_), via)
        loaded.state.links[key] = weight
        loaded.numbers[src], loaded.numbers[dst] = a, b
        found.add(key)
    return found


def write(
    connection: sqlite3.Connection, writes: Writes, numbers: dict[str, int]
) -> Mapping[str, Place]:
    """Write what was worked out; returns where the vectors of its records belong.

    Args:
        connection: In the writer's transaction.
        writes: What to write.
        numbers: Of the records it touches; new ones are entered.
    """
    scope = scope_number(connection, writes.changeset.scope)
    _add_records(connection, writes, numbers, scope)
    _change_records(connection, writes, numbers)
    _write_links(connection, writes, numbers)
    _write_credits(connection, writes, numbers)
    _write_index(connection, writes, numbers, scope)
    _write_sources(connection, writes)
    update_taint(connection, writes, numbers)
    changeset = writes.changeset
    connection.execute(
        "INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            writes.position,
            changeset.id,
            writes.hash,
            scope,
            changeset.actor,
            changeset.reason,
            changeset.base,
            writes.now,
            writes.ops,
            writes.before,
        ),
    )
    return {id_: Place(numbers[id_], scope, row.tier) for id_, row in writes.embeddable.items()}


def _add_records(
    connection: sqlite3.Connection, writes: Writes, numbers: dict[str, int], scope: int
) -> None:
    if not writes.added:
        return
    last = connection.execute("SELECT coalesce(max(n), 0) FROM records").fetchone()[0]
    rows = []
    for number, row in enumerate(writes.added, last + 1):
        record = row.record
        if record is None:
            raise IdConflict(f"The record {row.id!r} was lost on the way.", id=row.id)
        numbers[row.id] = number
        origin = record.provenance
        rows.append(
            (
                number,
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
                canonical(dict(record.data)) if record.data else "{}",
                stamp(record.valid_from) if record.valid_from else None,
                stamp(record.valid_to) if record.valid_to else None,
                row.hash,
                *_changing(row),
                writes.position,
                writes.now,
            )
        )
    connection.executemany(
        "INSERT INTO records (n, id, tier, kind, text, scope, task_key, source, role, agent, run, "
        "trial, step, data, valid_from, valid_to, content_hash, keys, confidence, cluster, "
        "summary, status, outcome, hold, revision, visible_from, expired, gaps, added, created_at) "
        f"VALUES ({', '.join('?' * 30)})",
        rows,
    )


def _changing(row: Row) -> tuple[Any, ...]:
    """What of a record may change, as its columns."""
    return (
        canonical(list(row.keys)) if row.keys else "[]",
        row.confidence,
        row.cluster,
        row.summary,
        row.status,
        canonical(dict(row.outcome)) if row.outcome else None,
        canonical(dict(row.hold)) if row.hold else None,
        row.revision,
        row.visible_from,
        row.expired,
        canonical(list(row.gaps)) if row.gaps else None,
    )


def _change_records(
    connection: sqlite3.Connection, writes: Writes, numbers: Mapping[str, int]
) -> None:
    connection.executemany(
        "UPDATE records SET keys = ?, confidence = ?, cluster = ?, summary = ?, status = ?, "
        "outcome = ?, hold = ?, revision = ?, visible_from = ?, expired = ?, gaps = ? WHERE n = ?",
        [(*_changing(row), numbers[id_]) for id_, row in writes.changed.items()],
    )
    connection.executemany(
        "INSERT INTO versions (n, until, revision, keys, confidence, cluster, summary, status, "
        "outcome, hold) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                numbers[version.id],
                version.until,
                image["revision"],
                canonical(image["keys"]),
                image["confidence"],
                image["cluster"],
                image["summary"],
                image["status"],
                canonical(image["outcome"]) if image["outcome"] else None,
                canonical(image["hold"]) if image["hold"] else None,
            )
            for version in writes.versions
            for image in (version.image,)
        ],
    )


def _write_links(
    connection: sqlite3.Connection, writes: Writes, numbers: Mapping[str, int]
) -> None:
    connection.executemany(
        "UPDATE links SET expired = ? WHERE src = ? AND dst = ? AND type = ? AND via = ? "
        "AND expired IS NULL",
        [
            (writes.position, numbers[src], numbers[dst], type_.value, via)
            for src, dst, type_, via in writes.expired_links
        ],
    )
    connection.executemany(
        "INSERT INTO links (src, dst, type, via, weight, added) VALUES (?, ?, ?, ?, ?, ?)",
        [
            (
                numbers[link.src],
                numbers[link.dst],
                link.type.value,
                link.via,
                link.weight,
                writes.position,
            )
            for link in writes.links
        ],
    )
    connection.executemany(
        "UPDATE records SET support = support + ?, refuted = refuted + ? WHERE n = ?",
        [(*deltas, numbers[id_]) for id_, deltas in writes.evidence.items() if any(deltas)],
    )


def _write_credits(
    connection: sqlite3.Connection, writes: Writes, numbers: Mapping[str, int]
) -> None:
    connection.executemany(
        "INSERT INTO credit_deltas VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (numbers[op.id], op.role, op.receipt, writes.position, op.uses, op.helped, op.hurt)
            for op in writes.credits
        ],
    )
    connection.executemany(
        "INSERT INTO credits VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
        "uses = uses + excluded.uses, helped = helped + excluded.helped, "
        "hurt = hurt + excluded.hurt",
        [(numbers[op.id], op.role, op.uses, op.helped, op.hurt) for op in writes.credits],
    )


def _write_index(
    connection: sqlite3.Connection, writes: Writes, numbers: Mapping[str, int], scope: int
) -> None:
    """The full-text index and the statistics; a changeset writes to one scope only."""
    new = {row.id for row in writes.added}
    connection.executemany(
        "DELETE FROM fulltext WHERE rowid = ?",
        [(numbers[id_],) for id_ in writes.index if id_ not in new],
    )
    connection.executemany(
        "INSERT INTO fulltext (rowid, scope, tier, body) VALUES (?, ?, ?, ?)",
        [
            (
                numbers[id_],
                f"s{scope}",
                _tier_of(writes, id_).value,
                " ".join(map(index_token, found)),
            )
            for id_, found in writes.index.items()
            if found is not None
        ],
    )
    connection.executemany(
        "INSERT INTO terms VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
        "documents = documents + excluded.documents",
        [
            (index_token(term), scope, tier.value, delta)
            for (_, tier, term), delta in writes.terms.items()
            if delta
        ],
    )
    connection.executemany(
        "INSERT INTO term_totals VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
        "documents = documents + excluded.documents, terms = terms + excluded.terms",
        [(scope, tier.value, *deltas) for (_, tier), deltas in writes.totals.items()],
    )


def _write_sources(connection: sqlite3.Connection, writes: Writes) -> None:
    connection.executemany(
        "INSERT INTO sources VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
        "records = records + excluded.records, quarantined = quarantined + excluded.quarantined, "
        "successes = successes + excluded.successes, failures = failures + excluded.failures, "
        "helped = helped + excluded.helped, hurt = hurt + excluded.hurt",
        [
            (scope_number(connection, scope), source, *deltas)
            for (scope, source), deltas in writes.sources.items()
            if any(deltas)
        ],
    )


def _tier_of(writes: Writes, id_: str) -> Tier:
    return writes.embeddable[id_].tier


def _json(values: Iterable[str]) -> str:
    return json.dumps(sorted(values))
