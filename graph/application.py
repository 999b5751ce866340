"""What a changeset does, worked out without a store: the same for all of them.

A store loads what a changeset `needs` into a `State`, `plan` checks the changeset against it and
gives the `Writes`, and the store writes those; all of it inside one transaction. So the semantics
of changesets stand here once, and a store only reads and writes rows.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeAlias

from ..errors import Conflict, Frozen, IdConflict, InvalidInput, NotFound
from .changes import (
    Add,
    AddCredit,
    AddLink,
    Changeset,
    Close,
    Expire,
    Op,
    Patch,
    Restore,
    Revive,
    SetStatus,
    Supersede,
    Unlink,
    ops_to_text,
)
from .ids import JSON, canonical, digest, digest_of_text
from .records import Link, LinkType, Outcome, OutcomeKind, Record, Status, Tier
from .scopes import check_scope, visible_scopes
from .store import SEARCHABLE, Applied
from .text import index_terms

MAX_ID = 512
"""Characters of a record id at most."""
FROZEN = "frozen:"
"""How the ids of the records that keep scopes frozen begin; no other id should."""
IMAGE = ("revision", "keys", "confidence", "cluster", "summary", "status", "outcome", "hold")
"""What of a record may change; an image is these fields as plain JSON."""

LinkKey: TypeAlias = tuple[str, str, LinkType, str]
"""Source, destination, type, via."""
CreditKey: TypeAlias = tuple[str, str, str]
"""Record, role, receipt."""


def stamp(when: datetime) -> str:
    """A time as the stores write it: UTC to the microsecond, so that times compare as text.

    Raises:
        InvalidInput: The time has no zone.
    """
    if when.tzinfo is None:
        raise InvalidInput(
            f"The time {when.isoformat()} has no time zone; give one, such as UTC.", when=when
        )
    return when.astimezone(UTC).isoformat(timespec="microseconds")


@dataclass(slots=True)
class Row:
    """A record as planning knows it: what identifies it, and what may change.

    Attributes:
        id: Of the record.
        tier: Its storey.
        scope: Its scope.
        hash: Digest of its content.
        trial: Of its provenance.
        text: Its text; may be left empty for tiers that are not searched.
        visible_from: Position from which everybody sees it; None while its trial is open.
        expired: Position that took it away.
        gaps: Earlier absences, flat: taken away, put back, taken away, put back...
        revision: Counts the images.
        keys: Extra index terms.
        confidence: In [0, 1].
        cluster: The group of like trials.
        summary: A short form of the text.
        status: Whether it takes part in recall.
        outcome: Of a trial, as JSON.
        hold: Why it is quarantined, as JSON.
        source: Of its provenance.
        record: The record itself, if this changeset adds it.
        ordinal: Which record of the changeset it is, from 0.
    """

    id: str
    tier: Tier
    scope: str
    hash: str
    trial: str = ""
    text: str = ""
    visible_from: int | None = None
    expired: int | None = None
    gaps: tuple[int, ...] = ()
    revision: int = 1
    keys: tuple[str, ...] = ()
    confidence: float | None = None
    cluster: str = ""
    summary: str = ""
    status: str = Status.ACTIVE.value
    outcome: Mapping[str, Any] | None = None
    hold: Mapping[str, Any] | None = None
    source: str = ""
    record: Record | None = None
    ordinal: int = 0

    def image(self) -> dict[str, JSON]:
        """What may change, as plain JSON."""
        return {
            "revision": self.revision,
            "keys": list(self.keys),
            "confidence": self.confidence,
            "cluster": self.cluster,
            "summary": self.summary,
            "status": self.status,
            "outcome": None if self.outcome is None else dict(self.outcome),
            "hold": None if self.hold is None else dict(self.hold),
        }

    @property
    def held(self) -> bool:
        """Whether it is there and in quarantine: then what came of it is tainted."""
        return self.expired is None and self.status == Status.QUARANTINED.value

    def counts(self) -> tuple[float, ...]:
        """What it adds to the counts of its source: see `SourceCounts`."""
        if self.expired is not None:
            return (0, 0, 0.0, 0.0)
        if self.held:
            return (1, 1, 0.0, 0.0)
        value = None if self.outcome is None else Outcome.from_json(self.outcome).told
        return (1, 0, 0.0, 0.0) if value is None else (1, 0, value, 1.0 - value)

    def terms(self) -> list[str]:
        """The terms it is found by."""
        return index_terms(self.text, self.keys)


@dataclass(frozen=True, slots=True)
class Version:
    """An image that was replaced.

    Attributes:
        id: Of the record.
        until: The position that replaced it.
        image: See `IMAGE`.
    """

    id: str
    until: int
    image: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class Needs:
    """What must be loaded before a changeset is planned.

    Attributes:
        records: Ids; those that do not exist are simply not in the state.
        links: Keys of live links.
        credits: Credit that may have been counted before.
        closing: Trials whose hidden steps are needed, with their rows.
        expiring: Records whose live links are needed.
    """

    records: frozenset[str]
    links: frozenset[LinkKey]
    credits: frozenset[CreditKey]
    closing: frozenset[str]
    expiring: frozenset[str]


@dataclass(slots=True)
class State:
    """What is in the store, as far as a changeset needs it.

    Attributes:
        rows: Records by id, also those that were taken away.
        links: Weight of the live links.
        credits: What has been counted.
        hidden: Per trial that is being closed, the ids of its records that only its run sees.
        touching: Per record that is being taken away, its live links.
    """

    rows: dict[str, Row] = field(default_factory=dict)
    links: dict[LinkKey, float] = field(default_factory=dict)
    credits: set[CreditKey] = field(default_factory=set)
    hidden: dict[str, set[str]] = field(default_factory=dict)
    touching: dict[str, set[LinkKey]] = field(default_factory=dict)

    def absorb(self, writes: Writes) -> None:
        """Go on from what a changeset wrote, for the next one of the same transaction."""
        for row in writes.added:
            self.rows[row.id] = replace(row, record=None)
            if row.visible_from is None and row.tier is not Tier.QUERY:
                self.hidden.setdefault(row.trial, set()).add(row.id)
        for row in writes.changed.values():
            self.rows[row.id] = row
        for key in writes.expired_links:
            self.links.pop(key, None)
            for end in key[:2]:
                self.touching.get(end, set()).discard(key)
        for link in writes.links:
            self.links[link.key] = link.weight
            for end in (link.src, link.dst):
                self.touching.setdefault(end, set()).add(link.key)
        self.credits.update((op.id, op.role, op.receipt) for op in writes.credits)
        for row in writes.published:
            for hidden in self.hidden.values():
                hidden.discard(row.id)


@dataclass(slots=True)
class Writes:
    """What a store has to write for one changeset.

    Attributes:
        changeset: Which.
        position: The journal position it gets.
        now: The time it gets, as `stamp` writes it.
        hash: Digest of its content.
        ops: Its operations as canonical JSON text.
        before: For each operation the image it replaced, as canonical JSON text.
        added: New records, in order.
        changed: Records that were there, as they are afterwards.
        published: Records that everybody sees from now on (in `added` or `changed` too).
        versions: Images that were replaced.
        expired_links: Live links that end, before the new ones are written.
        links: New links, each once.
        evidence: Per record: by how much its counts of SUPPORTS and of REFUTES change.
        credits: Deltas to be counted.
        index: Per searchable record its index terms; None takes it out of the full-text index.
        terms: Per scope, tier and term: by how much the number of records with it changes.
        totals: Per scope and tier: by how much the numbers of records and of terms change.
        embeddable: Records a vector may be stored for.
        held: Records that came into quarantine.
        released: Records that left it, or were taken away in it.
        grown: What new links say came of what: (ancestor, descendant).
        cut: The same of links that ended.
        sources: Per scope and source: by how much its counts change, see `Row.counts`, then helped
            and hurt.
    """

    changeset: Changeset
    position: int
    now: str
    hash: str
    ops: str
    before: str = "[]"
    added: list[Row] = field(default_factory=list)
    changed: dict[str, Row] = field(default_factory=dict)
    published: list[Row] = field(default_factory=list)
    versions: list[Version] = field(default_factory=list)
    expired_links: list[LinkKey] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    evidence: dict[str, list[int]] = field(default_factory=dict)
    credits: list[AddCredit] = field(default_factory=list)
    index: dict[str, list[str] | None] = field(default_factory=dict)
    terms: Counter[tuple[str, Tier, str]] = field(default_factory=Counter)
    totals: dict[tuple[str, Tier], list[int]] = field(default_factory=dict)
    embeddable: dict[str, Row] = field(default_factory=dict)
    held: list[str] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    grown: list[tuple[str, str]] = field(default_factory=list)
    cut: list[tuple[str, str]] = field(default_factory=list)
    sources: dict[tuple[str, str], list[float]] = field(default_factory=dict)


def needs(changeset: Changeset) -> Needs:
    """What must be loaded before `plan`."""
    records: set[str] = set()
    links: set[LinkKey] = set()
    credits: set[CreditKey] = set()
    closing: set[str] = set()
    expiring: set[str] = set()
    freezable = False
    for op in changeset.ops:
        match op:
            case Add():
                record = op.record
                records.add(record.id)
                if record.provenance.trial:
                    records.add(record.provenance.trial)
                freezable = True
            case AddLink():
                link = op.link
                links.add(_directed(link.src, link.dst, link.type, link.via))
                records.add(link.src)
                records.add(link.dst)
            case Unlink(src, dst, type_, via):
                links.add(_directed(src, dst, type_, via))
                records |= {src, dst}
            case Supersede(old, _, new):
                links.add((new, old, LinkType.SUPERSEDES, ""))
                records |= {old, new}
            case AddCredit(id_, role, receipt):
                credits.add((id_, role, receipt))
                records.add(id_)
            case Close(id_):
                closing.add(id_)
                records.add(id_)
                freezable = True
            case Expire(id_):
                expiring.add(id_)
                records.add(id_)
            case Patch(id_) | SetStatus(id_) | Restore(id_) | Revive(id_):
                records.add(id_)
    if freezable:
        records |= {frozen_id(scope) for scope in visible_scopes(changeset.scope)}
    return Needs(
        frozenset(records),
        frozenset(links),
        frozenset(credits),
        frozenset(closing),
        frozenset(expiring),
    )


def frozen_id(scope: str) -> str:
    """The id of the record that, while it is active, keeps a scope frozen."""
    return FROZEN + digest("frozen", scope)


def content_of(changeset: Changeset) -> tuple[str, str]:
    """The operations as canonical JSON text, and the digest of the changeset's content."""
    ops = ops_to_text(changeset.ops)
    return ops, digest_of_text(f"[{canonical(changeset.scope)},{ops}]")


