"""What every suite of the guard's benchmark gets and gives back, and where each is found."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from ...errors import InvalidInput

SUITES: Mapping[str, str] = {
    "ehr": "ehr",
    "household": "household",
    "alfworld": "alfworld",
    "poisonedrag": "poisonedrag",
    "misinfo": "misinfo",
    "cost": "cost",
    "revert": "revert",
}
"""Per suite the module of this folder that has its `async def run(settings, console)`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardSettings:
    """What is measured.

    Attributes:
        suite: One of `SUITES`.
        data: Folder of the suite's public data; None where it needs none.
        seeds: Each is a run; all arms meet the same runs.
        triggers: `ehr`: a file of a stranger's triggers.
        options: More, by name, as the suite says.
    """

    suite: str
    data: Path | None = None
    seeds: tuple[int, ...] = (0, 1, 2)
    triggers: Path | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    def folder(self) -> Path:
        """The data folder.

        Raises:
            InvalidInput: None was given, or it is not there.
        """
        if self.data is None or not self.data.is_dir():
            raise InvalidInput(
                f"The suite {self.suite} needs the folder of its data: --data DIR"
                + ("." if self.data is None else f"; {self.data} is no folder."),
                suite=self.suite,
            )
        return self.data

    def option(self, name: str, default: str) -> str:
        """An option of the suite."""
        return self.options.get(name, default)

    def number(self, name: str, default: int, *, least: int = 1) -> int:
        """An option that is a whole number from `least`, which is 0 or 1.

        Raises:
            InvalidInput: It is none.
        """
        text = self.options.get(name, str(default))
        if not (text.isascii() and text.isdecimal() and int(text) >= least):
            raise InvalidInput(f"The option {name} is a number from {least}, not {text!r}.")
        return int(text)

    def to_json(self) -> dict[str, Any]:
        """As it stands in `result.json`; of the data only the name of its folder."""
        plain = asdict(self)
        for name in ("data", "triggers"):
            plain[name] = plain[name].name if plain[name] is not None else None
        return {**plain, "seeds": list(self.seeds), "options": dict(self.options)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One guard against one attack.

    Attributes:
        name: ``GUARD:ATTACK``, such as ``triforium:delete-1`` or ``off:table-4``, the number being
            how many sources attack.
        n: How many observations the main metric rests on.
        metrics: Per name ``{"value", "low", "high"}`` and, where it differs, ``"n"``.
        more: Anything else worth keeping, plain JSON.
    """

    name: str
    n: int
    metrics: Mapping[str, Mapping[str, float]]
    more: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As it stands in `result.json`."""
        return {
            "name": self.name,
            "n": self.n,
            "metrics": {name: dict(value) for name, value in self.metrics.items()},
            **self.more,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteResult:
    """What a suite gives back.

    Attributes:
        arms: In the order of the table.
        items: The single observations, for `items.jsonl`; each has "arm", "task" and "seed".
        more: Further figures for `result.json`, such as sweeps and what was chosen.
        files: Text files to write beside it, by name, such as ``curve.svg``.
        columns: Metrics shown in the table, in order; those of the first arm if empty.
    """

    arms: Sequence[Arm]
    items: Sequence[Mapping[str, Any]] = ()
    more: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    columns: Sequence[str] = ()


Progress: TypeAlias = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and of how much."""
Suite: TypeAlias = Callable[[GuardSettings, Progress], Awaitable[SuiteResult]]


def get_suite(name: str) -> Suite:
    """The suite of that name.

    Raises:
        InvalidInput: There is none.
    """
    if name in SUITES:
        try:
            module = importlib.import_module(f".{SUITES[name]}", __package__)
        except ModuleNotFoundError as error:
            if error.name != f"{__package__}.{SUITES[name]}":
                raise
        else:
            suite: Suite = module.run
            return suite
    raise InvalidInput(f"There is no suite {name!r}; there is {', '.join(SUITES)}.", suite=name)
