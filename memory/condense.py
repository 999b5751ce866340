"""From a recorded trial to its core: the steps that its outcome depended on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .entities import Action, kinds_in, mentions, parse_action
from .recall import Case, CaseStep

LONGEST_FAILURE = 8
"""Steps of a failed trial that are kept."""


def condense(case: Case, dull: frozenset[str] = frozenset()) -> Case:
    """The case without the steps that nothing later depended on.

    Going back from the last step, a step of a success is kept if

    - its action deals with a thing that a later kept action deals with, or brings together
      something that the task names with another thing, or is one that was done to nothing but
      things that the task names, or
    - its observation is the last before a kept action to mention a thing of that action: there it
      was found.

    So what was looked at in vain is dropped, and what was found, fetched and used stays, in order;
    of several equal steps in a row only the last does. What was undone is dropped first.
    Utterances, which have no action, stay. Of a failure the last different steps are kept that
    brought something the task names together with something else: what was done in vain.

    Args:
        case: With all its steps.
        dull: Templates of actions of which nothing ever comes.
    """
    if not any(step.action for step in case.steps):
        return case
    if not case.outcome.succeeded:
        return replace(case, steps=_vain(case))
    acted = [step for step in case.steps if step.action]
    numbered = sum(bool(mentions(step.action)) for step in acted)
    if mentions(case.task) or 2 * numbered < len(acted):
        # Where the goal names single things, or actions name things without numbers, kinds tell
        # nothing: any of the steps may be needed.
        return case
    last = max(number for number, step in enumerate(case.steps) if step.action)
    steps = [
        step
        for number, step in enumerate(case.steps)
        if number == last or parse_action(step.action).template not in dull
    ]
    return replace(case, steps=_core(replace(case, steps=_without_undone(steps))))


def _vain(case: Case) -> tuple[CaseStep, ...]:
    actions = [parse_action(step.action) for step in case.steps]
    named = set(
        kinds_in(case.task, frozenset(thing.kind for one in actions for thing in one.things))
    )
    made: dict[str, CaseStep] = {}
    for step, action in zip(reversed(case.steps), reversed(actions), strict=True):
        if len(action.things) > 1 and any(thing.kind in named for thing in action.things):
            made.setdefault(action.text, step)
    kept = list(made.values())[:LONGEST_FAILURE] or list(reversed(case.steps))[:LONGEST_FAILURE]
    return tuple(reversed(kept))


def _without_undone(steps: Sequence[CaseStep]) -> tuple[CaseStep, ...]:
    """Drop what leads back to the same action, and what was only taken up and put back."""
    left = list(steps)
    number = 0
    while number < len(left):
        action = parse_action(left[number].action)
        again = number
        if len(action.things) > 1:
            for later in range(number + 1, len(left)):
                other = parse_action(left[later].action)
                if other.text == action.text:
                    again = later
                elif not set(other.things) <= set(action.things):
                    break
        del left[number:again]
        number += 1
    return tuple(_without_put_back(left))


def _without_put_back(steps: Sequence[CaseStep]) -> list[CaseStep]:
    """Drop the steps with a thing that was taken from one place, put back, and not used."""
    actions = [parse_action(step.action) for step in steps]
    drop: set[str] = set()
    for thing in dict.fromkeys(one.things[0] for one in actions if len(one.things) > 1):
        made = [one for one in actions if len(one.things) > 1 and thing in one.things]
        if len(made) == 2 and made[0].things == made[1].things and made[0] != made[1]:
            drop.add(thing.name)
    last = next((one for one in reversed(actions) if one.text), None)
    return [
        step
        for step, action in zip(steps, actions, strict=True)
        if action is last or not action.things or action.things[0].name not in drop
    ]


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
        is_last = not any(other.action for other in kept)
        if not is_last and not about and not things & needed and not found:
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
