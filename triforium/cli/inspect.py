"""The command that shows a store in the browser: `inspect`."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InvalidInput, MissingExtra
from .base import DEFAULT_STORE, ScopeOption, StoreOption, app, finish, looking, refusal

if TYPE_CHECKING:
    from ..graph import Store
    from ..inspector.access import Grant

TOKEN_VARIABLE = "TRIFORIUM_INSPECT_TOKEN"


@app.command("inspect")
def inspect_(
    store: StoreOption = DEFAULT_STORE,
    scope: ScopeOption = "",
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port; a free one by default.")
    ] = 0,
    allow_edits: Annotated[
        bool, typer.Option("--allow-edits", help="Let records be released and confirmed.")
    ] = False,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            help=f"Lines of TOKEN [SCOPE]; or set {TOKEN_VARIABLE}.",
            metavar="FILE",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", help="Another name of this server, as of a proxy."),
    ] = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only print the address.")
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option(
            "--export", help="Write one page with all views instead.", metavar="FILE.html"
        ),
    ] = None,
) -> None:
    """See in the browser what a team remembers, and why."""
    if export is not None:
        _export(store, scope, export)
        return
    if not all(map(find_spec, ("fastapi", "uvicorn"))):
        raise refusal(MissingExtra("The inspector", "inspect"))
    from ..inspector.access import Grant, Hosts, is_loopback, new_token
    from ..inspector.open import open_page
    from ..inspector.server import Settings, listen, serve

    local = is_loopback(host)

    async def show(opened: Store) -> None:
        tokens = _tokens(token_file, scope, edits=allow_edits)
        if not tokens and not local:
            raise InvalidInput(
                f"{host} can be reached from other machines, so the inspector needs a token that "
                f"you choose: write it to a file that only you can read and give it with "
                f"--token-file, or set {TOKEN_VARIABLE}."
            )
        own = new_token()
        listening = listen(host, port)
        number = int(listening.getsockname()[1])
        if local:
            tokens = {**tokens, own: Grant(scope, allow_edits)}
        settings = Settings(
            tokens=tokens,
            scope=scope,
            hosts=Hosts(local, frozenset(name.lower() for name in allow_host or ())),
            port=number,
        )
        shown = f"[{host}]" if ":" in host else host

        def ready() -> None:
            address = f"http://{shown}:{number}/"
            if local:
                address += f"#token={own}"
            typer.echo(f"The inspector is at {address}")
            typer.echo("Press Ctrl-C to stop it.")
            if local and not no_browser:
                open_page(address)

        await serve(opened, settings, listening, ready)

    finish(looking(store, show))


def _export(store: str, scope: str, path: Path) -> None:
    """Write the page."""
    from ..inspector.export import export_page

    async def write(opened: Store) -> int:
        return await export_page(opened, path, scope=scope)

    size = finish(looking(store, write))
    typer.echo(f"Wrote {path} ({size / 1e6:.1f} MB). It holds what the memory holds: share it so.")


def _tokens(path: Path | None, scope: str, *, edits: bool) -> dict[str, Grant]:
    """The tokens somebody chose."""
    from ..inspector.access import read_token_file, read_tokens

    if path is not None:
        return read_token_file(path, scope=scope, edits=edits)
    return read_tokens(os.environ.get(TOKEN_VARIABLE, ""), scope=scope, edits=edits)
