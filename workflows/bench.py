"""Benchmarks of embodied teams: every memory strategy on the same tasks, actor and budget.

Each arm plays the test tasks with a memory that is frozen: made of demonstrations, and of its own
play if that is asked for.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from ..agents import Task
from ..graph.open import open_store
from .examine import Player, Rules, append, heed, play_on, play_test, rows
from .experience import (
    Experience,
    Place,
    Seen,
    build_scope,
    build_store,
    check_whole,
    demonstrate,
    demonstrations,
    known_transcripts,
    plan,
    played_path,
    shown_path,
    store_path,
    transcripts_path,
)
from .folds import Fold, draw_folds
from .report import result_of, show
from .results import ItemLog, write_result
from .runner import progress_bar
from .settings import Arm, Settings

_LOOK = 1.0
"""Seconds between two looks at how own play goes."""


@dataclass(frozen=True, slots=True)
class _Bench:
    """All that the parts of a benchmark have in common."""

    settings: Settings
    folds: tuple[Fold, ...]
    out: Path
    cache: Path | None
    log: ItemLog
    pool: ProcessPoolExecutor
    console: Console

    def experience(self, fold: Fold, arm: Arm) -> Experience:
        return plan(fold, self.settings, stale=arm.stale)

    def place(self, fold: Fold, arm: Arm) -> Place:
        return Place.of(self.settings, self.out, fold, arm)

    def player(self, fold: Fold, arm: Arm) -> Player:
        """Who is tested."""
        if not arm.remembers:
            return Player.of(arm, None)
        place = self.place(fold, arm)
        if place.url:
            return replace(Player.of(arm, None), url=place.url, scope=place.scope)
        return Player.of(arm, store_path(self.out, fold, arm))

    def rules(self, fold: Fold) -> Rules:
        chosen = self.settings
        return Rules(
            fold.venue, fold.name, chosen.rename, chosen.max_steps, chosen.tokens, chosen.seed
        )


async def run_bench(
    settings: Settings, *, out: Path, command: str, console: Console, cache: Path | None = None
) -> None:
    """Play, and write `items.jsonl` and `result.json`; goes on where it was interrupted.

    Args:
        settings: What to measure.
        out: Folder for the results.
        command: As it was typed, for `result.json`.
        console: Shows progress and the table.
        cache: Folder that keeps replayed demonstrations for other benchmarks too; `out` if None.

    Raises:
        InvalidInput: The settings cannot be measured.
    """
    settings.check()
    if settings.store:
        # Before anything is written: that it can be opened, and that its URL holds no password.
        await (await open_store(settings.store)).close()
    started = time.monotonic()
    made = await asyncio.to_thread(draw_folds, settings)
    out.mkdir(parents=True, exist_ok=True)
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
    log = ItemLog.open(out / "items.jsonl", settings.to_json())
    # Fresh processes: a fork would copy threads and locks of this one in any state.
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    with ProcessPoolExecutor(
        settings.jobs, mp_context=context, initializer=heed, initargs=(stop,)
    ) as pool:
        bench = _Bench(settings, tuple(made), out, cache, log, pool, console)
        try:
            await _remember(bench)
            await _play_on(bench)
            await _test(bench)
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    played = [row for fold in made for row in rows(played_path(out, fold))]
    result = result_of(settings, made, log, played, command, time.monotonic() - started)
    write_result(out / "result.json", result)
    show(result, console)


# --- experience -----------------------------------------------------------------------------------


async def _remember(bench: _Bench) -> None:
    """Make the stores of demonstrations that are not there yet."""
    missing: dict[Place, tuple[Arm, Fold]] = {}
    for fold in bench.folds:
        for arm in bench.settings.teams():
            place = bench.place(fold, arm)
            tested = store_path(bench.out, fold, arm)
            # An arm that has played on needs what it began with no more.
            if arm.remembers and not place.path.exists() and not tested.exists():
                missing.setdefault(place, (arm, fold))
            elif arm.remembers and place.url:
                await check_whole(place)
    if not missing:
        return
    transcripts = await _transcripts(bench, missing.values())
    rename = bench.settings.rename
    futures = {
        bench.pool.submit(
            build_scope if place.url else build_store,
            place,
            arm.learner,
            demonstrations(bench.experience(fold, arm), transcripts[fold.name], rename),
        ): place
        for place, (arm, fold) in missing.items()
    }
    with progress_bar(bench.console) as bar:
        line = bar.add_task("remembering", total=len(futures), note="")
        async for future in _as_completed(futures):
            future.result()
            bar.update(line, advance=1)


async def _transcripts(
    bench: _Bench, wanted: Iterable[tuple[Arm, Fold]]
) -> dict[str, dict[str, dict[str, Any]]]:
    """The demonstrations by fold and task, replayed where that has not been done."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    futures = {}
    tasks: dict[tuple[str, str], tuple[Fold, Task]] = {
        (fold.name, task.id): (fold, task)
        for arm, fold in wanted
        for task in bench.experience(fold, arm).shown
    }
    for fold, task in tasks.values():
        path = transcripts_path(bench.cache or bench.out, fold, shared=bench.cache is not None)
        if fold.name not in found:
            found[fold.name] = known_transcripts(path)
        if task.id not in found[fold.name]:
            futures[bench.pool.submit(demonstrate, fold.shown, task)] = (path, fold)
    for fold in bench.folds:
        found.setdefault(fold.name, {})
    with progress_bar(bench.console) as bar:
        line = bar.add_task(
            "experience", total=len(tasks), completed=len(tasks) - len(futures), note=""
        )
        async for future in _as_completed(futures):
            row = future.result()
            path, fold = futures[future]
            found[fold.name][row["task"]] = row
            append(path, row)
            bar.update(line, advance=1)
    return found


