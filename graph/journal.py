"""Reading the journal: from the end, by id, by source, and in a few words."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable
from datetime import datetime

from ..errors import InvalidInput, NotFound
from .changes import Add, AddCredit, AddLink, Changeset, Op, Supersede, Unlink
from .ids import JSON
from .scopes import check_scope
from .store import JournalEntry, Store

PAGE = 256
"""Journal entries that are read at once."""
PREFIX = 8
"""Characters of an abbreviated changeset id at least."""


async def backwards(
    store: Store, scope: str, start: int | None = None
) -> AsyncIterator[tuple[JournalEntry, ...]]:
    """The journal page by page, the last page first; each page is in order.

    Args:
        store: Whose.
        scope: Who asks; "" for everything.
        start: The position to begin at; the present one if None.
    """
    if start is None:
        # Every scope is at the same position, also one that nothing was written to.
        start = (await store.view(scope or "default")).position
    while start > 0:
        after = max(0, start - PAGE)
        page = await store.journal(scope, after=after, limit=PAGE)
        yield tuple(entry for entry in page if entry.position <= start)
        start = after


async def latest(store: Store, scope: str, limit: int) -> tuple[JournalEntry, ...]:
    """The last entries of the journal, newest first.

    Args:
        store: Whose.
        scope: Who asks; "" for everything.
        limit: At most so many.
    """
    found: list[JournalEntry] = []
    async for page in backwards(store, scope):
        found.extend(reversed(page))
        if len(found) >= limit:
            break
    return tuple(found[:limit])


async def find_changeset(store: Store, scope: str, id_: str) -> Changeset:
    """The changeset with an id, which may be abbreviated to its first characters.

    Args:
        store: Where to look.
        scope: Who asks; "" for everything.
        id_: The id, or at least `PREFIX` of its first characters.

    Raises:
        NotFound: There is none.
        InvalidInput: Several begin so.
    """
    begins: list[Changeset] = []
    async for page in backwards(store, scope):
        for entry in page:
            if entry.changeset.id == id_:
                return entry.changeset
            if len(id_) >= PREFIX and entry.changeset.id.startswith(id_):
                begins.append(entry.changeset)
    if len(begins) > 1:
        listed = ", ".join(sorted(one.id for one in begins)[:3])
        listed += ", ..." if len(begins) > 3 else ""
        raise InvalidInput(
            f"{len(begins)} changesets begin with {id_!r}: {listed}. Give more of the id.", id=id_
        )
    if not begins:
        raise unknown_changeset(id_, scope)
    return begins[0]


async def changesets_by(
    store: Store,
    scope: str,
    source: str,
    *,
    since: int | datetime = 0,
    until: datetime | None = None,
) -> tuple[str, ...]:
    """Ids of the changesets of a source, in order, to be reverted together.

    Args:
        store: Where to look.
        scope: Their scope.
        source: Who wrote them: the `actor` of the journal.
        since: Only those after this position, or not before this time.
        until: Only those before this time.
    """
    check_scope(scope)
    found: list[str] = []
    after = since if isinstance(since, int) else 0
    while page := await store.journal(scope, after=after, limit=PAGE):
        found.extend(
            entry.changeset.id
            for entry in page
            if entry.changeset.actor == source
            and entry.changeset.scope == scope
            and (isinstance(since, int) or entry.created_at >= since)
            and (until is None or entry.created_at < until)
        )
        after = page[-1].position
    return tuple(found)


def told(op: Op) -> str:
    """An operation in a few words."""
    match op:
        case Add(record):
            return f"{op.op} {record.kind} {record.id}: {' '.join(record.text.split())[:60]!r}"
        case AddLink(link):
            return f"{op.op} {link.src} {link.type.value} {link.dst}"
        case Unlink(src, dst, type_):
            return f"{op.op} {src} {type_.value} {dst}"
        case Supersede(old, _, new):
            return f"{op.op} {old} by {new}"
        case AddCredit(id_, role):
            return f"{op.op} {id_} for {role}" if role else f"{op.op} {id_}"
    return f"{op.op} {op.id}"


def counted(ops: Iterable[Op]) -> str:
    """Operations counted by name: such as "ADD 3, LINK 5"."""
    counts = Counter(op.op for op in ops)
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def entry_to_json(entry: JournalEntry) -> dict[str, JSON]:
    """An entry of the journal as plain JSON, its operations counted."""
    changeset = entry.changeset
    return {
        "position": entry.position,
        "id": changeset.id,
        "scope": changeset.scope,
        "created_at": entry.created_at.isoformat(),
        "actor": changeset.actor,
        "reason": changeset.reason,
        "ops": dict(Counter(op.op for op in changeset.ops)),
    }


def unknown_changeset(id_: str, scope: str) -> NotFound:
    """The error for a changeset that a scope does not see."""
    where = f"in scope {scope!r}" if scope else "in this store"
    return NotFound(f"There is no changeset {id_!r} {where}; `triforium log` lists them.", id=id_)
