"""Who may ask: tokens, the checks of Host and Origin, and the headers of every answer.

A page of another site must neither read an answer nor cause a change. So a request must name this
server as its host (else it may come by DNS rebinding), must not come from a foreign origin, and
must carry a token that no other site knows.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..errors import InvalidInput
from ..graph import check_scope, visible_scopes

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_QUERY = 4096
"""Bytes of a query string at most."""
MAX_PATH = 2048
"""Bytes of a path at most."""
MAX_BODY = 16_384
"""Bytes of a body at most."""
LEAST_TOKEN = 16
"""Characters of a token that somebody chose, at least."""
CONTENT_POLICY = (
    "default-src 'self'; worker-src 'self' blob:; img-src 'self' data: blob:; object-src 'none'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
HEADERS: Mapping[str, str] = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token allows.

    Attributes:
        scope: The scope it may read, with its ancestors; "" for all scopes.
        edits: Whether records may be released and confirmed.
    """

    scope: str = ""
    edits: bool = False

    def allows(self, scope: str) -> bool:
        """Whether a scope may be read."""
        return not self.scope or scope in visible_scopes(self.scope)


class Tokens:
    """The tokens that are known, as digests."""

    def __init__(self, grants: Mapping[str, Grant]) -> None:
        """Know these.

        Args:
            grants: What each token allows.

        Raises:
            InvalidInput: There is none, or one is too short.
        """
        if not grants or min(map(len, grants)) < LEAST_TOKEN:
            raise InvalidInput(
                f"A token of the inspector has at least {LEAST_TOKEN} characters. Make one with "
                "`python -c 'import secrets; print(secrets.token_hex())'`."
            )
        self._grants = {_digest(token): grant for token, grant in grants.items()}

    def grant(self, token: str) -> Grant | None:
        """What a token allows; None for an unknown one. Takes as long for any of them."""
        asked = _digest(token)
        found = None
        for known, grant in self._grants.items():
            if hmac.compare_digest(known, asked):
                found = grant
        return found


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def new_token() -> str:
    """A random token of 256 bits."""
    return secrets.token_urlsafe(32)


def read_tokens(text: str, *, scope: str = "", edits: bool = False) -> dict[str, Grant]:
    """The tokens of a file: on each line a token and, if it is for one scope only, that scope.

    Args:
        text: Of the file. Empty lines and those that begin with # do not count.
        scope: Of tokens without one.
        edits: Whether they may release and confirm.

    Raises:
        InvalidInput: A line is malformed; its number is named, its text is not.
    """
    grants: dict[str, Grant] = {}
    for number, line in enumerate(text.splitlines(), 1):
        parts = line.split()
        if not parts or parts[0].startswith("#"):
            continue
        if len(parts) > 2:
            raise InvalidInput(f"Line {number} of the token file is not `TOKEN [SCOPE]`.")
        own = parts[1] if len(parts) == 2 else scope
        if scope and own not in visible_scopes(scope):
            raise InvalidInput(
                f"Line {number} of the token file names a scope that {scope} does not see."
            )
        grants[parts[0]] = Grant(check_scope(own) if own else "", edits)
    return grants


def read_token_file(path: Path, *, scope: str = "", edits: bool = False) -> dict[str, Grant]:
    """`read_tokens` of a file.

    Raises:
        InvalidInput: It cannot be read, or others than its owner can read it.
    """
    try:
        if path.stat().st_mode & 0o077:
            raise InvalidInput(f"Others can read {path}. Run: chmod 600 {path}")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InvalidInput(f"The token file {path} cannot be read: {reason}.") from error
    return read_tokens(text, scope=scope, edits=edits)


