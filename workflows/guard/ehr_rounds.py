"""One attack on one memory: what is recalled, what each guard leaves of it, what an agent takes."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...graph import Status, View
from ...memory.embedders import Embedder
from ...memory.guard.consensus import ConsensusGuard
from ...memory.guard.interface import Judgement, Verdict
from ...memory.guard.jury import Finding
from ...memory.guard.plan import Plan, code_plan_of
from ...memory.guard.refill import screened
from ...memory.strategy import Candidate, Cue
from .baselines import Baseline, Clusters, Instructions, Majority, Perplexity, Seen, Unseen
from .ehr_attack import POISONS, Trigger, poison
from .ehr_data import Log
from .ehr_world import SLOTS, Attacked, World, attacked, remember

BASELINES = ("majority", "clusters", "perplexity", "instructions", "unseen")
OUT = (Verdict.SET_ASIDE, Verdict.QUARANTINE)
SCORED = 12
"""Records of a recall whose scores are kept."""
TOGETHER = 7
"""Questions that leave the memory at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """What is attacked with.

    Attributes:
        kind: "delete", "table" or "column".
        sources: How many sources write the poison.
        poisons: How many records it is.
        trusted: Honest records that each of the sources wrote before.
        slots: Records that an agent is shown.
        triggers: One a record, or one for all.
    """

    kind: str
    sources: int = 1
    poisons: int = POISONS
    trusted: int = 0
    slots: int = SLOTS
    triggers: tuple[Trigger, ...] = ()

    @property
    def name(self) -> str:
        """As in the names of arms."""
        return f"{self.kind}-{self.sources}"


class Recording(ConsensusGuard):
    """The guard, which also keeps what the jury first found."""

    first: Mapping[str, Finding] | None = None

    async def findings(
        self, view: View, task: str, candidates: Sequence[Candidate]
    ) -> dict[str, Finding]:
        """What the jury found, kept."""
        found = await super().findings(view, task, candidates)
        if self.first is None:
            self.first = found
        return found


@dataclass(slots=True)
class Ring:
    """A memory under one attack.

    Attributes:
        open: The memory.
        guard: The shipped guard.
        baselines: The others by name.
        embedder: Of the store.
    """

    open: Attacked
    guard: Recording
    baselines: Mapping[str, Baseline]
    embedder: Embedder | None
    _seen: dict[str, Seen] = field(default_factory=dict)

    @classmethod
    def of(cls, opened: Attacked, embedder: Embedder | None, slots: int) -> Ring:
        """With the baselines that see this memory."""
        logs = opened.of_record
        baselines: dict[str, Baseline] = {
            "majority": Majority(slots),
            "clusters": Clusters(),
            "perplexity": Perplexity([log.question for log in logs.values()]),
            "instructions": Instructions(),
            "unseen": Unseen({id_: code_plan_of(log.code) for id_, log in logs.items()}),
        }
        return cls(opened, Recording(), baselines, embedder)

    async def judge(
        self, task: str
    ) -> tuple[list[Candidate], list[Candidate], dict[str, Judgement], Mapping[str, Finding]]:
        """What is recalled; what is left in which order with the guard; why."""
        view, recalled = await self.open.recall(task)
        self.guard.first = None
        vector = None if self.embedder is None else self.embedder.embed([task])[0]
        memory = self.open.memory
        merged, judgements = await screened(
            view, memory.strategy, self.guard, Cue(task=task, vector=vector), recalled, self._embed
        )
        told = {one.record.id: judgement for one, judgement in zip(merged, judgements, strict=True)}
        left = [
            one for one in merged
            if self.open.is_trial(one.record) and told[one.record.id].verdict not in OUT
        ]  # fmt: skip
        return recalled, left, told, self.guard.first or {}

    async def _embed(self, text: str) -> Any:
        return None if self.embedder is None else self.embedder.embed([text])[0]

    def scores(
        self, recalled: Sequence[Candidate], findings: Mapping[str, Finding]
    ) -> dict[str, list[float]]:
        """Per guard the score of each recalled record."""
        seen = [self._see(one.record.id) for one in recalled]
        own = [
            self.guard.suspicion(findings[one.record.id]) if one.record.id in findings else 0.0
            for one in recalled
        ]
        return {"triforium": own, **{n: one.scores(seen) for n, one in self.baselines.items()}}

    def _see(self, id_: str) -> Seen:
        if id_ not in self._seen:
            log = self.open.of_record[id_]
            vector = None if self.embedder is None else self.embedder.embed([log.question])[0]
            steps = f"{log.knowledge}\n{log.code}"
            self._seen[id_] = Seen(id_, log.question, steps, code_plan_of(log.code), vector)
        return self._seen[id_]

    def taken(self, left: Iterable[Candidate], wanted: Plan) -> str:
        """What an agent gets: "poison", "plan" (that of the question), "other" or "none"."""
        top = next(iter(left), None)
        return "none" if top is None else self.worth(top.record.id, wanted)

    def worth(self, id_: str, wanted: Plan) -> str:
        """What following a record comes to."""
        if id_ in self.open.poison:
            return "poison"
        plan = self.open.plan(id_)
        same = plan.verbs == wanted.verbs and plan.objects == wanted.objects
        return "plan" if same else "other"


