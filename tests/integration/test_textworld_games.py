"""TextWorld games, generated and played for real."""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from triforium.agents.environment import Task
from triforium.errors import InvalidGame, InvalidInput, InvalidTask
from triforium.testing.environment_conformance import EnvironmentConformance
from triforium.workflows import textworld_games
from triforium.workflows.textworld_games import TextWorldGames
from triforium.workflows.worlds import World

TW_MAKE = Path(sys.executable).parent / "tw-make"
needs_textworld = pytest.mark.skipif(
    importlib.util.find_spec("textworld") is None or not TW_MAKE.exists(),
    reason="TextWorld is not installed: pip install 'triforium[textworld]'",
)


@pytest.fixture(scope="module")
def games(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("games")
    for seed in (3, 4):
        command = [
            str(TW_MAKE), "custom", "--world-size", "2", "--nb-objects", "4", "--quest-length",
            str(seed), "--seed", str(seed), "--output", str(folder / f"{seed}.z8"),
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    return folder


@needs_textworld
class TestConformance(EnvironmentConformance):
    longest_pause = 1.0

    @pytest.fixture
    def world(self, games: Path) -> World:
        return TextWorldGames(games)


@needs_textworld
async def test_the_walkthrough_wins(games: Path) -> None:
    world = TextWorldGames(games)
    task = world.tasks(1)[0]
    assert task.id == "3"
    assert len(task.goal.split()) > 5
    environment = world.environment()
    try:
        observed = await environment.reset(task)
        assert observed.progress == 0.0
        for action in await world.demonstration(task):
            observed = await environment.step(action)
        assert observed.won
        assert observed.progress == 1.0
    finally:
        await environment.close()


@needs_textworld
def test_garbage_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidGame, match="tw-make"):
        TextWorldGames(tmp_path).tasks(1)
    (tmp_path / "a.z8").write_bytes(b"no game")
    with pytest.raises(InvalidGame, match="beside it"):
        TextWorldGames(tmp_path).tasks(1)
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(InvalidGame, match="damaged"):
        TextWorldGames(tmp_path).tasks(1)
    with pytest.raises(InvalidInput, match="0 or more"):
        TextWorldGames(tmp_path).tasks(-1)


@needs_textworld
@pytest.mark.parametrize("damage", ["empty", "no story", "cut off", "changed"])
def test_a_damaged_story_does_not_end_the_process(games: Path, tmp_path: Path, damage: str) -> None:
    story = (games / "3.z8").read_bytes()
    damaged = {
        "empty": b"",
        "no story": b"no game",
        "cut off": story[: len(story) // 2],
        "changed": story[:5000] + bytes([story[5000] ^ 255]) + story[5001:],
    }[damage]
    (tmp_path / "a.z8").write_bytes(damaged)
    (tmp_path / "a.json").write_bytes((games / "3.json").read_bytes())
    with pytest.raises(InvalidGame, match="damaged"):
        TextWorldGames(tmp_path).tasks(1)


@needs_textworld
def test_a_story_needs_what_tw_make_wrote_about_it(games: Path, tmp_path: Path) -> None:
    (tmp_path / "a.z8").write_bytes((games / "3.z8").read_bytes())
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(InvalidGame, match="can load"):
        TextWorldGames(tmp_path).tasks(1)


@needs_textworld
async def test_closing_frees_a_game_whose_reset_was_cancelled(
    games: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = TextWorldGames(games)
    task = world.tasks(1)[0]
    started, finish = threading.Event(), threading.Event()
    closed = []

    class Game:
        def reset(self) -> object:
            raise ValueError("a reset that nobody waits for")

        def close(self) -> None:
            closed.append(self)

    def start(path: Path) -> Game:
        started.set()
        assert finish.wait(30)
        return Game()

    monkeypatch.setattr(textworld_games, "_start", start)
    environment = world.environment()
    resetting = asyncio.create_task(environment.reset(task))
    assert await asyncio.to_thread(started.wait, 30)
    resetting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await resetting
    closing = asyncio.create_task(environment.close())
    finish.set()
    await closing
    assert len(closed) == 1


@pytest.mark.parametrize("game", ["../a.z8", "/a.z8", "", None])
def test_a_task_cannot_reach_outside_the_folder(tmp_path: Path, game: object) -> None:
    with pytest.raises(InvalidTask):
        TextWorldGames(tmp_path).path(Task("x", "y", data={"game": game}))
