"""One ALFWorld game, played by TextWorld's own logic without its overhead.

The parts of TextWorld that decide (the planner's library, its state, the grammar) are used as
they are; what is left out is work whose result is known. TextWorld translates the planning
problem four times for one game (twice on loading, twice on reset, each time once for its solver)
where once will do, and on every step parses and expands the text of every admissible command
again, although a command's words depend only on its action and on facts that never change. A
test plays games through `textworld.start` and compares every observation.

Only this module knows TextWorld's inside; it is written for textworld 1.7 and alfworld 0.4.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import json
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import InvalidGame, MissingExtra

LARGEST_GAME = 16_000_000
"""Bytes; real games have about 60 thousand."""

_LOCK = threading.RLock()
"""TextWorld's parsers, and its translator's options, are shared by a whole process."""

_IDLE: list[Any] = []
"""Copies of the planner's library that no game uses, at most as many as games were ever loaded at
once. A copy is never unloaded: loading another after that crashes the process."""

_KEYS = ("pddl_domain", "pddl_problem", "grammar")
_TASK = "Your task is to:"
_FIXED = frozenset({"receptacleatlocation"})
"""Predicates in command templates that no action changes."""


@dataclass(frozen=True, slots=True)
class GameFile:
    """What a game file holds.

    Attributes:
        path: The file.
        data: Its JSON object.
        goal: The task in words.
        walkthrough: Actions that win.
        solvable: False if the game is known to have no solution.
    """

    path: Path
    data: Mapping[str, Any]
    goal: str
    walkthrough: tuple[str, ...]
    solvable: bool


def read_game(path: Path) -> GameFile:
    """Read a `game.tw-pddl`, without loading it into TextWorld.

    Raises:
        InvalidGame: The file is not such a game.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST_GAME + 1)
    except OSError as error:
        raise InvalidGame(
            f"The game file {path} cannot be read: {error.strerror}.", path=str(path)
        ) from error
    if len(content) > LARGEST_GAME:
        raise InvalidGame(f"{path} is too large to be an ALFWorld game.", path=str(path))
    try:
        data = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidGame(
            f"{path} is not an ALFWorld game: it is not JSON.", path=str(path)
        ) from error
    if not isinstance(data, dict) or not all(isinstance(data.get(key), str) for key in _KEYS):
        raise InvalidGame(
            f"{path} is not an ALFWorld game: it lacks {', '.join(_KEYS)}.", path=str(path)
        )
    _, found, rest = data["grammar"].partition(_TASK)
    goal = rest.partition('"')[0].strip().removesuffix(".")
    if not found or not goal:
        raise InvalidGame(
            f'{path} is not an ALFWorld game: its grammar has no "{_TASK}".', path=str(path)
        )
    walkthrough = data.get("walkthrough")
    steps = tuple(map(str, walkthrough)) if isinstance(walkthrough, list) else ()
    return GameFile(path, data, goal, steps, data.get("solvable") is not False)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the game answers: its words, the admissible commands (sorted), whether it is won."""

    text: str
    commands: tuple[str, ...]
    won: bool


class Game:
    """One game, made by `Game.load`. All methods block; calls of one game must not overlap."""

    def __init__(self, file: GameFile, modules: _Modules) -> None:
        self.file = file
        self._modules = modules
        self._library: Any = None
        self._translation: Any = None
        self._logic: Any = None
        self._state: Any = None
        self._infos: dict[str, Any] = {}
        self._commands: dict[tuple[str, ...], str] = {}
        self._valid: dict[str, Any] = {}
        self._fresh = True

    @classmethod
    def load(cls, file: GameFile) -> Game:
        """Load a game into TextWorld.

        Raises:
            InvalidGame: TextWorld cannot load the game.
            MissingExtra: TextWorld or ALFWorld is not installed.
        """
        with _LOCK:
            game = cls(file, _Modules.load())
            try:
                game._set_up()
            except (Exception, SystemExit) as error:
                game.close()
                raise InvalidGame(
                    f"TextWorld cannot load {file.path}: {type(error).__name__}: "
                    f"{str(error)[:200]}",
                    path=str(file.path),
                ) from error
        return game

    def reset(self) -> Reply:
        """Begin from the beginning; it may be called again."""
        with _LOCK:
            if not self._fresh:
                self._state = self._begin()
            self._fresh = False
            return self._reply(self._derive("#intro#", {}))

    def step(self, command: str) -> Reply:
        """Perform a command; one that is not admissible changes nothing."""
        with _LOCK:
            action = self._valid.get(command.strip())
            if action is None:
                return self._reply("Nothing happens.")
            self._state.apply(action)
            return self._reply(self._derive(action.feedback_rule, action.mapping))

    def close(self) -> None:
        """Give the planner's library back; the game is of no use afterwards."""
        with _LOCK:
            if self._library is not None:
                _IDLE.append(self._library)
            self._library = self._state = self._logic = self._translation = None
            self._valid, self._infos = {}, {}

    def _set_up(self) -> None:
        self._library = _IDLE.pop() if _IDLE else self._modules.planner.load_lib()
        self._logic = self._modules.logic.GameLogic(
            domain=self.file.data["pddl_domain"], grammar=self.file.data["grammar"]
        )
        self._state = self._begin()
        self._infos = self._name_entities()

    def _begin(self) -> Any:
        with self._modules.translating(self):
            return self._modules.logic.PddlState(
                self._library, self.file.data["pddl_problem"], self._logic
            )

    def _name_entities(self) -> dict[str, Any]:
        infos = {
            variable.name: self._modules.game.EntityInfo(variable.name, variable.type)
            for fact in self._state.facts
            for variable in fact.arguments
        }
        names = self._modules.names.Demangler(game_infos=infos)
        for info in infos.values():
            info.name = names.demangle_alfred_name(info.id)
            info.definite, info.indefinite = "the", "a"
        return infos

    def _reply(self, text: str) -> Reply:
        # Of several actions with the same words the first counts, as in TextWorld.
        self._valid = {}
        for action in self._state.all_applicable_actions():
            self._valid.setdefault(self._words(action), action)
        return Reply(text, tuple(sorted(self._valid)), bool(self._state.check_goal()))

    def _words(self, action: Any) -> str:
        template = str(action.command_template)
        key = (
            action.name,
            *(
                variable.name
                for placeholder, variable in action.mapping.items()
                if placeholder.name in _names(template)
            ),
        )
        if key not in self._commands:
            words = self._derive(template, action.mapping).strip()
            if not _depends_on_state(template):
                self._commands[key] = words
            return words
        return self._commands[key]

    def _derive(self, template: str, mapping: Mapping[Any, Any]) -> str:
        context = {
            "state": self._state,
            "facts": (),
            "variables": {
                placeholder.name: self._infos[variable.name]
                for placeholder, variable in mapping.items()
            },
            "mapping": mapping,
            "entity_infos": self._infos,
        }
        return str(self._logic.grammar.derive(template, context))


