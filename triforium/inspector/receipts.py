"""The receipts of one scope, indexed by the records they name."""

from __future__ import annotations

import asyncio
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from ..graph import Outcome, Record, Store, StoredReceipt, View
from .reading import get_all, outcome_out
from .schema import ReceiptLine, Use
from .schema import Receipts as ReceiptList

MOST = 10_000
"""Receipts that are indexed at most, the newest; a tenth more while they are waiting to go."""
_FIRST = 1
_KEPT = 8


@dataclass(frozen=True, slots=True)
class Line:
    """What a list shows of a receipt, and whom it was for."""

    id: str
    task: str
    role: str
    strategy: str
    run: str
    trial: str
    stored: StoredReceipt
    items: int
    rejected: int
    held_out: int
    tokens: int
    budget: int

    @classmethod
    def of(cls, receipt: StoredReceipt) -> Line:
        """From a stored receipt, whose body is not kept."""
        body = receipt.body
        return cls(
            id=receipt.id,
            task=str(body.get("task", "")),
            role=receipt.role,
            strategy=str(body.get("strategy", "")),
            run=receipt.run,
            trial=receipt.trial,
            stored=StoredReceipt(
                id=receipt.id,
                scope=receipt.scope,
                position=receipt.position,
                created_at=receipt.created_at,
            ),
            items=len(body.get("items", ())),
            rejected=len(body.get("rejected", ())),
            held_out=len(body.get("held_out", ())),
            tokens=int(body.get("tokens", 0)),
            budget=int(body.get("budget", 0)),
        )

    def out(self, outcome: Outcome | None) -> ReceiptLine:
        """As the API shows it."""
        return ReceiptLine(
            receipt=self.id,
            task=self.task,
            role=self.role,
            strategy=self.strategy,
            run=self.run,
            trial=self.trial,
            position=self.stored.position,
            created_at=self.stored.created_at,
            items=self.items,
            rejected=self.rejected,
            held_out=self.held_out,
            tokens=self.tokens,
            budget=self.budget,
            outcome=outcome_out(outcome),
        )


class Part(NamedTuple):
    """The part that a record had in a recall."""

    line: Line
    part: Literal["served", "rejected", "held out"]
    rank: int
    final: float | None
    reason: str

    def out(self, outcome: Outcome | None) -> Use:
        """As the API shows it."""
        line = self.line
        return Use(
            receipt=line.id,
            task=line.task,
            role=line.role,
            run=line.run,
            trial=line.trial,
            position=line.stored.position,
            created_at=line.stored.created_at,
            part=self.part,
            rank=self.rank,
            final=self.final,
            reason=self.reason,
            outcome=outcome_out(outcome),
        )


def parts_of(receipt: StoredReceipt, line: Line) -> dict[str, Part]:
    """The part of each record that a receipt names."""
    body = receipt.body
    held_out = set(body.get("held_out", ()))
    found: dict[str, Part] = {id_: Part(line, "held out", 0, None, "") for id_ in held_out}
    for one in body.get("rejected", ()):
        part: Literal["rejected", "held out"] = "held out" if one["id"] in held_out else "rejected"
        final = one["scores"].get("final")
        found[one["id"]] = Part(line, part, 0, final, sys.intern(str(one["reason"])))
    for rank, item in enumerate(body.get("items", ()), 1):
        found[item["id"]] = Part(line, "served", rank, item["scores"].get("final"), "")
    return found


@dataclass(slots=True)
class Index:
    """Receipts of a scope.

    Attributes:
        lines: Oldest first.
        known: Their ids.
        by_record: For each record the recalls that name it, oldest first.
        by_trial: For each trial its receipts.
        complete: Whether all receipts are indexed.
    """

    lines: list[Line] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    by_record: dict[str, list[Part]] = field(default_factory=dict)
    by_trial: dict[str, list[Line]] = field(default_factory=dict)
    complete: bool = True

    def take(self, receipts: Sequence[StoredReceipt]) -> None:
        """Index more receipts, oldest first."""
        for receipt in receipts:
            if receipt.id in self.known:
                continue
            self.known.add(receipt.id)
            line = Line.of(receipt)
            self.lines.append(line)
            if receipt.trial:
                self.by_trial.setdefault(receipt.trial, []).append(line)
            for id_, part in parts_of(receipt, line).items():
                self.by_record.setdefault(id_, []).append(part)
        if len(self.lines) > MOST + MOST // 10:
            self._trim(len(self.lines) - MOST)

    def _trim(self, count: int) -> None:
        """Forget the oldest receipts."""
        gone = {line.id for line in self.lines[:count]}
        del self.lines[:count]
        self.known -= gone
        parts = {
            id_: [one for one in of if one.line.id not in gone]
            for id_, of in self.by_record.items()
        }
        self.by_record = {id_: of for id_, of in parts.items() if of}
        trials = {
            id_: [one for one in of if one.id not in gone] for id_, of in self.by_trial.items()
        }
        self.by_trial = {id_: of for id_, of in trials.items() if of}
        self.complete = False


class Receipts:
    """The indexes of a store, one for each scope that is looked at."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._indexes: OrderedDict[str, Index] = OrderedDict()
        self._locks: dict[str, asyncio.Lock] = {}

    async def of(self, scope: str) -> Index:
        """The index of a scope, up to date."""
        async with self._locks.setdefault(scope, asyncio.Lock()):
            index = self._indexes.setdefault(scope, Index())
            self._indexes.move_to_end(scope)
            await self._refresh(scope, index)
            while len(self._indexes) > _KEPT:
                gone, _ = self._indexes.popitem(last=False)
                self._locks.pop(gone, None)
            return index

    async def _refresh(self, scope: str, index: Index) -> None:
        """Read back from the newest until one is known; each time eight times as many."""
        limit = _FIRST
        while True:
            found = await self._store.receipts(scope, newest=True, limit=limit)
            if len(found) < limit or any(one.id in index.known for one in found):
                break
            if limit >= MOST:
                index.complete = False
                break
            limit = min(MOST, 8 * limit)
        index.take(found[::-1])

    async def uses(self, scope: str, id_: str, view: View, limit: int) -> tuple[list[Use], int]:
        """The recalls that a record took part in, newest first, and how many there are."""
        parts = (await self.of(scope)).by_record.get(id_, [])
        chosen = parts[-limit:]
        trials = await get_all(view, {one.line.trial for one in chosen if one.line.trial})
        found = []
        for one in reversed(chosen):
            trial = trials.get(one.line.trial)
            found.append(one.out(trial.outcome if trial else None))
        return found, len(parts)

    async def page(
        self, scope: str, chosen: Sequence[Line], view: View, skip: int, limit: int
    ) -> ReceiptList:
        """A page of a list."""
        return ReceiptList(
            recalls=await self.lines(scope, chosen[skip : skip + limit], view),
            total=len(chosen),
            more=len(chosen) > skip + limit or not (await self.of(scope)).complete,
        )

    async def lines(self, scope: str, lines: Sequence[Line], view: View) -> list[ReceiptLine]:
        """Receipts in a list, with the outcomes of their trials."""
        trials: Mapping[str, Record] = await get_all(
            view, {one.trial for one in lines if one.trial}
        )
        return [
            line.out(trials[line.trial].outcome if line.trial in trials else None) for line in lines
        ]
