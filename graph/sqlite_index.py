"""The derived tables of the SQLite store: full text, term statistics, vectors."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidInput
from .records import Record, Tier
from .text import terms


def index_token(term: str) -> str:
    """A term as the full-text index holds it: letters and digits of ASCII only."""
    if term.isascii() and term.isalnum():
        return term
    return "u" + term.encode("utf-8", "surrogatepass").hex()


def index_terms(record: Record) -> list[str]:
    """The terms a searchable record is found by: of its text and keys."""
    found = terms(record.text)
    for key in record.keys:
        found.extend(terms(key))
    return found


def index_record(
    connection: sqlite3.Connection,
    number: int,
    scope: int,
    tier: Tier,
    found: list[str],
    *,
    counted: bool,
) -> None:
    """Enter a record into the full-text index and, unless its trial is open, the statistics."""
    connection.execute(
        "INSERT INTO fulltext (rowid, scope, tier, body) VALUES (?, ?, ?, ?)",
        (number, f"s{scope}", tier.value, " ".join(map(index_token, found))),
    )
    if counted:
        count_terms(connection, scope, tier, [index_token(term) for term in found], 1)


def unindex_record(
    connection: sqlite3.Connection,
    number: int,
    scope: int,
    tier: Tier,
    body: str,
    *,
    counted: bool,
) -> None:
    """Take a record out of the full-text index and the term statistics."""
    connection.execute("DELETE FROM fulltext WHERE rowid = ?", (number,))
    if counted:
        count_terms(connection, scope, tier, body.split(), -1)


def count_terms(
    connection: sqlite3.Connection, scope: int, tier: Tier, tokens: list[str], sign: int
) -> None:
    """Add the terms of a record to the statistics (sign 1), or take them away (sign -1)."""
    connection.executemany(
        "INSERT INTO terms VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
        "documents = documents + excluded.documents",
        [(token, scope, tier.value, sign) for token in Counter(tokens)],
    )
    connection.execute(
        "INSERT INTO term_totals VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
        "documents = documents + excluded.documents, terms = terms + excluded.terms",
        (scope, tier.value, sign, sign * len(tokens)),
    )


def store_vectors(
    connection: sqlite3.Connection,
    embeddable: Mapping[str, tuple[int, int, Tier]],
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
