"""Opens a store by its URL."""

from __future__ import annotations

from ..errors import InvalidURL
from .store import Store


async def open_store(url: str) -> Store:
    """The store at `url`.

    Args:
        url: ``sqlite:///team.db`` (relative), ``sqlite:////var/team.db`` (absolute) or
            ``sqlite://`` (temporary).

    Raises:
        InvalidURL: No store is known under such a URL. Credentials in it are not repeated.
        NotAStore: There is something else.
    """
    scheme = url.split(":", 1)[0] if ":" in url else ""
    if scheme == "sqlite":
        from .sqlite import open_sqlite

        return await open_sqlite(url)
    if scheme.split("+")[0] in ("neo4j", "bolt"):
        raise InvalidURL(
            "This version of triforium keeps its memory in SQLite only; use sqlite:///team.db.",
            scheme=scheme,
        )
    # Nothing of the URL is repeated: without a known scheme, any part may be a password.
    raise InvalidURL(
        "This URL names no store. Use sqlite:///team.db (relative), sqlite:////var/team.db "
        "(absolute) or sqlite:// (temporary)."
    )
