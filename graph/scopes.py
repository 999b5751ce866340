"""Scopes: who may see a record.

A scope is a tenant path such as ``acme/support`` or ``acme/support/private``. A reader sees its
own scope and its ancestors, never a sibling or a descendant.
"""

from __future__ import annotations

import re
from functools import lru_cache

from ..errors import InvalidScope

_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MAX_DEPTH = 8


@lru_cache(maxsize=4096)
def check_scope(scope: str) -> str:
    """Return `scope` when it is well formed.

    Raises:
        InvalidScope: It is empty, deeper than `MAX_DEPTH`, or a segment is not 1 to 64 ASCII
            letters, digits, dots, underscores or dashes beginning with a letter or digit.
    """
    parts = scope.split("/")
    if len(parts) > MAX_DEPTH or not all(_SEGMENT.fullmatch(part) for part in parts):
        raise InvalidScope(
            f"The scope {scope[:80]!r} is not valid: use 1 to {MAX_DEPTH} names joined by '/', "
            "each of 1 to 64 letters, digits, '.', '_' or '-'.",
            scope=scope,
        )
    return scope


@lru_cache(maxsize=4096)
def visible_scopes(scope: str) -> tuple[str, ...]:
    """The scopes a reader of `scope` sees: its own first, then its ancestors up to the root."""
    parts = check_scope(scope).split("/")
    return tuple("/".join(parts[:n]) for n in range(len(parts), 0, -1))
