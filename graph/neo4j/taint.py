"""Taint in the Neo4j store: what descends from records in quarantine.

A (:Taint {root}) node of a record says that the record descends from that root; the roots that hold
at the present stand on the record too. All follows from status and links alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..application import Writes
from . import cypher

if TYPE_CHECKING:
    import neo4j


async def update_taint(transaction: neo4j.AsyncManagedTransaction, writes: Writes) -> None:
    """Bring the taint in line with what a changeset has written.

    Args:
        transaction: In which it was written.
        writes: What was written.
    """
    run = _Run(transaction, writes)
    if writes.released:
        await run.release(writes.released)
    for root in await run.roots([one for one, _ in writes.cut]):
        await run.recount(root)
    for ancestor, descendant in writes.grown:
        for root in await run.roots([ancestor]):
            await run.spread(root, descendant)
    for root in writes.held:
        await run.recount(root)
    await run.note()


class _Run:
    def __init__(self, transaction: neo4j.AsyncManagedTransaction, writes: Writes) -> None:
        self._transaction = transaction
        self._place = {"position": writes.position, "now": writes.now}
        self._touched: set[str] = set()

    async def do(self, query: str, **parameters: Any) -> Any:
        """The only row that a query gives, or None."""
        return await (await self._transaction.run(query, parameters)).single()

    async def release(self, roots: Sequence[str]) -> None:
        """Take away the taint of some roots."""
        found = await self.do(cypher.RELEASE, roots=roots, **self._place)
        self._touched.update(found["ids"])

    async def roots(self, ancestors: Sequence[str]) -> list[str]:
        """The roots whose taint some records pass on."""
        if not ancestors:
            return []
        found = await self.do(cypher.ROOTS, ancestors=sorted(set(ancestors)))
        return sorted(found["roots"])

    async def recount(self, root: str) -> None:
        """Taint all that descends from a root, and nothing else."""
        place = await self.do(cypher.PLACE, root=root)
        if place is None:
            return
        there = set((await self.do(cypher.TAINTED, root=root))["ids"])
        wanted = await self._down([root], place["scope"], {root}) - {root}
        await self._write(root, wanted - there, there - wanted)

    async def spread(self, root: str, start: str) -> None:
        """Taint a record, and what descends from it, by a root."""
        place = await self.do(cypher.PLACE, root=root)
        if place is None:
            return
        there = set((await self.do(cypher.TAINTED, root=root))["ids"])
        first = await self.do(cypher.IN_SCOPE, id=start, scope=place["scope"])
        if first["there"]:
            wanted = await self._down([start], place["scope"], there | {root, start})
            await self._write(root, wanted - there - {root}, set())

    async def _down(self, start: Sequence[str], scope: str, known: set[str]) -> set[str]:
        """What is known, and what descends from some records without passing what is known."""
        reached, level = set(known), list(start)
        while level:
            found = await self.do(cypher.CHILDREN, ids=level, scope=scope)
            level = sorted(set(found["ids"]) - reached)
            reached.update(level)
        return reached

    async def _write(self, root: str, new: set[str], gone: set[str]) -> None:
        if new or gone:
            self._touched |= new | gone
            await self.do(
                cypher.TAINT,
                root=root,
                new=sorted(new),
                gone=sorted(gone),
                **self._place,
            )

    async def note(self) -> None:
        """Say beside the changeset what was touched beyond it, for those that keep records."""
        if self._touched:
            ids = sorted(self._touched)
            await self.do(cypher.TOUCH, ids=ids, position=self._place["position"])
