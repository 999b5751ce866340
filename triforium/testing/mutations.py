"""Takes the scope conditions out of a store's queries, one at a time, and sees who notices.

The conditions are found in the texts that are executed, so none has to be listed. A condition that
another one stands before (the full-text index holds the scope too) would not be missed alone. For
it that shield is lowered first, which nobody notices while the condition is there.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from ..graph import Store
from .isolation import PROBES

Rule: TypeAlias = tuple[re.Pattern[str], Callable[[re.Match[str]], str]]
"""How a scope condition looks, and what stands in its place once it is taken out."""


@dataclass(slots=True)
class Tap:
    """What passes between a store and its database; replaces one text by another.

    Attributes:
        texts: Those seen while listening, in order, each once.
        original: The text that is replaced.
        mutant: What it is replaced by.
        shields: False takes away what stands before the conditions elsewhere than in the texts.
        lowered: What becomes of any other text.
        hits: How often the mutant was executed.
    """

    texts: dict[str, None] = field(default_factory=dict)
    original: str = ""
    mutant: str = ""
    shields: bool = True
    lowered: Callable[[str], str] = str
    hits: int = 0

    def through(self, text: str) -> str:
        """The text to execute."""
        self.texts[text] = None
        if text == self.original:
            self.hits += 1
            return self.mutant
        return self.lowered(text)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A text, and the same without one of its scope conditions."""

    text: str
    condition: str
    mutated: str

    def __str__(self) -> str:
        at = next(
            place
            for place, (one, other) in enumerate(zip(self.text, self.mutated, strict=False))
            if one != other
        )
        around = " ".join(self.text[max(0, at - 200) : at + 100].split())
        return f"without {self.condition!r}: ... {around} ..."


def mutants(text: str, rules: Sequence[Rule]) -> Iterator[Mutant]:
    """The text without each of its scope conditions in turn."""
    for pattern, without in rules:
        for match in pattern.finditer(text):
            mutated = text[: match.start()] + without(match) + text[match.end() :]
            yield Mutant(text, match.group(), mutated)


def fragments(paths: Sequence[Path], condition: re.Pattern[str]) -> set[str]:
    """The pieces of texts in source files that hold a scope condition."""
    found = set()
    for path in paths:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        documented = {
            node.body[0].value
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and node not in documented
                and condition.search(node.value)
            ):
                found.add(node.value)
    return found


async def texts_of_probes(store: Store, tap: Tap) -> dict[str, list[str]]:
    """Which probes execute which text; all of them pass."""
    executed: dict[str, list[str]] = {}
    for name, probe in PROBES.items():
        tap.texts = {}
        await probe(store)
        for text in tap.texts:
            executed.setdefault(text, []).append(name)
    return executed


async def survives(store: Store, tap: Tap, mutant: Mutant, probes: Sequence[str]) -> bool:
    """Whether no probe notices that a condition is gone."""
    tap.original, tap.mutant, tap.hits = mutant.text, mutant.mutated, 0
    try:
        for name in probes:
            try:
                await PROBES[name](store)
            except Exception:
                # Shown what it must not see, or an error: either way somebody notices.
                return False
        assert tap.hits or mutant.text == mutant.mutated, f"never executed: {mutant}"
        return True
    finally:
        tap.original = tap.mutant = ""


def unexplained(
    texts: Sequence[str],
    reads: re.Pattern[str],
    conditions: Sequence[Rule],
    known: Mapping[str, str],
) -> list[str]:
    """Texts that read what has a scope, without a scope condition and without a reason."""
    return [
        text
        for text in texts
        if reads.search(text)
        and not any(pattern.search(text) for pattern, _ in conditions)
        and not any(part in text for part in known)
    ]


def values_of(parameters: Any, change: Callable[[str], str]) -> Any:
    """The parameters of a text with each text in them changed."""
    if isinstance(parameters, str):
        return change(parameters)
    if isinstance(parameters, Mapping):
        return {key: values_of(value, change) for key, value in parameters.items()}
    if isinstance(parameters, list | tuple):
        return type(parameters)(values_of(value, change) for value in parameters)
    return parameters
