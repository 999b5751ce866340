"""The tables of the SQLite store, and how a connection is set up."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

from ...errors import Busy, InvalidURL, NotAStore, StoreError, VersionMismatch

APPLICATION_ID = 0x54524946
"""Marks the file as a triforium store ("TRIF")."""
FORMAT = 3
"""Version of the tables; a store also names the oldest version that may read and write it."""
BUSY_SECONDS = 5.0
"""A writer waits so long for another process."""

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
    gaps TEXT,                      -- JSON: taken away at, put back at, ...
    visible_from INTEGER,           -- position; NULL while its trial is open
    created_at TEXT NOT NULL,
    revision INTEGER NOT NULL,
    status TEXT NOT NULL,
    outcome TEXT,
    hold TEXT,                      -- JSON: why it is quarantined
    support INTEGER NOT NULL DEFAULT 0,
    refuted INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX records_recent ON records (scope, tier, added);
CREATE INDEX records_source ON records (source, added);
CREATE INDEX records_quarantined ON records (scope, n) WHERE status = 'quarantined';
CREATE INDEX records_open_trial ON records (trial) WHERE visible_from IS NULL;
CREATE INDEX records_open_run ON records (run) WHERE visible_from IS NULL;

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
    hold TEXT,                      -- JSON: why it is quarantined
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
CREATE UNIQUE INDEX links_live ON links (src, dst, type, via) WHERE expired IS NULL;
CREATE INDEX links_out ON links (src, type, weight DESC, added DESC);
CREATE INDEX links_in ON links (dst, type, weight DESC, added DESC);
CREATE INDEX links_expired ON links (expired) WHERE expired IS NOT NULL;

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
    scope INTEGER NOT NULL REFERENCES scopes (n),
    key TEXT NOT NULL,
    request TEXT NOT NULL,
    done INTEGER NOT NULL,
    result TEXT,
    PRIMARY KEY (scope, key)
) WITHOUT ROWID;
CREATE TABLE taint (
    n INTEGER NOT NULL REFERENCES records (n),
    root TEXT NOT NULL,
    added INTEGER NOT NULL,
    expired INTEGER,
    PRIMARY KEY (n, root, added)
) WITHOUT ROWID;
CREATE INDEX taint_root ON taint (root) WHERE expired IS NULL;
CREATE TABLE tombstones (
    id TEXT PRIMARY KEY, hash TEXT NOT NULL, position INTEGER NOT NULL, created_at TEXT NOT NULL
) WITHOUT ROWID;

-- Which searchable records were touched, in order, each at its last time: what a process that
-- keeps them in memory has to read again. Triggers, so that no writer can forget it.
CREATE TABLE changed (seq INTEGER PRIMARY KEY AUTOINCREMENT, n INTEGER NOT NULL UNIQUE);

-- Derived: can be made again from the records.
CREATE TABLE sources (
    scope INTEGER NOT NULL,
    source TEXT NOT NULL,
    records INTEGER NOT NULL,
    quarantined INTEGER NOT NULL,
    successes REAL NOT NULL,
    failures REAL NOT NULL,
    helped REAL NOT NULL,
    hurt REAL NOT NULL,
    PRIMARY KEY (source, scope)
) WITHOUT ROWID;
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
    position INTEGER NOT NULL,      -- of the changeset that stored it
    vector BLOB NOT NULL
);
CREATE INDEX vectors_position ON vectors (position);
CREATE VIRTUAL TABLE fulltext USING fts5 (scope, tier, body, detail = full, tokenize = 'ascii');
"""

