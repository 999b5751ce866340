"""What every task world promises, as tests.

Subclass `EnvironmentConformance` in a test module and override the fixture `world`::

    class TestMyWorld(EnvironmentConformance):
        @pytest.fixture
        def world(self) -> World:
            return MyWorld()

The tests are coroutines: run them with pytest-asyncio in its mode "auto".
"""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import asdict
from time import perf_counter

import pytest

from triforium.agents.environment import Environment, Observation, Task
from triforium.workflows.worlds import World

IMPOSSIBLE = "fold the moon into a paper boat"
"""An action that no world admits."""


async def play(environment: Environment, task: Task, actions: Sequence[str]) -> list[Observation]:
    """Reset and perform actions; returns all observations, that of the reset first."""
    return [await environment.reset(task), *[await environment.step(action) for action in actions]]


class EnvironmentConformance:
    """The guarantees of `World` and `Environment`, one test per promise.

    Attributes:
        longest_pause: Seconds for which the event loop may stand still.
    """

    longest_pause = 0.25

    @pytest.fixture
    def world(self) -> World:
        """The world under test; it must know a demonstration of its first two tasks."""
        raise NotImplementedError("Override the fixture `world`.")

    @pytest.fixture
    def tasks(self, world: World) -> Sequence[Task]:
        """Two tasks that the tests play."""
        return world.tasks(2)

    def test_tasks_are_the_same_for_the_same_arguments(self, world: World) -> None:
        """Drawing again gives the same tasks; a shorter draw is the beginning of a longer one."""
        tasks = list(world.tasks(2, seed=3))
        assert tasks == list(world.tasks(2, seed=3))
        assert list(world.tasks(1, seed=3)) == tasks[:1]
        assert list(world.tasks(0, seed=3)) == []

    def test_tasks_have_ids_and_goals(self, world: World) -> None:
        """Ids are unique within a stream, goals are not empty."""
        tasks = world.tasks(20)
        assert len({task.id for task in tasks}) == len(tasks) > 0
        assert all(task.id and task.goal and task.kind for task in tasks)

    async def test_a_task_is_plain_data(self, world: World, tasks: Sequence[Task]) -> None:
        """A task that went through JSON plays like the original."""
        copy = Task(**json.loads(json.dumps(asdict(tasks[0]))))
        actions = await world.demonstration(tasks[0])
        async with aclosing(_Open(world)) as one, aclosing(_Open(world)) as other:
            assert await play(one.environment, tasks[0], actions) == await play(
                other.environment, copy, actions
            )

    async def test_replay_gives_the_same_observations(
        self, world: World, tasks: Sequence[Task]
    ) -> None:
        """The same task, seed and actions: in another environment, and again in the first."""
        actions = await world.demonstration(tasks[0])
        async with aclosing(_Open(world)) as one, aclosing(_Open(world)) as other:
            first = await play(one.environment, tasks[0], actions)
            assert await play(other.environment, tasks[0], actions) == first
            await play(one.environment, tasks[1], [])
            assert await play(one.environment, tasks[0], actions) == first

    async def test_an_inadmissible_action_changes_nothing(
        self, world: World, tasks: Sequence[Task]
    ) -> None:
        """It is answered in text, and what follows is as if it had not been tried."""
        actions = await world.demonstration(tasks[0])
        async with aclosing(_Open(world)) as one:
            undisturbed = await play(one.environment, tasks[0], actions)
            seen = [await one.environment.reset(tasks[0])]
            for action in actions:
                answer = await one.environment.step(IMPOSSIBLE)
                assert answer.text
                assert (answer.actions, answer.won) == (seen[-1].actions, seen[-1].won)
                seen.append(await one.environment.step(action))
            assert seen == undisturbed

    async def test_won_only_at_the_goal(self, world: World, tasks: Sequence[Task]) -> None:
        """The demonstration wins with its last action and not before; then it is over."""
        for task in tasks:
            actions = await world.demonstration(task)
            async with aclosing(_Open(world)) as one:
                *before, last = await play(one.environment, task, actions)
            assert before
            assert not any(observation.won or observation.done for observation in before)
            assert last.won
            assert last.done

    async def test_what_the_demonstration_does_is_admissible(
        self, world: World, tasks: Sequence[Task]
    ) -> None:
        """Where a world lists admissible actions, the list is sorted, free of copies and true."""
        actions = await world.demonstration(tasks[0])
        async with aclosing(_Open(world)) as one:
            seen = await play(one.environment, tasks[0], actions)
        for observation, action in zip(seen, actions, strict=False):
            if observation.actions is not None:
                assert action in observation.actions
                assert list(observation.actions) == sorted(set(observation.actions))

    async def test_environments_are_independent(self, world: World, tasks: Sequence[Task]) -> None:
        """Two that play at the same time answer as each does alone."""
        walks = [await world.demonstration(task) for task in tasks]
        async with aclosing(_Open(world)) as one, aclosing(_Open(world)) as other:
            environments = (one.environment, other.environment)
            together = await asyncio.gather(*map(play, environments, tasks, walks))
            alone = [await play(one.environment, *pair) for pair in zip(tasks, walks, strict=True)]
        assert list(together) == alone

    async def test_the_event_loop_is_not_blocked(self, world: World, tasks: Sequence[Task]) -> None:
        """While an episode is set up and played, other tasks of the loop go on."""
        actions = await world.demonstration(tasks[0])
        longest, playing = 0.0, True

        async def beat() -> None:
            nonlocal longest
            last = perf_counter()
            while playing:
                await asyncio.sleep(0.001)
                longest, last = max(longest, perf_counter() - last), perf_counter()

        # Pauses of the garbage collector are not the environment's.
        gc.collect()
        gc.disable()
        try:
            heart = asyncio.create_task(beat())
            # The heart must be at its first pause before the episode begins.
            await asyncio.sleep(0)
            async with aclosing(_Open(world)) as one:
                await play(one.environment, tasks[0], actions)
            playing = False
            await heart
        finally:
            gc.enable()
        assert longest < self.longest_pause

    async def test_close_may_be_repeated(self, world: World, tasks: Sequence[Task]) -> None:
        """Closing an environment twice, or one that never played, is no error."""
        unused, used = world.environment(), world.environment()
        await unused.close()
        await used.reset(tasks[0])
        await used.close()
        await used.close()


class _Open:
    """An environment that `aclosing` can close."""

    def __init__(self, world: World) -> None:
        self.environment = world.environment()

    async def aclose(self) -> None:
        await self.environment.close()
