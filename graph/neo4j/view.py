"""What one scope of a Neo4j store shows at one position."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from ..cosines import cosines
from ..records import Record, Tier
from ..replica import Present, Query, search
from ..store import (
    SEARCHABLE,
    Candidates,
    Filter,
    Hit,
    Hop,
    SourceCounts,
    Vectors,
    Walk,
    counts_of,
    passes_then,
)
from . import cypher
from .known import Entry, Known
from .question import OVER, Question
from .read import (
    filter_map,
    left,
    near_links,
    order_of,
    record,
    record_then,
    walk_parameters,
    walk_then,
)
from .replica import Replicas, ServerReplica, Step
from .server import Server
from .walk import follow

Result = TypeVar("Result")
ATTEMPTS = 3
"""So often is asked at most, while what was found changes; the last answer is taken as it is."""


@dataclass(frozen=True, slots=True)
class Lens:
    """What a View sees.

    Attributes:
        scopes: The visible scopes.
        position: The journal position.
        run: Whose open trials are visible, "" for none.
        historic: Whether the position lies in the past.
        width: Of the store's vectors, 0 for none.
        quarantine: Whether anything ever was in quarantine.
    """

    scopes: tuple[str, ...]
    position: int
    run: str
    historic: bool
    width: int
    quarantine: bool

    def parameters(self) -> dict[str, Any]:
        """The values every query takes."""
        return {
            "scopes": list(self.scopes),
            "position": self.position,
            "run": self.run or None,
        }

    def switches(self) -> dict[str, bool]:
        """What the text of a query depends on, beside its filters."""
        return {"historic": self.historic, "quarantine": self.quarantine}


class Neo4jView:
    """A `View` of a `Neo4jStore`."""

    def __init__(
        self,
        server: Server,
        known: Known,
        replicas: Replicas,
        scope: str,
        lens: Lens,
        replica: ServerReplica | None,
    ) -> None:
        self._server = server
        self._known = known
        self._replicas = replicas
        self._scope = scope
        self._lens = lens
        self._replica = replica

    @property
    def scope(self) -> str:
        """The reader's scope."""
        return self._scope

    @property
    def position(self) -> int:
        """The journal position."""
        return self._lens.position

    async def get(self, ids: Sequence[str]) -> Mapping[str, Record]:
        """The visible records among `ids`, of any status."""
        wanted = [id_ for id_ in dict.fromkeys(ids) if _is_text(id_)]
        if not wanted:
            return {}
        rows = await self._rows(cypher.get(historic=self._lens.historic), ids=wanted)
        return self._records(rows)

    async def sources(self, names: Sequence[str]) -> Mapping[str, SourceCounts]:
        """What is known of each of these sources; see `View.sources`."""
        wanted = [name for name in dict.fromkeys(names) if _is_text(name)]
        values = {**self._lens.parameters(), "names": wanted}
        if self._lens.historic:
            found = await self._server.read(cypher.SOURCES_THEN, **values)
            return counts_of(names, list(self._records(found["records"]).values()))
        found = await self._server.read(cypher.SOURCES, **values)
        sums = {name: [0.0] * 6 for name in names}
        for name, counts in found["sources"]:
            sums[name] = [a + b for a, b in zip(sums[name], counts, strict=True)]
        return {
            name: SourceCounts(int(own[0]), int(own[1]), *own[2:]) for name, own in sums.items()
        }

    async def recent(
        self, *, tiers: frozenset[Tier], k: int, where: Filter = Filter()
    ) -> tuple[Record, ...]:
        """The k last added records, newest first."""
        if not tiers or k <= 0:
            return ()
        rows = await self._rows(
            cypher.recent(sorted(tiers), where, **self._lens.switches()),
            k=k,
            f=filter_map(where, historic=self._lens.historic),
        )
        found = list(self._records(rows).values())
        if self._lens.historic:
            remaining = {row[0]: left(row) for row in rows}
            found = [one for one in found if passes_then(one, where, remaining[one.id])]
        return tuple(found[::-1][:k])

    async def walk(self, seeds: Sequence[str], hops: Sequence[Hop]) -> Walk:
        """Follow links from the seeds, level by level: what is kept, then in one statement."""
        wanted = [id_ for id_ in seeds if _is_text(id_)]
        replica = await self._kept()
        if replica is not None:
            walked = await self._walk_kept(replica, wanted, hops)
            if walked is not None:
                return walked
        text = cypher.walk(hops, **self._lens.switches())
        values = {
            **self._lens.parameters(),
            **walk_parameters(wanted, hops, historic=self._lens.historic),
        }
        if self._lens.historic:
            found = await self._server.read(text, **values)
            return walk_then(found, wanted, hops, self._lens.position)
        found, entries = await self._with_records(text, values, _states_of_walk)
        levels = [[id_ for id_, _ in level if id_ in entries] for level in found["levels"]]
        return Walk(
            levels=tuple(tuple(sorted(level)) for level in levels),
            records=_in_order(entries),
            links=near_links(found["links"]),
        )

    async def search(
        self,
        texts: Sequence[str],
        vectors: Vectors | None = None,
        *,
        tiers: frozenset[Tier] = SEARCHABLE,
        k: int = 32,
        where: Filter | Mapping[Tier, Filter] = Filter(),
    ) -> Candidates:
        """Candidates for any of the texts and vectors; see `View.search`."""
        if not tiers & SEARCHABLE:
            return Candidates((), {})
        asked = Query(texts=texts, vectors=vectors, tiers=tiers, k=k, where=where)
        replica = await self._kept(load=True)
        if replica is not None:
            return await self._run(replica, lambda present: search(present, replica.index, asked))
        query = Question.of(asked, self._comparable(vectors))
        if self._lens.historic:
            return await self._search_past(query)
        found, entries = await self._candidates(query)
        hits = _hits(list(entries.values()), query.vectors)
        return Candidates(tuple(hits), query.statistics(found))

    async def _kept(self, *, load: bool = False) -> ServerReplica | None:
        """What is kept in memory of the scopes, as the server has it now; None for nothing.

        Args:
            load: Whether it may be read now: a search is worth that, since it looks at much of it.
        """
        if self._lens.historic:
            return None
        replica = self._replica or self._replicas.of(self._lens.scopes)
        if replica is None and load:
            replica = await self._replicas.load(self._lens.scopes)
        if replica is not None and not await self._replicas.freshen(replica, self.position):
            replica = None
        self._replica = replica
        return replica

    async def _run(self, replica: ServerReplica, job: Callable[[Present], Result]) -> Result:
        """Run a job on what is kept, beside the event loop.

        How many supports a tainted record has left depends on steps too, which are not kept: it is
        asked for the records of which the job wants to know it, then the job runs again.
        """
        left: dict[str, int] = {}
        lens = self._lens

        def work() -> tuple[Result, set[str]]:
            lacking: set[str] = set()

            def supports(number: int, record: Record) -> int:
                if record.id not in left:
                    lacking.add(record.id)
                return left.get(record.id, 0)

            with replica.lock:
                present = Present(replica, replica.places, lens.position, lens.run, supports)
                return job(present), lacking

        while True:
            result, lacking = await asyncio.to_thread(work)
            if not lacking:
                return result
            found = await self._server.read(
                cypher.SUPPORTS_LEFT, scopes=list(lens.scopes), ids=sorted(lacking)
            )
            left |= dict.fromkeys(lacking, 0) | dict(found["supports"])

    async def _walk_kept(
        self, replica: ServerReplica, seeds: Sequence[str], hops: Sequence[Hop]
    ) -> Walk | None:
        """A walk over what is kept, down to the steps; None if it goes on from steps."""
        path = await self._run(replica, lambda present: follow(present, seeds, hops))
        if path is None:
            return None
        steps: dict[tuple[str, Hop], Sequence[Step]] = {}
        lacking: dict[Hop, set[str]] = {}
        for _, hop, trials in path.down:
            for id_ in trials:
                # Taken at once: what is kept may be forgotten while the rest is asked for.
                found = replica.steps.of(id_, hop)
                if found is None:
                    lacking.setdefault(hop, set()).add(id_)
                else:
                    steps[id_, hop] = found
        for hop, ids in lacking.items():
            fresh = await self._steps(hop, sorted(ids))
            # What supports a tainted step may change without the step or its trial being touched.
            lasting = hop.where.tainted is None or not self._lens.quarantine
            for id_ in ids & path.closed if lasting else ():
                replica.steps.keep(id_, hop, fresh[id_, hop], self._lens.position)
            steps |= fresh
        return path.with_steps(steps, replica.order, self._lens.position)

    async def _steps(self, hop: Hop, trials: Sequence[str]) -> dict[tuple[str, Hop], list[Step]]:
        """The steps of some trials, by one hop."""
        text = cypher.walk([hop], **self._lens.switches())
        values = self._lens.parameters() | walk_parameters(trials, [hop], historic=False)
        found, entries = await self._with_records(text, values, _states_of_walk)
        steps: dict[tuple[str, Hop], list[Step]] = {(id_, hop): [] for id_ in trials}
        for near, rows in found["links"][0]:
            for link in near_links([[(near, rows)]]):
                far = link.dst if link.src == near else link.src
                if far in entries:
                    steps[near, hop].append((link, entries[far]))
        return steps

    async def _candidates(self, query: Question) -> tuple[Mapping[str, Any], dict[str, Entry]]:
        found, entries = await self._found(query, exact=False)
        over = OVER * query.k
        if any(raw >= over and kept < query.k for raw, kept in found["depths"]):
            # Much of what the indexes gave may not be seen: now go through all of these scopes.
            return await self._found(query, exact=True)
        return found, entries

    async def _found(
        self, query: Question, *, exact: bool
    ) -> tuple[Mapping[str, Any], dict[str, Entry]]:
        text = query.text(exact=exact, quarantine=self._lens.quarantine)
        return await self._with_records(text, self._values(query), _states_of_search)

    async def _with_records(
        self,
        text: str,
        values: Mapping[str, Any],
        states_of: Callable[[Mapping[str, Any]], Mapping[str, str]],
    ) -> tuple[Mapping[str, Any], dict[str, Entry]]:
        """Ask for states of records, then for the records that are not known in them.

        A record that is changed in between may not pass any more: then all is asked again.

        Args:
            text: Gives the states.
            values: Its parameters.
            states_of: Takes the states out of an answer.

        Returns:
            The answer, and the records by id.
        """
        for attempt in range(ATTEMPTS):
            found = await self._server.read(text, **values)
            states = states_of(found)
            entries, lacking = self._known.find(states)
            if lacking:
                read = await self._server.read(cypher.LACKING, ids=lacking)
                entries |= self._known.take(read["records"])
            if attempt == ATTEMPTS - 1 or all(
                id_ in entries and entries[id_].touched == touched
                for id_, touched in states.items()
            ):
                break
        return found, entries

    async def _search_past(self, query: Question) -> Candidates:
        found = await self._server.read(
            cypher.all_of([tier for tier, _ in query.tiers]), **self._values(query)
        )
        rows = sorted(found["hits"], key=lambda row: order_of(row[0]))
        all_ = [
            (record_then(row, self._lens.position), tuple(cosine), left(row))
            for row, cosine in rows
        ]
        return query.scan(all_)

    def _comparable(self, vectors: Vectors | None) -> Vectors | None:
        if vectors is None or not len(vectors) or vectors.ndim != 2:
            return None
        if not self._lens.width or vectors.shape[1] != self._lens.width:
            return None
        return np.ascontiguousarray(vectors, np.float32)

    def _values(self, query: Question) -> dict[str, Any]:
        return self._lens.parameters() | query.parameters(self._lens.scopes)

    async def _rows(self, query: str, **parameters: Any) -> list[Sequence[Any]]:
        found = await self._server.read(query, **self._lens.parameters(), **parameters)
        return list(found["records"]) if found else []

    def _records(self, rows: Sequence[Sequence[Any]]) -> Mapping[str, Record]:
        """Records from their columns, in the order of adding."""
        then, position = self._lens.historic, self._lens.position
        return {
            row[0]: record_then(row, position) if then else record(row)
            for row in sorted(rows, key=order_of)
        }


def _hits(entries: Sequence[Entry], queries: Vectors | None) -> list[Hit]:
    """What was found, by id, each with its cosines."""
    near: dict[str, tuple[float, ...]] = {}
    if queries is not None:
        # A record of a store that is being embedded anew may have a vector of another width.
        compared = [entry for entry in entries if len(entry.vector) == queries.shape[1]]
        if compared:
            found = cosines(queries, np.stack([entry.vector for entry in compared]))
            near = {entry.record.id: one for entry, one in zip(compared, found, strict=True)}
    hits = [Hit(entry.record, near.get(entry.record.id, ())) for entry in entries]
    return sorted(hits, key=lambda hit: hit.record.id)


def _states_of_walk(found: Mapping[str, Any]) -> dict[str, str]:
    return {id_: touched for level in found["levels"] for id_, touched in level}


def _states_of_search(found: Mapping[str, Any]) -> dict[str, str]:
    return dict(found["hits"])


def _in_order(entries: Mapping[str, Entry]) -> dict[str, Record]:
    ordered = sorted(entries.values(), key=lambda entry: entry.order)
    return {entry.record.id: entry.record for entry in ordered}


def _is_text(value: str) -> bool:
    """Whether a server can be asked for it: a lone surrogate is no Unicode."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
