"""Cosines are the same in every store: they do not depend on how vectors lie in memory."""

from __future__ import annotations

import numpy as np

from triforium.graph.cosines import cosines


def test_values() -> None:
    queries = np.array([[5.0, 0.0], [1.0, 1.0], [0.0, 0.0]], np.float32)
    vectors = np.array([[2.0, 0.0], [0.0, 0.0], [-1.0, 0.0]], np.float32)
    assert cosines(queries, vectors) == [
        (1.0, 0.707106781, 0.0),
        (0.0, 0.0, 0.0),
        (-1.0, -0.707106781, 0.0),
    ]
    assert cosines(queries, vectors[:0]) == []


def test_the_same_alone_and_among_others() -> None:
    random = np.random.default_rng(3)
    queries = random.standard_normal((3, 256)).astype(np.float32)
    vectors = random.standard_normal((200, 256)).astype(np.float32)
    together = cosines(queries, vectors)
    for number in range(len(vectors)):
        shifted = np.zeros((1, 257), np.float32)[:, 1:]
        shifted[0] = vectors[number]
        assert cosines(queries, shifted) == [together[number]]
        assert [one[0] for one in cosines(queries[:1], vectors)][number] == together[number][0]
