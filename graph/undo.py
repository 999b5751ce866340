"""Which writes a revert takes back, what depends on them, and the operations that do it."""

from __future__ import annotations

import sys
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any, TypeAlias

from ..errors import Conflict, InvalidInput, TriforiumError
from .changes import (
    Add,
    AddCredit,
    AddLink,
    Changeset,
    Expire,
    Op,
    Restore,
    Revive,
    Unlink,
    op_to_json,
)
from .history import Asked, Cell, History, Step, Time, Touch, Write, alive, asked_of, records_of
from .ids import canonical, digest
from .records import Link, LinkType, Outcome
from .scopes import visible_scopes
from .store import JournalEntry

Span: TypeAlias = tuple[Time, Time]
"""A time and a later one, both left out."""
FOREVER: Time = (sys.maxsize, 0)

NAMED = 10
"""Changesets that a message names at most."""
_ORDER = {"field": 1, "link": 2, "credit": 3}
_time = attrgetter("time")


def remember(entries: Iterable[JournalEntry]) -> History:
    """The history that a part of the journal tells.

    Args:
        entries: Of all scopes, in order, up to the present. Whatever a revert or a re-added record
            among them refers to should be among them; else it is taken for any other change.
    """
    history = History()
    for entry in entries:
        asked = asked_of(entry.changeset.reason)
        undo = None if asked is None else _again(history, entry.changeset, asked)
        if asked is None or undo is None:
            history.read(entry)
        else:
            history.read_revert(entry, asked.positions, undo.groups)
    return history


def _again(history: History, changeset: Changeset, asked: Asked) -> Undo | None:
    """The plan of what says to be a revert, if it is one: then its operations follow from it."""
    if not all(position in history.steps for position in asked.positions):
        return None
    undo = Undo(history, changeset.scope, asked, changeset.base)
    try:
        undo.close()
        ops = undo.ops(changeset.actor)
    except TriforiumError:
        return None
    return undo if _plain(ops) == _plain(changeset.ops) else None


def _plain(ops: Sequence[Op]) -> str:
    return canonical([op_to_json(op) for op in ops])


