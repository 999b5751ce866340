"""Products of small matrices, without waking other threads."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

AT_ONCE = 100_000
"""Multiplications of which numpy's linear algebra does not yet share the work out to threads."""
_Matrix: TypeAlias = NDArray[np.floating[Any] | np.bool_]


def product(left: _Matrix, right: _Matrix) -> NDArray[np.float64]:
    """The product of two matrices, some rows at a time.

    Threads that help with a product of some tens of microseconds go on spinning for milliseconds.

    Args:
        left: Shape (n, k).
        right: Shape (k, m).

    Returns:
        Shape (n, m).
    """
    rows = max(1, AT_ONCE // max(1, right.size))
    found = np.empty((len(left), right.shape[1]))
    for start in range(0, len(left), rows):
        np.matmul(left[start : start + rows], right, out=found[start : start + rows])
    return found
