"""Every Cypher text of the store. Values are parameters, always; only structure is put together.

What is put together comes from enumerations (link types, tiers) and from numbers of this module's
own. `SCOPE` is the one condition that keeps scopes apart; it stands in every query that finds a
record, at every hop, and tests take it out of each to see that they would notice. (`LACKING` finds
nothing: it reads what such a query has found.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..records import Tier
from ..store import INDEPENDENT, Filter, Hop

LABELS = {Tier.QUERY: "Query", Tier.INSIGHT: "Insight", Tier.INTERACTION: "Interaction"}
"""Every record is a (:Record) and has the label of its tier."""
TEXT_INDEX = "triforium_text"
VECTOR_INDEXES = {Tier.QUERY: "triforium_query_vector", Tier.INSIGHT: "triforium_insight_vector"}

CONSTRAINTS = (
    "CREATE CONSTRAINT triforium_head IF NOT EXISTS FOR (h:Head) REQUIRE h.name IS UNIQUE",
    "CREATE CONSTRAINT triforium_record IF NOT EXISTS FOR (r:Record) REQUIRE r.id IS UNIQUE",
    "CREATE CONSTRAINT triforium_changeset IF NOT EXISTS FOR (c:Changeset) REQUIRE c.id IS UNIQUE",
    "CREATE CONSTRAINT triforium_position IF NOT EXISTS "
    "FOR (c:Changeset) REQUIRE c.position IS UNIQUE",
    "CREATE CONSTRAINT triforium_receipt IF NOT EXISTS FOR (t:Receipt) REQUIRE t.id IS UNIQUE",
    "CREATE CONSTRAINT triforium_effect IF NOT EXISTS "
    "FOR (e:Effect) REQUIRE (e.scope, e.key) IS UNIQUE",
    "CREATE CONSTRAINT triforium_credit IF NOT EXISTS "
    "FOR (c:Credit) REQUIRE (c.record, c.role, c.receipt) IS UNIQUE",
    "CREATE CONSTRAINT triforium_term IF NOT EXISTS "
    "FOR (t:Term) REQUIRE (t.term, t.tier, t.scope) IS UNIQUE",
    "CREATE CONSTRAINT triforium_totals IF NOT EXISTS "
    "FOR (t:Totals) REQUIRE (t.scope, t.tier) IS UNIQUE",
    "CREATE CONSTRAINT triforium_source IF NOT EXISTS "
    "FOR (s:Source) REQUIRE (s.name, s.scope) IS UNIQUE",
)
INDEXES = (
    *(
        f"CREATE INDEX triforium_{label.lower()}_recent IF NOT EXISTS "
        f"FOR (r:{label}) ON (r.scope, r.added)"
        for label in LABELS.values()
    ),
    "CREATE INDEX triforium_record_source IF NOT EXISTS FOR (r:Record) ON (r.source)",
    "CREATE INDEX triforium_taint IF NOT EXISTS FOR (x:Taint) ON (x.root)",
    "CREATE INDEX triforium_open_trial IF NOT EXISTS FOR (r:Record) ON (r.open_trial)",
    "CREATE INDEX triforium_open_run IF NOT EXISTS FOR (r:Record) ON (r.open_run)",
    "CREATE INDEX triforium_vector_position IF NOT EXISTS FOR (r:Record) ON (r.vector_position)",
    "CREATE INDEX triforium_journal IF NOT EXISTS FOR (c:Changeset) ON (c.scope, c.position)",
    "CREATE INDEX triforium_journal_time IF NOT EXISTS FOR (c:Changeset) ON (c.created_at)",
    "CREATE INDEX triforium_receipt_scope IF NOT EXISTS FOR (t:Receipt) ON (t.scope, t.created_at)",
    "CREATE INDEX triforium_receipt_run IF NOT EXISTS FOR (t:Receipt) ON (t.run)",
    "CREATE INDEX triforium_receipt_trial IF NOT EXISTS FOR (t:Receipt) ON (t.trial)",
    f"CREATE FULLTEXT INDEX {TEXT_INDEX} IF NOT EXISTS FOR (r:Query|Insight) "
    "ON EACH [r.body, r.scope, r.tier, r.status] "
    "OPTIONS {indexConfig: {`fulltext.analyzer`: 'whitespace', "
    "`fulltext.eventually_consistent`: true}}",
)


def vector_index(tier: Tier, width: int) -> str:
    """Makes the vector index of a tier; `width` is checked to be a number."""
    return (
        f"CREATE VECTOR INDEX {VECTOR_INDEXES[tier]} IF NOT EXISTS FOR (r:{LABELS[tier]}) "
        "ON r.vector OPTIONS {indexConfig: {`vector.dimensions`: "
        f"{int(width)}, `vector.similarity_function`: 'cosine'}}}}"
    )


AWAIT_INDEXES = "CALL db.awaitIndexes(60)"
STATE_OF_INDEXES = (
    "SHOW INDEXES YIELD name, state WHERE name STARTS WITH 'triforium_' "
    "RETURN collect([name, state]) AS indexes"
)
COUNT_NODES = "MATCH (n) RETURN count(n) AS nodes"
HEAD = (
    "MATCH (h:Head {name: 'triforium'}) RETURN h.position AS position, h.created_at AS created_at, "
    "h.embedder AS embedder, h.width AS width, h.format AS format, h.min_reader AS min_reader, "
    "h.min_writer AS min_writer, h.importing AS importing, h.quarantine AS quarantine"
)
MAKE_HEAD = (
    "MERGE (h:Head {name: 'triforium'}) ON CREATE SET h.position = 0, h.created_at = '', "
    "h.embedder = '', h.width = 0, h.format = $format, h.min_reader = $format, "
    "h.min_writer = $format, h.quarantine = false RETURN h.position AS position"
)

# --- what a reader sees ---------------------------------------------------------------------------

SCOPE = "r.scope IN $scopes"
SEEN = (
    f"{SCOPE} AND r.added <= $position AND (r.expired IS NULL OR r.expired > $position) "
    "AND (r.visible_from <= $position OR r.run = $run)"
)
NOT_IN_A_GAP = (
    "(r.gaps IS NULL OR none(i IN range(0, size(r.gaps) - 2, 2) "
    "WHERE r.gaps[i] <= $position < r.gaps[i + 1]))"
)
LIVE = "l.added <= $position AND (l.expired IS NULL OR l.expired > $position)"

COLUMNS = (
    "r.id, r.tier, r.kind, r.text, r.scope, r.task_key, r.source, r.role, r.agent, r.run, r.trial, "
    "r.step, r.data, r.valid_from, r.valid_to, r.keys, r.confidence, r.cluster, r.summary, "
    "r.added, r.expired, r.created_at, r.revision, r.status, r.outcome_data, r.support, r.refuted, "
    "r.credit, r.taint, r.n, r.hold, r.touched, r.visible_from"
)
STATE = "[r.id, r.touched]"
"""What of a record r tells a reader whether the record he has is as it was left last."""
THEN = (
    "COLLECT { MATCH (r)<-[:VERSION_OF]-(v:Version) WHERE v.until > $position "
    "RETURN v.image ORDER BY v.until, v.revision LIMIT 1 }, "
    "COLLECT { MATCH (r)<-[:CREDITS]-(c:Credit) WHERE c.position <= $position "
    "RETURN [c.role, c.uses, c.helped, c.hurt] }, "
    "COUNT { (r)<-[l:SUPPORTS]-() WHERE "
    f"{LIVE} }}, COUNT {{ (r)<-[l:REFUTES]-() WHERE {LIVE} }}, "
    "COLLECT { MATCH (r)<-[:TAINTS]-(x:Taint) WHERE x.added <= $position "
    "AND (x.expired IS NULL OR x.expired > $position) RETURN x.root ORDER BY x.root }"
)
_PARENTS = (
    "MATCH (r)-[l:LED_TO|SUPPORTS|DERIVED_FROM]-(p:Record) "
    "WHERE (type(l) = 'DERIVED_FROM') = (startNode(l) = r) AND {live} RETURN {shown}"
)
_PARENT_SEEN = "r.scope + '/' STARTS WITH p.scope + '/'"
"""Who sees a record r sees what it came from, p."""
_LEFT = _PARENTS.format(
    live="l.expired IS NULL AND p.expired IS NULL AND p.status = 'active' "
    "AND size(coalesce(p.taint, [])) = 0 AND p.visible_from IS NOT NULL AND " + _PARENT_SEEN,
    shown="DISTINCT p.source AS source",
)
_LEFT_THEN = _PARENTS.format(
    live=f"{LIVE} AND p.visible_from <= $position AND {_PARENT_SEEN} "
    "AND NOT EXISTS { MATCH (p)<-[:TAINTS]-(y:Taint) WHERE y.added <= $position "
    "AND (y.expired IS NULL OR y.expired > $position) }",
    shown="DISTINCT [p.source, p.status, COLLECT { MATCH (p)<-[:VERSION_OF]-(w:Version) "
    "WHERE w.until > $position RETURN w.image ORDER BY w.until, w.revision LIMIT 1 }] AS parent",
)
"""What a tainted record came from that is not tainted: see `Filter.tainted`."""
LINK = "[startNode(l).id, endNode(l).id, type(l), l.via, l.weight, l.added, l.expired]"
_NEAR_LINK = "[r.id, {out}, type(l), l.via, l.weight, l.added, l.expired]"
"""A link l from or to a record s, by its other end."""
_OUT = {"out": "true", "in": "false", "both": "startNode(l) = s"}
"""Whether a link goes out from s, for each direction of a hop."""


def seen(*, historic: bool) -> str:
    """The condition that a record r is seen."""
    return f"{SEEN} AND {NOT_IN_A_GAP}" if historic else SEEN


def columns(*, historic: bool) -> str:
    """A record r as a list; for the past also what rebuilds it as it was."""
    if not historic:
        return f"[{COLUMNS}]"
    tainted = "EXISTS { MATCH (r)<-[:TAINTS]-(x:Taint) WHERE x.added <= $position }"
    left = f"CASE WHEN {tainted} THEN COLLECT {{ {_LEFT_THEN} }} ELSE [] END"
    return f"[{COLUMNS}, {THEN}, {left}]"


def condition(name: str, where: Filter, *, historic: bool, quarantine: bool) -> str:
    """The condition of a filter on a record r; its values are a map under `name`.

    Only what restricts stands in the text, because the server takes long to plan what is long; the
    callers ask with few different filters. What changes with time is left out for the past, where
    the reader looks at it. While nothing ever was in quarantine, nothing is tainted.
    """
    changing = {"statuses", "outcomes", "roots", "tainted"} if historic else set()
    parts = [
        text.format(f=f"${name}")
        for field, text in _CONDITIONS.items()
        if field not in changing and getattr(where, field)
    ]
    if where.tainted is not None and "tainted" not in changing:
        parts.append(_tainted(wanted=where.tainted, quarantine=quarantine))
    return " AND ".join(parts) or "true"


_CONDITIONS: Mapping[str, str] = {
    "kinds": "r.kind IN {f}.kinds",
    "roles": "(r.role IN {f}.roles OR r.role = '')",
    "task_key": "r.task_key = {f}.task_key",
    "valid_at": "(r.kind <> 'fact' OR ((r.valid_from IS NULL OR r.valid_from <= {f}.valid_at) "
    "AND (r.valid_to IS NULL OR r.valid_to > {f}.valid_at)))",
    "statuses": "r.status IN {f}.statuses",
    "outcomes": "r.outcome IN {f}.outcomes",
    "sources": "r.source IN {f}.sources",
    "since": "r.created_at >= {f}.since",
    "until": "r.created_at < {f}.until",
    "roots": "any(x IN r.taint WHERE x IN {f}.roots)",
}
"""For each field of a filter its condition."""


def _tainted(*, wanted: bool, quarantine: bool) -> str:
    if wanted:
        return "size(coalesce(r.taint, [])) > 0"
    none = "size(coalesce(r.taint, [])) = 0"
    return f"({none} OR COUNT {{ {_LEFT} }} >= {INDEPENDENT})" if quarantine else none


def view(*, at_a_time: bool) -> str:
    """The head, and the position of a system time."""
    if not at_a_time:
        return HEAD
    return (
        "MATCH (h:Head {name: 'triforium'}) RETURN h.position AS position, "
        "h.embedder AS embedder, h.width AS width, h.importing AS importing, "
        "h.quarantine AS quarantine, COLLECT { MATCH (c:Changeset) "
        "WHERE c.created_at <= $moment RETURN c.position ORDER BY c.created_at DESC LIMIT 1 } "
        "AS then"
    )


def get(*, historic: bool) -> str:
    """Visible records of any status by id."""
    return (
        f"UNWIND $ids AS id MATCH (r:Record {{id: id}}) WHERE {seen(historic=historic)} "
        f"RETURN collect({columns(historic=historic)}) AS records"
    )


LACKING = (
    "UNWIND $ids AS id MATCH (r:Record {id: id}) "
    f"RETURN collect([[{COLUMNS}], r.vector]) AS records"
)
"""Records, with their vectors, of which a search or a walk has just given the state."""


BASE = """
MATCH (h:Head {name: 'triforium'}) SET h.locked = true WITH h SET h.locked = null WITH h
OPTIONAL MATCH (c:Changeset {position: h.position})
RETURN h.position AS position, h.embedder AS embedder, h.width AS width, c.created_at AS moment
"""
"""Where a replica begins. Whoever has the head's lock sees all that was written before, whole."""
KEPT = """
CALL () {
    UNWIND $scopes AS scope MATCH (r:Query) WHERE r.scope = scope AND r.added <= $position
    WITH r LIMIT $most RETURN collect([r.added, r.n, r.id]) AS trials
}
CALL () {
    UNWIND $scopes AS scope MATCH (r:Insight) WHERE r.scope = scope AND r.added <= $position
    WITH r LIMIT $most RETURN collect([r.added, r.n, r.id]) AS insights
}
RETURN trials + insights AS ids
"""
LINKS = (
    f"UNWIND $ids AS id MATCH (r:Record {{id: id}})-[l]->(a:Record) WHERE {SCOPE} "
    "AND a.scope IN $scopes AND a.tier <> 'interaction' "
    "RETURN collect([r.id, a.id, type(l), l.via, l.weight, l.added, l.expired]) AS links"
)
FOLLOW = f"""
MATCH (h:Head {{name: 'triforium'}})
WITH h.position AS position, h.embedder AS embedder, h.width AS width,
    h.importing AS importing, h.quarantine AS quarantine
OPTIONAL MATCH (b:Changeset {{position: $since}})
WITH position, embedder, width, importing, quarantine, b.created_at AS moment
CALL (position) {{
    MATCH (c:Changeset) WHERE $since < c.position AND c.position <= position
    WITH c ORDER BY c.position LIMIT $most
    RETURN collect([c.position, c.created_at, c.touched IS NOT NULL, size(c.touched) =
            COUNT {{ UNWIND c.touched AS id MATCH (r:Record {{id: id}}) }}, c.touched,
        coalesce(c.joined, [])]) AS changes
}}
CALL (changes) {{
    UNWIND changes AS one UNWIND one[4] AS id WITH DISTINCT id
    MATCH (r:Record {{id: id}}) WHERE {SCOPE}
    RETURN collect(CASE r.tier WHEN 'interaction' THEN COLLECT {{
            MATCH (r)--(q:Record) WHERE q.scope IN $scopes AND q.tier <> 'interaction' RETURN q.id
        }} ELSE [r.id] END) AS touched,
        collect(CASE r.tier WHEN 'interaction' THEN null ELSE [[{COLUMNS}], r.vector] END)
        AS records
}}
CALL (changes) {{
    UNWIND changes AS one UNWIND range(0, size(one[5]) - 1, 2) AS at
    WITH DISTINCT one[5][at] AS src, one[5][at + 1] AS dst
    MATCH (a:Record {{id: src}}) WHERE a.scope IN $scopes
    MATCH (r:Record {{id: dst}}) WHERE {SCOPE}
    MATCH (a)-[l]->(r)
    RETURN collect([src, dst, type(l), l.via, l.weight, l.added, l.expired]) AS links
}}
RETURN position, embedder, width, importing, quarantine, moment,
    [one IN changes | one[..4]] AS changes, touched, records, links
"""
"""The head, and what a replica of some scopes has to take over since a position.

The head stands first and is read first, so that what comes after it is never older.
"""
SUPPORTS_LEFT = (
    f"UNWIND $ids AS id MATCH (r:Record {{id: id}}) WHERE {SCOPE} "
    f"RETURN collect([r.id, COUNT {{ {_LEFT} }}]) AS supports"
)
"""How many independent supports tainted records have left."""


