"""What a benchmark measures, and how."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import InvalidInput
from ..memory.registry import get_strategy
from .folds import BENCHMARKS

NO_MEMORY = "none"
STALE_TRIALS = 40
"""Trials of its own in which a team has to unlearn a stale world."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One of the teams that are compared.

    Attributes:
        name: As it stands in the results.
        strategy: Its memory strategy.
        play: Tasks it plays itself after the demonstrations.
        stale: Its demonstrations were made before things moved.
    """

    name: str
    strategy: str
    play: int = 0
    stale: bool = False

    @property
    def remembers(self) -> bool:
        """Whether it has any memory."""
        return self.strategy != NO_MEMORY

    @property
    def learner(self) -> str:
        """The strategy that makes the memory out of demonstrations.

        The baselines leave nothing of their own and an ablation leaves what the whole strategy
        leaves, so they share its store.
        """
        base = self.strategy.partition(":")[0]
        return "hierarchical" if base in ("context", "exprag") else base


@dataclass(frozen=True, slots=True)
class Settings:
    """What is measured, and how.

    Attributes:
        name: One of `BENCHMARKS`.
        games: For alfworld: the folder of games.
        data: For pddl: the folder of problems.
        experience: For alfworld: a folder of demonstrations, instead of `split`.
        split: "even-odd": the games at even places are the experience for those at odd places,
            and the other way round.
        max_steps: Actions of one task.
        arms: Memory strategies.
        baseline: The arm that the others are compared with; the first if empty.
        tokens: Budget of a recall.
        jobs: Processes.
        limit: Play so many test tasks, spread over all; 0 for all.
        seed: Of episodes, tasks and choices.
        demonstrations: So many of the experience, balanced over the kinds of task; None for all.
        order: Seed of the order of the experience and of which demonstrations are taken; 0 leaves
            them in the order of the tasks.
        play: Tasks that each team plays itself after the demonstrations, learning, before its
            memory is frozen. More than there are: they come again.
        rename: Seed of nonsense words for all that tasks say; None leaves the words.
        mislabel: Share of the experience whose outcome is turned round.
        stale: For the household: also with demonstrations from before all things moved, before
            and after trials of the team's own.
        store: URL of an empty store that holds all memories, each in a scope of its own; a file
            for each if empty. Credentials come from the environment.
    """

    name: str
    games: Path | None = None
    data: Path | None = None
    experience: Path | None = None
    split: str = "even-odd"
    max_steps: int = 30
    arms: tuple[str, ...] = ("none", "context", "exprag", "hierarchical")
    baseline: str = ""
    tokens: int = 1000
    jobs: int = 1
    limit: int = 0
    seed: int = 0
    demonstrations: int | None = None
    order: int = 0
    play: int = 0
    rename: int | None = None
    mislabel: float = 0.0
    stale: bool = False
    store: str = ""

    def check(self) -> None:
        """Refuse what cannot be measured.

        Raises:
            InvalidInput: With a sentence that says what to give instead.
        """
        if self.name not in BENCHMARKS:
            known = ", ".join(BENCHMARKS)
            raise InvalidInput(f"There is no benchmark {self.name!r}; there is {known}.")
        self._check_arms()
        needs = BENCHMARKS[self.name].needs
        if needs and getattr(self, needs) is None:
            raise InvalidInput(f"bench {self.name} needs --{needs} DIR; see bench --help.")
        if self.split != "even-odd":
            raise InvalidInput(f'--split is "even-odd", not {self.split!r}.')
        if not 0.0 <= self.mislabel <= 1.0:
            raise InvalidInput(f"--mislabel is a share from 0 to 1, not {self.mislabel!r}.")
        if self.stale and self.name != "household":
            raise InvalidInput("--stale needs a world whose things can move: bench household.")
        if self.store and (self.play or self.stale):
            raise InvalidInput(
                "--play and --stale copy memories, which --store does not; leave it out."
            )

    def _check_arms(self) -> None:
        if not self.arms:
            raise InvalidInput("--arms names no strategy; give some, such as none,hierarchical.")
        for arm in self.arms:
            try:
                get_strategy(arm)
            except InvalidInput as error:
                raise InvalidInput(f"There is no arm {arm}: {error}") from None
        if self.baseline and self.baseline not in (arm.name for arm in self.teams()):
            names = ", ".join(arm.name for arm in self.teams())
            raise InvalidInput(f"--baseline is one of {names}, not {self.baseline!r}.")

    def teams(self) -> tuple[Arm, ...]:
        """The arms in full: a strategy with play of its own is one without it and one with it; a
        stale world has four for each strategy that remembers."""
        arms: list[Arm] = []
        for name in dict.fromkeys(self.arms):
            if name == NO_MEMORY:
                arms.append(Arm(name, name))
            elif not self.stale:
                arms.append(Arm(name, name))
                if self.play:
                    arms.append(Arm(f"{name}+{self.play}", name, self.play))
            else:
                trials = self.trials
                arms += [
                    Arm(f"{name}@fresh", name),
                    Arm(f"{name}@stale", name, stale=True),
                    Arm(f"{name}@stale+{trials}", name, trials, stale=True),
                    Arm(f"{name}@fresh+{trials}", name, trials),
                ]
        return tuple(arms)

    @property
    def trials(self) -> int:
        """Tasks that teams play themselves before the tests."""
        return self.play or (STALE_TRIALS if self.stale else 0)

    def to_json(self) -> dict[str, Any]:
        """All that the results depend on."""
        plain = {**asdict(self), "jobs": None, "version": __version__}
        return {name: str(v) if isinstance(v, Path) else v for name, v in plain.items()}


def parse_seed(text: str, out: Path) -> int:
    """A seed as it is typed; "random" draws one, or takes that of a benchmark begun in `out`.

    Raises:
        InvalidInput: It is neither a number from 0 nor "random".
    """
    if text == "random":
        try:
            return int(json.loads((out / "settings.json").read_text(encoding="utf-8"))["seed"])
        except (OSError, ValueError, KeyError, TypeError):
            return secrets.randbelow(1_000_000)
    if not text.isdecimal():
        raise InvalidInput(f'--seed is a number from 0, or "random", not {text!r}.')
    return int(text)


def parse_demonstrations(text: str) -> int | None:
    """A number of demonstrations as it is typed; None for "all".

    Raises:
        InvalidInput: It is neither a number from 0 nor "all".
    """
    if text == "all":
        return None
    if not text.isdecimal():
        raise InvalidInput(f'--demonstrations is a number from 0, or "all", not {text!r}.')
    return int(text)
