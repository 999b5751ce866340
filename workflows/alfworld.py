"""ALFWorld's text games as a world (Shridhar et al. 2021, arXiv 2010.03768).

Needs the extra `alfworld`, and the games, which are not part of this package: ALFWorld's data
set `json_2.1.1` has one `game.tw-pddl` per trial.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeVar

from ..agents.environment import Observation, Task
from ..errors import InvalidGame, InvalidInput, InvalidTask
from .alfworld_game import Game, GameFile, Reply, read_game

GAME_FILE = "game.tw-pddl"
_BANNER = "-= Welcome to TextWorld, ALFRED! =-"
_HIDDEN = frozenset({"help"})
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ALFWorld:
    """A folder of ALFWorld games. Implements `World`.

    Args:
        games: The folder; games are found at any depth, and ordered by path.
    """

    games: Path
    name: str = field(default="alfworld", init=False)

    def tasks(self, n: int, *, seed: int = 0) -> Sequence[Task]:
        """The first `n` games by path; with a seed other than 0, in an order of its own.

        Game files are read (about a millisecond each) but not loaded. Games marked as
        unsolvable are left out.

        Raises:
            InvalidInput: `n` is negative.
            InvalidGame: There are no games, or a file is not one.
        """
        if n < 0:
            raise InvalidInput(f"{n} tasks cannot be drawn; the number is 0 or more.", n=n)
        paths = self._find()
        if seed:
            random.Random(f"alfworld/{seed}").shuffle(paths)
        tasks: dict[str, Task] = {}
        for path in paths:
            if len(tasks) >= n:
                break
            game = read_game(path)
            if not game.solvable:
                continue
            task = self._task(game)
            if task.id in tasks:
                raise InvalidGame(
                    f"Two games under {self.games} are called {task.id}. Give a folder in which "
                    "each trial stands once.",
                    task=task.id,
                )
            tasks[task.id] = task
        return list(tasks.values())

    def environment(self) -> ALFWorldEnvironment:
        """A fresh environment."""
        return ALFWorldEnvironment(self)

    async def demonstration(self, task: Task) -> list[str]:
        """The walkthrough that stands in the game file."""
        game = await asyncio.to_thread(self.read, task)
        return list(game.walkthrough)

    def read(self, task: Task) -> GameFile:
        """Read the game file of a task.

        Raises:
            InvalidTask: The task is not one of this world.
            InvalidGame: The file is not a game.
        """
        game = task.data.get("game")
        path = PurePosixPath(game) if isinstance(game, str) and game else None
        if path is None or path.is_absolute() or ".." in path.parts:
            raise InvalidTask(
                f"The task {task.id!r} is not an ALFWorld task: its data needs the path of a "
                "game under the folder of games.",
                task=task.id,
            )
        return read_game(self._root() / path)

    def _root(self) -> Path:
        return self.games.parent if self.games.is_file() else self.games

    def _find(self) -> list[Path]:
        if self.games.name.endswith((".tar.gz", ".tgz", ".tar", ".zip")):
            raise InvalidGame(
                f"{self.games} is an archive. Unpack it and give the folder.",
                path=str(self.games),
            )
        if self.games.is_file():
            return [self.games]
        paths = sorted(self.games.rglob(GAME_FILE))
        if not paths:
            raise InvalidGame(
                f"There are no ALFWorld games under {self.games}. Give a folder that holds "
                f"{GAME_FILE} files, such as ALFWorld's json_2.1.1/valid_seen.",
                path=str(self.games),
            )
        return paths

    def _task(self, game: GameFile) -> Task:
        path = game.path
        folder, trial = path.absolute().parent.parent.name, path.absolute().parent.name
        data = {"game": path.relative_to(self._root()).as_posix()}
        return Task(f"{folder}/{trial}", game.goal, folder.partition("-")[0], data)


class ALFWorldEnvironment:
    """Plays ALFWorld games. Implements `Environment`.

    TextWorld blocks, so each environment has one thread of its own. TextWorld's parsers are
    shared by the process: environments of one process take turns, for real parallelism use
    processes. An episode is over when it is won; later actions do nothing.
    """

    def __init__(self, world: ALFWorld) -> None:
        self._world = world
        self._worker: ThreadPoolExecutor | None = None
        self._game: Game | None = None
        self._last: Observation | None = None

    async def reset(self, task: Task, seed: int = 0) -> Observation:
        """Begin an episode; the game says all, `seed` changes nothing.

        Loading takes about half a second; resetting the game that is loaded takes less.

        Raises:
            InvalidTask: The task is not one of this world.
            InvalidGame: The game file cannot be loaded.
            MissingExtra: The extra is not installed.
        """
        self._last = None
        self._last = await self._run(lambda: self._load(task))
        return self._last

    async def step(self, action: str) -> Observation:
        """Perform one action; one that is not admissible is answered "Nothing happens.".

        A step that is cancelled may still be performed, so the episode must be begun anew.
        """
        if self._last is None:
            raise InvalidInput("No episode has begun. Call reset() first.")
        if self._last.done:
            return Observation("Nothing happens.", (), won=True, done=True)
        self._last = None
        self._last = await self._run(lambda: self._perform(action))
        return self._last

    async def close(self) -> None:
        """Unload the game and end the thread."""
        worker = self._worker
        if worker is None:
            return
        self._last = None
        try:
            await self._run(self._unload)
        finally:
            self._worker = None
            worker.shutdown(wait=False)

    async def _run(self, job: Callable[[], _T]) -> _T:
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, thread_name_prefix="alfworld")
        return await asyncio.get_running_loop().run_in_executor(self._worker, job)

    def _load(self, task: Task) -> Observation:
        file = self._world.read(task)
        if self._game is None or self._game.file != file:
            self._unload()
            self._game = Game.load(file)
        return _observation(self._game.reset())

    def _perform(self, action: str) -> Observation:
        assert self._game is not None
        return _observation(self._game.step(action))

    def _unload(self) -> None:
        game, self._game = self._game, None
        if game is not None:
            game.close()


def _observation(reply: Reply) -> Observation:
    text = reply.text.replace(_BANNER, "", 1).strip()
    open_ = () if reply.won else reply.commands
    actions = tuple(command for command in open_ if command not in _HIDDEN)
    return Observation(text, actions, float(reply.won), won=reply.won, done=reply.won)
