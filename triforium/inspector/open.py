"""Open the page in a browser without showing its token to other users of the machine."""

from __future__ import annotations

import atexit
import os
import tempfile
import webbrowser
from contextlib import suppress
from html import escape


def open_page(address: str) -> bool:
    """Open an address by way of a private file, since a command line can be read by others.

    Returns:
        Whether a browser was found.
    """
    handle, path = tempfile.mkstemp(prefix="triforium-inspect-", suffix=".html")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(
            '<!doctype html><meta charset="utf-8"><title>triforium</title>'
            f'<meta http-equiv="refresh" content="0; url={escape(address, quote=True)}">'
        )
    atexit.register(_remove, path)
    try:
        return webbrowser.open(f"file://{path}")
    except webbrowser.Error:
        return False


def _remove(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)
