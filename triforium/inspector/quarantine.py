"""The quarantine inbox: what is kept away from recall, why, and what descends from it.

Decisions are those of `Memory.release` and `Memory.confirm`; all else is read from the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from ..errors import InvalidInput
from ..graph import HoldState, Hop, LinkType, Record, Status, View
from ..memory import Memory
from ..memory.guard import quarantine as held
from .access import Grant
from .history import versions
from .journals import Journals
from .reading import ANY, EVERY_TIER, LIST, Reading, brief, briefs, get_all, record_out
from .receipts import Receipts
from .schema import Decision, Inbox, Quarantined, Suspect

HISTORY = 8
"""Changes of a record in quarantine that are told, the last ones."""


class Refused(InvalidInput):
    """This inspector, or this token, may not change that."""


async def inbox(reading: Reading, grant: Grant, limit: int) -> Inbox:
    """The quarantined records, those that wait for a decision first, then the newest."""
    view = await reading.view()
    memory = Memory(reading.store, scope=reading.scope, embedder=None)
    cases = await held.quarantined(memory, limit=limit + 1, view=view)
    dissenters = await _dissenters(view, {one.record.id: one.dissenters for one in cases[:limit]})
    lines = [
        Quarantined(
            record=brief(case.record),
            reason=case.reason,
            actor=case.actor,
            at=_position(case.record),
            since=case.since,
            confirmed=case.state is HoldState.CONFIRMED,
            dissenters=len(dissenters[case.record.id]),
            descendants=len(case.descendants),
        )
        for case in cases[:limit]
    ]
    lines.sort(key=lambda one: (one.confirmed, -one.at, one.record.id))
    return Inbox(records=lines, more=len(cases) > limit, edits=grant.edits)


def _position(record: Record) -> int:
    return 0 if record.hold is None else record.hold.position


async def suspect(
    reading: Reading, journals: Journals, receipts: Receipts, grant: Grant, id_: str
) -> Suspect:
    """A record beside those that speak against it.

    Raises:
        NotFound: The scope does not see it.
    """
    view, record = await reading.one(id_)
    hold = record.hold
    entry = await reading.entry(hold.position) if hold else None
    named = (await _dissenters(view, {id_: hold.dissenters if hold else ()}))[id_]
    against = await view.get(named[:LIST])
    # What came of it, also once it was released and taints nothing any more.
    below = {one.id: one for one in reversed(await held.descendants(view, [id_]))}
    uses, _ = await receipts.uses(reading.scope, id_, view, 50)
    return Suspect(
        record=record_out(record),
        reason=hold.reason if hold else "",
        actor=entry.changeset.actor if entry else "",
        at=_position(record),
        since=entry.created_at if entry else None,
        confirmed=hold is not None and hold.state is HoldState.CONFIRMED,
        dissenters=[record_out(against[one]) for one in named if one in against],
        descendants=briefs(below, list(below)[:LIST]),
        recalled=uses,
        history=(await versions(reading, journals, id_, HISTORY)).versions,
        edits=grant.edits,
    )


async def _dissenters(view: View, named: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """For each record those that were named against it, and the trials that refute it."""
    hop = Hop(frozenset({LinkType.REFUTES}), "in", EVERY_TIER, ANY, fan=16)
    walk = await view.walk(list(named), [hop])
    refuting: dict[str, list[str]] = {}
    for link in walk.links:
        refuting.setdefault(link.dst, []).append(link.src)
    return {id_: tuple(dict.fromkeys([*of, *refuting.get(id_, ())])) for id_, of in named.items()}


# --- decisions --------------------------------------------------------------------------------


async def release(reading: Reading, grant: Grant, id_: str, reason: str) -> Decision:
    """Let a record take part in recall again.

    Raises:
        NotFound: The scope does not see it.
        Refused: This token may not.
        InvalidInput: It is not quarantined.
        Conflict: It changed meanwhile.
    """
    return await _decide(reading, grant, id_, "release", reason)


async def confirm(reading: Reading, grant: Grant, id_: str, reason: str) -> Decision:
    """Agree that a record is kept away for good; raises like `release`."""
    return await _decide(reading, grant, id_, "confirm", reason)


async def _decide(
    reading: Reading, grant: Grant, id_: str, decision: Literal["release", "confirm"], reason: str
) -> Decision:
    _, record = await reading.one(id_)
    if not grant.edits:
        raise Refused("This inspector is read-only. Start it with --allow-edits to decide here.")
    if grant.scope and record.scope != grant.scope:
        raise Refused(
            f"The record belongs to scope {record.scope!r}; decide with a token of that scope."
        )
    if record.status is not Status.QUARANTINED:
        raise InvalidInput(f"The record is {record.status.value}, not quarantined.", id=id_)
    memory = Memory(reading.store, scope=record.scope)
    if decision == "release":
        await memory.release(id_, reason=reason or "released by a person")
    else:
        await memory.confirm(id_, reason=reason)
    view = await reading.store.view(reading.scope)
    after = await get_all(view, [id_])
    return Decision(
        id=id_,
        status=after.get(id_, record).status.value,
        position=view.position,
        changed=_changed(record, after),
    )


def _changed(before: Record, after: Mapping[str, Record]) -> list[str]:
    one = after.get(before.id)
    return [] if one is None or one.revision == before.revision else [before.id]
