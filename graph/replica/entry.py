"""A record that is kept in memory."""

from __future__ import annotations

from dataclasses import dataclass

from ..records import Record


@dataclass(frozen=True, slots=True)
class Entry:
    """A record, and what decides who sees it.

    Attributes:
        record: With its present counters.
        scope: Number of its scope.
        visible_from: Position; None while its trial is open.
    """

    record: Record
    scope: int
    visible_from: int | None
