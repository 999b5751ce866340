"""From what the queries return to records, links and walks; and the parameters they take."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from operator import itemgetter
from types import MappingProxyType
from typing import Any

from ..application import stamp
from ..records import Credit, Hold, Link, LinkType, Outcome, Provenance, Record, Status, Tier
from ..replica.links import IN_ORDER
from ..store import Filter, Hop, Walk, passes_then

_NO_DATA: Mapping[str, Any] = MappingProxyType({})
_TYPES = {type_.value: type_ for type_ in LinkType}
VISIBLE_FROM = 32
"""Which column of a record says from when everybody sees it."""
_AMOUNT = 33
"""Columns of a record; after them, for the past, what rebuilds it."""


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def record(row: Sequence[Any]) -> Record:
    """A record from its columns, as it is now."""
    return Record(
        id=row[0],
        tier=Tier(row[1]),
        kind=row[2],
        text=row[3],
        scope=row[4],
        task_key=row[5],
        provenance=Provenance(row[6], row[7], row[8], row[9], row[10], row[11]),
        data=MappingProxyType(json.loads(row[12])) if row[12] != "{}" else _NO_DATA,
        valid_from=_time(row[13]),
        valid_to=_time(row[14]),
        keys=tuple(row[15] or ()),
        confidence=row[16],
        cluster=row[17],
        summary=row[18],
        added=row[19],
        expired=row[20],
        created_at=_time(row[21]),
        revision=row[22],
        status=Status(row[23]),
        outcome=None if row[24] is None else Outcome.from_json(json.loads(row[24])),
        support=row[25],
        refuted=row[26],
        credit=_NO_DATA if row[27] is None else _credit(json.loads(row[27])),
        taint=tuple(sorted(row[28] or ())),
        hold=None if row[30] is None else Hold.from_json(json.loads(row[30])),
    )


def _credit(counters: Mapping[str, Sequence[float]]) -> Mapping[str, Credit]:
    return MappingProxyType({role: Credit(*values) for role, values in counters.items()})


def record_then(row: Sequence[Any], position: int) -> Record:
    """A record from its columns and what rebuilds it, as it was at a position."""
    now = record(row[:_AMOUNT])
    images, deltas, support, refuted, taint, _ = row[_AMOUNT:]
    credit: dict[str, Credit] = {}
    for role, uses, helped, hurt in deltas:
        credit[role] = credit.get(role, Credit()) + Credit(uses, helped, hurt)
    then = replace(
        now,
        expired=None if now.expired is not None and now.expired > position else now.expired,
        credit=MappingProxyType(dict(sorted(credit.items()))),
        support=support,
        refuted=refuted,
        taint=tuple(taint),
    )
    if not images:
        return then
    image = json.loads(images[0])
    return replace(
        then,
        revision=image["revision"],
        keys=tuple(image["keys"]),
        confidence=image["confidence"],
        cluster=image["cluster"],
        summary=image["summary"],
        status=Status(image["status"]),
        outcome=None if image["outcome"] is None else Outcome.from_json(image["outcome"]),
        hold=None if image["hold"] is None else Hold.from_json(image["hold"]),
    )


def left(row: Sequence[Any]) -> int:
    """How many independent supports a tainted record of the past had left."""
    sources = set()
    for source, status, images in row[_AMOUNT + 5]:
        if (json.loads(images[0])["status"] if images else status) == Status.ACTIVE.value:
            sources.add(source)
    return len(sources)


def order_of(row: Sequence[Any]) -> tuple[int, int]:
    """Where a record stands in the order of adding."""
    return (row[19], row[29])


def link(row: Sequence[Any]) -> Link:
    """A link from its columns."""
    return _link(*row)


@lru_cache(maxsize=65_536)
def _link(
    src: str, dst: str, type_: str, via: str, weight: float, added: int, expired: int | None
) -> Link:
    return Link(
        src=src, dst=dst, type=_TYPES[type_], via=via, weight=weight, added=added, expired=expired
    )


def filter_map(where: Filter, *, historic: bool = False) -> dict[str, Any]:
    """The values of a filter; null for any. What changes with time is left out for the past."""
    return {
        "kinds": sorted(where.kinds) or None,
        "roles": sorted(where.roles) or None,
        "task_key": where.task_key or None,
        "valid_at": None if where.valid_at is None else stamp(where.valid_at),
        "statuses": None if historic else sorted(status.value for status in where.statuses) or None,
        "outcomes": None if historic else sorted(where.outcomes) or None,
        "sources": sorted(where.sources) or None,
        "since": None if where.since is None else stamp(where.since),
        "until": None if where.until is None else stamp(where.until),
        "tainted": None if historic else where.tainted,
        "roots": None if historic else sorted(where.roots) or None,
    }


def walk_parameters(seeds: Sequence[str], hops: Sequence[Hop], *, historic: bool) -> dict[str, Any]:
    """The values of a walk."""
    values: dict[str, Any] = {"seeds": sorted(set(seeds))}
    for number, hop in enumerate(hops, 1):
        values[f"tiers{number}"] = sorted(tier.value for tier in hop.tiers)
        values[f"fan{number}"] = hop.fan
        # The summary of the past may be another one: it is looked at when the walk is taken again.
        values[f"bare{number}"] = hop.without_summary and not historic
        values[f"h{number}"] = filter_map(hop.where, historic=historic)
    return values


def near_links(found: Iterable[Iterable[Sequence[Any]]]) -> tuple[Link, ...]:
    """The links of a walk of the present, each once, in their order.

    Args:
        found: For each hop pairs of a near end and its links.
    """
    rows = {
        (added, near if out else far, far if out else near, type_, via, weight, expired)
        for hop in found
        for near, links in hop
        for far, out, type_, via, weight, added, expired in links
    }
    # No two links have the first five in common.
    return tuple(
        _link(src, dst, type_, via, weight, added, expired)
        for added, src, dst, type_, via, weight, expired in sorted(
            rows, key=itemgetter(0, 1, 2, 3, 4)
        )
    )


def _in_order(rows: Iterable[Sequence[Any]], records: Mapping[str, Record]) -> dict[str, Record]:
    return {row[0]: records[row[0]] for row in sorted(rows, key=order_of) if row[0] in records}


def walk_then(
    found: Mapping[str, Any], seeds: Sequence[str], hops: Sequence[Hop], position: int
) -> Walk:
    """A walk of the past, taken again over all that might have been reached.

    Args:
        found: What the query gave: without a fan, and without what changes with time.
        seeds: Where it starts.
        hops: How it goes on.
        position: The journal position.
    """
    records = {row[0]: record_then(row, position) for row in found["records"]}
    remaining = {row[0]: left(row) for row in found["records"]}
    links = [link(row) for row in found["links"]]
    levels = [{id_ for id_ in seeds if id_ in records}]
    followed: dict[tuple[Any, ...], Link] = {}
    for hop in hops:
        start = {
            id_
            for id_ in levels[hop.start if hop.start >= 0 else -1]
            if not (hop.without_summary and records[id_].summary)
        }
        near: dict[str, list[tuple[Link, str]]] = {}
        for one in links:
            if one.type not in hop.types:
                continue
            ends = {"out": ((one.src, one.dst),), "in": ((one.dst, one.src),)}.get(
                hop.direction, ((one.src, one.dst), (one.dst, one.src))
            )
            for here, there in ends:
                if here in start and there in records:
                    far = records[there]
                    if far.tier in hop.tiers and passes_then(far, hop.where, remaining[there]):
                        near.setdefault(here, []).append((one, there))
        level = set()
        for choices in near.values():
            choices.sort(
                key=lambda pair: (-pair[0].weight, -pair[0].added, pair[1], pair[0].type.value)
            )
            for one, there in choices[: hop.fan]:
                followed[one.key] = one
                level.add(there)
        levels.append(level)
    reached = set().union(*levels)
    kept = {id_: one for id_, one in records.items() if id_ in reached}
    return Walk(
        levels=tuple(tuple(sorted(level)) for level in levels),
        records=_in_order(found["records"], kept),
        links=tuple(sorted(followed.values(), key=IN_ORDER)),
    )
