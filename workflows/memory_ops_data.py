"""The memory that `triforium bench memory-ops` measures: drawn from a seed, the same everywhere.

95% of the records are steps, 4% tasks with their outcomes, 1% insights. Tasks speak of things and
places of a household and an office; how often a thing is spoken of falls off as in natural text,
so that some words are in many records and most in few. All links of a grown memory are there, and
the two that strain an index: an insight that very many links support, and a trial that led to many.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from ..errors import InvalidInput
from ..graph import (
    Add,
    AddCredit,
    AddLink,
    Close,
    Link,
    LinkType,
    Op,
    Outcome,
    Provenance,
    Record,
    Tier,
    digest,
    similar,
)

LEAST_RECORDS = 100
HUB_LINKS = 10_000
"""SUPPORTS links of the hub, unless the memory is too small: at most a tenth of the records."""
LONG_TRIAL = (90, 150, 8)
"""Records, links and credits of the long trial: a trial of 30 steps."""
_ROUNDS = 30
_REPLIES = 25
_NEW_INSIGHTS = 4


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_THINGS = _words(
    "mug plate towel candle apple knife bottle book lamp pillow pan kettle tomato sponge vase "
    "statue laptop newspaper blanket key watch potato spoon bowl egg fork pot remote pencil "
    "lettuce ladle soap cloth tissue spatula basket cushion magazine clock teapot jar hammer "
    "notebook stapler invoice contract folder badge parcel printer marker envelope agenda budget "
    "slide calendar ticket ledger receipt charger headset cable projector whiteboard memo roster "
    "permit sample brochure"
)
_PLACES = _words(
    "cabinet drawer shelf counter fridge microwave sink table desk sofa bed dresser cupboard "
    "nightstand rack hamper bin safe stove bench trolley locker tray stand closet toaster "
    "pigeonhole mailbox archive cart"
)
_ROOMS = _words(
    "kitchen bedroom bathroom hallway study garage cellar pantry office lobby workshop "
    "archive canteen reception"
)
_LOOKS = _words(
    "clean hot cold red blue small large wooden ceramic old new broken spare signed printed "
    "folded heavy yellow empty striped labelled glass metal dusty urgent"
)
_ACTIVITIES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    (
        "place",
        (
            "put the {look} {thing} in the {place} of the {room}",
            "find the {look} {thing} and leave it at the {place} in the {room}",
            "the {thing} that looks {look} belongs on the {place} in the {room}",
        ),
        "put {thing} {n} in {place} {m}",
    ),
    (
        "wash",
        (
            "wash the {look} {thing} and put it back on the {place} of the {room}",
            "give the {thing} from the {room} a wash, then set it on a {look} {place}",
        ),
        "clean {thing} {n} with sink 1",
    ),
    (
        "warm",
        (
            "warm the {look} {thing} and bring it to the {place} in the {room}",
            "a heated {thing} should stand on the {look} {place} of the {room}",
        ),
        "heat {thing} {n} with microwave 1",
    ),
    (
        "chill",
        (
            "chill the {look} {thing}, then leave it on the {place} in the {room}",
            "put a well cooled {thing} in the {look} {place} of the {room}",
        ),
        "cool {thing} {n} with fridge 1",
    ),
    (
        "inspect",
        (
            "look at the {look} {thing} under the lamp near the {place} in the {room}",
            "carry the {thing} from the {room} to the {look} {place} and read what it says",
        ),
        "examine {thing} {n} with lamp 1",
    ),
    (
        "send",
        (
            "send the {look} {thing} from the {place} to the people in the {room} before noon",
            "pack the {thing} into a {look} box at the {place} and hand it over at the {room}",
        ),
        "send {thing} {n} from {place} {m}",
    ),
    (
        "count",
        (
            "count every {look} {thing} in the {place} and write the number down in the {room}",
            "how many of the {look} {thing} kind are left at the {place} of the {room}?",
        ),
        "note {thing} {n} on list 1",
    ),
    (
        "repair",
        (
            "repair the {look} {thing} on the {place}, then return it to the {room}",
            "take the {thing} apart at the {look} {place} in the {room} and mend it",
        ),
        "use toolbox 1 on {thing} {n}",
    ),
)
_WEIGHTS = tuple(1.0 / (rank + 2) for rank in range(len(_THINGS)))


@dataclass(frozen=True, slots=True)
class Mix:
    """How many of what.

    Attributes:
        records: In all.
        insights: 1% of them.
        trials: 4%.
        steps: The rest.
        hub: SUPPORTS links into the first insight.
        popular: LED_TO links out of the first trial.
    """

    records: int
    insights: int
    trials: int
    steps: int
    hub: int
    popular: int

    @classmethod
    def of(cls, records: int) -> Mix:
        """The mix of so many records.

        Raises:
            InvalidInput: There are too few for a mix.
        """
        if records < LEAST_RECORDS:
            raise InvalidInput(
                f"A mixed memory needs at least {LEAST_RECORDS} records, not {records}.",
                records=records,
            )
        insights, trials = records // 100, records * 4 // 100
        return cls(
            records,
            insights,
            trials,
            records - insights - trials,
            min(HUB_LINKS, records // 10),
            trials // 4,
        )


@dataclass(frozen=True, slots=True)
class _Goal:
    activity: int
    thing: str
    place: str
    room: str
    text: str


class Grown:
    """A memory of many trials, as operations to be written.

    Args:
        mix: How many of what.
        seed: Of all that is drawn.
        scope: Of the records.
    """

    def __init__(self, mix: Mix, seed: int, scope: str) -> None:
        self.mix = mix
        self._seed = seed
        self._scope = scope
        self._alike: dict[tuple[int, str], list[int]] = {}
        self._known: dict[str, list[str]] = {}
        self._texts: set[str] = set()
        self._insights = [self._insight(number) for number in range(mix.insights)]

    # --- what there is to write -------------------------------------------------------------------

    def batches(self, size: int) -> Iterator[list[Op]]:
        """The whole memory in lists of operations that add about `size` records each."""
        for start in range(0, len(self._insights), size):
            yield [Add(record) for record in self._insights[start : start + size]]
        ops: list[Op] = []
        added = 0
        for number, steps in enumerate(self._lengths()):
            ops += self.trial(number, steps)
            added += steps + 1
            if added >= size:
                yield ops
                ops, added = [], 0
        if ops:
            yield ops

    def unseen(self, count: int, purpose: str) -> list[str]:
        """Tasks that no trial had so far, each once, other ones for each purpose."""
        rng = self._random("unseen", purpose)
        tasks: dict[str, None] = {}
        while len(tasks) < count:
            text = self._goal(rng).text
            if text not in self._texts:
                tasks[text] = None
        return list(tasks)

    def trial(self, number: int, steps: int = 24) -> list[Op]:
        """A closed trial: its task, steps, outcome and links. To be called with rising numbers."""
        rng = self._random("trial", number)
        goal = self._goal(rng)
        task = self._task(number, goal, rng)
        ops: list[Op] = [Add(task)]
        last = ""
        for index, (action, observation) in enumerate(_play(rng, goal, steps)):
            step = self._step(task, index, "solver", f"{action}\n{observation}", action)
            ops += [Add(step), _link(step.id, task.id, LinkType.PART_OF)]
            if last:
                ops.append(_link(last, step.id, LinkType.NEXT))
            last = step.id
        ops += self._relations(number, task, goal, rng)
        ops.append(Close(task.id, 1, self._outcome(number)))
        return ops

    def long_trial(self, number: int) -> list[Op]:
        """A closed trial of 30 rounds by three roles, see `LONG_TRIAL`, with four new insights.

        In each round the planner says what to do, the solver does it, and, in most, the critic
        replies; so it has 30 actions and 55 utterances.
        """
        rng = self._random("long trial", number)
        goal = self._goal(rng)
        task = self._task(number, goal, rng)
        ops: list[Op] = [Add(task)]
        last = ""
        for index, (action, observation) in enumerate(_play(rng, goal, _ROUNDS)):
            plan = f"We need the {goal.thing}; next: {action}."
            said = [
                self._step(task, 3 * index, "planner", plan),
                self._step(task, 3 * index + 1, "solver", f"{action}\n{observation}", action),
            ]
            if index < _REPLIES:
                reply = f"That was fine: {observation}"
                said.append(self._step(task, 3 * index + 2, "critic", reply))
            ops += [Add(one) for one in said]
            ops += [_link(one.id, task.id, LinkType.PART_OF) for one in said]
            ops += [_link(one.id, said[1].id, LinkType.REPLY_TO) for one in said[2:]]
            if last:
                ops.append(_link(last, said[1].id, LinkType.NEXT))
            last = said[1].id
        for extra in range(_NEW_INSIGHTS):
            insight = Record(
                id=digest("memory-ops", self._seed, "new insight", number, extra),
                tier=Tier.INSIGHT,
                kind="rule",
                text=f"To {goal.text}, look at {rng.choice(_PLACES)} {extra + 1} first",
                scope=self._scope,
                data={"form": "hint", "data": {"trial": number, "number": extra}},
            )
            ops += [Add(insight), _link(task.id, insight.id, LinkType.SUPPORTS)]
        ops.append(_link(task.id, self._insights[0].id, LinkType.SUPPORTS))
        used = rng.sample(range(self.mix.trials), 3)
        receipt = digest("memory-ops receipt", self._seed, number)
        for other in used:
            ops.append(
                AddLink(similar(task.id, self.trial_id(other), round(rng.uniform(0.6, 1), 3)))
            )
            ops.append(_link(self.trial_id(other), task.id, LinkType.LED_TO, receipt))
        ops += [
            AddCredit(id_, role, receipt, uses=1.0, helped=1.0) for id_, role in self._credited(rng)
        ]
        ops.append(Close(task.id, 1, self._outcome(number)))
        return ops

    def trial_id(self, number: int) -> str:
        """The id of a trial."""
        return digest("memory-ops", self._seed, "trial", number)

    # --- records ----------------------------------------------------------------------------------

    def _random(self, *parts: str | int) -> random.Random:
        return random.Random(digest(self._seed, *parts))

    def _lengths(self) -> list[int]:
        """Steps of each trial: drawn around the mean, all of them in sum."""
        rng = self._random("lengths")
        weights = [rng.uniform(0.4, 1.6) for _ in range(self.mix.trials)]
        scale = (self.mix.steps - 6 * self.mix.trials) / sum(weights)
        lengths = [6 + int(weight * scale) for weight in weights]
        for number in range(self.mix.steps - sum(lengths)):
            lengths[number % len(lengths)] += 1
        return lengths

    def _goal(self, rng: random.Random) -> _Goal:
        activity = rng.randrange(len(_ACTIVITIES))
        (thing,) = rng.choices(_THINGS, _WEIGHTS)
        place, room, look = rng.choice(_PLACES), rng.choice(_ROOMS), rng.choice(_LOOKS)
        phrase = rng.choice(_ACTIVITIES[activity][1])
        text = phrase.format(thing=thing, place=place, room=room, look=look)
        return _Goal(activity, thing, place, room, text)

    def _insight(self, number: int) -> Record:
        rng = self._random("insight", number)
        thing = _THINGS[number % len(_THINGS)]
        place, room, look = rng.choice(_PLACES), rng.choice(_ROOMS), rng.choice(_LOOKS)
        form = rng.choice(("found_at", "found_at", "precedes", "hint", "hint"))
        text, data = {
            "found_at": (f"{thing} is found at {place}", {"thing": thing, "place": place}),
            "precedes": (
                f"'take {thing}' comes before 'put {thing} in {place}'",
                {"first": f"take {thing}", "then": f"put {thing} in {place}"},
            ),
            "hint": (
                f"A {look} {thing} is often kept in the {room}, on the {place}",
                {"thing": thing, "look": look, "room": room},
            ),
        }[form]
        if number == 0:
            form, text, data = "reveals", "'open {a}' shows what is there", {"action": "open {a}"}
        record = Record(
            id=digest("memory-ops", self._seed, "insight", number),
            tier=Tier.INSIGHT,
            kind="rule",
            text=text,
            scope=self._scope,
            data={"form": form, "data": data},
        )
        self._known.setdefault(thing, []).append(record.id)
        return record

    def _task(self, number: int, goal: _Goal, rng: random.Random) -> Record:
        self._texts.add(goal.text)
        id_ = self.trial_id(number)
        run = digest("memory-ops run", self._seed, number)
        won = self._outcome(number).succeeded
        around = sorted(rng.sample(_PLACES, 6))
        return Record(
            id=id_,
            tier=Tier.QUERY,
            kind="task",
            text=goal.text,
            scope=self._scope,
            task_key=digest(goal.text),
            provenance=Provenance("", "solver", "", run),
            data={"context": around},
            # The default strategy leaves what a success depended on, and what a failure did.
            summary="\n".join(_core(goal, rng)[: None if won else -1]),
        )

    def _step(self, task: Record, number: int, role: str, text: str, action: str = "") -> Record:
        return Record(
            id=digest("step", task.id, number),
            tier=Tier.INTERACTION,
            kind="action" if action else "utterance",
            text=text,
            scope=self._scope,
            task_key=task.task_key,
            provenance=Provenance("", role, role, task.provenance.run, task.id, number),
            data={"action": action} if action else {},
        )

    def _outcome(self, number: int) -> Outcome:
        """Seven of ten trials end well."""
        if self._random("outcome", number).random() < 0.7:
            return Outcome.success(judge="environment")
        return Outcome.failure("out of steps", judge="environment")

    # --- links and credit -------------------------------------------------------------------------

    def _relations(
        self, number: int, task: Record, goal: _Goal, rng: random.Random
    ) -> Iterator[Op]:
        alike = self._alike.setdefault((goal.activity, goal.thing), [])
        for other in islice(reversed(alike), 4):
            weight = round(rng.uniform(0.6, 1.0), 3)
            yield AddLink(similar(self.trial_id(other), task.id, weight))
        receipt = digest("memory-ops receipt", self._seed, number)
        used = set(rng.sample(alike, min(2, len(alike))))
        if 0 < number <= 4 * self.mix.popular and number % 4 == 0:
            used.add(0)
        for other in sorted(used):
            yield _link(self.trial_id(other), task.id, LinkType.LED_TO, receipt)
        if len(alike) < 512:
            alike.append(number)
        known = self._known.get(goal.thing, [])
        for insight in rng.sample(known, min(5, len(known))):
            refutes = rng.random() < 0.15
            yield _link(task.id, insight, LinkType.REFUTES if refutes else LinkType.SUPPORTS)
        if number < self.mix.trials:
            # More links than trials: each stands for a step at which the insight held.
            for step in range(number, self.mix.hub, self.mix.trials):
                via = digest("step", task.id, step // self.mix.trials)
                yield _link(task.id, self._insights[0].id, LinkType.SUPPORTS, via)

    def _credited(self, rng: random.Random) -> list[tuple[str, str]]:
        """Four trials and four insights, for one role; of few records some for two roles."""
        _, _, count = LONG_TRIAL
        half = count // 2
        chosen: list[tuple[str, str]] = []
        for ids in (
            [record.id for record in self._insights],
            [self.trial_id(number) for number in range(self.mix.trials)],
        ):
            some = rng.sample(ids, min(half, len(ids)))
            chosen += [
                (some[n % len(some)], f"solver {n // len(some)}" if n >= len(some) else "solver")
                for n in range(half)
            ]
        return chosen


def _link(src: str, dst: str, type_: LinkType, via: str = "") -> AddLink:
    return AddLink(Link(src=src, dst=dst, type=type_, via=via))


def _core(goal: _Goal, rng: random.Random) -> list[str]:
    """The actions that a success depended on."""
    thing, n = goal.thing, rng.randint(1, 4)
    source, m = rng.choice(_PLACES), rng.randint(1, 6)
    use = _ACTIVITIES[goal.activity][2].format(thing=thing, n=n, place=goal.place, m=m)
    return [
        f"go to {source} {m}",
        f"take {thing} {n} from {source} {m}",
        use,
        f"go to {goal.place} {m}",
        f"put {thing} {n} in {goal.place} {m}",
    ]


def _play(rng: random.Random, goal: _Goal, count: int) -> Iterator[tuple[str, str]]:
    """So many actions with what came of them: a search, then what the task asks for."""
    core = _core(goal, rng)[-count:]
    for _ in range(count - len(core)):
        place, n = rng.choice(_PLACES), rng.randint(1, 6)
        if rng.random() < 0.3:
            yield f"open {place} {n}", f"You open {place} {n}. {_scene(rng, place, n)}"
        else:
            yield f"go to {place} {n}", f"You arrive at {place} {n}. {_scene(rng, place, n)}"
    for action in core:
        yield action, f"You {action}. {_scene(rng, goal.place, rng.randint(1, 6))}"


def _scene(rng: random.Random, place: str, number: int) -> str:
    seen: Sequence[str] = [
        f"a {thing} {rng.randint(1, 4)}" for thing in rng.sample(_THINGS, rng.randint(2, 7))
    ]
    return f"On the {place} {number}, you see {', '.join(seen[:-1])} and {seen[-1]}."
