"""Loads what changesets need and writes what they were worked out to write, in one transaction."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InvalidInput, StoreError, TriforiumError
from ..application import (
    Needs,
    Row,
    State,
    Writes,
    content_of,
    needs,
    plan,
    replayed,
    stamp,
)
from ..changes import Add, Changeset
from ..ids import canonical
from ..records import LinkType, Record, Tier
from ..rows import unfinished
from ..store import Applied
from ..text import index_token
from . import cypher
from .schema import FORMAT
from .taint import update_taint

if TYPE_CHECKING:
    import neo4j

Vector = NDArray[np.float32]
_TICK = timedelta(microseconds=1)
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_RESERVED = frozenset(
    {"Record", "Query", "Insight", "Interaction", "Head", "Changeset", "Version", "Credit"}
    | {"Receipt", "Effect", "Term", "Totals", "Taint", "Source"}
)
_FOLLOWED = 2_000
"""Of a changeset that touches more, those that keep records read everything again."""
_LABEL = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


@dataclass(slots=True)
class Request:
    """A changeset that waits to be applied, with its vectors."""

    changeset: Changeset
    vectors: Mapping[str, Vector] = field(default_factory=dict)
    embedder: str = ""
    content: tuple[str, str] = ("", "")

    def prepare(self) -> None:
        """Work out the digest, and refuse what is no Unicode or no JSON.

        Raises:
            InvalidInput: A value cannot be kept.
        """
        try:
            self.content = content_of(self.changeset)
            changeset = self.changeset
            names = (changeset.id, changeset.actor, changeset.reason, changeset.scope)
            "".join((self.content[0], *names)).encode("utf-8")
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise InvalidInput(f"The changeset cannot be stored: {error}.") from error


@dataclass(slots=True)
class Answer:
    """What became of one request."""

    applied: Applied | None = None
    error: Exception | None = None


async def apply_group(
    transaction: neo4j.AsyncManagedTransaction,
    requests: Sequence[Request],
    clock: Any,
) -> tuple[list[Answer], str]:
    """Apply changesets in one transaction, each all or nothing; returns answers and embedder.

    Args:
        transaction: Of the driver; it commits after this returns.
        requests: In order, prepared.
        clock: Gives the time in UTC.
    """
    answers: list[Answer] = []
    while True:
        # Once where nothing concerns what is in quarantine: what comes of that is worked out by the
        # graph as a changeset left it, before another one is written.
        left = requests[len(answers) :]
        batch = _Batch(await _load(transaction, [needs(one.changeset) for one in left], left))
        await batch.load_doubtful_links(transaction, left)
        for one in left:
            answers.append(batch.apply(one, clock))
            if batch.touches_quarantine():
                break
        if batch.written:
            await (await transaction.run(cypher.WRITE, batch.parameters())).consume()
            if batch.touches_quarantine():
                await update_taint(transaction, batch.written[-1])
        if len(answers) == len(requests):
            return answers, batch.embedder


async def _load(
    transaction: neo4j.AsyncManagedTransaction,
    wanted: Sequence[Needs],
    requests: Sequence[Request],
) -> Mapping[str, Any]:
    found = await transaction.run(
        cypher.LOCK_AND_LOAD,
        changesets=[one.changeset.id for one in requests],
        records=sorted({id_ for one in wanted for id_ in one.records}),
        closing=sorted({id_ for one in wanted for id_ in one.closing}),
        links=_link_keys(wanted, requests),
        expiring=sorted({id_ for one in wanted for id_ in one.expiring}),
        credits=sorted({key for one in wanted for key in one.credits}),
    )
    row = await found.single()
    if row is None:
        raise StoreError("The database is no store any more: its head is gone. Restore a backup.")
    return row


def _new_ids(requests: Sequence[Request]) -> set[str]:
    return {op.record.id for one in requests for op in one.changeset.ops if isinstance(op, Add)}


def _link_keys(wanted: Sequence[Needs], requests: Sequence[Request]) -> list[list[str]]:
    """Keys of links that may be there: those of records that are only now added are not."""
    new = _new_ids(requests)
    keys = {key for one in wanted for key in one.links if key[0] not in new and key[1] not in new}
    return [list(key) for key in sorted(keys)]


class _Batch:
    """The changesets of one transaction, worked out one after the other."""

    def __init__(self, found: Mapping[str, Any]) -> None:
        self.position: int = found["position"]
        last = found["created_at"]
        self._last = datetime.fromisoformat(last) if last else _BEGINNING
        self.embedder: str = found["embedder"]
        self._width: int = found["width"]
        self._known = {id_: (position, hashed) for id_, position, hashed in found["journal"]}
        self._credit: dict[str, dict[str, list[float]]] = {}
        self._quarantine: bool = found["quarantine"]
        self._rooted: set[str] = set()
        self._state = State()
        self._ahead: Writes | None = None
        self.written: list[Writes] = []
        self._vectors: dict[str, list[Any]] = {}
        if found["importing"]:
            raise unfinished()
        if found["min_writer"] > FORMAT:
            raise StoreError("The store asks for a newer version to write. Upgrade triforium.")
        for values in found["rows"]:
            self._take(values)
        for trial, *values in found["hidden"]:
            self._take(values)
            if values[0] != trial:
                self._state.hidden.setdefault(trial, set()).add(values[0])
        self._take_links(found["links"])
        for id_, src, dst, type_, via, weight in found["touching"]:
            key = (src, dst, LinkType(type_), via)
            self._state.links[key] = weight
            self._state.touching.setdefault(id_, set()).add(key)
        self._state.credits = {(id_, role, receipt) for id_, role, receipt in found["credits"]}

    def _take(self, values: Sequence[Any]) -> None:
        row = Row(
            id=values[0],
            tier=Tier(values[1]),
            scope=values[2],
            hash=values[3],
            trial=values[4],
            text=values[5],
            visible_from=values[6],
            expired=values[7],
            gaps=tuple(values[8] or ()),
            revision=values[9],
            keys=tuple(values[10] or ()),
            confidence=values[11],
            cluster=values[12],
            summary=values[13],
            status=values[14],
            outcome=json.loads(values[15]) if values[15] else None,
            hold=json.loads(values[17]) if values[17] else None,
            source=values[18],
        )
        self._state.rows[row.id] = row
        if row.held or values[19]:
            self._rooted.add(row.id)
        self._credit[row.id] = json.loads(values[16]) if values[16] else {}

    def _take_links(self, found: Sequence[Sequence[Any]]) -> None:
        for src, dst, type_, via, weight in found:
            self._state.links[src, dst, LinkType(type_), via] = weight

    async def load_doubtful_links(
        self, transaction: neo4j.AsyncManagedTransaction, requests: Sequence[Request]
    ) -> None:
        """Links of records that are added although they are there: a retry under another id."""
        there = _new_ids(requests) & self._state.rows.keys()
        if not there:
            return
        keys = [
            list(key)
            for one in requests
            for key in sorted(needs(one.changeset).links)
            if key[0] in there or key[1] in there
        ]
        if keys:
            empty: list[str] = []
            found = await transaction.run(
                cypher.LOCK_AND_LOAD,
                changesets=empty,
                records=empty,
                closing=empty,
                links=keys,
                expiring=empty,
                credits=empty,
            )
            row = await found.single()
            self._take_links(row["links"] if row else ())

    def apply(self, request: Request, clock: Any) -> Answer:
        """Work out one changeset; a failure leaves the others as they are."""
        changeset = request.changeset
        try:
            if not changeset.ops:
                return Answer(Applied(self.position))
            if changeset.id in self._known:
                position, hashed = self._known[changeset.id]
                return Answer(replayed(changeset, request.content[1], position, hashed))
            if self._ahead is not None:
                # Not before there is another one: nobody else asks for the state.
                self._state.absorb(self._ahead)
                self._ahead = None
            now = max(clock().astimezone(UTC), self._last + _TICK)
            writes = plan(self._state, changeset, request.content, self.position + 1, now)
            vectors = self._checked_vectors(request, writes)
        except TriforiumError as error:
            return Answer(error=error)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            return Answer(error=InvalidInput(f"The changeset cannot be stored: {error}."))
        self._ahead = writes
        self._vectors |= vectors
        self.written.append(writes)
        self.position += 1
        self._last = now
        self._known[changeset.id] = (self.position, writes.hash)
        return Answer(Applied(self.position))

    def touches_quarantine(self) -> bool:
        """Whether the last changeset changes what is in quarantine, or what descends from it."""
        if not self.written:
            return False
        last = self.written[-1]
        if last.held or last.released:
            return True
        if not self._quarantine:
            return False
        return bool(last.cut) or any(ancestor in self._rooted for ancestor, _ in last.grown)

    def _checked_vectors(self, request: Request, writes: Writes) -> dict[str, list[Any]]:
        wanted = {id_: v for id_, v in request.vectors.items() if id_ in writes.embeddable}
        if (
            not wanted
            or not request.embedder
            or request.embedder != (self.embedder or request.embedder)
        ):
            return {}
        width = self._width or int(next(iter(wanted.values())).shape[-1])
        rows = {}
        for id_, vector in wanted.items():
            plain = np.ascontiguousarray(vector, np.float32)
            if plain.shape != (width,):
                raise InvalidInput(
                    f"The vector of {id_!r} has shape {plain.shape}, the store's have ({width},).",
                    id=id_,
                )
            if not np.isfinite(plain).all():
                raise InvalidInput(f"The vector of {id_!r} holds what is no number.", id=id_)
            rows[id_] = [id_, plain.tolist(), writes.position]
        self.embedder, self._width = request.embedder, width
        return rows

    def parameters(self) -> dict[str, Any]:
        """What the writing statement takes."""
        added = {row.id: _properties(row, one) for one in self.written for row in one.added}
        changed: dict[str, dict[str, Any]] = {}
        evidence: dict[str, list[int]] = {}
        expired, links = self._links()
        terms: Counter[tuple[str, str, str]] = Counter()
        totals: dict[tuple[str, str], list[int]] = {}
        sources: dict[tuple[str, str], list[float]] = {}
        for one in self.written:
            for key, deltas in one.sources.items():
                own = sources.setdefault(key, [0.0] * len(deltas))
                own[:] = [a + b for a, b in zip(own, deltas, strict=True)]
            for row in one.changed.values():
                target = added[row.id] if row.id in added else changed.setdefault(row.id, {})
                target |= _changing(row)
            for id_, found in one.index.items():
                target = added[id_] if id_ in added else changed.setdefault(id_, {})
                target["body"] = None if found is None else " ".join(map(index_token, found))
            for id_, (for_, against) in one.evidence.items():
                if id_ in added:
                    added[id_]["support"] += for_
                    added[id_]["refuted"] += against
                    continue
                count = evidence.setdefault(id_, [0, 0])
                count[0] += for_
                count[1] += against
            for (scope, tier, term), delta in one.terms.items():
                terms[scope, tier.value, index_token(term)] += delta
            for (scope, tier), (documents, length) in one.totals.items():
                total = totals.setdefault((scope, tier.value), [0, 0])
                total[0] += documents
                total[1] += length
        for id_, fields in self._credits().items():
            target = added[id_] if id_ in added else changed.setdefault(id_, {})
            target |= fields
        last = self.written[-1]
        places = {id_: place for place, id_ in enumerate(added)}
        among = [row for row in links if row[0] in places and row[1] in places]
        return {
            "position": self.position,
            "now": last.now,
            "embedder": self.embedder,
            "width": self._width,
            "held": any(one.held for one in self.written),
            "added": [[_labels(fields), fields] for fields in added.values()],
            "changed": [[id_, changed[id_]] for id_ in sorted(changed)],
            "expired_links": expired,
            "among": [[places[row[0]], places[row[1]], *row[2:]] for row in among],
            "links": [row for row in links if row[0] not in places or row[1] not in places],
            "evidence": [[id_, *evidence[id_]] for id_ in sorted(evidence)],
            "credits": [
                {
                    "record": op.id,
                    "role": op.role,
                    "receipt": op.receipt,
                    "position": one.position,
                    "uses": float(op.uses),
                    "helped": float(op.helped),
                    "hurt": float(op.hurt),
                }
                for one in self.written
                for op in one.credits
            ],
            "versions": [
                [version.id, version.until, version.image["revision"], canonical(version.image)]
                for one in self.written
                for version in one.versions
            ],
            "terms": [[*key, delta] for key, delta in sorted(terms.items()) if delta],
            "totals": [[*key, *deltas] for key, deltas in sorted(totals.items())],
            "sources": [[*key, list(map(float, sources[key]))] for key in sorted(sources)],
            "vectors": list(self._vectors.values()),
            "journal": [_entry(one) | self._touched(one) for one in self.written],
        }

    def _touched(self, writes: Writes) -> dict[str, list[str] | None]:
        """What those have to read again that keep trials and insights in memory.

        Records by id, and pairs of them, flat, between which a link began or ended. Steps are kept
        by the trial they lead to, so a new step is a change of what its links lead to.
        """
        tiers = {id_: row.tier for id_, row in self._state.rows.items()}
        tiers |= {row.id: row.tier for one in self.written for row in one.added}
        touched = {row.id for row in writes.added if row.tier is not Tier.INTERACTION}
        touched |= writes.changed.keys() | writes.evidence.keys()
        touched |= {op.id for op in writes.credits}
        touched |= self._vectors.keys() & writes.embeddable.keys()
        joined: set[tuple[str, str]] = set()
        pairs = {(link.src, link.dst) for link in writes.links}
        pairs |= {(key[0], key[1]) for key in writes.expired_links}
        for pair in pairs:
            # Of a record that is only now taken away, the other ends of its links are not known.
            ends = [tiers.get(id_) for id_ in pair]
            of_a_step = Tier.INTERACTION in ends
            if not of_a_step:
                joined.add(pair)
            if of_a_step or None in ends:
                touched |= {
                    id_
                    for id_, tier in zip(pair, ends, strict=True)
                    if tier is not Tier.INTERACTION
                }
        if len(touched) + len(joined) > _FOLLOWED:
            return {"touched": None, "joined": None}
        return {
            "touched": sorted(touched),
            "joined": [id_ for pair in sorted(joined) for id_ in pair],
        }

    def _links(self) -> tuple[list[list[Any]], list[list[Any]]]:
        """Links that end and links that begin; what did both within the batch is written whole."""
        expired: list[list[Any]] = []
        begun: dict[Any, list[list[Any]]] = {}
        for one in self.written:
            for key in one.expired_links:
                own = begun.get(key)
                if own:
                    own[-1].append(one.position)
                else:
                    expired.append([*key, one.position])
            for link in one.links:
                row = [link.src, link.dst, link.type.value, link.via, link.weight, one.position]
                begun.setdefault(link.key, []).append(row)
        rows = [row for found in begun.values() for row in found]
        return expired, [row if len(row) == 7 else [*row, None] for row in rows]

    def _credits(self) -> dict[str, dict[str, Any]]:
        """The counters of credited records as they are afterwards; the lock makes them right."""
        touched: set[str] = set()
        for one in self.written:
            for op in one.credits:
                touched.add(op.id)
                counters = self._credit.setdefault(op.id, {}).setdefault(op.role, [0.0, 0.0, 0.0])
                counters[0] += op.uses
                counters[1] += op.helped
                counters[2] += op.hurt
        return {id_: credit_fields(self._credit[id_]) for id_ in sorted(touched)}


def credit_fields(credit: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """The properties of a record that hold its credit: per role as JSON, and the sums."""
    return {
        "credit": canonical({role: list(counters) for role, counters in sorted(credit.items())}),
        "uses": sum(counters[0] for counters in credit.values()),
        "helped": sum(counters[1] for counters in credit.values()),
        "hurt": sum(counters[2] for counters in credit.values()),
    }


def _properties(row: Row, writes: Writes) -> dict[str, Any]:
    record = row.record
    assert record is not None
    fields = content_fields(record) | {
        "hash": row.hash,
        "added": writes.position,
        "n": row.ordinal,
        "created_at": writes.now,
        "support": 0,
        "refuted": 0,
    }
    return fields | _changing(row)


def content_fields(record: Record) -> dict[str, Any]:
    """What of a record never changes, as properties."""
    origin = record.provenance
    return {
        "id": record.id,
        "tier": record.tier.value,
        "kind": record.kind,
        "text": record.text,
        "scope": record.scope,
        "task_key": record.task_key,
        "source": origin.source,
        "role": origin.role,
        "agent": origin.agent,
        "run": origin.run,
        "trial": origin.trial,
        "step": origin.step,
        "data": canonical(dict(record.data)) if record.data else "{}",
        "valid_from": stamp(record.valid_from) if record.valid_from else None,
        "valid_to": stamp(record.valid_to) if record.valid_to else None,
    }


def _changing(row: Row) -> dict[str, Any]:
    unfinished = "open" if row.tier is Tier.QUERY else ""
    fields: dict[str, Any] = {
        "keys": list(row.keys),
        "confidence": row.confidence,
        "cluster": row.cluster,
        "summary": row.summary,
        "expired": row.expired,
        "gaps": list(row.gaps) or None,
        "visible_from": row.visible_from,
        "revision": row.revision,
        "status": row.status,
        "outcome": row.outcome["kind"] if row.outcome else unfinished,
        "outcome_data": canonical(dict(row.outcome)) if row.outcome else None,
        "hold": canonical(dict(row.hold)) if row.hold else None,
    }
    hidden = row.visible_from is None
    fields["open_trial"] = (row.id if row.tier is Tier.QUERY else row.trial) if hidden else None
    if row.record is not None:
        fields["open_run"] = row.record.provenance.run or None if hidden else None
    elif not hidden:
        fields["open_run"] = None
    return fields


def _labels(fields: Mapping[str, Any]) -> list[str]:
    return labels_of(fields["tier"], fields["kind"])


def labels_of(tier: str, kind: str) -> list[str]:
    """The labels of a record: its tier, and its kind where that makes a good label."""
    labels = ["Record", cypher.LABELS[Tier(tier)]]
    label = kind[:1].upper() + kind[1:]
    if _LABEL.fullmatch(label) and label not in _RESERVED:
        labels.append(label)
    return labels


def _entry(writes: Writes) -> dict[str, Any]:
    changeset = writes.changeset
    return {
        "position": writes.position,
        "id": changeset.id,
        "hash": writes.hash,
        "scope": changeset.scope,
        "actor": changeset.actor,
        "reason": changeset.reason,
        "base": changeset.base,
        "created_at": writes.now,
        "ops": writes.ops,
        "before": writes.before,
    }