class Undo:
    """A revert being worked out on a history, which is left as it is.

    Args:
        history: All that was applied.
        scope: Whose changesets are reverted.
        asked: Which.
        base: The position that the history ends at.

    Attributes:
        steps: Everything that is taken back.
        groups: For each operation of `ops` the writes that it takes back.
    """

    def __init__(self, history: History, scope: str, asked: Asked, base: int) -> None:
        self._history = history
        self._scope = scope
        self._asked = asked
        self._base = base
        self._sweeps: dict[tuple[str, Any], _Sweep] = {}
        self._queue: deque[list[Write]] = deque()
        self._chains: dict[int, list[Write]] = {}
        self.steps: dict[Step, None] = {}
        self.groups: list[list[Write]] = []
        for position in asked.positions:
            for step in history.steps[position]:
                self._take(step)

    # --- what goes ----------------------------------------------------------------------------

    def close(self) -> None:
        """Add what depends on what is taken back, until nothing is left that does.

        Raises:
            Conflict: Something does, and it was not asked for or cannot be taken back from here.
        """
        while self._queue:
            chain = self._queue.popleft()
            if self._on(chain) and not self._wanted(chain):
                self._switch_off(chain)
            if not self._queue:
                # What is brought again is looked at when all that goes is known.
                for chain in tuple(self._chains.values()):
                    if self._wanted(chain) and not self._on(chain):
                        self._switch_on(chain)
        self._check(self.dependents())

    def dependents(self) -> list[Step]:
        """What is taken back without having been asked for, in order."""
        asked = set(self._asked.positions)
        return sorted((one for one in self.steps if one.entry.position not in asked), key=_time)

    def _take(self, step: Step) -> None:
        if step in self.steps:
            return
        self.steps[step] = None
        for write in step.writes:
            self._chains[id(write.chain)] = write.chain
            self._queue.append(write.chain)

    def _wanted(self, chain: Sequence[Write]) -> bool:
        """Whether a write shall be in force when all steps taken are gone."""
        if chain[0].step in self.steps:
            return False
        return self._left(chain) % 2 == 1

    def _left(self, chain: Sequence[Write]) -> int:
        """How many writes of a chain are left, the first of which is."""
        left = len(chain)
        while chain[left - 1].step in self.steps:
            left -= 1
        return left

    def _on(self, chain: Sequence[Write]) -> bool:
        """Whether the write that a chain began with is in force now."""
        return len(chain) % 2 == 1

    def _switch_off(self, chain: Sequence[Write]) -> None:
        root, cut = chain[0], self._cut(chain).step.time
        self._keep_alive(chain, root.step.time)

        def builds_on(touch: Touch) -> bool:
            if touch.write is None or touch.step.reverts:
                return False
            return self._wanted(touch.write.chain)

        touches = self._history.on_cell(root.cell)
        self._scan(("off", root.cell), touches, _spans(chain), builds_on)
        self._scan(("rests", root.cell), touches, [(cut, FOREVER)], self._rests)
        if root.cell[0] == "record" and root.after:
            self._bury(chain, _spans(chain), cut)

    def _switch_on(self, chain: Sequence[Write]) -> None:
        root, since = chain[0], chain[-1].step.time
        needed = self._needed(root)
        if needed is None:
            self._take(root.step)
            return
        for step in needed:
            self._take(step)
        self._keep_alive(chain, since)

        def builds_on(touch: Touch) -> bool:
            if touch.write is None:
                return self._rests(touch)
            return touch.write.place == 0 and self._wanted(touch.write.chain)

        touches = self._history.on_cell(root.cell)
        self._scan(("on", root.cell), touches, [(since, FOREVER)], builds_on)
        if root.cell[0] == "record" and not root.after:
            self._bury(chain, _spans(chain[1:]), since)

    def _needed(self, root: Write) -> list[Step] | None:
        """What must be taken back for a write to be brought again.

        None if it cannot be: what it was done to goes, or it was done because that had gone.
        """
        own = (root.cell, *map(alive, records_of(root.cell)))
        needed = []
        for cell in (*own, *map(alive, _trial_of(root))):
            for below in self._below(cell, root.step.time):
                held, wanted = _held(below.chain, root.step.time), self._wanted(below.chain)
                last = below.chain[-1].step
                if held and not wanted:
                    if last in self.steps or below.root.step in self.steps:
                        return None
                    needed.append(last)
                elif wanted and not held and cell in own:
                    return None
        return needed

    def _cut(self, chain: Sequence[Write]) -> Write:
        """The write of a chain from which on it is taken back."""
        return chain[0 if chain[0].step in self.steps else self._left(chain)]

    def _rests(self, touch: Touch) -> bool:
        """Whether a step changed nothing because all was as it wished, and still is."""
        return not touch.step.writes and self._history.in_force(touch.step)

    def _below(self, cell: Cell, time: Time) -> Iterator[Write]:
        """What had been written to a cell at a time, back to the last that was in force then."""
        touches = self._history.on_cell(cell)
        for number in range(bisect_left(touches, time, key=_time) - 1, -1, -1):
            write = touches[number].write
            if write is not None and write.place == 0:
                yield write
                if _held(write.chain, time):
                    return

    def _keep_alive(self, chain: Sequence[Write], since: Time) -> None:
        """A record that is written to must be there: what took it away since goes as well.

        What takes it away again in this revert is no matter, unless it does so before the write.
        """
        for id_ in records_of(chain[0].cell):
            touches = self._history.on_cell(alive(id_))
            for touch in touches[bisect_right(touches, since, key=_time) :]:
                write = touch.write
                if write is None or write.place or write.after:
                    continue
                last = write.chain[-1].step.time
                early = self._on(write.chain) or last > chain[-1].step.time
                if early and self._wanted(write.chain):
                    self._take(touch.step)

    def _bury(self, chain: Sequence[Write], spans: Sequence[Span], cut: Time) -> None:
        """Take back all that was done with a record that goes.

        Args:
            chain: Writes to whether it is there.
            spans: When it was there.
            cut: When what is taken back of that began.
        """
        id_ = str(chain[0].cell[1])
        since = spans[0][0]

        def builds_on(touch: Touch) -> bool:
            return not touch.step.reverts and self._remains(touch)

        touches = self._history.on_record(id_)
        for touch in self._scan(("record", id_), touches, spans, builds_on):
            op = touch.step.op
            if isinstance(op, AddLink) and op.link.type is LinkType.DERIVED_FROM:
                self._orphan(op.link.src, since)
        self._scan(("rests", id_), touches, [(cut, FOREVER)], self._rests)
        # A step may stand before its trial in one changeset.
        wide = [((since[0], -1), since), *spans]
        self._scan(("trial", id_), self._history.of_trial(id_), wide, self._remains)

    def _remains(self, touch: Touch) -> bool:
        """Whether a step will have an effect."""
        return any(self._wanted(write.chain) for write in touch.step.writes)

    def _orphan(self, id_: str, since: Time) -> None:
        """Take back the record that was derived from one that goes."""
        last = self._history.last(alive(id_))
        if last is not None and last.after:
            step = last.root.step
            if isinstance(step.op, Add) and step.time >= (since[0], -1):
                self._take(step)

    def _scan(
        self,
        name: tuple[str, Any],
        touches: Sequence[Touch],
        spans: Sequence[Span],
        test: Callable[[Touch], bool],
    ) -> list[Touch]:
        """Take the steps of some spans of time that pass the test.

        Under one name each is looked at once, so that many writes to one cell do not cost the
        square of their number.
        """
        sweep = self._sweeps.get(name)
        if sweep is None:
            sweep = self._sweeps[name] = _Sweep(len(touches))
        found = []
        for begin, end in spans:
            first = bisect_right(touches, begin, key=_time)
            last = bisect_left(touches, end, key=_time)
            found += [touches[n] for n in sweep.over(first, last) if test(touches[n])]
        for touch in found:
            self._take(touch.step)
        return found

    def _check(self, dependents: Sequence[Step]) -> None:
        """Refuse what was not asked for."""
        if not dependents:
            return
        visible = set(visible_scopes(self._scope))
        hidden = [one for one in dependents if not self._within_reach(one)]
        shown = {
            one.entry.position: one.entry.changeset.id
            for one in dependents
            if one.entry.changeset.scope in visible
        }
        unseen = len({one.entry.position for one in dependents}) - len(shown)
        if self._asked.cascade and not hidden:
            return
        named = [f"{id_} (position {position})" for position, id_ in list(shown.items())[:NAMED]]
        if len(shown) > NAMED:
            named.append(f"{len(shown) - NAMED} more")
        if unseen:
            named.append(f"{unseen} of other scopes")
        listed = named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"
        advice = (
            "take those of other scopes back there first"
            if hidden
            else "revert those first, or revert with cascade, which takes back what of them "
            "depends on it"
        )
        raise Conflict(
            f"What is to be reverted has been built upon since, by {listed}; {advice}.",
            dependents=tuple(shown.items()),
            unseen=unseen,
        )

    def _within_reach(self, step: Step) -> bool:
        """Whether a dependent step can be taken back from this scope."""
        if step.entry.changeset.scope == self._scope or not step.writes:
            return True
        if isinstance(step.op, AddCredit):
            return True
        if not isinstance(step.op, AddLink | Unlink):
            return False
        cell = step.writes[0].cell
        ends = [self._history.scopes.get(id_, "") for id_ in records_of(cell)]
        return self._scope in ends and set(ends) <= set(visible_scopes(self._scope))

    # --- how ----------------------------------------------------------------------------------

    def ops(self, actor: str) -> tuple[Op, ...]:
        """The inverse operations, newest first.

        Args:
            actor: Who takes it back; said to judge the outcomes that become unknown.

        Raises:
            InvalidInput: The journal does not reach back far enough.
        """
        switched = [c for c in self._chains.values() if self._on(c) != self._wanted(c)]
        self.groups = []
        ops: list[Op] = []
        revisions: dict[str, int] = {}
        for group in _grouped(switched):
            self.groups.append([chain[-1] for chain in group])
            ops.append(self._op(group, actor, revisions))
        return tuple(ops)

    def _op(self, group: Sequence[list[Write]], actor: str, revisions: dict[str, int]) -> Op:
        chain = group[0]
        root, on = chain[0], len(chain) % 2 == 0
        target: Any = root.after if on else root.before
        kind, id_ = root.cell[0], str(root.cell[1])
        if kind == "link":
            _, src, dst, type_, via = root.cell
            assert isinstance(type_, LinkType)
            if target is None:
                return Unlink(str(src), str(dst), type_, str(via))
            return AddLink(
                Link(src=str(src), dst=str(dst), type=type_, via=str(via), weight=target)
            )
        if kind == "credit":
            return self._credit(chain, on=on)
        revision = revisions.get(id_) or self._revision(id_)
        revisions[id_] = revision + 1
        if kind == "record":
            return Revive(id_) if target else Expire(id_, revision)
        image = {str(one[0].cell[2]): one[0].after if on else one[0].before for one in group}
        if "outcome" in image and image["outcome"] is None:
            image["outcome"] = Outcome.unknown("reverted", judge=actor).to_json()
        return Restore(id_, revision, image)

    def _credit(self, chain: Sequence[Write], *, on: bool) -> AddCredit:
        root, last = chain[0].step, chain[-1].step
        op = root.op
        assert isinstance(op, AddCredit)
        sign = 1.0 if on else -1.0
        # The sum with zero keeps -0.0 out.
        return AddCredit(
            op.id,
            op.role,
            digest("revert", last.entry.changeset.id, last.index, op.receipt, self._base),
            uses=sign * op.uses + 0.0,
            helped=sign * op.helped + 0.0,
            hurt=sign * op.hurt + 0.0,
        )

    def _revision(self, id_: str) -> int:
        revision = self._history.revisions.get(id_)
        if revision is None:
            raise InvalidInput(
                f"The journal does not tell what became of the record {id_!r}: a part of the "
                "store was restored without it. Take it back where the whole journal is.",
                id=id_,
            )
        return revision


