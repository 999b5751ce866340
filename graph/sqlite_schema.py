"""The tables of the SQLite store, and how a connection is set up."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from ..errors import Busy, InvalidURL, NotAStore, StoreError, VersionMismatch

APPLICATION_ID = 0x54524946
"""Marks the file as a triforium store ("TRIF")."""
FORMAT = 1
"""Version of the tables; a store also names the oldest version that may read and write it."""
BUSY_SECONDS = 5.0

TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE scopes (n INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE);

CREATE TABLE records (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    tier TEXT NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL,
    scope INTEGER NOT NULL REFERENCES scopes (n),
    task_key TEXT NOT NULL,
    source TEXT NOT NULL,
    role TEXT NOT NULL,
    agent TEXT NOT NULL,
    run TEXT NOT NULL,
    trial TEXT NOT NULL,
    step INTEGER NOT NULL,
    data TEXT NOT NULL,
    valid_from TEXT,
    valid_to TEXT,
    content_hash TEXT NOT NULL,
    keys TEXT NOT NULL,
    confidence REAL,
    cluster TEXT NOT NULL,
    summary TEXT NOT NULL,
    added INTEGER NOT NULL,
    expired INTEGER,
    visible_from INTEGER,           -- position; NULL while its trial is open
    created_at TEXT NOT NULL,
    revision INTEGER NOT NULL,
    status TEXT NOT NULL,
    outcome TEXT,
    support INTEGER NOT NULL DEFAULT 0,
    refuted INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX records_recent ON records (scope, tier, added);
CREATE INDEX records_trial ON records (trial) WHERE trial != '';

-- The image a change replaced, and the position that replaced it: the state as of P is the image
-- with the smallest `until` above P, else the record itself.
CREATE TABLE versions (
    n INTEGER NOT NULL REFERENCES records (n),
    until INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    keys TEXT NOT NULL,
    confidence REAL,
    cluster TEXT NOT NULL,
    summary TEXT NOT NULL,
    status TEXT NOT NULL,
    outcome TEXT,
    PRIMARY KEY (n, until, revision)
) WITHOUT ROWID;

CREATE TABLE links (
    n INTEGER PRIMARY KEY,
    src INTEGER NOT NULL REFERENCES records (n),
    dst INTEGER NOT NULL REFERENCES records (n),
    type TEXT NOT NULL,
    via TEXT NOT NULL,
    weight REAL NOT NULL,
    added INTEGER NOT NULL,
    expired INTEGER
);
CREATE INDEX links_out ON links (src, type, weight DESC, added DESC);
CREATE INDEX links_in ON links (dst, type, weight DESC, added DESC);

CREATE TABLE credits (
    n INTEGER NOT NULL REFERENCES records (n),
    role TEXT NOT NULL,
    uses REAL NOT NULL,
    helped REAL NOT NULL,
    hurt REAL NOT NULL,
    PRIMARY KEY (n, role)
) WITHOUT ROWID;
CREATE TABLE credit_deltas (
    n INTEGER NOT NULL REFERENCES records (n),
    role TEXT NOT NULL,
    receipt TEXT NOT NULL,
    position INTEGER NOT NULL,
    uses REAL NOT NULL,
    helped REAL NOT NULL,
    hurt REAL NOT NULL,
    PRIMARY KEY (n, role, receipt)
) WITHOUT ROWID;

CREATE TABLE journal (
    position INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    hash TEXT NOT NULL,
    scope INTEGER NOT NULL REFERENCES scopes (n),
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    base INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    ops TEXT NOT NULL,
    before TEXT NOT NULL
);
CREATE INDEX journal_time ON journal (created_at);

CREATE TABLE receipts (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    scope INTEGER NOT NULL REFERENCES scopes (n),
    run TEXT NOT NULL,
    trial TEXT NOT NULL,
    role TEXT NOT NULL,
    position INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX receipts_run ON receipts (run);
CREATE INDEX receipts_trial ON receipts (trial);

CREATE TABLE effects (
    key TEXT PRIMARY KEY,
    scope INTEGER NOT NULL REFERENCES scopes (n),
    request TEXT NOT NULL,
    done INTEGER NOT NULL,
    result TEXT
) WITHOUT ROWID;
CREATE TABLE taint (
    n INTEGER NOT NULL REFERENCES records (n),
    root TEXT NOT NULL,
    added INTEGER NOT NULL,
    expired INTEGER,
    PRIMARY KEY (n, root, added)
) WITHOUT ROWID;
CREATE TABLE tombstones (
    id TEXT PRIMARY KEY, hash TEXT NOT NULL, position INTEGER NOT NULL, created_at TEXT NOT NULL
) WITHOUT ROWID;

-- Derived: can be made again from the records.
CREATE TABLE terms (
    term TEXT NOT NULL,
    scope INTEGER NOT NULL,
    tier TEXT NOT NULL,
    documents INTEGER NOT NULL,
    PRIMARY KEY (term, scope, tier)
) WITHOUT ROWID;
CREATE TABLE term_totals (
    scope INTEGER NOT NULL,
    tier TEXT NOT NULL,
    documents INTEGER NOT NULL,
    terms INTEGER NOT NULL,
    PRIMARY KEY (scope, tier)
) WITHOUT ROWID;
CREATE TABLE vectors (
    n INTEGER PRIMARY KEY REFERENCES records (n),
    scope INTEGER NOT NULL,
    tier TEXT NOT NULL,
    vector BLOB NOT NULL
);
CREATE VIRTUAL TABLE fulltext USING fts5 (scope, tier, body, detail = full, tokenize = 'ascii');
"""


