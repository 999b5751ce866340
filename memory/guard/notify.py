"""An event for each quarantine, to listeners of this process and to a URL that a user gives."""

from __future__ import annotations

import json
import logging
import queue
import threading
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ...errors import InvalidInput
from ...graph import JSON, HoldState

_log = logging.getLogger(__name__)
TIMEOUT = 3.0
"""Seconds that one delivery may take."""
HUNG = 4
"""Deliveries that were given up and have not ended; while there are as many, none is tried."""
WAITING = 64
"""Events that wait for delivery at most; further ones are dropped, and counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineEvent:
    """A record came into quarantine, left it, or was confirmed to belong there.

    It holds no text of the record and no address of the store, so that neither can leak.

    Attributes:
        record: Its id.
        scope: Its scope.
        source: Who wrote it.
        what: "quarantined", "confirmed" or "released".
        reason: Why.
        dissenters: Ids of the records that speak against it.
        actor: Who did it: a source, or a guard.
        state: Suspected or confirmed; None when released.
        position: Of the journal.
    """

    record: str
    scope: str
    source: str
    what: str
    reason: str
    dissenters: tuple[str, ...] = ()
    actor: str = ""
    state: HoldState | None = None
    position: int = 0

    def to_json(self) -> dict[str, JSON]:
        """The body of the webhook."""
        return {
            "event": f"triforium.guard.{self.what}",
            "version": 1,
            "record": self.record,
            "scope": self.scope,
            "source": self.source,
            "reason": self.reason,
            "dissenters": list(self.dissenters),
            "actor": self.actor,
            "state": None if self.state is None else self.state.value,
            "position": self.position,
        }


Listener = Callable[[QuarantineEvent], object]


@dataclass(slots=True)
class Notifier:
    """Tells listeners at once, and a URL from a thread of its own. Nothing it does fails a run.

    Attributes:
        url: Where each event is posted as JSON, "" for nowhere.
        listeners: Called with each event; what they raise is logged.
        delivered: Number of events the URL took.
        failed: Number of events it did not take in time.
        dropped: Number of events that found too many waiting.
    """

    url: str = ""
    listeners: list[Listener] = field(default_factory=list)
    delivered: int = 0
    failed: int = 0
    dropped: int = 0
    _waiting: queue.Queue[QuarantineEvent | None] = field(
        default_factory=lambda: queue.Queue(WAITING)
    )
    _thread: threading.Thread | None = None

    def __post_init__(self) -> None:
        if self.url:
            check_webhook(self.url)

    def tell(self, events: Iterable[QuarantineEvent]) -> None:
        """Pass events on; never blocks, never raises."""
        for event in events:
            _log.info("record %s was %s: %s", event.record, event.what, event.reason)
            for listener in tuple(self.listeners):
                try:
                    listener(event)
                except Exception:
                    _log.exception("a listener of the guard failed")
            if self.url:
                self._post_later(event)

    def _post_later(self, event: QuarantineEvent) -> None:
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._deliver, name="triforium-webhook", daemon=True
            )
            self._thread.start()
        try:
            self._waiting.put_nowait(event)
        except queue.Full:
            self.dropped += 1

    def _deliver(self) -> None:
        hung: list[threading.Thread] = []
        while (event := self._waiting.get()) is not None:
            hung = [one for one in hung if one.is_alive()]
            failures: list[str] = []
            if len(hung) < HUNG:
                # The timeout of a socket holds for each read; a slow answer is many of them.
                trying = threading.Thread(
                    target=_try, args=(self.url, event, failures), daemon=True
                )
                trying.start()
                trying.join(TIMEOUT)
                if trying.is_alive():
                    hung.append(trying)
                    failures = ["TimeoutError"]
            else:
                failures = ["earlier deliveries hang"]
            if failures:
                self.failed += 1
                _log.warning("the webhook of the guard failed: %s", failures[0])
            else:
                self.delivered += 1

    def close(self, timeout: float = 2 * TIMEOUT) -> None:
        """Let what waits be delivered, for so many seconds at most. Blocks."""
        if self._thread is None:
            return
        try:
            self._waiting.put(None, timeout=timeout)
        except queue.Full:
            return
        self._thread.join(timeout)
        self._thread = None


def check_webhook(url: str) -> str:
    """Return a URL that events can be posted to.

    Raises:
        InvalidInput: It is no http or https URL.
    """
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        whole = False
    if not whole:
        # The URL may hold a token of its own: it is not repeated.
        raise InvalidInput("A webhook has a URL like https://host/path.")
    return url


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """An event goes where the user said, and nowhere else."""

    def redirect_request(self, *_: object) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)


def _try(url: str, event: QuarantineEvent, failures: list[str]) -> None:
    try:
        _post(url, event)
    except Exception as error:
        # The URL may hold a token of its own: only its kind of failure is told.
        failures.append(type(error).__name__)


def _post(url: str, event: QuarantineEvent) -> None:
    body = json.dumps(event.to_json()).encode()
    request = urllib.request.Request(
        url, data=body, headers={"Content-Type": "application/json"}, method="POST"
    )
    with _opener.open(request, timeout=TIMEOUT) as answer:
        answer.read(1024)