@lru_cache(maxsize=256)
def _names(template: str) -> frozenset[str]:
    """The words in a template; only placeholders among them can matter to it."""
    return frozenset(re.findall(r"\w+", template))


@lru_cache(maxsize=256)
def _depends_on_state(template: str) -> bool:
    """Whether a command template asks for facts that actions may change."""
    _, asks, query = template.partition("|")
    if "#" in template:
        return True
    predicates = [part.partition("(")[0].strip() for part in query.split("&")] if asks else []
    return not _FIXED.issuperset(predicates)


@dataclass(frozen=True, slots=True)
class _Modules:
    """The parts of TextWorld and ALFWorld that are used; imported on first use."""

    planner: Any
    interface: Any
    logic: Any
    game: Any
    names: Any

    @classmethod
    def load(cls) -> _Modules:
        arguments = sys.argv
        try:
            # The translator parses the command line of the process when it is imported.
            sys.argv = ["translate", "domain", "task"]
            modules = cls(
                importlib.import_module("fast_downward"),
                importlib.import_module("fast_downward.interface"),
                importlib.import_module("textworld.envs.pddl.logic"),
                importlib.import_module("textworld.generator.game"),
                importlib.import_module("alfworld.agents.utils.misc"),
            )
            importlib.import_module("fast_downward.translate.translate")
        except ImportError as error:
            raise MissingExtra("The ALFWorld adapter", "alfworld") from error
        finally:
            sys.argv = arguments
        for name, module in list(sys.modules.items()):
            if name.startswith("fast_downward.translate") and isinstance(module, ModuleType):
                vars(module)["print"] = _print_to_files
        return modules

    @contextlib.contextmanager
    def translating(self, game: Game) -> Iterator[None]:
        """Let a game's problem be translated once, quietly; everything is put back at the end."""
        planner, interface, arguments = self.planner, self.interface, sys.argv
        original, capture = planner.pddl2sas, interface.CapturingStdout

        def translate(domain: str, problem: str, **_: Any) -> Any:
            # The second translation serves only TextWorld's solver, which is never asked here.
            if game._translation is None:
                game._translation = original(domain, problem)
            return game._translation

        # The original swaps the standard output of the whole process while it translates.
        interface.CapturingStdout = lambda: contextlib.nullcontext(())
        planner.pddl2sas = translate
        try:
            yield
        finally:
            planner.pddl2sas, interface.CapturingStdout = original, capture
            sys.argv = arguments


def _print_to_files(*values: Any, file: Any = None, **options: Any) -> None:
    """`print` for the translator: its files are written, its progress reports are not."""
    if file is not None:
        builtins.print(*values, file=file, **options)
