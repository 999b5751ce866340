"""Text as the stores index it: one tokeniser, so that every store agrees on what a term is."""

from __future__ import annotations

import re
from collections.abc import Iterable

_TERM = re.compile(r"\w+", re.UNICODE)
MAX_TERM = 64


def terms(text: str) -> list[str]:
    """The index terms of `text` in order: lower-cased runs of word characters, at most 64 long."""
    return [match[:MAX_TERM] for match in _TERM.findall(text.casefold())]


def index_terms(text: str, keys: Iterable[str]) -> list[str]:
    """The terms a searchable record is found by: of its text and keys."""
    found = terms(text)
    for key in keys:
        found.extend(terms(key))
    return found


def index_token(term: str) -> str:
    """A term as full-text indexes hold it: letters and digits of ASCII only."""
    if term.isascii() and term.isalnum():
        return term
    return "u" + term.encode("utf-8", "surrogatepass").hex()
