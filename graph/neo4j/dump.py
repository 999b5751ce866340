"""A Neo4j store as plain JSON rows, and back."""

from __future__ import annotations

import base64
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InvalidInput, StoreError
from ..ids import JSON, canonical
from ..records import LinkType, Status, Tier
from ..rows import KINDS, check_header, header, token
from ..scopes import check_scope
from ..store import SEARCHABLE
from ..text import index_terms, index_token
from . import cypher
from .schema import make_vector_indexes
from .server import Server
from .write import credit_fields, labels_of

if TYPE_CHECKING:
    import neo4j

_PARSED = frozenset({"data", "outcome", "hold", "ops", "before", "body", "result"})
BATCH = 4000
"""Rows written in one transaction."""


async def dump_rows(
    server: Server, scopes: Sequence[str] | None, now: str
) -> AsyncIterator[dict[str, JSON]]:
    """The rows of a dump, header first, as of the position the store has now.

    Args:
        server: Where.
        scopes: The visible scopes; None for all.
        now: The time; receipts that come later are left out.
    """
    values = {"everything": scopes is None, "scopes": list(scopes or ()), "now": now}
    head = await server.read(cypher.HEAD)
    values["position"] = head["position"]
    counts = await server.read(cypher.DUMP_COUNTS, **values)
    yield header(
        scopes=scopes,
        position=head["position"],
        created_at=head["created_at"],
        embedder=head["embedder"],
        width=head["width"],
        rows={kind: counts[kind] for kind in KINDS},
    )
    for kind, names in KINDS.items():
        async for row in server.stream(cypher.DUMP[kind], **values):
            yield _row(kind, names, row["scope"], list(row["fields"]))


def _row(kind: str, names: Sequence[str], scope: str, fields: list[Any]) -> dict[str, JSON]:
    if kind == "record":
        image = fields.pop()
        fields = _as_of(names, fields, image)
    if kind == "version":
        id_, until, image = fields
        plain = json.loads(image)
        fields = [id_, until, *(plain[name] for name in names[2:])]
    row: dict[str, JSON] = {"row": kind, "scope": scope}
    for name, value in zip(names, fields, strict=True):
        if name == "vector":
            row[name] = base64.b64encode(np.asarray(value, np.float32).tobytes()).decode("ascii")
        elif name in _PARSED and isinstance(value, str):
            row[name] = json.loads(value)
        elif name == "done":
            row[name] = int(value)
        else:
            row[name] = value
    return row


def _as_of(names: Sequence[str], fields: list[Any], images: Sequence[str]) -> list[Any]:
    """A record's fields with the image of the dump's position, if it changed since."""
    if not images:
        return fields
    image = json.loads(images[0])
    return [image.get(name, value) for name, value in zip(names, fields, strict=True)]


async def begin(server: Server, first: Mapping[str, Any]) -> int:
    """Mark a store as being filled from a dump; returns how many rows it has taken already.

    Raises:
        InvalidInput: The store is not empty, or is being filled from another dump.
    """
    check_header(first)
    if first["width"] and first["embedder"]:
        await make_vector_indexes(server, int(first["width"]))
    row = await server.write(cypher.BEGIN_COPY, token=token(first))
    if row["importing"] != token(first):
        raise InvalidInput(
            "The copy into this store was begun from something else, or its source has changed "
            "since. Begin anew with --restart."
            if row["importing"]
            else "The store is not empty; import into a new one."
        )
    return int(row["imported"])


async def add(server: Server, rows: Sequence[Mapping[str, Any]], start: int) -> None:
    """Take some rows, all of one kind or not, in one transaction.

    Args:
        server: Where.
        rows: In the order of the dump.
        start: How many rows were taken before.

    Raises:
        InvalidInput: A row is malformed; its number is named.
    """
    batch = _Rows(start)
    for number, row in enumerate(rows, start + 2):
        try:
            batch.take(row, number)
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput(
                f"Line {number} of the export is broken "
                f"({type(error).__name__}: {str(error)[:200]}). Nothing was imported.",
                line=number,
            ) from error

    async def job(transaction: neo4j.AsyncManagedTransaction) -> None:
        found = await (await transaction.run(cypher.LOCK_COPY)).single()
        if found is None or found["imported"] != start:
            # An earlier attempt of the driver was committed after all, or somebody else copies.
            if found is not None and found["imported"] == start + len(rows):
                return
            raise StoreError("Another process fills this store just now. Let it finish.")
        credit: dict[str, Any] = {}
        if batch.credits:
            ids = sorted({one["record"] for one in batch.credits})
            known = await (await transaction.run(cypher.CREDIT_OF, ids=ids)).single()
            credit = {id_: json.loads(text) for id_, text in (known["credit"] if known else ())}
            origins = known["origins"] if known else ()
            batch.credited = {id_: (scope, source) for id_, scope, source in origins}
            batch.credited |= {
                fields["id"]: (fields["scope"], fields["source"]) for _, fields in batch.records
            }
        written = await transaction.run(cypher.TAKE_ROWS, batch.parameters(credit, len(rows)))
        counts = await written.single()
        if counts is None or counts["links"] != len(batch.links):
            raise InvalidInput(
                f"A link among the lines {start + 2} to {start + 1 + len(rows)} of the export "
                "has an end that is not in it. Nothing was imported."
            )

    await server.transaction(job)


