"""How much the vote of a source weighs: its record of outcomes, never what it says of itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ...graph import Hop, LinkType, Record, SourceCounts, Walk

HALF = 2.0
"""Outcomes that a source must have for half of its weight."""
NEWCOMER = 0.2
"""Outcomes that a source without any is taken to have, so that newcomers are heard a little."""


def weight(counts: SourceCounts | None, accused: int = 0) -> float:
    """The weight of one vote, in (0, 1).

    The mean of a Beta posterior of the source's outcomes (one success and one failure to begin
    with), times how much is known of it. Records in quarantine count as failures.

    Args:
        counts: Of the source; None if nothing is known.
        accused: How many of its successes are under suspicion now; they do not speak for it.
    """
    if counts is None:
        good = bad = 0.0
    else:
        good = max(0.0, counts.successes - accused)
        bad = counts.failures + counts.quarantined
    known = good + bad
    return (1.0 + good) / (2.0 + known) * (known + NEWCOMER) / (known + HALF)


def weights_of(counts: Mapping[str, SourceCounts], accused: Mapping[str, int]) -> dict[str, float]:
    """The weight of the vote of each source.

    Where nobody has a record of outcomes yet, each source counts the same, and fully: there is
    nobody whom newcomers could outvote.

    Args:
        counts: Of each source.
        accused: Per source how many of its successes are under suspicion.
    """
    if not any(one.successes or one.failures or one.quarantined for one in counts.values()):
        return dict.fromkeys(counts, 1.0)
    return {source: weight(one, accused.get(source, 0)) for source, one in counts.items()}


DERIVED = Hop(frozenset({LinkType.DERIVED_FROM}), "out", fan=4)
"""From what was derived to what it was derived from; taken twice."""


def root_sources(records: Iterable[Record], walk: Walk) -> dict[str, str]:
    """Whose vote each record is: of the principal that wrote it, or what it is derived from.

    So a copy adds no vote to that of its original. Of several originals the first by name counts.

    Args:
        records: The records.
        walk: Along `DERIVED`, from all of them.
    """
    parents: dict[str, list[str]] = {}
    for link in walk.links:
        if link.type is LinkType.DERIVED_FROM:
            parents.setdefault(link.src, []).append(link.dst)

    def source(record: Record, depth: int = 2) -> str:
        above = [walk.records[id_] for id_ in parents.get(record.id, ()) if id_ in walk.records]
        if not above or not depth:
            return record.provenance.source
        return min(source(one, depth - 1) for one in above)

    return {record.id: source(record) for record in records}
