"""Three topologies play the same household tasks, each with a memory of its own that grows."""

import asyncio
import sys

from triforium import embodied
from triforium.workflows.household import Household


async def main(count: int) -> None:
    world = Household(layouts=2)
    tasks = world.tasks(count)
    for topology in ("solver-critic", "chain", "supervisor"):
        async with embodied(world, topology=topology).open() as app:
            runs = [run async for run in app.stream(tasks)]
            sent = app.bus.statistics().sent["request"]
        solved = sum(bool(run.outcome.succeeded) for run in runs)
        print(f"{topology:14} {solved} of {count} solved, {sent} activations")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10))
