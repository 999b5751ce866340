"""The errors of triforium, one tree.

::

    TriforiumError
    ├── InvalidInput            what was given cannot be used
    │   ├── InvalidURL
    │   ├── InvalidScope
    │   ├── InvalidTask         a line of a task stream
    │   ├── InvalidGame         a file that is no game
    │   ├── NotAdmitted         the guard or the admission refuses what was to be written
    │   ├── NotAllowed          a viewer asked for what only a curator may do
    │   └── MissingExtra        an optional dependency is not installed
    ├── StoreError
    │   ├── NotAStore           the file or server holds something else
    │   ├── VersionMismatch     written by a version this one may not touch
    │   ├── StoreClosed
    │   ├── NotFound            also: exists, but outside the caller's scope
    │   ├── IdConflict          the id is taken by other content
    │   ├── Frozen              the scope takes no records for now
    │   ├── Conflict            the record changed since it was read   (retryable)
    │   ├── Busy                another writer holds the store         (retryable)
    │   └── Unavailable         the server cannot be reached           (retryable)
    ├── BusError
    │   ├── DeliveryFailed      all attempts were used up
    │   ├── DeadlineExceeded
    │   ├── WindowFull          the receiver takes no more for now     (retryable)
    │   └── HandlerError        the agent itself raised
    ├── ModelError
    │   ├── ModelUnavailable    network, rate limit, server error      (retryable)
    │   ├── ModelRejected       the server refuses this request
    │   └── InvalidModelOutput  the reply does not fit the schema
    ├── WorldError
    │   └── ReplayMismatch      a replayed action gave another observation
    └── WorkflowError
        └── UnfinishedEffect    an effect began and its result is unknown

Every error says what happened and what to do, keeps the facts as attributes, and knows whether
trying again can help (`retryable`).
"""

from __future__ import annotations

from typing import Any, ClassVar


class TriforiumError(Exception):
    """Base of all errors that triforium raises on purpose.

    Args:
        message: One or two sentences: what happened, and what to do about it.
        **facts: What the message was made from; each becomes an attribute.
    """

    retryable: ClassVar[bool] = False

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts
        for name, value in facts.items():
            setattr(self, name, value)


class InvalidInput(TriforiumError, ValueError):
    """Something that was passed in cannot be used."""


class InvalidURL(InvalidInput):
    """A store, bus or model URL cannot be understood."""


class InvalidScope(InvalidInput):
    """A scope is not a path of plain names."""


class InvalidTask(InvalidInput):
    """A line of a task stream is not a task."""


class InvalidGame(InvalidInput):
    """A file is not a game that the world can load."""


class NotAdmitted(InvalidInput):
    """What was to be written is refused; `rule` names what refuses it, `reason` says why."""


class NotAllowed(InvalidInput):
    """A viewer asked for what only a curator may do."""


class MissingExtra(InvalidInput):
    """A feature needs an optional dependency that is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs an optional dependency: pip install 'triforium[{extra}]'.",
            feature=feature,
            extra=extra,
        )


class StoreError(TriforiumError):
    """Base of what a store raises."""


class NotAStore(StoreError):
    """The file or server holds something that is not a triforium store."""


class VersionMismatch(StoreError):
    """The store names a newer version as the oldest that may use it."""


class StoreClosed(StoreError):
    """The store was used after it was closed."""


class NotFound(StoreError, LookupError):
    """There is no such record, receipt or run in the caller's scope."""


class IdConflict(StoreError):
    """An id is already taken by other content."""


class Frozen(StoreError):
    """The scope, or one around it, is frozen: nothing is recorded until it is unfrozen."""


class Conflict(StoreError):
    """A record changed since the caller read it."""

    retryable = True


class Busy(StoreError):
    """Another writer held the store for too long."""

    retryable = True


class Unavailable(StoreError):
    """The server of the store cannot be reached."""

    retryable = True


class BusError(TriforiumError):
    """Base of what the message bus raises."""


class DeliveryFailed(BusError):
    """A request got no reply within all its attempts; it is a dead letter now."""


class DeadlineExceeded(BusError, TimeoutError):
    """The time left for a request or a run is used up."""


class WindowFull(BusError):
    """The receiver has as many unanswered requests as its window allows."""

    retryable = True


class HandlerError(BusError):
    """An agent raised while it handled a request."""


class ModelError(TriforiumError):
    """Base of what a chat model raises."""


class ModelUnavailable(ModelError):
    """The model cannot be reached now: network, rate limit or server error."""

    retryable = True


class ModelRejected(ModelError):
    """The server refuses the request: key, name, permission or content."""


class InvalidModelOutput(ModelError):
    """A reply does not fit the schema that was asked for."""


class WorldError(TriforiumError):
    """Base of what a task world raises."""


class ReplayMismatch(WorldError):
    """A replayed action gave another observation than the one recorded."""


class WorkflowError(TriforiumError):
    """A workflow is not well formed, or cannot go on."""


class UnfinishedEffect(WorkflowError):
    """An effect began in an earlier attempt and left no result; a person must decide."""