def path_of(url: str) -> Path | None:
    """The file of a ``sqlite:`` URL; None for a temporary store.

    Raises:
        InvalidURL: It is not of the form ``sqlite:///PATH`` or ``sqlite://``.
    """
    if url in ("sqlite://", "sqlite:///:memory:", "sqlite://:memory:"):
        return None
    prefix = "sqlite:///"
    rest = url.removeprefix(prefix)
    if not url.startswith(prefix) or not rest or "\0" in rest or "?" in rest:
        raise InvalidURL(
            "A SQLite store has a URL like sqlite:///team.db (relative), sqlite:////var/team.db "
            "(absolute) or sqlite:// (temporary).",
            scheme="sqlite",
        )
    return Path(rest)


def connect(path: Path, *, durable: bool, read_only: bool = False) -> sqlite3.Connection:
    """A connection in autocommit mode with our settings, usable from any one thread at a time."""
    connection = sqlite3.connect(
        path,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA cache_size = -32768")
    connection.execute("PRAGMA mmap_size = 268435456")
    connection.execute(f"PRAGMA query_only = {int(read_only)}")
    return connection


def create_or_check(path: Path, *, durable: bool) -> None:
    """Make the tables in a new file; check that an old one is ours and may be used.

    Raises:
        NotAStore: The file is something else, or its folder does not exist.
        VersionMismatch: It was written by a newer version that this one may not read.
        Busy: Another process is making it just now.
    """
    if path.is_dir() or not path.parent.is_dir():
        raise NotAStore(
            f"{path} cannot be a store: "
            + ("it is a folder." if path.is_dir() else f"there is no folder {path.parent}."),
            path=str(path),
        )
    # Memories may be private: a new file is for its owner alone.
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise NotAStore(f"{path} cannot be opened: {error.strerror}.", path=str(path)) from error
    connection = None
    try:
        connection = connect(path, durable=durable)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        if tables == 0:
            for statement in TABLES.split(";\n"):
                if statement.strip():
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.executemany(
                "INSERT INTO meta VALUES (?, ?)",
                [("format", str(FORMAT)), ("min_reader", "1"), ("min_writer", "1")],
            )
        elif application != APPLICATION_ID:
            raise NotAStore(
                f"{path} is a SQLite file, but not a triforium store. Give another path.",
                path=str(path),
            )
        else:
            _check_version(path, dict(connection.execute("SELECT key, value FROM meta")))
        connection.execute("COMMIT")
    except sqlite3.DatabaseError as error:
        raise translated(error, path) from error
    finally:
        if connection is not None:
            connection.close()


def _check_version(path: Path, meta: dict[str, str]) -> None:
    needed = max(int(meta["min_reader"]), int(meta["min_writer"]))
    if needed > FORMAT:
        raise VersionMismatch(
            f"{path} needs format {needed} of the store; this version of triforium knows up to "
            f"{FORMAT}. Upgrade triforium.",
            path=str(path),
            needed=needed,
        )


def translated(error: sqlite3.DatabaseError, path: Path) -> Exception:
    """A SQLite error as one of ours."""
    message = str(error)
    if "locked" in message or "busy" in message:
        return Busy(
            f"Another process has held {path} for more than {BUSY_SECONDS:g} s. Try again.",
            path=str(path),
        )
    if "not a database" not in message and "malformed" not in message:
        return StoreError(f"SQLite failed on {path}: {message}.", path=str(path))
    return NotAStore(
        f"{path} cannot be used as a store ({message}). Give another path, or restore a backup.",
        path=str(path),
    )
