"""`Trial`: an attempt at a task while it is open; and the credit its outcome gives."""

from __future__ import annotations

import asyncio
import getpass
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..errors import InvalidInput
from ..graph import AddCredit, Op, Outcome, Record, Tier
from .recall import Recall

MAX_TEXT = 1_000_000
"""Longest text of a record, in characters."""


@dataclass(slots=True, eq=False)
class Trial:
    """One open attempt at a task. Made by `Memory.begin`.

    Attributes:
        record: Its QUERY record.
        steps: Number of steps recorded so far.
        last: Id of the last step.
        used: Ids of recalled records that agents said they acted on.
        refused: Why nothing of it is recorded, "" if all is.
    """

    record: Record
    steps: int = 0
    last: str = ""
    used: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    refused: str = ""

    @property
    def id(self) -> str:
        """Id of the QUERY record."""
        return self.record.id

    @property
    def task(self) -> str:
        """The task, in words."""
        return self.record.text

    @property
    def run(self) -> str:
        """The workflow execution it belongs to."""
        return self.record.provenance.run


def default_source() -> str:
    """The principal of this process: the user of the operating system at this host."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def credits(receipts: Sequence[Recall], used: frozenset[str], outcome: Outcome) -> list[Op]:
    """One CREDIT per served record: used, and, where agents acted on it, helped or hurt.

    If no agent said what it acted on, everything that was served shares the outcome.
    """
    value = outcome.value
    if value is None:
        return []
    ops: list[Op] = []
    for receipt in receipts:
        for item in receipt.items:
            if item.record.tier is Tier.INTERACTION:
                continue
            acted_on = not used or item.record.id in used
            ops.append(
                AddCredit(
                    id=item.record.id,
                    role=receipt.role or "any",
                    receipt=receipt.receipt,
                    uses=1.0,
                    helped=value if acted_on else 0.0,
                    hurt=1.0 - value if acted_on else 0.0,
                )
            )
    return ops


def checked(text: str) -> str:
    """Return `text` when it is short enough for a record.

    Raises:
        InvalidInput: It is longer than `MAX_TEXT`.
    """
    if len(text) > MAX_TEXT:
        raise InvalidInput(
            f"A record may hold {MAX_TEXT:,} characters, this one has {len(text):,}. "
            "Store a summary, or split it.",
            length=len(text),
        )
    return text
