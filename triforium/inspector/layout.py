"""Where records lie: three storeys, one above the other, the same for the same memory.

Trials are ordered by topic, then by time. Insights lie above the middle of the trials that support
them, steps below their trial. Each storey fills some rows, so that nothing lies on anything else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

DEPTH = 0.3
"""Half the height of a storey."""
_ROWS_FROM = 60
"""Records of one row before there are two."""


def place(ordered: Sequence[str], storey: int) -> dict[str, tuple[float, float]]:
    """Spread records over a storey, column by column.

    Args:
        ordered: Their ids, from left to right.
        storey: 0 for interactions, 1 for queries, 2 for insights.

    Returns:
        x from 0 to 1 and y around the storey, by id.
    """
    count = len(ordered)
    rows = max(1, round(math.sqrt(count / _ROWS_FROM) * 2)) if count > _ROWS_FROM else 1
    columns = math.ceil(count / rows) if count else 1
    found = {}
    for number, id_ in enumerate(ordered):
        column, row = divmod(number, rows)
        x = (column + 0.5) / columns
        # Every other column is lower by half a row: labels get more room.
        offset = 0.0 if rows == 1 else ((row + 0.5 * (column % 2)) / (rows - 0.5)) - 0.5
        found[id_] = (round(x, 5), round(storey + 2 * DEPTH * offset, 5))
    return found


def by_middle(
    ids: Sequence[str], near: Mapping[str, Sequence[str]], places: Mapping[str, tuple[float, float]]
) -> list[str]:
    """Order records by the mean x of those they are linked to; those without any come last."""

    def middle(id_: str) -> float:
        known = [places[other][0] for other in near.get(id_, ()) if other in places]
        return math.fsum(known) / len(known) if known else 2.0

    return [id_ for _, id_ in sorted((middle(id_), id_) for id_ in ids)]
