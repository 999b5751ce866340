"""Commands that look at a store, and keep it: from `explain` to `copy`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table
from rich.text import Text

from ..errors import Conflict, InvalidInput, NotFound
from .base import (
    DEFAULT_STORE,
    AccessOption,
    DryRunOption,
    JsonOption,
    ScopeOption,
    SinceOption,
    StoreOption,
    UntilOption,
    app,
    console,
    finish,
    looking,
    moment,
    refusal,
    tell,
)

if TYPE_CHECKING:
    from ..graph import JournalEntry, Statistics, Store
    from ..graph.revert import Reverting


@app.command()
def explain(
    receipt: Annotated[str, typer.Argument(help="Id of a receipt, a trial or a run.")],
    store: StoreOption = DEFAULT_STORE,
    scope: ScopeOption = "",
) -> None:
    """Say what was recalled, why, and what came of it."""
    from ..memory import Memory

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

    tell(finish(looking(store, show)))


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
    from ..memory import Lift, lift

    async def measure(opened: Store) -> Lift:
        return await lift(opened, scope)

    measured = finish(looking(store, measure))
    if as_json:
        plain = measured.to_json()
        tell(json.dumps({**plain, "records": plain["records"][:top]}))
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
    tell(measured.verdict)


@app.command()
def stats(
    store: StoreOption = DEFAULT_STORE, scope: ScopeOption = "", as_json: JsonOption = False
) -> None:
    """Count what is remembered."""

    async def count(opened: Store) -> Statistics:
        return await opened.statistics(scope)

    statistics = finish(looking(store, count))
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
        tell(json.dumps({**facts, **plain}))
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
    afresh: Annotated[
        bool,
        typer.Option(
            "--afresh",
            help="Work all that was made of the trials out anew, for after a revert; slower.",
        ),
    ] = False,
    dry_run: DryRunOption = False,
) -> None:
    """Mine the insights again from all trials, and archive those that no trial speaks for."""
    from ..memory import Memory
    from ..memory.embedders import get_embedder

    async def keep_house(opened: Store) -> dict[str, int]:
        places = [scope] if scope else (await opened.statistics("")).scopes
        done = {}
        for place in places:
            # Only links are weighed by meaning, and only then are its weights loaded.
            model = get_embedder("wordllama") if afresh and opened.embedder else None
            memory = Memory(opened, scope=place, strategy=strategy, embedder=model)
            done[place] = await memory.maintain(dry_run=dry_run, afresh=afresh)
        return done

    for place, count in finish(looking(store, keep_house)).items():
        would = "would be" if dry_run else "were"
        tell(f"{place}: {count:,} changes {would} made.")


@app.command()
def log(
    store: StoreOption = DEFAULT_STORE,
    scope: ScopeOption = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="Changesets at most.")] = 20,
    after: Annotated[
        int | None,
        typer.Option("--after", min=0, help="Those after this position, oldest first."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List what was changed, by whom and why; the newest first."""
    from ..graph.journal import counted, entry_to_json, latest

    async def read(opened: Store) -> Sequence[JournalEntry]:
        if after is None:
            return await latest(opened, scope, limit)
        return await opened.journal(scope, after=after, limit=limit)

    entries = finish(looking(store, read))
    if as_json:
        tell(json.dumps([entry_to_json(entry) for entry in entries]))
        return
    table = Table("position", "time, UTC", Column("changeset", no_wrap=True), "by", "why", "what")
    for entry in entries:
        changeset = entry.changeset
        what = (changeset.id[:12], changeset.actor, changeset.reason[:60], counted(changeset.ops))
        when = f"{entry.created_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(f"{entry.position:,}", when, *map(Text, what))
    console.print(table)


