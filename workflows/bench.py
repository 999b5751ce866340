"""Benchmarks of embodied teams: every memory strategy on the same tasks, actor and budget.

Experience is made from demonstrations replayed through the environment, so that observations are
remembered too; then each arm plays the test tasks with that memory frozen.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .. import __version__
from ..agents import Environment, Observation, Task, Team
from ..errors import InvalidInput
from ..graph import Outcome
from ..memory import STRATEGIES, Memory, mentions
from .embodied import embodied, replay
from .results import ItemLog, summarise, write_result
from .runner import item_of, progress_bar
from .worlds import World

TEAM = "bench"
NAMES = ("alfworld", "household")
HOUSEHOLD_EXPERIENCE, HOUSEHOLD_TESTS = 40, 60


@dataclass(frozen=True, slots=True)
class Settings:
    """What is measured, and how.

    Attributes:
        name: "alfworld" or "household".
        games: For alfworld: the folder of games.
        experience: For alfworld: a folder of demonstrations, instead of `split`.
        split: "even-odd": the games at even places are the experience for those at odd places,
            and the other way round.
        max_steps: Actions of one task.
        arms: Memory strategies.
        tokens: Budget of a recall.
        jobs: Processes.
        limit: Play so many test tasks, spread over all; 0 for all.
        seed: Of episodes, tasks and choices.
    """

    name: str
    games: Path | None = None
    experience: Path | None = None
    split: str = "even-odd"
    max_steps: int = 30
    arms: tuple[str, ...] = ("none", "context", "exprag", "hierarchical")
    tokens: int = 1000
    jobs: int = 1
    limit: int = 0
    seed: int = 0

    def check(self) -> None:
        """Refuse what cannot be measured.

        Raises:
            InvalidInput: With a sentence that says what to give instead.
        """
        if self.name not in NAMES:
            raise InvalidInput(f"There is no benchmark {self.name!r}; there is {', '.join(NAMES)}.")
        unknown = [arm for arm in self.arms if arm not in STRATEGIES]
        if unknown or not self.arms:
            raise InvalidInput(
                f"There is no arm {', '.join(unknown) or '(none given)'}; "
                f"there is {', '.join(STRATEGIES)}."
            )
        if self.name == "alfworld" and self.games is None:
            raise InvalidInput("bench alfworld needs --games DIR, a folder of ALFWorld games.")
        if self.split != "even-odd":
            raise InvalidInput(f'--split is "even-odd", not {self.split!r}.')


@dataclass(frozen=True, slots=True)
class Fold:
    """One experience and the tasks that are played with it.

    Attributes:
        name: Such as "even" for the experience of the games at even places.
        world: How to make the world again in another process.
        experience: Tasks with a demonstration.
        tests: Tasks to play.
    """

    name: str
    world: tuple[str, str]
    experience: tuple[Task, ...]
    tests: tuple[Task, ...]


def make_world(spec: tuple[str, str]) -> World:
    """The world of a `Fold.world`: its name, and for games their folder."""
    name, argument = spec
    if name == "household":
        from .household import Household

        return Household()
    from .alfworld import ALFWorld

    return ALFWorld(Path(argument))


def folds(settings: Settings) -> list[Fold]:
    """The folds that the settings ask for, cut to `limit` test tasks."""
    if settings.name == "household":
        tasks = make_world(("household", "")).tasks(
            HOUSEHOLD_EXPERIENCE + HOUSEHOLD_TESTS, seed=settings.seed
        )
        cut = HOUSEHOLD_EXPERIENCE
        made = [Fold("all", ("household", ""), tuple(tasks[:cut]), tuple(tasks[cut:]))]
    else:
        made = _game_folds(settings)
    if not settings.limit:
        return made
    share = -(-settings.limit // len(made))
    return [
        Fold(fold.name, fold.world, fold.experience, _spread(fold.tests, share)) for fold in made
    ]


def _game_folds(settings: Settings) -> list[Fold]:
    spec = ("alfworld", str(settings.games))
    games = tuple(make_world(spec).tasks(1_000_000))
    if settings.experience is not None:
        other = make_world(("alfworld", str(settings.experience)))
        return [Fold("given", spec, tuple(other.tasks(1_000_000)), games)]
    even, odd = games[::2], games[1::2]
    return [Fold("even", spec, even, odd), Fold("odd", spec, odd, even)]


def _spread(tasks: Sequence[Task], n: int) -> tuple[Task, ...]:
    """n tasks at equal distances."""
    if n >= len(tasks):
        return tuple(tasks)
    return tuple(tasks[index * len(tasks) // n] for index in range(n))


async def run_bench(settings: Settings, *, out: Path, command: str, console: Console) -> None:
    """Play, and write `items.jsonl` and `result.json`; goes on where it was interrupted.

    Args:
        settings: What to measure.
        out: Folder for the results.
        command: As it was typed, for `result.json`.
        console: Shows progress and the table.

    Raises:
        InvalidInput: The settings cannot be measured.
    """
    settings.check()
    started = time.monotonic()
    made = await asyncio.to_thread(folds, settings)
    out.mkdir(parents=True, exist_ok=True)
    plain = {**asdict(settings), "jobs": None, "version": __version__}
    plain = {name: str(v) if isinstance(v, Path) else v for name, v in plain.items()}
    log = ItemLog.open(out / "items.jsonl", plain)
    # Fresh processes: a fork would copy threads and locks of this one in any state.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(settings.jobs, mp_context=context) as pool:
        try:
            for fold in made:
                await _remember(fold, settings, out, pool, console)
            await _play(made, settings, out, log, pool, console)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    result = _result(settings, made, log, command, time.monotonic() - started)
    write_result(out / "result.json", result)
    _show(result, console)


# --- experience -----------------------------------------------------------------------------------


async def _remember(
    fold: Fold, settings: Settings, out: Path, pool: ProcessPoolExecutor, console: Console
) -> None:
    """Replay the demonstrations and keep them in the fold's store, in the order of the tasks."""
    path = _memory_path(out, fold)
    if path.exists():
        return
    transcripts = out / f"demonstrations-{fold.name}.jsonl"
    done = {row["task"]: row for row in _rows(transcripts)}
    world = fold.world if settings.experience is None else ("alfworld", str(settings.experience))
    futures = {
        pool.submit(demonstrate, world, task, settings.seed): task
        for task in fold.experience
        if task.id not in done
    }
    with progress_bar(console) as bar:
        line = bar.add_task(
            f"experience ({fold.name})",
            total=len(fold.experience),
            completed=len(done),
            note="",
        )
        async for future in _as_completed(futures):
            row = future.result()
            done[row["task"]] = row
            with transcripts.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            bar.update(line, advance=1)
    unfinished = path.with_suffix(".part.db")
    for leftover in unfinished.parent.glob(unfinished.name + "*"):
        leftover.unlink()
    async with Memory.open(f"sqlite:///{unfinished}", scope=TEAM, hold_out=0.0) as memory:
        for task in fold.experience:
            await remember(memory, task, done[task.id]["played"], won=done[task.id]["won"])
    unfinished.rename(path)


