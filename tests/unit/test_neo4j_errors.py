"""What is wrong with a Neo4j server is said in a sentence, and never with the password."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

from triforium.cli import app
from triforium.errors import InvalidInput, InvalidURL, StoreError, Unavailable
from triforium.graph.neo4j import open_neo4j
from triforium.graph.neo4j.server import from_environment, parse

PASSWORD = "hunter2-secret"


@asynccontextmanager
async def _answering(answer: bytes) -> AsyncIterator[str]:
    """Something that listens, and answers to the first bytes; the URL of it."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(20)
        with suppress(ConnectionError):
            writer.write(answer)
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append(asyncio.ensure_future(connected(reader, writer)))

    lines: list[asyncio.Future[None]] = []
    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await asyncio.gather(*lines)


@pytest.mark.parametrize("scheme", ["bolt", "neo4j"])
async def test_a_server_too_old_for_the_driver(scheme: str) -> None:
    """One that knows none of the driver's protocols answers the handshake with zeros."""
    async with _answering(b"\0\0\0\0") as place:
        with pytest.raises(StoreError, match=r"too old.*5\.26") as caught:
            await open_neo4j(f"{scheme}://{place}", credentials=("neo4j", PASSWORD), patience=0.1)
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("answer", [b"HTTP", b""])
async def test_something_that_is_no_neo4j(answer: bytes) -> None:
    async with _answering(answer) as place:
        with pytest.raises(Unavailable, match="cannot be reached") as caught:
            await open_neo4j(f"bolt://{place}", credentials=("neo4j", PASSWORD), patience=0.1)
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        f"neo4j://neo4j:{PASSWORD}@host:7687", f"neo4j+s://{PASSWORD}@host", f"bolt://:{PASSWORD}@h",
        f"neo4j://host:7687/db?password={PASSWORD}", f"neo4j://host:{PASSWORD}/db",
        f"neo4j://host/{PASSWORD}/x y", f"neo4j://host#{PASSWORD}",
    ],
)  # fmt: skip
def test_a_url_with_a_password(url: str) -> None:
    """It is refused, and nothing of it is repeated: not by the error, nor by a command."""
    with pytest.raises(InvalidURL) as caught:
        parse(url)
    assert PASSWORD not in str(caught.value)
    assert PASSWORD not in repr(caught.value.facts)
    runner = CliRunner()
    for arguments in (
        ["stats", "--store", url],
        ["copy", "sqlite://", url],
        ["log", "--store", url],
    ):
        done = runner.invoke(app, arguments)
        assert done.exit_code in (2, 3), done.output
        assert PASSWORD not in done.output
        assert "NEO4J_PASSWORD" in done.output or "neo4j://host" in done.output


def test_credentials_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NEO4J_USERNAME", "NEO4J_PASSWORD", "NEO4J_PASSWORD_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert from_environment() is None
    monkeypatch.setenv("NEO4J_PASSWORD", PASSWORD)
    assert from_environment() == ("neo4j", PASSWORD)
    secret = tmp_path / "secret"
    secret.write_text("from the file\n")
    monkeypatch.setenv("NEO4J_PASSWORD_FILE", str(secret))
    monkeypatch.setenv("NEO4J_USERNAME", "team")
    assert from_environment() == ("team", "from the file")
    monkeypatch.setenv("NEO4J_PASSWORD_FILE", str(tmp_path / "none"))
    with pytest.raises(InvalidInput, match="NEO4J_PASSWORD_FILE"):
        from_environment()


async def test_no_server() -> None:
    with pytest.raises(Unavailable, match="Start it") as caught:
        await open_neo4j("bolt://127.0.0.1:1", credentials=("neo4j", PASSWORD), patience=0.1)
    assert caught.value.retryable
    assert PASSWORD not in str(caught.value)
