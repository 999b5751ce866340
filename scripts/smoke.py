"""Uses an installed triforium the way its first user would, in the current folder."""

import asyncio
import importlib.util
import subprocess
import sys
import time
from pathlib import Path

started = time.perf_counter()
import triforium  # noqa: E402

print(f"import triforium: {time.perf_counter() - started:.3f} s")

from triforium import Memory, Outcome, embodied  # noqa: E402
from triforium.workflows.household import Household  # noqa: E402


async def main() -> None:
    """One trial remembered, and one household task played."""
    async with Memory.open("sqlite:///smoke.db") as memory:
        trial = await memory.begin("open the door", run="smoke")
        await memory.observe(trial, "It opens.", action="turn the knob")
        await memory.commit(trial, Outcome.success())
        recalled = await memory.recall("open the door")
        assert recalled.cases[0].steps[0].action == "turn the knob", recalled
    world = Household()
    async with embodied(world).open(store="sqlite://") as app:
        runs = [run async for run in app.stream(world.tasks(1))]
    assert runs[0].steps > 0, runs


asyncio.run(main())
assert Path(triforium.__file__).with_name("py.typed").exists()
for name in ("agents", "memory", "graph", "workflows"):
    assert importlib.util.find_spec(name) is None, f"{name} is importable under its bare name"
command = Path(sys.executable).with_name("triforium")
told = subprocess.run(
    [command, "stats", "--store", "sqlite:///smoke.db"], capture_output=True, text=True, check=True
)
assert "query/task" in told.stdout, told.stdout
print("The wheel works.")
