"""Acting for goals that name single things, guided by the order of actions in recalled successes.

Where a goal says "b2 on b1" it is not one thing of a kind that must be put somewhere, but many
steps with things that are told apart. What is learnt then is not a plan for kinds but which action
follows which, with the same thing or another, and which action makes a sentence of the goal true.
Only the form of texts is used: the code knows no word of any world.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..memory import Case, Rule, mentions
from ..memory.entities import Action, parse_action
from ..memory.mining import changes, lift_sentence, sentences

ORDER = 3
"""Actions looked back upon."""
ACHIEVES = 2.0
"""What making a sentence of the goal true is worth, in units of a sure next step."""
UNDOES = 2.5
"""What making one false costs."""
NAMED = 0.3
"""What dealing with a thing is worth that an unmet sentence of the goal names."""
TIRED = 0.7
"""What doing the same again in the same situation costs, each time."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What to do next.

    Attributes:
        action: One of the admissible actions.
        reason: A few words for people.
        case: Id of the recalled trial that does the same, "" for none.
    """

    action: str
    reason: str
    case: str


class SequenceFollower:
    """Chooses actions in one episode. Deterministic for equal arguments and history."""

    def __init__(
        self, *, goal: str, cases: Sequence[Case], rules: Sequence[Rule], seed: int = 0
    ) -> None:
        """Begin an episode.

        Args:
            goal: In words; names single things.
            cases: Recalled trials, best first; those that succeeded are learnt from.
            rules: Recalled insights.
            seed: For choices between equals.
        """
        self._random = random.Random(seed)
        self._wanted = goal_sentences(goal)
        self._follows: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        self._example: dict[str, str] = {}
        self._makes: dict[str, set[str]] = defaultdict(set)
        for case in cases:
            if case.outcome.succeeded:
                self._take_in(case)
        for rule in rules:
            if rule.form == "achieves" and rule.data.get("by") == "world":
                self._makes[str(rule.data.get("action"))].add(str(rule.data.get("change")))
        self._true: set[str] = set()
        self._seen = 0
        self._situations: list[frozenset[str]] = []
        self._done: Counter[tuple[frozenset[str], str]] = Counter()
        self._begun = False

    def _take_in(self, case: Case) -> None:
        actions = [parse_action(step.action) for step in case.steps if step.action]
        named = {thing.name for thing in mentions(case.task)}
        for number, action in enumerate(actions):
            before = actions[max(0, number - ORDER) : number]
            step = _lifted(action, before, named)
            self._example.setdefault(step, case.id)
            for context in _contexts(before):
                self._follows[context][step] += 1

    # --- one step -------------------------------------------------------------------------------

    def choose(
        self,
        observation: str,
        actions: Sequence[str],
        history: Sequence[tuple[str, str]],
        vetoed: frozenset[str] = frozenset(),
    ) -> Choice:
        """The next action.

        Args:
            observation: What the world said last.
            actions: What it admits now, at least one.
            history: (action, observation) pairs so far.
            vetoed: Actions that a critic sent back.
        """
        self._look(observation, actions, history)
        before = [parse_action(action) for action, _ in history[-ORDER:]]
        named = {thing for sentence in self._unmet() for thing in _names(sentence)}
        now = frozenset(actions)
        scored = []
        for text in [action for action in actions if action not in vetoed] or list(actions):
            action = parse_action(text)
            step = _lifted(action, before, named)
            usual = self._usual(step, before)
            gain = self._gain(action)
            score = usual + gain - TIRED * self._done[now, text]
            if any(thing.name in named for thing in action.things):
                score += NAMED
            scored.append((score, self._random.random(), text, step, gain))
        _, _, text, step, gain = max(scored)
        self._done[now, text] += 1
        reason = "it makes a part of the goal true" if gain > 0 else "it came next before"
        known = step in self._example
        return Choice(
            text, reason if known or gain > 0 else "anything", self._example.get(step, "")
        )

    def _look(
        self, observation: str, actions: Sequence[str], history: Sequence[tuple[str, str]]
    ) -> None:
        if not self._begun:
            self._begun = True
            if not history:
                self._true |= set(sentences(observation))
        for done, said in history[self._seen :]:
            action = parse_action(done)
            self._makes[action.template] |= set(changes(action, said))
            for sentence in sentences(said):
                if sentence.startswith(_GONE):
                    self._true.discard(sentence.removeprefix(_GONE))
                else:
                    self._true.add(sentence)
        self._seen = len(history)

    def _unmet(self) -> list[str]:
        return [sentence for sentence in self._wanted if sentence not in self._true]

    def _gain(self, action: Action) -> float:
        """What an action does for the goal: sentences made true, less those made false."""
        names = [thing.name for thing in action.things]
        made = self._makes.get(action.template, set())
        gain = 0.0
        for sentence in self._wanted:
            lifted = lift_sentence(sentence, names)
            if lifted is None or "{" not in lifted:
                continue
            if sentence not in self._true and lifted in made:
                gain += ACHIEVES
            elif sentence in self._true and f"{_GONE}{lifted}" in made:
                gain -= UNDOES
        return gain

    def _usual(self, step: str, before: Sequence[Action]) -> float:
        """How often it came next in the recalled successes; the longest context that is known
        counts most."""
        for context in _contexts(before):
            followed = self._follows.get(context)
            if followed:
                share = followed[step] / followed.total()
                if share > 0 or not context:
                    return share * (1 + len(context)) / (1 + ORDER)
        return 0.0


_GONE = "no longer: "


def goal_sentences(goal: str) -> tuple[str, ...]:
    """The sentences of a goal that name things, without what introduces them."""
    _, _, said = goal.rpartition(": ") if ": " in goal else ("", "", goal)
    return tuple(sentence for sentence in sentences(said) if mentions(sentence))


def _names(sentence: str) -> set[str]:
    return {thing.name for thing in mentions(sentence)}


def _lifted(action: Action, before: Sequence[Action], named: set[str]) -> str:
    """An action with its things told by where they occurred before, and whether the goal names
    them."""
    labels = []
    for thing in action.things:
        label = "named" if thing.name in named else "other"
        for back, earlier in enumerate(reversed(before), 1):
            names = [one.name for one in earlier.things]
            if thing.name in names:
                label = f"{back}.{names.index(thing.name)}"
                break
        labels.append(label)
    return " ".join([action.template, *labels])


def _contexts(before: Sequence[Action]) -> Iterator[tuple[str, ...]]:
    """The last actions without their things, from the longest context to none."""
    templates = [action.template for action in before]
    for length in range(len(templates), -1, -1):
        yield tuple(templates[len(templates) - length :])
