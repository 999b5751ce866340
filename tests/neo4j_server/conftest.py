"""A memory that several of these tests begin with."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from triforium import embodied
from triforium.workflows.household import Household

from .servers import HOUSEHOLD


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SQLite file of a team that has played thirty household tasks; to be copied, not used."""
    path = tmp_path_factory.mktemp("played") / "team.db"

    async def play() -> None:
        world = Household(layouts=2)
        async with embodied(world).open(store=f"sqlite:///{path}") as app:
            assert app.memory.scope == HOUSEHOLD
            async for run in app.stream(world.tasks(30)):
                assert run.outcome is not None

    asyncio.run(play())
    return path
