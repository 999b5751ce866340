"""Products of small matrices are those of numpy."""

from __future__ import annotations

import numpy as np
import pytest

from triforium.memory.guard import products
from triforium.memory.guard.products import product


@pytest.mark.parametrize("shape", [(0, 3, 2), (1, 1, 1), (7, 5, 3), (20, 0, 4), (9, 4, 0)])
@pytest.mark.parametrize("at_once", [1, 40, 100_000])
def test_product(
    shape: tuple[int, int, int], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "AT_ONCE", at_once)
    random = np.random.default_rng(1)
    left, right = random.random(shape[:2]), random.random(shape[1:])
    assert product(left, right) == pytest.approx(left @ right)
    assert product(left > 0.5, right) == pytest.approx((left > 0.5) @ right)
