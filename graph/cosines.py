"""Cosines that every store gives alike, to the last bit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .store import Vectors

DIGITS = 9
"""To which cosines are rounded: far above what the order of adding changes in a double."""


def cosines(queries: Vectors, vectors: Vectors) -> list[tuple[float, ...]]:
    """The cosine of each vector with each query; 0 where either has the length zero.

    In single precision how a matrix lies in memory decides the last bits of a sum, and a tie
    between two records may then end one way here and the other way there.

    Args:
        queries: Shape (n, width).
        vectors: Shape (m, width).

    Returns:
        For each of the m vectors n values in [-1, 1].
    """
    left, right = queries.astype(np.float64), vectors.astype(np.float64)
    lengths = np.outer(np.linalg.norm(right, axis=1), np.linalg.norm(left, axis=1))
    products = np.einsum("mw,nw->mn", right, left)
    found = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    rounded: Sequence[Sequence[float]] = np.clip(found, -1.0, 1.0).round(DIGITS).tolist()
    return [tuple(row) for row in rounded]