def replayed(changeset: Changeset, hashed: str, position: int, known: str) -> Applied:
    """The answer to a changeset whose id is in the journal already.

    Args:
        changeset: The changeset.
        hashed: The digest of its content.
        position: Of the one in the journal.
        known: The digest of that one's content.

    Raises:
        IdConflict: It is another one.
    """
    if known != hashed:
        raise IdConflict(
            f"The changeset id {changeset.id!r} is taken by another changeset. "
            "Give this one an id of its own.",
            id=changeset.id,
        )
    return Applied(position, replayed=True)


def plan(
    state: State, changeset: Changeset, content: tuple[str, str], position: int, now: datetime
) -> Writes:
    """Work out what a changeset writes.

    Args:
        state: What it `needs`; left as it is.
        changeset: What to apply.
        content: What `content_of` gave for it.
        position: The journal position it gets.
        now: The time it gets.

    Raises:
        IdConflict: A record id is taken by other content.
        Conflict: A record is not at the revision the changeset saw, or is closed already, or the
            changeset is exact and something was applied since its base.
        NotFound: A record that an op needs is not visible.
        InvalidInput: A record of another scope, or a value that cannot be kept.
    """
    if changeset.exact and changeset.base != position - 1:
        raise Conflict(
            f"The changeset holds only at position {changeset.base}, and the store is at "
            f"{position - 1} by now. Work it out anew and retry.",
            id=changeset.id,
        )
    writes = Writes(changeset, position, stamp(now), content[1], content[0])
    return _Planner(state, writes).plan()


