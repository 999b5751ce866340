"""The graph view: what of a snapshot is shown, as nodes or as clusters of a topic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ..graph import Filter, Link, LinkType, Record, Status, Tier
from .layout import by_middle, place
from .reading import brief_fields, link_out
from .schema import Bundle, Cluster, Facets, Graph, Node
from .snapshot import Snapshot
from .topics import OTHER, split

CLUSTERED_ABOVE = 3_000
"""A graph of more records comes as clusters, unless asked otherwise."""
MOST_NODES = 20_000
"""Nodes of one answer at most."""
OPENED = 1_500
"""A cluster of more records opens into clusters of its own."""
_FACETS = 60
"""Values of a facet that are listed, the most frequent."""
_STOREY = {Tier.INTERACTION: 0, Tier.QUERY: 1, Tier.INSIGHT: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphQuery:
    """What of the memory is asked for; an empty field does not restrict."""

    tiers: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    statuses: frozenset[str] = frozenset()
    outcomes: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    agents: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None
    text: str = ""
    clusters: str = "auto"
    opened: frozenset[str] = frozenset()
    limit: int = CLUSTERED_ABOVE

    def where(self) -> Filter:
        """What of it a store can look for; the rest is left to `passes`."""
        return Filter(
            statuses=frozenset(map(Status, self.statuses)),
            tainted=None,
            kinds=self.kinds,
            outcomes=self.outcomes,
            sources=self.sources,
            roles=self.roles,
            since=self.since,
            # A filter ends before its last moment, a query after it.
            until=None if self.until is None else self.until + timedelta(microseconds=1),
        )

    def passes(self, record: Record) -> bool:
        """Whether a record is asked for."""
        origin = record.provenance
        return (
            _among(record.tier.value, self.tiers)
            and _among(record.kind, self.kinds)
            and _among(record.status.value, self.statuses)
            and _among(outcome_name(record), self.outcomes)
            and _among(origin.source, self.sources)
            and _among(origin.role, self.roles)
            and _among(origin.agent, self.agents)
            and (self.since is None or (record.created_at or self.since) >= self.since)
            and (self.until is None or (record.created_at or self.until) <= self.until)
            and (not self.text or self.text in record.text.casefold() or self.text == record.id)
        )


def _among(value: str, chosen: frozenset[str]) -> bool:
    return not chosen or value in chosen


def outcome_name(record: Record) -> str:
    """The kind of a trial's outcome, "open" without one; "" for other records."""
    if record.outcome is not None:
        return record.outcome.kind.value
    return "open" if record.tier is Tier.QUERY else ""


def graph_of(snapshot: Snapshot, query: GraphQuery, present: int) -> Graph:
    """The answer to a query. Deterministic; blocks for as long as the graph is large."""
    chosen = [record for record in snapshot.records.values() if query.passes(record)]
    grouped = query.clusters == "always" or (
        query.clusters == "auto" and len(chosen) > min(query.limit, CLUSTERED_ABOVE)
    )
    sorting = _Sorting(chosen, query, snapshot.words_of, grouped=grouped)
    shown = sorting.shown[-query.limit :]
    steps: Counter[str] = Counter(
        link.dst for link in snapshot.links.values() if link.type is LinkType.PART_OF
    )
    counted = Tier.INTERACTION in snapshot.tiers
    places = _places(shown, sorting, snapshot.links.values())
    nodes = [
        Node(
            **brief_fields(record),
            x=places[record.id][0],
            y=places[record.id][1],
            topic=sorting.cluster[record.id],
            steps=steps[record.id] if counted and record.tier is Tier.QUERY else None,
        )
        for record in shown
    ]
    links, bundles = _lines(snapshot.links.values(), {one.id for one in shown}, sorting)
    return Graph(
        scope=snapshot.scope,
        position=snapshot.position,
        present=present,
        total=len(chosen),
        interactions="shown" if counted else "on demand",
        truncated=len(shown) < len(sorting.shown),
        nodes=nodes,
        links=[link_out(link) for link in links],
        clusters=[_cluster(id_, of, places[id_]) for id_, of in sorted(sorting.closed.items())],
        bundles=bundles,
        facets=facets(snapshot.records.values()),
    )


