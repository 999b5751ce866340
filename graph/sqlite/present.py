"""Reads the present of the searchable tiers from the replica, and the rest from the tables."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from ..application import stamp
from ..records import Record, Tier
from ..store import SEARCHABLE, Filter, Hop, passes_then
from .cache import RecordCache
from .read import Lens, Reader
from .replica import Entry, Replica
from .taint import SUPPORTED

_LINK, _FAR, _TYPE, _WEIGHT, _ADDED, _EXPIRED = 1, 2, 4, 6, 7, 8


class PresentReader(Reader):
    """A `Reader` of the present. The replica's lock is held while it is used."""

    def __init__(
        self, connection: sqlite3.Connection, lens: Lens, cache: RecordCache, replica: Replica
    ) -> None:
        super().__init__(connection, lens, cache)
        self.replica = replica
        self._scopes = frozenset(lens.scopes)

    def _sees(self, entry: Entry) -> bool:
        """What `Lens.condition` says in SQL."""
        record, position = entry.record, self.lens.position
        if entry.scope not in self._scopes or record.added > position:
            return False
        if record.expired is not None and record.expired <= position:
            return False
        if entry.visible_from is not None and entry.visible_from <= position:
            return True
        return bool(self.lens.run) and record.provenance.run == self.lens.run

    def by_ids(self, ids: Sequence[str]) -> dict[int, Record]:
        """Visible records of any status by id."""
        found: dict[int, Record] = {}
        rest = []
        for id_ in dict.fromkeys(ids):
            number = self.replica.numbers.get(id_)
            if number is None:
                rest.append(id_)
                continue
            entry = self.replica.entries[number]
            if self._sees(entry):
                found[number] = entry.record
        if rest:
            found |= super().by_ids(rest)
        return found

    def own_open(self, tiers: frozenset[Tier]) -> list[Record]:
        """Records that are visible only because their open trial is of the reader's own run."""
        own = (self.replica.entries[n] for n in self.replica.open.get(self.lens.run, ()))
        return [
            entry.record
            for entry in own
            if self.lens.run and entry.record.tier in tiers and self._sees(entry)
        ]

    def numbered(self, numbers: Sequence[int], where: Filter) -> dict[int, Record]:
        """Visible records of the searchable tiers by number."""
        entries, admits = self.replica.entries, self._admitting(where)
        found: dict[int, Record] = {}
        for number in numbers:
            entry = entries.get(number)
            if entry is not None and self._sees(entry) and admits(number, entry.record):
                found[number] = entry.record
        return found

    def _hop(
        self, numbers: Sequence[int], hop: Hop, records: dict[int, Record]
    ) -> dict[int, list[Any]]:
        entries = self.replica.entries
        if not hop.tiers <= SEARCHABLE or not all(number in entries for number in numbers):
            return super()._hop(numbers, hop, records)
        sides = {"out": (self.replica.out,), "in": (self.replica.into,)}.get(
            hop.direction, (self.replica.out, self.replica.into)
        )
        types = sorted(hop.types)
        admits, position = self._admitting(hop.where), self.lens.position
        arrives: dict[int, bool] = {}
        found: dict[int, list[Any]] = {}
        for number in numbers:
            chosen: list[Any] = []
            for side in sides:
                for type_ in types:
                    shelf = side.get((number, type_))
                    if shelf is None:
                        continue
                    enough = len(chosen) + hop.fan
                    for row in shelf.rows:
                        if row[_ADDED] > position or (
                            row[_EXPIRED] is not None and row[_EXPIRED] <= position
                        ):
                            continue
                        far = row[_FAR]
                        good = arrives.get(far)
                        if good is None:
                            entry = entries[far]
                            good = arrives[far] = (
                                entry.record.tier in hop.tiers
                                and self._sees(entry)
                                and admits(far, entry.record)
                            )
                        if good:
                            chosen.append(row)
                            if len(chosen) >= enough:
                                break
            if len(chosen) > hop.fan:
                chosen.sort(
                    key=lambda row: (
                        -row[_WEIGHT],
                        -row[_ADDED],
                        entries[row[_FAR]].record.id,
                        row[_TYPE],
                    )
                )
                del chosen[hop.fan :]
            if chosen:
                found[number] = chosen
                for row in chosen:
                    if row[_FAR] not in records:
                        records[row[_FAR]] = entries[row[_FAR]].record
        return found

    def _admitting(self, where: Filter) -> Callable[[int, Record], bool]:
        """What `filter_condition` says in SQL, as a function of a record and its number."""
        kinds, roles, task_key, sources = where.kinds, where.roles, where.task_key, where.sources
        moment = "" if where.valid_at is None else stamp(where.valid_at)
        limited = where.since is not None or where.until is not None

        def admits(number: int, record: Record) -> bool:
            spared = where.tainted is False and record.taint
            return (
                passes_then(record, where, self._supports(number) if spared else 0)
                and (not kinds or record.kind in kinds)
                and (not roles or not record.provenance.role or record.provenance.role in roles)
                and (not task_key or record.task_key == task_key)
                and (not sources or record.provenance.source in sources)
                and (not moment or _valid(record, moment))
                and (not limited or _added_within(record, where))
            )

        return admits

    def _supports(self, number: int) -> int:
        """How many independent supports a tainted record has left."""
        row = self.connection.execute(
            f"SELECT {SUPPORTED} FROM records r WHERE r.n = ?", (number,)
        ).fetchone()
        return 0 if row is None else int(row[0])


def _valid(record: Record, moment: str) -> bool:
    """Whether a fact holds at a time, stamped; others always pass."""
    start, end = record.valid_from, record.valid_to
    return record.kind != "fact" or (
        (start is None or stamp(start) <= moment) and (end is None or stamp(end) > moment)
    )


def _added_within(record: Record, where: Filter) -> bool:
    created = stamp(record.created_at) if record.created_at else ""
    return (where.since is None or created >= stamp(where.since)) and (
        where.until is None or created < stamp(where.until)
    )
