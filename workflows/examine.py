"""Plays tasks of a benchmark, in processes of their own: tests with a frozen memory, and the
team's own play from which it learns."""

from __future__ import annotations

import asyncio
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from ..agents import Environment, Observation, Task, Team
from ..graph import Outcome
from ..memory import Memory
from ..memory.cases import steps_of
from .app import App, Run
from .embodied import EmbodiedState, embodied
from .folds import Venue
from .renamed import Renamed
from .runner import item_of
from .settings import Arm
from .workflow import Workflow
from .worlds import World

TEAM = "bench"
_stop: Event | None = None
"""Set when the benchmark is interrupted; of this process."""


def heed(stop: Event) -> None:
    """Let this process end its work when `stop` is set, and itself when its parent is gone.

    Interrupts are left to the parent. Nothing is lost by an end at any instant, but two processes
    must not play on in one store when the benchmark is run again.
    """
    global _stop
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


@dataclass(frozen=True, slots=True)
class Rules:
    """What all arms have in common.

    Attributes:
        venue: The world.
        fold: Name of the fold.
        rename: Seed of nonsense words; None leaves the words.
        max_steps: Actions of a task.
        tokens: Budget of a recall.
        seed: Of the episodes and the actors.
    """

    venue: Venue
    fold: str
    rename: int | None
    max_steps: int
    tokens: int
    seed: int


@dataclass(frozen=True, slots=True)
class Player:
    """An arm and its memory.

    Attributes:
        arm: Name of the arm.
        strategy: Its memory strategy.
        store: Path of the store it plays with; "" for an empty one.
        url: Of a store that is used where it is, "" for none.
        scope: What it plays with in that store.
        final: For own play: what the store is called when all has been played.
    """

    arm: str
    strategy: str
    store: str = ""
    final: str = ""
    url: str = ""
    scope: str = TEAM

    @classmethod
    def of(cls, arm: Arm, store: Path | None, final: Path | None = None) -> Player:
        """The player of an arm."""
        return cls(arm.name, arm.strategy, str(store or ""), str(final or ""))

    def place(self, task: Task, folder: str) -> tuple[str, str]:
        """URL and scope for one test, of which nothing is left for others.

        Where a store is used as it is, that is a scope inside that of the demonstrations.

        Args:
            task: What is played.
            folder: For a copy of the store.
        """
        if self.url:
            name = hashlib.blake2b(f"{self.arm}/{task.id}".encode(), digest_size=8).hexdigest()
            return self.url, f"{self.scope}/test-{name}"
        if self.store:
            return f"sqlite:///{shutil.copy(self.store, folder)}", TEAM
        return "sqlite://", TEAM


# --- tests ----------------------------------------------------------------------------------------


def play_test(rules: Rules, task: Task, players: Sequence[Player]) -> list[dict[str, Any]]:
    """Play one task with each arm, each on a copy of its store that is thrown away, or in a scope
    of its own.

    So no test leaves a trace: the figures are the same in any order and with any number of
    processes.

    Args:
        rules: What all arms have in common.
        task: In the world's own words.
        players: The arms.

    Returns:
        An item for each arm.
    """

    async def play() -> list[dict[str, Any]]:
        items = []
        async with _Table(rules) as table:
            for player in players:
                with tempfile.TemporaryDirectory(prefix="triforium-") as folder:
                    store, scope = player.place(task, folder)
                    async with table.open(player, store, scope=scope, learn=False) as app:
                        run = await table.play(app, task, f"test:{task.id}")
                        items.append(table.item(run, player.arm, task))
        return items

    return asyncio.run(play())


# --- own play -------------------------------------------------------------------------------------


def play_on(
    rules: Rules, tasks: Sequence[Task], misjudged: frozenset[int], players: Sequence[Player],
    log: str,
) -> None:  # fmt: skip
    """Let each arm play the tasks one after another and learn from them.

    All arms play a task before any plays the next, so that each game is loaded once. A line per
    task and arm is appended to the log. After an interruption it goes on: trials that are settled
    in an arm's unfinished store are not played again. It stops between two tasks when `heed` was
    told to.

    Args:
        rules: What all arms have in common.
        tasks: In order, in the world's own words; a task may come again.
        misjudged: Places of the tasks whose outcome is turned round for the memory.
        players: The arms; each `store` is there, each `final` is not.
        log: Path of the log.
    """

    async def play() -> None:
        known = {(row["arm"], row["number"]) for row in rows(Path(log))}
        async with _Table(rules) as table, AsyncExitStack() as stack:
            apps = [
                await stack.enter_async_context(
                    table.open(player, f"sqlite:///{_unfinished(player)}", learn=True)
                )
                for player in players
            ]
            for number, task in enumerate(tasks):
                for player, app in zip(players, apps, strict=True):
                    if _stop is not None and _stop.is_set():
                        return
                    table.misjudge = number in misjudged
                    item = await _play_once(table, app, player.arm, task, number)
                    if (player.arm, number) not in known:
                        append(Path(log), item)
        for player in players:
            _unfinished(player).rename(player.final)

    asyncio.run(play())


