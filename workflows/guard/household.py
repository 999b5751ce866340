"""Suite `household`: poisoned experience in the bundled household world; needs no data."""

from __future__ import annotations

from ..household import Household
from .suites import GuardSettings, Progress, SuiteResult
from .worlds import Scene, measure

HOUSES = 8
FIRST = 1000
"""Number of the first house: not among those that the guard was developed in."""
SHOWN, TOLD, TESTS = 80, 400, 100


async def run(settings: GuardSettings, progress: Progress) -> SuiteResult:
    """Measure the suite.

    Options: ``tests`` and ``shown``, tasks of each seed; ``arms``, see `measure`.
    """
    shown = settings.number("shown", SHOWN)
    tests = settings.number("tests", TESTS)
    scenes = []
    for seed in settings.seeds:
        world = Household(HOUSES, FIRST + HOUSES * seed)
        tasks = world.tasks(shown + tests, seed=seed)
        told = world.tasks(round(TOLD * shown / SHOWN), seed=FIRST + seed)
        scenes.append(Scene(world, tasks[:shown], told, tasks[shown:], 30, seed))
    return await measure(settings, progress, scenes)
