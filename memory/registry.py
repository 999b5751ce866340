"""Strategies by name."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import InvalidInput
from .baselines import FlatSimilarity, NoMemory, RecentContext
from .gmemory import GMemory
from .hierarchical import ABLATIONS, Hierarchical
from .strategy import Strategy

STRATEGIES: dict[str, Callable[[], Strategy]] = {
    "hierarchical": Hierarchical,
    "gmemory": GMemory,
    "exprag": FlatSimilarity,
    "context": RecentContext,
    "none": NoMemory,
}


def get_strategy(name: str | Strategy) -> Strategy:
    """The strategy of that name, or the one given.

    Args:
        name: Such as "hierarchical", or "hierarchical:no-insights" for the same with a part
            taken out (see `ABLATIONS`).

    Raises:
        InvalidInput: There is no strategy of that name.
    """
    if not isinstance(name, str):
        return name
    base, _, without = name.partition(":")
    if base == Hierarchical.name and without in ABLATIONS:
        return Hierarchical(ABLATIONS[without], name=name)
    if name not in STRATEGIES:
        known = [*STRATEGIES, *(f"{Hierarchical.name}:{part}" for part in ABLATIONS)]
        raise InvalidInput(
            f"There is no strategy {name!r}; there is {', '.join(known)}.", strategy=name
        )
    return STRATEGIES[name]()
