"""The rows of a dump: the same from every store, so that each can take what another gives.

A dump begins with its header, then come rows of each kind in the order of `KINDS`. A row is plain
JSON: its kind under "row", the scope it belongs to under "scope", and its fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import InvalidInput, StoreError
from .ids import JSON, digest

FORMAT = 3
"""Version of the rows."""
KINDS: Mapping[str, tuple[str, ...]] = {
    "record": (
        "id", "tier", "kind", "text", "task_key", "source", "role", "agent", "run", "trial",
        "step", "data", "valid_from", "valid_to", "content_hash", "keys", "confidence", "cluster",
        "summary", "added", "expired", "gaps", "visible_from", "created_at", "revision", "status",
        "outcome", "hold",
    ),
    "version": (
        "id", "until", "revision", "keys", "confidence", "cluster", "summary", "status", "outcome",
        "hold",
    ),
    "link": ("src", "dst", "type", "via", "weight", "added", "expired"),
    "credit": ("id", "role", "receipt", "position", "uses", "helped", "hurt"),
    "taint": ("id", "root", "added", "expired"),
    "journal": (
        "position", "id", "hash", "actor", "reason", "base", "created_at", "ops", "before",
    ),
    "vector": ("id", "position", "vector"),
    "receipt": ("id", "run", "trial", "role", "position", "created_at", "body"),
    "effect": ("key", "request", "done", "result"),
}  # fmt: skip
"""The kinds of row in the order they come, each with its fields."""


def header(
    *,
    scopes: Sequence[str] | None,
    position: int,
    created_at: str,
    embedder: str,
    width: int,
    rows: Mapping[str, int],
) -> dict[str, JSON]:
    """The first row of a dump.

    Args:
        scopes: The visible scopes; None for the whole store.
        position: The journal position it is of.
        created_at: The time of that position.
        embedder: Fingerprint of the vectors, "" for none.
        width: Of the vectors, 0 for none.
        rows: How many rows of each kind follow.
    """
    return {
        "row": "header",
        "triforium": "memory",
        "format": FORMAT,
        "scopes": None if scopes is None else list(scopes),
        "position": position,
        "created_at": created_at,
        "embedder": embedder,
        "width": width,
        "rows": dict(rows),
    }


def check_header(row: Mapping[str, Any]) -> None:
    """Refuse what is not the header of a dump that this version reads.

    Raises:
        InvalidInput: It is something else, or of another format.
    """
    if row.get("triforium") != "memory":
        raise InvalidInput("This is not an export of triforium: its first line is no header.")
    if row.get("format") != FORMAT:
        raise InvalidInput(
            f"The export has format {row.get('format')!r}; this version reads {FORMAT}."
        )
    try:
        int(row["position"]), int(row["width"]), str(row["created_at"]), str(row["embedder"])
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput("The first line of the export is not a whole header.") from error


def token(row: Mapping[str, Any]) -> str:
    """What identifies a dump: the digest of its header."""
    return digest({name: value for name, value in row.items() if name != "row"})


def unfinished() -> StoreError:
    """What a store says to anything but the copy that fills it."""
    return StoreError(
        "A copy into this store was not finished. Run the same `triforium copy` again: it goes on "
        "where it stopped."
    )