def recent(tiers: Sequence[Tier], where: Filter, *, historic: bool, quarantine: bool) -> str:
    """The last added of each tier and scope, newest first."""
    limit = "" if historic else " LIMIT $k"
    # One scope at a time, because then the index gives the newest at once.
    own = seen(historic=historic).replace(SCOPE, "r.scope = scope")
    passing = condition("f", where, historic=historic, quarantine=quarantine)
    parts = [
        f"CALL (scope) {{ MATCH (r:{LABELS[tier]}) WHERE {own} AND {passing} "
        f"WITH r ORDER BY r.scope DESC, r.added DESC, r.n DESC{limit} "
        f"RETURN collect(r) AS t{number} }}"
        for number, tier in enumerate(tiers)
    ]
    joined = " + ".join(f"t{number}" for number in range(len(parts)))
    return (
        f"UNWIND $scopes AS scope {' '.join(parts)} WITH {joined} AS some "
        f"UNWIND some AS r RETURN collect({columns(historic=historic)}) AS records"
    )


def walk(hops: Sequence[Hop], *, historic: bool, quarantine: bool) -> str:
    """The walk: level by level from the seeds, in one statement and one row.

    Of the present it gives the state of each record, and for each near end its links. For the past,
    the parts of a filter that change with time and the fan are left to the reader, who is given all
    records and links that might be followed.
    """
    visible = seen(historic=historic)
    parts = [
        "CALL () { UNWIND $seeds AS id MATCH (r:Record {id: id}) "
        f"WHERE {visible} RETURN collect(DISTINCT r) AS l0 }}"
    ]
    for number, hop in enumerate(hops, 1):
        start = hop.start if hop.start >= 0 else number - 1
        types = "|".join(sorted(type_.value for type_ in hop.types))
        passing = condition(f"h{number}", hop.where, historic=historic, quarantine=quarantine)
        left, right = {"out": ("-", "->"), "in": ("<-", "-")}.get(hop.direction, ("-", "-"))
        followed = (
            f"UNWIND l{start} AS s WITH s WHERE NOT $bare{number} OR s.summary = '' "
            f"CALL (s) {{ MATCH (s){left}[l:{types}]{right}(r:Record) WHERE {LIVE} AND {visible} "
            f"AND r.tier IN $tiers{number} AND {passing}"
        )
        if historic:
            parts.append(
                f"CALL (l{start}) {{ {followed} RETURN l, r }} "
                f"RETURN collect(DISTINCT r) AS l{number}, collect(DISTINCT l) AS k{number} }}"
            )
        else:
            link = _NEAR_LINK.format(out=_OUT[hop.direction])
            parts.append(
                f"CALL (l{start}) {{ {followed} "
                f"WITH l, r ORDER BY l.weight DESC, l.added DESC, r.id, type(l) LIMIT $fan{number} "
                f"RETURN collect(r) AS near, collect({link}) AS links }} "
                f"WITH s, near, links WHERE size(near) > 0 "
                f"WITH collect(near) AS groups, collect([s.id, links]) AS k{number} "
                f"CALL (groups) {{ UNWIND groups AS near UNWIND near AS r "
                f"RETURN collect(DISTINCT r) AS l{number} }} "
                f"RETURN l{number}, k{number} }}"
            )
    levels = [f"l{number}" for number in range(len(hops) + 1)]
    links = [f"k{number}" for number in range(1, len(hops) + 1)]
    if not historic:
        states = ", ".join(f"[r IN {level} | {STATE}]" for level in levels)
        return f"{' '.join(parts)} RETURN [{states}] AS levels, [{', '.join(links)}] AS links"
    parts.append(
        f"CALL ({', '.join(levels)}) {{ UNWIND {' + '.join(levels)} AS r WITH DISTINCT r "
        f"RETURN collect({columns(historic=True)}) AS records }}"
    )
    if links:
        parts.append(
            f"CALL ({', '.join(links)}) {{ UNWIND {' + '.join(links)} AS l WITH DISTINCT l "
            f"RETURN collect({LINK}) AS links }}"
        )
    return f"{' '.join(parts)} RETURN records, {'links' if links else '[]'} AS links"


