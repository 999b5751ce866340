"""Changesets: the only way anything is written to the memory graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, ClassVar, TypeAlias

from ..errors import InvalidInput
from .ids import JSON, digest
from .records import Link, LinkType, Outcome, Provenance, Record, Status, Tier

PATCHABLE = frozenset({"keys", "confidence", "cluster", "summary"})
"""The derived fields of a record that PATCH may set."""


@dataclass(frozen=True, slots=True)
class Add:
    """Add a record. The same id with the same content again is a no-op."""

    op: ClassVar[str] = "ADD"
    record: Record


@dataclass(frozen=True, slots=True)
class AddLink:
    """Add a link, or set the weight of the one with the same key."""

    op: ClassVar[str] = "LINK"
    link: Link


@dataclass(frozen=True, slots=True)
class Unlink:
    """Expire a link. Unlinking what is not there is a no-op."""

    op: ClassVar[str] = "UNLINK"
    src: str
    dst: str
    type: LinkType
    via: str = ""


@dataclass(frozen=True, slots=True)
class Patch:
    """Set derived fields (`PATCHABLE`) of a record that has revision `revision`."""

    op: ClassVar[str] = "PATCH"
    id: str
    revision: int
    fields: Mapping[str, Any]

    def __post_init__(self) -> None:
        wrong = sorted(set(self.fields) - PATCHABLE)
        if wrong:
            raise InvalidInput(
                f"PATCH may set only {', '.join(sorted(PATCHABLE))}, not {', '.join(wrong)}: "
                "the content of a record never changes, supersede it instead.",
                fields=wrong,
            )


@dataclass(frozen=True, slots=True)
class Close:
    """Set the outcome of a trial that has revision `revision`.

    A trial is closed once; only an outcome of kind unknown may be closed again (`settle`).
    """

    op: ClassVar[str] = "CLOSE"
    id: str
    revision: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Supersede:
    """Record `new` replaces `old` (at revision `revision`): its status becomes superseded and a
    SUPERSEDES link is added."""

    op: ClassVar[str] = "SUPERSEDE"
    old: str
    revision: int
    new: str


@dataclass(frozen=True, slots=True)
class AddCredit:
    """Add a signed delta to the counters of a record for one role.

    At most one counts per (receipt, record), so that a retry adds nothing.
    """

    op: ClassVar[str] = "CREDIT"
    id: str
    role: str
    receipt: str
    uses: float = 0.0
    helped: float = 0.0
    hurt: float = 0.0


@dataclass(frozen=True, slots=True)
class SetStatus:
    """Set the status of a record that has revision `revision`."""

    op: ClassVar[str] = "SET_STATUS"
    id: str
    revision: int
    status: Status
    reason: str = ""


Op: TypeAlias = Add | AddLink | Unlink | Patch | Close | Supersede | AddCredit | SetStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Changeset:
    """Changes that are applied together or not at all.

    Attributes:
        id: Deterministic, so that applying it twice changes nothing.
        scope: Where it writes. Every added record must be of this scope.
        base: The journal position of the View it was computed from.
        actor: The source that writes, set by the facade.
        reason: A few words for the journal.
        ops: In order. Empty means that there is nothing to do.
    """

    id: str
    scope: str
    base: int = 0
    actor: str = ""
    reason: str = ""
    ops: tuple[Op, ...] = field(default_factory=tuple)

    def content_hash(self) -> str:
        """Digest of scope and operations, to tell a retry from another changeset of that id."""
        return digest(self.scope, [op_to_json(op) for op in self.ops])


def record_to_json(record: Record, *, stamped: bool = False) -> dict[str, JSON]:
    """A record as plain JSON; with the fields that the store stamps only when `stamped`."""
    data: dict[str, Any] = {
        "id": record.id,
        "tier": record.tier.value,
        "kind": record.kind,
        "text": record.text,
        "scope": record.scope,
        "task_key": record.task_key,
        "provenance": record.provenance.to_json(),
        "data": dict(record.data),
        "valid_from": record.valid_from.isoformat() if record.valid_from else None,
        "valid_to": record.valid_to.isoformat() if record.valid_to else None,
        "keys": list(record.keys),
        "confidence": record.confidence,
        "cluster": record.cluster,
        "summary": record.summary,
    }
    if stamped:
        data |= {
            "added": record.added,
            "expired": record.expired,
            "created_at": record.created_at.isoformat() if record.created_at else None,
            "revision": record.revision,
            "status": record.status.value,
            "outcome": record.outcome.to_json() if record.outcome else None,
            "credit": {role: asdict(credit) for role, credit in sorted(record.credit.items())},
            "support": record.support,
            "refuted": record.refuted,
            "taint": list(record.taint),
        }
    return data


def record_from_json(data: Mapping[str, Any]) -> Record:
    """The content and derived fields of a record from `record_to_json`."""
    return Record(
        id=data["id"],
        tier=Tier(data["tier"]),
        kind=data["kind"],
        text=data["text"],
        scope=data["scope"],
        task_key=data["task_key"],
        provenance=Provenance(**data["provenance"]),
        data=MappingProxyType(dict(data["data"])),
        valid_from=datetime.fromisoformat(data["valid_from"]) if data["valid_from"] else None,
        valid_to=datetime.fromisoformat(data["valid_to"]) if data["valid_to"] else None,
        keys=tuple(data["keys"]),
        confidence=data["confidence"],
        cluster=data["cluster"],
        summary=data["summary"],
    )


def op_to_json(op: Op) -> dict[str, JSON]:
    """One operation as plain JSON, tagged with its name under "op"."""
    match op:
        case Add(record):
            return {"op": op.op, "record": record_to_json(record)}
        case AddLink(link):
            return {
                "op": op.op,
                "src": link.src,
                "dst": link.dst,
                "type": link.type.value,
                "via": link.via,
                "weight": link.weight,
            }
        case Unlink(src, dst, type_, via):
            return {"op": op.op, "src": src, "dst": dst, "type": type_.value, "via": via}
        case Patch(id_, revision, fields):
            plain = {
                name: list(value) if isinstance(value, tuple) else value
                for name, value in fields.items()
            }
            return {"op": op.op, "id": id_, "revision": revision, "fields": plain}
        case Close(id_, revision, outcome):
            return {"op": op.op, "id": id_, "revision": revision, "outcome": outcome.to_json()}
        case Supersede(old, revision, new):
            return {"op": op.op, "old": old, "revision": revision, "new": new}
        case AddCredit(id_, role, receipt, uses, helped, hurt):
            return {
                "op": op.op,
                "id": id_,
                "role": role,
                "receipt": receipt,
                "uses": uses,
                "helped": helped,
                "hurt": hurt,
            }
        case SetStatus(id_, revision, status, reason):
            return {
                "op": op.op,
                "id": id_,
                "revision": revision,
                "status": status.value,
                "reason": reason,
            }


def op_from_json(data: Mapping[str, Any]) -> Op:
    """The inverse of `op_to_json`.

    Raises:
        InvalidInput: The name of the operation is not known.
    """
    rest = {name: value for name, value in data.items() if name != "op"}
    match data["op"]:
        case "ADD":
            return Add(record_from_json(rest["record"]))
        case "LINK":
            return AddLink(Link(**{**rest, "type": LinkType(rest["type"])}))
        case "UNLINK":
            return Unlink(**{**rest, "type": LinkType(rest["type"])})
        case "PATCH":
            return Patch(**rest)
        case "CLOSE":
            return Close(**{**rest, "outcome": Outcome.from_json(rest["outcome"])})
        case "SUPERSEDE":
            return Supersede(**rest)
        case "CREDIT":
            return AddCredit(**rest)
        case "SET_STATUS":
            return SetStatus(**{**rest, "status": Status(rest["status"])})
    raise InvalidInput(f"Unknown operation {data['op']!r} in a changeset.", op=data["op"])
