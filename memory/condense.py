"""From a recorded trial to its core: the steps that its outcome depended on."""

from __future__ import annotations

from dataclasses import replace

from .entities import parse_action
from .recall import Case, CaseStep

LONGEST_FAILURE = 12
"""Steps of a failed trial that are kept, the last ones: where it went wrong."""


def condense(case: Case) -> Case:
    """The case without the steps that nothing later depended on.

    A step of a success is kept if it deals with a thing that a later kept step deals with, going
    back from the last; of several equal ones only the last is. So what was looked at in vain is
    dropped, and what was found, fetched and used stays. Utterances, which have no action, stay.
    Of a failure the last steps are kept.
    """
    if not any(step.action for step in case.steps):
        return case
    if not case.outcome.succeeded:
        return replace(case, steps=case.steps[-LONGEST_FAILURE:])
    return replace(case, steps=_core(case.steps))


def _core(steps: tuple[CaseStep, ...]) -> tuple[CaseStep, ...]:
    kept: list[CaseStep] = []
    needed: set[str] = set()
    for step in reversed(steps):
        things = {thing.name for thing in parse_action(step.action).things}
        if not step.action:
            kept.append(step)
            continue
        if kept and things and not things & needed:
            continue
        if kept and not things:
            continue
        if len(things) == 1 and _repeats(step, kept):
            continue
        kept.append(step)
        needed |= things
    return tuple(reversed(kept))


def _repeats(step: CaseStep, kept: list[CaseStep]) -> bool:
    """Whether the next kept steps that deal with the same thing begin with the same action."""
    thing = parse_action(step.action).things[0].name
    for later in reversed(kept):
        names = [other.name for other in parse_action(later.action).things]
        if later.action == step.action:
            return True
        if len(names) > 1 or thing not in names:
            return False
    return False