# --- search ---------------------------------------------------------------------------------------

_WRITTEN = "CALL db.index.fulltext.awaitEventuallyConsistentIndexRefresh()"
"""Commits do not wait for the index of words; a search by words does, for all that was written."""
_STATISTICS = (
    "CALL () { UNWIND $scopes AS scope UNWIND $tiers AS tier "
    "MATCH (t:Totals {scope: scope, tier: tier}) "
    "RETURN collect([t.tier, t.documents, t.terms]) AS totals } "
    "CALL () { UNWIND $tokens AS token UNWIND $tiers AS tier UNWIND $scopes AS scope "
    "MATCH (t:Term {term: token, tier: tier, scope: scope}) "
    "RETURN collect([t.tier, t.term, t.documents]) AS frequency } "
    f"CALL () {{ MATCH (r:Record {{open_run: $run}}) WHERE {SEEN} AND r.tier IN $tiers "
    "AND r.body IS NOT NULL RETURN collect([r.tier, r.body]) AS own }"
)


def search(
    filters: Sequence[tuple[Tier, Filter]],
    *,
    lexical: bool,
    vectors: bool,
    exact: bool,
    quarantine: bool,
) -> str:
    """Candidates of each tier by words and by vectors, and the statistics of their terms.

    Args:
        filters: The tiers, and what of each may be returned.
        lexical: Whether there are words to look for.
        vectors: Whether there are vectors to compare.
        exact: Go through all of what the scopes hold instead of the index of vectors, and let the
            index of words give everything.
        quarantine: Whether anything ever was in quarantine.
    """
    parts = [_STATISTICS] + [_WRITTEN] * lexical
    for number, (tier, where) in enumerate(filters):
        own = condition(f"f{number}", where, historic=False, quarantine=quarantine)
        passing = f"{SEEN} AND r.tier = $tier{number} AND {own}"
        limit = "{}" if exact else "{limit: $over}"
        if lexical:
            parts.append(
                f"CALL () {{ UNWIND $words{number} AS q CALL (q) {{ "
                f"CALL db.index.fulltext.queryNodes('{TEXT_INDEX}', q, {limit}) "
                "YIELD node AS r WITH collect(r) AS raw "
                f"RETURN size(raw) AS n, [r IN raw WHERE {passing}][..$k] AS kept }} "
                f"RETURN collect(kept) AS w{number}, collect([n, size(kept)]) AS wn{number} }}"
            )
        if vectors and exact:
            parts.append(
                f"CALL () {{ UNWIND $vectors AS v CALL (v) {{ MATCH (r:{LABELS[tier]}) "
                f"WHERE {passing} AND r.vector IS NOT NULL "
                "WITH r, vector.similarity.cosine(r.vector, v) AS s ORDER BY s DESC, r.added, r.n "
                "LIMIT $k RETURN collect(r) AS kept } "
                f"RETURN collect(kept) AS v{number}, [] AS vn{number} }}"
            )
        elif vectors:
            parts.append(
                f"CALL () {{ UNWIND $vectors AS v CALL (v) {{ "
                f"CALL db.index.vector.queryNodes('{VECTOR_INDEXES[tier]}', $over, v) "
                "YIELD node AS r WITH collect(r) AS raw "
                f"RETURN size(raw) AS n, [r IN raw WHERE {passing}][..$k] AS kept }} "
                f"RETURN collect(kept) AS v{number}, collect([n, size(kept)]) AS vn{number} }}"
            )
    found = [
        f"{channel}{number}"
        for number in range(len(filters))
        for channel, used in (("w", lexical), ("v", vectors))
        if used
    ]
    if found:
        parts.append(
            f"CALL ({', '.join(found)}) {{ UNWIND {' + '.join(found)} AS some UNWIND some AS r "
            f"WITH DISTINCT r RETURN collect({STATE}) AS hits }}"
        )
    depths = " + ".join(f"{name[0]}n{name[1:]}" for name in found)
    return (
        f"{' '.join(parts)} RETURN totals, frequency, own, "
        f"{'hits' if found else '[]'} AS hits, {depths or '[]'} AS depths"
    )


