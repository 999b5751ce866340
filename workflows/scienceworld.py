"""ScienceWorld: elementary science as text games (Wang et al. 2022, arXiv 2203.07540).

The simulator and its tasks come with the package `scienceworld`, and need Java. Each kind of task
has variations, which the package splits into train, dev and test.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..agents.environment import Observation, Task
from ..errors import InvalidInput, InvalidTask, MissingExtra

KINDS = (
    "boil",
    "chemistry-mix",
    "chemistry-mix-paint-secondary-color",
    "find-animal",
    "find-living-thing",
    "find-non-living-thing",
    "find-plant",
    "freeze",
    "identify-life-stages-1",
    "lifespan-longest-lived",
    "lifespan-shortest-lived",
    "melt",
    "power-component",
    "use-thermometer",
)
"""Kinds of task that are played if none are named."""
SPLITS = ("train", "dev", "test")
STEP_LIMIT = 100
NOTHING = "Nothing happens."

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ScienceWorld:
    """Variations of ScienceWorld tasks. Implements `World`.

    Args:
        kinds: Names of tasks, as ScienceWorld calls them.
        split: "train", "dev" or "test": which variations.
        per_kind: How many variations of each kind, the first ones.
        simplification: As ScienceWorld calls it.
    """

    kinds: tuple[str, ...] = KINDS
    split: str = "test"
    per_kind: int = 3
    simplification: str = "easy"
    name: str = field(default="scienceworld", init=False)

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise InvalidInput(f"split is one of {', '.join(SPLITS)}, not {self.split!r}.")
        if not self.kinds or self.per_kind < 1:
            raise InvalidInput("ScienceWorld needs at least one kind of task and one variation.")

    def tasks(self, n: int, *, seed: int = 0) -> Sequence[Task]:
        """The variations, kinds in turn; `seed` changes nothing. Starts the simulator.

        Raises:
            InvalidInput: `n` is negative, or a kind is none of ScienceWorld's.
            MissingExtra: The package or Java is missing.
        """
        if n < 0:
            raise InvalidInput(f"{n} tasks cannot be drawn; the number is 0 or more.", n=n)
        simulator = start()
        try:
            known = list(simulator.get_task_names())
            unknown = [kind for kind in self.kinds if kind not in known]
            if unknown:
                raise InvalidInput(
                    f"ScienceWorld has no task {', '.join(unknown)}; it has {', '.join(known)}."
                )
            by_kind = [self._of_kind(simulator, kind) for kind in self.kinds]
        finally:
            end(simulator)
        most = max(len(tasks) for tasks in by_kind)
        turns = [tasks[turn] for turn in range(most) for tasks in by_kind if turn < len(tasks)]
        return turns[:n]

    def environment(self) -> ScienceWorldEnvironment:
        """A fresh environment; it starts the simulator at its first `reset`."""
        return ScienceWorldEnvironment()

    async def demonstration(self, task: Task) -> list[str]:
        """The gold path that ScienceWorld makes.

        Raises:
            InvalidTask: The task is not one of this world.
            MissingExtra: The package or Java is missing.
        """
        kind, variation, simplification = _parts(task)

        def find() -> list[str]:
            simulator = start()
            try:
                simulator.load(kind, variation, simplification, generateGoldPath=True)
                simulator.reset()
                made = []
                for action in simulator.get_gold_action_sequence():
                    made.append(str(action))
                    *_, info = simulator.step(made[-1])
                    if info["score"] >= 100:
                        # Some paths go on to show what was reached.
                        break
                return made
            finally:
                end(simulator)

        return await asyncio.to_thread(find)

    def _of_kind(self, simulator: Any, kind: str) -> list[Task]:
        simulator.load(kind, 0, self.simplification)
        variations = {
            "train": simulator.get_variations_train,
            "dev": simulator.get_variations_dev,
            "test": simulator.get_variations_test,
        }[self.split]()
        tasks = []
        for variation in list(variations)[: self.per_kind]:
            simulator.load(kind, int(variation), self.simplification)
            simulator.reset()
            goal = str(simulator.get_task_description()).removeprefix("Your task is to ")
            data = {"task": kind, "variation": int(variation), "how": self.simplification}
            tasks.append(Task(f"{kind}/{variation}", " ".join(goal.split()), kind, data))
        return tasks


def start() -> Any:
    """Start a simulator; `end` ends it.

    Raises:
        MissingExtra: The package or Java is missing.
    """
    try:
        from scienceworld import ScienceWorldEnv
    except ImportError:
        raise MissingExtra("ScienceWorld", "scienceworld") from None
    if shutil.which("java") is None:
        raise InvalidInput("ScienceWorld's simulator needs Java; install a runtime (8 or newer).")
    for name in ("py4j", "scienceworld"):
        # They tell of every port and task.
        logging.getLogger(name).setLevel(logging.WARNING)
    return ScienceWorldEnv("", envStepLimit=STEP_LIMIT)


def end(simulator: Any) -> None:
    """End a simulator, its process and all that it holds. Ending it twice is a no-op."""
    gateway = getattr(simulator, "_gateway", None)
    if gateway is None:
        return
    process = gateway.java_process
    simulator.close()
    # It would close itself once more when it is collected, and complain that it is closed.
    simulator.close = lambda: None
    simulator._gateway = None
    process.terminate()
    process.wait(10)
    process.stdin.close()
    simulator._obj_tree_tempdir.cleanup()


class ScienceWorldEnvironment:
    """Plays ScienceWorld tasks. Implements `Environment`.

    The simulator is a process of its own, spoken to from one thread. An episode is over when its
    score is full, when it has failed, or after `STEP_LIMIT` actions; later actions do nothing.
    Actions that the simulator knows by another name than it offers are performed too.
    """

    def __init__(self) -> None:
        self._worker: ThreadPoolExecutor | None = None
        self._simulator: Any = None
        self._last: Observation | None = None

    async def reset(self, task: Task, seed: int = 0) -> Observation:
        """Begin an episode; the task says all, `seed` changes nothing.

        Raises:
            InvalidTask: The task is not one of this world.
            MissingExtra: The package or Java is missing.
        """
        self._last = None
        parts = _parts(task)
        self._last = await self._run(lambda: self._begin(*parts))
        return self._last

    async def step(self, action: str) -> Observation:
        """Perform one action; one that the simulator does not know is answered in its words.

        A step that is cancelled may still be performed, so the episode must be begun anew.
        """
        if self._last is None:
            raise InvalidInput("No episode has begun. Call reset() first.")
        if self._last.done:
            last = self._last
            return Observation(NOTHING, (), progress=last.progress, won=last.won, done=True)
        before, self._last = self._last, None
        self._last = await self._run(lambda: self._perform(action, before))
        return self._last

    async def close(self) -> None:
        """End the simulator and the thread."""
        worker, self._worker = self._worker, None
        simulator, self._simulator, self._last = self._simulator, None, None
        if worker is None:
            return
        try:
            if simulator is not None:
                await asyncio.get_running_loop().run_in_executor(worker, end, simulator)
        finally:
            worker.shutdown(wait=False)

    async def _run(self, job: Callable[[], _T]) -> _T:
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, thread_name_prefix="scienceworld")
        return await asyncio.get_running_loop().run_in_executor(self._worker, job)

    def _begin(self, kind: str, variation: int, simplification: str) -> Observation:
        if self._simulator is None:
            self._simulator = start()
        known = kind in self._simulator.get_task_names()
        if not known or variation >= self._simulator.get_max_variations(kind):
            raise InvalidTask(f"ScienceWorld has no variation {variation} of {kind!r}.", task=kind)
        self._simulator.load(kind, variation, simplification)
        text, info = self._simulator.reset()
        seen = f"{text}\n{info['inv']}".strip()
        return Observation(seen, _offered(info), progress=0.0)

    def _perform(self, action: str, before: Observation) -> Observation:
        if not action.strip():
            return Observation(NOTHING, before.actions, progress=before.progress)
        text, _, done, info = self._simulator.step(action.strip())
        # A wrong answer ends an episode with a score of -100.
        score = max(0.0, min(1.0, info["score"] / 100.0))
        won = info["score"] >= 100
        return Observation(
            str(text).strip(),
            () if done else _offered(info),
            reward=float(won),
            progress=score,
            won=won,
            done=bool(done) or won,
        )

    def __del__(self) -> None:
        # The simulator must not outlive an environment that nobody closed.
        if self._simulator is not None:
            with suppress(Exception):
                end(self._simulator)


def _offered(info: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(sorted({str(action) for action in info["valid"]}))


def _parts(task: Task) -> tuple[str, int, str]:
    match task.data:
        case {"task": str(kind), "variation": int(variation), "how": str(how)} if variation >= 0:
            return kind, variation, how
    raise InvalidTask(
        f"The task {task.id!r} is not a ScienceWorld task: its data needs task, variation and how.",
        task=task.id,
    )
