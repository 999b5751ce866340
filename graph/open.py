"""Opens a store by its URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import InvalidURL
from .store import Store

if TYPE_CHECKING:
    from .neo4j import Credentials


async def open_store(url: str, *, credentials: Credentials | None = None) -> Store:
    """The store at `url`.

    Args:
        url: ``sqlite:///team.db`` (relative), ``sqlite:////var/team.db`` (absolute),
            ``sqlite://`` (temporary), or ``neo4j://host[:port][/database]`` (``neo4j+s://`` for
            TLS).
        credentials: For a server: name and password, or what gives them; from NEO4J_USERNAME and
            NEO4J_PASSWORD or NEO4J_PASSWORD_FILE if None.

    Raises:
        InvalidURL: No store is known under such a URL. Credentials in it are not repeated.
        MissingExtra: The driver of the server is not installed.
        NotAStore: There is something else.
        Unavailable: The server cannot be reached.
        StoreError: The server refuses the credentials, or cannot hold a store.
    """
    scheme = url.split(":", 1)[0] if ":" in url else ""
    if scheme == "sqlite":
        from .sqlite import open_sqlite

        return await open_sqlite(url)
    if scheme.split("+")[0] in ("neo4j", "bolt"):
        from .neo4j import open_neo4j

        return await open_neo4j(url, credentials=credentials)
    # Nothing of the URL is repeated: without a known scheme, any part may be a password.
    raise InvalidURL(
        "This URL names no store. Use sqlite:///team.db (relative), sqlite:////var/team.db "
        "(absolute), sqlite:// (temporary) or neo4j://host:7687."
    )
