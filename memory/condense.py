"""From a recorded trial to its core: the steps that its outcome depended on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .entities import Action, kinds_in, mentions, parse_action
from .recall import Case, CaseStep

LONGEST_FAILURE = 4
"""Steps of a failed trial that are kept, the last ones: where it went wrong."""


def condense(case: Case) -> Case:
    """The case without the steps that nothing later depended on.

    Going back from the last step, a step of a success is kept if

    - its action deals with a thing that a later kept action deals with, or brings together
      something that the task names with another thing, or is one that was done to nothing but
      things that the task names, or
    - its observation is the last before a kept action to mention a thing of that action: there it
      was found.

    So what was looked at in vain is dropped, and what was found, fetched and used stays, in order;
    of several equal steps in a row only the last does. Utterances, which have no action, stay. Of
    a failure the last steps are kept.
    """
    if not any(step.action for step in case.steps):
        return case
    if not case.outcome.succeeded:
        return replace(case, steps=case.steps[-LONGEST_FAILURE:])
    return replace(case, steps=_core(case))


def _core(case: Case) -> tuple[CaseStep, ...]:
    actions = [parse_action(step.action) for step in case.steps]
    named = set(
        kinds_in(case.task, frozenset(thing.kind for one in actions for thing in one.things))
    )
    # What was done to nothing but things that the task names was not done to find them.
    meant = {one.template for one in actions if one.things} - {
        one.template for one in actions if any(thing.kind not in named for thing in one.things)
    }
    kept: list[CaseStep] = []
    needed: set[str] = set()
    sought: set[str] = set()
    for step, action in zip(reversed(case.steps), reversed(actions), strict=True):
        if not step.action:
            kept.append(step)
            continue
        things = {thing.name for thing in action.things}
        about = len(things) > 1 and any(thing.kind in named for thing in action.things)
        about = about or (action.template in meant and not things & needed)
        found = {thing.name for thing in mentions(step.observation)} & sought
        if kept and not about and not things & needed and not found:
            continue
        if len(things) == 1 and not found and _repeats(step, kept):
            continue
        kept.append(step)
        sought -= found
        sought |= things - needed
        needed |= things
    return tuple(reversed(kept))


def reduced(task: str, actions: Sequence[str], templates: Sequence[str]) -> list[str]:
    """The actions without those that deal with what the task names but are not of a plan.

    Args:
        task: In words.
        actions: In order.
        templates: Of the plan's steps, in order; if it is not within the actions, they all stay.
    """
    parsed = [parse_action(action) for action in actions]
    named = set(kinds_in(task, frozenset(thing.kind for one in parsed for thing in one.things)))
    kept: list[Action] = []
    left = list(templates)
    for action in reversed(parsed):
        leads = len(action.things) == 1 and bool(kept) and action.things[0] in kept[-1].things
        about = len(action.things) == 1 or any(thing.kind in named for thing in action.things)
        if left and action.template == left[-1]:
            left.pop()
            kept.append(action)
        elif leads or not about:
            kept.append(action)
    return list(actions) if left or not templates else [one.text for one in reversed(kept)]


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
