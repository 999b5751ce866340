"""An actor for text worlds that acts without a model, guided by what the memory recalls.

It follows a recalled success with this goal's things put for those of the recalled one, looks for
what a step needs where memory makes it likely, changes the case when a step cannot be made, and
otherwise explores what is new. Only the form of texts is used: the code knows no word of any world.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..memory import Case, Rule, mentions
from ..memory.entities import Action, parse_action, stem, words
from ..memory.skeleton import bare
from .guide import Experience, Guide, Need, Slot, Step
from .imitate import Imitator, by_words
from .sequence import SequenceFollower


@dataclass(frozen=True, slots=True)
class Decision:
    """What an actor does next.

    Attributes:
        action: One of the admissible actions.
        reason: A few words for people.
        case: Id of the recalled record it acts on, "" for its own idea.
    """

    action: str
    reason: str = ""
    case: str = ""


@dataclass(slots=True)
class _Progress:
    """How far the guide that is being followed has come."""

    guide: Guide
    at: int = 0
    bound: dict[str, str] = field(default_factory=dict)
    visited: set[tuple[int, str]] = field(default_factory=set)
    again: bool = False


class CaseGuidedActor:
    """Acts in one episode. Deterministic for equal arguments and history."""

    def __init__(
        self,
        *,
        goal: str,
        cases: Sequence[Case],
        rules: Sequence[Rule] = (),
        plan: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        """Begin an episode.

        Args:
            goal: What is to be done, in words.
            cases: Recalled trials, best first.
            rules: Recalled insights, best first.
            plan: Steps that a planner proposes; among guides that fit equally well the one with
                these goes first.
            seed: For choices between equals.
        """
        self._goal = goal
        self._cases = cases
        self._rules = rules
        self._plan = tuple(plan)
        self._random = random.Random(seed)
        self._imitator = Imitator(goal, cases) if by_words(cases) else None
        self._follower = (
            SequenceFollower(goal=goal, cases=cases, rules=rules, seed=seed)
            if mentions(goal)
            else None
        )
        self._experience: Experience | None = None
        self._guides: list[Guide] = []
        self._progress: _Progress | None = None
        self._follows = 0
        self._history = 0
        self._pending: tuple[Action, bool] | None = None
        self._place: str = ""
        self._seen: dict[str, str] = {}
        self._contents: dict[str, set[str]] = {}
        self._done: Counter[str] = Counter()
        self._gain: dict[str, list[int]] = {}
        self._known: set[str] = set()
        self._showed: set[str] = set()
        self._reach = ""
        self._epoch = 0
        self._tried: set[tuple[int, str]] = set()
        self._states: list[frozenset[str]] = []
        self._undoes: set[tuple[str, str]] = set()

    # --- what the world says --------------------------------------------------------------------

    def _begin(self, observation: str, actions: Sequence[Action]) -> Experience:
        around = mentions(observation)
        offered = [thing for action in actions for thing in action.things]
        self._known |= {thing.name for thing in (*around, *offered)}
        # What most of the first actions do, each with another thing, is how one gets about.
        heads = Counter(action.head for action in actions if len(action.things) == 1)
        self._reach = max(heads, key=lambda head: (heads[head], head)) if heads else ""
        experience = Experience(self._goal, self._cases, self._rules, (*around, *offered), actions)
        self._guides = experience.guides()
        if self._plan:
            # sort() is stable: among equals the guide of the plan comes first.
            self._guides.sort(key=lambda guide: (-round(guide.score, 6), self._off_plan(guide)))
        return experience

    def _off_plan(self, guide: Guide) -> bool:
        """Whether a guide begins its steps otherwise than the plan."""
        heads = [line.split(" ", 1)[0] for line in self._plan]
        return [step.head.split("/")[0] for step in guide.steps] != heads

    def _learn(self, experience: Experience, action: Action, observation: str) -> None:
        """Take in what came of the last action."""
        found = mentions(observation)
        fresh = [thing for thing in found if thing.name not in self._known]
        gain = self._gain.setdefault(action.head, [0, 0])
        gain[0] += 1
        gain[1] += bool(fresh)
        if fresh:
            self._showed.add(action.text)
        self._done[action.text] += 1
        self._tried.add((self._epoch, action.text))
        if len(action.things) > 1:
            # Something was moved or changed: what was tried before may do something now.
            self._epoch += 1
            self._tried.add((self._epoch, action.text))
        if len(action.things) == 1:
            place = action.things[0].name
            if action.head == self._reach:
                self._place = place
            there = {thing.name for thing in found if thing.name != place}
            here = self._place or place
            for name in self._contents.get(here, set()) - there:
                if self._seen.get(name) == here and action.head == self._reach and there:
                    del self._seen[name]
            self._contents.setdefault(here, set()).update(there)
            for name in there:
                if name != here:
                    self._seen[name] = here
        for thing in found:
            self._known.add(thing.name)
            if experience.learn_kind(thing.kind) and (
                self._progress is None or not self._progress.at
            ):
                # What was carried over without knowing this kind is carried over anew.
                self._guides, self._follows, self._progress = experience.guides(), 0, None

    # --- deciding -------------------------------------------------------------------------------

    def act(
        self,
        observation: str,
        actions: Sequence[str],
        history: Sequence[tuple[str, str]],
        *,
        vetoed: frozenset[str] = frozenset(),
    ) -> Decision:
        """Choose the next action.

        Args:
            observation: What the world said last.
            actions: What it admits now, at least one.
            history: (action, observation) pairs so far.
            vetoed: Actions that a critic sent back.
        """
        if self._imitator is not None:
            proposed = self._imitator.propose(actions, history, vetoed)
            if proposed is not None:
                return Decision(*proposed)
        if self._follower is not None:
            choice = self._follower.choose(observation, actions, history, vetoed)
            return Decision(choice.action, choice.reason, choice.case)
        parsed = [parse_action(text) for text in actions]
        if self._experience is None:
            first = observation if not history else ""
            self._experience = self._begin(first, parsed)
        experience = self._experience
        for done, said in history[self._history :]:
            self._took(parse_action(done))
            self._learn(experience, parse_action(done), said)
        self._history = len(history)
        self._notice_undoing(frozenset(actions), history)
        usable = [action for action in parsed if action.text not in vetoed] or parsed
        return (
            self._follow(experience, usable)
            or self._by_goal(experience, usable)
            or self._explore(usable, experience.goal_kinds, experience, "nothing known fits")
            or self._anything(usable)
        )

    def _notice_undoing(self, state: frozenset[str], history: Sequence[tuple[str, str]]) -> None:
        """Two actions that lead back to the same admissible actions undo each other."""
        self._states.append(state)
        if len(self._states) > 2 and len(history) > 1 and self._states[-3] == state:
            first, second = parse_action(history[-2][0]), parse_action(history[-1][0])
            if first.template != second.template:
                self._undoes.add((first.template, second.template))

    def _took(self, action: Action) -> None:
        """Advance the guide if the action that was performed is its next step."""
        progress = self._progress
        if progress is None or progress.at >= len(progress.guide.steps):
            return
        step = progress.guide.steps[progress.at]
        if self._pending is not None and self._pending == (action, True):
            _bind(progress, step, action)
            progress.at += 1
        self._pending = None

    def _follow(self, experience: Experience, actions: Sequence[Action]) -> Decision | None:
        """The next action of a guide; another guide when it cannot be followed."""
        for _ in range(2 * len(self._guides) + 2):
            progress = self._progress
            if progress is None:
                if self._follows >= len(self._guides):
                    return None
                progress = self._progress = _Progress(self._guides[self._follows])
                self._follows += 1
                self._skip_done(progress, actions)
            decision = self._next(experience, progress, actions)
            if decision is not None:
                return decision
            self._progress = self._once_more(progress)
        return None

    def _once_more(self, progress: _Progress) -> _Progress | None:
        """What of a guide that ran out is worth doing again, now that the rest is done: the steps
        that brought nothing together, since what they need may not have been there."""
        ran_out = progress.at >= len(progress.guide.steps)
        steps = tuple(step for step in progress.guide.steps[:-1] if len(step.slots) == 1)
        if not ran_out or progress.again or not steps:
            return None
        guide = Guide(progress.guide.case, steps, progress.guide.score)
        return _Progress(guide, bound=progress.bound, again=True)

    def _skip_done(self, progress: _Progress, actions: Sequence[Action]) -> None:
        """A guide begun late skips its first step if it was made already and still holds."""
        for step in progress.guide.steps:
            made = next(
                (
                    action
                    for text in reversed(self._done)
                    if step.fits(action := parse_action(text)) and len(action.things) > 1
                ),
                None,
            )
            if made is None or any(
                step.fits(action) and action.things[0] == made.things[0] for action in actions
            ):
                return
            _bind(progress, step, made)
            progress.at += 1
            return

    def _next(
        self, experience: Experience, progress: _Progress, actions: Sequence[Action]
    ) -> Decision | None:
        if progress.at >= len(progress.guide.steps):
            return None
        step = progress.guide.steps[progress.at]
        fitting = [action for action in actions if self._fits(step, progress, action)]
        if step.near is not None and (progress.at, "near") not in progress.visited:
            if not self._is_here(step.near):
                near = self._towards(experience, step.near, progress, actions)
                if near is not None:
                    return near
            progress.visited.add((progress.at, "near"))
        if fitting:
            chosen = min(
                fitting,
                key=lambda one: (one.template != step.template, self._done[one.text], one.text),
            )
            if self._done[chosen.text] < 2:
                self._pending = (chosen, True)
                return Decision(chosen.text, "as in the case", progress.guide.case)
        for slot in reversed(step.slots):
            if slot.need is not Need.FREE:
                decision = self._towards(experience, slot, progress, actions)
                if decision is not None:
                    return decision
        return None

    def _is_here(self, slot: Slot) -> bool:
        return any(
            _kind(name) == slot.kind
            for name in (self._place, *self._contents.get(self._place, ()))
            if name
        )

    def _fits(self, step: Step, progress: _Progress, action: Action) -> bool:
        if not step.fits(action):
            return False
        for slot, thing in zip(step.slots, action.things, strict=True):
            bound = progress.bound.get(slot.stands_for)
            if slot.need is Need.FREE:
                continue
            if bound is not None:
                if bound != thing.name:
                    return False
            elif thing.name in progress.bound.values() and slot.need is Need.GOAL:
                # It stands for another thing of the case already.
                return False
        return True

    def _towards(
        self,
        experience: Experience,
        slot: Slot,
        progress: _Progress,
        actions: Sequence[Action],
    ) -> Decision | None:
        """An action that leads to a thing for a slot, if it is not at hand."""
        case = progress.guide.case
        bound = progress.bound.get(slot.stands_for)
        reach = {
            action.things[0].name: action
            for action in actions
            if action.head == self._reach and len(action.things) == 1
        }
        here = self._inspect(actions, self._place)
        wanted = (
            [bound]
            if bound
            else sorted((name for name in self._known if _kind(name) == slot.kind), key=_natural)
        )
        used = set(progress.bound.values())
        for name in wanted:
            if not bound and slot.need is Need.GOAL and name in used:
                continue
            target = name if name in reach or name == self._place else self._seen.get(name, "")
            if not target or (progress.at, target) in progress.visited:
                continue
            if target == self._place:
                if here is not None and name not in self._contents.get(self._place, ()):
                    return Decision(here.text, f"{name} is needed", case)
                progress.visited.add((progress.at, target))
                continue
            if target in reach:
                return Decision(reach[target].text, f"{name} is needed", case)
        if bound or any(name in reach or name == self._place for name in wanted):
            return None
        return self._explore(actions, (slot.kind,), experience, f"looking for {slot.kind}", case)

    def _inspect(self, actions: Sequence[Action], place: str) -> Action | None:
        """An action at a place that may show more of it: not tried, or known to show things."""
        here = [
            action
            for action in actions
            if len(action.things) == 1
            and action.head != self._reach
            and action.things[0].name == place
        ]
        if self._opened(place):
            return None
        options = [
            action
            for action in here
            if not self._done[action.text]
            and not self._is_dull(action)
            and self._worth(action) > 0.3
            and not self._would_undo(action)
        ]
        return max(options, key=lambda action: (self._worth(action), action.text), default=None)

    def _opened(self, place: str) -> bool:
        """Whether something was done to a place that showed more of it, or did in a case."""
        for text in self._done:
            action = parse_action(text)
            if (
                len(action.things) == 1
                and action.things[0].name == place
                and action.head != self._reach
                and (text in self._showed or self._is_known(action))
            ):
                return True
        return False

    def _is_dull(self, action: Action) -> bool:
        return self._experience is not None and action.template in self._experience.dull

    def _is_known(self, action: Action) -> bool:
        return self._experience is not None and self._experience.heads[action.head] > 0

    def _would_undo(self, action: Action) -> bool:
        """Whether it is known to take back what was done last at this place."""
        return any(
            self._done[text] and (earlier.template, action.template) in self._undoes
            for text in self._done
            if (earlier := parse_action(text)).things == action.things
        )

    def _worth(self, action: Action) -> float:
        tried, gained = self._gain.get(action.head, [0, 0])
        known = min(self._experience.heads[action.head], 3) if self._experience else 0
        shows = self._experience.shows.get(action.template) if self._experience else None
        if shows is not None:
            # What many trials say weighs more than what a few tries in this one do.
            return (gained + 10 * shows) / (tried + 10)
        return (gained + known + 0.5) / (tried + known + 1)

    def _by_goal(self, experience: Experience, actions: Sequence[Action]) -> Decision | None:
        """Without a guide: what deals with most of what the goal names and is new as things are.

        What is known to take back the last step is left alone.
        """
        named = set(experience.goal_kinds)
        asked = bare(self._goal, experience.goal_kinds)
        last = parse_action(next(reversed(self._done))).template if self._done else ""
        scored = [
            (self._named(action, named) + self._is_asked(action, named, asked), action)
            for action in actions
            if not self._in_vain(action, named)
            and (self._epoch, action.text) not in self._tried
            and (last, action.template) not in self._undoes
            and not self._would_undo(action)
            and self._done[action.text] < 3
        ]
        best = max((score for score, _ in scored), default=0)
        if best == 0:
            return None
        chosen = min(
            (action for score, action in scored if score == best),
            key=lambda one: (-len(one.things), self._done[one.text], one.text),
        )
        return Decision(chosen.text, "it deals with what the goal names")

    def _is_asked(self, action: Action, named: set[str], asked: frozenset[str]) -> int:
        """Whether the goal has a word of the action, and the action deals with the goal's thing."""
        about = any(thing.kind in named for thing in action.things)
        return int(about and any(stem(word) in asked for word in words(action.template)))

    def _in_vain(self, action: Action, named: set[str]) -> bool:
        """Whether an action would bring the goal's things together as a failure did, with nothing
        done to them since that the failure did not do."""
        if self._experience is None or sum(one.kind in named for one in action.things) < 2:
            return False
        made = {
            done.template
            for done in (parse_action(text) for text in self._done)
            if len(done.things) > 1 and any(thing.kind in named for thing in done.things)
        }
        return self._experience.is_vain({*made, action.template})

    def _named(self, action: Action, named: set[str]) -> int:
        """How many of the goal's kinds an action deals with; where one stands alone is none."""
        dealt = {thing.kind for thing in action.things} & named
        others = [thing for thing in action.things if thing.name != self._place]
        if len(action.things) > 1 and not any(thing.kind in named for thing in others):
            return 0
        return len(dealt)

    def _explore(
        self,
        actions: Sequence[Action],
        kinds: Sequence[str],
        experience: Experience,
        reason: str,
        case: str = "",
    ) -> Decision | None:
        """What is new: the place one stands at, if it hides something, then a likely new place."""
        if self._place and not self._contents.get(self._place):
            here = self._inspect(actions, self._place)
            if here is not None:
                return Decision(here.text, reason, case)
        fresh = [
            action
            for action in actions
            if action.head == self._reach and not self._done[action.text] and action.things
        ]
        if not fresh:
            return None

        def promise(action: Action) -> tuple[float, int, tuple[str, int]]:
            place = action.things[0].kind
            likely = max((experience.likelihood(kind, place) for kind in kinds), default=0.0)
            crowd = sum(other.things[0].kind == place for other in fresh)
            # Of a kind with many places each one is less likely.
            return (-likely / crowd**0.5, crowd, _natural(action.things[0].name))

        return Decision(min(fresh, key=promise).text, reason, case)

    def _anything(self, actions: Sequence[Action]) -> Decision:
        """The least tried action; of equals those that deal with things, then by chance."""
        actions = [action for action in actions if not self._is_dull(action)] or actions
        fewest = min(self._done[action.text] for action in actions)
        options = [action for action in actions if self._done[action.text] == fewest]
        dealing = [action for action in options if action.things] or options
        return Decision(self._random.choice(dealing).text, "anything not tried")


def _bind(progress: _Progress, step: Step, action: Action) -> None:
    """What a step was made with stays bound; what stood in a free slot was only where it was."""
    for slot, thing in zip(step.slots, action.things, strict=True):
        if slot.need is not Need.FREE:
            progress.bound[slot.stands_for] = thing.name


def _kind(name: str) -> str:
    return name.rsplit(" ", 1)[0]


def _natural(name: str) -> tuple[str, int]:
    kind, _, number = name.rpartition(" ")
    return kind, int(number) if number.isdigit() else 0
