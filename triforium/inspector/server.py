"""The server of the inspector: the API, the page, and how it is run."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from .. import __version__
from ..errors import Conflict, InvalidInput, NotFound, TriforiumError
from ..graph import Store
from .access import Door, Grant, Hosts, Tokens, error_json
from .bundle import STATIC
from .quarantine import Refused
from .routes import router
from .state import Inspector

PORT = 7430
"""Where it listens if that is free and no port is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How an inspector is served.

    Attributes:
        tokens: What each token allows.
        scope: The scope that is shown first; found out if "".
        hosts: The names it may be asked for by.
        port: Names the cookie: cookies do not tell ports apart.
    """

    tokens: dict[str, Grant]
    scope: str = ""
    hosts: Hosts = field(default_factory=Hosts)
    port: int = PORT


def create_app(store: Store, settings: Settings) -> ASGIApp:
    """The inspector of an open store as an ASGI application. It does not close the store."""
    inspector = Inspector(store, settings.scope)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        warm = asyncio.ensure_future(_warm(inspector, settings))
        try:
            yield
        finally:
            warm.cancel()
            await inspector.poller.close()
            await asyncio.gather(warm, return_exceptions=True)

    app = FastAPI(
        title="triforium inspector",
        version=__version__,
        description="What a team remembers, and why: the same data as in Python.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    cookie = f"triforium-{settings.port}"
    app.state.inspector = inspector
    app.state.cookie = cookie
    app.include_router(router)
    app.add_exception_handler(TriforiumError, _told)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)
    app.mount("/static", StaticFiles(directory=STATIC, check_dir=False), name="static")

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html", media_type="text/html; charset=utf-8")

    return Door(app, tokens=Tokens(settings.tokens), hosts=settings.hosts, cookie=cookie)


async def _warm(inspector: Inspector, settings: Settings) -> None:
    """Read the graph before the first page asks for it."""
    try:
        grant = Grant(settings.scope)
        reading = await inspector.reading(grant, await inspector.default_scope(grant))
        await inspector.snapshots.at(reading.scope)
        await inspector.receipts.of(reading.scope)
        await inspector.journals.of(reading.scope)
    except TriforiumError:
        return  # The first request meets it again, and says it.


# --- errors -----------------------------------------------------------------------------------


def _error(status: int, code: str, message: str, *, retryable: bool = False) -> JSONResponse:
    return JSONResponse(error_json(code, message, retryable=retryable), status)


async def _told(_: Request, error: Exception) -> JSONResponse:
    """A known error: what happened and what to do."""
    assert isinstance(error, TriforiumError)
    match error:
        case NotFound():
            return _error(404, "not_found", error.message)
        case Conflict():
            return _error(409, "conflict", error.message, retryable=True)
        case Refused():
            return _error(403, "refused", error.message)
        case InvalidInput():
            return _error(400, "invalid_input", error.message)
    return _error(503, "store", error.message, retryable=error.retryable)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """A parameter that is out of its bounds."""
    assert isinstance(error, RequestValidationError)
    said = [
        f"{'.'.join(str(part) for part in one['loc'][1:])[:80]}: {one['msg']}"
        for one in error.errors()[:4]
    ]
    return _error(422, "invalid_parameter", f"{'; '.join(said)}. /api/openapi.json has the bounds.")


async def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return _error(404, "not_found", "There is nothing under this path. See /api/openapi.json.")
    return _error(error.status_code, "http", str(error.detail))


async def _unexpected(_: Request, error: Exception) -> JSONResponse:
    """A fault of ours: the log has it, the answer does not."""
    return _error(
        500, "internal", f"The inspector failed ({type(error).__name__}). Its log says where."
    )


# --- running ----------------------------------------------------------------------------------


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; another free port if none was asked for and ours is taken.

    Raises:
        InvalidInput: The address cannot be used.
    """
    wanted = [port] if port else [PORT, 0]
    for number in wanted:
        listening = None
        try:
            found = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)[0]
            listening = socket.socket(found[0], socket.SOCK_STREAM)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(found[4])
            listening.listen(128)
            return listening
        except OSError as error:
            if listening is not None:
                listening.close()
            if number == wanted[-1]:
                raise InvalidInput(
                    f"The inspector cannot listen on {host} port {number or 'any'}: "
                    f"{error.strerror or error}. Give another --port or --host."
                ) from error
    raise AssertionError("unreachable")


async def serve(
    store: Store, settings: Settings, listening: socket.socket, ready: Callable[[], Any]
) -> None:
    """Serve until interrupted.

    Args:
        store: That is shown.
        settings: How.
        listening: Of `listen`.
        ready: Called when the first request can be answered.
    """
    config = uvicorn.Config(
        create_app(store, settings),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
        limit_concurrency=512,
        ws="none",
    )
    server = _Server(config, ready)
    await server.serve(sockets=[listening])


class _Server(uvicorn.Server):
    """Says when it has started."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], Any]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        if self.started:
            self._ready()
