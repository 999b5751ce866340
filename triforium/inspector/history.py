"""History: the versions of a record, the journal, what changed, and what a revert would change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import Conflict, InvalidInput, NotFound
from ..graph import (
    Add,
    Changeset,
    Close,
    Expire,
    JournalEntry,
    Op,
    Patch,
    Restore,
    Revive,
    SetStatus,
    Supersede,
)
from ..graph.changes import record_to_json
from ..graph.journal import backwards, told
from ..graph.revert import plan_revert
from .journals import Journals, Noted, changing
from .reading import LIST, Reading, briefs, get_all, ids_of, journal_line
from .schema import (
    Change,
    Dependent,
    Difference,
    Entry,
    Journal,
    Moment,
    OpOut,
    Revert,
    Timeline,
    UndoneOut,
    Version,
    Versions,
)

VERSIONS = 100
"""Versions of a record that are shown at most, the newest."""
OPS = 500
"""Operations of a changeset that are shown at most."""
READ = 2_000
"""Entries that are read to tell what changed between two positions."""
_SHOWN = ("status", "outcome", "confidence", "cluster", "summary", "keys")


async def versions(
    reading: Reading, journals: Journals, id_: str, most: int = VERSIONS
) -> Versions:
    """What each changeset did to a record, oldest first; the last `most` of them.

    Raises:
        NotFound: The scope does not see it.
    """
    _, record = await reading.one(id_)
    log = await journals.of(reading.scope)
    changed = log.changed.get(id_, [])
    positions = [record.added, *changed][-most:]
    found = []
    for position in dict.fromkeys(positions):
        entry = await reading.entry(position)
        if entry is not None:
            found += _versions(entry, id_)
    complete = log.complete and len(changed) < most
    return Versions(id=id_, versions=found, complete=complete)


def _versions(entry: JournalEntry, id_: str) -> list[Version]:
    changeset = entry.changeset
    # A restored journal may lack the images.
    before = [*entry.before, *([None] * (len(changeset.ops) - len(entry.before)))]
    found = []
    for op, image in zip(changeset.ops, before, strict=True):
        if isinstance(op, Add) and op.record.id == id_:
            changes = _first(op)
        elif id_ in changing(op):
            changes = _changes(op, image if isinstance(image, Mapping) else {})
        else:
            continue
        found.append(
            Version(
                position=entry.position,
                changeset=changeset.id,
                created_at=entry.created_at,
                actor=changeset.actor,
                reason=op.reason if isinstance(op, SetStatus) and op.reason else changeset.reason,
                op=op.op,
                changes=changes,
            )
        )
    return found


def _first(op: Add) -> list[Change]:
    plain = record_to_json(op.record)
    names = ("text", "kind", "confidence", "summary", "keys")
    return [Change(field=name, before=None, after=plain[name]) for name in names if plain[name]]


def _changes(op: Op, image: Mapping[str, Any]) -> list[Change]:
    """The fields that an operation set, with what they replaced."""
    match op:
        case Patch():
            after: Mapping[str, Any] = op.fields
        case Close():
            after = {"outcome": op.outcome.to_json()}
        case SetStatus():
            after = {"status": op.status.value}
        case Supersede():
            after = {"status": "superseded", "superseded by": op.new}
        case Restore():
            after = {name: op.image[name] for name in _SHOWN if name in op.image}
        case Expire():
            after = {"taken away": True}
        case Revive():
            after = {"taken away": False}
        case _:
            after = {}
    return [
        Change(field=name, before=image.get(name), after=_plain(value))
        for name, value in after.items()
        if _plain(image.get(name)) != _plain(value)
    ]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


async def journal_page(
    reading: Reading,
    journals: Journals,
    *,
    after: int | None,
    before: int | None,
    limit: int,
    actor: str,
    record: str,
) -> Journal:
    """Entries of the journal: the newest first, or from a position onward the oldest first."""
    present = (await reading.store.view(reading.scope)).position
    if after is None and not actor and not record:
        start = present if before is None else min(present, before - 1)
        return await _newest(reading, start, present, limit)
    log = await journals.of(reading.scope)
    wanted = set(log.changed.get(record, ())) if record else None
    if record:
        seen = (await (await reading.view()).get([record])).get(record)
        wanted = (wanted or set()) | ({seen.added} if seen else set())
    entries: Sequence[Noted] = log.between(after or 0, present if before is None else before - 1)
    chosen = [
        one
        for one in entries
        if (not actor or one.actor == actor) and (wanted is None or one.position in wanted)
    ]
    shown = chosen[:limit] if after is not None else chosen[::-1][:limit]
    return Journal(
        entries=[one.line() for one in shown],
        present=present,
        more=len(chosen) > limit or (not log.complete and after is None),
    )


async def _newest(reading: Reading, start: int, present: int, limit: int) -> Journal:
    """The newest entries from a position backwards, which needs no index."""
    found: list[JournalEntry] = []
    async for page in backwards(reading.store, reading.scope, start):
        found.extend(reversed(page))
        if len(found) > limit:
            break
    return Journal(
        entries=[journal_line(one) for one in found[:limit]],
        present=present,
        more=len(found) > limit,
    )


async def entry_at(reading: Reading, position: int) -> Entry:
    """One changeset with its operations.

    Raises:
        NotFound: The scope sees none at this position.
    """
    entry = await reading.entry(position)
    if entry is None:
        raise NotFound(
            f"Scope {reading.scope!r} sees no changeset at position {position}; /api/journal "
            "lists them.",
            position=position,
        )
    return Entry(
        line=journal_line(entry),
        ops=[
            OpOut(op=op.op, told=told(op)[:600], ids=_ids_of(op))
            for op in entry.changeset.ops[:OPS]
        ],
        more=len(entry.changeset.ops) > OPS,
    )


def _ids_of(op: Op) -> list[str]:
    return ids_of(Changeset(id="", scope="default", ops=(op,)))


async def timeline(reading: Reading, journals: Journals, points: int) -> Timeline:
    """Positions evenly spread over the journal, the first and the last among them."""
    log = await journals.of(reading.scope)
    last = len(log.entries) - 1
    spread = {round(last * n / max(1, points - 1)) for n in range(points)}
    chosen = sorted(spread) if last >= 0 else []
    return Timeline(
        present=(await reading.store.view(reading.scope)).position,
        moments=[
            Moment(
                position=log.entries[n].position,
                created_at=log.entries[n].created_at,
                records=log.grown[n] if log.complete else None,
            )
            for n in chosen
        ],
    )


async def difference(
    reading: Reading, journals: Journals, start: int, end: int | None
) -> Difference:
    """What changed between two positions.

    Raises:
        InvalidInput: The end lies before the start.
    """
    present = (await reading.store.view(reading.scope)).position
    until = present if end is None else min(end, present)
    if until < start:
        raise InvalidInput(f"The end ({until}) lies before the start ({start}).")
    view = await reading.store.view(reading.scope, run=reading.run, at=until)
    log = await journals.of(reading.scope)
    noted = log.between(start, until)
    added: list[str] = []
    closed: list[str] = []
    changed: list[str] = []
    entries = await reading.store.journal(reading.scope, after=start, limit=READ)
    entries = tuple(entry for entry in entries if entry.position <= until)
    for entry in entries:
        for op in entry.changeset.ops:
            if isinstance(op, Add):
                added.append(op.record.id)
            elif isinstance(op, Close):
                closed.append(op.id)
            else:
                changed += changing(op)
    fresh = set(added)
    changed = [id_ for id_ in changed if id_ not in fresh]
    lists = [list(dict.fromkeys(ids)) for ids in (added, closed, changed)]
    records = await get_all(view, {id_ for ids in lists for id_ in ids[:LIST]})
    ops: Counter[str] = Counter()
    for one in noted:
        ops.update(dict(one.ops))
    return Difference(
        start=start,
        end=until,
        added=briefs(records, lists[0][:LIST]),
        closed=briefs(records, lists[1][:LIST]),
        changed=briefs(records, lists[2][:LIST]),
        ops=dict(ops),
        actors=dict(Counter(one.actor for one in noted)),
        more=len(entries) < len(noted) or any(len(ids) > LIST for ids in lists),
    )


async def revert_of(reading: Reading, changeset: str, *, cascade: bool) -> Revert:
    """What reverting a changeset would do.

    Raises:
        NotFound: The scope sees no such changeset.
        InvalidInput: It belongs to another scope.
    """
    try:
        plan = await plan_revert(reading.store, reading.scope, [changeset], cascade=cascade)
    except Conflict as conflict:
        depends: Sequence[tuple[int, str]] = conflict.facts.get("dependents", ())
        return Revert(
            changeset=changeset,
            possible=False,
            message=conflict.message,
            undone=[],
            dependents=[
                Dependent(position=position, changeset=id_) for position, id_ in depends[:LIST]
            ],
            more=len(depends) > LIST,
        )
    return Revert(
        changeset=changeset,
        possible=True,
        message=str(plan),
        undone=[
            UndoneOut(
                position=one.position,
                changeset=one.changeset,
                told=told(one.op)[:600],
                dependent=one.dependent,
            )
            for one in plan.undone[:OPS]
        ],
        dependents=[],
        more=len(plan.undone) > OPS,
    )
