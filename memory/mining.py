"""Insights: what trials say that may hold for others too.

Each insight has a general form, arguments, and evidence: the trials that speak for it and those
that speak against it. The same form and arguments are the same insight whichever trial says so.

- ``found_at``: things of a kind are found at places of a kind.
- ``plan``: goals worded like this are reached by these steps.
- ``precedes``: on a thing, one action comes before another.
- ``achieves``: an action brings about what a word of the goal asks for, or what the world says.
- ``reveals``: an action shows things that were not seen before.
- ``never_works``: nothing comes of an action.

`mine` reads one trial; `contrast` compares the trials of a cluster: what the successes that share
a word share and the others lack; `judge` says what a trial says about an insight made elsewhere.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..graph import JSON
from .entities import Action, kinds_in, mentions, parse_action
from .recall import Case
from .skeleton import ANY, Skeleton, Slot, Step, skeleton

MIN_CONTRAST = 0.35
"""Least difference in how often an action is part of the successes with and without a word."""
MIN_SHARED = 2
"""Least number of successes with the word."""
USUAL = 0.7
"""Share of an action's uses in which the goal names what stands in a slot, for it to matter."""
LONGEST_PLAN = 12
"""Steps; a longer skeleton is taken as too particular to be an insight."""
LONGEST_CHANGE = 12
"""Words of a sentence that may state a change."""


@dataclass(frozen=True, slots=True)
class MinedRule:
    """What one trial says about an insight.

    Attributes:
        form: The general form, such as "found_at".
        text: The insight in words.
        data: Its arguments by name, plain JSON; form and data identify it.
        holds: Whether the trial speaks for it or against it.
    """

    form: str
    text: str
    data: Mapping[str, Any]
    holds: bool = True


@dataclass(frozen=True, slots=True)
class Judged:
    """A trial with a known outcome, as mining reads it.

    Attributes:
        id: Of its QUERY record.
        task: Its goal, in words.
        won: Whether it succeeded.
        actions: What a success depended on (see `condense`); of a failure, all of them.
        skeleton: Of `task` and `actions`.
    """

    id: str
    task: str
    won: bool
    actions: tuple[str, ...]
    skeleton: Skeleton = field(compare=False)

    @classmethod
    def of(cls, id_: str, task: str, won: bool, actions: Sequence[str]) -> Judged:
        """Of a trial's goal, outcome and actions."""
        return cls(id_, task, won, tuple(actions), skeleton(task, actions))

    @property
    def templates(self) -> frozenset[str]:
        """Of its steps that deal with what the goal names."""
        return frozenset(step.template for step in self.skeleton.steps)


# --- one trial ------------------------------------------------------------------------------------


def mine(trial: Judged, case: Case) -> tuple[MinedRule, ...]:
    """The insights that one trial speaks for or against, each once.

    Args:
        trial: The trial.
        case: The same with all its steps and observations.
    """
    effects = _effects(case)
    rules = [
        *_found_at(trial, case),
        *_precedes(trial),
        *_what_works(trial, effects),
        *_changes(case),
    ]
    found: dict[tuple[str, str], MinedRule] = {}
    for rule in rules:
        key = (rule.form, repr(sorted(rule.data.items())))
        if key not in found or rule.holds:
            found[key] = rule
    return tuple(found.values())


def _found_at(trial: Judged, case: Case) -> Iterator[MinedRule]:
    """Where things were seen; and where what the goal names was looked for in vain."""
    seen: set[tuple[str, str]] = set()
    places: set[str] = set()
    for step in case.steps:
        done = parse_action(step.action).things if step.action else ()
        if len(done) != 1:
            # With two things in it an action says where one is put, not where it is found.
            continue
        place = done[0].kind
        around = [thing.kind for thing in mentions(step.observation) if thing.kind != place]
        if around:
            places.add(place)
        seen |= {(kind, place) for kind in around}
    yield from (_rule_found_at(thing, place) for thing, place in sorted(seen))
    found = {thing for thing, _ in seen}
    for thing in trial.skeleton.kinds or tuple(kinds_in(case.task, frozenset(found))):
        for place in sorted(places):
            if thing != place and (thing, place) not in seen:
                yield _rule_found_at(thing, place, holds=False)


