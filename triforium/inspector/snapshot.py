"""One scope's graph in memory, kept up to date from the journal.

The upper storeys are held whole. Interactions are nine in ten records, and are read through their
trials; only a small memory is held with them.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
from types import MappingProxyType

from ..graph import (
    Add,
    AddLink,
    Close,
    Expire,
    Filter,
    Hop,
    JournalEntry,
    Link,
    LinkType,
    Record,
    Restore,
    Revive,
    SetStatus,
    Store,
    Supersede,
    Tier,
    Unlink,
    View,
    Walk,
    terms,
)
from .counts import Counts
from .reading import ANY, EVERY_TIER, get_all, ids_of

MOST = 200_000
"""Records of a snapshot at most, the newest."""
INTERACTIONS = 4_000
"""A memory with more interactions is held without them."""
KEPT = 8
"""Snapshots held at once."""
TEXT = 281
"""Characters of a text that are held: one more than are shown, to tell that it goes on."""
_BATCH = 500
_REPLAYED = 2_000
"""Journal entries that are followed; after more the snapshot is read anew."""
_UPPER = frozenset({Tier.QUERY, Tier.INSIGHT})
_ALL = 2**31 - 1
_EMPTY = MappingProxyType[str, object]({})
_LINKS = frozenset(LinkType)
_TAINTED = Filter(statuses=frozenset(), tainted=True)
_INFECTING = frozenset({LinkType.LED_TO, LinkType.SUPPORTS, LinkType.DERIVED_FROM})
"""Links along which a record in quarantine taints others."""


@dataclass(slots=True)
class Snapshot:
    """What one scope sees at one position.

    It is not changed once it was handed out: threads read it, and answers are kept by its position.

    Attributes:
        scope: The reader's scope.
        position: The journal position.
        tiers: The tiers that are held.
        records: By id, oldest first and by id among those of one changeset; without data and with
            the beginning of their text only.
        links: By key; both ends are among the records.
        cut: Whether the scope sees more records of these tiers than are held.
        words: The terms of texts, for those who need them again.
    """

    scope: str
    position: int
    tiers: frozenset[Tier]
    records: dict[str, Record] = field(default_factory=dict)
    links: dict[tuple[str, str, LinkType, str], Link] = field(default_factory=dict)
    cut: bool = False
    words: dict[str, frozenset[str]] = field(default_factory=dict)

    def successor(self, position: int) -> Snapshot:
        """A copy for a later position, to be changed."""
        # Words are only ever added. They are many where texts come and go.
        words = self.words if len(self.words) <= 2 * len(self.records) else {}
        return replace(
            self,
            position=position,
            records=dict(self.records),
            links=dict(self.links),
            words=words,
        )

    def words_of(self, text: str) -> frozenset[str]:
        """The terms of a text, each once."""
        found = self.words.get(text)
        if found is None:
            found = self.words[text] = frozenset(terms(text))
        return found

    def take(self, records: Iterable[Record]) -> None:
        """Hold these, or what they have become."""
        for record in records:
            if record.tier in self.tiers:
                self.records[record.id] = slim(record)

    def order(self) -> None:
        """Put the records in order again: a trial that closes late was added long before."""
        keys = [(one.added, one.id) for one in self.records.values()]
        if any(later < earlier for earlier, later in pairwise(keys)):
            self.records = {id_: self.records[id_] for _, id_ in sorted(keys)}

    def drop(self, ids: Iterable[str]) -> None:
        """Hold these no more, nor their links."""
        gone = {id_ for id_ in ids if self.records.pop(id_, None) is not None}
        if gone:
            self.links = {
                key: link
                for key, link in self.links.items()
                if link.src not in gone and link.dst not in gone
            }

    def tie(self, links: Iterable[Link]) -> None:
        """Hold those links whose ends are held."""
        for link in links:
            if link.src in self.records and link.dst in self.records:
                self.links[link.key] = link


def slim(record: Record) -> Record:
    """A record without what a graph does not show."""
    return replace(record, text=record.text[:TEXT], data=_EMPTY, keys=(), summary="")


class Snapshots:
    """The snapshots of a store, one for each scope and time that is looked at."""

    def __init__(self, store: Store, counts: Counts) -> None:
        self._store = store
        self._counts = counts
        self._now: OrderedDict[str, Snapshot] = OrderedDict()
        self._past: OrderedDict[tuple[str, int], Snapshot] = OrderedDict()
        self._locks: dict[str, asyncio.Lock] = {}

    async def at(self, scope: str, at: int | datetime | None = None) -> Snapshot:
        """The snapshot of a scope, now or as of a position or time."""
        view = await self._store.view(scope, at=at)
        if at is not None:
            # Cut to what exists; what is at the present position is the present.
            present = await self._store.view(scope)
            if view.position < present.position:
                return await self._then(view)
            view = present
        lock = self._locks.setdefault(scope, asyncio.Lock())
        async with lock:
            known = self._now.get(scope)
            held = known
            if known is not None and known.position < view.position:
                held = await self._follow(known, view)
            if held is None:
                held = await self._read(view)
            self._now[scope] = held
            self._now.move_to_end(scope)
            while len(self._now) > KEPT:
                gone, _ = self._now.popitem(last=False)
                self._locks.pop(gone, None)
            return held

    async def _then(self, view: View) -> Snapshot:
        key = (view.scope, view.position)
        held = self._past.get(key)
        if held is None:
            held = await self._read(view)
            self._past[key] = held
            while len(self._past) > KEPT:
                self._past.popitem(last=False)
        self._past.move_to_end(key)
        return held

    async def _read(self, view: View) -> Snapshot:
        statistics = await self._counts.of(view.scope)
        interactions = sum(
            count
            for name, count in statistics.records.items()
            if name.startswith(Tier.INTERACTION.value)
        )
        tiers = EVERY_TIER if interactions <= INTERACTIONS else _UPPER
        held = Snapshot(view.scope, view.position, tiers)
        found = await view.recent(tiers=tiers, k=MOST, where=ANY)
        held.take(found)
        held.order()
        held.cut = len(found) >= MOST
        ids = list(held.records)
        hop = Hop(_LINKS, "out", tiers, ANY, fan=_ALL)
        for start in range(0, len(ids), _BATCH):
            held.tie((await view.walk(ids[start : start + _BATCH], [hop])).links)
        return held

    async def _follow(self, held: Snapshot, view: View) -> Snapshot | None:
        """What a snapshot becomes at the position of a View; None if too much has happened."""
        entries = await self._store.journal(held.scope, after=held.position, limit=_REPLAYED + 1)
        if len(entries) > _REPLAYED:
            return None
        # What was applied after the View is followed the next time.
        entries = tuple(one for one in entries if one.position <= view.position)
        touched = {id_ for entry in entries for id_ in ids_of(entry.changeset)}
        appeared = {id_ for entry in entries for id_ in _appearing(entry)}
        if any(map(_infects, entries)):
            touched |= {id_ for id_, one in held.records.items() if one.taint}
            found = await view.recent(tiers=held.tiers, k=MOST, where=_TAINTED)
            touched |= {one.id for one in found}
        walk = await self._around(held, view, appeared)
        seen = await get_all(view, touched | set(walk.records))
        after = held.successor(view.position)
        after.drop(touched - seen.keys())
        after.take(seen.values())
        after.order()
        after.tie(walk.links)
        for entry in entries:
            _relink(after, entry)
        return after if len(after.records) <= MOST else None

    async def _around(self, held: Snapshot, view: View, appeared: set[str]) -> Walk:
        """All links of records that became visible, with the steps of trials."""
        part_of = frozenset({LinkType.PART_OF})
        hops = [Hop(_LINKS, "both", held.tiers, ANY, fan=_ALL, start=0)]
        if Tier.INTERACTION in held.tiers:
            among = frozenset({LinkType.NEXT, LinkType.REPLY_TO, LinkType.DERIVED_FROM})
            steps = frozenset({Tier.INTERACTION})
            hops.append(Hop(part_of, "in", steps, ANY, fan=_ALL, start=0))
            hops.append(Hop(among, "out", held.tiers, ANY, fan=_ALL, start=2))
        return await view.walk(sorted(appeared), hops)


def _appearing(entry: JournalEntry) -> Iterable[str]:
    """Records that an entry may have made visible."""
    for op in entry.changeset.ops:
        match op:
            case Add(record):
                yield record.id
            case Close() | Revive() | Restore() | Expire():
                yield op.id
            case Supersede(old, _, new):
                yield from (old, new)


def _infects(entry: JournalEntry) -> bool:
    """Whether an entry may change what descends from records in quarantine."""
    for op in entry.changeset.ops:
        match op:
            case SetStatus() | Supersede() | Restore() | Expire() | Revive():
                return True
            case AddLink(link) if link.type in _INFECTING:
                return True
            case Unlink() if op.type in _INFECTING:
                return True
    return False


def _relink(held: Snapshot, entry: JournalEntry) -> None:
    for op in entry.changeset.ops:
        match op:
            case AddLink(link):
                known = held.links.get(link.key)
                held.tie([replace(link, added=known.added if known else entry.position)])
            case Unlink(src, dst, type_, via):
                held.links.pop((src, dst, type_, via), None)