async def _play_on(bench: _Bench) -> None:
    """Let the teams play and learn, until the stores they are tested with are there."""
    todo = [
        (fold, waiting)
        for fold in bench.folds
        if (
            waiting := [
                arm
                for arm in bench.settings.teams()
                if arm.play and not store_path(bench.out, fold, arm).exists()
            ]
        )
    ]
    if not todo:
        return
    futures = {}
    groups = max(1, bench.settings.jobs // len(todo))
    total = 0
    for fold, waiting in todo:
        # What is played does not depend on what was shown before things moved.
        experience = bench.experience(fold, waiting[0])
        total += len(waiting) * len(experience.played)
        for start in range(min(groups, len(waiting))):
            players = [
                Player.of(arm, shown_path(bench.out, fold, arm), store_path(bench.out, fold, arm))
                for arm in waiting[start::groups]
            ]
            future = bench.pool.submit(
                play_on, bench.rules(fold), experience.played, experience.misjudged, players,
                str(played_path(bench.out, fold)),
            )  # fmt: skip
            futures[future] = fold
    names = {(fold.name, arm.name) for fold, waiting in todo for arm in waiting}

    def count() -> int:
        logged = [row for fold, _ in todo for row in rows(played_path(bench.out, fold))]
        return sum((row["fold"], row["arm"]) in names for row in logged)

    with progress_bar(bench.console) as bar:
        line = bar.add_task("own play", total=total, note="")
        async for future in _as_completed(
            futures, waiting=lambda: bar.update(line, completed=count())
        ):
            future.result()


# --- tests ----------------------------------------------------------------------------------------


async def _test(bench: _Bench) -> None:
    teams = bench.settings.teams()
    jobs = [
        (fold, task, missing)
        for fold in bench.folds
        for task in fold.tests
        if (missing := [arm for arm in teams if (arm.name, task.id) not in bench.log.items])
    ]
    futures = {
        bench.pool.submit(
            play_test,
            bench.rules(fold),
            task,
            [bench.player(fold, arm) for arm in missing],
        ): (fold, task)
        for fold, task, missing in jobs
    }
    strata = {
        (fold.name, arm.name): Seen.of(bench.settings.name, bench.experience(fold, arm), arm)
        for fold in bench.folds
        for arm in teams
    }
    total = sum(len(fold.tests) for fold in bench.folds)
    with progress_bar(bench.console) as bar:
        line = bar.add_task(f"{len(teams)} arms", total=total, completed=total - len(jobs), note="")
        async for future in _as_completed(futures):
            fold, task = futures[future]
            for item in future.result():
                bench.log.add({**item, **strata[fold.name, item["arm"]].before(task)})
            bar.update(line, advance=1, note=_standing(teams, bench.log))


def _standing(arms: Sequence[Arm], log: ItemLog) -> str:
    parts = []
    for arm in arms:
        items = log.of(arm.name)
        if items:
            parts.append(f"{arm.name} {sum(row['success'] for row in items) / len(items):.2f}")
    return ", ".join(parts)


async def _as_completed(
    futures: Iterable[Future[Any]], waiting: Callable[[], None] = lambda: None
) -> AsyncIterator[Future[Any]]:
    pending = set(futures)
    while pending:
        done, pending = await asyncio.to_thread(wait, pending, _LOOK, FIRST_COMPLETED)
        for future in done:
            yield future
        waiting()
