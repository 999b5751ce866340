"""The command line: `triforium --help`. A file for each group of commands, in the order of help."""

from __future__ import annotations

from .base import app

from . import play, bench, store, guard, inspect  # isort: skip

__all__ = ["app", "bench", "guard", "inspect", "main", "play", "store"]


def main() -> None:
    """Entry point of the command `triforium`."""
    app()
