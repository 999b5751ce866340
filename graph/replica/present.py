"""What one View sees of the present in a replica."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..application import stamp
from ..records import Record, Tier
from ..store import SEARCHABLE, Filter, Hop, passes_then
from .entry import Entry
from .links import ADDED, EXPIRED, FAR, TYPE, WEIGHT
from .replica import Replica


class Present:
    """The records and links of a replica that a View sees. Hold its lock meanwhile.

    Args:
        replica: Up to date.
        scopes: Numbers of the visible scopes.
        position: The journal position.
        run: Whose open trials are visible, "" for none.
        supports: How many independent supports a tainted record has left, by number and record.
    """

    def __init__(
        self,
        replica: Replica,
        scopes: Iterable[int],
        position: int,
        run: str,
        supports: Callable[[int, Record], int],
    ) -> None:
        self.replica = replica
        self.scopes = frozenset(scopes)
        self._position = position
        self._run = run
        self._supports = supports

    def sees(self, entry: Entry) -> bool:
        """Whether a record is visible."""
        record, position = entry.record, self._position
        if entry.scope not in self.scopes or record.added > position:
            return False
        if record.expired is not None and record.expired <= position:
            return False
        if entry.visible_from is not None and entry.visible_from <= position:
            return True
        return bool(self._run) and record.provenance.run == self._run

    def shows_to_all(self, number: int) -> bool:
        """Whether a record is visible to every run."""
        start = self.replica.entries[number].visible_from
        return start is not None and start <= self._position

    def by_ids(self, ids: Iterable[str]) -> tuple[dict[int, Record], list[str]]:
        """Visible records of any status by id; and the ids of which nothing is kept."""
        found: dict[int, Record] = {}
        rest = []
        for id_ in dict.fromkeys(ids):
            number = self.replica.numbers.get(id_)
            if number is None:
                rest.append(id_)
                continue
            entry = self.replica.entries[number]
            if self.sees(entry):
                found[number] = entry.record
        return found, rest

    def own_open(self, tiers: frozenset[Tier]) -> list[Record]:
        """Records that are visible only because their open trial is of the reader's own run."""
        own = (self.replica.entries[n] for n in self.replica.open.get(self._run, ()))
        return [
            entry.record
            for entry in own
            if self._run and entry.record.tier in tiers and self.sees(entry)
        ]

    def numbered(self, numbers: Sequence[int], where: Filter) -> dict[int, Record]:
        """Visible records by number that pass a filter."""
        entries, admits = self.replica.entries, self._admitting(where)
        found: dict[int, Record] = {}
        for number in numbers:
            entry = entries.get(number)
            if entry is not None and self.sees(entry) and admits(number, entry.record):
                found[number] = entry.record
        return found

    def keeps(self, numbers: Iterable[int], hop: Hop) -> bool:
        """Whether all that a hop from some records may reach is in the replica."""
        entries = self.replica.entries
        return hop.tiers <= SEARCHABLE and all(number in entries for number in numbers)

    def hop(
        self, numbers: Iterable[int], hop: Hop, records: dict[int, Record]
    ) -> dict[int, list[Any]]:
        """Per record its links that lead to visible records, the first `fan` in order.

        Args:
            numbers: The records it leaves; see `keeps`.
            hop: What to follow.
            records: Those read so far; the ones that the links lead to are added.

        Returns:
            Rows of `Shelf`.
        """
        entries = self.replica.entries
        sides = {"out": (self.replica.out,), "in": (self.replica.into,)}.get(
            hop.direction, (self.replica.out, self.replica.into)
        )
        types = sorted(hop.types)
        admits, position = self._admitting(hop.where), self._position
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
                        if row[ADDED] > position or (
                            row[EXPIRED] is not None and row[EXPIRED] <= position
                        ):
                            continue
                        far = row[FAR]
                        good = arrives.get(far)
                        if good is None:
                            entry = entries[far]
                            good = arrives[far] = (
                                entry.record.tier in hop.tiers
                                and self.sees(entry)
                                and admits(far, entry.record)
                            )
                        if good:
                            chosen.append(row)
                            if len(chosen) >= enough:
                                break
            if len(chosen) > hop.fan:
                chosen.sort(
                    key=lambda row: (
                        -row[WEIGHT],
                        -row[ADDED],
                        entries[row[FAR]].record.id,
                        row[TYPE],
                    )
                )
                del chosen[hop.fan :]
            if chosen:
                found[number] = chosen
                for row in chosen:
                    if row[FAR] not in records:
                        records[row[FAR]] = entries[row[FAR]].record
        return found

    def _admitting(self, where: Filter) -> Callable[[int, Record], bool]:
        """A filter as a function of a record and its number."""
        kinds, roles, task_key, sources = where.kinds, where.roles, where.task_key, where.sources
        moment = "" if where.valid_at is None else stamp(where.valid_at)
        limited = where.since is not None or where.until is not None

        def admits(number: int, record: Record) -> bool:
            spared = where.tainted is False and record.taint
            return (
                passes_then(record, where, self._supports(number, record) if spared else 0)
                and (not kinds or record.kind in kinds)
                and (not roles or not record.provenance.role or record.provenance.role in roles)
                and (not task_key or record.task_key == task_key)
                and (not sources or record.provenance.source in sources)
                and (not moment or _valid(record, moment))
                and (not limited or _added_within(record, where))
            )

        return admits


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