def all_of(tiers: Sequence[Tier]) -> str:
    """All records of some tiers that were visible at a position in the past."""
    parts = [
        f"CALL () {{ MATCH (r:{LABELS[tier]}) WHERE {seen(historic=True)} "
        f"RETURN collect(r) AS t{number} }}"
        for number, tier in enumerate(tiers)
    ]
    joined = " + ".join(f"t{number}" for number in range(len(tiers)))
    # What rebuilds a record stands here once: the server plans each part of a text anew.
    return (
        f"{' '.join(parts)} WITH {joined} AS some UNWIND some AS r "
        f"RETURN collect([{columns(historic=True)}, "
        "CASE WHEN $compared AND r.vector IS NOT NULL THEN "
        "[v IN $vectors | 2 * vector.similarity.cosine(r.vector, v) - 1] ELSE [] END]) AS hits"
    )


# --- writing --------------------------------------------------------------------------------------

LOCK_AND_LOAD = """
MATCH (h:Head {name: 'triforium'}) SET h.locked = true WITH h
CALL () {
    UNWIND $changesets AS id MATCH (c:Changeset {id: id})
    RETURN collect([c.id, c.position, c.hash]) AS journal
}
CALL () {
    UNWIND $records AS id MATCH (r:Record {id: id})
    RETURN collect([r.id, r.tier, r.scope, r.hash, r.trial,
        CASE WHEN r.tier = 'interaction' THEN '' ELSE r.text END, r.visible_from, r.expired,
        r.gaps, r.revision, r.keys, r.confidence, r.cluster, r.summary, r.status,
        r.outcome_data, r.credit, r.hold, r.source,
        size(coalesce(r.taint, [])) > 0]) AS rows
}
CALL () {
    UNWIND $closing AS id MATCH (r:Record {open_trial: id})
    RETURN collect([id, r.id, r.tier, r.scope, r.hash, r.trial,
        CASE WHEN r.tier = 'interaction' THEN '' ELSE r.text END, r.visible_from, r.expired,
        r.gaps, r.revision, r.keys, r.confidence, r.cluster, r.summary, r.status,
        r.outcome_data, r.credit, r.hold, r.source,
        size(coalesce(r.taint, [])) > 0]) AS hidden
}
CALL () {
    UNWIND $links AS k MATCH (a:Record {id: k[0]}) MATCH (b:Record {id: k[1]})
    MATCH (a)-[l]->(b) WHERE type(l) = k[2] AND l.via = k[3] AND l.expired IS NULL
    RETURN collect([k[0], k[1], k[2], k[3], l.weight]) AS links
}
CALL () {
    UNWIND $expiring AS id MATCH (r:Record {id: id})-[l]-(:Record) WHERE l.expired IS NULL
    RETURN collect([id, startNode(l).id, endNode(l).id, type(l), l.via, l.weight]) AS touching
}
CALL () {
    UNWIND $credits AS k MATCH (c:Credit {record: k[0], role: k[1], receipt: k[2]})
    RETURN collect(k) AS credits
}
RETURN h.position AS position, h.created_at AS created_at, h.embedder AS embedder,
    h.width AS width, h.min_writer AS min_writer, h.importing AS importing,
    h.quarantine AS quarantine, journal, rows, hidden, links, touching, credits
"""

