"""What a page asks for first: the store, its scopes and counts, and the limits of the API."""

from __future__ import annotations

from .. import __version__
from .access import Grant
from .graphs import CLUSTERED_ABOVE, MOST_NODES
from .reading import LIST
from .schema import Limits, Meta, Statistics
from .state import Inspector

MAX_TEXT = 400
"""Characters of a query at most."""


async def meta_of(here: Inspector, grant: Grant) -> Meta:
    """What a page asks for first, for a grant."""
    scope = await here.default_scope(grant)
    return Meta(
        version=__version__,
        store=here.store.url,
        scope=scope,
        scopes=await here.scopes(grant),
        edits=grant.edits,
        live=here.live,
        statistics=await statistics_of(here, scope),
        limits=Limits(nodes=MOST_NODES, clustered_above=CLUSTERED_ABOVE, list=LIST, query=MAX_TEXT),
    )


async def statistics_of(here: Inspector, scope: str) -> Statistics:
    """Counts of a scope."""
    found = await here.counts.of(scope)
    return Statistics(
        position=found.position,
        records=dict(found.records),
        statuses=dict(found.statuses),
        outcomes=dict(found.outcomes),
        links=dict(found.links),
        receipts=found.receipts,
        embedder=found.embedder,
        bytes=found.bytes,
        scopes=list(found.scopes),
    )
