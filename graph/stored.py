"""Receipts and journal entries from the columns that every store keeps of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from .changes import Changeset, op_from_json
from .store import JournalEntry, StoredReceipt


def receipt_of(row: Sequence[Any]) -> StoredReceipt:
    """A receipt from its columns: id, scope, run, trial, role, position, created_at, body."""
    return StoredReceipt(
        id=row[0],
        scope=row[1],
        run=row[2],
        trial=row[3],
        role=row[4],
        position=row[5],
        created_at=datetime.fromisoformat(row[6]),
        body=json.loads(row[7]),
    )


def entry_of(row: Sequence[Any]) -> JournalEntry:
    """An entry of the journal from its columns.

    They are position, id, scope, actor, reason, base, created_at, ops and before.
    """
    return JournalEntry(
        position=row[0],
        changeset=Changeset(
            id=row[1],
            scope=row[2],
            actor=row[3],
            reason=row[4],
            base=row[5],
            ops=tuple(op_from_json(op) for op in json.loads(row[7])),
        ),
        created_at=datetime.fromisoformat(row[6]),
        before=tuple(json.loads(row[8])),
    )
