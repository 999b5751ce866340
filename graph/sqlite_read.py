"""How a View reads the tables: plain functions on a connection, all inside one snapshot."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from .records import Credit, Link, LinkType, Outcome, Provenance, Record, Status, Tier
from .sqlite_write import stamp
from .store import Filter, Hop, Walk

_COLUMNS = (
    "r.n, r.id, r.tier, r.kind, r.text, s.path, r.task_key, r.source, r.role, r.agent, r.run, "
    "r.trial, r.step, r.data, r.valid_from, r.valid_to, r.keys, r.confidence, r.cluster, "
    "r.summary, r.added, r.expired, r.created_at, r.revision, r.status, r.outcome, r.support, "
    "r.refuted"
)
_FROM = "records r JOIN scopes s ON s.n = r.scope"


@dataclass(frozen=True, slots=True)
class Lens:
    """What a View sees.

    Attributes:
        scopes: Numbers of the visible scopes.
        position: The journal position.
        run: Whose open trials are visible, "" for none.
        historic: Whether the position lies in the past, so that images are rebuilt.
    """

    scopes: tuple[int, ...]
    position: int
    run: str
    historic: bool

    def condition(self) -> tuple[str, list[Any]]:
        """SQL that a record r must satisfy to be seen.

        The plus keeps SQLite from starting with the index of scopes, which holds nearly all.
        """
        marks = ", ".join("?" * len(self.scopes))
        sql = (
            f"+r.scope IN ({marks}) AND r.added <= ? AND (r.expired IS NULL OR r.expired > ?) "
            "AND (r.visible_from <= ?"
        )
        parameters: list[Any] = [*self.scopes, self.position, self.position, self.position]
        if self.run:
            sql += " OR r.run = ?"
            parameters.append(self.run)
        return sql + ")", parameters


def filter_condition(where: Filter, *, historic: bool) -> tuple[str, list[Any]]:
    """SQL for a filter on a record r. What changes with time is left out for the past."""
    sql: list[str] = []
    parameters: list[Any] = []

    def among(column: str, values: Iterable[str], extra: str = "") -> None:
        chosen = sorted(values)
        sql.append(f"({column} IN ({', '.join('?' * len(chosen))}){extra})")
        parameters.extend(chosen)

    if where.kinds:
        among("r.kind", where.kinds)
    if where.roles:
        among("r.role", where.roles, " OR r.role = ''")
    if where.task_key:
        sql.append("r.task_key = ?")
        parameters.append(where.task_key)
    if where.valid_at is not None:
        moment = stamp(where.valid_at)
        sql.append(
            "(r.kind != 'fact' OR ((r.valid_from IS NULL OR r.valid_from <= ?) "
            "AND (r.valid_to IS NULL OR r.valid_to > ?)))"
        )
        parameters += [moment, moment]
    if not historic:
        if where.statuses:
            among("r.status", (status.value for status in where.statuses))
        if where.outcomes:
            among(
                "coalesce(json_extract(r.outcome, '$.kind'), iif(r.tier = 'query', 'open', ''))",
                where.outcomes,
            )
    return " AND ".join(sql) or "1", parameters


def passes(record: Record, where: Filter) -> bool:
    """Whether a record of the past satisfies the parts of a filter that change with time."""
    unfinished = "open" if record.tier is Tier.QUERY else ""
    outcome = record.outcome.kind.value if record.outcome else unfinished
    return (not where.statuses or record.status in where.statuses) and (
        not where.outcomes or outcome in where.outcomes
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _record(row: Sequence[Any]) -> Record:
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
    )


class Reader:
    """Reads what a lens shows, on a connection whose snapshot does not move."""

    def __init__(self, connection: sqlite3.Connection, lens: Lens) -> None:
        self._connection = connection
        self.lens = lens
        self._seen, self._seen_parameters = lens.condition()

    def select(
        self,
        sql: str,
        parameters: Sequence[Any] = (),
        where: Filter | None = None,
        *,
        source: str = _FROM,
        tail: str = "",
        tail_parameters: Sequence[Any] = (),
    ) -> dict[int, Record]:
        """Visible records that satisfy `sql` and the filter, by number, stamped."""
        condition, values = ("1", []) if where is None else self._filter(where)
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM {source} WHERE {sql} AND {self._seen} AND {condition} {tail}",
            (*parameters, *self._seen_parameters, *values, *tail_parameters),
        ).fetchall()
        return self._stamp({row[0]: _record(row) for row in rows}, where)

    def _filter(self, where: Filter) -> tuple[str, list[Any]]:
        return filter_condition(where, historic=self.lens.historic)

    def _stamp(self, records: dict[int, Record], where: Filter | None) -> dict[int, Record]:
        """Add credit and taint; for the past, put back what changed since."""
        if self.lens.historic:
            records = {number: self._as_it_was(number, one) for number, one in records.items()}
            if where is not None:
                records = {n: one for n, one in records.items() if passes(one, where)}
        credits = self._credits(list(records))
        taint = self._taint(list(records))
        return {
            number: replace(
                one,
                credit=MappingProxyType(credits.get(number, {})),
                taint=tuple(taint.get(number, ())),
            )
            if number in credits or number in taint
            else one
            for number, one in records.items()
        }

    def _as_it_was(self, number: int, record: Record) -> Record:
        position = self.lens.position
        row = self._connection.execute(
            "SELECT revision, keys, confidence, cluster, summary, status, outcome FROM versions "
            "WHERE n = ? AND until > ? ORDER BY until, revision LIMIT 1",
            (number, position),
        ).fetchone()
        if row is not None:
            record = replace(
                record,
                revision=row[0],
                keys=tuple(json.loads(row[1])),
                confidence=row[2],
                cluster=row[3],
                summary=row[4],
                status=Status(row[5]),
                outcome=None if row[6] is None else Outcome.from_json(json.loads(row[6])),
            )
        counts = dict(
            self._connection.execute(
                "SELECT type, count(*) FROM links WHERE dst = ? AND type IN (?, ?) "
                "AND added <= ? AND (expired IS NULL OR expired > ?) GROUP BY type",
                (number, LinkType.SUPPORTS, LinkType.REFUTES, position, position),
            )
        )
        expired = record.expired
        return replace(
            record,
            expired=None if expired is not None and expired > position else expired,
            support=counts.get(LinkType.SUPPORTS.value, 0),
            refuted=counts.get(LinkType.REFUTES.value, 0),
        )

    def _credits(self, numbers: list[int]) -> dict[int, dict[str, Credit]]:
        if not numbers:
            return {}
        if self.lens.historic:
            sql = (
                "SELECT n, role, sum(uses), sum(helped), sum(hurt) FROM credit_deltas "
                "WHERE n IN (SELECT value FROM json_each(?)) AND position <= ? GROUP BY n, role"
            )
            parameters: tuple[Any, ...] = (json.dumps(numbers), self.lens.position)
        else:
            sql = (
                "SELECT n, role, uses, helped, hurt FROM credits "
                "WHERE n IN (SELECT value FROM json_each(?))"
            )
            parameters = (json.dumps(numbers),)
        found: dict[int, dict[str, Credit]] = {}
        for number, role, uses, helped, hurt in self._connection.execute(sql, parameters):
            found.setdefault(number, {})[role] = Credit(uses, helped, hurt)
        return found

    def _taint(self, numbers: list[int]) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        if numbers and self._connection.execute("SELECT 1 FROM taint LIMIT 1").fetchone():
            for number, root in self._connection.execute(
                "SELECT n, root FROM taint WHERE n IN (SELECT value FROM json_each(?)) "
                "AND added <= ? AND (expired IS NULL OR expired > ?) ORDER BY n, root",
                (json.dumps(numbers), self.lens.position, self.lens.position),
            ):
                found.setdefault(number, []).append(root)
        return found

    def by_ids(self, ids: Sequence[str]) -> dict[int, Record]:
        """Visible records of any status by id."""
        return self.select("r.id IN (SELECT value FROM json_each(?))", [json.dumps(list(ids))])

    def recent(self, tiers: frozenset[Tier], k: int, where: Filter) -> list[Record]:
        """The k last added, newest first."""
        limit = -1 if self.lens.historic else k
        found: list[tuple[int, Record]] = []
        # One scope and tier at a time, because then the index gives the newest at once.
        for scope in self.lens.scopes:
            for tier in sorted(tiers):
                found += self.select(
                    "r.scope = ? AND r.tier = ?",
                    [scope, tier.value],
                    where,
                    tail="ORDER BY r.added DESC, r.n DESC LIMIT ?",
                    tail_parameters=[limit],
                ).items()
        found.sort(key=lambda pair: (-pair[1].added, -pair[0]))
        return [record for _, record in found[:k]]

    # --- for searching ------------------------------------------------------------------------

    def of_tiers(self, tiers: frozenset[Tier]) -> dict[int, Record]:
        """All visible records of some tiers, of any status."""
        chosen = sorted(tier.value for tier in tiers)
        return self.select(f"r.tier IN ({', '.join('?' * len(chosen))})", chosen)

    def own_open(self, tiers: frozenset[Tier]) -> list[Record]:
        """Records that are visible only because their open trial is of the reader's own run."""
        if not self.lens.run or not tiers:
            return []
        chosen = sorted(tier.value for tier in tiers)
        found = self.select(
            f"r.visible_from IS NULL AND r.run = ? AND r.tier IN ({', '.join('?' * len(chosen))})",
            [self.lens.run, *chosen],
        )
        return list(found.values())

    def numbered(self, numbers: Sequence[int], where: Filter) -> dict[int, Record]:
        """Visible records by number."""
        return self.select(
            "r.n IN (SELECT value FROM json_each(?))", [json.dumps(list(numbers))], where
        )

    # --- walk ---------------------------------------------------------------------------------

    def walk(self, seeds: Sequence[str], hops: Sequence[Hop]) -> Walk:
        """Follow links level by level."""
        records = self.by_ids(seeds)
        levels: list[set[int]] = [set(records)]
        links: dict[int, Link] = {}
        for hop in hops:
            start = levels[hop.start if hop.start >= 0 else -1]
            found = {number: self._links_of(number, hop) for number in sorted(start)}
            far = {row.far for rows in found.values() for row in rows}
            records |= self.select(
                "r.n IN (SELECT value FROM json_each(?))", [json.dumps(sorted(far - set(records)))]
            )
            level: set[int] = set()
            for number, rows in found.items():
                chosen = [row for row in rows if self._arrives(records.get(row.far), hop)]
                for row in chosen[: hop.fan]:
                    links[row.number] = row.between(records[number].id, records[row.far].id)
                    level.add(row.far)
            levels.append(level)
        return Walk(
            levels=tuple(tuple(sorted(records[n].id for n in level)) for level in levels),
            records={records[n].id: records[n] for n in sorted(set().union(*levels))},
            links=tuple(link for _, link in sorted(links.items())),
        )

    def _arrives(self, record: Record | None, hop: Hop) -> bool:
        if record is None:
            return False
        return not self.lens.historic or passes(record, hop.where)

    def _links_of(self, number: int, hop: Hop) -> list[_LinkRow]:
        """Links of one record that lead to visible records, the first `fan` in order."""
        rows: list[_LinkRow] = []
        ends = {"out": (("src", "dst"),), "in": (("dst", "src"),)}.get(
            hop.direction, (("src", "dst"), ("dst", "src"))
        )
        for near, far in ends:
            sql, parameters = self._hop_sql(near, far, hop)
            for type_ in sorted(hop.types):
                rows += [
                    _LinkRow(*row)
                    for row in self._connection.execute(sql, (number, type_.value, *parameters))
                ]
        rows.sort(key=lambda row: (-row.weight, -row.added, row.far_id, row.type))
        return rows if self.lens.historic else rows[: hop.fan]

    def _hop_sql(self, near: str, far: str, hop: Hop) -> tuple[str, list[Any]]:
        condition, values = self._filter(hop.where)
        tiers = sorted(tier.value for tier in hop.tiers)
        limit = -1 if self.lens.historic else hop.fan
        position = self.lens.position
        return (
            f"SELECT l.n, l.{far}, r.id, l.{near} = l.src, l.type, l.via, l.weight, l.added, "
            f"l.expired FROM links l CROSS JOIN records r ON r.n = l.{far} "
            f"WHERE l.{near} = ? AND l.type = ? AND l.added <= ? "
            "AND (l.expired IS NULL OR l.expired > ?) "
            f"AND r.tier IN ({', '.join('?' * len(tiers))}) AND {self._seen} AND {condition} "
            "ORDER BY l.weight DESC, l.added DESC, r.id LIMIT ?",
            [position, position, *tiers, *self._seen_parameters, *values, limit],
        )


@dataclass(frozen=True, slots=True)
class _LinkRow:
    """A link as seen from one of its ends."""

    number: int
    far: int
    far_id: str
    outward: int
    type: str
    via: str
    weight: float
    added: int
    expired: int | None

    def between(self, near_id: str, far_id: str) -> Link:
        src, dst = (near_id, far_id) if self.outward else (far_id, near_id)
        return Link(
            src=src,
            dst=dst,
            type=LinkType(self.type),
            via=self.via,
            weight=self.weight,
            added=self.added,
            expired=self.expired,
        )
