"""The interfaces of the memory graph's storage: `Store` and `View`, and what they exchange.

The guarantees stand in the docstrings; `triforium.testing.store_conformance` tests each of them
on any implementation.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .changes import Changeset
from .ids import JSON, canonical
from .records import Link, LinkType, Record, Status, Tier

Vectors: TypeAlias = NDArray[np.float32]
"""Shape (n, width), rows of unit length."""

SEARCHABLE: frozenset[Tier] = frozenset({Tier.QUERY, Tier.INSIGHT})
"""The tiers with a full-text and a vector index. Interactions are reached by walking."""


INDEPENDENT = 2
"""So many independent supports must be left for a tainted record to be recalled."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What a search or a hop may return. An empty field does not restrict.

    Attributes:
        kinds: Record kinds.
        statuses: ACTIVE alone unless said otherwise.
        roles: Roles in the provenance; records without a role always pass.
        task_key: Attempts at this task.
        outcomes: Kinds of outcome; "open" stands for a trial that has none yet. Records that are no
            trials do not pass.
        valid_at: Only facts that hold at this time (others pass).
        tainted: False: what descends from a record in quarantine passes only if two independent
            supports are left, that is, if what it came from includes active and untainted records
            of at least two sources (unattributed ones are one source). True: only what descends
            from one. None does not restrict.
        roots: Only what descends from one of these records in quarantine.
        sources: Sources in the provenance.
        since: Only records that were added at this time or later.
        until: Only records that were added before this time.
    """

    kinds: frozenset[str] = frozenset()
    statuses: frozenset[Status] = frozenset({Status.ACTIVE})
    roles: frozenset[str] = frozenset()
    task_key: str = ""
    outcomes: frozenset[str] = frozenset()
    valid_at: datetime | None = None
    tainted: bool | None = False
    roots: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class SourceCounts:
    """The record of one source, over what a View's scopes hold.

    Attributes:
        records: Number of its records.
        quarantined: How many of them are in quarantine.
        successes: Sum of the outcomes of its trials, each in [0, 1]; what is open, unknown, judged
            by the team itself or in quarantine does not count.
        failures: Sum of what is lacking to 1 of the same outcomes; with one added to each of the
            two sums, these are the parameters of a Beta posterior.
        helped: Credit of its records: how often they helped.
        hurt: And how often they hurt.
    """

    records: int = 0
    quarantined: int = 0
    successes: float = 0.0
    failures: float = 0.0
    helped: float = 0.0
    hurt: float = 0.0


def counts_of(names: Iterable[str], records: Iterable[Record]) -> dict[str, SourceCounts]:
    """The counts of some sources, from all of their records."""
    sums = {name: [0, 0, 0.0, 0.0, 0.0, 0.0] for name in names}
    for record in records:
        own = sums.get(record.provenance.source)
        if own is None:
            continue
        credit = record.total_credit()
        value = None if record.outcome is None else record.outcome.told
        quarantined = record.status is Status.QUARANTINED
        outcome = (0.0, 0.0) if quarantined or value is None else (value, 1.0 - value)
        deltas = (1, int(quarantined), *outcome, credit.helped, credit.hurt)
        own[:] = [a + b for a, b in zip(own, deltas, strict=True)]
    return {name: SourceCounts(int(own[0]), int(own[1]), *own[2:]) for name, own in sums.items()}


@dataclass(frozen=True, slots=True)
class Hit:
    """A candidate of a search.

    Attributes:
        record: The record, stamped.
        cosine: One value per query vector, in order, for every hit whose vector is stored, also
            those found by text; empty without vectors. In [-1, 1].
    """

    record: Record
    cosine: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class TermStatistics:
    """Counts over all searchable records a View sees, from which BM25 is computed.

    Attributes:
        documents: Number of records in the tiers searched.
        terms: Sum of their lengths in terms (text and keys).
        frequency: For each term of the query texts: in how many of the records it occurs.
    """

    documents: int
    terms: int
    frequency: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Candidates:
    """The answer to a search.

    Attributes:
        hits: Unranked, ordered by id.
        terms: For each tier searched the counts over its records.
    """

    hits: tuple[Hit, ...]
    terms: Mapping[Tier, TermStatistics]

    @property
    def statistics(self) -> TermStatistics:
        """The counts over all tiers searched."""
        frequency: dict[str, int] = {}
        for one in self.terms.values():
            for term, count in one.frequency.items():
                frequency[term] = frequency.get(term, 0) + count
        return TermStatistics(
            documents=sum(one.documents for one in self.terms.values()),
            terms=sum(one.terms for one in self.terms.values()),
            frequency=frequency,
        )

    def of(self, tier: Tier) -> Candidates:
        """The part of the answer that is of one tier."""
        hits = tuple(hit for hit in self.hits if hit.record.tier is tier)
        return Candidates(hits, {tier: self.terms[tier]} if tier in self.terms else {})


@dataclass(frozen=True, slots=True)
class Hop:
    """One step of a walk.

    Attributes:
        types: Which links to follow.
        direction: "out" from src to dst, "in" from dst to src, or "both".
        tiers: Tiers the hop may arrive in.
        where: What the records it arrives at must satisfy.
        fan: At most this many links per record, the heaviest first, then the newest, then by id.
        start: Which level to leave from: 0 is the seeds, n what hop n reached; -1 the level before.
        without_summary: Leave only from records that have no summary, since a summary says what
            would be found.
    """

    types: frozenset[LinkType]
    direction: Literal["out", "in", "both"] = "both"
    tiers: frozenset[Tier] = frozenset(Tier)
    where: Filter = Filter()
    fan: int = 64
    start: int = -1
    without_summary: bool = False


@dataclass(frozen=True, slots=True)
class Walk:
    """What a walk found.

    Attributes:
        levels: Ids reached by each level, the seeds that exist first, each ordered by id. A record
            may stand in several levels.
        records: All records of all levels, stamped.
        links: The links that were followed, each once, by the position that added them, then by
            key.
    """

    levels: tuple[tuple[str, ...], ...]
    records: Mapping[str, Record]
    links: tuple[Link, ...]


def passes_then(record: Record, where: Filter, left: int) -> bool:
    """Whether a record of the past satisfies the parts of a filter that change with time.

    Args:
        record: As it was.
        where: The filter.
        left: How many independent supports it had left, if it was tainted.
    """
    if where.statuses and record.status not in where.statuses:
        return False
    if where.outcomes:
        unfinished = "open" if record.tier is Tier.QUERY else ""
        if (record.outcome.kind if record.outcome else unfinished) not in where.outcomes:
            return False
    if where.roots and not where.roots & set(record.taint):
        return False
    if where.tainted is None or not record.taint:
        return not where.tainted
    return where.tainted or left >= INDEPENDENT


class View(Protocol):
    """One scope of a store at one journal position, with the open trials of at most one run.

    Guarantees:
        - It returns records and links with ``added <= position < expired`` (or no ``expired``),
          of its own scope and that scope's ancestors, and links only if both ends are visible.
        - An open trial and its steps are visible only to the run that the View was made for.
        - At the present position, status, counters, taint and derived fields are read as of the
          call, or, for what another process has written since the View was made, of at most a
          tenth of a second before it; at an earlier position all of them are as they were there.
        - Taint follows from status and links: a record is tainted by each record in quarantine that
          it descends from through DERIVED_FROM, LED_TO and SUPPORTS, as far as the scope of the
          descendant lies in the scope of that record; it comes and goes with them, in the same
          changeset.
        - It holds no transaction open; a method is a round trip or two at most, whatever it reads.
    """

    @property
    def scope(self) -> str:
        """The reader's scope."""
        ...

    @property
    def position(self) -> int:
        """The journal position."""
        ...

    async def search(
        self,
        texts: Sequence[str],
        vectors: Vectors | None = None,
        *,
        tiers: frozenset[Tier] = SEARCHABLE,
        k: int = 32,
        where: Filter | Mapping[Tier, Filter] = Filter(),
    ) -> Candidates:
        """Candidates for any of the texts and vectors.

        Args:
            texts: Query texts; each is looked up by its rarest terms, any of which may match.
            vectors: Shape (len(texts), width), the same queries embedded. Ignored when the width
                is not that of the store.
            tiers: A subset of `SEARCHABLE`.
            k: At least this many per tier, channel and query where there are as many.
            where: What the hits must satisfy; a mapping says it for each tier, and a tier that it
                lacks must satisfy `Filter()`.
        """
        ...

    async def recent(
        self, *, tiers: frozenset[Tier], k: int, where: Filter = Filter()
    ) -> tuple[Record, ...]:
        """The k last added records, newest first."""
        ...

    async def walk(self, seeds: Sequence[str], hops: Sequence[Hop]) -> Walk:
        """Follow links from the seeds, level by level, as the hops say."""
        ...

    async def get(self, ids: Sequence[str]) -> Mapping[str, Record]:
        """The visible records among `ids`, of any status."""
        ...

    async def sources(self, names: Sequence[str]) -> Mapping[str, SourceCounts]:
        """What is known of each of these sources; counted, not searched for, at the present.

        Records of open trials are counted whosever they are.
        """
        ...