def _rule_found_at(thing: str, place: str, *, holds: bool = True) -> MinedRule:
    return MinedRule(
        "found_at", f"{thing} is found at {place}", {"thing": thing, "place": place}, holds
    )


def _precedes(trial: Judged) -> Iterator[MinedRule]:
    """Per thing that the goal names, which action of a success came right before which."""
    if trial.won:
        for first, then in sorted(_orders(trial)):
            yield MinedRule(
                "precedes",
                f"'{_spoken(first)}' comes before '{_spoken(then)}'",
                {"first": first, "then": then},
            )


def _orders(trial: Judged) -> set[tuple[str, str]]:
    last: dict[tuple[int, int], str] = {}
    orders = set()
    for step in trial.skeleton.steps:
        if not step.slots or not step.slots[0].goal:
            continue
        thing = (step.slots[0].goal, step.slots[0].which)
        if thing in last and last[thing] != step.template:
            orders.add((last[thing], step.template))
        last[thing] = step.template
    return orders


def plan_rule(pattern: str, steps: Sequence[Step]) -> MinedRule:
    """The insight that goals of this pattern are reached by these steps."""
    told = "; ".join(str(step) for step in steps)
    return MinedRule(
        "plan",
        f"To {pattern}: {told}",
        {
            "goal": pattern,
            "steps": [
                [step.template, *([slot.goal, slot.which, slot.kind] for slot in step.slots)]
                for step in steps
            ],
        },
    )


def plan_steps(data: Mapping[str, Any]) -> tuple[Step, ...]:
    """The steps of a ``plan`` insight; () if its data is not of that form."""
    steps: list[Step] = []
    raw = data.get("steps")
    for row in raw if isinstance(raw, list | tuple) else ():
        if not isinstance(row, list | tuple) or not row or not isinstance(row[0], str):
            return ()
        slots = []
        for slot in row[1:]:
            if not isinstance(slot, list | tuple) or [type(one) for one in slot] != [int, int, str]:
                return ()
            if slot[0] < 0 or slot[1] < 0:
                return ()
            slots.append(Slot(*slot))
        steps.append(Step(row[0], tuple(slots)))
    return tuple(steps)


def _what_works(trial: Judged, effects: Mapping[str, tuple[int, int]]) -> Iterator[MinedRule]:
    """Per action without its things: whether it showed anything, or was of any use."""
    core = {parse_action(text).template for text in trial.actions} if trial.won else set()
    for template, (times, showed) in sorted(effects.items()):
        if template.count("_") <= 1:
            yield MinedRule(
                "reveals",
                f"'{_spoken(template)}' shows what is there",
                {"action": template},
                showed > 0,
            )
        useless = showed == 0 and template not in core
        if useless and (times > 1 or not trial.won) and template.count("_") <= 1:
            yield MinedRule(
                "never_works", f"nothing comes of '{_spoken(template)}'", {"action": template}
            )


def _effects(case: Case) -> dict[str, tuple[int, int]]:
    """Per template, how often it was done and how often it showed things not seen before."""
    known: set[str] = set()
    effects: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for step in case.steps:
        fresh = {thing.name for thing in mentions(step.observation)} - known
        known |= fresh
        if step.action:
            action = parse_action(step.action)
            fresh -= {thing.name for thing in action.things}
            known |= {thing.name for thing in action.things}
            effects[action.template][0] += 1
            effects[action.template][1] += bool(fresh)
    return {template: (times, showed) for template, (times, showed) in effects.items()}


def _changes(case: Case) -> Iterator[MinedRule]:
    """What the world said of the things of an action when it was done."""
    said: dict[tuple[str, str], int] = Counter()
    for step in case.steps:
        action = parse_action(step.action)
        if len(action.things) < 1:
            continue
        for change in changes(action, step.observation):
            said[action.template, change] += 1
    for (template, change), _ in sorted(said.items()):
        yield MinedRule(
            "achieves",
            f"'{_spoken(template)}' makes it so that {spoken_change(change)}",
            {"action": template, "change": change, "by": "world"},
        )


def changes(action: Action, observation: str) -> tuple[str, ...]:
    """The sentences of an observation that speak of an action's things alone, with the things
    numbered as they stand in the action, such as "{0} is at {1}"."""
    found = []
    for sentence in sentences(observation):
        template = lift_sentence(sentence, [thing.name for thing in action.things])
        if template is not None and "{" in template:
            found.append(template)
    return tuple(dict.fromkeys(found))


