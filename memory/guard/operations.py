"""What a memory offers to the person on call: quarantine, release, confirm, trace, freeze."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, cast

from ...errors import TriforiumError
from ...graph import Changeset, HoldState, Op, Record, Status
from . import quarantine as held
from .access import Access, check_curator
from .interface import Guard, Judgement
from .lessons import distil
from .notify import Listener, Notifier, QuarantineEvent
from .quarantine import QuarantineCase, Trace
from .registry import guard_name

if TYPE_CHECKING:
    from ..facade import Memory


class GuardOperations:
    """The part of `Memory` by which quarantine works. Nothing here deletes anything."""

    access: Access
    guard: Guard
    notifier: Notifier

    # --- looking ------------------------------------------------------------------------------

    async def quarantined(self) -> tuple[QuarantineCase, ...]:
        """What is held in this scope and those around it, the newest record first."""
        return await held.quarantined(self._memory)

    async def trace(self, id_: str) -> Trace:
        """Who recalled a record, which actions followed, how it ended, what came of it.

        All receipts of the scope are looked through, which may take seconds in a large store.

        Raises:
            NotFound: The scope sees no such record.
        """
        return await held.trace(self._memory, id_)

    async def written_by(
        self, source: str, *, since: datetime | None = None, until: datetime | None = None
    ) -> tuple[Record, ...]:
        """What a source has added to this scope in a span of time, in the order it was added.

        Args:
            source: The source.
            since: From this time on, with a zone.
            until: Before this time, with a zone.
        """
        view = await self._memory.view()
        return await held.written_by(view, source, since=since, until=until)

    async def frozen(self) -> str:
        """The scope that is frozen, this one or one around it; "" if none is."""
        return await held.is_frozen(await self._memory.view())

    # --- deciding -----------------------------------------------------------------------------

    async def quarantine(
        self, ids: Sequence[str], *, reason: str, dissenters: Sequence[str] = ()
    ) -> tuple[str, ...]:
        """Set records aside for everybody, until they are released; what came of them is tainted.

        Args:
            ids: Records of this scope; those that are held already are left as they are.
            reason: A sentence for people.
            dissenters: Ids of the records that speak against them.

        Returns:
            The ids that were put into quarantine now.

        Raises:
            NotAllowed: This memory was opened by a viewer.
            NotFound: The scope sees no such record.
            InvalidInput: A record belongs to an outer scope.
        """
        check_curator(self.access, "put records into quarantine")
        spoken = dict.fromkeys(ids, tuple(dissenters)) if dissenters else None
        return await self._decide(ids, Status.QUARANTINED, reason, dissenters=spoken)

    async def release(self, id_: str, *, reason: str) -> tuple[str, ...]:
        """Take a record out of quarantine; the taint it gave goes, that of other roots stays.

        Lessons that its confirmation taught are heeded no longer, unless others taught them too.

        Args:
            id_: Of the record.
            reason: A sentence for people.

        Raises:
            NotAllowed: This memory was opened by a viewer.
            NotFound: The scope sees no such record.
            InvalidInput: It is not in quarantine, or belongs to an outer scope.
        """
        check_curator(self.access, "release a record")
        return await self._decide([id_], Status.ACTIVE, reason)

    async def confirm(self, id_: str, *, reason: str = "") -> tuple[str, ...]:
        """Say that a record is bad: it goes into quarantine for good, and lessons are drawn.

        Args:
            id_: Of the record; it need not be in quarantine yet.
            reason: A sentence for people; what was said before if empty.

        Raises:
            NotAllowed: This memory was opened by a viewer.
            NotFound: The scope sees no such record.
            InvalidInput: It belongs to an outer scope.
        """
        check_curator(self.access, "confirm a quarantine")
        confirmed = await self._decide([id_], Status.QUARANTINED, reason, state=HoldState.CONFIRMED)
        if confirmed:
            view = await self._memory.view()
            record = (await view.get([id_]))[id_]
            spoken = record.hold.dissenters if record.hold else ()
            ops = await distil(view, record, dissenters=spoken)
            if ops:
                await self._memory._learnt(ops, reason=f"lessons of {id_[:80]}")
        return confirmed

    async def freeze(self, *, reason: str = "") -> bool:
        """Take no more records into this scope and those in it; recalls go on.

        What runs do meanwhile is not remembered. Returns whether it was not frozen before.

        Raises:
            NotAllowed: This memory was opened by a viewer.
        """
        check_curator(self.access, "freeze a scope")
        return await held.set_frozen(self._memory, True, self._memory._clean(reason))

    async def unfreeze(self, *, reason: str = "") -> bool:
        """Take records into this scope again; returns whether it was frozen.

        Raises:
            NotAllowed: This memory was opened by a viewer.
        """
        check_curator(self.access, "unfreeze a scope")
        return await held.set_frozen(self._memory, False, self._memory._clean(reason))

    # --- for the facade -----------------------------------------------------------------------

    def on_quarantine(self, listener: Listener) -> None:
        """Call `listener` with each event of quarantine that this memory brings about."""
        self.notifier.listeners.append(listener)

    async def _apply(self, ops: Sequence[Op], *, reason: str, actor: str = "") -> int:
        """Apply decisions about records, past the guard; returns the journal position."""
        memory = self._memory
        owned = tuple(map(memory._owned, ops))
        if memory.admission is not None:
            owned = tuple(map(memory.admission.clean_op, owned))
        applied = await memory.store.apply(
            Changeset(
                id=uuid.uuid4().hex,
                scope=memory.scope,
                actor=actor or memory.source,
                reason=memory._clean(reason),
                ops=owned,
            )
        )
        return applied.position

    async def hold_suspects(self, suspects: Sequence[tuple[Record, Judgement]]) -> tuple[str, ...]:
        """Put what the guard found in a recall into quarantine; never fails the recall.

        The recall of a viewer decides nothing.
        """
        if self.access is not Access.CURATOR:
            return ()
        own = {one.id: said for one, said in suspects if one.scope == self._memory.scope}
        done: list[str] = []
        by_reason: dict[str, list[str]] = {}
        for id_, said in own.items():
            by_reason.setdefault(said.reason, []).append(id_)
        for reason, ids in by_reason.items():
            try:
                done += await self._decide(
                    ids,
                    Status.QUARANTINED,
                    reason,
                    dissenters={id_: own[id_].dissenters for id_ in ids},
                    actor=guard_name(self.guard),
                )
            except TriforiumError as error:
                held.log.warning("what the guard found was not put into quarantine: %s", error)
        return tuple(done)

    async def _decide(
        self,
        ids: Sequence[str],
        status: Status,
        reason: str,
        *,
        state: HoldState = HoldState.SUSPECTED,
        dissenters: Mapping[str, Sequence[str]] | None = None,
        actor: str = "",
    ) -> tuple[str, ...]:
        memory = self._memory
        # Also for the event, which leaves this process.
        reason = memory._clean(reason)
        changed, position = await held.decide(
            memory, ids, status, reason=reason, state=state, dissenters=dissenters, actor=actor
        )
        what = "released"
        if status is Status.QUARANTINED:
            what = "confirmed" if state is HoldState.CONFIRMED else "quarantined"
        self.notifier.tell(
            QuarantineEvent(
                record=one.id,
                scope=one.scope,
                source=one.provenance.source,
                what=what,
                reason=reason,
                dissenters=tuple((dissenters or {}).get(one.id, ())),
                actor=actor or memory.source,
                state=state if status is Status.QUARANTINED else None,
                position=position,
            )
            for one in changed
        )
        return tuple(one.id for one in changed)

    @property
    def _memory(self) -> Memory:
        return cast("Memory", self)
