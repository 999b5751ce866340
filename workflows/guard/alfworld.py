"""Suite `alfworld`: poisoned experience in ALFWorld games; needs the extra and the games."""

from __future__ import annotations

import random

from ...errors import InvalidInput
from ..alfworld import ALFWorld
from .suites import GuardSettings, Progress, SuiteResult
from .worlds import Scene, measure

MAX_STEPS = 30


async def run(settings: GuardSettings, progress: Progress) -> SuiteResult:
    """Measure the suite; ``games`` is the folder of games, such as json_2.1.1/valid_seen.

    Half of the games are shown, and told of wrongly; the other half is played. A seed draws the
    halves. Options: ``tests`` and ``shown``, games of each seed; ``arms`` and ``log`` as in
    `measure`.
    """
    folder = settings.folder()
    world = ALFWorld(folder)
    games = list(world.tasks(1_000_000))
    if len(games) < 4:
        raise InvalidInput(f"{folder} holds {len(games)} games, too few for two halves.")
    scenes = []
    for seed in settings.seeds:
        drawn = random.Random(f"halves/{seed}").sample(games, len(games))
        half = len(drawn) // 2
        tests = drawn[half:][: settings.number("tests", half)]
        shown = drawn[:half][: settings.number("shown", half)]
        scenes.append(Scene(world, shown, shown, tests, MAX_STEPS, seed))
    return await measure(settings, progress, scenes)