@dataclass(frozen=True, slots=True)
class Applied:
    """The answer to `Store.apply`.

    Attributes:
        position: Where the changeset stands in the journal; for an empty one the present position.
        replayed: True when it had been applied before and nothing was done.
    """

    position: int
    replayed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One applied changeset.

    Attributes:
        position: From 1 upward without gaps.
        changeset: The changeset as applied.
        created_at: UTC; strictly increasing with the position.
        before: For each op the image it replaced (None where there was nothing), as JSON.
    """

    position: int
    changeset: Changeset
    created_at: datetime
    before: tuple[JSON, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredReceipt:
    """The account of one recall, as the store keeps it.

    Attributes:
        id: A hash of (run, trial, step, role): a resumed node gets its first receipt again.
        scope: The reader's scope.
        run: The workflow execution.
        trial: The trial it was recalled for.
        role: The role it was recalled for.
        position: The journal position of the View.
        created_at: UTC, stamped by the store.
        body: The account itself, plain JSON; the store does not look into it.
    """

    id: str
    scope: str
    run: str = ""
    trial: str = ""
    role: str = ""
    position: int = 0
    created_at: datetime | None = None
    body: Mapping[str, Any] = field(default_factory=dict)


def named(record: str) -> str:
    """How the body of a receipt names a record, as canonical JSON; "" for none."""
    return f'"id":{canonical(record)}' if record else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEffect:
    """A side effect of a run: an intent, and its result once known.

    Attributes:
        key: Hash of (run, checkpoint step, node, call ordinal).
        scope: Whose.
        request: Hash of what was asked.
        done: Whether there is a result.
        result: The result, plain JSON.
    """

    key: str
    scope: str
    request: str
    done: bool = False
    result: JSON = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Counts of what a scope sees.

    Attributes:
        position: The journal position.
        records: Number of records by "tier/kind".
        statuses: Number of records by status.
        outcomes: Number of trials by kind of outcome, "open" for those without one.
        links: Number of links by type.
        receipts: Number of receipts.
        embedder: Fingerprint of the vectors in the store, "" for none.
        bytes: Size on disk, 0 if not known.
        scopes: The visible scopes that exist, in alphabetical order.
    """

    position: int
    records: Mapping[str, int]
    statuses: Mapping[str, int]
    outcomes: Mapping[str, int]
    links: Mapping[str, int]
    receipts: int
    embedder: str = ""
    bytes: int = 0
    scopes: tuple[str, ...] = ()


