"""Commands for the person on call: what is in quarantine, who acted on it, and decisions."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InvalidInput, NotFound
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
    existing,
    finish,
    moment,
    refusal,
    tell,
)

if TYPE_CHECKING:
    from ..graph import Record
    from ..memory import Memory
    from ..memory.guard.quarantine import QuarantineCase, Trace

guard = typer.Typer(
    name="guard",
    help="See and decide what is in quarantine.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(guard)

RecordArgument = Annotated[str, typer.Argument(help="Id of a record.", metavar="RECORD")]
ReasonOption = Annotated[str, typer.Option("--reason", help="A sentence for people.")]
WebhookOption = Annotated[
    str,
    typer.Option("--webhook", help="Post each event to this URL as JSON.", metavar="URL"),
]
_SHOWN = 20


def _with_memories(
    url: str,
    scope: str,
    do: Callable[[Memory], Awaitable[Any]],
    *,
    access: str = "viewer",
    webhook: str = "",
) -> list[Any]:
    """What a function gives for the memory of each scope, in the order of scopes."""
    from ..graph.open import open_store
    from ..memory import Memory
    from ..memory.guard import Admission
    from ..memory.guard.notify import Notifier

    async def work() -> list[Any]:
        notifier = Notifier(webhook)
        # What a person types may hold secrets too, and goes to the journal and the webhook.
        admission = Admission()
        opened = await open_store(existing(url))
        try:
            places = [scope] if scope else (await opened.statistics("")).scopes
            return [
                await do(
                    Memory(
                        opened, scope=place, access=access, notifier=notifier, admission=admission
                    )
                )
                for place in places
            ]
        finally:
            await opened.close()
            notifier.close()

    return list(finish(work(), refusals=(NotFound,)))


def _with_record(
    url: str,
    scope: str,
    id_: str,
    do: Callable[[Memory], Awaitable[Any]],
    *,
    access: str = "viewer",
    webhook: str = "",
) -> Any:
    """What a function gives for the memory of the scope that a record belongs to."""
    nothing = object()

    async def there(memory: Memory) -> Any:
        record = (await (await memory.view()).get([id_])).get(id_)
        if record is None or record.scope != memory.scope:
            return nothing
        return await do(memory)

    found = _with_memories(url, scope, there, access=access, webhook=webhook)
    for one in found:
        if one is not nothing:
            return one
    tell(f"triforium: There is no record {id_!r} in {scope or 'this store'}.", err=True)
    raise typer.Exit(1)


@guard.command("list")
def list_(
    store: StoreOption = DEFAULT_STORE,
    scope: ScopeOption = "",
    as_json: JsonOption = False,
) -> None:
    """List what is in quarantine, the newest first, and which scopes are frozen."""

    async def look(memory: Memory) -> tuple[str, str, Sequence[QuarantineCase]]:
        own = [one for one in await memory.quarantined() if one.record.scope == memory.scope]
        return memory.scope, await memory.frozen(), own

    found = _with_memories(store, scope, look)
    cases = [case for _, _, some in found for case in some]
    frozen = sorted({place for _, place, _ in found if place})
    if as_json:
        plain = [case.to_json() for case in cases]
        tell(json.dumps({"frozen": frozen, "quarantined": plain}))
        return
    for place in frozen:
        tell(f"The scope {place} is frozen: nothing is recorded in it.")
    if not cases:
        tell("Nothing is in quarantine.")
        return
    for case in cases:
        since = f", since {case.since:%Y-%m-%d %H:%M} UTC" if case.since else ""
        tell(
            f"{case.record.id}  {case.state.value}{since}, by {case.actor or 'nobody known'}"
            f"\n  says    {_line(case.record.text, 100)}"
            f"\n  why     {case.reason}"
            f"\n  source  {case.record.provenance.source or 'unattributed'}; "
            f"taints {len(case.descendants):,} records"
        )


@guard.command()
def show(
    record: RecordArgument,
    store: StoreOption = DEFAULT_STORE,
    scope: ScopeOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show one record: what it says, why it is held, who speaks against it, what it taints."""

    async def look(memory: Memory) -> dict[str, Any]:
        view = await memory.view()
        one = (await view.get([record]))[record]
        case = next((c for c in await memory.quarantined() if c.record.id == record), None)
        spoken = await view.get(case.dissenters) if case else {}
        counts = (await view.sources([one.provenance.source]))[one.provenance.source]
        plain = case.to_json() if case else (await memory.trace(record)).to_json()
        return {
            **plain,
            "status": one.status.value,
            "taint": list(one.taint),
            "said_against": {id_: _line(other.text, 200) for id_, other in spoken.items()},
            "source_counts": {
                "records": counts.records,
                "quarantined": counts.quarantined,
                "successes": counts.successes,
                "failures": counts.failures,
            },
        }

    found = _with_record(store, scope, record, look)
    if as_json:
        tell(json.dumps(found))
        return
    counts = found["source_counts"]
    lines = [
        f"Record {record} ({found['tier']}/{found['kind']}) in scope {found['scope']}",
        f"  says      {_line(found['text'], 300)}",
        f"  status    {found['status']}" + (f", {found['state']}" if "state" in found else ""),
        f"  source    {found['source'] or 'unattributed'}: {counts['records']:,} records, "
        f"{counts['successes']:g} successes, {counts['failures']:g} failures, "
        f"{counts['quarantined']:,} in quarantine",
    ]
    if "reason" in found:
        lines.append(f"  held      {found['reason']} (by {found['actor']}, {found['since']})")
        lines += [f"  against   {id_}: {text}" for id_, text in found["said_against"].items()]
    if found["taint"]:
        lines.append(f"  tainted   by {', '.join(found['taint'])}")
    lines.append(f"  descended {len(found['descendants']):,} records came of it")
    tell("\n".join(lines))


