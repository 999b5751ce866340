"""Planning problems as text worlds.

A folder holds domains and their problems: ``gripper.pddl`` and ``gripper/prob01.pddl``. Situation
and goal are told in the same words, so that what an action brings about can be found in a goal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ..agents.environment import Observation, Task
from ..errors import InvalidGame, InvalidInput, InvalidTask
from .pddl_parser import Atom, read_domain, read_problem
from .pddl_planner import plan
from .pddl_strips import GroundAction, State, ground
from .pddl_strips import Task as Grounded

NOTHING = "Nothing happens."


@dataclass(frozen=True, slots=True)
class PDDL:
    """Planning problems of a folder. Implements `World`.

    Args:
        folder: Holds ``DOMAIN.pddl`` and, in a folder ``DOMAIN``, its problems.
        domain: Only this one; all if empty.
    """

    folder: Path
    domain: str = ""
    name: str = field(default="pddl", init=False)

    def tasks(self, n: int, *, seed: int = 0) -> Sequence[Task]:
        """The problems by domain and name; `seed` changes nothing.

        Raises:
            InvalidInput: `n` is negative.
            InvalidGame: There are no problems, or one of them cannot be read.
        """
        if n < 0:
            raise InvalidInput(f"{n} tasks cannot be drawn; the number is 0 or more.", n=n)
        return [self._task(path) for path in self._find()[:n]]

    def environment(self) -> PDDLEnvironment:
        """A fresh environment."""
        return PDDLEnvironment(self)

    async def demonstration(self, task: Task) -> list[str]:
        """A plan found by greedy search; empty if it finds none in a few seconds."""
        grounded = await asyncio.to_thread(self.read, task)
        found = await asyncio.to_thread(plan, grounded)
        return [tell_action(action) for action in found or ()]

    def read(self, task: Task) -> Grounded:
        """Read and ground the problem of a task.

        Raises:
            InvalidTask: The task is not one of this world.
            InvalidGame: A file is not a STRIPS domain or problem.
        """
        given = task.data.get("problem")
        path = PurePosixPath(given) if isinstance(given, str) and given else None
        if path is None or path.is_absolute() or ".." in path.parts or len(path.parts) != 2:
            raise InvalidTask(
                f"The task {task.id!r} is not a planning problem: its data needs the path of a "
                "problem under the folder, such as gripper/prob01.pddl.",
                task=task.id,
            )
        domain = read_domain(self.folder / f"{path.parts[0]}.pddl")
        problem = read_problem(self.folder / path)
        if problem.domain != domain.name:
            raise InvalidGame(
                f"{path} is a problem of the domain {problem.domain!r}, but "
                f"{path.parts[0]}.pddl defines {domain.name!r}.",
                path=str(path),
            )
        return ground(domain, problem)

    def _find(self) -> list[Path]:
        domains = sorted(self.folder.glob(f"{self.domain or '*'}.pddl"))
        problems = [
            problem
            for domain in domains
            for problem in sorted((self.folder / domain.stem).glob("*.pddl"))
        ]
        if not problems:
            raise InvalidGame(
                f"There are no planning problems under {self.folder}. Give a folder that holds "
                f"{self.domain or 'DOMAIN'}.pddl and {self.domain or 'DOMAIN'}/*.pddl.",
                path=str(self.folder),
            )
        return problems

    def _task(self, path: Path) -> Task:
        problem = read_problem(path)
        wanted = [
            tell(one.atom) if one.positive else f"not {tell(one.atom)}" for one in problem.goal
        ]
        where = path.relative_to(self.folder).as_posix()
        return Task(
            id=where.removesuffix(".pddl"),
            goal=f"Make it so that: {'. '.join(wanted)}.",
            kind=path.parent.name,
            data={"problem": where},
        )


class PDDLEnvironment:
    """Plays planning problems. Implements `Environment`.

    An episode is over when its goal is met; later actions do nothing.
    """

    def __init__(self, world: PDDL) -> None:
        self._world = world
        self._task: Grounded | None = None
        self._state: State = frozenset()
        self._over = False
        self._offered: dict[str, GroundAction] = {}

    async def reset(self, task: Task, seed: int = 0) -> Observation:
        """Begin an episode; the problem says all, `seed` changes nothing.

        Raises:
            InvalidTask: The task is not one of this world.
            InvalidGame: Its files cannot be read.
        """
        self._task = await asyncio.to_thread(self._world.read, task)
        self._state = self._task.init
        self._over = self._task.reached(self._state)
        return self._answer(_sentences(self._state))

    async def step(self, action: str) -> Observation:
        """Perform one action; one that is not admissible is answered "Nothing happens."."""
        if self._task is None:
            raise InvalidInput("No episode has begun. Call reset() first.")
        chosen = None if self._over else self._offered.get(action.strip())
        if chosen is None:
            return self._answer(NOTHING)
        before, self._state = self._state, chosen.apply(self._state)
        self._over = self._task.reached(self._state)
        said = [_sentences(self._state - before)]
        gone = sorted(before - self._state)
        said += [f"No longer: {tell(atom)}." for atom in gone]
        return self._answer(" ".join(part for part in said if part) or NOTHING)

    async def close(self) -> None:
        """Nothing is held."""
        self._task = None

    def _answer(self, text: str) -> Observation:
        assert self._task is not None
        self._offered = {}
        if not self._over:
            self._offered = {tell_action(one): one for one in self._task.applicable(self._state)}
        return Observation(
            text,
            tuple(sorted(self._offered)),
            reward=float(self._over),
            progress=self._task.progress(self._state),
            won=self._over,
            done=self._over,
        )


def _sentences(atoms: Iterable[Atom]) -> str:
    return " ".join(f"{tell(atom)}." for atom in sorted(atoms))


def tell(atom: Atom) -> str:
    """An atom in words: ("on", "b1", "b2") is "b1 on b2", ("clear", "b1") is "b1 is clear"."""
    name, *objects = atom
    word = name.replace("_", "-")
    match objects:
        case []:
            return word
        case [only]:
            return f"{only} is {word}"
        case [first, *others]:
            return f"{first} {word} {' '.join(others)}"
    raise AssertionError(atom)


def tell_action(action: GroundAction) -> str:
    """An action in words: its name, then its objects."""
    return " ".join(action.name)