_SEARCHABLE = "WHEN NEW.tier != 'interaction'"
_OF_SEARCHABLE = "WHEN (SELECT tier FROM records WHERE n = NEW.n) != 'interaction'"
TRIGGERS = tuple(
    f"CREATE TRIGGER {table}_{event.lower()} AFTER {event} ON {table} {condition} BEGIN "
    "DELETE FROM changed WHERE n = NEW.n; INSERT INTO changed (n) VALUES (NEW.n); END"
    for table, condition in (
        ("records", _SEARCHABLE),
        ("credits", _OF_SEARCHABLE),
        ("taint", _OF_SEARCHABLE),
    )
    for event in ("INSERT", "UPDATE")
)


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
    try:
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA cache_size = -32768")
        connection.execute("PRAGMA mmap_size = 268435456")
        connection.execute(f"PRAGMA query_only = {int(read_only)}")
    except BaseException:
        connection.close()
        raise
    return connection


def create_private(path: Path) -> None:
    """Make an empty file for its owner alone; one that is there is left as it is.

    An existing file is not even opened: closing it would drop the locks that other connections
    of this process hold on it (POSIX advisory locks belong to the process).
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


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
    try:
        create_private(path)
    except OSError as error:
        raise NotAStore(f"{path} cannot be opened: {error.strerror}.", path=str(path)) from error
    connection = None
    try:
        connection = connect(path, durable=durable)
        _create_tables(connection, path)
        # Only now, when the file is known to be ours, may its journal mode be changed.
        _use_wal(connection, path)
    except sqlite3.DatabaseError as error:
        raise translated(error, path) from error
    finally:
        if connection is not None:
            connection.close()


def _create_tables(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables in an empty file, in one transaction; check any other file."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        if tables == 0:
            for statement in (*TABLES.split(";\n"), *TRIGGERS):
                if statement.strip():
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.executemany(
                "INSERT INTO meta VALUES (?, ?)",
                [(key, str(FORMAT)) for key in ("format", "min_reader", "min_writer")],
            )
        elif application != APPLICATION_ID:
            raise NotAStore(
                f"{path} is a SQLite file, but not a triforium store. Give another path.",
                path=str(path),
            )
        else:
            check_version(connection, path, "min_reader")
            _check_age(connection, path)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _use_wal(connection: sqlite3.Connection, path: Path) -> None:
    """SQLite does not wait by itself when two processes open a new file at once."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() > end:
                raise
            time.sleep(0.02)
            continue
        if mode != "wal":
            raise StoreError(
                f"The file system of {path} cannot hold a store. Put it on a local disk.",
                path=str(path),
            )
        return


def check_version(connection: sqlite3.Connection, path: Path, key: str) -> None:
    """Refuse a store that this version may not touch (any more).

    Args:
        connection: To the store.
        path: Of the store.
        key: "min_reader" or "min_writer".

    Raises:
        VersionMismatch: The store asks for a newer version.
    """
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    needed = int(row[0]) if row else 0
    if needed > FORMAT:
        verb = "read" if key == "min_reader" else "write"
        raise VersionMismatch(
            f"To {verb} {path} takes format {needed} of the store; this version of triforium "
            f"knows up to {FORMAT}. Upgrade triforium.",
            path=str(path),
            needed=needed,
        )


def _check_age(connection: sqlite3.Connection, path: Path) -> None:
    row = connection.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
    if row is None or int(row[0]) < FORMAT:
        raise VersionMismatch(
            f"{path} was made by a version in development (format {row and row[0]}), which this "
            "one does not read. Give another path.",
            path=str(path),
            needed=FORMAT,
        )


def _is_busy(error: sqlite3.Error) -> bool:
    # An extended code holds the plain one in its low byte.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def translated(error: sqlite3.DatabaseError, path: Path) -> StoreError:
    """A SQLite error as one of ours."""
    if _is_busy(error):
        return Busy(
            f"Another process has held {path} for more than {BUSY_SECONDS:g} s. Try again.",
            path=str(path),
        )
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_CANTOPEN):
        return NotAStore(
            f"{path} cannot be used as a store ({error}). Give another path, or restore a backup.",
            path=str(path),
        )
    return StoreError(f"The store {path} failed: {error}.", path=str(path))