@guard.command()
def release(
    record: RecordArgument,
    reason: ReasonOption = "",
    store: StoreOption = DEFAULT_STORE,
    scope: ScopeOption = "",
    access: AccessOption = "curator",
    webhook: WebhookOption = "",
    as_json: JsonOption = False,
) -> None:
    """Take a record out of quarantine; the taint of other records in quarantine stays."""

    async def do(memory: Memory) -> tuple[str, ...]:
        return await memory.release(record, reason=reason)

    done = _with_record(store, scope, record, do, access=access, webhook=webhook)
    _decided(done, "was released", "was not in quarantine", as_json)


@guard.command()
def confirm(
    record: RecordArgument,
    reason: ReasonOption = "",
    store: StoreOption = DEFAULT_STORE,
    scope: ScopeOption = "",
    access: AccessOption = "curator",
    webhook: WebhookOption = "",
    as_json: JsonOption = False,
) -> None:
    """Say that a record is bad: it stays in quarantine, and lessons are drawn from it."""

    async def do(memory: Memory) -> tuple[str, ...]:
        return await memory.confirm(record, reason=reason)

    done = _with_record(store, scope, record, do, access=access, webhook=webhook)
    _decided(done, "is confirmed", "was confirmed already", as_json)


def _decided(done: Sequence[str], yes: str, no: str, as_json: bool) -> None:
    if as_json:
        tell(json.dumps({"changed": list(done)}))
    else:
        tell(f"The record {done[0]} {yes}." if done else f"The record {no}.")


@guard.command()
def trace(
    record: RecordArgument,
    store: StoreOption = DEFAULT_STORE,
    scope: ScopeOption = "",
    as_json: JsonOption = False,
) -> None:
    """Say who recalled a record, which actions followed, how it ended, and what came of it."""

    async def look(memory: Memory) -> Trace:
        return await memory.trace(record)

    found: Trace = _with_record(store, scope, record, look)
    if as_json:
        tell(json.dumps(found.to_json()))
        return
    origin = found.record.provenance
    lines = [
        f"Record {record}: {_line(found.record.text, 100)}",
        f"  written by {origin.source or 'nobody known'}, role {origin.role or 'any'}, "
        f"run {origin.run or 'none'}; {found.record.status.value}",
        f"  recalled {len(found.uses)} times:",
    ]
    for use in found.uses[:_SHOWN]:
        ended = "no trial" if use.trial is None else str(use.trial.outcome or "open")
        lines.append(
            f"    run {use.receipt.run}, {use.receipt.role or 'any role'}, receipt "
            f"{use.receipt.id}: {ended}"
        )
        verb = "acted on it" if use.certain else "acted after it"
        lines += [f"      {verb}: {_action(step)}" for step in use.actions[:_SHOWN]]
        if len(use.actions) > _SHOWN:
            lines.append(f"      and {len(use.actions) - _SHOWN} more actions")
    if len(found.uses) > _SHOWN:
        lines.append(f"    and {len(found.uses) - _SHOWN} more; all with --json")
    lines.append(f"  {len(found.descendants):,} records came of it:")
    lines += [
        f"    {one.id} ({one.tier.value}): {_line(one.text, 80)}"
        for one in found.descendants[:_SHOWN]
    ]
    if len(found.descendants) > _SHOWN:
        lines.append(f"    and {len(found.descendants) - _SHOWN} more; all with --json")
    tell("\n".join(lines))