WRITE = """
MATCH (h:Head {name: 'triforium'})
SET h.position = $position, h.created_at = $now, h.embedder = $embedder, h.width = $width,
    h.quarantine = h.quarantine OR $held, h.locked = null
WITH h
CALL () {
    UNWIND $added AS one CREATE (r:$(one[0])) SET r = one[1], r.touched = $now
    RETURN collect(r) AS nodes
}
CALL () {
    UNWIND $changed AS one MATCH (r:Record {id: one[0]}) SET r += one[1], r.touched = $now
}
CALL () {
    UNWIND $expired_links AS k MATCH (a:Record {id: k[0]}) MATCH (b:Record {id: k[1]})
    MATCH (a)-[l]->(b) WHERE type(l) = k[2] AND l.via = k[3] AND l.expired IS NULL
    SET l.expired = k[4]
}
CALL (nodes) {
    UNWIND $among AS k WITH nodes[k[0]] AS a, nodes[k[1]] AS b, k
    CREATE (a)-[:$(k[2]) {via: k[3], weight: k[4], added: k[5], expired: k[6]}]->(b)
}
CALL () {
    UNWIND $links AS k MATCH (a:Record {id: k[0]}) MATCH (b:Record {id: k[1]})
    CREATE (a)-[:$(k[2]) {via: k[3], weight: k[4], added: k[5], expired: k[6]}]->(b)
}
CALL () {
    UNWIND $evidence AS k MATCH (r:Record {id: k[0]})
    SET r.support = r.support + k[1], r.refuted = r.refuted + k[2], r.touched = $now
}
CALL () {
    UNWIND $credits AS k MATCH (r:Record {id: k.record})
    CREATE (r)<-[:CREDITS]-(c:Credit) SET c = k
}
CALL () {
    UNWIND $sources AS k MERGE (s:Source {name: k[1], scope: k[0]})
    ON CREATE SET s.counts = k[2]
    ON MATCH SET s.counts = [i IN range(0, 5) | s.counts[i] + k[2][i]]
}
CALL () {
    UNWIND $versions AS k MATCH (r:Record {id: k[0]})
    CREATE (r)<-[:VERSION_OF]-(:Version {until: k[1], revision: k[2], image: k[3]})
}
CALL () {
    UNWIND $terms AS k MERGE (t:Term {term: k[2], tier: k[1], scope: k[0]})
    ON CREATE SET t.documents = k[3] ON MATCH SET t.documents = t.documents + k[3]
}
CALL () {
    UNWIND $totals AS k MERGE (t:Totals {scope: k[0], tier: k[1]})
    ON CREATE SET t.documents = k[2], t.terms = k[3]
    ON MATCH SET t.documents = t.documents + k[2], t.terms = t.terms + k[3]
}
CALL () {
    UNWIND $vectors AS k MATCH (r:Record {id: k[0]})
    CALL db.create.setNodeVectorProperty(r, 'vector', k[1])
    SET r.vector_position = k[2], r.touched = $now
}
CALL () { UNWIND $journal AS one CREATE (c:Changeset) SET c = one }
RETURN h.position AS position
"""

