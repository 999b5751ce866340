"""What a benchmark leaves: `items.jsonl` (a line per task and arm) and `result.json`."""

from __future__ import annotations

import json
import math
import os
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InvalidInput

_Z = 1.959963984540054
"""The 97.5% point of the normal distribution."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A value with its 95% interval."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """As it stands in `result.json`."""
        return {
            "value": round(self.value, 6),
            "low": round(self.low, 6),
            "high": round(self.high, 6),
        }

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def proportion(successes: int, n: int) -> Metric:
    """A share with its Wilson score interval (Wilson 1927)."""
    if n == 0:
        return Metric(math.nan, 0.0, 1.0)
    p = successes / n
    centre = p + _Z * _Z / (2 * n)
    spread = _Z * math.sqrt(p * (1 - p) / n + _Z * _Z / (4 * n * n))
    scale = 1 + _Z * _Z / n
    return Metric(p, max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale))


def mean(values: Sequence[float], *, seed: int = 0, samples: int = 2000) -> Metric:
    """A mean with its percentile bootstrap interval."""
    if not values:
        return Metric(math.nan, math.nan, math.nan)
    value = sum(values) / len(values)
    rng = random.Random(seed)
    means = sorted(sum(rng.choices(values, k=len(values))) / len(values) for _ in range(samples))
    return Metric(value, means[int(0.025 * samples)], means[int(0.975 * samples) - 1])


@dataclass(slots=True)
class ItemLog:
    """`items.jsonl`: appended as tasks end, so that an interrupted benchmark goes on.

    Attributes:
        path: The file.
        items: What it holds, by (arm, task).
    """

    path: Path
    items: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path, settings: Mapping[str, Any]) -> ItemLog:
        """Open or begin a log; one that was made with other settings is refused.

        A last line cut off by a crash is dropped, and its task is played again.

        Raises:
            InvalidInput: The log belongs to another benchmark or other settings.
        """
        log = cls(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        wanted = json.loads(json.dumps(dict(settings), sort_keys=True))
        beside = path.with_name("settings.json")
        if not path.exists():
            write_result(beside, wanted)
            path.touch()
            return log
        if not beside.exists() or json.loads(beside.read_text(encoding="utf-8")) != wanted:
            raise InvalidInput(
                f"{path} was made with other settings. Give another --out, or delete it to begin "
                "again.",
                path=str(path),
            )
        good = 0
        with path.open("rb") as file:
            for line in file:
                try:
                    row = json.loads(line)
                except ValueError:
                    break
                if not line.endswith(b"\n"):
                    break
                good += len(line)
                log.items[row["arm"], row["task"]] = row
        os.truncate(path, good)
        return log

    def add(self, item: Mapping[str, Any]) -> None:
        """Append an item; it is on disk when this returns."""
        self.items[item["arm"], item["task"]] = dict(item)
        self._append(item)

    def of(self, arm: str) -> list[dict[str, Any]]:
        """The items of an arm, by task."""
        return [item for (name, _), item in sorted(self.items.items()) if name == arm]

    def _append(self, row: Mapping[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, sort_keys=True) + "\n")
            file.flush()
            os.fsync(file.fileno())


def write_result(path: Path, result: Mapping[str, Any]) -> None:
    """Write `result.json` so that it is there whole or not at all."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(result, indent=2, sort_keys=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def summarise(items: Iterable[Mapping[str, Any]], seed: int) -> dict[str, dict[str, float]]:
    """The metrics of one arm from its items."""
    rows = list(items)
    won = [row for row in rows if row["success"]]
    metrics = {
        "success_rate": proportion(len(won), len(rows)).to_json(),
        "steps": mean([float(row["steps"]) for row in rows], seed=seed).to_json(),
        "tokens_recalled": mean([float(row["tokens"]) for row in rows], seed=seed).to_json(),
    }
    for name in ("progress", "seconds", "model_calls", "model_tokens"):
        if rows and all(row.get(name) is not None for row in rows):
            metrics[name] = mean([float(row[name]) for row in rows], seed=seed).to_json()
    return metrics