def demonstrate(spec: tuple[str, str], task: Task, seed: int) -> dict[str, Any]:
    """Replay the demonstration of one task; runs in a process of its own."""

    async def run() -> dict[str, Any]:
        world = make_world(spec)
        environment = world.environment()
        try:
            actions = await world.demonstration(task)
            played = await replay(environment, task, actions, seed=seed)
        finally:
            await environment.close()
        return {
            "task": task.id,
            "won": played[-1][1].won,
            "played": [(action, observed.text) for action, observed in played],
        }

    return asyncio.run(run())


async def remember(
    memory: Memory, task: Task, played: Sequence[Sequence[str]], *, won: bool
) -> None:
    """Keep one played task as a trial.

    Args:
        memory: Where.
        task: The task.
        played: (action, observation) pairs, the first with an empty action.
        won: How it ended.
    """
    around = {mention.name for mention in mentions(played[0][1])}
    trial = await memory.begin(task.goal, run=f"demonstration:{task.id}", context=around)
    for action, observed in played[1:]:
        await memory.observe(trial, observed, action=action, role="solver", agent="demonstrator")
    outcome = Outcome.success if won else Outcome.failure
    await memory.commit(trial, outcome(judge="environment"))


def _rows(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a JSON-lines file."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def _memory_path(out: Path, fold: Fold) -> Path:
    return (out / f"memory-{fold.name}.db").resolve()


# --- play -----------------------------------------------------------------------------------------


async def _play(
    made: Sequence[Fold],
    settings: Settings,
    out: Path,
    log: ItemLog,
    pool: ProcessPoolExecutor,
    console: Console,
) -> None:
    jobs = [
        (fold, task, missing)
        for fold in made
        for task in fold.tests
        if (missing := [arm for arm in settings.arms if (arm, task.id) not in log.items])
    ]
    futures = {
        pool.submit(
            play_task,
            fold.world,
            fold.name,
            task,
            tuple(missing),
            str(_memory_path(out, fold)),
            settings.max_steps,
            settings.tokens,
            settings.seed,
        ): task
        for fold, task, missing in jobs
    }
    total = sum(len(fold.tests) for fold in made)
    with progress_bar(console) as bar:
        line = bar.add_task(
            f"{len(settings.arms)} arms", total=total, completed=total - len(jobs), note=""
        )
        async for future in _as_completed(futures):
            for item in future.result():
                log.add(item)
            bar.update(line, advance=1, note=_standing(settings.arms, log))


def _standing(arms: Iterable[str], log: ItemLog) -> str:
    parts = []
    for arm in arms:
        rows = log.of(arm)
        if rows:
            parts.append(f"{arm} {sum(row['success'] for row in rows) / len(rows):.2f}")
    return ", ".join(parts)


def play_task(
    spec: tuple[str, str],
    fold: str,
    task: Task,
    arms: Sequence[str],
    memory: str,
    max_steps: int,
    tokens: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Play one task with each arm; runs in a process of its own.

    Args:
        spec: Of the world.
        fold: Name of the fold.
        task: The task.
        arms: Memory strategies; "none" plays with an empty store.
        memory: Path of the fold's store, which is not learnt into.
        max_steps: Actions.
        tokens: Budget of a recall.
        seed: Of the episode and the actor.
    """

    async def run() -> list[dict[str, Any]]:
        world = _OneEpisode(make_world(spec))
        items = []
        try:
            for arm in arms:
                workflow = embodied(world, team=Team(TEAM), max_steps=max_steps, seed=seed)
                async with workflow.open(
                    store="sqlite://" if arm == "none" else f"sqlite:///{memory}",
                    checkpoints=None,
                    strategy=arm,
                    budget=tokens,
                    hold_out=0.0,
                    learn=False,
                ) as app:
                    async for played in app.stream([task]):
                        items.append({**item_of(played, arm, task), "fold": fold})
                        # Frozen, the memory does not keep how it ended; the world says so.
                        won = bool(played.state.get("won", False))
                        items[-1]["success"] = won
                        items[-1]["outcome"] = (Outcome.success if won else Outcome.failure)(
                            judge="environment"
                        ).to_json()
                        items[-1]["steps"] = len(played.state.get("history", []))
        finally:
            await world.close()
        return items

    return asyncio.run(run())


class _OneEpisode:
    """A world whose environment stays open between arms, for games that are slow to load."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._environment: Environment | None = None
        self.name = world.name

    def tasks(self, n: int, *, seed: int = 0) -> Sequence[Task]:
        return self._world.tasks(n, seed=seed)

    def environment(self) -> Environment:
        if self._environment is None:
            self._environment = self._world.environment()
        return _StaysOpen(self._environment)

    async def demonstration(self, task: Task) -> list[str]:
        return await self._world.demonstration(task)

    async def close(self) -> None:
        if self._environment is not None:
            await self._environment.close()


class _StaysOpen:
    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    async def reset(self, task: Task, seed: int = 0) -> Observation:
        return await self._environment.reset(task, seed)

    async def step(self, action: str) -> Observation:
        return await self._environment.step(action)

    async def close(self) -> None:
        """Its owner closes it."""


async def _as_completed(futures: dict[Future[Any], Task]) -> Any:
    pending = set(futures)
    while pending:
        done, pending = await asyncio.to_thread(wait, pending, 1.0, FIRST_COMPLETED)
        for future in done:
            yield future


# --- results --------------------------------------------------------------------------------------


def _result(
    settings: Settings, made: Sequence[Fold], log: ItemLog, command: str, seconds: float
) -> dict[str, Any]:
    rows = {arm: log.of(arm) for arm in settings.arms}
    return {
        "name": settings.name,
        "version": __version__,
        "command": command,
        "seed": settings.seed,
        "n": sum(len(fold.tests) for fold in made),
        "max_steps": settings.max_steps,
        "budget": settings.tokens,
        "metrics": {arm: summarise(items, settings.seed) for arm, items in rows.items()},
        "by_fold": {
            arm: {
                fold.name: summarise(
                    [item for item in items if item["fold"] == fold.name], settings.seed
                )["success_rate"]
                for fold in made
            }
            for arm, items in rows.items()
        },
        "by_kind": {
            arm: {
                kind: {
                    **summarise(chosen, settings.seed)["success_rate"],
                    "n": len(chosen),
                }
                for kind in sorted({item["kind"] for item in items})
                if (chosen := [item for item in items if item["kind"] == kind])
            }
            for arm, items in rows.items()
        },
        "model_calls": sum(item["model_calls"] for items in rows.values() for item in items),
        "tokens": sum(item["model_tokens"] for items in rows.values() for item in items),
        "errors": sum(bool(item["error"]) for items in rows.values() for item in items),
        "seconds": round(seconds, 1),
    }


def _show(result: dict[str, Any], console: Console) -> None:
    table = Table(title=f"{result['name']}: n = {result['n']}, seed {result['seed']}")
    for column in ("arm", "success", "95% interval", "steps", "tokens recalled"):
        table.add_column(column, justify="left" if column == "arm" else "right")
    for arm, metrics in result["metrics"].items():
        rate = metrics["success_rate"]
        table.add_row(
            arm,
            f"{rate['value']:.3f}",
            f"{rate['low']:.3f} to {rate['high']:.3f}",
            f"{metrics['steps']['value']:.1f}",
            f"{metrics['tokens_recalled']['value']:.0f}",
        )
    console.print(table)
