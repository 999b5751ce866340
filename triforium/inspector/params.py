"""The parameters of the API, each with its bounds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import Depends, Path, Query, Request
from pydantic import AfterValidator, AwareDatetime

from ..errors import InvalidInput
from ..graph import LinkType, Tier
from .access import Grant
from .graphs import CLUSTERED_ABOVE, MOST_NODES, GraphQuery
from .reading import LIST, Reading
from .schema import LinkName, OutcomeName, StatusName, TierName
from .state import Inspector

MAX_POSITION = 10**15
_NAMES = 32


def _utc(when: datetime) -> datetime:
    """A time in UTC, or a ValueError where that would leave the calendar."""
    if not 1970 <= when.year <= 9000:
        raise ValueError("a time lies between the years 1970 and 9000")
    return when.astimezone(UTC)


Time = Annotated[AwareDatetime, AfterValidator(_utc)]
Name = Annotated[str, Query(max_length=200)]
Names = Annotated[list[Name], Query(max_length=_NAMES)]
Id = Annotated[str, Path(min_length=1, max_length=512)]
ScopeName = Annotated[
    str, Query(max_length=600, description="Tenant path; the page's own if empty.")
]
At = Annotated[
    int | None,
    Query(ge=0, le=MAX_POSITION, description="As of this journal position; now if not given."),
]
AtTime = Annotated[Time | None, Query(description="As of this time; has a zone.")]
Run = Annotated[str, Query(max_length=512, description="Show the open trials of this run as well.")]
Tiers = Annotated[list[TierName], Query(max_length=3)]
Limit = Annotated[int, Query(ge=1, le=LIST)]
Position = Annotated[int, Path(ge=1, le=MAX_POSITION)]
MaybePosition = Annotated[int | None, Query(ge=0, le=MAX_POSITION)]
Skip = Annotated[int, Query(ge=0, le=10**9)]


def inspector_of(request: Request) -> Inspector:
    """The running inspector."""
    found: Inspector = request.app.state.inspector
    return found


def grant_of(request: Request) -> Grant:
    """What the token of a request allows."""
    found: Grant = request.state.grant
    return found


async def reading_of(
    request: Request,
    scope: ScopeName = "",
    at: At = None,
    time: AtTime = None,
    run: Run = "",
) -> Reading:
    """What a request reads: scope, time and run."""
    if at is not None and time is not None:
        raise InvalidInput("Give a position or a time, not both.")
    return await inspector_of(request).reading(
        grant_of(request), scope, at=at if time is None else time, run=run
    )


async def present_of(request: Request, scope: ScopeName = "", run: Run = "") -> Reading:
    """What a request reads that is always about the present."""
    return await inspector_of(request).reading(grant_of(request), scope, run=run)


def filter_of(
    tier: Tiers = [],  # noqa: B006
    kind: Names = [],  # noqa: B006
    status: Annotated[list[StatusName], Query(max_length=4)] = [],  # noqa: B006
    outcome: Annotated[list[OutcomeName | Literal["open"]], Query(max_length=5)] = [],  # noqa: B006
    source: Names = [],  # noqa: B006
    role: Names = [],  # noqa: B006
    agent: Names = [],  # noqa: B006
    since: Annotated[Time | None, Query()] = None,
    until: Annotated[Time | None, Query()] = None,
) -> GraphQuery:
    """The filters; several values of one mean any of them."""
    return GraphQuery(
        tiers=frozenset(tier),
        kinds=frozenset(kind),
        statuses=frozenset(status),
        outcomes=frozenset(outcome),
        sources=frozenset(source),
        roles=frozenset(role),
        agents=frozenset(agent),
        since=since,
        until=until,
    )


Clusters = Annotated[
    Literal["auto", "never", "always"],
    Query(description=f"auto: as clusters if there are more than {CLUSTERED_ABOVE:,} records."),
]
Opened = Annotated[
    list[Annotated[str, Query(max_length=700)]],
    Query(max_length=64, description="Ids of clusters to be shown from inside."),
]
Nodes = Annotated[int, Query(ge=1, le=MOST_NODES)]
Types = Annotated[list[LinkName], Query(max_length=9)]
Direction = Annotated[Literal["out", "in", "both"], Query()]
Here = Annotated[Inspector, Depends(inspector_of)]
Granted = Annotated[Grant, Depends(grant_of)]
Then = Annotated[Reading, Depends(reading_of)]
Now = Annotated[Reading, Depends(present_of)]
Filters = Annotated[GraphQuery, Depends(filter_of)]


def link_types(names: list[LinkName]) -> frozenset[LinkType]:
    """Types of links; all if none is named."""
    return frozenset(map(LinkType, names)) or frozenset(LinkType)


def tiers_of(names: list[TierName]) -> frozenset[Tier]:
    """Tiers; all if none is named."""
    return frozenset(map(Tier, names)) or frozenset(Tier)