def sentences(text: str) -> tuple[str, ...]:
    """The sentences of a text, in lower case and without their full stops."""
    parts = (part.strip().lower() for line in text.split("\n") for part in line.split(". "))
    return tuple(part.rstrip(".") for part in parts if part)


def lift_sentence(sentence: str, names: Sequence[str]) -> str | None:
    """A sentence with the named things numbered; None if it names others or is long."""
    if len(sentence.split()) > LONGEST_CHANGE:
        return None
    parsed = parse_action(sentence)
    if any(thing.name not in names for thing in parsed.things):
        return None
    parts = parsed.template.split("_")
    lifted = parts[0]
    for thing, rest in zip(parsed.things, parts[1:], strict=False):
        lifted += f"{{{names.index(thing.name)}}}{rest}"
    return lifted


def spoken_change(change: str) -> str:
    """A change in words."""
    return change.replace("{0}", "(1)").replace("{1}", "(2)").replace("{2}", "(3)")


def _spoken(template: str) -> str:
    """A template in words: its slots as dots."""
    return template.replace("_", "...")


# --- a cluster of trials --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Contrast:
    """An insight from comparing trials, with the trials that speak for and against it."""

    rule: MinedRule
    supports: tuple[str, ...]
    refutes: tuple[str, ...]


def contrast(trial: Judged, others: Sequence[Judged]) -> tuple[Contrast, ...]:
    """What a trial and those like it say together.

    Args:
        trial: One trial.
        others: Those of its cluster.

    Returns:
        Which action a word of the goal calls for: what successes with the word share and those
        without it lack. And, of a success, its plan: its skeleton with those slots open to any
        kind that others filled otherwise.
    """
    won = [one for one in (trial, *others) if one.won and one.skeleton.steps]
    return (*_words(won), *_plans(trial, won))


def contrast_all(trials: Sequence[Judged]) -> tuple[Contrast, ...]:
    """What all trials together say, each plan once; see `contrast`."""
    won = [one for one in trials if one.won and one.skeleton.steps]
    plans: dict[tuple[str, tuple[Step, ...]], list[str]] = {}
    for trial, general in zip(won, _generalised(won), strict=True):
        if len(general) <= LONGEST_PLAN:
            plans.setdefault((trial.skeleton.pattern, general), []).append(trial.id)
    return (
        *_words(won),
        *(Contrast(plan_rule(*plan), tuple(alike), ()) for plan, alike in plans.items()),
    )


def calls(trials: Sequence[Judged]) -> dict[tuple[str, str], float]:
    """Per word of a goal and template of an action it calls for, how surely, in [0, 1]."""
    won = [one for one in trials if one.won and one.skeleton.steps]
    return {
        (str(found.rule.data["change"]), str(found.rule.data["action"])): (len(found.supports) + 1)
        / (len(found.supports) + len(found.refutes) + 2)
        for found in _words(won)
    }


def _words(won: Sequence[Judged]) -> Iterator[Contrast]:
    templates = sorted({template for trial in won for template in trial.templates})
    with_word: dict[str, list[Judged]] = defaultdict(list)
    for trial in won:
        for word in trial.skeleton.goal:
            with_word[word].append(trial)
    for word, having in sorted(with_word.items()):
        lacking = [trial for trial in won if word not in trial.skeleton.goal]
        if len(having) < MIN_SHARED or not lacking:
            continue
        for template in templates:
            supports = [trial.id for trial in having if template in trial.templates]
            elsewhere = sum(template in trial.templates for trial in lacking)
            if _share(len(supports), having) - _share(elsewhere, lacking) >= MIN_CONTRAST:
                refutes = [trial.id for trial in having if template not in trial.templates]
                yield Contrast(_calls_for(word, template), tuple(supports), tuple(refutes))


def _share(n: int, of: Sequence[Judged]) -> float:
    """A share by Laplace's rule of succession: of a few, nothing is sure."""
    return (n + 1) / (len(of) + 2)


def _plans(trial: Judged, won: Sequence[Judged]) -> Iterator[Contrast]:
    if trial not in won or len(trial.skeleton.steps) > LONGEST_PLAN:
        return
    general = dict(zip((one.id for one in won), _generalised(won), strict=True))
    alike = tuple(
        one.id
        for one in won
        if one.skeleton.pattern == trial.skeleton.pattern and general[one.id] == general[trial.id]
    )
    yield Contrast(plan_rule(trial.skeleton.pattern, general[trial.id]), alike, ())


