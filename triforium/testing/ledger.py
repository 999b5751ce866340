"""A journal and the state it leads to, in memory: what a store should agree with."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias, cast

from ..errors import TriforiumError
from ..graph import Applied, Changeset, JournalEntry, Op, OutcomeKind, Store, Supersede
from ..graph.application import State, content_of, plan

Content: TypeAlias = Mapping[str, Mapping[Any, Any]]
"""What readers can tell of a store: records that are there, live links, credit."""

START = datetime(2026, 1, 1, tzinfo=UTC)
_IMAGE = ("keys", "confidence", "cluster", "summary", "status", "outcome", "hold")


@dataclass(frozen=True, slots=True)
class Position:
    """What a ledger shows of itself: only where it stands."""

    position: int


class Ledger:
    """Applies changesets as every store does, and keeps nothing but what planning needs.

    It has just enough of the `Store` interface for reverts to be planned on it.
    """

    def __init__(self) -> None:
        self.state = State()
        self.entries: list[JournalEntry] = []
        self.credit: dict[tuple[str, str], float] = {}
        self.reads = 0

    @property
    def store(self) -> Store:
        """The ledger, for what takes a store and needs only its journal and position."""
        return cast(Store, self)

    async def view(self, scope: str) -> Position:
        """Where the journal ends."""
        return Position(len(self.entries))

    async def journal(
        self, scope: str, *, after: int = 0, limit: int = 1000
    ) -> tuple[JournalEntry, ...]:
        """Entries of all scopes."""
        self.reads += 1
        return tuple(self.entries[after : after + limit])

    async def apply(self, changeset: Changeset) -> Applied:
        """Apply a changeset, all of it or nothing."""
        position = len(self.entries) + 1
        now = START + timedelta(seconds=position)
        writes = plan(self.state, changeset, content_of(changeset), position, now)
        self.state.absorb(writes)
        for one in writes.credits:
            key = (one.id, one.role)
            self.credit[key] = self.credit.get(key, 0.0) + one.uses
        self.entries.append(
            JournalEntry(
                position=position,
                changeset=changeset,
                created_at=now,
                before=tuple(json.loads(writes.before)),
            )
        )
        return Applied(position)

    def fits(self, changeset: Changeset) -> bool:
        """Whether a changeset could be applied; nothing is."""
        try:
            plan(self.state, changeset, content_of(changeset), len(self.entries) + 1, START)
        except TriforiumError:
            return False
        return True

    def changeset(self, id_: str, *ops: Op, scope: str, actor: str = "me") -> Changeset:
        """A changeset whose operations carry the revisions that they will find."""
        seen: dict[str, int] = {}
        filled = []
        for op in ops:
            if hasattr(op, "revision"):
                target = str(op.old if isinstance(op, Supersede) else cast(Any, op).id)
                row = self.state.rows.get(target)
                seen[target] = seen.get(target, row.revision - 1 if row else 0) + 1
                filled.append(cast(Op, replace(cast(Any, op), revision=seen[target])))
            else:
                filled.append(op)
        return Changeset(id=id_, scope=scope, actor=actor, reason="test", ops=tuple(filled))

    async def do(self, id_: str, *ops: Op, scope: str, actor: str = "me") -> Changeset:
        """Apply operations, their revisions filled in."""
        changeset = self.changeset(id_, *ops, scope=scope, actor=actor)
        await self.apply(changeset)
        return changeset

    async def without(self, undone: set[tuple[int, int]], scope: str) -> Ledger:
        """The same history without some operations.

        Credit that was not counted, since its receipt was used up, is left out in any case.

        Args:
            undone: Positions, and which operation of the changeset there.
            scope: Of the history.
        """
        fresh = Ledger()
        for entry in self.entries:
            for number, op in enumerate(entry.changeset.ops):
                counted = entry.before[number] != {"counted": False}
                if counted and (entry.position, number) not in undone:
                    await fresh.do(f"{entry.position}.{number}", op, scope=scope)
        return fresh

    def content(self) -> Content:
        """What readers can tell."""
        records = {
            id_: comparable({name: row.image()[name] for name in _IMAGE})
            for id_, row in self.state.rows.items()
            if row.expired is None
        }
        links = {(*key[:2], key[2].value, key[3]): w for key, w in self.state.links.items()}
        credit = {key: uses for key, uses in self.credit.items() if uses and key[0] in records}
        return {"records": records, "links": links, "credit": credit}


async def content_of_store(rows: AsyncIterator[Mapping[str, Any]]) -> Content:
    """What readers can tell of a store, from its dump."""
    records: dict[str, Any] = {}
    links: dict[Any, float] = {}
    credit: dict[Any, float] = {}
    async for row in rows:
        if row["row"] == "record" and row["expired"] is None:
            records[row["id"]] = comparable({name: row[name] for name in _IMAGE})
        elif row["row"] == "link" and row["expired"] is None:
            links[row["src"], row["dst"], row["type"], row["via"]] = row["weight"]
        elif row["row"] == "credit":
            key = (row["id"], row["role"])
            credit[key] = credit.get(key, 0.0) + row["uses"]
    kept = {key: uses for key, uses in credit.items() if uses and key[0] in records}
    return {"records": records, "links": links, "credit": kept}


def comparable(image: Mapping[str, Any]) -> dict[str, Any]:
    """An image without what a revert cannot give back.

    An open trial and one whose outcome was taken back teach the same: nothing.
    """
    outcome, hold = image["outcome"], image["hold"]
    unknown = outcome is not None and outcome["kind"] == OutcomeKind.UNKNOWN.value
    return {
        **image,
        "keys": list(image["keys"]),
        "outcome": None if unknown else outcome,
        "hold": None if hold is None else {**hold, "position": 0},
    }
