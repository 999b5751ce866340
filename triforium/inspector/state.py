"""What a running inspector holds, and what one request of it may see."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import BaseModel

from ..errors import NotFound
from ..graph import Store, check_scope
from ..memory import Effect, Lift, lift
from .access import Grant
from .counts import REST, Counts
from .graphs import GraphQuery, graph_of
from .journals import Journals
from .learning import Known, learning
from .live import Poller
from .reading import Reading
from .receipts import Receipts
from .snapshot import Snapshots

CACHED = 48
"""Answers that are kept at most."""
CACHED_BYTES = 64_000_000
"""Bytes of them at most."""
LIFT_RECEIPTS = 5_000
"""Receipts from which a lift is measured at most."""
_LIFTS = 8


class Answers:
    """Answers as bytes, so that many pages that ask the same cost one."""

    def __init__(self) -> None:
        self._kept: OrderedDict[object, bytes] = OrderedDict()
        self._making: dict[object, asyncio.Future[bytes]] = {}
        self._bytes = 0

    async def get(self, key: object, make: Callable[[], Awaitable[BaseModel]]) -> bytes:
        """The answer under a key, made only once, also when many ask at once."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        if key not in self._making:
            self._making[key] = asyncio.ensure_future(self._make(key, make))
        return await asyncio.shield(self._making[key])

    async def _make(self, key: object, make: Callable[[], Awaitable[BaseModel]]) -> bytes:
        try:
            model = await make()
            body = await asyncio.to_thread(lambda: model.model_dump_json().encode())
            self._kept[key] = body
            self._bytes += len(body)
            while len(self._kept) > 1 and (len(self._kept) > CACHED or self._bytes > CACHED_BYTES):
                _, gone = self._kept.popitem(last=False)
                self._bytes -= len(gone)
            return body
        finally:
            self._making.pop(key, None)


@dataclass(frozen=True, slots=True)
class Measured:
    """A lift that is kept.

    Attributes:
        position: Of the journal when it was measured.
        lift: The lift.
        effects: Those of its records, by id.
        until: When it may be measured again.
    """

    position: int
    lift: Lift
    effects: Mapping[str, Effect]
    until: float


@dataclass(slots=True)
class Inspector:
    """An open store and what is held of it.

    Attributes:
        store: The store that is shown.
        scope: The scope that is shown when none is asked for; found out if "".
        live: Whether changes can be followed.
        clock: Seconds, for what is measured again after a while.
    """

    store: Store
    scope: str = ""
    live: bool = True
    clock: Callable[[], float] = time.monotonic
    counts: Counts = field(init=False)
    snapshots: Snapshots = field(init=False)
    receipts: Receipts = field(init=False)
    journals: Journals = field(init=False)
    poller: Poller = field(init=False)
    answers: Answers = field(default_factory=Answers)
    _lifts: dict[str, Measured] = field(default_factory=dict)
    _lift_lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.counts = Counts(self.store)
        self.snapshots = Snapshots(self.store, self.counts)
        self.receipts = Receipts(self.store)
        self.journals = Journals(self.store)
        self.poller = Poller(self.store)

    async def reading(
        self,
        grant: Grant,
        scope: str = "",
        *,
        at: int | datetime | None = None,
        run: str = "",
    ) -> Reading:
        """What a request reads.

        Raises:
            InvalidScope: The scope is not well formed.
            NotFound: The token may not look at it. A scope that does not exist is no other case.
        """
        chosen = check_scope(scope) if scope else await self.default_scope(grant)
        if not grant.allows(chosen):
            raise NotFound(f"There is no scope {chosen!r} for this token.", scope=chosen)
        return Reading(self.store, chosen, at, run)

    async def default_scope(self, grant: Grant) -> str:
        """The scope that is shown first: that of the token, else the one with most records."""
        if grant.scope or self.scope:
            return grant.scope or self.scope
        scopes = await self.scopes(grant)
        if not scopes:
            return "default"
        if len(scopes) == 1:
            return scopes[0]
        counts = {scope: sum((await self.counts.of(scope)).records.values()) for scope in scopes}
        self.scope = max(scopes, key=lambda scope: (counts[scope], scope))
        return self.scope

    async def scopes(self, grant: Grant) -> list[str]:
        """The scopes that exist and that a token may look at."""
        found = (await self.counts.of(grant.scope)).scopes
        return [scope for scope in found if grant.allows(scope)]

    async def present(self, reading: Reading) -> int:
        """The last position of the journal."""
        return (await self.store.view(reading.scope)).position

    async def graph(self, reading: Reading, query: GraphQuery) -> bytes:
        """The graph view as JSON."""
        snapshot = await self.snapshots.at(reading.scope, reading.at)
        present = await self.present(reading)
        key = ("graph", reading.scope, snapshot.position, present, query)

        async def make() -> BaseModel:
            return await asyncio.to_thread(graph_of, snapshot, query, present)

        return await self.answers.get(key, make)

    async def learning(self, reading: Reading, window: int) -> bytes:
        """The learning view as JSON."""
        known, measured = await self._known(reading.scope)
        newest = known.lines[-1].id if known.lines else ""
        key = (
            ("learning", reading.scope, window),
            (known.snapshot.position, newest, measured.position),
        )

        async def make() -> BaseModel:
            return await asyncio.to_thread(learning, known, window)

        return await self.answers.get(key, make)

    async def learning_model(self, reading: Reading, window: int) -> BaseModel:
        """The learning view."""
        known, _ = await self._known(reading.scope)
        return await asyncio.to_thread(learning, known, window)

    async def _known(self, scope: str) -> tuple[Known, Measured]:
        """What the learning view is made of, copied where the event loop goes on changing it."""
        measured = await self.lift(scope)
        snapshot = await self.snapshots.at(scope)
        log = await self.journals.of(scope)
        size = (await self.counts.of(scope)).bytes
        index = await self.receipts.of(scope)
        known = Known(
            snapshot, tuple(index.lines), index.complete, tuple(log.entries), measured.lift, size
        )
        return known, measured

    async def lift(self, scope: str) -> Measured:
        """The lift of a scope, measured anew only as often as measuring it is cheap."""
        async with self._lift_lock:
            index = await self.receipts.of(scope)
            present = (await self.store.view(scope)).position
            held = self._lifts.get(scope)
            if held is None or (
                held.position != present
                and len(index.lines) < LIFT_RECEIPTS
                and self.clock() >= held.until
            ):
                held = await self._measured(scope, present)
                self._lifts[scope] = held
                while len(self._lifts) > _LIFTS:
                    self._lifts.pop(next(iter(self._lifts)))
            return held

    async def _measured(self, scope: str, present: int) -> Measured:
        started = self.clock()
        found = await lift(self.store, scope, limit=LIFT_RECEIPTS)
        ended = self.clock()
        effects = {one.id: one.effect for one in found.records}
        return Measured(present, found, effects, ended + REST * (ended - started))

    async def lift_of(self, scope: str, id_: str) -> Effect | None:
        """The lift of one record, if it was ever recalled."""
        return (await self.lift(scope)).effects.get(id_)
