"""Changes as they happen, also those of other processes: one poller for any number of pages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from ..errors import StoreError, TriforiumError
from ..graph import JournalEntry, Store, visible_scopes
from .reading import ids_of, journal_line
from .schema import Event

INTERVAL = 0.5
"""Seconds between two looks at the journal's position while somebody watches."""
BEAT = 15.0
"""Seconds of silence after which a page is told that the line still holds."""
QUEUED = 4
"""Events that wait for one page; a slower one is told that it missed some."""
MOST_PAGES = 256
ENTRIES = 64
IDS = 512
_READ = 256
_log = logging.getLogger(__name__)


class TooManyPages(StoreError):
    """As many pages watch as may."""

    retryable = True


@dataclass(eq=False, slots=True)
class Page:
    """One page that watches a scope."""

    scope: str
    queue: asyncio.Queue[bytes] = field(default_factory=lambda: asyncio.Queue(QUEUED))


class Poller:
    """Looks at the journal while somebody watches, and tells every page the same bytes."""

    def __init__(self, store: Store, *, interval: float = INTERVAL) -> None:
        self._store = store
        self._interval = interval
        self._pages: set[Page] = set()
        self._task: asyncio.Task[None] | None = None
        self._position = -1

    @property
    def pages(self) -> int:
        """How many pages watch."""
        return len(self._pages)

    def check(self) -> None:
        """See whether one more page may watch.

        Raises:
            TooManyPages: `MOST_PAGES` watch already.
        """
        if len(self._pages) >= MOST_PAGES:
            raise TooManyPages(f"{MOST_PAGES} pages watch already. Close some of them.")

    async def watch(self, scope: str, after: int | None) -> AsyncGenerator[bytes, None]:
        """What a page is sent: server-sent events, until it goes away.

        Args:
            scope: The reader's scope.
            after: The last position the page knows; the present one if None.
        """
        page = Page(scope)
        self._pages.add(page)
        try:
            # Read afterwards, so that a look that goes on misses nothing: better told twice.
            position = (await self._store.view(scope)).position
            if self._task is None or self._task.done():
                self._position = position
                self._task = asyncio.create_task(self._run())
            yield b"retry: 2000\nid: %d\n\n" % position
            if after is not None and after < position:
                event = await self._event(scope, after)
                if event is not None:
                    yield event
            while True:
                try:
                    yield await asyncio.wait_for(page.queue.get(), BEAT)
                except TimeoutError:
                    yield b": beat\n\n"
        finally:
            self._pages.discard(page)
            if not self._pages and self._task is not None:
                self._task.cancel()
                self._task = None

    async def close(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.look()
            except TriforiumError:
                # A store that is busy or away is looked at again.
                continue
            except Exception:
                # Whatever it is, the pages go on waiting for news: the next look may do.
                _log.exception("The journal could not be looked at.")

    async def look(self) -> None:
        """Look once, and tell the pages what is new."""
        if not self._pages:
            return
        anyone = min(page.scope for page in self._pages)
        position = (await self._store.view(anyone)).position
        while self._position < position:
            entries = await self._store.journal("", after=self._position, limit=_READ)
            until = entries[-1].position if entries else position
            if len(entries) < _READ:
                until = max(until, position)
            for scope in {page.scope for page in self._pages}:
                visible = set(visible_scopes(scope))
                seen = [one for one in entries if one.changeset.scope in visible]
                if seen:
                    self._tell(scope, seen, until)
            # As many as were asked for: what comes after them is read next.
            self._position = until

    def _tell(self, scope: str, entries: list[JournalEntry], position: int) -> None:
        body = _encoded(_event_of(entries, position, more=False))
        for page in self._pages:
            if page.scope != scope:
                continue
            missed = page.queue.full()
            if missed:
                # Events hold no state: the page asks again for what it shows.
                page.queue.get_nowait()
            page.queue.put_nowait(
                _encoded(_event_of(entries, position, more=True)) if missed else body
            )

    async def _event(self, scope: str, after: int) -> bytes | None:
        """What happened while a page was away."""
        entries = await self._store.journal(scope, after=after, limit=ENTRIES + 1)
        if not entries:
            return None
        return _encoded(_event_of(list(entries), entries[-1].position, more=len(entries) > ENTRIES))


def _event_of(entries: list[JournalEntry], position: int, *, more: bool) -> Event:
    ids = list(dict.fromkeys(id_ for one in entries for id_ in ids_of(one.changeset)))
    return Event(
        position=position,
        created_at=entries[-1].created_at,
        entries=[journal_line(one) for one in entries[-ENTRIES:]],
        more=more or len(entries) > ENTRIES or len(ids) > IDS,
        ids=ids[:IDS],
    )


def _encoded(event: Event) -> bytes:
    # JSON has no line breaks of its own, so that the data is one line.
    return b"event: change\nid: %d\ndata: %s\n\n" % (
        event.position,
        event.model_dump_json().encode(),
    )