ROOTS = """
UNWIND $ancestors AS id MATCH (r:Record {id: id})
UNWIND coalesce(r.taint, [])
    + CASE WHEN r.status = 'quarantined' AND r.expired IS NULL THEN [r.id] ELSE [] END AS root
RETURN collect(DISTINCT root) AS roots
"""
"""The roots whose taint some records pass on."""
RELEASE = """
UNWIND $roots AS root MATCH (x:Taint {root: root})-[:TAINTS]->(r:Record) WHERE x.expired IS NULL
SET x.expired = $position, r.taint = [one IN r.taint WHERE one <> root], r.touched = $now
RETURN collect(DISTINCT r.id) AS ids
"""
PLACE = (
    "MATCH (r:Record {id: $root}) WHERE r.status = 'quarantined' AND r.expired IS NULL "
    "RETURN r.scope AS scope"
)
CHILDREN = """
UNWIND $ids AS id MATCH (p:Record {id: id})
CALL (p) {
    MATCH (p)-[l:LED_TO|SUPPORTS]->(r:Record) WHERE l.expired IS NULL RETURN r
    UNION
    MATCH (p)<-[l:DERIVED_FROM]-(r:Record) WHERE l.expired IS NULL RETURN r
}
WITH DISTINCT r WHERE r.scope = $scope OR r.scope STARTS WITH $scope + '/'
RETURN collect(r.id) AS ids
"""
"""What came of some records directly, as far as it lies in a scope."""
IN_SCOPE = (
    "OPTIONAL MATCH (r:Record {id: $id}) WHERE r.scope = $scope "
    "OR r.scope STARTS WITH $scope + '/' RETURN r IS NOT NULL AS there"
)
TAINTED = """
MATCH (x:Taint {root: $root})-[:TAINTS]->(r:Record) WHERE x.expired IS NULL
RETURN collect(r.id) AS ids
"""
TAINT = """
CALL () {
    UNWIND $gone AS id MATCH (r:Record {id: id})<-[:TAINTS]-(x:Taint {root: $root})
    WHERE x.expired IS NULL
    SET x.expired = $position, r.taint = [one IN r.taint WHERE one <> $root], r.touched = $now
}
CALL () {
    UNWIND $new AS id MATCH (r:Record {id: id})
    CREATE (r)<-[:TAINTS]-(:Taint {root: $root, added: $position})
    SET r.taint = coalesce(r.taint, []) + $root, r.touched = $now
}
RETURN 1 AS done
"""
TOUCH = (
    "MATCH (c:Changeset {position: $position}) SET c.touched = c.touched + $ids "
    "RETURN c.position AS position"
)
"""Adds to what a changeset touched; where that is not known it stays so."""
SOURCES = (
    "MATCH (s:Source) WHERE s.name IN $names AND s.scope IN $scopes "
    "RETURN collect([s.name, s.counts]) AS sources"
)
SOURCES_THEN = (
    f"MATCH (r:Record) WHERE r.source IN $names AND {SEEN} AND {NOT_IN_A_GAP} "
    f"RETURN collect({columns(historic=True)}) AS records"
)

# --- receipts and effects -------------------------------------------------------------------------

_RECEIPT = "[t.id, t.scope, t.run, t.trial, t.role, t.position, t.created_at, t.body]"
PUT_RECEIPT = (
    "MERGE (t:Receipt {id: $id}) ON CREATE SET t += $fields "
    f"RETURN CASE WHEN t.attempt = $fields.attempt THEN null ELSE {_RECEIPT} END AS receipt"
)
"""Gives the receipt that was there before, if one was: what the caller has is not sent back."""
BEGIN_EFFECT = (
    "MERGE (e:Effect {scope: $scope, key: $key}) "
    "ON CREATE SET e.request = $request, e.done = false, e.attempt = $attempt "
    "RETURN e.request AS request, e.done AS done, e.result AS result, "
    "e.attempt = $attempt AS fresh"
)
FINISH_EFFECT = (
    "MATCH (e:Effect {scope: $scope, key: $key}) SET e.done = true, e.result = $result "
    "RETURN count(e) AS found"
)


