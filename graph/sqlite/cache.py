"""Records that were decoded before, so that the same ones need not be decoded at every recall."""

from __future__ import annotations

from ..records import Record

LARGEST = 50_000
"""Records that are kept at most."""
LONGEST_TEXT = 4096
"""A record with more text is not kept."""


class RecordCache:
    """Records of the present by number. Safe for threads: each call is one step on a dictionary.

    A record is taken only if it is at the revision that the tables say; what changes without a
    revision, its counters, is compared and put right by who takes it.
    """

    def __init__(self) -> None:
        self._records: dict[int, Record] = {}

    def get(self, number: int, id_: str, revision: int) -> Record | None:
        """The record, if it is known at this revision."""
        record = self._records.get(number)
        if record is None or record.revision != revision or record.id != id_:
            return None
        return record

    def put(self, number: int, record: Record) -> None:
        """Keep a record."""
        if len(record.text) > LONGEST_TEXT:
            return
        if len(self._records) >= LARGEST:
            self._records = {}
        self._records[number] = record

    def clear(self) -> None:
        """Forget all."""
        self._records = {}
