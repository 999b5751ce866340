"""From a trial to its core."""

from __future__ import annotations

from .recall import Case


def condense(case: Case) -> Case:
    """The case without what its outcome did not depend on."""
    return case