def _generalised(won: Sequence[Judged]) -> list[tuple[Step, ...]]:
    """The steps of each success with the slots open that others filled otherwise."""
    uses = _Uses(step for one in won for step in one.skeleton.steps)
    return [uses.open(one.skeleton.steps) for one in won]


def _calls_for(word: str, template: str) -> MinedRule:
    return MinedRule(
        "achieves",
        f"'{_spoken(template)}' achieves what '{word}' in a goal asks for",
        {"action": template, "change": word, "by": "goal"},
    )


def judge(form: str, data: Mapping[str, JSON], trial: Judged, case: Case) -> bool | None:
    """What a trial says about an insight that it did not make itself.

    Args:
        form: Of the insight.
        data: Its arguments.
        trial: The trial.
        case: The same with all its steps and observations.

    Returns:
        True if it speaks for it, False against it, None if it says nothing about it.
    """
    match form:
        case "achieves" if data.get("by") == "goal":
            if not trial.won or data.get("change") not in trial.skeleton.goal:
                return None
            return data.get("action") in trial.templates
        case "precedes":
            return _judge_precedes(str(data.get("first")), str(data.get("then")), trial)
        case "never_works":
            return _judge_never_works(str(data.get("action")), trial, case)
        case "plan":
            return _judge_plan(data, trial)
        case _:
            return None


def _judge_precedes(first: str, then: str, trial: Judged) -> bool | None:
    if not trial.won or then not in trial.templates:
        return None
    return (first, then) in _orders(trial)


def _judge_never_works(template: str, trial: Judged, case: Case) -> bool | None:
    times, showed = _effects(case).get(template, (0, 0))
    if not times:
        return None
    core = {parse_action(text).template for text in trial.actions} if trial.won else set()
    return showed == 0 and template not in core


def _judge_plan(data: Mapping[str, JSON], trial: Judged) -> bool | None:
    """Against a plan speaks who carried it out for such a goal and failed, or did without a part
    of it and succeeded."""
    steps = plan_steps(data)
    mine = trial.skeleton.steps
    if not steps or data.get("goal") != trial.skeleton.pattern:
        return None
    if trial.won:
        return False if len(mine) < len(steps) and within(mine, steps) else None
    return False if within(steps, mine) else None


def within(part: Sequence[Step], whole: Sequence[Step]) -> bool:
    """Whether the steps of a part stand in the whole, in order, others between them."""
    rest = iter(whole)
    return all(any(_same(step, other) for other in rest) for step in part)


def _same(step: Step, other: Step) -> bool:
    """Whether two steps are the same but for the kinds that stand where the goal names none."""
    return (step.template, [slot.goal for slot in step.slots]) == (
        other.template,
        [slot.goal for slot in other.slots],
    )


def generalise(steps: Sequence[Step], others: Iterable[Sequence[Step]]) -> tuple[Step, ...]:
    """Steps with a slot open to any kind where like trials filled it otherwise.

    Args:
        steps: Of one trial.
        others: Those of the successes of its cluster, with its own.
    """
    return _Uses(step for other in others for step in other).open(steps)


class _Uses:
    """What stood in the slots of steps."""

    def __init__(self, steps: Iterable[Step]) -> None:
        self._filled: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
        self._named: Counter[tuple[str, int]] = Counter()
        for step in steps:
            for place, slot in enumerate(step.slots):
                self._filled[step.template, place][slot.kind] += 1
                self._named[step.template, place] += slot.goal > 0

    def open(self, steps: Sequence[Step]) -> tuple[Step, ...]:
        return tuple(
            Step(
                step.template,
                tuple(self._general(step, place, slot) for place, slot in enumerate(step.slots)),
            )
            for step in steps
        )

    def _general(self, step: Step, place: int, slot: Slot) -> Slot:
        uses = self._filled[step.template, place]
        usual = self._named[step.template, place] >= USUAL * uses.total()
        if slot.goal and (usual or len(step.slots) == 1):
            return Slot(slot.goal, slot.which)
        # That the goal names what stands here may be chance, where it seldom does.
        return Slot(kind=slot.kind if uses[slot.kind] == uses.total() else ANY)
