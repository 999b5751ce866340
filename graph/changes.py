"""Changesets: the only way anything is written to the memory graph."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, ClassVar, TypeAlias

from ..errors import InvalidInput
from .ids import JSON, canonical, digest, quoted
from .records import HoldState, Link, LinkType, Outcome, Provenance, Record, Status, Tier

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
    """Set the status of a record that has revision `revision`.

    QUARANTINED is kept with its reason, the dissenters (ids of records that speak against it) and
    how sure it is; what came of the record is tainted in the same changeset. Any other status
    takes the taint of this root away again.
    """

    op: ClassVar[str] = "SET_STATUS"
    id: str
    revision: int
    status: Status
    reason: str = ""
    dissenters: tuple[str, ...] = ()
    state: HoldState = HoldState.SUSPECTED

    def hold(self, before: Mapping[str, Any] | None, position: int) -> dict[str, JSON] | None:
        """What is kept beside the status, as plain JSON; None unless it is quarantine.

        Args:
            before: What was kept before.
            position: Of the changeset.
        """
        if self.status is not Status.QUARANTINED:
            return None
        return {
            "reason": self.reason,
            "dissenters": list(self.dissenters),
            "state": self.state.value,
            "position": before["position"] if before else position,
        }


@dataclass(frozen=True, slots=True)
class Expire:
    """Take away a record that has revision `revision` and no live links: the inverse of ADD."""

    op: ClassVar[str] = "EXPIRE"
    id: str
    revision: int


@dataclass(frozen=True, slots=True)
class Revive:
    """Put back a record that was taken away: the inverse of EXPIRE."""

    op: ClassVar[str] = "REVIVE"
    id: str


@dataclass(frozen=True, slots=True)
class Restore:
    """Set the fields of an image on a record that has revision `revision`.

    The inverse of PATCH, CLOSE, SUPERSEDE, SET_STATUS and of itself; the journal keeps the images.
    The outcome of a closed trial may become unknown but is never taken away, since others have
    seen the trial.
    """

    op: ClassVar[str] = "RESTORE"
    id: str
    revision: int
    image: Mapping[str, Any]


Op: TypeAlias = (
    Add
    | AddLink
    | Unlink
    | Patch
    | Close
    | Supersede
    | AddCredit
    | SetStatus
    | Expire
    | Revive
    | Restore
)


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
        exact: Apply it only if nothing was applied since `base`, else it is a Conflict.
    """

    id: str
    scope: str
    base: int = 0
    actor: str = ""
    reason: str = ""
    ops: tuple[Op, ...] = field(default_factory=tuple)
    exact: bool = False

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
            "hold": record.hold.to_json() if record.hold else None,
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
        case SetStatus(id_, revision, status, reason, dissenters, state):
            plain = {"op": op.op, "id": id_, "revision": revision, "status": status.value}
            plain["reason"] = reason
            if dissenters:
                plain["dissenters"] = list(dissenters)
            if state is not HoldState.SUSPECTED:
                plain["state"] = state.value
            return plain
        case Expire(id_, revision):
            return {"op": op.op, "id": id_, "revision": revision}
        case Revive(id_):
            return {"op": op.op, "id": id_}
        case Restore(id_, revision, image):
            return {"op": op.op, "id": id_, "revision": revision, "image": dict(image)}


def ops_to_text(ops: Iterable[Op]) -> str:
    """Operations as canonical JSON text: what `canonical` makes of their `op_to_json`.

    Nearly all that a trial writes is records and links; theirs is put together here, since the
    dictionaries in between cost more than the text.
    """
    return f"[{','.join(map(_op_to_text, ops))}]"


def _op_to_text(op: Op) -> str:
    if isinstance(op, AddLink):
        link = op.link
        if type(link.weight) is float and math.isfinite(link.weight):
            return (
                f'{{"dst":{quoted(link.dst)},"op":"LINK","src":{quoted(link.src)},'
                f'"type":{quoted(link.type)},"via":{quoted(link.via)},"weight":{link.weight!r}}}'
            )
    elif isinstance(op, Add) and type(op.record.provenance.step) is int:
        return f'{{"op":"ADD","record":{_record_to_text(op.record)}}}'
    return canonical(op_to_json(op))


def _record_to_text(record: Record) -> str:
    origin = record.provenance
    since, until = record.valid_from, record.valid_to
    return (
        f'{{"cluster":{quoted(record.cluster)},"confidence":{canonical(record.confidence)},'
        f'"data":{canonical(dict(record.data)) if record.data else "{}"},'
        f'"id":{quoted(record.id)},'
        f'"keys":{canonical(list(record.keys)) if record.keys else "[]"},'
        f'"kind":{quoted(record.kind)},'
        f'"provenance":{{"agent":{quoted(origin.agent)},"role":{quoted(origin.role)},'
        f'"run":{quoted(origin.run)},"source":{quoted(origin.source)},"step":{origin.step},'
        f'"trial":{quoted(origin.trial)}}},'
        f'"scope":{quoted(record.scope)},"summary":{quoted(record.summary)},'
        f'"task_key":{quoted(record.task_key)},"text":{quoted(record.text)},'
        f'"tier":{quoted(record.tier)},'
        f'"valid_from":{quoted(since.isoformat()) if since else "null"},'
        f'"valid_to":{quoted(until.isoformat()) if until else "null"}}}'
    )


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
            given = {
                "status": Status(rest["status"]),
                "dissenters": tuple(rest.get("dissenters", ())),
                "state": HoldState(rest.get("state", HoldState.SUSPECTED)),
            }
            return SetStatus(**{**rest, **given})
        case "EXPIRE":
            return Expire(**rest)
        case "REVIVE":
            return Revive(**rest)
        case "RESTORE":
            return Restore(**rest)
    raise InvalidInput(f"Unknown operation {data['op']!r} in a changeset.", op=data["op"])
