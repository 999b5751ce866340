"""The command line's root, the options that commands share, and how a command ends."""

from __future__ import annotations

import asyncio
import re
import shlex
import shutil
import sys
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core
from rich.console import Console

from .. import __version__
from ..errors import InvalidInput, StoreError, TriforiumError

if TYPE_CHECKING:
    from ..graph import Store

EXIT_CODES = """
Exit codes: 0 done; 1 something failed while running; 2 the input cannot be used;
3 the store cannot be used; 130 interrupted.
"""


class _Commands(typer.core.TyperGroup):
    """Knows commands of two words: `bench memory-ops` has other options than `bench NAME`."""

    # Some versions of typer bring a click of their own, so its types cannot be named.
    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        two = " ".join(args[:2])
        if two in self.commands:
            return two, self.commands[two], args[2:]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="triforium",
    cls=_Commands,
    help="Memory and orchestration for teams of agents.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

StoreOption = Annotated[
    str,
    typer.Option("--store", help="URL of the memory, such as sqlite:///team.db.", metavar="URL"),
]
ScopeOption = Annotated[
    str, typer.Option("--scope", help="Tenant path; everything if empty.", metavar="ORG/TEAM")
]
OutOption = Annotated[Path, typer.Option("--out", help="Folder for the results.", metavar="DIR")]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of all that is drawn by chance.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
]
SinceOption = Annotated[
    str,
    typer.Option(
        "--since",
        help="From this time on, such as 2026-11-25T03:00Z, or so long ago, such as 90m, 12h, 7d.",
        metavar="TIME",
    ),
]
UntilOption = Annotated[
    str, typer.Option("--until", help="Before this time; as --since.", metavar="TIME")
]
AccessOption = Annotated[
    str,
    typer.Option(
        "--access",
        envvar="TRIFORIUM_ACCESS",
        help="viewer, who may only look, or curator, who also decides.",
        metavar="ROLE",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]

GamesOption = Annotated[
    Path | None, typer.Option("--games", help="alfworld: folder of games.", metavar="DIR")
]
ExperienceOption = Annotated[
    Path | None,
    typer.Option(
        "--experience",
        help="alfworld: folder of demonstrations, instead of --split.",
        metavar="DIR",
    ),
]
SplitOption = Annotated[
    str,
    typer.Option("--split", help="alfworld: even-odd plays each half on the other."),
]
MaxStepsOption = Annotated[int, typer.Option("--max-steps", min=1, help="Steps of a task.")]
BaselineOption = Annotated[
    str, typer.Option("--baseline", help="The arm that others are compared with: the first.")
]
TokensOption = Annotated[int, typer.Option("--tokens", min=0, help="Budget of a recall.")]
JobsOption = Annotated[int, typer.Option("--jobs", min=1, help="Processes.")]
LimitOption = Annotated[int, typer.Option("--limit", min=0, help="Play so many tasks; 0: all.")]
DemonstrationsOption = Annotated[
    str,
    typer.Option(
        "--demonstrations",
        help='How many, as many of each kind of task; 0 shows none, "all" all.',
        metavar="N",
    ),
]
PlayOption = Annotated[
    int,
    typer.Option("--play", min=0, help="Tasks each team then plays itself and learns from, first."),
]
RenameOption = Annotated[
    int | None,
    typer.Option("--rename", help="Seed: tell all in nonsense words.", metavar="SEED"),
]
MislabelOption = Annotated[
    float,
    typer.Option("--mislabel", help="Share of the experience with the wrong outcome."),
]
StaleOption = Annotated[
    bool,
    typer.Option("--stale", help="household: also with experience from before things moved."),
]
CacheOption = Annotated[
    Path | None,
    typer.Option("--cache", help="Keeps replayed demonstrations between runs.", metavar="DIR"),
]
DataOption = Annotated[
    Path | None, typer.Option("--data", help="pddl: folder of problems.", metavar="DIR")
]

DEFAULT_STORE = "sqlite:///triforium.db"

console = Console()


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(f"triforium {__version__}")
        raise typer.Exit


async def looking(url: str, look: Callable[[Store], Awaitable[Any]]) -> Any:
    """Open a store that is there, look, and close it."""
    from ..graph.open import open_store

    opened = await open_store(existing(url))
    try:
        return await look(opened)
    finally:
        await opened.close()


def existing(store: str) -> str:
    """A command that only looks must not make an empty store of a mistyped path."""
    if store.startswith("sqlite:///"):
        path = Path(store.removeprefix("sqlite:///"))
        if not path.exists():
            raise refusal(InvalidInput(f"There is no store at {path}. Give its URL with --store."))
    return store


def moment(text: str) -> datetime | None:
    """The time that an option names, with its zone; None for "".

    Raises:
        InvalidInput: It is no time.
    """
    if not text:
        return None
    ago = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if ago:
        unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[ago[2]]
        return datetime.now(UTC) - timedelta(**{unit: int(ago[1])})
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            f"{text!r} is no time; give one like 2026-11-25T03:00Z (UTC without a zone), or how "
            "long ago, like 90m, 12h or 7d."
        ) from None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def names(text: str) -> tuple[str, ...]:
    """The names of a list with commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


_UNSEEN = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]")


def tell(text: str, *, err: bool = False) -> None:
    """Print text that may be of a record: what would steer the terminal is shown as U+FFFD."""
    typer.echo(_UNSEEN.sub("\ufffd", text), err=err)


def program() -> str:
    """How this program is called from here: by its name, if that finds it."""
    name, called = "triforium", Path(sys.argv[0])
    found = shutil.which(name)
    if called.name != name or (found and Path(found).resolve() == called.resolve()):
        return name
    return shlex.quote(str(called))


def command_line() -> str:
    """This command, as one would type it again."""
    return shlex.join(["triforium", *sys.argv[1:]])


def finish(
    work: Coroutine[Any, Any, Any], *, refusals: tuple[type[TriforiumError], ...] = ()
) -> Any:
    """Run to the end; a known error becomes one sentence and an exit code, 1 for `refusals`."""
    try:
        return asyncio.run(work)
    except TriforiumError as error:
        failed = refusal(error)
        raise (typer.Exit(1) if isinstance(error, refusals) else failed) from None
    except KeyboardInterrupt:
        typer.echo("Interrupted. Run the same command again to go on.", err=True)
        raise typer.Exit(130) from None


def refusal(error: TriforiumError) -> typer.Exit:
    """Say what went wrong, and return the exit code to raise: 2 input, 3 store, else 1."""
    tell(f"triforium: {error}", err=True)
    if isinstance(error, InvalidInput):
        return typer.Exit(2)
    return typer.Exit(3 if isinstance(error, StoreError) else 1)