async def finish(server: Server, first: Mapping[str, Any]) -> None:
    """The store is whole now and may be used."""
    await server.write(
        cypher.FINISH_COPY,
        position=int(first["position"]),
        created_at=str(first["created_at"]),
        embedder=str(first["embedder"]),
        width=int(first["width"]),
    )


async def abandon(server: Server) -> None:
    """Empty a store whose copy was not finished.

    Raises:
        InvalidInput: The store is in use.
    """
    head = await server.read(cypher.HEAD)
    if not head or (not head["importing"] and head["position"]):
        raise InvalidInput("The store is in use; only an unfinished copy can be begun anew.")
    while (await server.write(cypher.EMPTY_SOME))["gone"]:
        pass
    await server.write(cypher.EMPTY_HEAD)


class _Rows:
    """Rows of a dump as the parameters of the statement that takes them."""

    def __init__(self, start: int) -> None:
        self._start = start
        self.records: list[list[Any]] = []
        self.versions: list[list[Any]] = []
        self.links: list[list[Any]] = []
        self.credits: list[dict[str, Any]] = []
        self.taint: list[list[Any]] = []
        self.journal: list[dict[str, Any]] = []
        self.receipts: list[dict[str, Any]] = []
        self.effects: list[dict[str, Any]] = []
        self.vectors: list[list[Any]] = []
        self.credited: dict[str, tuple[str, str]] = {}
        self._terms: Counter[tuple[str, str, str]] = Counter()
        self._totals: dict[tuple[str, str], list[int]] = {}

    def take(self, row: Mapping[str, Any], number: int) -> None:
        """Take one row; what is wrong with it raises KeyError, TypeError or ValueError."""
        takers: Mapping[str, Callable[[Mapping[str, Any], int], None]] = {
            "record": self._record,
            "version": self._version,
            "link": self._link,
            "credit": self._credit,
            "taint": self._taint,
            "journal": self._journal,
            "receipt": self._receipt,
            "effect": self._effect,
            "vector": self._vector,
        }
        check_scope(row["scope"])
        takers[row["row"]](row, number)

    def parameters(self, credit: Mapping[str, Any], count: int) -> dict[str, Any]:
        """What the statement takes.

        Args:
            credit: The counters that credited records have so far.
            count: Number of rows.
        """
        counters = {id_: {role: list(v) for role, v in own.items()} for id_, own in credit.items()}
        for one in self.credits:
            own = counters.setdefault(one["record"], {}).setdefault(one["role"], [0.0, 0.0, 0.0])
            for index, name in enumerate(("uses", "helped", "hurt")):
                own[index] += one[name]
        evidence = Counter((link[1], link[2]) for link in self.links if link[6] is None)
        return {
            "records": self.records,
            "versions": self.versions,
            "links": self.links,
            "evidence": [
                [id_, *(evidence[id_, type_.value] for type_ in _EVIDENCE)]
                for id_ in sorted({id_ for id_, type_ in evidence if type_ in _EVIDENCE})
            ],
            "credits": self.credits,
            "counters": [[id_, credit_fields(own)] for id_, own in sorted(counters.items())],
            "taint": self.taint,
            "journal": self.journal,
            "receipts": self.receipts,
            "effects": self.effects,
            "vectors": self.vectors,
            "sources": self._sources(),
            "terms": [[*key, count] for key, count in sorted(self._terms.items())],
            "totals": [[*key, *counts] for key, counts in sorted(self._totals.items())],
            "imported": self._start + count,
            # Nobody reads before the copy is whole: what touches a record later needs no mark.
            "copied": uuid.uuid4().hex,
        }

    def _record(self, row: Mapping[str, Any], number: int) -> None:
        tier = Tier(row["tier"])
        fields = {name: row[name] for name in KINDS["record"] if name != "content_hash"}
        outcome = row["outcome"]
        hidden = row["visible_from"] is None
        fields |= {
            "scope": row["scope"],
            "hash": row["content_hash"],
            "n": number,
            "data": canonical(row["data"]),
            "keys": [str(key) for key in row["keys"]],
            "gaps": list(row["gaps"]) if row["gaps"] else None,
            "status": Status(row["status"]).value,
            "outcome": outcome["kind"] if outcome else ("open" if tier is Tier.QUERY else ""),
            "outcome_data": canonical(outcome) if outcome else None,
            "hold": canonical(row["hold"]) if row["hold"] else None,
            "open_trial": (row["id"] if tier is Tier.QUERY else row["trial"]) if hidden else None,
            "open_run": row["run"] or None if hidden else None,
            "support": 0,
            "refuted": 0,
            "step": int(row["step"]),
            "added": int(row["added"]),
            "text": _text(row["text"]),
        }
        if tier in SEARCHABLE and row["expired"] is None:
            found = index_terms(row["text"], row["keys"])
            fields["body"] = " ".join(map(index_token, found))
            if not hidden:
                for term in set(found):
                    self._terms[row["scope"], tier.value, index_token(term)] += 1
                totals = self._totals.setdefault((row["scope"], tier.value), [0, 0])
                totals[0] += 1
                totals[1] += len(found)
        self.records.append([labels_of(tier.value, row["kind"]), fields])

    def _sources(self) -> list[list[Any]]:
        """By how much the counts of sources change: their records, and credit of earlier ones."""
        sums: dict[tuple[str, str], list[float]] = {}

        def add(scope: str, source: str, deltas: Sequence[float]) -> None:
            own = sums.setdefault((scope, source), [0.0] * 6)
            own[:] = [a + b for a, b in zip(own, deltas, strict=True)]

        for _, fields in self.records:
            if fields["expired"] is None:
                outcome = json.loads(fields["outcome_data"]) if fields["outcome_data"] else {}
                value = outcome.get("value")
                held = fields["status"] == Status.QUARANTINED.value
                good = 0.0 if held or value is None else value
                bad = 0.0 if held or value is None else 1.0 - value
                add(fields["scope"], fields["source"], (1.0, float(held), good, bad, 0.0, 0.0))
        for one in self.credits:
            scope, source = self.credited[one["record"]]
            add(scope, source, (0.0, 0.0, 0.0, 0.0, one["helped"], one["hurt"]))
        return [[*key, sums[key]] for key in sorted(sums)]

    def _version(self, row: Mapping[str, Any], _: int) -> None:
        image = {name: row[name] for name in KINDS["version"][2:]}
        self.versions.append([row["id"], int(row["until"]), row["revision"], canonical(image)])

    def _link(self, row: Mapping[str, Any], _: int) -> None:
        type_ = LinkType(row["type"]).value
        fields = [_text(row["src"]), _text(row["dst"]), type_, _text(row["via"])]
        self.links.append([*fields, float(row["weight"]), int(row["added"]), row["expired"]])

    def _credit(self, row: Mapping[str, Any], _: int) -> None:
        fields: dict[str, Any] = {name: float(row[name]) for name in ("uses", "helped", "hurt")}
        fields |= {name: _text(row[name]) for name in ("role", "receipt")}
        self.credits.append({"record": row["id"], "position": int(row["position"]), **fields})

    def _taint(self, row: Mapping[str, Any], _: int) -> None:
        self.taint.append([row["id"], _text(row["root"]), int(row["added"]), row["expired"]])

    def _journal(self, row: Mapping[str, Any], _: int) -> None:
        fields = {name: row[name] for name in KINDS["journal"]}
        fields |= {name: canonical(row[name]) for name in ("ops", "before")}
        self.journal.append({**fields, "scope": row["scope"]})

    def _receipt(self, row: Mapping[str, Any], _: int) -> None:
        fields = {name: row[name] for name in KINDS["receipt"]}
        self.receipts.append({**fields, "scope": row["scope"], "body": canonical(row["body"])})

    def _effect(self, row: Mapping[str, Any], _: int) -> None:
        result = None if row["result"] is None and not row["done"] else canonical(row["result"])
        self.effects.append(
            {
                "scope": row["scope"],
                "key": _text(row["key"]),
                "request": _text(row["request"]),
                "done": bool(row["done"]),
                "result": result,
            }
        )

    def _vector(self, row: Mapping[str, Any], _: int) -> None:
        blob = base64.b64decode(row["vector"], validate=True)
        vector = np.frombuffer(blob, np.float32)
        if not vector.size:
            raise ValueError("the vector is empty")
        self.vectors.append([row["id"], vector.tolist(), int(row["position"])])


_EVIDENCE = (LinkType.SUPPORTS, LinkType.REFUTES)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
