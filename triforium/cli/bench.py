"""Commands that measure: `bench`, `bench memory-ops`, `bench guard` and `compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .base import (
    BaselineOption,
    CacheOption,
    DataOption,
    DemonstrationsOption,
    ExperienceOption,
    GamesOption,
    JobsOption,
    LimitOption,
    MaxStepsOption,
    MislabelOption,
    OutOption,
    PlayOption,
    RenameOption,
    SeedOption,
    SplitOption,
    StaleOption,
    TokensOption,
    app,
    command_line,
    console,
    finish,
    names,
)


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
    store: Annotated[
        str,
        typer.Option(
            "--store",
            help="URL of an empty store that holds all memories, such as neo4j://localhost; "
            "files in the results' folder if none.",
            metavar="URL",
        ),
    ] = "",
    cache: CacheOption = None,
) -> None:
    """Measure memory strategies on the same tasks; writes result.json and items.jsonl."""
    from ..workflows.bench import run_bench
    from ..workflows.settings import Settings, parse_demonstrations, parse_seed

    async def run() -> None:
        settings = Settings(
            name=name,
            games=games,
            data=data,
            experience=experience,
            split=split,
            max_steps=max_steps,
            arms=names(arms),
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
            store=store,
        )
        if seed == "random":
            console.print(f"The seed is {settings.seed}.", markup=False)
        await run_bench(settings, out=out, command=command_line(), console=console, cache=cache)

    finish(run())


@app.command("bench memory-ops")
def bench_memory_ops(
    store: Annotated[
        str,
        typer.Option(
            "--store", help="URL of an empty store; a temporary SQLite file if none.", metavar="URL"
        ),
    ] = "",
    records: Annotated[
        int, typer.Option("--records", min=100, help="Size of the memory.", metavar="N")
    ] = 100_000,
    seed: SeedOption = 0,
    out: OutOption = Path("triforium-memory-ops"),
    warm_up: Annotated[
        int,
        typer.Option(
            "--warm-up",
            min=-1,
            help="Calls before the timing; -1: 50 for SQLite, 1500 for a server.",
        ),
    ] = -1,
    recalls: Annotated[int, typer.Option("--recalls", min=1, help="Timed recalls.")] = 500,
    commits: Annotated[
        int, typer.Option("--commits", min=1, help="Timed commits of a 30-step trial.")
    ] = 100,
) -> None:
    """Measure how fast a store serves a memory of a given size; writes result.json."""
    from ..workflows.memory_ops import OpsSettings, run_memory_ops

    settings = OpsSettings(
        store=store,
        records=records,
        seed=seed,
        warm_up=warm_up,
        recalls=recalls,
        commits=commits,
    )
    finish(run_memory_ops(settings, out=out, command=command_line(), console=console))


@app.command("bench guard")
def bench_guard(
    suite: Annotated[
        str,
        typer.Option(
            "--suite",
            help="ehr, household, alfworld, poisonedrag, misinfo, revert or cost.",
            metavar="NAME",
        ),
    ],
    out: OutOption,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Folder of the suite's public data.", metavar="DIR"),
    ] = None,
    seeds: Annotated[
        str, typer.Option("--seeds", help="Seeds, separated by commas; each is a run.")
    ] = "0,1,2",
    triggers: Annotated[
        Path | None,
        typer.Option(
            "--triggers",
            help="ehr: a file of triggers of your own, a line each: text, then after a tab "
            "prefix, middle or suffix.",
            metavar="FILE",
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", help="NAME=VALUE, as the suite says; may be given again."),
    ] = None,
) -> None:
    """Measure attacks on a memory, with the guard, without it and with others; writes result.json
    and items.jsonl."""
    from ..errors import InvalidInput
    from ..workflows.compare import parse_numbers
    from ..workflows.guard.run import run_guard
    from ..workflows.guard.suites import GuardSettings

    async def run() -> None:
        options = dict(text.partition("=")[::2] for text in option or ())
        if not all(options) or not all(options.values()):
            raise InvalidInput("An option of a suite is written NAME=VALUE.")
        settings = GuardSettings(
            suite=suite,
            data=data,
            seeds=parse_numbers("--seeds", seeds),
            triggers=triggers,
            options=options,
        )
        await run_guard(settings, out=out, command=command_line(), console=console)

    finish(run())


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
    from ..workflows.compare import Comparison, parse_numbers, run_compare
    from ..workflows.settings import Settings, parse_demonstrations

    async def run() -> None:
        settings = Settings(
            name=name,
            games=games,
            data=data,
            experience=experience,
            split=split,
            max_steps=max_steps,
            arms=names(strategies),
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
        await run_compare(comparison, out=out, command=command_line(), console=console, cache=cache)

    finish(run())
