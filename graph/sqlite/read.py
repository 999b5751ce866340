"""How a View reads the tables: plain functions on a connection, all inside one snapshot."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from ..application import stamp
from ..records import Credit, Link, LinkType, Outcome, Record, Status, Tier
from ..replica.links import ADDED, EXPIRED, FAR, IN_ORDER, LINK, MADE, OUTWARD, TYPE, VIA, WEIGHT
from ..store import INDEPENDENT, Filter, Hop, SourceCounts, Walk, counts_of, passes_then
from .cache import RecordCache
from .decode import COLUMNS, SOURCE, credits_of, decoded, hold_of, taint_of
from .taint import SUPPORTED

_COUNTERS = "r.n, r.id, r.revision, r.support, r.refuted, r.expired"
_NONE: Mapping[str, Any] = MappingProxyType({})
_NAMES = 500
"""Sources asked for at once."""
RANK = "bm25(fulltext, 0.0, 0.0, 1.0), fulltext.rowid"
"""How the full-text index ranks; of equals the one added first."""


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
        sql += ")"
        if self.historic:
            sql += (
                " AND (r.gaps IS NULL OR NOT EXISTS (SELECT 1 FROM json_each(r.gaps) g "
                "WHERE g.key % 2 = 0 AND g.value <= ? "
                "AND json_extract(r.gaps, '$[' || (g.key + 1) || ']') > ?))"
            )
            parameters += [self.position, self.position]
        return sql, parameters


_ROOTS = "SELECT 1 FROM taint x WHERE x.n = r.n AND x.expired IS NULL"
_TAINTED = f"EXISTS ({_ROOTS})"
_SPARED = f"(NOT EXISTS ({_ROOTS}) OR {SUPPORTED} >= {INDEPENDENT})"


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
    if where.sources:
        among("r.source", where.sources)
    for bound, sign in ((where.since, ">="), (where.until, "<")):
        if bound is not None:
            sql.append(f"r.created_at {sign} ?")
            parameters.append(stamp(bound))
    if not historic:
        if where.statuses:
            among("r.status", (status.value for status in where.statuses))
        if where.tainted is not None:
            sql.append(_TAINTED if where.tainted else _SPARED)
        if where.roots:
            marks = ", ".join("?" * len(where.roots))
            sql.append(f"EXISTS ({_ROOTS} AND x.root IN ({marks}))")
            parameters.extend(sorted(where.roots))
        if where.outcomes:
            among(
                "coalesce(json_extract(r.outcome, '$.kind'), iif(r.tier = 'query', 'open', ''))",
                where.outcomes,
            )
    return " AND ".join(sql) or "1", parameters


class Reader:
    """Reads what a lens shows, on a connection whose snapshot does not move."""

    def __init__(
        self, connection: sqlite3.Connection, lens: Lens, cache: RecordCache | None = None
    ) -> None:
        self.connection = connection
        self.lens = lens
        self._cache = cache or RecordCache()
        self._seen, self._seen_parameters = lens.condition()

    def select(
        self,
        sql: str,
        parameters: Sequence[Any] = (),
        where: Filter | None = None,
        *,
        source: str = SOURCE,
        tail: str = "",
        tail_parameters: Sequence[Any] = (),
    ) -> dict[int, Record]:
        """Visible records that satisfy `sql` and the filter, by number, stamped."""
        condition, values = ("1", []) if where is None else self._filter(where)
        columns = COLUMNS if self.lens.historic else _COUNTERS
        rows = self.connection.execute(
            f"SELECT {columns} FROM {source} WHERE {sql} AND {self._seen} AND {condition} {tail}",
            (*parameters, *self._seen_parameters, *values, *tail_parameters),
        ).fetchall()
        if self.lens.historic:
            return self._then({row[0]: decoded(row) for row in rows}, where)
        return self._now(rows)

    def _filter(self, where: Filter) -> tuple[str, list[Any]]:
        return filter_condition(where, historic=self.lens.historic)

    def _now(self, rows: Sequence[Sequence[Any]]) -> dict[int, Record]:
        """Records of the present from their counters: those that are known need no decoding."""
        known = {row[0]: self._cache.get(row[0], row[1], row[2]) for row in rows}
        missing = [number for number, one in known.items() if one is None]
        fresh = {row[0]: decoded(row) for row in self._rows_of(missing)}
        credits, taint = self._credits(list(known)), self._taint(list(known))
        found: dict[int, Record] = {}
        for number, _, _, support, refuted, expired in rows:
            one = known[number] or fresh[number]
            credit, roots = credits.get(number, _NONE), tuple(taint.get(number, ()))
            if (one.support, one.refuted, one.expired, one.credit, one.taint) != (
                support,
                refuted,
                expired,
                credit,
                roots,
            ):
                one = replace(
                    one,
                    support=support,
                    refuted=refuted,
                    expired=expired,
                    credit=MappingProxyType(credit) if credit else _NONE,
                    taint=roots,
                )
                self._cache.put(number, one)
            elif number in fresh:
                self._cache.put(number, one)
            found[number] = one
        return found

    def _rows_of(self, numbers: Sequence[int]) -> list[Any]:
        if not numbers:
            return []
        return self.connection.execute(
            f"SELECT {COLUMNS} FROM {SOURCE} WHERE r.n IN (SELECT value FROM json_each(?))",
            (json.dumps(numbers),),
        ).fetchall()

    def _then(self, records: dict[int, Record], where: Filter | None) -> dict[int, Record]:
        """Records of the past: put back what changed since."""
        taint = self._taint(list(records))
        records = {
            number: replace(self._as_it_was(number, one), taint=tuple(taint.get(number, ())))
            for number, one in records.items()
        }
        if where is not None:
            records = {n: one for n, one in records.items() if self._passes(n, one, where)}
        credits = self._credits(list(records))
        return {
            number: replace(one, credit=MappingProxyType(credits.get(number, {})))
            for number, one in records.items()
        }

    def _passes(self, number: int, record: Record, where: Filter) -> bool:
        left = self._left(number, record) if record.taint and where.tainted is False else 0
        return passes_then(record, where, left)

    def _left(self, number: int, record: Record) -> int:
        """How many independent supports a tainted record had left."""
        position = self.lens.position
        rows = self.connection.execute(
            f"SELECT {COLUMNS} FROM {SOURCE} WHERE r.n IN (SELECT l.src FROM links l "
            "WHERE l.dst = ?1 AND l.type IN ('LED_TO', 'SUPPORTS') AND l.added <= ?2 "
            "AND (l.expired IS NULL OR l.expired > ?2) UNION SELECT l.dst FROM links l "
            "WHERE l.src = ?1 AND l.type = 'DERIVED_FROM' AND l.added <= ?2 "
            "AND (l.expired IS NULL OR l.expired > ?2)) AND r.visible_from <= ?2 "
            "AND substr(?3 || '/', 1, length(s.path) + 1) = s.path || '/'",
            (number, position, record.scope),
        ).fetchall()
        tainted = self._taint([row[0] for row in rows])
        then = [self._as_it_was(row[0], decoded(row)) for row in rows if row[0] not in tainted]
        return len({one.provenance.source for one in then if one.status is Status.ACTIVE})

    def _as_it_was(self, number: int, record: Record) -> Record:
        position = self.lens.position
        row = self.connection.execute(
            "SELECT revision, keys, confidence, cluster, summary, status, outcome, hold "
            "FROM versions "
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
                hold=hold_of(row[7]),
            )
        counts = dict(
            self.connection.execute(
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
        if not self.lens.historic:
            return credits_of(self.connection, json.dumps(numbers))
        found: dict[int, dict[str, Credit]] = {}
        for number, role, uses, helped, hurt in self.connection.execute(
            "SELECT n, role, sum(uses), sum(helped), sum(hurt) FROM credit_deltas "
            "WHERE n IN (SELECT value FROM json_each(?)) AND position <= ? GROUP BY n, role",
            (json.dumps(numbers), self.lens.position),
        ):
            found.setdefault(number, {})[role] = Credit(uses, helped, hurt)
        return found

    def _taint(self, numbers: list[int]) -> dict[int, list[str]]:
        if not self.lens.historic:
            return taint_of(self.connection, json.dumps(numbers)) if numbers else {}
        found: dict[int, list[str]] = {}
        if numbers and self.connection.execute("SELECT 1 FROM taint LIMIT 1").fetchone():
            for number, root in self.connection.execute(
                "SELECT n, root FROM taint WHERE n IN (SELECT value FROM json_each(?)) "
                "AND added <= ? AND (expired IS NULL OR expired > ?) ORDER BY n, root",
                (json.dumps(numbers), self.lens.position, self.lens.position),
            ):
                found.setdefault(number, []).append(root)
        return found

    def by_ids(self, ids: Sequence[str]) -> dict[int, Record]:
        """Visible records of any status by id."""
        # SQLite's JSON ends a text at a NUL; no id holds one.
        wanted = json.dumps([id_ for id_ in ids if "\0" not in id_])
        return self.select("r.id IN (SELECT value FROM json_each(?))", [wanted])

    def sources(self, names: Sequence[str]) -> dict[str, SourceCounts]:
        """The counts of some sources, over the visible scopes."""
        found: dict[str, SourceCounts] = {}
        for start in range(0, len(names), _NAMES):
            # Bound one by one: a list in JSON would end at a NUL.
            some = names[start : start + _NAMES]
            asked = f"source IN ({', '.join('?' * len(some))})"
            if self.lens.historic:
                found |= counts_of(some, self.select(f"r.{asked}", some).values())
                continue
            marks = ", ".join("?" * len(self.lens.scopes))
            rows = self.connection.execute(
                "SELECT source, sum(records), sum(quarantined), sum(successes), sum(failures), "
                f"sum(helped), sum(hurt) FROM sources WHERE {asked} AND scope IN ({marks}) "
                "GROUP BY source",
                (*some, *self.lens.scopes),
            )
            found |= {row[0]: SourceCounts(*row[1:]) for row in rows}
        return {name: found.get(name, SourceCounts()) for name in names}

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

    def matching(self, match: str, limit: int) -> list[int]:
        """The numbers of the best records for a full-text question that names the scopes."""
        rows = self.connection.execute(
            f"SELECT rowid FROM fulltext WHERE fulltext MATCH ? ORDER BY {RANK} LIMIT ?",
            (match, limit),
        )
        return [row[0] for row in rows]

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
            leaving = sorted(
                number for number in start if not (hop.without_summary and records[number].summary)
            )
            found = self._hop(leaving, hop, records)
            level: set[int] = set()
            for number, rows in found.items():
                near = records[number]
                for row in rows:
                    far = row[FAR]
                    level.add(far)
                    if row[LINK] not in links:
                        links[row[LINK]] = _between(row, near, records[far])
            levels.append(level)
        reached = sorted(set().union(*levels))
        return Walk(
            levels=tuple(tuple(sorted(records[n].id for n in level)) for level in levels),
            records={records[n].id: records[n] for n in reached},
            links=tuple(sorted(links.values(), key=IN_ORDER)),
        )

    def _arrives(self, number: int, records: Mapping[int, Record], hop: Hop) -> bool:
        record = records.get(number)
        if record is None:
            return False
        return not self.lens.historic or self._passes(number, record, hop.where)

    def _hop(
        self, numbers: Sequence[int], hop: Hop, records: dict[int, Record]
    ) -> dict[int, list[Any]]:
        """Per record its links that lead to visible records, the first `fan` in order.

        Args:
            numbers: The records it leaves.
            hop: What to follow.
            records: Those read so far; the ones that the links lead to are added.
        """
        if not numbers:
            return {}
        found: dict[int, list[Any]] = {}
        ends = {"out": (("src", "dst"),), "in": (("dst", "src"),)}.get(
            hop.direction, (("src", "dst"), ("dst", "src"))
        )
        types = json.dumps(sorted(type_.value for type_ in hop.types))
        missing: set[int] = set()
        for near, far in ends:
            sql, parameters = self._hop_sql(near, far, hop)
            for row in self.connection.execute(sql, (json.dumps(numbers), types, *parameters)):
                found.setdefault(row[0], []).append(row)
                if row[FAR] not in records:
                    missing.add(row[FAR])
        if missing:
            records |= self.select(
                "r.n IN (SELECT value FROM json_each(?))", [json.dumps(sorted(missing))]
            )
        for number, rows in found.items():
            chosen = [row for row in rows if self._arrives(row[FAR], records, hop)]
            if len(chosen) > hop.fan:
                chosen.sort(
                    key=lambda row: (
                        -row[WEIGHT],
                        -row[ADDED],
                        records[row[FAR]].id,
                        row[TYPE],
                    )
                )
            found[number] = chosen[: hop.fan]
        return found

    def _hop_sql(self, near: str, far: str, hop: Hop) -> tuple[str, list[Any]]:
        """For all records and types at once; of each only the first `fan` rows are read."""
        condition, values = self._filter(hop.where)
        tiers = sorted(tier.value for tier in hop.tiers)
        limit = -1 if self.lens.historic else hop.fan
        position = self.lens.position
        return (
            f"SELECT l.{near}, l.n, l.{far}, l.{near} = l.src, l.type, l.via, l.weight, l.added, "
            "l.expired FROM json_each(?) s CROSS JOIN json_each(?) t CROSS JOIN links l "
            f"ON l.n IN (SELECT k.n FROM links k CROSS JOIN records r ON r.n = k.{far} "
            f"WHERE k.{near} = s.value AND k.type = t.value AND k.added <= ? "
            "AND (k.expired IS NULL OR k.expired > ?) "
            f"AND r.tier IN ({', '.join('?' * len(tiers))}) AND {self._seen} AND {condition} "
            f"ORDER BY k.weight DESC, k.added DESC, r.id LIMIT ?)",
            [position, position, *tiers, *self._seen_parameters, *values, limit],
        )


_TYPES = {type_.value: type_ for type_ in LinkType}


def _between(row: Sequence[Any], near: Record, far: Record) -> Link:
    if len(row) > MADE:
        made: Link = row[MADE]
        return made
    src, dst = (near.id, far.id) if row[OUTWARD] else (far.id, near.id)
    return Link(
        src=src,
        dst=dst,
        type=_TYPES[row[TYPE]],
        via=row[VIA],
        weight=row[WEIGHT],
        added=row[ADDED],
        expired=row[EXPIRED],
    )
