"""Quarantine as an operation: what is held and why, and who acted on a record."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from ...errors import Conflict, InvalidInput, NotFound
from ...graph import (
    JSON,
    Add,
    Filter,
    HoldState,
    Hop,
    LinkType,
    Op,
    Record,
    SetStatus,
    Status,
    StoredReceipt,
    Tier,
    View,
    visible_scopes,
)
from ...graph.application import frozen_id
from ..cases import action_of, steps_of

if TYPE_CHECKING:
    from ..facade import Memory

log = logging.getLogger(__name__)
ALL = frozenset(Tier)
MANY = 1_000_000
"""More records than a scope is expected to hold."""
HELD = Filter(statuses=frozenset({Status.QUARANTINED}), tainted=None)
_TAINTED = Filter(statuses=frozenset(), tainted=True)
_ANY = Filter(statuses=frozenset(), tainted=None)
_TRIES = 3
CHUNK = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineCase:
    """A record in quarantine.

    Attributes:
        record: The record.
        reason: Why it is there.
        dissenters: Ids of the records that speak against it.
        state: Suspected or confirmed.
        since: When it was put there, UTC; None where the journal does not tell.
        actor: Who put it there: a source, or a guard.
        descendants: Ids of the records that it taints.
    """

    record: Record
    reason: str
    dissenters: tuple[str, ...]
    state: HoldState
    since: datetime | None
    actor: str
    descendants: tuple[str, ...]

    def to_json(self) -> dict[str, JSON]:
        """As plain JSON."""
        return {
            **_told(self.record),
            "reason": self.reason,
            "dissenters": list(self.dissenters),
            "state": self.state.value,
            "since": None if self.since is None else self.since.isoformat(),
            "actor": self.actor,
            "descendants": list(self.descendants),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One recall that handed a record out, and what came of it.

    Attributes:
        receipt: Of the recall.
        trial: The trial it was for, None without one or when the scope does not see it.
        actions: The actions that followed: those that say they were taken from the record, or, if
            no step of the trial says what it was taken from, all actions after the recall.
        certain: Whether the actions say so themselves.
    """

    receipt: StoredReceipt
    trial: Record | None
    actions: tuple[Record, ...]
    certain: bool

    def to_json(self) -> dict[str, JSON]:
        """As plain JSON."""
        when, outcome = self.receipt.created_at, self.trial.outcome if self.trial else None
        return {
            "receipt": self.receipt.id,
            "run": self.receipt.run,
            "trial": self.receipt.trial,
            "role": self.receipt.role,
            "at": None if when is None else when.isoformat(),
            "task": self.receipt.body.get("task", ""),
            "outcome": None if outcome is None else outcome.to_json(),
            "certain": self.certain,
            "actions": [
                {"step": step.id, "role": step.provenance.role, "action": action_of(step)}
                for step in self.actions
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Everything that is known of a record: who wrote it, who acted on it, what came of it.

    Attributes:
        record: The record.
        uses: The recalls that handed it out, oldest first.
        descendants: The records that came of it, whatever its status.
    """

    record: Record
    uses: tuple[Use, ...]
    descendants: tuple[Record, ...]

    def to_json(self) -> dict[str, JSON]:
        """As plain JSON."""
        hold = self.record.hold
        return {
            **_told(self.record),
            "status": self.record.status.value,
            "hold": None if hold is None else hold.to_json(),
            "taint": list(self.record.taint),
            "uses": [use.to_json() for use in self.uses],
            "descendants": [_told(record) for record in self.descendants],
        }


def _told(record: Record) -> dict[str, JSON]:
    origin = record.provenance
    return {
        "record": record.id,
        "tier": record.tier.value,
        "kind": record.kind,
        "text": record.text,
        "scope": record.scope,
        "source": origin.source,
        "role": origin.role,
        "run": origin.run,
        "created_at": None if record.created_at is None else record.created_at.isoformat(),
    }


async def quarantined(
    memory: Memory, *, limit: int = MANY, view: View | None = None
) -> tuple[QuarantineCase, ...]:
    """What is held in a memory's scope, newest record first.

    Args:
        memory: The memory.
        limit: At most so many.
        view: Another View of the scope, such as one of the past; the present if None.
    """
    view = view or await memory.view()
    records = await view.recent(tiers=ALL, k=limit, where=HELD)
    if not records:
        return ()
    below = replace(_TAINTED, roots=frozenset(one.id for one in records))
    descendants: dict[str, list[str]] = defaultdict(list)
    for one in await view.recent(tiers=ALL, k=MANY, where=below):
        for root in one.taint:
            descendants[root].append(one.id)
    entries: dict[int, tuple[datetime, str]] = {}
    for position in sorted({one.hold.position for one in records if one.hold is not None}):
        for entry in await memory.journal(after=position - 1, limit=1):
            entries[entry.position] = (entry.created_at, entry.changeset.actor)
    cases = []
    for one in records:
        hold = one.hold
        if hold is not None:
            since, actor = entries.get(hold.position, (None, ""))
            cases.append(
                QuarantineCase(
                    record=one,
                    reason=hold.reason,
                    dissenters=hold.dissenters,
                    state=hold.state,
                    since=since,
                    actor=actor,
                    descendants=tuple(sorted(descendants[one.id])),
                )
            )
    return tuple(cases)


async def decide(
    memory: Memory,
    ids: Sequence[str],
    status: Status,
    *,
    reason: str,
    state: HoldState = HoldState.SUSPECTED,
    dissenters: Mapping[str, Sequence[str]] | None = None,
    actor: str = "",
) -> tuple[list[Record], int]:
    """Set the status of records, as one changeset; those that stand so already are left.

    Args:
        memory: Whose scope they belong to.
        ids: Which.
        status: Quarantined or active.
        reason: A sentence for people; what was said before if empty.
        state: Suspected or confirmed.
        dissenters: Per record the ids of those that speak against it; those known before if None.
        actor: Who; the memory's source if empty.

    Returns:
        The records whose status or state changed, as they were before, and the position.

    Raises:
        NotFound: The scope sees no such record.
        InvalidInput: A record belongs to an outer scope, or is not quarantined when it should be.
        Conflict: They kept changing meanwhile.
    """
    wanted = list(dict.fromkeys(ids))
    for attempt in range(_TRIES):
        view = await memory.view()
        found = await view.get(wanted)
        ops: list[Op] = []
        changed: list[Record] = []
        for id_ in wanted:
            record = _own(memory, id_, found.get(id_))
            op = _decision(record, status, reason, state, dissenters)
            if op is not None:
                ops.append(op)
                changed.append(record)
        if not ops:
            return [], view.position
        try:
            why = _summary(status, state, changed, reason)
            return changed, await memory._apply(ops, reason=why, actor=actor)
        except Conflict:
            if attempt == _TRIES - 1:
                raise
    return [], 0


def _own(memory: Memory, id_: str, record: Record | None) -> Record:
    if record is None:
        raise NotFound(f"There is no record {id_!r} in scope {memory.scope!r}.", id=id_)
    if record.scope != memory.scope:
        raise InvalidInput(
            f"The record {id_!r} belongs to scope {record.scope!r}; decide on it from there.",
            id=id_,
        )
    return record


def _decision(
    record: Record,
    status: Status,
    reason: str,
    state: HoldState,
    dissenters: Mapping[str, Sequence[str]] | None,
) -> SetStatus | None:
    hold = record.hold
    if status is not Status.QUARANTINED:
        if record.status is not Status.QUARANTINED:
            raise InvalidInput(f"The record {record.id!r} is not in quarantine.", id=record.id)
        return SetStatus(record.id, record.revision, status, reason)
    if hold is not None and (hold.state is state or state is HoldState.SUSPECTED):
        return None
    known = () if hold is None else hold.dissenters
    spoken = known if dissenters is None else tuple(dissenters.get(record.id, known))
    why = reason or (hold.reason if hold else "")
    return SetStatus(record.id, record.revision, status, why, spoken, state)


def _summary(status: Status, state: HoldState, changed: Sequence[Record], reason: str) -> str:
    what = "released" if status is not Status.QUARANTINED else "quarantined"
    if status is Status.QUARANTINED and state is HoldState.CONFIRMED:
        what = "confirmed"
    count = "1 record" if len(changed) == 1 else f"{len(changed):,} records"
    return f"{count} {what}" + (f": {reason}" if reason else "")


async def trace(memory: Memory, id_: str) -> Trace:
    """Who recalled a record, which actions followed, and what came of it.

    Raises:
        NotFound: The scope sees no such record.
    """
    view = await memory.view()
    record = (await view.get([id_])).get(id_)
    if record is None:
        raise NotFound(f"There is no record {id_!r} in scope {memory.scope!r}.", id=id_)
    receipts = [
        receipt
        for receipt in await memory.store.receipts(memory.scope, record=id_, limit=MANY)
        if any(item["id"] == id_ for item in receipt.body.get("items", ()))
    ]
    trials = sorted({receipt.trial for receipt in receipts if receipt.trial})
    records: dict[str, Record] = {}
    steps: dict[str, list[Record]] = {}
    for start in range(0, len(trials), CHUNK):
        records |= await view.get(trials[start : start + CHUNK])
        steps |= await steps_of(view, trials[start : start + CHUNK])
    return Trace(
        record=record,
        uses=tuple(
            _use(receipt, id_, records.get(receipt.trial), steps.get(receipt.trial, ()))
            for receipt in receipts
        ),
        descendants=await descendants(view, [id_]),
    )


def _use(receipt: StoredReceipt, id_: str, trial: Record | None, steps: Sequence[Record]) -> Use:
    said = [step for step in steps if step.data.get("used")]
    taken = [step for step in said if id_ in step.data["used"]]
    if not said:
        taken = [step for step in steps if step.added > receipt.position and action_of(step)]
    return Use(receipt=receipt, trial=trial, actions=tuple(taken), certain=bool(said))


async def descendants(view: View, roots: Iterable[str]) -> tuple[Record, ...]:
    """The records that came of some records, in the order they were added."""
    roots = set(roots)
    reached: dict[str, Record] = {}
    level = sorted(roots)
    forward = Hop(frozenset({LinkType.LED_TO, LinkType.SUPPORTS}), "out", where=_ANY, fan=MANY)
    back = Hop(frozenset({LinkType.DERIVED_FROM}), "in", where=_ANY, fan=MANY, start=0)
    while level:
        walk = await view.walk(level, [forward, back])
        found = {id_ for part in walk.levels[1:] for id_ in part} - roots - reached.keys()
        reached |= {id_: walk.records[id_] for id_ in found}
        level = sorted(found)
    return tuple(sorted(reached.values(), key=lambda one: (one.added, one.id)))


async def set_frozen(memory: Memory, frozen: bool, reason: str) -> bool:
    """Freeze or unfreeze a memory's scope; returns whether that changed anything."""
    id_ = frozen_id(memory.scope)
    view = await memory.view()
    marker = (await view.get([id_])).get(id_)
    what = "frozen" if frozen else "unfrozen"
    why = f"scope {what}" + (f": {reason}" if reason else "")
    if marker is None:
        if not frozen:
            return False
        record = Record(
            id=id_,
            tier=Tier.INTERACTION,
            kind="freeze",
            text="While this is active, nothing is recorded in this scope.",
            scope=memory.scope,
        )
        await memory._apply([Add(record)], reason=why)
        return True
    if (marker.status is Status.ACTIVE) is frozen:
        return False
    status = Status.ACTIVE if frozen else Status.ARCHIVED
    await memory._apply([SetStatus(id_, marker.revision, status, reason)], reason=why)
    return True


async def is_frozen(view: View) -> str:
    """The scope that is frozen: the View's own or one around it; "" if none is."""
    markers = {frozen_id(scope): scope for scope in visible_scopes(view.scope)}
    found = await view.get(sorted(markers))
    active = [
        markers[id_]
        for id_, one in found.items()
        if one.status is Status.ACTIVE and one.scope == markers[id_]
    ]
    return min(active, default="")


async def written_by(
    view: View,
    source: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> tuple[Record, ...]:
    """What a source has added in a span of time, in the order it was added.

    Args:
        view: Of the scope.
        source: The source.
        since: From this time on.
        until: Before this time.
    """
    where = Filter(
        statuses=frozenset(),
        tainted=None,
        sources=frozenset({source}),
        since=since,
        until=until,
    )
    found = await view.recent(tiers=ALL, k=MANY, where=where)
    own = [one for one in found if one.scope == view.scope and one.kind != "freeze"]
    return tuple(reversed(own))
