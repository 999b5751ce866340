"""Taking changesets back: the inverse of what they did is appended, the journal is never rewritten.

Planning needs nothing but the journal. An operation of a later changeset depends on one that is
taken back if it has to do with a record that goes, or set the same field or link after it; credit
commutes. With `cascade` exactly the dependent operations are taken back as well, not the whole of
their changesets: a trial that used a vanished insight keeps its outcome and loses the link.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from types import MappingProxyType

from ..errors import Conflict, InvalidInput
from .changes import Add, AddCredit, Changeset, Op
from .history import MAX_ASKED, Asked, Step, Write, asked_of, reason_of
from .ids import JSON, digest
from .journal import backwards, changesets_by, counted, told, unknown_changeset
from .scopes import check_scope, visible_scopes
from .store import Applied, JournalEntry, Store
from .undo import Undo, remember

TRIES = 3
"""How often a revert is planned anew because something was applied meanwhile."""
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Undone:
    """An operation that a revert takes back.

    Attributes:
        position: Where it stands in the journal.
        index: Which operation of its changeset it is, from 0.
        changeset: The id of its changeset; "" if another scope's.
        op: What it did; the text of an added record is cut short.
        dependent: Whether it was not asked for, but depends on what was.
    """

    position: int
    index: int
    changeset: str
    op: Op
    dependent: bool


@dataclass(frozen=True, slots=True)
class Reverting:
    """What a revert would do.

    Attributes:
        asked: Ids of the changesets to be taken back.
        changeset: What takes them back; without ops if nothing is left to be taken back.
        undone: The operations that are taken back, newest first.
        applied: Where it stands in the journal once it was done; else None.
    """

    asked: tuple[str, ...]
    changeset: Changeset
    undone: tuple[Undone, ...]
    applied: Applied | None = None

    @property
    def ops(self) -> tuple[Op, ...]:
        """The inverse operations, in order."""
        return self.changeset.ops

    @property
    def dependents(self) -> tuple[Undone, ...]:
        """What is taken back only because it depends on what was asked for."""
        return tuple(one for one in self.undone if one.dependent)

    def __str__(self) -> str:
        what = self.asked[0] if len(self.asked) == 1 else f"{len(self.asked)} changesets"
        if not self.ops:
            return f"Nothing of {what} is left to be taken back."
        dependents = self.dependents
        others = len({one.position for one in dependents})
        later = "1 later changeset" if others == 1 else f"{others} later changesets"
        more = f", {len(dependents)} of them in {later}" if others else ""
        verb = "takes" if self.applied is None else "took"
        count = "1 operation" if len(self.undone) == 1 else f"{len(self.undone)} operations"
        lines = [f"Reverting {what} {verb} back {count}{more}:"]
        groups = [list(some) for _, some in groupby(self.undone, key=attrgetter("position"))]
        for group in groups[:_SHOWN]:
            lines.append(_told(group))
            if len(self.undone) <= _SHOWN:
                lines += [f"{'':>10}{told(one.op)}" for one in group]
        if len(groups) > _SHOWN:
            lines.append(f"{'':>10}and {len(groups) - _SHOWN} more changesets")
        return "\n".join(lines)


async def plan_revert(
    store: Store,
    scope: str,
    changesets: Sequence[str],
    *,
    cascade: bool = False,
    actor: str = "",
) -> Reverting:
    """Work out how to take changesets back; nothing is changed.

    Args:
        store: Where they were applied.
        scope: Their scope.
        changesets: Their ids.
        cascade: Take back what depends on them as well.
        actor: Who does it.

    Raises:
        NotFound: The scope sees no such changeset.
        InvalidInput: A changeset of an outer scope, or of a part of the journal that is not here.
        Conflict: Something depends on them; its fact `dependents` has (position, changeset id)
            of each.
    """
    check_scope(scope)
    if not changesets:
        raise InvalidInput("Say which changeset is to be reverted, by its id.")
    asked_ids = tuple(dict.fromkeys(changesets))
    if len(asked_ids) > MAX_ASKED:
        raise InvalidInput(f"At most {MAX_ASKED:,} changesets are reverted at once.")
    base = (await store.view(scope)).position
    entries = await _read(store, scope, asked_ids, base)
    return await asyncio.to_thread(
        _work_out, entries, scope, asked_ids, base, cascade=cascade, actor=actor
    )


async def revertible(
    store: Store,
    scope: str,
    source: str,
    *,
    since: int | datetime = 0,
    until: datetime | None = None,
) -> tuple[str, ...]:
    """Ids of what a source has changed, without what it has taken back itself.

    Args:
        store: Where to look.
        scope: Of the changesets.
        source: Who wrote them.
        since: Only those after this position, or not before this time.
        until: Only those before this time.
    """
    found = await changesets_by(store, scope, source, since=since, until=until)
    if not found:
        return ()
    base = (await store.view(scope)).position
    entries = await _read(store, scope, found, base)
    positions = {entry.changeset.id: entry.position for entry in entries}
    # Whether an entry is a revert shows only when it is worked out again: its reason may lie.
    history = await asyncio.to_thread(remember, entries)

    def reverts(id_: str) -> bool:
        steps = history.steps[positions[id_]]
        return bool(steps) and all(step.reverts for step in steps)

    return tuple(id_ for id_ in found if not reverts(id_))


def _work_out(
    entries: Sequence[JournalEntry],
    scope: str,
    ids: tuple[str, ...],
    base: int,
    *,
    cascade: bool,
    actor: str,
) -> Reverting:
    history = remember(entries)
    positions = sorted(history.ids[id_] for id_ in ids)
    by_position = {entry.position: entry.changeset for entry in entries}
    asked = Asked(tuple(positions), cascade)
    undo = Undo(history, scope, asked, base)
    undo.close()
    changeset = Changeset(
        id=digest("revert", scope, sorted(ids), base, cascade),
        scope=scope,
        base=base,
        actor=actor,
        reason=reason_of([by_position[position] for position in positions], asked),
        ops=undo.ops(actor),
        exact=True,
    )
    return Reverting(ids, changeset, _undone(undo, scope, set(positions)))


async def revert(
    store: Store,
    scope: str,
    changesets: Sequence[str],
    *,
    cascade: bool = False,
    actor: str = "",
    apply: Callable[[Changeset], Awaitable[Applied]] | None = None,
) -> Applied:
    """Take changesets back; see `take_back`.

    Returns:
        Where the revert stands in the journal; replayed if nothing was left to be taken back.
    """
    done = await take_back(store, scope, changesets, cascade=cascade, actor=actor, apply=apply)
    assert done.applied is not None
    return done.applied


async def take_back(
    store: Store,
    scope: str,
    changesets: Sequence[str],
    *,
    cascade: bool = False,
    actor: str = "",
    apply: Callable[[Changeset], Awaitable[Applied]] | None = None,
) -> Reverting:
    """Take changesets back, and say what was done.

    Args:
        store: Where they were applied.
        scope: Their scope.
        changesets: Their ids.
        cascade: Take back what depends on them as well, operation by operation.
        actor: Who does it.
        apply: What applies the inverse; `store.apply` if None.

    Raises:
        NotFound: The scope sees no such changeset.
        InvalidInput: A changeset of an outer scope, or of a part of the journal that is not here.
        Conflict: Something depends on them, or others wrote all the time.
    """
    for attempt in range(TRIES):
        plan = await plan_revert(store, scope, changesets, cascade=cascade, actor=actor)
        if not plan.ops:
            return replace(plan, applied=Applied(plan.changeset.base, replayed=True))
        try:
            return replace(plan, applied=await (apply or store.apply)(plan.changeset))
        except Conflict:
            if attempt == TRIES - 1:
                raise
    raise AssertionError("unreachable")


def _undone(undo: Undo, scope: str, asked: set[int]) -> tuple[Undone, ...]:
    if not undo.groups:
        return ()
    visible = set(visible_scopes(scope))
    gone = {_undone_step(undo, write) for group in undo.groups for write in group}
    # What was confirmed without a change goes with what it confirmed.
    gone |= {step for step in undo.steps if not step.writes and step.entry.position not in asked}
    ordered = sorted(gone, key=lambda step: step.time, reverse=True)
    return tuple(
        Undone(
            *step.time,
            step.entry.changeset.id if step.entry.changeset.scope in visible else "",
            step.op if step.entry.changeset.scope in visible else _own_part(step.op),
            step.entry.position not in asked and step in undo.steps,
        )
        for step in ordered
    )


def reverting_to_json(done: Reverting) -> dict[str, JSON]:
    """What a revert does or did, as plain JSON, each operation in a few words."""
    return {
        "scope": done.changeset.scope,
        "changeset": done.changeset.id if done.ops else "",
        "applied": None if done.applied is None else done.applied.position,
        "asked": list(done.asked),
        "undone": [
            {
                "position": one.position,
                "changeset": one.changeset,
                "op": told(one.op),
                "dependent": one.dependent,
            }
            for one in done.undone
        ],
    }


def _told(group: Sequence[Undone]) -> str:
    """What goes of one changeset, counted."""
    first = group[0]
    whose = first.changeset[:32] or "a changeset of another scope"
    depends = ", which depends on it" if any(one.dependent for one in group) else ""
    return f"{first.position:>8}  {whose}{depends}: {counted(one.op for one in group)}"


def _own_part(op: Op) -> Op:
    """What may be told of another scope's operation: not which recall it was for."""
    return replace(op, receipt="") if isinstance(op, AddCredit) else op