def receipts(*, ids: bool, run: bool, trial: bool, record: bool, newest: bool = False) -> str:
    """Visible receipts, oldest or newest first, by id, run or trial, or by a record they name."""
    start = "UNWIND $ids AS id MATCH (t:Receipt {id: id})" if ids else "MATCH (t:Receipt)"
    parts = ["t.scope IN $scopes"]
    parts += ["t.run = $run"] * run + ["t.trial = $trial"] * trial
    parts += ["t.body CONTAINS $named"] * record
    order = "t.created_at DESC, t.id DESC" if newest else "t.created_at, t.id"
    return (
        f"{start} WHERE {' AND '.join(parts)} WITH t ORDER BY {order} LIMIT $limit "
        f"RETURN collect({_RECEIPT}) AS receipts"
    )


def journal(*, everything: bool) -> str:
    """Entries of visible scopes after a position, in order."""
    scope = "" if everything else "AND c.scope IN $scopes "
    return (
        f"MATCH (c:Changeset) WHERE c.position > $after {scope}"
        "WITH c ORDER BY c.position LIMIT $limit RETURN collect([c.position, c.id, c.scope, "
        "c.actor, c.reason, c.base, c.created_at, c.ops, c.before]) AS entries"
    )


def statistics(*, everything: bool) -> str:
    """Counts of what some scopes see."""
    record = "true" if everything else SCOPE
    ends = "true" if everything else "a.scope IN $scopes AND r.scope IN $scopes"
    receipt = "true" if everything else "t.scope IN $scopes"
    changeset = "true" if everything else "c.scope IN $scopes"
    return (
        f"CALL () {{ MATCH (r:Record) WHERE {record} AND r.expired IS NULL "
        "WITH r.tier AS tier, r.kind AS kind, r.status AS status, r.outcome AS outcome, "
        "r.scope AS scope, count(*) AS n "
        "RETURN collect([tier, kind, status, outcome, scope, n]) AS records } "
        f"CALL () {{ MATCH (a:Record)-[l]->(r:Record) WHERE l.expired IS NULL AND {ends} "
        "WITH type(l) AS type, count(*) AS n RETURN collect([type, n]) AS links } "
        f"CALL () {{ MATCH (t:Receipt) WHERE {receipt} RETURN count(t) AS receipts }} "
        f"CALL () {{ MATCH (t:Receipt) WHERE {receipt} "
        "RETURN collect(DISTINCT t.scope) AS receipt_scopes } "
        f"CALL () {{ MATCH (c:Changeset) WHERE {changeset} "
        "RETURN collect(DISTINCT c.scope) AS scopes } "
        "MATCH (h:Head {name: 'triforium'}) RETURN h.position AS position, "
        "h.embedder AS embedder, records, links, receipts, scopes, receipt_scopes"
    )


# --- dump, restore, copy --------------------------------------------------------------------------