@guard.command()
def quarantine(
    records: Annotated[
        list[str] | None, typer.Argument(help="Ids of records.", metavar="[RECORD]...")
    ] = None,
    source: Annotated[
        str, typer.Option("--source", help="Instead: all that this source has added.")
    ] = "",
    since: SinceOption = "",
    until: UntilOption = "",
    reason: ReasonOption = "",
    dry_run: DryRunOption = False,
    store: StoreOption = DEFAULT_STORE,
    scope: ScopeOption = "",
    access: AccessOption = "curator",
    webhook: WebhookOption = "",
    as_json: JsonOption = False,
) -> None:
    """Put records into quarantine: some, or all that a source has added in a span of time."""
    if bool(records) is bool(source):
        raise refusal(InvalidInput("Give ids of records, or a source with --source."))
    if records and (since or until):
        raise refusal(InvalidInput("--since and --until go with --source."))
    if records:
        _all_there(store, scope, records)
    why = reason or (f"all that {source} wrote" if source else "by a person")

    async def chosen(memory: Memory) -> list[Record]:
        if source:
            found = await memory.written_by(source, since=moment(since), until=moment(until))
        else:
            found = tuple((await (await memory.view()).get(records or ())).values())
        return [
            one
            for one in found
            if one.scope == memory.scope and one.status.value not in ("quarantined", "archived")
        ]

    async def do(memory: Memory) -> tuple[list[Record], tuple[str, ...]]:
        found = await chosen(memory)
        if dry_run or not found:
            return found, ()
        return found, await memory.quarantine([one.id for one in found], reason=why)

    done = _with_memories(store, scope, do, access=access, webhook=webhook)
    found = [one for some, _ in done for one in some]
    changed = [id_ for _, ids in done for id_ in ids]
    if as_json:
        ids = [one.id for one in found]
        tell(json.dumps({"found": ids, "changed": changed, "dry_run": dry_run}))
        return
    for one in found[:_SHOWN]:
        tell(f"  {one.id} ({one.tier.value}/{one.kind}): {_line(one.text, 80)}")
    if len(found) > _SHOWN:
        tell(f"  and {len(found) - _SHOWN:,} more; all with --json")
    would = "would be" if dry_run else "were"
    tell(f"{len(found) if dry_run else len(changed):,} records {would} put into quarantine.")


def _all_there(url: str, scope: str, ids: Sequence[str]) -> None:
    """Refuse ids that no scope has, before anything is done."""

    async def own(memory: Memory) -> set[str]:
        found = await (await memory.view()).get(ids)
        return {one.id for one in found.values() if one.scope == memory.scope}

    there = set[str]().union(*_with_memories(url, scope, own))
    missing = [id_ for id_ in ids if id_ not in there]
    if missing:
        where = scope or "this store"
        tell(f"triforium: There is no record {missing[0]!r} in {where}.", err=True)
        raise typer.Exit(1)


@guard.command()
def freeze(
    scope: Annotated[str, typer.Option("--scope", help="Tenant path.", metavar="ORG/TEAM")],
    reason: ReasonOption = "",
    store: StoreOption = DEFAULT_STORE,
    access: AccessOption = "curator",
    as_json: JsonOption = False,
) -> None:
    """Take no more records into a scope and those in it; runs go on and recall."""

    async def do(memory: Memory) -> bool:
        return await memory.freeze(reason=reason)

    _frozen(_with_memories(store, scope, do, access=access)[0], scope, "frozen", as_json)


@guard.command()
def unfreeze(
    scope: Annotated[str, typer.Option("--scope", help="Tenant path.", metavar="ORG/TEAM")],
    reason: ReasonOption = "",
    store: StoreOption = DEFAULT_STORE,
    access: AccessOption = "curator",
    as_json: JsonOption = False,
) -> None:
    """Take records into a scope again."""

    async def do(memory: Memory) -> bool:
        return await memory.unfreeze(reason=reason)

    _frozen(_with_memories(store, scope, do, access=access)[0], scope, "not frozen", as_json)


def _frozen(changed: bool, scope: str, state: str, as_json: bool) -> None:
    if as_json:
        tell(json.dumps({"scope": scope, "state": state, "changed": changed}))
    else:
        tell(f"The scope {scope} is {state}{'' if changed else ', as it was'}.")


def _action(step: Record) -> str:
    return _line(str(step.data.get("action", "") or step.text), 100)


def _line(text: str, most: int) -> str:
    shown = " ".join(text.split())
    return shown if len(shown) <= most else shown[: most - 3] + "..."
