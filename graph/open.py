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
    raise InvalidURL(
        f"{scheme + '://...' if scheme else repr(url[:40])} names no store. "
        "Use a URL like sqlite:///team.db.",
        scheme=scheme,
    )
