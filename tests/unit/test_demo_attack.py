"""What the demo says of its attack is what the attacker wrote, and why that is held."""

from __future__ import annotations

from triforium.memory import Memory
from triforium.workflows.demo_attack import MALLORY, reason_of, written_trials
from triforium.workflows.guard.planting import Play, plant


def told(source: str, number: int) -> Play:
    return Play(source=source, task="boil an egg", steps=(("boil egg 1", "done"),), run=f"{number}")


async def test_the_demo_counts_what_was_written_and_tells_why_it_is_held() -> None:
    async with Memory.open("sqlite://", embedder=None) as memory:
        assert await written_trials(memory) == 0
        bad = [one.id for one in await plant(memory, [told(MALLORY, n) for n in range(3)])]
        (good,) = await plant(memory, [told("ann", 9)])
        assert reason_of(await memory.quarantined()) == ""
        await memory.quarantine(bad, reason="it ends elsewhere")
        await memory.quarantine([good.id], reason="by mistake")
        held = await memory.quarantined()
        assert held[0].reason == "by mistake", "the newest comes first"
        assert reason_of(held) == "it ends elsewhere"
        assert await written_trials(memory) == 3
