"""A walk over what is kept of a store on a server, down to the steps, which are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

from ..records import Link, Record
from ..replica import Present
from ..replica.links import FAR, IN_ORDER, LINK, MADE
from ..store import SEARCHABLE, Hop, Walk
from .known import Entry
from .replica import Step


@dataclass(slots=True)
class Path:
    """Where a walk has led so far.

    Attributes:
        levels: The records of each level by number; None where it leads down to steps.
        records: All of them.
        links: The links that were followed, by number.
        down: For each such level its number, the hop, and the trials whose steps it wants.
        closed: Those of the trials whose steps everybody sees.
    """

    levels: list[set[int] | None]
    records: dict[int, Record]
    links: dict[int, Link]
    down: list[tuple[int, Hop, list[str]]]
    closed: set[str]

    def with_steps(
        self,
        steps: Mapping[tuple[str, Hop], Sequence[Step]],
        order: Mapping[int, tuple[int, int]],
        position: int,
    ) -> Walk:
        """The whole walk.

        Args:
            steps: Of each trial by each hop of `down`.
            order: Where a record stands in the order of adding, by number.
            position: Of the View.
        """
        reached = sorted(set().union(*(level for level in self.levels if level is not None)))
        # Numbers rise in the order of adding.
        records = {self.records[number].id: self.records[number] for number in reached}
        levels = [
            set() if level is None else {self.records[number].id for number in level}
            for level in self.levels
        ]
        stepped: dict[tuple[Any, ...], Link] = {}
        entries: dict[str, Entry] = {}
        for at, hop, trials in self.down:
            for id_ in trials:
                for link, entry in steps[id_, hop]:
                    if link.added <= position and entry.record.added <= position:
                        levels[at].add(entry.record.id)
                        entries[entry.record.id] = entry
                        stepped[(*link.key, link.added)] = link
        if entries:
            rows = [(order[number], self.records[number]) for number in reached]
            rows += [(entry.order, entry.record) for entry in entries.values()]
            records = {one.id: one for _, one in sorted(rows, key=itemgetter(0))}
        return Walk(
            levels=tuple(tuple(sorted(level)) for level in levels),
            records=records,
            links=tuple(sorted([*self.links.values(), *stepped.values()], key=IN_ORDER)),
        )


def follow(present: Present, seeds: Sequence[str], hops: Sequence[Hop]) -> Path | None:
    """Walk over what is kept; None where that needs steps on the way.

    Args:
        present: What is kept and can be seen.
        seeds: Where it starts.
        hops: How it goes on.
    """
    records, rest = present.by_ids(seeds)
    if rest:
        return None
    path = Path([set(records)], dict(records), {}, [], set())
    for hop in hops:
        start = path.levels[hop.start if hop.start >= 0 else -1]
        if start is None:
            return None
        leaving = sorted(
            number for number in start if not (hop.without_summary and path.records[number].summary)
        )
        if present.keeps(leaving, hop):
            level = set()
            for rows in present.hop(leaving, hop, path.records).values():
                for row in rows:
                    level.add(row[FAR])
                    path.links[row[LINK]] = row[MADE]
            path.levels.append(level)
        elif hop.tiers & SEARCHABLE:
            return None
        else:
            names = [path.records[number].id for number in leaving]
            path.down.append(
                (len(path.levels), replace(hop, start=0, without_summary=False), names)
            )
            path.levels.append(None)
            path.closed |= {path.records[n].id for n in leaving if present.shows_to_all(n)}
    return path