class Store(Protocol):
    """Keeps records, links, the journal, receipts and effects.

    Guarantees:
        - `apply` is atomic and durable when it returns; a cancelled await does not undo it.
        - `apply` is idempotent by changeset id.
        - Journal positions are assigned inside the commit, without gaps; all order is by position.
        - What was acknowledged is found by the next search, also by another process.
        - Nothing of another scope is ever returned, nor told apart from what does not exist.
        - No call blocks the event loop; every wait has an end.
    """

    @property
    def url(self) -> str:
        """Where it is, without credentials."""
        ...

    @property
    def embedder(self) -> str:
        """Fingerprint of the embedder whose vectors it holds, "" while it holds none."""
        ...

    async def apply(
        self,
        changeset: Changeset,
        *,
        vectors: Mapping[str, NDArray[np.float32]] | None = None,
        embedder: str = "",
    ) -> Applied:
        """Apply a changeset, all of it or nothing.

        Args:
            changeset: What to change. CREDIT and LINK may touch records of ancestor scopes,
                UNLINK needs one end in the changeset's own scope, all else touches records of
                that scope. An op carries the revision seen before the changeset, or the one
                that the ops before it have led to.
            vectors: Per id of an added or patched searchable record its vector of unit length;
                those of other records are left aside.
                The first one ever stored settles the width and the fingerprint.
            embedder: The fingerprint the vectors belong to. Vectors of another fingerprint than
                the store's are not stored.

        Raises:
            IdConflict: The changeset id or a record id is taken by other content.
            Conflict: A record is not at the revision the changeset saw, or is closed already.
            NotFound: A record that an op needs is not visible.
            InvalidInput: A record of another scope, or data that is not JSON.
            Frozen: It adds records or closes a trial, and its scope or one around it is frozen.
            Busy: Another process held the writer's lock for more than 5 s.
            StoreClosed: After `close`.
        """
        ...

    async def view(self, scope: str, *, run: str = "", at: int | datetime | None = None) -> View:
        """A View of a scope, now or as of an earlier position or system time.

        Args:
            scope: The reader's scope.
            run: Whose open trials are visible; "" for none.
            at: A position, cut to what exists, or a time with a zone; now if None. What is at the
                present position is a View of the present.

        Raises:
            InvalidScope: The scope is not well formed.
            InvalidInput: The time has no zone.
        """
        ...

    async def put_receipt(self, receipt: StoredReceipt) -> StoredReceipt:
        """Keep a receipt and return the one kept: the first under this id wins.

        Raises:
            IdConflict: The id is taken in another scope.
        """
        ...

    async def receipts(
        self,
        scope: str,
        *,
        ids: Sequence[str] = (),
        run: str = "",
        trial: str = "",
        record: str = "",
        limit: int = 1000,
        newest: bool = False,
    ) -> tuple[StoredReceipt, ...]:
        """Visible receipts by id, run or trial, or by a record that they name; oldest first, or
        newest first.

        By a record all receipts are looked through, which may take seconds in a large store.
        """
        ...

    async def begin_effect(self, effect: StoredEffect) -> StoredEffect | None:
        """Note the intent. Returns what an earlier attempt left under the key, else None."""
        ...

    async def finish_effect(self, effect: StoredEffect) -> None:
        """Note the result.

        Raises:
            NotFound: It was never begun in this scope.
        """
        ...

    async def journal(
        self, scope: str, *, after: int = 0, limit: int = 1000
    ) -> tuple[JournalEntry, ...]:
        """Applied changesets of visible scopes (all for "") with position > `after`, in order."""
        ...

    async def statistics(self, scope: str) -> Statistics:
        """Counts of what the scope sees (everything for ""), open trials of all runs included."""
        ...

    def dump(self, scope: str) -> AsyncIterator[dict[str, JSON]]:
        """All that the scope sees (everything for "") as plain JSON rows, header first.

        The rows are of one instant, open trials of all runs included; lossless with `restore`.
        """
        ...

    async def restore(self, rows: AsyncIterator[Mapping[str, Any]]) -> int:
        """Fill an empty store from `dump` in one transaction; returns the number of rows.

        Raises:
            InvalidInput: The store is not empty, or a row is malformed (its number is named).
        """
        ...

    async def begin_copy(self, header: Mapping[str, Any]) -> int:
        """Begin to fill an empty store from a dump, or go on with what was begun.

        Until `finish_copy`, the store takes nothing but rows of this dump.

        Args:
            header: The first row of the dump.

        Returns:
            How many rows after the header it has taken before.

        Raises:
            InvalidInput: The store is not empty, or was begun from another dump.
        """
        ...

    async def add_rows(self, rows: Sequence[Mapping[str, Any]], start: int) -> None:
        """Take the next rows of the dump, durably, all or none.

        Args:
            rows: In the order of the dump.
            start: How many rows were taken before.

        Raises:
            InvalidInput: A row is malformed; its number is named.
            StoreError: It is not at `start`: somebody else fills it.
        """
        ...

    async def finish_copy(self, header: Mapping[str, Any]) -> None:
        """All rows were taken: the store may be used."""
        ...

    async def abandon_copy(self) -> None:
        """Empty a store whose copy was not finished.

        Raises:
            InvalidInput: The store is in use.
        """
        ...

    async def close(self) -> None:
        """Finish what was accepted, then release everything. Closing twice is fine."""
        ...
