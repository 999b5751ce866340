"""Insights from a trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .recall import Case


@dataclass(frozen=True, slots=True)
class MinedRule:
    """What one trial says that may generalise."""

    form: str
    text: str
    data: Mapping[str, Any]
    holds: bool = True


def mine(case: Case) -> Sequence[MinedRule]:
    """Nothing yet."""
    return ()
