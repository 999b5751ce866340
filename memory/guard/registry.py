"""Guards by name."""

from __future__ import annotations

from collections.abc import Callable

from ...errors import InvalidInput
from .interface import Guard, OpenGuard


def _consensus() -> Guard:
    from .consensus import ConsensusGuard

    return ConsensusGuard()


GUARDS: dict[str, Callable[[], Guard]] = {"consensus": _consensus, "none": OpenGuard}


def get_guard(guard: str | Guard | None) -> Guard:
    """The guard of that name, or the one given; one that lets everything pass for None.

    Raises:
        InvalidInput: There is no guard of that name.
    """
    if guard is None:
        return OpenGuard()
    if not isinstance(guard, str):
        return guard
    if guard not in GUARDS:
        raise InvalidInput(
            f"There is no guard {guard!r}; there is {', '.join(GUARDS)}.", guard=guard
        )
    return GUARDS[guard]()


def guard_name(guard: Guard) -> str:
    """What the journal calls a guard, as the actor of what it puts into quarantine."""
    return f"guard:{type(guard).__name__}"