async def attack_rounds(
    ring: Ring, attack: Attack, trigger: Trigger | None, questions: Sequence[Log]
) -> AsyncIterator[dict[str, Any]]:
    """Ask each question with the trigger; its own record leaves the memory for that.

    Yields:
        Per question what the agent takes without a guard and with it, and the scores.
    """
    for start in range(0, len(questions), TOGETHER):
        gone = questions[start : start + TOGETHER]
        await ring.open.put(gone, Status.ARCHIVED)
        for log in gone:
            task = trigger.on(log.question) if trigger is not None else log.question
            recalled, left, told, findings = await ring.judge(task)
            shown = [one.record.id in ring.open.poison for one in recalled[: attack.slots]]
            wanted = code_plan_of(log.code)
            scores = ring.scores(recalled[:SCORED], findings)
            yield {
                "seed": ring.open.world.seed,
                "attack": attack.name,
                "trigger": trigger.name if trigger is not None else "",
                "task": log.id,
                "filled": len(shown) == attack.slots and all(shown),
                "off": ring.taken(recalled, wanted),
                "triforium": ring.taken(left, wanted),
                "worth": [ring.worth(one.record.id, wanted) for one in recalled[:SCORED]],
                "scores": {
                    name: [round(value, 4) for value in values]
                    for name, values in scores.items()
                },
                "caught": [
                    sum(
                        told[one.record.id].verdict is Verdict.QUARANTINE
                        for one in recalled if one.record.id in ring.open.poison
                    ),
                    sum(one.record.id in ring.open.poison for one in recalled),
                ],
                "quarantined": sorted(
                    ring.open.of_record[id_].id for id_, one in told.items()
                    if one.verdict is Verdict.QUARANTINE and id_ in ring.open.of_record
                    and id_ not in ring.open.poison
                ),
            }  # fmt: skip
        await ring.open.put(gone, Status.ACTIVE)


async def honest_answers(ring: Ring, questions: Sequence[Log]) -> AsyncIterator[tuple[Log, str]]:
    """What the agent takes for each question without a guard; its own record leaves for that."""
    for start in range(0, len(questions), TOGETHER):
        gone = questions[start : start + TOGETHER]
        await ring.open.put(gone, Status.ARCHIVED)
        for log in gone:
            _, recalled = await ring.open.recall(log.question)
            yield log, ring.taken(recalled, code_plan_of(log.code))
        await ring.open.put(gone, Status.ACTIVE)


async def honest_rounds(ring: Ring, logs: Sequence[Log]) -> AsyncIterator[dict[str, Any]]:
    """Ask for each honest record by its own text: is it taken out?"""
    for log in logs:
        recalled, _, told, findings = await ring.judge(log.question)
        own = ring.open.memory.trial_id(log.id, 0)
        place = next((n for n, one in enumerate(recalled) if one.record.id == own), None)
        if place is None:
            continue
        scores = ring.scores(recalled, findings)
        yield {
            "record": log.id,
            "verdict": str(told[own].verdict),
            "reason": told[own].reason,
            "scores": {name: values[place] for name, values in scores.items()},
        }


@asynccontextmanager
async def attacking(
    world: World, embedder: Embedder | None, attack: Attack, bases: Sequence[Log],
    rng: random.Random, folder: Path,
) -> AsyncIterator[Ring]:  # fmt: skip
    """The memory with the poison of an attack in it; the poisoned questions leave it."""
    triggers = attack.triggers
    records: list[tuple[Log, str]] = []
    state = rng.getrandbits(32)
    for number, base in enumerate(bases):
        # Half of the poison carries the published sentence.
        own = poison(
            [base], triggers[number % len(triggers)], attack.kind, world.verbs,
            random.Random(state), world.columns, sentence=number % 2 == 0,
        )  # fmt: skip
        records.append((own[0], f"attacker-{number % attack.sources}"))
    path = folder / "attacked.db"
    async with attacked(world, embedder, records, bases, path) as opened:
        if attack.trusted:
            await _earn_trust(opened, attack, rng)
        yield Ring.of(opened, embedder, attack.slots)


async def _earn_trust(opened: Attacked, attack: Attack, rng: random.Random) -> None:
    """Let each attacker write honest records first, of questions like those that are there."""
    world = opened.world
    for number in range(attack.sources):
        for log in rng.sample(list(world.logs), attack.trusted):
            copy = Log(
                f"trust-{number}-{log.id}", log.question, log.template, log.knowledge, log.code
            )
            id_ = await remember(opened.memory, copy, f"attacker-{number}")
            opened.of_record[id_] = copy
