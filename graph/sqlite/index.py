"""The derived vectors of the SQLite store, beside the records they belong to."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import InvalidInput
from ..records import Tier
from ..text import index_token


class Place(NamedTuple):
    """Where a vector belongs: number of the record, number of the scope, tier."""

    number: int
    scope: int
    tier: Tier


def index_record(
    connection: sqlite3.Connection,
    place: Place,
    found: list[str],
    *,
    counted: bool,
) -> None:
    """Enter a restored record into the full-text index and, unless hidden, the statistics."""
    number, scope, tier = place
    tokens = [index_token(term) for term in found]
    connection.execute(
        "INSERT INTO fulltext (rowid, scope, tier, body) VALUES (?, ?, ?, ?)",
        (number, f"s{scope}", tier.value, " ".join(tokens)),
    )
    if not counted:
        return
    connection.executemany(
        "INSERT INTO terms VALUES (?, ?, ?, 1) ON CONFLICT DO UPDATE SET documents = documents + 1",
        [(token, scope, tier.value) for token in Counter(tokens)],
    )
    connection.execute(
        "INSERT INTO term_totals VALUES (?, ?, 1, ?) ON CONFLICT DO UPDATE SET "
        "documents = documents + 1, terms = terms + excluded.terms",
        (scope, tier.value, len(tokens)),
    )


def store_vectors(
    connection: sqlite3.Connection,
    embeddable: Mapping[str, Place],
    vectors: Mapping[str, NDArray[np.float32]],
    fingerprint: str,
    position: int,
) -> None:
    """Keep the vectors of added or patched records, if they are of the store's embedder."""
    wanted = {id_: vector for id_, vector in vectors.items() if id_ in embeddable}
    if not wanted or not fingerprint:
        return
    width = next(iter(wanted.values())).shape[-1]
    connection.execute("INSERT OR IGNORE INTO meta VALUES ('embedder', ?)", (fingerprint,))
    connection.execute("INSERT OR IGNORE INTO meta VALUES ('width', ?)", (str(width),))
    meta = dict(
        connection.execute("SELECT key, value FROM meta WHERE key IN ('embedder', 'width')")
    )
    if meta["embedder"] != fingerprint:
        return
    rows = []
    for id_, vector in wanted.items():
        plain = np.ascontiguousarray(vector, np.float32)
        if plain.shape != (int(meta["width"]),):
            raise InvalidInput(
                f"The vector of {id_!r} has shape {plain.shape}, the store's have "
                f"({meta['width']},).",
                id=id_,
            )
        if not np.isfinite(plain).all():
            raise InvalidInput(f"The vector of {id_!r} holds what is no number.", id=id_)
        number, scope, tier = embeddable[id_]
        rows.append((number, scope, tier.value, position, plain.tobytes()))
    connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?, ?)", rows)
