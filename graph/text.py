"""Text as the stores index it: one tokeniser, so that every store agrees on what a term is."""

from __future__ import annotations

import re

_TERM = re.compile(r"\w+", re.UNICODE)
MAX_TERM = 64


def terms(text: str) -> list[str]:
    """The index terms of `text` in order: lower-cased runs of word characters, at most 64 long."""
    return [match[:MAX_TERM] for match in _TERM.findall(text.casefold())]
