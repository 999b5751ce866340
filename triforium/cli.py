"""The command line: `triforium --help`."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from . import __version__
from .errors import InvalidInput, StoreError, TriforiumError

if TYPE_CHECKING:
    from .graph import Statistics, Store

EXIT_CODES = """
Exit codes: 0 done; 1 something failed while running; 2 the input cannot be used;
3 the store cannot be used; 130 interrupted.
"""

app = typer.Typer(
    name="triforium",
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


@app.command()
def demo(
    out: OutOption = Path("triforium-demo"),
    tasks: Annotated[int, typer.Option("--tasks", min=1, max=1000, help="Number of tasks.")] = 60,
    seed: SeedOption = 0,
    store: Annotated[
        str, typer.Option("--store", help="URL of the memory; in DIR by default.", metavar="URL")
    ] = "",
) -> None:
    """Watch a team learn household tasks, and write a page that shows what it remembers."""
    from .workflows.demo import run_demo

    _run(run_demo(out=out, tasks=tasks, seed=seed, store=store, console=console))


@app.command()
def run(
    workflow: Annotated[str, typer.Argument(help="Where the workflow is.", metavar="FILE.py:NAME")],
    tasks: Annotated[
        Path, typer.Option("--tasks", help='JSON lines, each with "task".', metavar="TASKS.jsonl")
    ],
    store: StoreOption = DEFAULT_STORE,
    out: OutOption = Path("triforium-run"),
    on_error: Annotated[
        str, typer.Option("--on-error", help="Broken lines and failing agents: stop or continue.")
    ] = "continue",
) -> None:
    """Run a workflow over a stream of tasks; run it again to go on after an interruption."""
    from .workflows.runner import run_file

    failed = _run(
        run_file(workflow, tasks=tasks, store=store, out=out, on_error=on_error, console=console)
    )
    if failed:
        raise typer.Exit(1)


@app.command()
def bench(
    name: Annotated[str, typer.Argument(help="household or alfworld.", metavar="NAME")],
    out: OutOption,
    games: GamesOption = None,
    data: DataOption = None,
    experience: ExperienceOption = None,
    split: SplitOption = "even-odd",
    max_steps: MaxStepsOption = 30,
    arms: Annotated[
        str,
        typer.Option(
            "--arms",
            help="Memory strategies, separated by commas; hierarchical:upward and the like are "
            "the same with a part taken out.",
        ),
    ] = "none,context,exprag,hierarchical",
    baseline: BaselineOption = "",
    tokens: TokensOption = 1000,
    jobs: JobsOption = 1,
    limit: LimitOption = 0,
    seed: Annotated[
        str, typer.Option("--seed", help='Of all that is drawn by chance; "random" picks one.')
    ] = "0",
    demonstrations: DemonstrationsOption = "all",
    order: Annotated[
        int,
        typer.Option("--order", min=0, help="Seed of the order of the experience; 0: as listed."),
    ] = 0,
    play: PlayOption = 0,
    rename: RenameOption = None,
    mislabel: MislabelOption = 0.0,
    stale: StaleOption = False,
    cache: CacheOption = None,
) -> None:
    """Measure memory strategies on the same tasks; writes result.json and items.jsonl."""
    from .workflows.bench import run_bench
    from .workflows.settings import Settings, parse_demonstrations, parse_seed

    async def run() -> None:
        settings = Settings(
            name=name,
            games=games,
            data=data,
            experience=experience,
            split=split,
            max_steps=max_steps,
            arms=_names(arms),
            baseline=baseline,
            tokens=tokens,
            jobs=jobs,
            limit=limit,
            seed=parse_seed(seed, out),
            demonstrations=parse_demonstrations(demonstrations),
            order=order,
            play=play,
            rename=rename,
            mislabel=mislabel,
            stale=stale,
        )
        if seed == "random":
            console.print(f"The seed is {settings.seed}.", markup=False)
        await run_bench(settings, out=out, command=_command(), console=console, cache=cache)

    _run(run())


@app.command()
def compare(
    name: Annotated[
        str, typer.Option("--bench", help="What to play, as for triforium bench.", metavar="NAME")
    ],
    strategies: Annotated[
        str, typer.Option("--strategies", help="Memory strategies, separated by commas.")
    ],
    out: OutOption,
    seeds: Annotated[
        str, typer.Option("--seeds", help="Seeds, separated by commas; each is a run.")
    ] = "0",
    baseline: BaselineOption = "",
    games: GamesOption = None,
    data: DataOption = None,
    experience: ExperienceOption = None,
    split: SplitOption = "even-odd",
    max_steps: MaxStepsOption = 30,
    tokens: TokensOption = 1000,
    jobs: JobsOption = 1,
    limit: LimitOption = 0,
    demonstrations: DemonstrationsOption = "all",
    order: Annotated[
        str,
        typer.Option(
            "--order", help="Seeds of the order of the experience, by commas; 0: as listed."
        ),
    ] = "0",
    play: PlayOption = 0,
    rename: RenameOption = None,
    mislabel: MislabelOption = 0.0,
    stale: StaleOption = False,
    cache: CacheOption = None,
) -> None:
    """Compare strategies over several seeds, with intervals and tests; writes comparison.md,
    comparison.csv and comparison.json."""
    from .workflows.compare import Comparison, parse_numbers, run_compare
    from .workflows.settings import Settings, parse_demonstrations

    async def run() -> None:
        settings = Settings(
            name=name,
            games=games,
            data=data,
            experience=experience,
            split=split,
            max_steps=max_steps,
            arms=_names(strategies),
            baseline=baseline,
            tokens=tokens,
            jobs=jobs,
            limit=limit,
            demonstrations=parse_demonstrations(demonstrations),
            play=play,
            rename=rename,
            mislabel=mislabel,
            stale=stale,
        )
        comparison = Comparison(
            settings, parse_numbers("--seeds", seeds), parse_numbers("--order", order)
        )
        await run_compare(comparison, out=out, command=_command(), console=console, cache=cache)

    _run(run())


@app.command()
def explain(
    receipt: Annotated[str, typer.Argument(help="Id of a receipt, a trial or a run.")],
    store: StoreOption = DEFAULT_STORE,
    scope: ScopeOption = "",
) -> None:
    """Say what was recalled, why, and what came of it."""
    from .errors import NotFound
    from .memory import Memory

    async def show(opened: Store) -> str:
        places = [scope] if scope else (await opened.statistics("")).scopes
        for place in places:
            try:
                return str(await Memory(opened, scope=place).explain(receipt))
            except NotFound:
                continue
        raise NotFound(
            f"There is no receipt, trial or run {receipt!r} with a recall in "
            f"{', '.join(places) or 'this store, which is empty'}.",
            id=receipt,
        )

    typer.echo(_run(_looking(store, show)))


@app.command("lift")
def lift_(
    store: StoreOption = DEFAULT_STORE,
    scope: ScopeOption = "",
    as_json: JsonOption = False,
    top: Annotated[
        int, typer.Option("--top", min=0, help="Records shown, those most often held out.")
    ] = 10,
) -> None:
    """Say whether what is recalled helps, against what was held out to measure it."""
    from .memory import Lift, lift

    async def measure(opened: Store) -> Lift:
        return await lift(opened, scope)

    measured = _run(_looking(store, measure))
    if as_json:
        plain = measured.to_json()
        typer.echo(json.dumps({**plain, "records": plain["records"][:top]}))
        return
    table = Table("", "served", "held out", "mean", "without", "lift, 95%", title="Lift")
    rows = [("whole memory", measured.whole), ("every item", measured.items)]
    rows += [(name, effect) for name, effect in measured.groups.items()]
    rows += [(f"{one.kind}: {one.text[:60]}", one.effect) for one in measured.records[:top]]
    for name, effect in rows:
        table.add_row(
            Text(name),
            f"{effect.served:,}",
            f"{effect.held_out:,}",
            "-" if effect.mean_served is None else f"{effect.mean_served:.2f}",
            "-" if effect.mean_held_out is None else f"{effect.mean_held_out:.2f}",
            effect.interval,
        )
    console.print(table)
    typer.echo(measured.verdict)


@app.command()
def stats(
    store: StoreOption = DEFAULT_STORE, scope: ScopeOption = "", as_json: JsonOption = False
) -> None:
    """Count what is remembered."""

    async def count(opened: Store) -> Statistics:
        return await opened.statistics(scope)

    statistics = _run(_looking(store, count))
    groups = {
        "records": statistics.records,
        "statuses": statistics.statuses,
        "outcomes": statistics.outcomes,
        "links": statistics.links,
    }
    if as_json:
        plain = {name: dict(counts) for name, counts in groups.items()}
        facts = {
            "scopes": statistics.scopes,
            "position": statistics.position,
            "receipts": statistics.receipts,
            "embedder": statistics.embedder,
            "bytes": statistics.bytes,
        }
        typer.echo(json.dumps({**facts, **plain}))
        return
    table = Table("", "what", "count", title=f"Scopes: {', '.join(statistics.scopes) or 'none'}")
    for name, counts in groups.items():
        for what, count_ in sorted(counts.items()):
            table.add_row(name, what, f"{count_:,}")
    table.add_row("journal", "changesets", f"{statistics.position:,}")
    table.add_row("receipts", "", f"{statistics.receipts:,}")
    console.print(table)


@app.command()
def maintain(
    store: StoreOption = DEFAULT_STORE,
    scope: ScopeOption = "",
    strategy: Annotated[
        str, typer.Option("--strategy", help="The memory strategy that keeps house.")
    ] = "hierarchical",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
) -> None:
    """Mine the insights again from all trials, and archive those that no trial speaks for."""
    from .memory import Memory

    async def keep_house(opened: Store) -> dict[str, int]:
        places = [scope] if scope else (await opened.statistics("")).scopes
        done = {}
        for place in places:
            memory = Memory(opened, scope=place, strategy=strategy)
            done[place] = await memory.maintain(dry_run=dry_run)
        return done

    for place, count in _run(_looking(store, keep_house)).items():
        would = "would be" if dry_run else "were"
        typer.echo(f"{place}: {count:,} changes {would} made.")


@app.command("export")
def export_(
    path: Annotated[Path, typer.Argument(help="FILE.jsonl (lossless) or FILE.graphml.")],
    store: StoreOption = DEFAULT_STORE,
    scope: ScopeOption = "",
) -> None:
    """Write what is remembered to a file."""
    from .graph.export import export_graphml, export_jsonl, to_networkx

    async def write(opened: Store) -> int:
        if path.suffix == ".graphml":
            graph = await to_networkx(opened, scope)
            export_graphml(graph, path)
            return int(graph.number_of_nodes() + graph.number_of_edges())
        return await export_jsonl(opened, scope, path)

    if path.suffix not in (".jsonl", ".graphml"):
        raise _fail(InvalidInput(f"Export to a .jsonl or .graphml file, not to {path.name!r}."))
    if path.suffix == ".graphml" and not scope:
        raise _fail(InvalidInput("A GraphML file shows one scope; give it with --scope."))
    typer.echo(f"Wrote {_run(_looking(store, write)):,} rows to {path}.")


@app.command("import")
def import_(
    path: Annotated[Path, typer.Argument(help="A file that `triforium export` wrote.")],
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Fill an empty store from an export."""
    from .graph.export import import_jsonl
    from .graph.open import open_store

    async def read() -> int:
        opened = await open_store(store)
        try:
            return await import_jsonl(opened, path)
        finally:
            await opened.close()

    typer.echo(f"Read {_run(read()):,} rows into {store}.")


