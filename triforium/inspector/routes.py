"""The paths of the API. All answers are models of `schema`; all but three are GET.

Every path but meta, session and openapi.json takes `scope` (a tenant path; the page's own if
empty). Where the table says *then*, also `at` (a journal position) or `time` (ISO 8601 with a
zone), and `run` (shows that run's open trials). *filters* are `tier`, `kind`, `status`, `outcome`,
`source`, `role`, `agent` (each may be repeated), `since` and `until` (times).

======================================  ==============  ===========================================
path                                    answer          parameters
======================================  ==============  ===========================================
/api/meta                               Meta
POST /api/session                       Session         (sets the token as a strict cookie)
/api/openapi.json
/api/statistics                         Statistics
/api/graph                              Graph           then, filters, text, clusters, open, limit
/api/neighbours                         Neighbourhood   then, id (repeated), type, direction, tier,
                                                        fan
/api/search                             Found           then, q, filters, limit
/api/record/{id}                        RecordDetail    then
/api/record/{id}/versions               Versions
/api/recalls                            Receipts        run, trial, record, role, skip, limit
/api/recall/{receipt}                   Replay
/api/trials                             Trials          then, filters, skip, limit
/api/trial/{id}                         TrialDetail     then
/api/agents                             Agents
/api/agent                              AgentDetail     role, agent, source
/api/guard                              Inbox           then, limit
/api/guard/{id}                         Suspect         then
POST /api/guard/{id}/release            Decision        body {"reason": "..."}
POST /api/guard/{id}/confirm            Decision        body {"reason": "..."}
/api/journal                            Journal         after or before, limit, actor, record
/api/journal/{position}                 Entry
/api/timeline                           Timeline        points
/api/difference                         Difference      start, end
/api/revert/{changeset}                 Revert          cascade
/api/learning                           Learning        window
/api/events                             (events)        after; server-sent events named "change",
                                                        whose data is an Event
======================================  ==============  ===========================================

An error is `{"error": {"code", "message", "retryable"}}` with a status: 400 and 422 for what
cannot be used, 401 without a token, 403 from another site, 404 for what the scope does not see,
409 for what changed meanwhile, 503 while the store is busy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from .details import neighbourhood, record_detail, search
from .graphs import CLUSTERED_ABOVE
from .history import difference, entry_at, journal_page, revert_of, timeline, versions
from .overview import MAX_TEXT, meta_of, statistics_of
from .params import (
    MAX_POSITION,
    Clusters,
    Direction,
    Filters,
    Granted,
    Here,
    Id,
    Limit,
    MaybePosition,
    Nodes,
    Now,
    Opened,
    Position,
    Run,
    Skip,
    Then,
    Tiers,
    Types,
    link_types,
    tiers_of,
)
from .quarantine import confirm, inbox, release, suspect
from .receipts import Line
from .replay import replay
from .schema import (
    AgentDetail,
    Agents,
    Decision,
    Difference,
    Entry,
    Error,
    Found,
    Graph,
    Inbox,
    Journal,
    Learning,
    Meta,
    Neighbourhood,
    Reason,
    Receipts,
    RecordDetail,
    Replay,
    Revert,
    Session,
    Statistics,
    Suspect,
    Timeline,
    TrialDetail,
    Trials,
    Versions,
)
from .trials import agent_detail, agents, trial_detail, trials_page

_ERRORS: dict[int | str, dict[str, object]] = {
    status: {"model": Error} for status in (400, 401, 403, 404, 409, 413, 414, 415, 421, 422, 503)
}
router = APIRouter(prefix="/api", responses=_ERRORS)


@router.get("/meta")
async def meta(here: Here, grant: Granted) -> Meta:
    """What a page asks for first."""
    return await meta_of(here, grant)


@router.post("/session")
async def session(request: Request, response: Response, grant: Granted) -> Session:
    """Take the token of this request as a cookie that no script and no other site can use."""
    token = request.headers.get("authorization", "").partition(" ")[2].strip()
    if token:
        response.set_cookie(
            request.app.state.cookie, token, httponly=True, samesite="strict", path="/api"
        )
    return Session(scope=grant.scope, edits=grant.edits)


@router.get("/statistics")
async def statistics(here: Here, now: Now) -> Statistics:
    """Counts of what the scope sees."""
    return await statistics_of(here, now.scope)


@router.get("/graph", response_model=Graph)
async def graph(
    here: Here,
    then: Then,
    filters: Filters,
    text: Annotated[str, Query(max_length=MAX_TEXT)] = "",
    clusters: Clusters = "auto",
    open: Opened = [],  # noqa: B006
    limit: Nodes = CLUSTERED_ABOVE,
) -> Response:
    """The three storeys: nodes with links, or clusters by topic where there are many."""
    query = replace(
        filters,
        text=text.strip().casefold(),
        clusters=clusters,
        opened=frozenset(open),
        limit=limit,
    )
    return Response(await here.graph(then, query), media_type="application/json")


@router.get("/neighbours")
async def neighbours(
    then: Then,
    id: Annotated[list[Annotated[str, Query(max_length=512)]], Query(max_length=64)],
    type: Types = [],  # noqa: B006
    tier: Tiers = [],  # noqa: B006
    direction: Direction = "both",
    fan: Annotated[int, Query(ge=1, le=500)] = 64,
) -> Neighbourhood:
    """What is linked to some records; also how the steps of a trial are asked for."""
    return await neighbourhood(then, id, link_types(type), direction, tiers_of(tier), fan)


@router.get("/search")
async def search_(
    here: Here,
    then: Then,
    filters: Filters,
    q: Annotated[str, Query(max_length=MAX_TEXT)] = "",
    limit: Limit = 50,
) -> Found:
    """Records by id, by their words, and by the letters of their text."""
    snapshot = await here.snapshots.at(then.scope, then.at)
    return await search(then, snapshot, q, filters, limit)


@router.get("/record/{id}")
async def record(here: Here, then: Then, id: Id) -> RecordDetail:
    """A record and all that is known about it."""
    effect = await here.lift_of(then.scope, id)
    return await record_detail(then, here.receipts, id, effect)


@router.get("/recalls")
async def recalls(
    here: Here,
    now: Now,
    trial: Run = "",
    record: Run = "",
    role: Annotated[str, Query(max_length=200)] = "",
    skip: Skip = 0,
    limit: Limit = 50,
) -> Receipts:
    """Recalls, newest first.

    Args:
        here: The inspector.
        now: Who reads.
        trial: Only those of this trial.
        record: Only those that name this record.
        role: Only those of this role.
        skip: So many are left out first: the length of the list at hand.
        limit: At most so many.
    """
    index = await here.receipts.of(now.scope)
    naming = {part.line.id for part in index.by_record.get(record, ())} if record else None
    chosen: Sequence[Line] = [
        line
        for line in reversed(index.lines)
        if (not now.run or line.run == now.run)
        and (not trial or line.trial == trial)
        and (not role or line.role == role)
        and (naming is None or line.id in naming)
    ]
    return await here.receipts.page(now.scope, chosen, await now.view(), skip, limit)


@router.get("/recall/{receipt}")
async def recall(now: Now, receipt: Id) -> Replay:
    """One recall, stage by stage, as `Memory.explain` accounts for it."""
    return await replay(now, receipt)


# --- trials and agents ------------------------------------------------------------------------


@router.get("/trials")
async def trials(
    here: Here, then: Then, filters: Filters, skip: Skip = 0, limit: Limit = 50
) -> Trials:
    """Trials, newest first."""
    snapshot = await here.snapshots.at(then.scope, then.at)
    index = await here.receipts.of(then.scope)
    return await trials_page(then, snapshot, index, filters, skip=skip, limit=limit)


@router.get("/trial/{id}")
async def trial(here: Here, then: Then, id: Id) -> TrialDetail:
    """One trial as a sequence of steps, with the memory each agent saw."""
    return await trial_detail(then, here.receipts, id)


@router.get("/agents")
async def agents_(here: Here, now: Now) -> Agents:
    """Who wrote the newest steps, and which roles recalled."""
    return await agents(now, here.receipts)


@router.get("/agent")
async def agent_(
    here: Here,
    now: Now,
    role: Annotated[str, Query(max_length=200)] = "",
    agent: Annotated[str, Query(max_length=200)] = "",
    source: Annotated[str, Query(max_length=200)] = "",
) -> AgentDetail:
    """The memory as one agent sees it; a role without agents is named by `role` alone.

    Steps without role and agent are told apart by `source`.
    """
    snapshot = await here.snapshots.at(now.scope)
    return await agent_detail(now, snapshot, here.receipts, role, agent, source)


# --- guard ------------------------------------------------------------------------------------


@router.get("/guard")
async def guard(then: Then, grant: Granted, limit: Limit = 50) -> Inbox:
    """The quarantine inbox."""
    return await inbox(then, grant, limit)


@router.get("/guard/{id}")
async def guard_one(here: Here, then: Then, grant: Granted, id: Id) -> Suspect:
    """A quarantined record beside those that speak against it."""
    return await suspect(then, here.journals, here.receipts, grant, id)


@router.post("/guard/{id}/release")
async def guard_release(now: Now, grant: Granted, id: Id, why: Reason) -> Decision:
    """Let a record take part in recall again. Needs --allow-edits."""
    return await release(now, grant, id, why.reason)


@router.post("/guard/{id}/confirm")
async def guard_confirm(now: Now, grant: Granted, id: Id, why: Reason) -> Decision:
    """Agree that a record is kept away for good. Needs --allow-edits."""
    return await confirm(now, grant, id, why.reason)


# --- history ----------------------------------------------------------------------------------


@router.get("/record/{id}/versions")
async def record_versions(here: Here, now: Now, id: Id) -> Versions:
    """What each changeset did to a record, with the fields before and after."""
    return await versions(now, here.journals, id)


@router.get("/journal")
async def journal(
    here: Here,
    now: Now,
    after: MaybePosition = None,
    before: MaybePosition = None,
    limit: Limit = 50,
    actor: Annotated[str, Query(max_length=300)] = "",
    record: Run = "",
) -> Journal:
    """What was changed, by whom and why: newest first, or with `after` oldest first."""
    return await journal_page(
        now, here.journals, after=after, before=before, limit=limit, actor=actor, record=record
    )


@router.get("/journal/{position}")
async def journal_entry(now: Now, position: Position) -> Entry:
    """One changeset with its operations in words."""
    return await entry_at(now, position)


@router.get("/timeline")
async def timeline_(
    here: Here, now: Now, points: Annotated[int, Query(ge=2, le=500)] = 100
) -> Timeline:
    """Positions evenly spread over the journal, for a slider."""
    return await timeline(now, here.journals, points)


@router.get("/difference")
async def difference_(
    here: Here,
    now: Now,
    start: Annotated[int, Query(ge=0, le=MAX_POSITION)],
    end: MaybePosition = None,
) -> Difference:
    """What changed between two positions, or since one."""
    return await difference(now, here.journals, start, end)


@router.get("/revert/{changeset}")
async def revert(now: Now, changeset: Id, cascade: bool = False) -> Revert:
    """What reverting a changeset would do; nothing is changed."""
    return await revert_of(now, changeset, cascade=cascade)


# --- learning, live ---------------------------------------------------------------------------


@router.get("/learning", response_model=Learning)
async def learning_(
    here: Here, now: Now, window: Annotated[int, Query(ge=1, le=500)] = 20
) -> Response:
    """Success over the stream, growth, credit and lift of insights, and what recall costs."""
    return Response(await here.learning(now, window), media_type="application/json")


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def events(
    request: Request, here: Here, now: Now, after: MaybePosition = None
) -> StreamingResponse:
    """Changes as they happen: server-sent events named "change", whose data is an `Event`.

    A page that was away names the last id it had in the header Last-Event-ID, or as `after`.
    """
    last = request.headers.get("last-event-id", "")
    if after is None and last.isdecimal() and len(last) < 16:
        after = int(last)
    here.poller.check()
    return StreamingResponse(
        here.poller.watch(now.scope, after),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )
