"""ALFWorld's real games through the adapter; needs the extra `alfworld`, most tests the games."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from triforium.agents.environment import Task
from triforium.errors import InvalidGame, InvalidInput, InvalidTask, MissingExtra
from triforium.testing.environment_conformance import EnvironmentConformance, play
from triforium.workflows import alfworld_game
from triforium.workflows.alfworld import GAME_FILE, ALFWorld
from triforium.workflows.worlds import World

VARIABLE = "TRIFORIUM_ALFWORLD_GAMES"

needs_alfworld = pytest.mark.skipif(
    importlib.util.find_spec("textworld") is None or importlib.util.find_spec("alfworld") is None,
    reason="ALFWorld is not installed: pip install 'triforium[alfworld]'",
)


@pytest.fixture
def games() -> Path:
    folder = os.environ.get(VARIABLE)
    if not folder:
        pytest.skip(
            f"{VARIABLE} is not set: download ALFWorld's games (pip install alfworld, then "
            "alfworld-download) and give it the folder json_2.1.1/valid_seen"
        )
    return Path(folder)


@pytest.fixture
def world(games: Path) -> ALFWorld:
    return ALFWorld(games)


@needs_alfworld
class TestALFWorldConformance(EnvironmentConformance):
    @pytest.fixture
    def world(self, games: Path) -> World:
        return ALFWorld(games)

    @pytest.fixture
    def tasks(self, world: World) -> Sequence[Task]:
        """Small games of two kinds."""
        by_kind = {task.kind: task for task in world.tasks(1000)}
        return list(by_kind.values())[:2]


def reference(path: Path, commands: Sequence[str], seed: int) -> list[tuple[Any, ...]]:
    """What TextWorld itself answers: the commands, with random ones in between."""
    arguments = sys.argv
    textworld = importlib.import_module("textworld")
    wrappers = [importlib.import_module("alfworld.agents.environment.alfred_tw_env")]
    infos = textworld.EnvInfos(won=True, admissible_commands=True)
    try:
        environment = textworld.start(str(path), infos, [wrappers[0].AlfredDemangler])
        state = environment.reset()
    finally:
        sys.argv = arguments
    answers = [("", state.feedback, tuple(state.admissible_commands), state.won)]
    rng = random.Random(seed)
    for command in commands:
        stray = rng.choice(state.admissible_commands)
        for action in (stray, command):
            state, _, _ = environment.step(action)
            answers.append((action, state.feedback, tuple(state.admissible_commands), state.won))
    return answers


@needs_alfworld
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_games_answer_exactly_as_textworld_does(world: ALFWorld) -> None:
    """The smallest game of each kind; TextWorld leaves its files open, hence the filter."""
    by_size = sorted(world.tasks(1000), key=lambda task: -world.read(task).path.stat().st_size)
    tasks = {task.kind: task for task in by_size}
    for number, task in enumerate(tasks.values()):
        file = world.read(task)
        first, *rest = reference(file.path, file.walkthrough, number)
        game = alfworld_game.Game.load(file)
        reply = game.reset()
        assert ("", reply.text, reply.commands, reply.won) == first
        for action, *answer in rest:
            reply = game.step(action)
            assert [reply.text, reply.commands, reply.won] == answer, (task.id, action)
        game.close()


@needs_alfworld
async def test_walkthroughs_win(world: ALFWorld) -> None:
    environment = world.environment()
    for task in world.tasks(12, seed=1):
        *before, last = await play(environment, task, await world.demonstration(task))
        assert last.won, task.id
        assert not any(observation.won for observation in before), task.id
    await environment.close()


@needs_alfworld
async def test_what_agents_see(world: ALFWorld) -> None:
    [task] = world.tasks(1)
    environment = world.environment()
    observation = await environment.reset(task)
    assert observation.text.startswith("You are in the middle of a room.")
    assert observation.text.endswith(f"Your task is to: {task.goal}.")
    assert observation.actions is not None
    assert "help" not in observation.actions
    assert {"look", "inventory"} < set(observation.actions)
    await environment.close()


@needs_alfworld
async def test_tasks_name_folder_trial_and_kind(world: ALFWorld) -> None:
    tasks = world.tasks(1000)
    assert [task.data["game"] for task in tasks] == sorted(task.data["game"] for task in tasks)
    for task in tasks:
        folder, trial = task.id.split("/")
        assert task.data["game"].endswith(f"{folder}/{trial}/{GAME_FILE}")
        assert task.kind == folder.split("-")[0]
    assert world.tasks(1000, seed=1) != tasks
    assert {task.id for task in world.tasks(1000, seed=1)} == {task.id for task in tasks}


@needs_alfworld
async def test_nothing_of_the_process_is_changed(
    world: ALFWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    arguments, output = list(sys.argv), sys.stdout
    threads = threading.active_count()
    [task] = world.tasks(1)
    environment = world.environment()
    await play(environment, task, ["look"])
    await environment.close()
    assert (sys.argv, sys.stdout) == (arguments, output)
    assert capfd.readouterr() == ("", "")
    assert os.listdir(tmp_path) == []
    for thread in threading.enumerate():
        if thread.name.startswith("alfworld"):
            thread.join(10)
    assert threading.active_count() <= threads


@needs_alfworld
async def test_a_cancelled_reset_leaves_the_environment_usable(world: ALFWorld) -> None:
    one, other = world.tasks(2)
    environment, undisturbed = world.environment(), world.environment()
    reset = asyncio.create_task(environment.reset(one))
    await asyncio.sleep(0)
    reset.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reset
    actions = await world.demonstration(other)
    with pytest.raises(InvalidInput, match="reset"):
        await environment.step(actions[0])
    assert await play(environment, other, actions) == await play(undisturbed, other, actions)
    await environment.close()
    await undisturbed.close()


@needs_alfworld
async def test_a_cancelled_step_ends_the_episode(world: ALFWorld) -> None:
    [task] = world.tasks(1)
    environment = world.environment()
    first = await environment.reset(task)
    step = asyncio.create_task(environment.step("look"))
    await asyncio.sleep(0)
    step.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step
    with pytest.raises(InvalidInput, match="reset"):
        await environment.step("look")
    assert await environment.reset(task) == first
    await environment.close()


@needs_alfworld
def test_observations_do_not_depend_on_the_hash_seed(world: ALFWorld) -> None:
    """A run may be resumed by another process, which hashes text differently."""
    script = (
        "import sys; from pathlib import Path; from triforium.workflows.alfworld_game import *\n"
        "file = read_game(Path(sys.argv[1])); game = Game.load(file)\n"
        "print(game.reset(), *map(game.step, ('look', *file.walkthrough)))"
    )
    path = str(world.read(world.tasks(1)[0]).path)
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script, path],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert "won=True" in outputs.pop()


# --- bad input: no games needed -------------------------------------------------------------------


GRAMMAR = '{"task": [{"rhs": "Your task is to: put a mug on desk."}]}'


@pytest.fixture
def game(tmp_path: Path) -> Path:
    """A file with the fields of a game, and nothing in them that could be played."""
    path = tmp_path / "pick_and_place_simple-Mug-None-Desk-1" / "trial_1" / GAME_FILE
    path.parent.mkdir(parents=True)
    fields = {"pddl_domain": "(", "pddl_problem": "(", "grammar": GRAMMAR, "walkthrough": ["look"]}
    path.write_text(json.dumps(fields))
    return path


async def test_tasks_are_listed_without_loading_games(game: Path, tmp_path: Path) -> None:
    expected = Task(
        "pick_and_place_simple-Mug-None-Desk-1/trial_1",
        "put a mug on desk",
        "pick_and_place_simple",
        {"game": f"pick_and_place_simple-Mug-None-Desk-1/trial_1/{GAME_FILE}"},
    )
    assert list(ALFWorld(tmp_path).tasks(5)) == [expected]
    assert await ALFWorld(tmp_path).demonstration(expected) == ["look"]
    [alone] = ALFWorld(game).tasks(5)
    assert alone.id == expected.id
    assert ALFWorld(game).read(alone).path == game


def test_unsolvable_games_are_left_out(game: Path, tmp_path: Path) -> None:
    game.write_text(json.dumps({**json.loads(game.read_text()), "solvable": False}))
    assert list(ALFWorld(tmp_path).tasks(5)) == []


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\x00\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "lacks"),
        (b'{"pddl_domain": "d"}', "lacks"),
        (b'{"pddl_domain": "d", "pddl_problem": "p", "grammar": "no text"}', "Your task is to"),
    ],
)
def test_a_file_that_is_no_game(game: Path, tmp_path: Path, content: bytes, why: str) -> None:
    game.write_bytes(content)
    with pytest.raises(InvalidGame, match="is not an ALFWorld game") as caught:
        ALFWorld(tmp_path).tasks(1)
    assert why in str(caught.value)
    assert str(game) in str(caught.value)


def test_a_file_too_large_to_be_a_game(
    game: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alfworld_game, "LARGEST_GAME", 10)
    with pytest.raises(InvalidGame, match="too large"):
        ALFWorld(tmp_path).tasks(1)


def test_folders_without_games_and_archives(tmp_path: Path) -> None:
    with pytest.raises(InvalidGame, match="no ALFWorld games"):
        ALFWorld(tmp_path).tasks(1)
    with pytest.raises(InvalidGame, match="no ALFWorld games"):
        ALFWorld(tmp_path / "missing").tasks(1)
    archive = tmp_path / "valid_seen.tar.gz"
    archive.touch()
    with pytest.raises(InvalidGame, match="Unpack it"):
        ALFWorld(archive).tasks(1)
    with pytest.raises(InvalidInput):
        ALFWorld(tmp_path).tasks(-1)


def test_two_games_of_one_name(game: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy" / game.relative_to(tmp_path)
    copy.parent.mkdir(parents=True)
    copy.write_bytes(game.read_bytes())
    with pytest.raises(InvalidGame, match="Two games"):
        ALFWorld(tmp_path).tasks(5)


@pytest.mark.parametrize("data", [{}, {"game": 3}, {"game": "../x"}, {"game": "/etc/passwd"}])
async def test_a_foreign_task_is_refused(tmp_path: Path, data: dict[str, Any]) -> None:
    environment = ALFWorld(tmp_path).environment()
    with pytest.raises(InvalidTask, match="not an ALFWorld task"):
        await environment.reset(Task("t", "goal", data=data))
    await environment.close()


async def test_a_game_that_has_gone(game: Path, tmp_path: Path) -> None:
    world = ALFWorld(tmp_path)
    [task] = world.tasks(1)
    os.unlink(game)
    environment = world.environment()
    with pytest.raises(InvalidGame, match="cannot be read"):
        await environment.reset(task)
    with pytest.raises(InvalidInput, match="reset"):
        await environment.step("look")
    await environment.close()


@needs_alfworld
async def test_a_game_that_textworld_cannot_load(game: Path, tmp_path: Path) -> None:
    world = ALFWorld(tmp_path)
    [task] = world.tasks(1)
    environment = world.environment()
    with pytest.raises(InvalidGame, match="TextWorld cannot load"):
        await environment.reset(task)
    await environment.close()


@pytest.fixture
def without_textworld(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fast_downward", None)


async def test_the_extra_is_missing(game: Path, tmp_path: Path, without_textworld: None) -> None:
    world = ALFWorld(tmp_path)
    [task] = world.tasks(1)
    environment = world.environment()
    with pytest.raises(MissingExtra, match=r"triforium\[alfworld\]"):
        await environment.reset(task)
    await environment.close()