def is_loopback(host: str) -> bool:
    """Whether a server bound to this host is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Hosts:
    """The names under which this server may be asked for.

    A name that somebody else's DNS answers for is not among them: an address is none, and other
    names must be given.

    Attributes:
        local: Whether it is bound to this machine alone.
        names: Other names, such as that of a proxy.
    """

    local: bool = True
    names: frozenset[str] = frozenset()

    def allows(self, header: str) -> bool:
        """Whether a Host header names this server."""
        name = _host_name(header)
        if name is None:
            return False
        if name in self.names or name == "localhost":
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback if self.local else True


def _host_name(header: str) -> str | None:
    """The name in a Host header, or None if it is malformed."""
    if not header or any(sign in header for sign in "/@\\ ,?#"):
        return None
    try:
        parts = urlsplit(f"//{header}")
        _ = parts.port
        return parts.hostname
    except ValueError:
        return None


class Door:
    """ASGI middleware: checks every request before anything else sees it."""

    def __init__(self, app: ASGIApp, *, tokens: Tokens, hosts: Hosts, cookie: str) -> None:
        self._app = app
        self._tokens = tokens
        self._hosts = hosts
        self._cookie = cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = _headers(scope["headers"])
        refused = self._refusal(scope, headers)
        if refused is not None:
            await _answer(scope, send, *refused)
            return
        if scope["path"].startswith("/api"):
            grant = self._tokens.grant(self._token(headers))
            if grant is None:
                await _answer(scope, send, *_UNAUTHORIZED)
                return
            scope.setdefault("state", {})["grant"] = grant
        await self._app(scope, _bounded(receive), _adding(send))

    def _token(self, headers: Mapping[str, str]) -> str:
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return token.strip()
        try:
            cookies = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            return ""
        found = cookies.get(self._cookie)
        return found.value if found else ""

    def _refusal(self, scope: Scope, headers: Mapping[str, str]) -> tuple[int, str, str] | None:
        """Why a request is refused: status, code and message; None if it is not."""
        host = headers.get("host", "")
        if not self._hosts.allows(host):
            return (
                421,
                "wrong_host",
                (
                    "This server is not known by that name. Open the address that "
                    "`triforium inspect` printed, or start it with --allow-host NAME."
                ),
            )
        origin = headers.get("origin")
        if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            return 403, "foreign_origin", "Requests from pages of another site are refused."
        foreign = headers.get("sec-fetch-site") in ("cross-site", "same-site")
        if foreign and scope["path"].startswith("/api"):
            return 403, "foreign_origin", "Requests from pages of another site are refused."
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return 405, "method", "Use GET, or POST where the API says so."
        if len(scope.get("query_string", b"")) > MAX_QUERY:
            return 414, "too_long", f"A query string has at most {MAX_QUERY:,} bytes."
        if len(scope.get("raw_path") or scope["path"].encode("utf-8", "replace")) > MAX_PATH:
            return 414, "too_long", f"A path has at most {MAX_PATH:,} bytes."
        if not headers.get("content-length", "0").isdigit() or (
            int(headers.get("content-length", "0")) > MAX_BODY
        ):
            return 413, "too_long", f"A body has at most {MAX_BODY:,} bytes."
        if scope["method"] == "POST" and not headers.get("content-type", "").startswith(
            "application/json"
        ):
            return 415, "media_type", "Send JSON, with the header content-type: application/json."
        return None


_UNAUTHORIZED = (
    401,
    "unauthorized",
    "A token is needed. Open the whole address that `triforium inspect` printed, or send the "
    "header Authorization: Bearer TOKEN.",
)


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """The headers by name; one that is given twice is joined, so that neither is overlooked."""
    found: dict[str, str] = {}
    for name, value in raw:
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def _bounded(receive: Receive) -> Receive:
    """A body without a length may not grow beyond the bound either."""
    taken = 0

    async def bounded() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > MAX_BODY:
            return {"type": "http.disconnect"}
        return message

    return bounded


def _adding(send: Send) -> Send:
    """Put our headers on every answer."""

    async def adding(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = [(name.lower(), value) for name, value in message.get("headers", ())]
            names = {name for name, _ in given}
            message["headers"] = given + [
                pair for pair in _encoded(HEADERS) if pair[0] not in names
            ]
            if b"cache-control" not in names:
                message["headers"].append((b"cache-control", b"no-store"))
        await send(message)

    return adding


def _encoded(headers: Mapping[str, str]) -> Sequence[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


async def _answer(scope: Scope, send: Send, status: int, code: str, message: str) -> None:
    body = json.dumps(error_json(code, message)).encode()
    if scope["method"] == "HEAD":
        body = b""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await _adding(send)({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def error_json(code: str, message: str, *, retryable: bool = False) -> dict[str, Any]:
    """The body of `schema.Error`."""
    return {"error": {"code": code, "message": message, "retryable": retryable}}