def _unfinished(player: Player) -> Path:
    """The store that is being played in, begun as a copy of the arm's demonstrations."""
    path = Path(player.final).with_suffix(".part.db")
    if not path.exists():
        half = path.with_suffix(".copy")
        shutil.copy(player.store, half)
        half.rename(path)
    return path


async def _play_once(
    table: _Table, app: App[EmbodiedState], arm: str, task: Task, number: int
) -> dict[str, Any]:
    run_id = f"play:{number}:{task.id}"
    settled = await _settled(app.memory, run_id, table.misjudge)
    if settled is None:
        run = await table.play(app, task, run_id)
        return {**table.item(run, arm, task), "number": number}
    return {"arm": arm, "task": task.id, "kind": task.kind, "fold": table.rules.fold,
            "number": number, **settled}  # fmt: skip


async def _settled(memory: Memory, run: str, misjudged: bool) -> dict[str, Any] | None:
    """What is known of a run that ended before it could be logged; None if it did not end."""
    view = await memory.view(run=run)
    id_ = memory.trial_id(run, 0)
    trial = (await view.get([id_])).get(id_)
    if trial is None or trial.outcome is None:
        return None
    steps = (await steps_of(view, [id_])).get(id_, [])
    return {
        "success": bool(trial.outcome.succeeded) != misjudged,
        "steps": sum("action" in step.data for step in steps),
    }


# --- both -----------------------------------------------------------------------------------------


class _Table:
    """One environment at which all arms of a process play in turn, so that games load once."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.misjudge = False
        world = rules.venue.open()
        self._renamed = None if rules.rename is None else Renamed(world, rules.rename)
        self._world = _OneEpisode(self._renamed or world)

    async def __aenter__(self) -> _Table:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._world.close()

    def open(self, player: Player, store: str, *, learn: bool, scope: str = TEAM) -> Any:
        """A team of the arm, with its memory."""
        workflow: Workflow[EmbodiedState] = embodied(
            self._world,
            team=Team(TEAM, scope=scope),
            max_steps=self.rules.max_steps,
            seed=self.rules.seed,
        )
        workflow.outcome = lambda state: bool(state.get("won", False)) != self.misjudge
        return workflow.open(
            store=store,
            checkpoints=None,
            strategy=player.strategy,
            budget=self.rules.tokens,
            hold_out=0.0,
            learn=learn,
        )

    async def play(self, app: App[EmbodiedState], task: Task, run: str) -> Run:
        """Play a task under the name of a run."""
        if self._renamed is not None:
            task = self._renamed.task(task)
        self._world.progress = None
        prefix, _, _ = run.rpartition(f":{task.id}")
        async for played in app.stream([task], stream_id=prefix):
            return played
        raise AssertionError("a stream of one task gives one run")

    def item(self, run: Run, arm: str, task: Task) -> dict[str, Any]:
        """A line of the log. Frozen, the memory does not keep how it ended; the world says so."""
        won = bool(run.state.get("won", False))
        outcome = (Outcome.success if won else Outcome.failure)(judge="environment")
        item = {**item_of(run, arm, task), "fold": self.rules.fold, "success": won}
        item |= {"outcome": outcome.to_json(), "steps": len(run.state.get("history", []))}
        progress = self._world.progress
        return item if progress is None else {**item, "progress": round(progress, 6)}


class _OneEpisode:
    """A world whose environment stays open between arms, for games that are slow to load."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._environment: Environment | None = None
        self.name = world.name
        self.progress: float | None = None
        """The best of the episode, where the world tells it."""

    def tasks(self, n: int, *, seed: int = 0) -> Sequence[Task]:
        return self._world.tasks(n, seed=seed)

    def environment(self) -> Environment:
        if self._environment is None:
            self._environment = self._world.environment()
        return _StaysOpen(self, self._environment)

    async def demonstration(self, task: Task) -> list[str]:
        return await self._world.demonstration(task)

    async def close(self) -> None:
        if self._environment is not None:
            await self._environment.close()


class _StaysOpen:
    def __init__(self, world: _OneEpisode, environment: Environment) -> None:
        self._world = world
        self._environment = environment

    async def reset(self, task: Task, seed: int = 0) -> Observation:
        return self._noted(await self._environment.reset(task, seed))

    async def step(self, action: str) -> Observation:
        return self._noted(await self._environment.step(action))

    async def close(self) -> None:
        """Its owner closes it."""

    def _noted(self, observed: Observation) -> Observation:
        told = 1.0 if observed.won and observed.progress is not None else observed.progress
        if told is not None:
            self._world.progress = max(self._world.progress or 0.0, told)
        return observed


# --- files ----------------------------------------------------------------------------------------


def rows(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a JSON-lines file; a line that a crash cut off is passed over."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            found.append(row)
    return found


def append(path: Path, row: Mapping[str, Any]) -> None:
    """Add a line to a JSON-lines file, on a line of its own after one that was cut off."""
    with path.open("ab+") as file:
        if file.tell() and (file.seek(-1, 2), file.read())[1] != b"\n":
            file.write(b"\n")
        file.write(json.dumps(row, sort_keys=True).encode() + b"\n")