def _trial_of(root: Write) -> tuple[str, ...]:
    """The trial that an added record belongs to, if any."""
    op = root.step.op
    if isinstance(op, Add) and root.cell[0] == "record" and op.record.provenance.trial:
        return (op.record.provenance.trial,)
    return ()


def _held(chain: Sequence[Write], time: Time) -> bool:
    """Whether the write that a chain began with was in force at a time."""
    return sum(write.step.time < time for write in chain) % 2 == 1


def _spans(chain: Sequence[Write]) -> list[Span]:
    """When the write that a chain begins with was in force."""
    times = [write.step.time for write in chain]
    return list(zip(times[::2], [*times[1::2], FOREVER], strict=False))


class _Sweep:
    """Goes over the numbers below a length, each once."""

    def __init__(self, length: int) -> None:
        self._next = list(range(length + 1))

    def over(self, start: int, stop: int) -> Iterator[int]:
        """The numbers from `start` to before `stop` that were not given yet."""
        number = self._find(start)
        while number < stop:
            self._next[number] = number + 1
            yield number
            number = self._find(number)

    def _find(self, number: int) -> int:
        end = number
        while self._next[end] != end:
            end = self._next[end]
        while self._next[number] != end:
            self._next[number], number = end, self._next[number]
        return end


def _grouped(switched: Sequence[list[Write]]) -> Iterator[list[list[Write]]]:
    """Chains that one operation switches, newest last write first."""

    def key(chain: list[Write]) -> tuple[int, int, int]:
        position, index = chain[-1].step.time
        kind = str(chain[0].cell[0])
        # A record is there before its fields are written, and goes after they were.
        comes = kind == "record" and bool(chain[0].after) == (len(chain) % 2 == 0)
        return (-position, -index, _ORDER.get(kind, 0 if comes else 4))

    group: list[list[Write]] = []
    for chain in sorted(switched, key=key):
        if group and (chain[0].cell[0] != "field" or key(chain) != key(group[0])):
            yield group
            group = []
        group.append(chain)
    if group:
        yield group
