"""Trials as sequences of steps, and agents with what they wrote and recalled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from ..errors import NotFound
from ..graph import Hop, LinkType, Record, Tier, View, Walk
from ..memory.cases import action_of, group_steps, observation_of, steps_hop, steps_of
from .graphs import GraphQuery, outcome_name
from .reading import ANY, LIST, Reading, brief, briefs, get_all, record_out
from .receipts import Index, Line, Receipts
from .schema import (
    AgentDetail,
    AgentLine,
    Agents,
    Brief,
    Seen,
    StepOut,
    TrialDetail,
    TrialLine,
    Trials,
)
from .snapshot import Snapshot

WINDOW = 2_000
"""The newest steps from which agents are told."""
_LINKS = frozenset(
    {LinkType.LED_TO, LinkType.SUPPORTS, LinkType.REFUTES, LinkType.SIMILAR, LinkType.REPLY_TO}
)
_STEPS = frozenset({Tier.INTERACTION})


async def trials_page(
    reading: Reading,
    snapshot: Snapshot,
    index: Index,
    query: GraphQuery,
    *,
    skip: int,
    limit: int,
) -> Trials:
    """Trials, the newest first."""
    chosen = [
        record
        for record in reversed(snapshot.records.values())
        if record.tier is Tier.QUERY and query.passes(record)
    ]
    page = chosen[skip : skip + limit]
    view = await reading.view()
    walk = await view.walk([one.id for one in page], [steps_hop()])
    steps = group_steps(walk.records)
    return Trials(
        trials=[
            TrialLine(
                record=brief(one),
                steps=len(steps.get(one.id, ())),
                recalls=len(index.by_trial.get(one.id, ())),
            )
            for one in page
        ],
        more=len(chosen) > skip + limit,
    )


def lane_of(record: Record) -> str:
    """Who took a step: the agent, else the role, else the source."""
    origin = record.provenance
    return origin.agent or origin.role or origin.source or "unattributed"


async def trial_detail(reading: Reading, receipts: Receipts, id_: str) -> TrialDetail:
    """One trial as a sequence of steps, with the memory that each agent saw.

    Raises:
        NotFound: The scope does not see it, or it is no trial.
    """
    view, record = await reading.one(id_)
    if record.tier is not Tier.QUERY:
        raise NotFound(f"The record {id_[:80]!r} is no trial; /api/record shows it.", id=id_[:80])
    steps = (await steps_of(view, [id_])).get(id_, [])
    tiers = frozenset({Tier.QUERY, Tier.INSIGHT})
    walk = await view.walk([id_], [Hop(_LINKS, "both", tiers, ANY, fan=LIST)])
    replies = await _replies(view, steps)
    used = sorted({str(one) for step in steps for one in step.data.get("used", ())})
    index = await receipts.of(reading.scope)
    lanes = {step.provenance.role: lane_of(step) for step in reversed(steps)}
    seen = [_seen(line, steps, lanes) for line in index.by_trial.get(id_, ())]
    return TrialDetail(
        position=view.position,
        record=record_out(record),
        lanes=list(dict.fromkeys([*map(lane_of, steps), *(one.lane for one in seen)])),
        steps=[
            StepOut(
                record=brief(step),
                lane=lane_of(step),
                action=action_of(step),
                said=observation_of(step)[:4000],
                reply_to=replies.get(step.id, ""),
                used=[str(one) for one in step.data.get("used", ())],
            )
            for step in steps
        ],
        recalls=seen,
        used=briefs(await get_all(view, used), used),
        led_from=_ends(walk, id_, LinkType.LED_TO, inward=True),
        led_to=_ends(walk, id_, LinkType.LED_TO, inward=False),
        supports=_ends(walk, id_, LinkType.SUPPORTS, inward=False),
        refutes=_ends(walk, id_, LinkType.REFUTES, inward=False),
        similar=_ends(walk, id_, LinkType.SIMILAR, inward=True)
        + _ends(walk, id_, LinkType.SIMILAR, inward=False),
    )


async def _replies(view: View, steps: Sequence[Record]) -> dict[str, str]:
    hop = Hop(frozenset({LinkType.REPLY_TO}), "out", _STEPS, ANY, fan=4)
    walk = await view.walk([step.id for step in steps], [hop])
    return {link.src: link.dst for link in walk.links}


def _seen(line: Line, steps: Sequence[Record], lanes: dict[str, str]) -> Seen:
    """A recall before the first step that was recorded after it."""
    when = line.stored.created_at
    later = [
        number
        for number, step in enumerate(steps)
        if when is None or step.created_at is None or step.created_at >= when
    ]
    return Seen(
        receipt=line.id,
        lane=lanes.get(line.role) or line.role or "any role",
        role=line.role,
        before_step=later[0] if later else len(steps),
        items=line.items,
        tokens=line.tokens,
        position=line.stored.position,
        created_at=when,
    )


def _ends(walk: Walk, id_: str, type_: LinkType, *, inward: bool) -> list[Brief]:
    links = [link for link in walk.links if link.type is type_]
    ids = [link.src for link in links if link.dst == id_] if inward else []
    ids += [] if inward else [link.dst for link in links if link.src == id_]
    return briefs(walk.records, ids)


# --- agents -----------------------------------------------------------------------------------


async def _window(reading: Reading) -> Sequence[Record]:
    view = await reading.view()
    return await view.recent(tiers=_STEPS, k=WINDOW, where=ANY)


async def agents(reading: Reading, receipts: Receipts) -> Agents:
    """Who wrote the newest steps, and which roles recalled."""
    steps = await _window(reading)
    index = await receipts.of(reading.scope)
    found: dict[_Who, list[Record]] = {}
    for step in steps:
        found.setdefault(_who(step), []).append(step)
    roles = {who.role for who in found}
    recalls = Counter(line.role for line in index.lines)
    for role in recalls.keys() - roles:
        found[_Who(role, "", "")] = []
    lines = [
        AgentLine(
            name=who.name,
            role=who.role,
            agent=who.agent,
            source=who.source,
            steps=len(of),
            trials=len({step.provenance.trial for step in of}),
            recalls=recalls.get(who.role, 0),
            last=_last(of),
        )
        for who, of in found.items()
    ]
    lines.sort(key=lambda one: (-one.steps, one.name))
    return Agents(agents=lines[:LIST], window=len(steps))


class _Who(NamedTuple):
    """An agent; by its source where steps have neither role nor agent."""

    role: str
    agent: str
    source: str

    @property
    def name(self) -> str:
        return self.agent or self.role or self.source or "unattributed"


def _who(step: Record) -> _Who:
    origin = step.provenance
    return _Who(origin.role, origin.agent, "" if origin.role or origin.agent else origin.source)


def _last(of: Sequence[Record]) -> datetime | None:
    return max((step.created_at for step in of if step.created_at), default=None)


async def agent_detail(
    reading: Reading,
    snapshot: Snapshot,
    receipts: Receipts,
    role: str,
    agent: str,
    source: str = "",
) -> AgentDetail:
    """The memory as one agent sees it.

    Raises:
        NotFound: Nobody of that role and name, and without either of that source, wrote or
            recalled.
    """
    who = _Who(role, agent, source)
    steps = [step for step in await _window(reading) if _who(step) == who]
    index = await receipts.of(reading.scope)
    lines = [line for line in reversed(index.lines) if line.role == role]
    if not steps and not lines:
        raise NotFound(
            f"There is no agent {agent[:80]!r} of role {role[:80]!r} in the newest {WINDOW:,} "
            "steps and recalls; /api/agents lists them."
        )
    view = await reading.view()
    trials = await get_all(view, {step.provenance.trial for step in steps} - {""})
    return AgentDetail(
        name=who.name,
        role=role,
        agent=agent,
        source=source,
        recalls=await receipts.lines(reading.scope, lines[:LIST], view),
        steps=[brief(step) for step in steps[:LIST]],
        helped=_by_credit(snapshot, role, helped=True),
        hurt=_by_credit(snapshot, role, helped=False),
        wrote=dict(Counter(step.kind for step in steps)),
        outcomes=dict(Counter(outcome_name(one) for one in trials.values())),
    )


def _by_credit(snapshot: Snapshot, role: str, *, helped: bool) -> list[Brief]:
    """What the credit of a role speaks most for, or most against."""
    rated = []
    for record in snapshot.records.values():
        credit = record.credit.get(role)
        if credit is None:
            continue
        value = credit.helped if helped else credit.hurt
        if value > 0.0:
            rated.append((-value, record.id, record))
    rated.sort(key=lambda one: one[:2])
    return [brief(record) for _, _, record in rated[:30]]