def _directed(src: str, dst: str, type_: LinkType, via: str) -> LinkKey:
    """The key a link is stored under: SIMILAR has no direction of its own."""
    if type_ is LinkType.SIMILAR and src > dst:
        src, dst = dst, src
    return (src, dst, type_, via)


def descent(key: LinkKey) -> tuple[str, str] | None:
    """The ancestor and the descendant of a link by which taint passes on; None for others."""
    src, dst, type_, _ = key
    if type_ is LinkType.DERIVED_FROM:
        return (dst, src)
    return (src, dst) if type_ in (LinkType.LED_TO, LinkType.SUPPORTS) else None


_COUNTED = {LinkType.SUPPORTS: 0, LinkType.REFUTES: 1}


class _Planner:
    """One changeset being worked out on top of a state that stays as it is."""

    def __init__(self, state: State, writes: Writes) -> None:
        self._state = state
        self._writes = writes
        self._scope = writes.changeset.scope
        self._scopes = frozenset(visible_scopes(self._scope))
        self._rows: dict[str, Row] = {}
        self._links: dict[LinkKey, Link | None] = {}
        self._credits: set[CreditKey] = set()
        self._seen: dict[str, int] = {}
        self._adding = {
            op.record.id
            for op in writes.changeset.ops
            if isinstance(op, Add) and op.record.tier is Tier.QUERY
        }

    def plan(self) -> Writes:
        self._check_frozen()
        before = [self._apply(op) for op in self._writes.changeset.ops]
        self._writes.before = canonical(before)
        self._writes.links = [link for link in self._links.values() if link is not None]
        self._check_expired()
        self._follow()
        return self._writes

    def _check_frozen(self) -> None:
        """A frozen scope takes no records and closes no trials; all else goes on."""
        own = frozen_id(self._scope)
        if not any(
            isinstance(op, Close) or (isinstance(op, Add) and op.record.id != own)
            for op in self._writes.changeset.ops
        ):
            return
        for scope in self._scopes:
            row = self._state.rows.get(frozen_id(scope))
            # Another scope may have taken the id.
            if row is None or row.scope != scope:
                continue
            if row.expired is None and row.status == Status.ACTIVE.value:
                raise Frozen(
                    f"The scope {scope!r} is frozen: nothing is recorded in it until it is "
                    "unfrozen (triforium guard unfreeze).",
                    scope=scope,
                )

    def _follow(self) -> None:
        """What follows from the rows before and after: the counts of sources, and taint."""
        writes = self._writes
        for row in writes.added:
            self._count_source(row, (0, 0, 0.0, 0.0), row.counts())
            if row.held:
                writes.held.append(row.id)
        for id_, row in writes.changed.items():
            before = self._state.rows[id_]
            self._count_source(row, before.counts(), row.counts())
            if row.held and not before.held:
                writes.held.append(id_)
            elif before.held and not row.held:
                writes.released.append(id_)
        for op in writes.credits:
            credited = self._row(op.id)
            if credited is not None:
                self._sum(credited, (0, 0, 0.0, 0.0, op.helped, op.hurt))
        new = {link.key for link in writes.links}
        # A link that is only given another weight ends and begins.
        for key in writes.expired_links:
            if key not in new and (pair := descent(key)):
                writes.cut.append(pair)
        writes.grown = [pair for key in sorted(new) if (pair := descent(key))]

    def _count_source(self, row: Row, before: tuple[float, ...], after: tuple[float, ...]) -> None:
        if before != after:
            self._sum(row, tuple(b - a for a, b in zip(before, after, strict=True)))

    def _sum(self, row: Row, deltas: tuple[float, ...]) -> None:
        sums = self._writes.sources.setdefault((row.scope, row.source), [0, 0, 0.0, 0.0, 0.0, 0.0])
        for index, delta in enumerate(deltas):
            sums[index] += delta

    def _apply(self, op: Op) -> JSON:
        match op:
            case Add():
                return self._add(op.record)
            case AddLink():
                return self._link(op.link)
            case Unlink(src, dst, type_, via):
                return self._unlink(src, dst, type_, via)
            case Patch(id_, revision, fields):
                return self._patch(id_, revision, fields)
            case Close():
                return self._close(op)
            case Supersede(old, revision, new):
                if old == new:
                    raise InvalidInput(f"The record {old!r} cannot supersede itself.", id=old)
                self._own(old)
                self._own(new)
                linked = self._link(Link(src=new, dst=old, type=LinkType.SUPERSEDES))
                fields = {"status": Status.SUPERSEDED.value, "hold": None}
                image = self._set(old, revision, fields)
                return {"image": image, "link": linked}
            case AddCredit():
                return self._credit(op)
            case SetStatus(id_, revision, status) as op:
                hold = op.hold(self._own(id_).hold, self._writes.position)
                return self._set(id_, revision, {"status": status.value, "hold": hold})
            case Expire(id_, revision):
                return self._expire(id_, revision)
            case Revive(id_):
                return self._revive(id_)
            case Restore(id_, revision, image):
                return self._restore(id_, revision, image)

    # --- finding ------------------------------------------------------------------------------

    def _row(self, id_: str) -> Row | None:
        return self._rows.get(id_) or self._state.rows.get(id_)

    def _find(self, id_: str) -> Row:
        """The row of a record that this changeset may see."""
        row = self._row(id_)
        if row is None or row.expired is not None or row.scope not in self._scopes:
            raise NotFound(f"There is no record {id_!r} in scope {self._scope!r}.", id=id_)
        return row

    def _own(self, id_: str) -> Row:
        row = self._find(id_)
        if row.scope != self._scope:
            raise InvalidInput(
                f"The record {id_!r} belongs to scope {row.scope!r}; change it from there.", id=id_
            )
        return row

    def _editable(self, row: Row) -> Row:
        """A row of this plan's own, which is written in the end."""
        if row.id not in self._rows:
            self._rows[row.id] = self._writes.changed[row.id] = replace(row)
        return self._rows[row.id]

    # --- operations ---------------------------------------------------------------------------

    def _add(self, record: Record) -> JSON:
        if record.scope != self._scope:
            raise InvalidInput(
                f"A changeset of scope {self._scope!r} cannot add a record of scope "
                f"{record.scope!r}.",
                id=record.id,
            )
        check_record(record)
        hashed = record.content_hash()
        known = self._row(record.id)
        if known is not None:
            if known.hash != hashed or known.scope != self._scope:
                raise IdConflict(
                    f"The record id {record.id!r} is taken by other content. "
                    "Derive the id from the content, or supersede the record.",
                    id=record.id,
                )
            return "same" if known.expired is None else self._add_again(known, record)
        row = Row(
            id=record.id,
            tier=record.tier,
            scope=record.scope,
            hash=hashed,
            trial=record.provenance.trial,
            text=record.text,
            visible_from=self._visible_from(record),
            keys=record.keys,
            confidence=record.confidence,
            cluster=record.cluster,
            summary=record.summary,
            source=record.provenance.source,
            record=record,
            ordinal=len(self._writes.added),
        )
        self._rows[row.id] = row
        self._writes.added.append(row)
        self._enter(row)
        return None

    def _add_again(self, known: Row, record: Record) -> JSON:
        """Put back what was taken away, with the derived fields it is given now."""
        row = self._editable(known)
        gap = row.expired
        self._version(row)
        row.gaps = (*row.gaps, gap or 0, self._writes.position)
        row.expired = None
        row.revision += 1
        row.keys, row.confidence = record.keys, record.confidence
        row.cluster, row.summary = record.cluster, record.summary
        row.status, row.outcome, row.hold = Status.ACTIVE.value, None, None
        self._enter(row)
        return {"revived": gap}

    def _visible_from(self, record: Record) -> int | None:
        """The position from which everybody sees the record; None while its trial is open."""
        if record.tier is Tier.QUERY:
            return None
        trial = record.provenance.trial
        if not trial:
            return self._writes.position
        row = self._row(trial)
        if row is None or row.tier is not Tier.QUERY or row.scope != record.scope:
            # A step may stand before its trial in one changeset.
            still_open = trial in self._adding
        else:
            still_open = row.outcome is None
        return None if still_open else self._writes.position

    def _link(self, link: Link) -> JSON:
        if not math.isfinite(link.weight):
            raise InvalidInput("The weight of a link is a finite number.", key=link.key)
        self._find(link.src)
        self._find(link.dst)
        key = _directed(link.src, link.dst, link.type, link.via)
        live = self._live(key)
        if live is not None and live == link.weight:
            return {"weight": live}
        self._end_link(key)
        src, dst, type_, via = key
        if src != link.src or link.added or type(link.weight) is not float:
            link = Link(src=src, dst=dst, type=type_, via=via, weight=float(link.weight))
        self._links[key] = link
        if live is None:
            self._count(type_, dst, 1)
            return None
        return {"weight": live}

    def _unlink(self, src: str, dst: str, type_: LinkType, via: str) -> JSON:
        if self._scope not in (self._find(src).scope, self._find(dst).scope):
            raise InvalidInput(
                f"The link from {src!r} to {dst!r} belongs to an outer scope; "
                "take it away from there.",
                src=src,
                dst=dst,
            )
        key = _directed(src, dst, type_, via)
        live = self._live(key)
        if live is None:
            return None
        self._end_link(key)
        self._links[key] = None
        self._count(type_, key[1], -1)
        return {"weight": live}

    def _live(self, key: LinkKey) -> float | None:
        if key in self._links:
            own = self._links[key]
            return None if own is None else own.weight
        return self._state.links.get(key)

    def _end_link(self, key: LinkKey) -> None:
        # A link that comes and goes within one changeset is never there at any position.
        if key not in self._links and key in self._state.links:
            self._writes.expired_links.append(key)

    def _count(self, type_: LinkType, dst: str, delta: int) -> None:
        column = _COUNTED.get(type_)
        if column is not None:
            self._writes.evidence.setdefault(dst, [0, 0])[column] += delta

    def _patch(self, id_: str, revision: int, fields: Mapping[str, Any]) -> JSON:
        check_confidence(id_, fields.get("confidence"))
        row = self._own(id_)
        old = row.terms() if "keys" in fields and row.tier in SEARCHABLE else None
        plain = {name: tuple(value) if name == "keys" else value for name, value in fields.items()}
        before = self._set(id_, revision, plain)
        self._reindex(id_, old)
        return before

    def _reindex(self, id_: str, old: list[str] | None) -> None:
        row = self._rows[id_]
        if row.tier not in SEARCHABLE:
            return
        self._writes.embeddable[id_] = row
        if old is not None:
            if row.visible_from is not None:
                self._count_terms(row, old, -1)
            self._enter(row)

    def _close(self, op: Close) -> JSON:
        row = self._find(op.id)
        if row.tier is not Tier.QUERY:
            raise InvalidInput(f"The record {op.id!r} is not a trial; only a trial is closed.")
        if row.outcome is not None and row.outcome["kind"] != OutcomeKind.UNKNOWN.value:
            raise Conflict(
                f"The trial {op.id!r} is closed already: {row.outcome['kind']}. "
                "An outcome is set once.",
                id=op.id,
            )
        before = self._set(op.id, op.revision, {"outcome": op.outcome.to_json()})
        self._publish(op.id)
        return before

    def _publish(self, id_: str) -> None:
        """Let everybody see a trial that is closed, and its steps."""
        steps = set(self._state.hidden.get(id_, ()))
        steps |= {one.id for one in self._writes.added if one.trial == id_}
        for one in (id_, *sorted(steps)):
            row = self._row(one)
            if row is None or row.visible_from is not None or row.scope != self._scope:
                continue
            if one != id_ and row.tier is Tier.QUERY:
                continue
            row = self._editable(row)
            row.visible_from = self._writes.position
            self._writes.published.append(row)
            if row.tier in SEARCHABLE and row.expired is None:
                self._count_terms(row, row.terms(), 1)

    def _expire(self, id_: str, revision: int) -> JSON:
        before = self._set(id_, revision, {})
        row = self._rows[id_]
        row.expired = self._writes.position
        if row.tier in SEARCHABLE:
            if row.visible_from is not None:
                self._count_terms(row, row.terms(), -1)
            self._writes.index[id_] = None
        return before

    def _check_expired(self) -> None:
        """What was taken away must not be an end of a live link."""
        gone = [row.id for row in self._rows.values() if row.expired == self._writes.position]
        if not gone:
            return
        fresh = Counter(
            end for key, link in self._links.items() if link is not None for end in {*key[:2]}
        )
        for id_ in gone:
            kept = sum(key not in self._links for key in self._state.touching.get(id_, ()))
            if kept or fresh[id_]:
                raise Conflict(
                    f"The record {id_!r} has {kept + fresh[id_]} links; take them away first.",
                    id=id_,
                )

    def _revive(self, id_: str) -> JSON:
        row = self._row(id_)
        if row is None or row.scope != self._scope or row.expired is None:
            raise NotFound(f"There is no record {id_!r} to put back in {self._scope!r}.", id=id_)
        row = self._editable(row)
        gap = row.expired
        row.gaps = (*row.gaps, gap or 0, self._writes.position)
        row.expired = None
        self._version(row)
        row.revision += 1
        self._enter(row)
        return {"revived": gap}

    def _restore(self, id_: str, revision: int, image: Mapping[str, Any]) -> JSON:
        row = self._own(id_)
        wrong = sorted(set(image) - set(IMAGE))
        if wrong:
            raise InvalidInput(f"An image has no {', '.join(wrong)}.", fields=wrong)
        check_confidence(id_, image.get("confidence"))
        fields = {name: value for name, value in image.items() if name != "revision"}
        if "keys" in fields:
            fields["keys"] = tuple(fields["keys"])
        if row.outcome is not None and "outcome" in fields and fields["outcome"] is None:
            raise InvalidInput(
                f"The trial {id_!r} was closed; its outcome may become unknown, not vanish.", id=id_
            )
        old = row.terms() if "keys" in fields and row.tier in SEARCHABLE else None
        before = self._set(id_, revision, fields)
        self._reindex(id_, old)
        return before

    def _set(self, id_: str, revision: int, fields: Mapping[str, Any]) -> JSON:
        """Change fields of an own record; returns the image replaced."""
        row = self._own(id_)
        # Several ops of one changeset may all carry the revision its author saw.
        if revision not in (row.revision, self._seen.setdefault(id_, row.revision)):
            raise Conflict(
                f"The record {id_!r} is at revision {row.revision}, not {revision}: it changed "
                "since it was read. Read it again and retry.",
                id=id_,
                revision=row.revision,
            )
        row = self._editable(row)
        before = self._version(row)
        for name, value in fields.items():
            setattr(row, name, value)
        row.revision += 1
        return before

    def _version(self, row: Row) -> dict[str, JSON]:
        image = row.image()
        self._writes.versions.append(Version(row.id, self._writes.position, image))
        return image

    def _credit(self, op: AddCredit) -> JSON:
        if not op.receipt:
            raise InvalidInput("Credit needs the id of the receipt it is given for.", id=op.id)
        if not all(map(math.isfinite, (op.uses, op.helped, op.hurt))):
            raise InvalidInput("Credit is counted in finite numbers.", id=op.id)
        self._find(op.id)
        key = (op.id, op.role, op.receipt)
        if key in self._state.credits or key in self._credits:
            return {"counted": False}
        self._credits.add(key)
        self._writes.credits.append(op)
        return {"counted": True}

    # --- index --------------------------------------------------------------------------------

    def _enter(self, row: Row) -> None:
        """Put a record into the index and, unless its trial is open, into the statistics."""
        if row.tier not in SEARCHABLE:
            return
        found = row.terms()
        self._writes.embeddable[row.id] = row
        self._writes.index[row.id] = found
        if row.visible_from is not None:
            self._count_terms(row, found, 1)

    def _count_terms(self, row: Row, found: list[str], sign: int) -> None:
        for term in set(found):
            self._writes.terms[row.scope, row.tier, term] += sign
        totals = self._writes.totals.setdefault((row.scope, row.tier), [0, 0])
        totals[0] += sign
        totals[1] += sign * len(found)


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
    check_scope(record.scope)
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
