"""What recalled cases and rules say about a new goal: which things stand for which, and in which
steps. Only form is looked at, never the meaning of a word."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ..memory import Case, Rule
from ..memory.entities import (
    Action,
    Mention,
    kinds_in,
    mentions,
    parse_action,
    stem,
    stems,
    words,
)
from ..memory.mining import USUAL, Judged, calls, plan_steps
from ..memory.skeleton import Step as PlanStep
from ..memory.skeleton import bare

VOTE = 0.15
"""What a guide gains with the logarithm of how many recalled items come to the same."""
MISSING = 1.0
"""What a guide loses for an action that the goal's words call for and it lacks."""
ASTRAY = 1.0
"""What it loses for one that only words of other goals call for."""


SAME_WORD = 0.8
"""Confidence that a word of a goal calls for the action that is called so."""
SURE = 0.75
"""Confidence from which an action is left alone because nothing comes of it."""


class Need(StrEnum):
    """How much a slot of a step is bound to one kind."""

    GOAL = "goal"
    """A kind the goal names."""
    FIXED = "fixed"
    """A kind that is the same in all cases."""
    FREE = "free"
    """Any kind: it differs between cases."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for a thing in a step.

    Attributes:
        kind: The kind wanted.
        need: How much.
        stands_for: The thing of the case, which stays bound to the thing first put in its place.
    """

    kind: str
    need: Need
    stands_for: str

    def takes(self, thing: Mention) -> bool:
        """Whether a thing may stand here, by its kind."""
        return self.need is Need.FREE or thing.kind == self.kind


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a case, carried over to this goal."""

    template: str
    head: str
    slots: tuple[Slot, ...]
    near: Slot | None = None
    """What must be at the same place, because the next step deals with it there."""

    def fits(self, action: Action) -> bool:
        """Whether an action is this step, bindings aside."""
        # With two things the words between them vary with what stands there, as in and on do.
        worded = action.template == self.template or len(self.slots) > 1
        return (
            worded
            and action.head == self.head
            and len(action.things) == len(self.slots)
            and all(
                slot.takes(thing) for slot, thing in zip(self.slots, action.things, strict=True)
            )
        )


@dataclass(frozen=True, slots=True)
class Guide:
    """A case carried over to this goal.

    Attributes:
        case: Id of its record.
        steps: Those that deal with what the goal is about.
        score: How well it fits this goal.
    """

    case: str
    steps: tuple[Step, ...]
    score: float

    @property
    def shape(self) -> object:
        """What guides that come to the same have in common."""
        return tuple(
            (step.head, tuple((s.kind, s.need) for s in step.slots if s.need is not Need.FREE))
            for step in self.steps
        )


class Experience:
    """What all recalled cases and rules together say about this goal.

    Args:
        goal: In words.
        cases: Recalled trials.
        rules: Recalled insights.
        around: What the first observation mentions.
        offered: The actions admissible at first.
    """

    def __init__(
        self,
        goal: str,
        cases: Sequence[Case],
        rules: Sequence[Rule],
        around: Sequence[Mention],
        offered: Sequence[Action] = (),
    ) -> None:
        self.goal = goal
        self._cases = [case for case in cases if case.steps]
        self._won = [case for case in self._cases if case.outcome.succeeded]
        self._parsed = {
            case.id: [parse_action(step.action) for step in case.steps if step.action]
            for case in self._cases
        }
        self._offered = offered
        self.kinds = frozenset(self._known_kinds(rules, around))
        self.goal_kinds = kinds_in(goal, self.kinds)
        self._unknown = self._unknown_words()
        self._slots = self._slot_kinds()
        self._named = self._named_share()
        self._found = self._places(rules)
        self._rules = rules
        self._failed = {made for case in self._like(won=False) for made in self._completions(case)}
        self._like_won = [
            frozenset(one.template for one in self._parsed[case.id] if len(one.things) > 1)
            for case in self._like(won=True)
        ]
        self._like_won += self._planned(rules)
        self.shows = {
            str(rule.data.get("action")): rule.confidence
            for rule in rules
            if rule.form == "reveals"
        }
        self.dull = {
            str(rule.data.get("action"))
            for rule in rules
            if rule.form == "never_works" and rule.confidence > SURE
        }
        self._calls = self._called(rules)
        self._open = self._open_slots(rules)
        self.heads = Counter(action.head for case in self._won for action in self._parsed[case.id])

    def _open_slots(self, rules: Sequence[Rule]) -> set[tuple[str, int]]:
        """Templates and slots that more trials say may take any kind than say what takes it."""
        said: Counter[tuple[str, int]] = Counter()
        for rule in rules:
            for step in plan_steps(rule.data) if rule.form == "plan" else ():
                for place, slot in enumerate(step.slots):
                    free = not slot.goal and not slot.kind
                    said[step.template, place] += rule.support if free else -rule.support
        return {slot for slot, votes in said.items() if votes > 0}

    def _called(self, rules: Sequence[Rule]) -> Mapping[tuple[str, str], float]:
        """Which action a word of a goal calls for, as insights say and as the cases show."""
        called = calls(
            [
                Judged.of(case.id, case.task, True, [step.action for step in case.steps])
                for case in self._won
            ]
        )
        for rule in rules:
            if rule.form == "achieves" and rule.data.get("by") == "goal":
                pair = str(rule.data.get("change")), str(rule.data.get("action"))
                called[pair] = rule.confidence
        for template in self._templates(rules):
            # A goal that uses the word of an action most likely asks for it.
            for word in stems(template):
                if any(word in stems(goal) for goal in (self.goal, *self._goals(rules))):
                    called.setdefault((word, template), SAME_WORD)
        return called

    def _templates(self, rules: Sequence[Rule]) -> set[str]:
        """Of the actions of successes and plans that bring things together."""
        found = {
            action.template
            for case in self._won
            for action in self._parsed[case.id]
            if len(action.things) > 1
        }
        plans = [plan_steps(rule.data) for rule in rules if rule.form == "plan"]
        return found | {step.template for steps in plans for step in steps if len(step.slots) > 1}

    def _goals(self, rules: Sequence[Rule]) -> list[str]:
        told = [str(rule.data.get("goal", "")) for rule in rules if rule.form == "plan"]
        return [*told, *(case.task for case in self._won)]

    def _known_kinds(self, rules: Sequence[Rule], around: Sequence[Mention]) -> set[str]:
        kinds = {thing.kind for thing in around}
        for actions in self._parsed.values():
            kinds |= {thing.kind for action in actions for thing in action.things}
        for case in self._cases:
            for step in case.steps:
                kinds |= {thing.kind for thing in mentions(step.observation)}
        for rule in rules:
            if rule.form == "found_at":
                kinds |= {str(rule.data.get("thing")), str(rule.data.get("place"))}
        return kinds

    def _unknown_words(self) -> tuple[str, ...]:
        """Words of this goal that name no known kind and that no other goal has."""
        usual = {stem(word) for case in self._cases for word in words(case.task)}
        return tuple(
            word
            for word in dict.fromkeys(words(self.goal))
            if stem(word) not in usual and not kinds_in(word, self.kinds)
        )

    def learn_kind(self, kind: str) -> bool:
        """A kind was seen in the world; whether the goal names it and nobody knew."""
        if kind in self.kinds:
            return False
        before = self.goal_kinds
        self.kinds = self.kinds | {kind}
        self.goal_kinds = kinds_in(self.goal, self.kinds)
        if self.goal_kinds == before:
            return False
        self._unknown = self._unknown_words()
        return True

    def case_kinds(self, case: Case) -> tuple[str, ...]:
        """The kinds that the goal of a case names and its actions deal with."""
        used = {thing.kind for action in self._parsed[case.id] for thing in action.things}
        return kinds_in(case.task, frozenset(used))

    def _slot_kinds(self) -> Mapping[tuple[str, int], Counter[str]]:
        """Per head and slot, in how many successes which kind stood there unnamed by the goal."""
        seen: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
        for case in self._won:
            named = set(self.case_kinds(case))
            once = {
                (action.head, place, thing.kind)
                for action in self._parsed[case.id]
                for place, thing in enumerate(action.things)
                if thing.kind not in named
            }
            for head, place, kind in once:
                seen[head, place][kind] += 1
        return seen

    def _named_share(self) -> Mapping[tuple[str, int], float]:
        """Per head and slot, in which share of its uses the goal named what stood there."""
        uses: Counter[tuple[str, int]] = Counter()
        named: Counter[tuple[str, int]] = Counter()
        for case in self._won:
            about = self.case_kinds(case)
            for action in self._parsed[case.id]:
                for place, thing in enumerate(action.things):
                    uses[action.head, place] += 1
                    named[action.head, place] += thing.kind in about
        return {slot: named[slot] / uses[slot] for slot in uses}

    def _places(self, rules: Sequence[Rule]) -> Mapping[str, Mapping[str, float]]:
        """Per kind of thing, how often it was found at which kind of place."""
        found: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        for rule in rules:
            if rule.form == "found_at":
                what, where = str(rule.data.get("thing")), str(rule.data.get("place"))
                found[what][where] += max(1.0, rule.support * rule.confidence)
        for case in self._won:
            for action, step in zip(
                self._parsed[case.id], [s for s in case.steps if s.action], strict=True
            ):
                if len(action.things) == 1:
                    for thing in mentions(step.observation):
                        found[thing.kind][action.things[0].kind] += 1
        # Something a goal is about, where it is not named, is often where such things were.
        for case in self._won:
            named = self.case_kinds(case)
            for action in self._parsed[case.id]:
                if len(action.things) == 2 and action.things[0].kind in named:
                    other = action.things[1].kind
                    if other not in named:
                        found[action.things[0].kind][other] += 1
                        found[""][other] += 1
        return found

    def likelihood(self, thing: str, place: str) -> float:
        """How likely a kind of thing is found at a kind of place, between 0 and 1."""
        own, any_ = self._found.get(thing, {}), self._found.get("", {})
        score = 0.0
        if own:
            score += own.get(place, 0.0) / sum(own.values())
        if any_:
            score += 0.1 * any_.get(place, 0.0) / sum(any_.values())
        return min(1.0, score)

    # --- guides -------------------------------------------------------------------------------

    def guides(self) -> list[Guide]:
        """What led to like goals, carried over to this one, the best fitting first.

        Successes and plans that come to the same steps vote together.
        """
        made = [self._carry_over(case) for case in self._won]
        made += [self._from_plan(rule) for rule in self._rules if rule.form == "plan"]
        groups: dict[object, list[Guide]] = {}
        for guide in made:
            if guide.steps:
                groups.setdefault(guide.shape, []).append(guide)
        voted = []
        for group in groups.values():
            best = min(group, key=lambda guide: (-guide.score, guide.case))
            score = best.score + VOTE * math.log(len(group)) - self._mismatch(best)
            voted.append(Guide(best.case, best.steps, score))
        voted.sort(key=lambda guide: (-guide.score, guide.case))
        return [guide for guide in voted if not self.is_vain(step.template for step in guide.steps)]

    def is_vain(self, templates: Iterable[str]) -> bool:
        """Whether a goal worded like this one failed with just these actions, and none was reached
        with them."""
        made = frozenset(templates)
        return made in self._failed and not any(won <= made for won in self._like_won)

    def _like(self, *, won: bool) -> list[Case]:
        """The recalled trials with a goal worded like this one."""
        mine = bare(self.goal, self.goal_kinds)
        return [
            case
            for case in self._cases
            if bool(case.outcome.succeeded) is won
            and bare(case.task, self.case_kinds(case)) == mine
        ]

    def _planned(self, rules: Sequence[Rule]) -> list[frozenset[str]]:
        """What plans for goals worded like this one do to several things, if more trials speak
        for them than against: a failure among many successes is no reason to give them up."""
        mine = bare(self.goal, self.goal_kinds)
        return [
            frozenset(step.template for step in plan_steps(rule.data) if len(step.slots) > 1)
            for rule in rules
            if rule.form == "plan"
            and rule.confidence > 0.5
            and stems(_unnumbered(str(rule.data.get("goal", "")))) == mine
        ]

    def _completions(self, case: Case) -> set[frozenset[str]]:
        """What a trial did each time up to bringing together things that its goal names."""
        named = self.case_kinds(case)
        made: set[str] = set()
        found = set()
        for action in self._parsed[case.id]:
            if len(action.things) > 1:
                made.add(action.template)
                if sum(thing.kind in named for thing in action.things) > 1:
                    found.add(frozenset(made))
                    made = set()
        return found

    def _mismatch(self, guide: Guide) -> float:
        """How much the goal's words call for other actions than a guide's."""
        made = {step.template for step in guide.steps}
        mine = bare(self.goal, self.goal_kinds)
        wanted: dict[str, float] = {}
        other: dict[str, float] = {}
        for (word, template), confidence in self._calls.items():
            asked = wanted if word in mine else other
            # Half is a guess.
            asked[template] = max(asked.get(template, 0.0), 2.0 * confidence - 1.0)
        missing = sum(surely for template, surely in wanted.items() if template not in made)
        astray = sum(
            surely * (1.0 - self._usual(template))
            for template, surely in other.items()
            if template in made and template not in wanted
        )
        return MISSING * missing + ASTRAY * astray

    def _usual(self, template: str) -> float:
        """The share of successes that an action is part of."""
        having = sum(
            any(action.template == template for action in self._parsed[case.id])
            for case in self._won
        )
        return having / len(self._won) if self._won else 0.0

    def _named_in_order(self, steps: Sequence[PlanStep]) -> tuple[str, ...]:
        """The kinds the goal names in its order; words nobody knows fill up what a plan needs."""
        needed = max((slot.goal for step in steps for slot in step.slots), default=0)
        kinds = {*self.goal_kinds}
        missing = max(0, needed - len(kinds))
        kinds |= {*self._unknown[:missing]}
        first = {kind: number for number, kind in enumerate(self._order(kinds))}
        return tuple(sorted(kinds, key=lambda kind: first.get(kind, len(first))))

    def _order(self, kinds: Iterable[str]) -> list[str]:
        known = frozenset(kinds)
        named = (kinds_in(word, known) for word in words(self.goal))
        return list(dict.fromkeys(kind for found in named for kind in found))

    def _from_plan(self, rule: Rule) -> Guide:
        """A plan insight, with this goal's kinds put for its numbers."""
        kinds = self._named_in_order(plan_steps(rule.data))
        steps = []
        for step in plan_steps(rule.data):
            slots = []
            for place, slot in enumerate(step.slots):
                if slot.goal > len(kinds):
                    return Guide(rule.id, (), 0.0)
                stands_for = f"{slot.goal}.{slot.which}" if slot.goal else slot.kind
                kind = kinds[slot.goal - 1] if slot.goal else slot.kind
                need = Need.GOAL if slot.goal else Need.FIXED if slot.kind else Need.FREE
                if (step.template, place) in self._open:
                    need = Need.FREE
                slots.append(Slot(kind, need, stands_for))
            steps.append(Step(step.template, step.head, tuple(slots)))
        its = frozenset(stem(word) for word in words(str(rule.data.get("goal", ""))))
        mine = bare(self.goal, self.goal_kinds)
        wording = len(mine & its) / len(mine | its) if mine | its else 1.0
        return Guide(rule.id, tuple(steps), wording + 1.0 + 0.5 * rule.confidence)

    def _carry_over(self, case: Case) -> Guide:
        named = self.case_kinds(case)
        mapping = self._correspondence(case, named)
        actions = self._parsed[case.id]
        steps: list[Step] = []
        handled: set[str] = set()
        for number, action in enumerate(actions):
            if not any(thing.kind in named for thing in action.things):
                continue
            slots = self._slots_of(action, named, mapping)
            following = actions[number + 1] if number + 1 < len(actions) else None
            near = None
            if (
                following is not None
                and slots[-1].need is Need.FREE
                and slots[0].stands_for in handled
                and any(thing.kind in named for thing in following.things)
            ):
                # A known thing was brought anywhere, and the next step followed on the spot: what
                # that deals with was there.
                near = self._slots_of(following, named, mapping)[0]
            handled |= {slot.stands_for for slot in slots}
            steps.append(Step(action.template, action.head, slots, near))
        return Guide(case.id, _without_errands(steps), self._fit(case, named, mapping))

    def _slots_of(
        self, action: Action, named: Sequence[str], mapping: Mapping[str, str]
    ) -> tuple[Slot, ...]:
        return tuple(
            self._slot(action, place, thing, named, mapping)
            for place, thing in enumerate(action.things)
        )

    def _slot(
        self,
        action: Action,
        place: int,
        thing: Mention,
        named: Sequence[str],
        mapping: Mapping[str, str],
    ) -> Slot:
        # That the goal names what stands here may be chance, where it seldom does.
        named_here = self._named[action.head, place] >= USUAL
        usual = named_here and (action.template, place) not in self._open
        usual = usual or len(action.things) == 1
        if thing.kind in named and usual:
            return Slot(mapping.get(thing.kind, thing.kind), Need.GOAL, thing.name)
        varied = len(self._slots[action.head, place]) > 1 or (action.template, place) in self._open
        return Slot(thing.kind, Need.FREE if varied else Need.FIXED, thing.name)

    def _correspondence(self, case: Case, named: Sequence[str]) -> dict[str, str]:
        """Which kind of this goal stands for which of the case's: equal ones, then by use, then
        by order."""
        left = list(self.goal_kinds)
        mapping: dict[str, str] = {}
        for kind in named:
            if kind in left:
                mapping[kind] = kind
                left.remove(kind)
        rest = [kind for kind in named if kind not in mapping]
        for kind in sorted(
            rest, key=lambda kind: -max((self._alike(kind, other) for other in left), default=0.0)
        ):
            best = max(left, key=lambda other: self._alike(kind, other), default=None)
            if best is not None and self._alike(kind, best) > 0:
                mapping[kind] = best
                left.remove(best)
        # What nobody has met yet may still be what this goal is about.
        left += self._unknown
        for kind in rest:
            if kind not in mapping and left:
                mapping[kind] = left.pop(0)
        return mapping

    def _alike(self, one: str, other: str) -> float:
        """Overlap of the slots in which two kinds were ever used."""
        a, b = self._uses(one), self._uses(other)
        return len(a & b) / len(a | b) if a and b else 0.0

    def _uses(self, kind: str) -> set[tuple[str, int]]:
        return {
            (action.head, place)
            for actions in (*self._parsed.values(), self._offered)
            for action in actions
            for place, thing in enumerate(action.things)
            if thing.kind == kind
        }

    def _fit(self, case: Case, named: Sequence[str], mapping: Mapping[str, str]) -> float:
        """How much a case's goal is like this one, kinds aside, and how many kinds carry over."""
        mine = bare(self.goal, self.goal_kinds)
        its = bare(case.task, named)
        both = len(mine | its)
        wording = len(mine & its) / both if both else 1.0
        # A kind that was never used as the one it stands for carries over poorly.
        used_alike = sum(
            1.0 if kind == other or self._alike(kind, other) > 0 else 0.25
            for kind, other in mapping.items()
        )
        carried = used_alike / max(len(named), len(self.goal_kinds), 1)
        equal = sum(kind == other for kind, other in mapping.items()) / max(len(named), 1)
        return wording + carried + 0.15 * equal + 0.5 * case.score


def _without_errands(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Drop single-slot steps whose thing the next step deals with too: they only lead to it."""
    kept = []
    for number, step in enumerate(steps):
        later = steps[number + 1].slots if number + 1 < len(steps) else ()
        if len(step.slots) == 1 and any(
            slot.stands_for == step.slots[0].stands_for for slot in later
        ):
            continue
        kept.append(step)
    return tuple(kept)


def _unnumbered(pattern: str) -> str:
    """A plan's goal without the numbers that stand for kinds."""
    return re.sub(r"\(\d+\)", " ", pattern)