def _undone_step(undo: Undo, last: Write) -> Step:
    """Of a write and all that took it back and brought it again, what the revert is about."""
    return next(one.step for one in reversed(last.chain) if one.step in undo.steps)


async def _read(
    store: Store, scope: str, ids: Sequence[str], base: int
) -> tuple[JournalEntry, ...]:
    """The journal up to a position, as far back as reverting some of its changesets needs it.

    It is read backwards: what is reverted is mostly new. What a revert or a re-added record refers
    to is needed as well, so that it is understood. Other scopes may have built on it, so that the
    journal of all is read.
    """
    missing = set(ids)
    visible = set(visible_scopes(scope))
    pages: list[list[JournalEntry]] = []
    needed = base + 1
    async for page in backwards(store, "", base):
        pages.append([_light(entry) for entry in page])
        for entry in page:
            changeset = entry.changeset
            needed = min(needed, _refers_to(entry))
            if changeset.id in missing and changeset.scope in visible:
                if changeset.scope != scope:
                    raise InvalidInput(
                        f"The changeset {changeset.id!r} belongs to scope {changeset.scope!r}; "
                        "revert it from there.",
                        id=changeset.id,
                    )
                missing.discard(changeset.id)
                needed = min(needed, entry.position)
        if not missing and page and page[0].position <= needed:
            break
    if missing:
        raise unknown_changeset(min(missing), scope)
    return tuple(entry for page in reversed(pages) for entry in page)


def _refers_to(entry: JournalEntry) -> int:
    """The earliest position that is needed to understand an entry; after it if none is."""
    asked = asked_of(entry.changeset.reason)
    earliest = entry.position + 1
    if asked is not None and 0 < asked.positions[0] <= asked.positions[-1] < entry.position:
        earliest = asked.positions[0]
    for before in entry.before:
        if isinstance(before, dict) and isinstance(before.get("revived"), int):
            earliest = min(earliest, before["revived"])
    return earliest


def _light(entry: JournalEntry) -> JournalEntry:
    """An entry without what may be large and is not needed."""
    ops = tuple(
        Add(replace(op.record, text=op.record.text[:240], data=MappingProxyType({})))
        if isinstance(op, Add)
        else op
        for op in entry.changeset.ops
    )
    return replace(entry, changeset=replace(entry.changeset, ops=ops))
