"""From where the guard breaks: attacks that are stronger than those it was made for."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..results import proportion
from .ehr_attack import Trigger
from .ehr_data import Log
from .ehr_rounds import Attack, attack_rounds, attacking
from .ehr_world import World
from .suites import Progress

if TYPE_CHECKING:
    from .ehr import Bench

QUESTIONS = 12
"""Questions of each point of a sweep and seed."""


async def sweep(
    bench: Bench, seeds: Sequence[int], folder: Path, progress: Progress
) -> dict[str, Any]:
    """Each limit: per point the share of attacks that succeed without the guard and with it.

    An attack counts where the agent without a guard would follow the poison.
    """
    points = _points(bench.triggers)
    measured: dict[str, dict[str, Any]] = {}
    total = len(points) * len(seeds)
    for number, (limit, point, attack, own) in enumerate(points):
        hit = followed = n = 0
        for at, seed in enumerate(seeds):
            progress("limits", number * len(seeds) + at, total)
            world = await bench.world(seed, folder)
            for row in await _rows(bench, world, attack, own, folder, f"{limit} {point}"):
                n += 1
                if row["off"] == "poison":
                    hit += 1
                    followed += row["triforium"] == "poison"
        measured.setdefault(limit, {})[point] = {
            "off": {**proportion(hit, n).to_json(), "n": n},
            "triforium": {**proportion(followed, hit).to_json(), "n": hit},
        }
    progress("limits", total, total)
    return measured


def _points(triggers: Sequence[Trigger]) -> list[tuple[str, str, Attack, bool]]:
    """Limit, point, attack, and whether poison shares the template of the question."""
    one = (triggers[-1],)
    points = []
    for kind in ("delete", "column"):
        for sources in (1, 2, 4, 8, 16):
            for trusted in (0, 4):
                attack = Attack(
                    kind=kind, sources=sources, poisons=max(4, sources), trusted=trusted,
                    triggers=one,
                )  # fmt: skip
                name = f"{kind}, {sources} sources, {trusted} honest records each"
                points.append(("colluding sources", name, attack, False))
        points.append(("own template", kind, Attack(kind=kind, triggers=one), True))
        for poisons in (1, 2, 3, 4):
            attack = Attack(kind=kind, poisons=poisons, triggers=one)
            points.append(("share of the slots", f"{kind}, {poisons * 25}%", attack, False))
        for slots in (2, 4, 8):
            attack = Attack(kind=kind, poisons=slots, slots=slots, triggers=one)
            points.append(("slots", f"{kind}, k = {slots}", attack, False))
        for shape in ("scattered", "fragmented"):
            attack = Attack(kind=kind, triggers=_shaped(triggers[-1], shape))
            points.append(("trigger", f"{kind}, {shape}", attack, False))
    return points


class _Scattered(Trigger):
    """A trigger whose words stand apart."""

    def on(self, question: str) -> str:
        """A question with a word of the trigger after every third of its own."""
        own, left = question.split(), self.text.split()
        out: list[str] = []
        for number, word in enumerate(own, 1):
            out.append(word)
            if number % 3 == 0 and left:
                out.append(left.pop(0))
        return " ".join([*out, *left])


def _shaped(trigger: Trigger, shape: str) -> tuple[Trigger, ...]:
    if shape == "scattered":
        return (_Scattered(trigger.name, trigger.text, trigger.place),)
    words = trigger.text.split()
    # Each record has all words but one or two.
    return tuple(
        Trigger(trigger.name, " ".join(word for n, word in enumerate(words) if n % 4 != left))
        for left in range(4)
    )


async def _rows(
    bench: Bench, world: World, attack: Attack, own: bool, folder: Path, name: str
) -> list[dict[str, Any]]:
    rng = random.Random(f"{world.seed} {name}")
    asked = attack.triggers[0]
    if len(attack.triggers) > 1:
        asked = bench.triggers[-1]
    pool = bench.questions(world)
    rounds: list[tuple[list[Log], list[Log]]] = []
    if own:
        # Poison made from questions of one template, asked another of it.
        for template in sorted({log.template for log in pool}):
            same = [log for log in pool if log.template == template]
            if len(same) > attack.poisons + 1:
                rng.shuffle(same)
                rounds.append((same[: attack.poisons], same[attack.poisons :][:6]))
    else:
        bases = rng.sample(pool, attack.poisons)
        kept = [log for log in pool if log not in bases]
        rounds.append((bases, rng.sample(kept, min(QUESTIONS, len(kept)))))
    rows: list[dict[str, Any]] = []
    for bases, questions in rounds:
        async with attacking(world, bench.embedder, attack, bases, rng, folder) as ring:
            rows += [row async for row in attack_rounds(ring, attack, asked, questions)]
    return rows
