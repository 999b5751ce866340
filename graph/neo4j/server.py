"""The connection to a Neo4j server: its URL, credentials, transactions and errors."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from urllib.parse import urlsplit

from ...errors import (
    Busy,
    InvalidInput,
    InvalidURL,
    MissingExtra,
    NotAStore,
    StoreClosed,
    StoreError,
    Unavailable,
)

if TYPE_CHECKING:
    import neo4j

Credentials: TypeAlias = tuple[str, str] | Callable[[], tuple[str, str]]
"""Name and password, or what gives them; a callable is asked again when they have expired."""
Result = TypeVar("Result")

SCHEMES = ("neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc")
PORT = 7687
CONNECT_SECONDS = 5.0
"""How long a connection may take."""
RETRY_SECONDS = 30.0
"""How long the driver tries a transaction again after errors that may pass."""
TRANSACTION_SECONDS = 30.0
"""How long one transaction may take on the server."""
CONNECTIONS = 50
OLDEST = (5, 26)
"""The oldest server that has what the store's Cypher needs (dynamic labels, scoped subqueries)."""
_DATABASE = re.compile(r"[A-Za-z][A-Za-z0-9.-]{2,62}")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a store is.

    Attributes:
        url: Scheme, host and port, without credentials.
        database: Name of the database, "" for the server's default.
    """

    url: str
    database: str = ""

    def __str__(self) -> str:
        return f"{self.url}/{self.database}" if self.database else self.url


def parse(url: str) -> Address:
    """The address in a ``neo4j:`` or ``bolt:`` URL.

    Raises:
        InvalidURL: It is not of the form ``neo4j://host[:port][/database]``. Nothing of it is
            repeated, since a part may be a password.
    """
    form = "Use neo4j://host[:port][/database], or neo4j+s:// for TLS"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InvalidURL(f"This is no URL of a Neo4j server. {form}.") from None
    if parts.username is not None or parts.password is not None or "@" in url:
        raise InvalidURL(
            "Credentials do not belong into the URL, where they end up in logs. Set NEO4J_USERNAME "
            f"and NEO4J_PASSWORD (or NEO4J_PASSWORD_FILE) instead. {form}."
        )
    database = parts.path.strip("/")
    if (
        parts.scheme not in SCHEMES
        or not host
        or parts.query
        or parts.fragment
        or (database and not _DATABASE.fullmatch(database))
    ):
        raise InvalidURL(f"This is no URL of a Neo4j server. {form}.")
    if ":" in host:
        host = f"[{host}]"
    return Address(f"{parts.scheme}://{host}:{port or PORT}", database)


def from_environment() -> Credentials | None:
    """Credentials from NEO4J_USERNAME and NEO4J_PASSWORD or NEO4J_PASSWORD_FILE, if set.

    Raises:
        InvalidInput: The file cannot be read.
    """
    name = os.environ.get("NEO4J_USERNAME", "neo4j")
    path = os.environ.get("NEO4J_PASSWORD_FILE", "")
    if path:
        try:
            return (name, Path(path).read_text(encoding="utf-8").rstrip("\r\n"))
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(
                f"The file that NEO4J_PASSWORD_FILE names cannot be read: {type(error).__name__}."
            ) from None
    password = os.environ.get("NEO4J_PASSWORD", "")
    return (name, password) if password else None


class Server:
    """A driver for one database, with errors in our own words.

    Args:
        address: Where.
        credentials: Who; None for a server without authentication.
        patience: Seconds a transaction is retried, and may take on the server.
    """

    def __init__(
        self,
        address: Address,
        credentials: Credentials | None,
        *,
        patience: float = RETRY_SECONDS,
    ) -> None:
        try:
            import neo4j
        except ModuleNotFoundError as error:
            raise MissingExtra("A store on Neo4j", "neo4j") from error
        self.address = address
        self._patience = patience
        self._closed = False
        self._driver = neo4j.AsyncGraphDatabase.driver(
            address.url,
            auth=_auth(credentials),
            connection_timeout=CONNECT_SECONDS,
            connection_acquisition_timeout=max(CONNECT_SECONDS, patience),
            max_transaction_retry_time=patience,
            max_connection_pool_size=CONNECTIONS,
            notifications_min_severity=neo4j.NotificationMinimumSeverity.OFF,
            telemetry_disabled=True,
            user_agent="triforium",
        )

    def check_open(self) -> None:
        """Refuse to go on once it is closed.

        Raises:
            StoreClosed: It is.
        """
        if self._closed:
            raise StoreClosed("The store is closed. Use it inside its `async with` block.")

    async def version(self) -> tuple[str, str]:
        """Version and edition of the server."""
        row = await self.read(
            "CALL dbms.components() YIELD name, versions, edition "
            "WHERE name = 'Neo4j Kernel' RETURN versions[0] AS version, edition"
        )
        return str(row["version"]), str(row["edition"])

    async def read(self, query: str, **parameters: Any) -> Mapping[str, Any]:
        """The single row of a reading query; retried by the driver."""
        rows = await self.rows(query, **parameters)
        return rows[0] if rows else {}

    async def rows(self, query: str, **parameters: Any) -> list[Mapping[str, Any]]:
        """All rows of a reading query; retried by the driver."""
        return await self._query(query, parameters, writing=False)

    async def write(self, query: str, **parameters: Any) -> Mapping[str, Any]:
        """The single row of a writing query; retried by the driver, so it must be idempotent."""
        rows = await self._query(query, parameters, writing=True)
        return rows[0] if rows else {}

    async def _query(
        self, query: str, parameters: Mapping[str, Any], *, writing: bool
    ) -> list[Mapping[str, Any]]:
        import neo4j
        import neo4j.exceptions

        asked = neo4j.Query(query, timeout=self._patience)
        mode = neo4j.WRITE_ACCESS if writing else neo4j.READ_ACCESS

        async def work() -> list[Mapping[str, Any]]:
            # A transaction that the server begins and ends itself saves two messages of four. The
            # driver does not try it again, so what may pass is tried again as a managed one.
            try:
                async with self._session(mode) as session:
                    found = await session.run(asked, dict(parameters))
                    return [row async for row in found]
            except (neo4j.exceptions.Neo4jError, neo4j.exceptions.DriverError) as error:
                if not error.is_retryable():
                    raise
            again = await self._driver.execute_query(
                asked,
                dict(parameters),
                routing_=neo4j.RoutingControl.WRITE if writing else neo4j.RoutingControl.READ,
                database_=self.address.database or None,
            )
            return list(again.records)

        return await self._guarded(work)

    async def stream(self, query: str, **parameters: Any) -> AsyncIterator[Mapping[str, Any]]:
        """The rows of a long reading query, as they come."""
        import neo4j.exceptions

        self.check_open()
        try:
            async with self._session() as session:
                async for row in await session.run(neo4j.Query(query), dict(parameters)):
                    yield row
        except (neo4j.exceptions.Neo4jError, neo4j.exceptions.DriverError) as error:
            raise self.translated(error) from error

    async def profile(self, query: str, **parameters: Any) -> Mapping[str, Any]:
        """Run a query, and return the plan that the server took, as the driver gives it."""

        async def work() -> Mapping[str, Any]:
            async with self._session() as session:
                result = await session.run(f"PROFILE {query}", dict(parameters))
                summary = await result.consume()
            return summary.profile or {}

        return await self._guarded(work)

    async def schema(self, query: str) -> None:
        """Run one statement that changes the schema, in a transaction of its own."""

        async def work() -> None:
            async with self._session() as session:
                await (await session.run(query)).consume()

        await self._guarded(work)

    async def transaction(
        self, job: Callable[[neo4j.AsyncManagedTransaction], Awaitable[Result]]
    ) -> Result:
        """Run a job that writes in one transaction; the driver may run it again."""
        import neo4j

        wrapped = neo4j.unit_of_work(timeout=self._patience)(job)

        async def work() -> Result:
            async with self._session() as session:
                return await session.execute_write(wrapped)

        return await self._guarded(work)

    def _session(self, mode: str = "WRITE") -> neo4j.AsyncSession:
        return self._driver.session(
            database=self.address.database or None,
            default_access_mode=mode,
            bookmark_manager=self._driver.execute_query_bookmark_manager,
        )

    async def _guarded(self, work: Callable[[], Awaitable[Result]]) -> Result:
        import neo4j.exceptions

        self.check_open()
        try:
            return await work()
        except (neo4j.exceptions.Neo4jError, neo4j.exceptions.DriverError) as error:
            raise self.translated(error) from error
        except UnicodeEncodeError as error:
            raise InvalidInput(f"This is no Unicode text: {error.reason}.") from error
        except OSError as error:
            raise self._unreachable() from error

    def _unreachable(self) -> Unavailable:
        return Unavailable(
            f"The Neo4j server at {self.address} cannot be reached. Start it, or check host, port "
            "and scheme (neo4j+s:// for TLS).",
            url=str(self.address),
        )

    def translated(self, error: Exception) -> StoreError | InvalidInput:
        """An error of the driver or the server as one of ours."""
        from neo4j import exceptions

        code = getattr(error, "code", None) or ""
        if isinstance(error, exceptions.AuthError):
            return StoreError(
                f"The Neo4j server at {self.address} refuses the credentials. Set NEO4J_USERNAME "
                "and NEO4J_PASSWORD (or NEO4J_PASSWORD_FILE).",
                url=str(self.address),
            )
        if isinstance(error, getattr(exceptions, "UnsupportedServerProduct", ())):
            return StoreError(
                f"The server at {self.address} and this driver have no protocol in common: it is "
                f"too old, or no Neo4j server. The store needs Neo4j {OLDEST[0]}.{OLDEST[1]} or "
                "newer; upgrade the server (or the package neo4j, where that is older).",
                url=str(self.address),
            )
        if isinstance(error, exceptions.ReadServiceUnavailable | exceptions.ServiceUnavailable):
            return self._unreachable()
        if isinstance(
            error, exceptions.SessionExpired | exceptions.ConnectionAcquisitionTimeoutError
        ):
            return self._unreachable()
        if any(word in code for word in ("ReadOnly", "NotALeader", "Statement.AccessMode")):
            return StoreError(
                f"The database at {self.address} is read-only. Give one that may be written, or "
                "ask its administrator.",
                url=str(self.address),
            )
        if code.startswith("Neo.ClientError.Security"):
            return StoreError(
                f"This user may not do that on {self.address}: it needs the right to read, write "
                "and (once, at the first opening) to create indexes and constraints.",
                url=str(self.address),
            )
        if "DatabaseNotFound" in code:
            return NotAStore(f"There is no database at {self.address}.", url=str(self.address))
        if "Timed" in code or "LockClient" in code or isinstance(error, exceptions.TransientError):
            return Busy(
                f"The Neo4j server at {self.address} did not finish within "
                f"{self._patience:g} s. Try again.",
                url=str(self.address),
            )
        if "Statement.ArgumentError" in code or "IndexEntry" in str(error):
            return InvalidInput(f"The server cannot keep this value: {_message(error)}.")
        return StoreError(
            f"The Neo4j server at {self.address} failed: {_message(error)}.", url=str(self.address)
        )

    async def close(self) -> None:
        """Close all connections. Twice is fine."""
        self._closed = True
        await asyncio.shield(self._driver.close())


def _message(error: Exception) -> str:
    return str(getattr(error, "message", None) or type(error).__name__)[:300].rstrip(".")


def _auth(credentials: Credentials | None) -> Any:
    import neo4j

    if credentials is None or isinstance(credentials, tuple):
        return credentials
    give = credentials

    async def provide() -> tuple[str, str]:
        return await asyncio.to_thread(give)

    return neo4j.auth_management.AsyncAuthManagers.basic(provide)
