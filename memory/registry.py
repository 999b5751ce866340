"""Strategies by name."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import InvalidInput
from .baselines import FlatSimilarity, NoMemory, RecentContext
from .hierarchical import Hierarchical
from .strategy import Strategy

STRATEGIES: dict[str, Callable[[], Strategy]] = {
    "hierarchical": Hierarchical,
    "exprag": FlatSimilarity,
    "context": RecentContext,
    "none": NoMemory,
}


def get_strategy(name: str | Strategy) -> Strategy:
    """The strategy of that name, or the one given.

    Raises:
        InvalidInput: There is no strategy of that name.
    """
    if not isinstance(name, str):
        return name
    if name not in STRATEGIES:
        raise InvalidInput(
            f"There is no strategy {name!r}; there is {', '.join(STRATEGIES)}.", strategy=name
        )
    return STRATEGIES[name]()
