"""The journal of one scope, indexed: which changeset changed what."""

from __future__ import annotations

import asyncio
import bisect
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ..graph import (
    Add,
    Close,
    Expire,
    JournalEntry,
    Op,
    Patch,
    Restore,
    Revive,
    SetStatus,
    Store,
    Supersede,
    Tier,
)
from .schema import JournalLine

MOST = 100_000
"""Entries that are indexed at most, the newest; a tenth more while they are waiting to go."""
_PAGE = 128
_KEPT = 4


@dataclass(frozen=True, slots=True)
class Noted:
    """What is kept of an entry.

    Attributes:
        position: In the journal.
        id: Of the changeset.
        scope: Of the changeset.
        created_at: When.
        actor: Who.
        reason: Why.
        ops: Counted by name.
        added: Records it added, by tier.
    """

    position: int
    id: str
    scope: str
    created_at: datetime
    actor: str
    reason: str
    ops: tuple[tuple[str, int], ...]
    added: tuple[tuple[Tier, int], ...]

    def line(self) -> JournalLine:
        """As the API shows it."""
        return JournalLine(
            position=self.position,
            id=self.id,
            scope=self.scope,
            created_at=self.created_at,
            actor=self.actor,
            reason=self.reason,
            ops=dict(self.ops),
        )


def noted(entry: JournalEntry) -> Noted:
    """What is kept of an entry."""
    changeset = entry.changeset
    tiers = Counter(op.record.tier for op in changeset.ops if isinstance(op, Add))
    return Noted(
        entry.position,
        changeset.id,
        changeset.scope,
        entry.created_at,
        changeset.actor,
        changeset.reason,
        tuple(Counter(op.op for op in changeset.ops).items()),
        tuple(sorted(tiers.items())),
    )


def changing(op: Op) -> tuple[str, ...]:
    """The records whose image an operation may change, beside adding them."""
    match op:
        case Patch() | Close() | SetStatus() | Expire() | Revive() | Restore():
            return (op.id,)
        case Supersede():
            return (op.old,)
    return ()


@dataclass(slots=True)
class Log:
    """The journal of a scope as far as it was read.

    Attributes:
        position: Up to where it was read.
        entries: In order.
        positions: Those of the entries.
        grown: How many records all entries up to each have added.
        changed: For each record that was changed, where.
        complete: Whether it begins at the beginning.
    """

    position: int = 0
    entries: list[Noted] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    grown: list[int] = field(default_factory=list)
    changed: dict[str, list[int]] = field(default_factory=dict)
    complete: bool = True

    def take(self, entries: Iterable[JournalEntry]) -> None:
        """Note more entries, in order."""
        for entry in entries:
            self.position = entry.position
            note = noted(entry)
            self.entries.append(note)
            self.positions.append(entry.position)
            added = sum(count for _, count in note.added)
            self.grown.append((self.grown[-1] if self.grown else 0) + added)
            for op in entry.changeset.ops:
                for id_ in changing(op):
                    where = self.changed.setdefault(id_, [])
                    if not where or where[-1] != entry.position:
                        where.append(entry.position)
        if len(self.entries) > MOST + MOST // 10:
            self._trim(len(self.entries) - MOST)

    def _trim(self, count: int) -> None:
        """Forget the oldest entries."""
        del self.entries[:count], self.positions[:count], self.grown[:count]
        first = self.positions[0]
        kept = {id_: [one for one in of if one >= first] for id_, of in self.changed.items()}
        self.changed = {id_: of for id_, of in kept.items() if of}
        self.complete = False

    def between(self, start: int, end: int) -> Sequence[Noted]:
        """The entries after `start`, up to `end`."""
        first = bisect.bisect_right(self.positions, start)
        return self.entries[first : bisect.bisect_right(self.positions, end)]


class Journals:
    """The logs of a store, one for each scope that is looked at."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._logs: OrderedDict[str, Log] = OrderedDict()
        self._locks: dict[str, asyncio.Lock] = {}

    async def of(self, scope: str) -> Log:
        """The log of a scope, up to date."""
        async with self._locks.setdefault(scope, asyncio.Lock()):
            log = self._logs.get(scope)
            if log is None:
                present = (await self._store.view(scope)).position
                start = max(0, present - MOST)
                log = Log(position=start, complete=start == 0)
            self._logs[scope] = log
            self._logs.move_to_end(scope)
            while True:
                page = await self._store.journal(scope, after=log.position, limit=_PAGE)
                log.take(page)
                if len(page) < _PAGE:
                    break
                # Decoding a long journal keeps the processor; let others have it in between.
                await asyncio.sleep(0.02)
            while len(self._logs) > _KEPT:
                gone, _ = self._logs.popitem(last=False)
                self._locks.pop(gone, None)
            return log