@app.command("revert")
def revert_(
    changeset: Annotated[
        str, typer.Argument(help="Its id, or the first 8 characters or more.", metavar="CHANGESET")
    ] = "",
    store: StoreOption = DEFAULT_STORE,
    scope: ScopeOption = "",
    source: Annotated[
        str, typer.Option("--source", help="Instead: all that this source has changed.")
    ] = "",
    since: SinceOption = "",
    until: UntilOption = "",
    cascade: Annotated[
        bool,
        typer.Option("--cascade", help="Take back what depends on it as well; so with --source."),
    ] = False,
    dry_run: DryRunOption = False,
    access: AccessOption = "curator",
    as_json: JsonOption = False,
) -> None:
    """Take back what a changeset did, or all that a source did; the journal keeps both."""
    from ..graph.journal import find_changeset
    from ..graph.revert import revertible, reverting_to_json
    from ..memory import Memory

    if bool(changeset) is bool(source):
        raise refusal(InvalidInput("Give the id of a changeset, or a source with --source."))
    if changeset and (since or until):
        raise refusal(InvalidInput("--since and --until go with --source."))

    async def take_back(opened: Store) -> list[Reverting]:
        if changeset:
            found = await find_changeset(opened, scope, changeset)
            memory = Memory(opened, scope=scope or found.scope, access=access)
            return [await memory.revert(found.id, cascade=cascade, dry_run=dry_run)]
        places = [scope] if scope else (await opened.statistics("")).scopes
        return [
            done
            for place in places
            if (done := await _revert_source(Memory(opened, scope=place, access=access)))
        ]

    async def _revert_source(memory: Memory) -> Reverting | None:
        ids = await revertible(
            memory.store, memory.scope, source, since=moment(since) or 0, until=moment(until)
        )
        return await memory.revert(ids, cascade=True, dry_run=dry_run) if ids else None

    # The store is fine when it is this changeset that cannot be taken back.
    reverted = finish(looking(store, take_back), refusals=(Conflict, NotFound))
    if as_json:
        tell(json.dumps([reverting_to_json(done) for done in reverted]))
        return
    if not reverted:
        tell(f"The source {source!r} has changed nothing there.")
    for done in reverted:
        tell(str(done))
        if done.applied is not None and done.ops:
            tell(f"That is changeset {done.changeset.id}; revert it to have it all again.")


@app.command()
def audit(store: StoreOption = DEFAULT_STORE, scope: ScopeOption = "") -> None:
    """Check that everything in a store agrees with its journal and with itself."""
    from ..graph.audit import Audit, examine

    async def check(opened: Store) -> Audit:
        return await examine(opened, scope)

    found = finish(looking(store, check))
    tell(str(found))
    if found.problems:
        raise typer.Exit(1)


@app.command("export")
def export_(
    path: Annotated[Path, typer.Argument(help="FILE.jsonl (lossless) or FILE.graphml.")],
    store: StoreOption = DEFAULT_STORE,
    scope: ScopeOption = "",
) -> None:
    """Write what is remembered to a file."""
    from ..graph.export import export_graphml, export_jsonl, to_networkx

    async def write(opened: Store) -> int:
        if path.suffix == ".graphml":
            graph = await to_networkx(opened, scope)
            export_graphml(graph, path)
            return int(graph.number_of_nodes() + graph.number_of_edges())
        return await export_jsonl(opened, scope, path)

    if path.suffix not in (".jsonl", ".graphml"):
        raise refusal(InvalidInput(f"Export to a .jsonl or .graphml file, not to {path.name!r}."))
    if path.suffix == ".graphml" and not scope:
        raise refusal(InvalidInput("A GraphML file shows one scope; give it with --scope."))
    tell(f"Wrote {finish(looking(store, write)):,} rows to {path}.")


@app.command("import")
def import_(
    path: Annotated[Path, typer.Argument(help="A file that `triforium export` wrote.")],
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Fill an empty store from an export."""
    from ..graph.export import import_jsonl
    from ..graph.open import open_store

    if not path.is_file():
        raise refusal(InvalidInput(f"There is no file {path}."))

    async def read() -> int:
        opened = await open_store(store)
        try:
            return await import_jsonl(opened, path)
        finally:
            await opened.close()

    tell(f"Read {finish(read()):,} rows into {store}.")


@app.command()
def copy(
    source: Annotated[str, typer.Argument(help="URL of the store to copy.", metavar="SRC")],
    target: Annotated[str, typer.Argument(help="URL of an empty store.", metavar="DST")],
    scope: ScopeOption = "",
    restart: Annotated[
        bool, typer.Option("--restart", help="Empty what an unfinished copy left, and begin anew.")
    ] = False,
) -> None:
    """Copy a store into an empty one, losslessly; run it again to go on after an interruption."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from ..graph.copying import copy_store
    from ..graph.open import open_store

    columns = (TextColumn("rows"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())

    async def run(opened: Store) -> int:
        there = await open_store(target)
        try:
            with Progress(*columns, console=console) as bar:
                shown = bar.add_task("copy", total=None)

                def tell(done: int, total: int) -> None:
                    bar.update(shown, completed=done, total=total)

                return await copy_store(opened, there, scope=scope, restart=restart, progress=tell)
        finally:
            await there.close()

    tell(f"Copied {finish(looking(source, run)):,} rows into {target}.")
