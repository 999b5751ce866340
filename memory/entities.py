"""Things that are mentioned in text."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NUMBERED = re.compile(r"([^\W\d_][\w'-]*?) ?(\d+)\b")


@dataclass(frozen=True, slots=True)
class Mention:
    """A thing named by its kind and a number, such as "mug 2".

    Attributes:
        kind: Such as "mug".
        name: Such as "mug 2".
    """

    kind: str
    name: str


def mentions(text: str) -> tuple[Mention, ...]:
    """The things a text mentions, each once, in the order they first appear."""
    found = {f"{kind} {number}": kind for kind, number in _NUMBERED.findall(text.lower())}
    return tuple(Mention(kind, name) for name, kind in found.items())