async def _looking(url: str, look: Callable[[Store], Awaitable[Any]]) -> Any:
    """Open a store that is there, look, and close it."""
    from .graph.open import open_store

    opened = await open_store(_existing(url))
    try:
        return await look(opened)
    finally:
        await opened.close()


def _existing(store: str) -> str:
    """A command that only looks must not make an empty store of a mistyped path."""
    if store.startswith("sqlite:///"):
        path = Path(store.removeprefix("sqlite:///"))
        if not path.exists():
            raise _fail(InvalidInput(f"There is no store at {path}. Give its URL with --store."))
    return store


def _names(text: str) -> tuple[str, ...]:
    """The names of a list with commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _command() -> str:
    return shlex.join(["triforium", *sys.argv[1:]])


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run to the end; a known error becomes one sentence and an exit code."""
    try:
        return asyncio.run(work)
    except TriforiumError as error:
        raise _fail(error) from None
    except KeyboardInterrupt:
        typer.echo("Interrupted. Run the same command again to go on.", err=True)
        raise typer.Exit(130) from None


def _fail(error: TriforiumError) -> typer.Exit:
    typer.echo(f"triforium: {error}", err=True)
    if isinstance(error, InvalidInput):
        return typer.Exit(2)
    return typer.Exit(3 if isinstance(error, StoreError) else 1)


def main() -> None:
    """Entry point of the command `triforium`."""
    app()
