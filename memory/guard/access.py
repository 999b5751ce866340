"""Who may do what: a viewer looks, a curator decides, and a source changes what is its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum

from ...errors import InvalidInput, NotAdmitted, NotAllowed
from ...graph import (
    Add,
    AddCredit,
    AddLink,
    LinkType,
    Op,
    Patch,
    Restore,
    SetStatus,
    Status,
    Supersede,
    Unlink,
    View,
)
from ...graph.application import FROZEN, descent


class Access(StrEnum):
    """What somebody may do with a memory, beside recalling and recording."""

    VIEWER = "viewer"
    """Looks: lists, traces, explains, says what would be done."""
    CURATOR = "curator"
    """Also decides: quarantine, release, confirm, freeze, revert."""


def get_access(name: str | Access) -> Access:
    """The role of that name.

    Raises:
        InvalidInput: There is no such role.
    """
    try:
        return Access(name)
    except ValueError:
        raise InvalidInput(
            f"There is no role {name!r}; there is {', '.join(Access)}.", access=name
        ) from None


def check_curator(access: Access, what: str) -> None:
    """Refuse a viewer.

    Args:
        access: Whose.
        what: What was to be done, such as "release a record".

    Raises:
        NotAllowed: It is a viewer.
    """
    if access is not Access.CURATOR:
        raise NotAllowed(
            f"A viewer may not {what}; ask a curator, or open the memory as one.", access=access
        )


def check_status(access: Access, ops: Iterable[Op]) -> None:
    """Refuse operations by which a viewer would decide, or anybody would freeze a scope.

    Raises:
        NotAllowed: They set the status of a record, and it is a viewer.
        InvalidInput: They concern a record that keeps a scope frozen.
    """
    for op in ops:
        if isinstance(op, SetStatus) or (
            isinstance(op, Restore) and not {"status", "hold"}.isdisjoint(op.image)
        ):
            check_curator(access, "set the status of a record")
        ids = (op.record.id,) if isinstance(op, Add) else _changed(op)
        if any(id_.startswith(FROZEN) for id_ in ids):
            raise InvalidInput(
                f"An id that begins with {FROZEN!r} belongs to what keeps a scope frozen; use "
                "freeze and unfreeze."
            )


async def check_own(view: View, source: str, access: Access, ops: Sequence[Op]) -> None:
    """Refuse operations on what another source wrote, links by which it would descend included.

    Setting a status is the curator's, whoever wrote the record, and is left to `check_status`.

    Args:
        view: Of the scope that is written.
        source: Who writes.
        access: As what.
        ops: What is to be applied.

    Raises:
        NotAdmitted: They change a record that neither `source` wrote nor they add.
        NotAllowed: They take a record out of quarantine, and it is a viewer.
    """
    concerned = [(op, id_) for op in ops if not isinstance(op, SetStatus) for id_ in _changed(op)]
    if not concerned:
        return
    added = {op.record.id for op in ops if isinstance(op, Add)}
    found = await view.get(sorted({id_ for _, id_ in concerned}))
    for op, id_ in concerned:
        record = found.get(id_)
        # What is there already is not added, although the same content may be written again.
        if record is None and id_ not in added:
            raise _refused(op, id_, "is not there, or not to be seen by everybody")
        if record is not None and record.provenance.source != source:
            raise _refused(op, id_, "was written by another source")
        held = record is not None and record.status is Status.QUARANTINED
        if held and not isinstance(op, AddLink | Patch):
            check_curator(access, "take a record out of quarantine")


def _changed(op: Op) -> Iterator[str]:
    """The ids of the records that an operation changes, or lets descend from others."""
    match op:
        case Add() | AddCredit():
            return
        case AddLink(link):
            if pair := descent(link.key):
                yield pair[1]
            elif link.type is LinkType.REFUTES:
                yield link.dst
        case Unlink(src, dst):
            yield from (src, dst)
        case Supersede(old):
            yield old
        case _:
            yield op.id


def _refused(op: Op, id_: str, why: str) -> NotAdmitted:
    reason = f"the record {id_[:80]!r} {why}, and a source changes only what it wrote itself."
    return NotAdmitted(
        f"{op.op} is not admitted (own): {reason}", rule="own", reason=reason, record=id_
    )
