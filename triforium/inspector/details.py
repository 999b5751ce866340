"""One record and all that is known about it; its neighbours; and the search for records."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import NotFound
from ..graph import (
    SEARCHABLE,
    Hop,
    Link,
    LinkType,
    Record,
    Tier,
    View,
    Walk,
    terms,
)
from ..memory import Effect
from ..memory.cases import steps_of
from ..memory.scoring import Bm25
from .graphs import GraphQuery
from .reading import (
    ANY,
    EVERY_TIER,
    LIST,
    Reading,
    brief,
    briefs,
    effect_out,
    ids_of,
    journal_line,
    link_out,
    record_out,
)
from .receipts import Receipts
from .schema import (
    Brief,
    Found,
    JournalLine,
    Neighbour,
    Neighbourhood,
    RecordDetail,
    SearchHit,
)
from .snapshot import Snapshot

USES = 50
"""Recalls of a record that are listed."""
SIFTED = 2_000
"""Hits that are sifted for what a store cannot look for."""
TRIALS = 40
"""Found trials whose steps are searched, where a memory is held without its steps."""
_CAUSED_OUT = frozenset({LinkType.LED_TO, LinkType.SUPPORTS})
_CAUSED_IN = frozenset({LinkType.DERIVED_FROM})
_ALL_TYPES = frozenset(LinkType)


async def record_detail(
    reading: Reading, receipts: Receipts, id_: str, lift: Effect | None
) -> RecordDetail:
    """A record and all that is known about it.

    Raises:
        NotFound: The scope does not see it.
    """
    view, record = await reading.one(id_)
    hop = Hop(_ALL_TYPES, "both", EVERY_TIER, ANY, fan=LIST + 1)
    walk = await view.walk([id_], [hop])
    links = walk.links[:LIST]
    trial = record.provenance.trial
    others = await view.get([trial]) if trial else {}
    steps = (await steps_of(view, [id_])).get(id_, []) if record.tier is Tier.QUERY else []
    uses, count = await receipts.uses(reading.scope, id_, view, USES)
    return RecordDetail(
        position=view.position,
        record=record_out(record),
        links=[_neighbour(link, id_, walk) for link in links],
        links_cut=len(walk.links) > LIST,
        trial=brief(others[trial]) if trial in others else None,
        steps=[brief(step) for step in steps[:LIST]],
        recalled=uses,
        recalled_count=count,
        caused=_caused(walk, id_),
        lift=effect_out(lift) if lift else None,
        written=await _written(reading, record),
    )


def _neighbour(link: Link, id_: str, walk: Walk) -> Neighbour:
    outward = link.src == id_
    other = walk.records[link.dst if outward else link.src]
    return Neighbour(direction="out" if outward else "in", link=link_out(link), record=brief(other))


def _caused(walk: Walk, id_: str) -> list[Brief]:
    ids = [link.dst for link in walk.links if link.src == id_ and link.type in _CAUSED_OUT]
    ids += [link.src for link in walk.links if link.dst == id_ and link.type in _CAUSED_IN]
    return briefs(walk.records, ids[:LIST])


async def _written(reading: Reading, record: Record) -> JournalLine | None:
    entry = await reading.entry(record.added) if record.added else None
    known = entry is not None and record.id in ids_of(entry.changeset)
    return journal_line(entry) if entry is not None and known else None


async def neighbourhood(
    reading: Reading,
    ids: Sequence[str],
    types: frozenset[LinkType],
    direction: str,
    tiers: frozenset[Tier],
    fan: int,
) -> Neighbourhood:
    """The records that are linked to some records, heaviest links first.

    Raises:
        NotFound: The scope sees none of them.
    """
    view = await reading.view()
    hop = Hop(types, direction, tiers, ANY, fan=fan + 1)  # type: ignore[arg-type]
    walk = await view.walk(ids, [hop])
    if not walk.levels[0]:
        raise NotFound(f"Scope {reading.scope!r} sees none of these records.", ids=list(ids))
    near: dict[str, int] = {}
    links = []
    for link in sorted(walk.links, key=lambda one: (-one.weight, -one.added, one.key)):
        ends = [end for end in (link.src, link.dst) if end in ids]
        if all(near.get(end, 0) < fan for end in ends):
            links.append(link)
            for end in ends:
                near[end] = near.get(end, 0) + 1
    shown = set(walk.levels[0]) | {end for link in links for end in (link.src, link.dst)}
    nodes = [brief(one) for one in walk.records.values() if one.id in shown]
    return Neighbourhood(
        position=view.position,
        nodes=nodes,
        links=[link_out(link) for link in links],
        truncated=len(links) < len(walk.links),
    )


async def search(
    reading: Reading, snapshot: Snapshot, text: str, query: GraphQuery, limit: int
) -> Found:
    """Records by id, by their words as a recall finds them, and by the letters of their text.

    Where a snapshot has no interactions, those of the trials that are found are searched.
    """
    view = await reading.view()
    wanted = text.strip()
    hits: dict[str, SearchHit] = {}
    for record in (await view.get([wanted])).values() if wanted else ():
        hits[record.id] = SearchHit(record=brief(record), score=1.0, channel="id")
    if terms(wanted):
        await _by_words(view, wanted, query, limit, hits)
        if Tier.INTERACTION not in snapshot.tiers and _asks(query, Tier.INTERACTION):
            await _steps_by_words(view, wanted, query, limit, hits)
    folded = wanted.casefold()
    for record in reversed(snapshot.records.values()):
        if len(hits) >= limit or not folded:
            break
        if record.id in hits or not query.passes(record):
            continue
        if folded in record.text.casefold() or record.id.startswith(folded):
            hits[record.id] = SearchHit(record=brief(record), score=0.0, channel="letters")
    order = {"id": 0, "words": 1, "letters": 2}
    ranked = sorted(
        hits.values(), key=lambda hit: (order[hit.channel], -hit.score, -hit.record.added)
    )
    return Found(
        query=text,
        position=view.position,
        interactions="searched" if Tier.INTERACTION in snapshot.tiers else "of trials found",
        hits=ranked[:limit],
    )


def _asks(query: GraphQuery, tier: Tier) -> bool:
    return not query.tiers or tier.value in query.tiers


async def _by_words(
    view: View, text: str, query: GraphQuery, limit: int, hits: dict[str, SearchHit]
) -> None:
    tiers = frozenset(tier for tier in SEARCHABLE if _asks(query, tier))
    if not tiers:
        return
    # A store cannot look for an agent, and lets pass what has no role: then more are asked for.
    k = SIFTED if query.agents or query.roles else limit
    found = await view.search([text], tiers=tiers, k=k, where=query.where())
    scorer = Bm25(text, found.statistics)
    for hit in found.hits:
        score = scorer.score(hit.record)
        if score > 0.0 and hit.record.id not in hits and query.passes(hit.record):
            hits[hit.record.id] = SearchHit(record=brief(hit.record), score=score, channel="words")


async def _steps_by_words(
    view: View, text: str, query: GraphQuery, limit: int, hits: dict[str, SearchHit]
) -> None:
    """The steps of the best trials that have words of the text."""
    found = await view.search([text], tiers=frozenset({Tier.QUERY}), k=TRIALS, where=ANY)
    scorer = Bm25(text, found.statistics)
    trials = sorted(found.hits, key=lambda hit: (-scorer.score(hit.record), hit.record.id))
    steps = await steps_of(view, [hit.record.id for hit in trials[:TRIALS]])
    scored = [
        (scorer.score(step), step) for of in steps.values() for step in of if query.passes(step)
    ]
    scored.sort(key=lambda one: (-one[0], -one[1].added, one[1].id))
    for score, step in scored[:limit]:
        if score > 0.0 and step.id not in hits:
            hits[step.id] = SearchHit(record=brief(step), score=score, channel="words")
