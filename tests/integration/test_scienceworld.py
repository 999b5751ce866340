"""ScienceWorld, against its real simulator."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Sequence

import pytest

from triforium.agents.environment import Task
from triforium.errors import InvalidInput, InvalidTask, MissingExtra
from triforium.testing.environment_conformance import EnvironmentConformance
from triforium.workflows import scienceworld
from triforium.workflows.embodied import replay
from triforium.workflows.scienceworld import ScienceWorld
from triforium.workflows.worlds import World

needs_scienceworld = pytest.mark.skipif(
    importlib.util.find_spec("scienceworld") is None or shutil.which("java") is None,
    reason="ScienceWorld needs Java and its package: pip install 'triforium[scienceworld]'",
)
SMALL = ScienceWorld(("find-plant", "lifespan-longest-lived"), "train", 1)


@needs_scienceworld
@pytest.mark.timeout(180)
class TestScienceWorldConformance(EnvironmentConformance):
    longest_pause = 1.0

    @pytest.fixture
    def world(self) -> World:
        return SMALL

    async def test_what_the_demonstration_does_is_admissible(
        self, world: World, tasks: Sequence[Task]
    ) -> None:
        """The simulator knows actions by more names than it offers; what it offers is sorted."""
        environment = world.environment()
        try:
            offered = (await environment.reset(tasks[0])).actions
            assert offered
            assert list(offered) == sorted(set(offered))
        finally:
            await environment.close()


@needs_scienceworld
@pytest.mark.timeout(180)
async def test_the_gold_path_wins_and_progress_rises() -> None:
    (task,) = SMALL.tasks(1)
    assert task.kind == "find-plant"
    assert "plant" in task.goal
    environment = SMALL.environment()
    try:
        played = await replay(environment, task, await SMALL.demonstration(task))
        progress = [observed.progress or 0.0 for _, observed in played]
        assert progress[0] == 0.0
        assert played[-1][1].won
        assert progress[-1] == 1.0
        assert progress == sorted(progress)
        assert (await environment.step("look around")).text == scienceworld.NOTHING
    finally:
        await environment.close()


@needs_scienceworld
@pytest.mark.timeout(180)
def test_train_and_test_share_no_variation() -> None:
    def variations(split: str) -> set[str]:
        return {task.id for task in ScienceWorld(("find-plant",), split, 3).tasks(3)}

    assert not variations("train") & variations("test")


@pytest.mark.parametrize("data", [{}, {"task": "boil", "variation": -1, "how": "easy"}])
async def test_another_task_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(InvalidTask, match="ScienceWorld task"):
        await SMALL.environment().reset(Task("x", "y", data=data))


@needs_scienceworld
def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(InvalidInput, match="it has boil"):
        ScienceWorld(("bake",)).tasks(1)


@pytest.mark.parametrize("wrong", [{"split": "all"}, {"per_kind": 0}, {"kinds": ()}])
def test_settings_that_make_no_world(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        ScienceWorld(**wrong)  # type: ignore[arg-type]


def test_without_java_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises((InvalidInput, MissingExtra), match=r"Java|scienceworld"):
        scienceworld.start()


def kinds(tasks: Sequence[Task]) -> list[str]:
    return [task.kind for task in tasks]


@needs_scienceworld
@pytest.mark.timeout(180)
def test_kinds_come_in_turn() -> None:
    world = ScienceWorld(("find-plant", "find-animal"), "dev", 2)
    assert kinds(world.tasks(3)) == ["find-plant", "find-animal", "find-plant"]