_THERE = "($everything OR {scope} IN $scopes)"
_RECORDS = f"MATCH (r:Record) WHERE r.added <= $position AND {_THERE.format(scope='r.scope')}"
_THEN = "CASE WHEN {of}.expired > $position THEN null ELSE {of}.expired END"
DUMP: Mapping[str, str] = {
    "record": (
        f"{_RECORDS} WITH r ORDER BY r.added, r.n RETURN r.scope AS scope, [r.id, r.tier, r.kind, "
        "r.text, r.task_key, r.source, r.role, r.agent, r.run, r.trial, r.step, r.data, "
        "r.valid_from, r.valid_to, r.hash, coalesce(r.keys, []), r.confidence, r.cluster, "
        f"r.summary, r.added, {_THEN.format(of='r')}, r.gaps, "
        "CASE WHEN r.visible_from > $position THEN null ELSE r.visible_from END, r.created_at, "
        "r.revision, r.status, r.outcome_data, r.hold, CASE WHEN r.revision = 1 THEN [] ELSE "
        "COLLECT { MATCH (r)<-[:VERSION_OF]-(v:Version) WHERE v.until > $position "
        "RETURN v.image ORDER BY v.until, v.revision LIMIT 1 } END] AS fields"
    ),
    "version": (
        f"{_RECORDS} AND r.revision > 1 MATCH (r)<-[:VERSION_OF]-(v:Version) "
        "WHERE v.until <= $position WITH r, v ORDER BY r.added, r.n, v.until, v.revision "
        "RETURN r.scope AS scope, [r.id, v.until, v.image] AS fields"
    ),
    "link": (
        f"{_RECORDS} MATCH (r)-[l]->(o:Record) WHERE l.added <= $position "
        f"AND {_THERE.format(scope='o.scope')} "
        "WITH r, l, o ORDER BY l.added, r.id, o.id, type(l), l.via RETURN r.scope AS scope, "
        f"[r.id, o.id, type(l), l.via, l.weight, l.added, {_THEN.format(of='l')}] AS fields"
    ),
    "credit": (
        f"{_RECORDS} AND r.credit IS NOT NULL MATCH (r)<-[:CREDITS]-(c:Credit) "
        "WHERE c.position <= $position WITH r, c ORDER BY r.added, r.n, c.role, c.receipt "
        "RETURN r.scope AS scope, "
        "[r.id, c.role, c.receipt, c.position, c.uses, c.helped, c.hurt] AS fields"
    ),
    "taint": (
        f"MATCH (r:Record)<-[:TAINTS]-(x:Taint) WHERE {_THERE.format(scope='r.scope')} "
        "AND x.added <= $position WITH r, x ORDER BY r.added, r.n, x.root, x.added "
        f"RETURN r.scope AS scope, [r.id, x.root, x.added, {_THEN.format(of='x')}] AS fields"
    ),
    "journal": (
        f"MATCH (c:Changeset) WHERE c.position <= $position AND {_THERE.format(scope='c.scope')} "
        "WITH c ORDER BY c.position RETURN c.scope AS scope, [c.position, c.id, c.hash, c.actor, "
        "c.reason, c.base, c.created_at, c.ops, c.before] AS fields"
    ),
    "vector": (
        f"{_RECORDS} AND r.vector IS NOT NULL AND r.vector_position <= $position "
        "WITH r ORDER BY r.added, r.n "
        "RETURN r.scope AS scope, [r.id, r.vector_position, r.vector] AS fields"
    ),
    "receipt": (
        f"MATCH (t:Receipt) WHERE {_THERE.format(scope='t.scope')} AND t.created_at <= $now "
        "WITH t ORDER BY t.created_at, t.id RETURN t.scope AS scope, [t.id, t.run, t.trial, "
        "t.role, t.position, t.created_at, t.body] AS fields"
    ),
    "effect": (
        f"MATCH (e:Effect) WHERE {_THERE.format(scope='e.scope')} WITH e ORDER BY e.scope, e.key "
        "RETURN e.scope AS scope, [e.key, e.request, e.done, e.result] AS fields"
    ),
}
"""For each kind of row the query that gives them in order, as of a position."""
DUMP_COUNTS = (
    " ".join(
        f"CALL () {{ {query.split(' WITH ')[0].split(' RETURN ')[0]} RETURN count(*) AS {kind} }}"
        for kind, query in DUMP.items()
    )
    + f" RETURN {', '.join(DUMP)}"
)
BEGIN_COPY = (
    "MATCH (h:Head {name: 'triforium'}) SET h.locked = true WITH h "
    "SET h.imported = CASE WHEN h.importing IS NULL THEN 0 ELSE h.imported END, "
    "h.importing = CASE WHEN h.importing IS NULL AND h.position = 0 "
    "AND NOT EXISTS { (:Receipt) } AND NOT EXISTS { (:Effect) } THEN $token "
    "ELSE h.importing END, h.locked = null "
    "RETURN h.importing AS importing, h.imported AS imported"
)
LOCK_COPY = (
    "MATCH (h:Head {name: 'triforium'}) SET h.locked = true WITH h RETURN h.imported AS imported"
)
CREDIT_OF = (
    "UNWIND $ids AS id MATCH (r:Record {id: id}) "
    "WITH collect([r.id, r.credit]) AS all, collect([r.id, r.scope, r.source]) AS origins "
    "RETURN [one IN all WHERE one[1] IS NOT NULL] AS credit, origins"
)
TAKE_ROWS = """
MATCH (h:Head {name: 'triforium'})
SET h.imported = $imported, h.locked = null, h.quarantine = h.quarantine OR size($taint) > 0
    OR any(one IN $records WHERE one[1].status = 'quarantined')
WITH h
CALL () { UNWIND $records AS one CREATE (r:$(one[0])) SET r = one[1], r.touched = $copied }
CALL () {
    UNWIND $versions AS k MATCH (r:Record {id: k[0]})
    CREATE (r)<-[:VERSION_OF]-(:Version {until: k[1], revision: k[2], image: k[3]})
}
CALL () {
    UNWIND $links AS k MATCH (a:Record {id: k[0]}) MATCH (b:Record {id: k[1]})
    CREATE (a)-[:$(k[2]) {via: k[3], weight: k[4], added: k[5], expired: k[6]}]->(b)
    RETURN count(*) AS links
}
CALL () {
    UNWIND $evidence AS k MATCH (r:Record {id: k[0]})
    SET r.support = r.support + k[1], r.refuted = r.refuted + k[2]
}
CALL () {
    UNWIND $credits AS k MATCH (r:Record {id: k.record})
    CREATE (r)<-[:CREDITS]-(c:Credit) SET c = k
}
CALL () {
    UNWIND $sources AS k MERGE (s:Source {name: k[1], scope: k[0]})
    ON CREATE SET s.counts = k[2]
    ON MATCH SET s.counts = [i IN range(0, 5) | s.counts[i] + k[2][i]]
}
CALL () { UNWIND $counters AS one MATCH (r:Record {id: one[0]}) SET r += one[1] }
CALL () {
    UNWIND $taint AS k MATCH (r:Record {id: k[0]})
    CREATE (r)<-[:TAINTS]-(:Taint {root: k[1], added: k[2], expired: k[3]})
    SET r.taint = CASE WHEN k[3] IS NULL THEN coalesce(r.taint, []) + k[1] ELSE r.taint END
}
CALL () { UNWIND $journal AS one CREATE (c:Changeset) SET c = one }
CALL () { UNWIND $receipts AS one CREATE (t:Receipt) SET t = one }
CALL () { UNWIND $effects AS one CREATE (e:Effect) SET e = one }
CALL () {
    UNWIND $terms AS k MERGE (t:Term {term: k[2], tier: k[1], scope: k[0]})
    ON CREATE SET t.documents = k[3] ON MATCH SET t.documents = t.documents + k[3]
}
CALL () {
    UNWIND $totals AS k MERGE (t:Totals {scope: k[0], tier: k[1]})
    ON CREATE SET t.documents = k[2], t.terms = k[3]
    ON MATCH SET t.documents = t.documents + k[2], t.terms = t.terms + k[3]
}
CALL () {
    UNWIND $vectors AS k MATCH (r:Record {id: k[0]})
    CALL db.create.setNodeVectorProperty(r, 'vector', k[1]) SET r.vector_position = k[2]
}
RETURN links
"""
FINISH_COPY = (
    "MATCH (h:Head {name: 'triforium'}) SET h.position = $position, h.created_at = $created_at, "
    "h.embedder = $embedder, h.width = $width, h.importing = null, h.imported = null "
    "RETURN h.position AS position"
)
EMPTY_SOME = "MATCH (n) WHERE NOT n:Head WITH n LIMIT 10000 DETACH DELETE n RETURN count(n) AS gone"
EMPTY_HEAD = (
    "MATCH (h:Head {name: 'triforium'}) SET h.position = 0, h.created_at = '', h.embedder = '', "
    "h.width = 0, h.importing = null, h.imported = null, h.quarantine = false "
    "RETURN h.position AS position"
)