@dataclass(slots=True)
class _Sorting:
    """Which records are shown by themselves, and which as a part of a cluster.

    Attributes:
        shown: Those by themselves.
        closed: The others, by cluster.
        cluster: The innermost cluster of each record.
    """

    chosen: Sequence[Record]
    query: GraphQuery
    words_of: Callable[[str], frozenset[str]]
    grouped: bool = field(kw_only=True)
    shown: list[Record] = field(default_factory=list)
    closed: dict[str, list[Record]] = field(default_factory=dict)
    cluster: dict[str, str] = field(default_factory=dict)
    _tasks: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._tasks = {one.id: one.text for one in self.chosen if one.tier is Tier.QUERY}
        for tier in _STOREY:
            of = [record for record in self.chosen if record.tier is tier]
            self._sort(of, tier, ())
        order = {record.id: number for number, record in enumerate(self.chosen)}
        self.shown.sort(key=lambda record: order[record.id])

    def _sort(self, of: Sequence[Record], tier: Tier, path: tuple[str, ...]) -> None:
        words = split({one.id: self.words_of(self._about(one)) for one in of}, path)
        groups: dict[str, list[Record]] = {}
        for record in of:
            groups.setdefault(words[record.id], []).append(record)
        for word, members in groups.items():
            self._place(members, tier, (*path, word), alone=len(groups) == 1)

    def _about(self, record: Record) -> str:
        """What a record is grouped by: a step belongs to the topic of its task."""
        if record.tier is Tier.INTERACTION:
            return self._tasks.get(record.provenance.trial, record.text)
        return record.text

    def _place(
        self, members: Sequence[Record], tier: Tier, path: tuple[str, ...], *, alone: bool
    ) -> None:
        id_ = f"{tier.value}:{'/'.join(path)}"
        for record in members:
            self.cluster[record.id] = id_
        if not self.grouped:
            self.shown.extend(members)
        elif id_ not in self.query.opened:
            self.closed[id_] = list(members)
        elif len(members) <= OPENED or alone or len(path) > 8 or path[-1:] == (OTHER,):
            self.shown.extend(members)
        else:
            self._sort(members, tier, path)


def _places(
    shown: Sequence[Record], sorting: _Sorting, links: Iterable[Link]
) -> dict[str, tuple[float, float]]:
    """Where nodes and clusters lie."""
    near: dict[str, list[str]] = {}
    for link in links:
        if link.type in (LinkType.SUPPORTS, LinkType.REFUTES):
            near.setdefault(link.dst, []).append(link.src)
    places: dict[str, tuple[float, float]] = {}
    trials = sorted(
        (sorting.cluster[one.id], one.added, one.id) for one in shown if one.tier is Tier.QUERY
    )
    ordered = [id_ for _, _, id_ in trials]
    ordered += [id_ for id_ in sorted(sorting.closed) if id_.startswith(Tier.QUERY.value)]
    places |= place(ordered, _STOREY[Tier.QUERY])
    insights = [one.id for one in shown if one.tier is Tier.INSIGHT]
    above = by_middle(insights, near, places)
    above += [id_ for id_ in sorted(sorting.closed) if id_.startswith(Tier.INSIGHT.value)]
    places |= place(above, _STOREY[Tier.INSIGHT])
    rank = {id_: number for number, id_ in enumerate(ordered)}
    steps = sorted(
        (rank.get(one.provenance.trial, len(rank)), one.provenance.step, one.added, one.id)
        for one in shown
        if one.tier is Tier.INTERACTION
    )
    below = [id_ for _, _, _, id_ in steps]
    below += [id_ for id_ in sorted(sorting.closed) if id_.startswith(Tier.INTERACTION.value)]
    return places | place(below, _STOREY[Tier.INTERACTION])


def _lines(
    links: Iterable[Link], nodes: set[str], sorting: _Sorting
) -> tuple[list[Link], list[Bundle]]:
    """Links between nodes, and those of clusters counted."""
    inside = {one.id: id_ for id_, of in sorting.closed.items() for one in of}
    between: list[Link] = []
    counts: Counter[tuple[str, str, LinkType]] = Counter()
    for link in links:
        src = link.src if link.src in nodes else inside.get(link.src, "")
        dst = link.dst if link.dst in nodes else inside.get(link.dst, "")
        if not src or not dst:
            continue
        if src == link.src and dst == link.dst:
            between.append(link)
        elif src != dst:
            counts[src, dst, link.type] += 1
    bundles = [
        Bundle(src=src, dst=dst, type=type_.value, count=count)
        for (src, dst, type_), count in sorted(counts.items())
    ]
    # Links that were followed come in another order than those that were read.
    between.sort(key=lambda link: (link.added, link.key))
    return between, bundles


def _cluster(id_: str, of: Sequence[Record], where: tuple[float, float]) -> Cluster:
    return Cluster(
        id=id_,
        tier=of[0].tier.value,
        label=id_.partition(":")[2].rsplit("/", 1)[-1],
        count=len(of),
        outcomes=dict(Counter(outcome_name(one) for one in of if one.tier is Tier.QUERY)),
        statuses=dict(Counter(one.status.value for one in of)),
        uses=sum(one.total_credit().uses for one in of),
        x=where[0],
        y=where[1],
    )


def facets(records: Iterable[Record]) -> Facets:
    """The values that occur, with counts."""
    counts: Mapping[str, Counter[str]] = {
        name: Counter() for name in ("kinds", "statuses", "outcomes", "sources", "roles", "agents")
    }
    times: list[datetime] = []
    for record in records:
        origin = record.provenance
        for name, value in (
            ("kinds", record.kind),
            ("statuses", record.status.value),
            ("outcomes", outcome_name(record)),
            ("sources", origin.source),
            ("roles", origin.role),
            ("agents", origin.agent),
        ):
            if value:
                counts[name][value] += 1
        if record.created_at is not None:
            times.append(record.created_at)
    return Facets(
        **{name: dict(sorted(of.most_common(_FACETS))) for name, of in counts.items()},
        first=min(times, default=None),
        last=max(times, default=None),
    )
