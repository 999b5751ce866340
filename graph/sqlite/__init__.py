"""The SQLite store: one file, one writer thread, reader threads."""

from .store import SQLiteStore, open_sqlite

__all__ = ["SQLiteStore", "open_sqlite"]
