"""The journal as what was written where, so that an operation can be taken back by itself.

Every operation writes to cells: whether a record is there, one field of it, one link, or one
delta of credit. What takes a write back, and what brings it again, stands in one chain with it;
the length of the chain tells whether the write is in force. So a revert, and the revert of a
revert, need no marks of their own in the journal: a revert is recognised because planning it
anew, at its place in the history, gives exactly its operations.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

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
)
from .ids import JSON
from .records import LinkType, Status
from .store import JournalEntry

Cell: TypeAlias = tuple[str | int | LinkType, ...]
"""What an operation writes to: the name of its kind first, see `alive`, `value`, `linked`."""
Time: TypeAlias = tuple[int, int]
"""Journal position, and which operation of the changeset."""

MUTABLE = ("keys", "confidence", "cluster", "summary", "status", "outcome", "hold")
"""The fields of a record that are cells."""
MAX_ASKED = 100_000
"""Changesets that are reverted at once at most."""
_RUN = r"[0-9]{1,15}(?:-[0-9]{1,15})?"
_REASON = re.compile(
    rf"revert of .* \(({_RUN}(?:, {_RUN})*)\)( and what depends on it)?", re.DOTALL
)


def alive(id_: str) -> Cell:
    """The cell that says whether a record is there."""
    return ("record", id_)


def value(id_: str, name: str) -> Cell:
    """The cell of a field."""
    return ("field", id_, name)


def linked(src: str, dst: str, type_: LinkType, via: str) -> Cell:
    """The cell of a link, which holds its weight; SIMILAR has no direction of its own."""
    if type_ is LinkType.SIMILAR and src > dst:
        src, dst = dst, src
    return ("link", src, dst, type_, via)


def records_of(cell: Cell) -> tuple[str, ...]:
    """The records that must be there for the cell to be written."""
    if cell[0] == "link":
        return (str(cell[1]), str(cell[2]))
    return () if cell[0] == "record" else (str(cell[1]),)


@dataclass(eq=False, slots=True)
class Step:
    """One operation of an applied changeset.

    Attributes:
        entry: Of the journal.
        index: Which of its operations, from 0.
        writes: What it changed.
        seen: If it changed nothing: the writes that left nothing to be changed.
        reverts: Whether it is part of a revert.
    """

    entry: JournalEntry
    index: int
    writes: list[Write] = field(default_factory=list)
    seen: list[Write] = field(default_factory=list)
    reverts: bool = False

    @property
    def op(self) -> Op:
        """The operation."""
        return self.entry.changeset.ops[self.index]

    @property
    def time(self) -> Time:
        """When it was applied."""
        return (self.entry.position, self.index)


@dataclass(eq=False, slots=True)
class Write:
    """One write to one cell.

    Attributes:
        step: What wrote it.
        cell: Where.
        before: The value that was there.
        after: The value that it wrote.
        chain: The write, what took it back, what brought it again, and so on; shared by these.
        place: Its place in the chain.
    """

    step: Step
    cell: Cell
    before: JSON
    after: JSON
    chain: list[Write]
    place: int = 0

    @property
    def root(self) -> Write:
        """The write that the chain began with."""
        return self.chain[0]

    @property
    def in_force(self) -> bool:
        """Whether it has not been taken back."""
        return (len(self.chain) - self.place) % 2 == 1


class Touch(NamedTuple):
    """A step on a cell, with its write there if it changed it."""

    time: Time
    step: Step
    write: Write | None


class History:
    """Applied changesets, read in order, indexed by what they touched.

    Attributes:
        steps: Of each position.
        ids: The position of each changeset.
        scopes: Of the records that were added.
        revisions: Of the records that were changed, after the last change.
    """

    def __init__(self) -> None:
        self.steps: dict[int, list[Step]] = {}
        self.ids: dict[str, int] = {}
        self.scopes: dict[str, str] = {}
        self.revisions: dict[str, int] = {}
        self._cells: dict[Cell, list[Touch]] = defaultdict(list)
        self._records: dict[str, list[Touch]] = defaultdict(list)
        self._trials: dict[str, list[Touch]] = defaultdict(list)
        self._last: dict[Cell, Write] = {}
        self._counted: dict[tuple[str, str, str], Write] = {}
        self._expired: dict[str, Mapping[str, Any]] = {}
        self._named: dict[int, list[int]] = defaultdict(list)

    # --- asking -------------------------------------------------------------------------------

    def last(self, cell: Cell) -> Write | None:
        """The last write to a cell; it is always in force."""
        return self._last.get(cell)

    def on_cell(self, cell: Cell) -> Sequence[Touch]:
        """What set a cell, in order."""
        return self._cells.get(cell, ())

    def on_record(self, id_: str) -> Sequence[Touch]:
        """What had to do with a record, in order."""
        return self._records.get(id_, ())

    def of_trial(self, id_: str) -> Sequence[Touch]:
        """What added records of a trial, in order."""
        return self._trials.get(id_, ())

    def in_force(self, step: Step) -> bool:
        """Whether a step has not been taken back, wholly or by what it rested on."""
        if step.writes:
            return any(write.in_force for write in step.writes)
        if not all(write.in_force for write in step.seen):
            return False
        return not any(map(self._stands, self._named.get(step.entry.position, ())))

    def _stands(self, position: int) -> bool:
        """Whether the revert at a position was not reverted itself."""
        return not any(map(self._stands, self._named.get(position, ())))

    # --- reading ------------------------------------------------------------------------------

    def read(self, entry: JournalEntry) -> None:
        """Go on by one changeset that is no revert."""
        for step in self._enter(entry):
            self._read(step)

    def read_revert(
        self, entry: JournalEntry, positions: Iterable[int], groups: Sequence[Sequence[Write]]
    ) -> None:
        """Go on by one revert.

        Args:
            entry: Of the journal.
            positions: What it was asked to revert.
            groups: For each of its operations the last writes of the chains that it goes on with.
        """
        steps = self._enter(entry)
        for position in positions:
            self._named[position].append(entry.position)
        self._read_revert(steps, groups)

    def _enter(self, entry: JournalEntry) -> list[Step]:
        self.ids[entry.changeset.id] = entry.position
        steps = [Step(entry, index) for index in range(len(entry.before))]
        self.steps[entry.position] = steps
        return steps

    def _read_revert(self, steps: Sequence[Step], groups: Sequence[Sequence[Write]]) -> None:
        for step, group in zip(steps, groups, strict=True):
            step.reverts = True
            for undone in group:
                root = undone.root
                on = len(root.chain) % 2 == 0
                values = (root.before, root.after) if on else (root.after, root.before)
                write = Write(step, root.cell, *values, root.chain, len(root.chain))
                root.chain.append(write)
                self._keep(step, write)
            self._touch(step)

    def _read(self, step: Step) -> None:
        before: Any = step.entry.before[step.index]
        match step.op:
            case Add(record):
                self.scopes.setdefault(record.id, record.scope)
                self._add(step, before)
            case AddLink(link):
                self._set_link(step, linked(*link.key), before, link.weight)
            case Unlink(src, dst, type_, via):
                self._set_link(step, linked(src, dst, type_, via), before, None)
            case Patch(id_, _, fields):
                self._set(step, id_, before, fields)
            case Close(id_, _, outcome):
                self._set(step, id_, before, {"outcome": outcome.to_json()})
            case SetStatus(id_, _, status) as op:
                hold = op.hold(before["hold"], step.entry.position)
                self._set_status(step, id_, before, status, hold)
            case Restore(id_, _, image):
                self._set(step, id_, before, {n: v for n, v in image.items() if n != "revision"})
            case Supersede(old, _, new):
                self._set_status(step, old, before["image"], Status.SUPERSEDED, None)
                cell = linked(new, old, LinkType.SUPERSEDES, "")
                self._set_link(step, cell, before["link"], 1.0)
            case AddCredit(id_, role, receipt):
                key = (id_, role, receipt)
                if before["counted"]:
                    self._write(step, ("credit", id_, *step.time), False, True)
                    self._counted[key] = step.writes[-1]
                elif key in self._counted:
                    step.seen.append(self._counted[key])
            case Expire(id_):
                self._write(step, alive(id_), True, False)
            case Revive(id_):
                self._write(step, alive(id_), False, True)
        self._touch(step)

    def _add(self, step: Step, before: JSON) -> None:
        op = step.op
        assert isinstance(op, Add)
        record = op.record
        if before == "same":
            self._confirm(step, alive(record.id))
        else:
            image = self._expired.get(record.id)
            if before is not None and image is not None:
                fields = {
                    "keys": list(record.keys),
                    "confidence": record.confidence,
                    "cluster": record.cluster,
                    "summary": record.summary,
                    "status": Status.ACTIVE.value,
                    "outcome": None,
                    "hold": None,
                }
                for name, new in fields.items():
                    if name not in ("outcome", "hold") or image[name] is not None:
                        self._write(step, value(record.id, name), image[name], new)
            self._write(step, alive(record.id), False, True)
        if record.provenance.trial:
            self._trials[record.provenance.trial].append(Touch(step.time, step, None))

    def _set(self, step: Step, id_: str, before: Any, fields: Mapping[str, Any]) -> None:
        for name, new in fields.items():
            plain = list(new) if isinstance(new, tuple) else new
            self._write(step, value(id_, name), before[name], plain)

    def _set_status(self, step: Step, id_: str, before: Any, status: Status, hold: JSON) -> None:
        fields: dict[str, JSON] = {"status": status.value}
        if before["hold"] != hold:
            fields["hold"] = hold
        self._set(step, id_, before, fields)

    def _set_link(self, step: Step, cell: Cell, before: Any, weight: float | None) -> None:
        live = None if before is None else before["weight"]
        if live == weight:
            self._confirm(step, cell)
        else:
            self._write(step, cell, live, weight)

    def _write(self, step: Step, cell: Cell, before: JSON, after: JSON) -> None:
        write = Write(step, cell, before, after, [])
        write.chain.append(write)
        self._keep(step, write)

    def _keep(self, step: Step, write: Write) -> None:
        step.writes.append(write)
        self._last[write.cell] = write
        self._cells[write.cell].append(Touch(step.time, step, write))

    def _confirm(self, step: Step, cell: Cell) -> None:
        self._cells[cell].append(Touch(step.time, step, None))
        if cell in self._last:
            step.seen.append(self._last[cell])

    def _touch(self, step: Step) -> None:
        """Enter a step under its records, and follow their revisions."""
        ids = records_touched(step.op)
        for id_ in ids:
            self._records[id_].append(Touch(step.time, step, None))
            if not step.writes and alive(id_) in self._last:
                step.seen.append(self._last[alive(id_)])
        self._revise(step)

    def _revise(self, step: Step) -> None:
        before: Any = step.entry.before[step.index]
        match step.op:
            case Add(record) if before is None:
                self.revisions[record.id] = 1
            case Add(record) if before != "same":
                self._revived(record.id)
            case Revive(id_):
                self._revived(id_)
            case Expire(id_):
                self._expired[id_] = before
                self.revisions[id_] = int(before["revision"]) + 1
            case Supersede(old):
                self.revisions[old] = int(before["image"]["revision"]) + 1
            case Patch(id_) | Close(id_) | SetStatus(id_) | Restore(id_):
                self.revisions[id_] = int(before["revision"]) + 1

    def _revived(self, id_: str) -> None:
        if id_ in self._expired:
            self.revisions[id_] = int(self._expired[id_]["revision"]) + 2
        else:
            self.revisions.pop(id_, None)


class Asked(NamedTuple):
    """What a revert was asked for.

    Attributes:
        positions: Of the changesets, ascending.
        cascade: Whether what depends on them goes too.
    """

    positions: tuple[int, ...]
    cascade: bool


def reason_of(changesets: Sequence[Changeset], asked: Asked) -> str:
    """The reason of a revert, for people and for `asked_of`."""
    runs: list[list[int]] = []
    for position in asked.positions:
        if runs and position == runs[-1][1] + 1:
            runs[-1][1] = position
        else:
            runs.append([position, position])
    listed = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
    what = changesets[0].id[:80] if len(changesets) == 1 else f"{len(changesets)} changesets"
    return f"revert of {what} ({listed})" + (" and what depends on it" if asked.cascade else "")


def asked_of(reason: str) -> Asked | None:
    """The inverse of `reason_of`; None for any other reason."""
    match = _REASON.fullmatch(reason)
    if match is None:
        return None
    runs = [run.split("-") for run in match[1].split(", ")]
    ranges = [range(int(run[0]), int(run[-1]) + 1) for run in runs]
    if sum(map(len, ranges)) > MAX_ASKED:
        return None
    return Asked(tuple(n for one in ranges for n in one), match[2] is not None)


def records_touched(op: Op) -> tuple[str, ...]:
    """The records that an operation has to do with; not the trial of an added one."""
    match op:
        case Add(record):
            return (record.id,)
        case AddLink(link):
            return (link.src, link.dst)
        case Unlink(src, dst):
            return (src, dst)
        case Supersede(old, _, new):
            return (old, new)
    return (op.id,)
