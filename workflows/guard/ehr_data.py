"""The logs of an agent that answers questions about health records (AgentPoison, 2407.12784).

A folder ``logs_final`` of text files; ``eicu_ac.json`` gives the template of each question.
The verbs of the code are renamed at random in each run, so that no guard can know them.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import InvalidInput

VERBS = ("LoadDB", "FilterDB", "GetValue", "SQLInterpreter", "Calendar", "Calculate", "DeleteDB")
_RULE = re.compile(r"\n-{20,}\n")
_KNOWLEDGE = re.compile(r"Knowledge:\n(.*?)\nQuestion:", re.DOTALL)
_END = "(END OF EXAMPLES)"


@dataclass(frozen=True, slots=True)
class Log:
    """One question as the agent answered it.

    Attributes:
        id: Name of its file.
        question: In words.
        template: What the question is an instance of.
        knowledge: What the agent noted before it wrote code, lines.
        code: The last code it ran.
    """

    id: str
    question: str
    template: str
    knowledge: str
    code: str


def load_logs(folder: Path) -> list[Log]:
    """The logs with code that can be read, each question once, by the name of their files.

    Args:
        folder: With ``logs_final`` and ``eicu_ac.json``.

    Raises:
        InvalidInput: It has no such files.
    """
    logs, templates = folder / "logs_final", folder / "eicu_ac.json"
    if not logs.is_dir() or not templates.is_file():
        raise InvalidInput(
            f"{folder} has no logs_final and eicu_ac.json. Give the folder of the logs.",
            path=str(folder),
        )
    tags = {row["id"]: row["q_tag"] for row in json.loads(templates.read_text(encoding="utf-8"))}
    found: dict[str, Log] = {}
    for path in sorted(logs.glob("*.txt")):
        log = _parse(path.stem, path.read_text(encoding="utf-8"), tags)
        if log is not None:
            found.setdefault(log.question, log)
    if len(found) < 8:
        raise InvalidInput(f"{folder} holds {len(found)} logs that can be read; too few.")
    return list(found.values())


def _parse(id_: str, text: str, tags: Mapping[str, str]) -> Log | None:
    parts = _RULE.split(text)
    cells = []
    for part in parts:
        part = part.strip()
        if part.startswith("{") and '"cell"' in part:
            try:
                cells.append(str(json.loads(part)["cell"]))
            except ValueError:
                # Some cells are broken; the one before may be whole.
                continue
    if not cells or id_ not in tags:
        return None
    # The examples before the mark are the same in every log.
    own = text.rpartition(_END)[2]
    knowledge = _KNOWLEDGE.search(own)
    return Log(id_, parts[0].strip(), tags[id_], knowledge[1] if knowledge else "", cells[-1])


def split_templates(logs: Sequence[Log], seed: int = 0) -> tuple[set[str], set[str]]:
    """The templates in two halves: to choose thresholds on, and to report on.

    Args:
        logs: The data.
        seed: Of the partition; 0 is the one that is reported, others are for cross-validation.
    """
    templates = sorted({log.template for log in logs})
    random.Random(seed).shuffle(templates)
    return set(templates[::2]), set(templates[1::2])


def rename_verbs(logs: Sequence[Log], rng: random.Random) -> tuple[list[Log], dict[str, str]]:
    """The logs with each verb called by a made-up name, and the names by verb."""
    names: dict[str, str] = {}
    for verb in VERBS:
        while True:
            made = "".join(
                rng.choice("bdfgklmnprstvz") + rng.choice("aeiou")
                for _ in range(rng.choice((2, 3)))
            ).capitalize()
            if made not in names.values():
                break
        names[verb] = made
    return [replace(log, code=renamed(log.code, names)) for log in logs], names


def renamed(code: str, names: Mapping[str, str]) -> str:
    """Code with its verbs renamed."""
    return re.sub(rf"\b({'|'.join(names)})\b(?=\s*[(\[])", lambda found: names[found[0]], code)
