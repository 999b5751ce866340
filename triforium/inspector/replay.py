"""One recall, stage by stage, from its receipt: the numbers are those of `Memory.explain`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..graph import Hop, Link, LinkType, Record, Tier, View
from ..graph.changes import AddCredit
from ..memory import Item, Memory, Recall, Rejected
from ..memory.cases import steps_of
from ..memory.trial import credits
from .reading import ANY, EVERY_TIER, Reading, brief, credit_out, get_all, link_out, outcome_out
from .schema import CandidateOut, CaseStepOut, CreditOut, ItemOut, PathStep, Replay

_WALKED = frozenset(
    {LinkType.SIMILAR, LinkType.LED_TO, LinkType.SUPPORTS, LinkType.REFUTES, LinkType.DERIVED_FROM}
)
_FAN = 256


async def replay(reading: Reading, receipt: str) -> Replay:
    """The account of a recall.

    Raises:
        NotFound: The scope sees no such receipt.
    """
    memory = Memory(reading.store, scope=reading.scope)
    explained = await memory.explain(receipt)
    stored, recall = explained.receipts[0], explained.recalls[0]
    ids = {id_ for item in recall.items for id_ in (item.record.id, *item.path)}
    ids |= {one.id for one in recall.rejected}
    # As of the recall: what was linked then, not what is linked now.
    then = await reading.store.view(reading.scope, run=stored.run, at=stored.position)
    now = await reading.store.view(reading.scope, run=stored.run)
    links = await _between(then, ids)
    records = {**await get_all(now, ids), **{item.record.id: item.record for item in recall.items}}
    trial = explained.trials.get(stored.trial)
    used = await _used(now, stored.trial)
    credited = _credited(recall, used, trial)
    walker = _Walker(records, links)
    led_to = await _led_to(now, stored.trial, receipt) if stored.trial else []
    shown = {item["id"] for item in stored.body["items"]}
    return Replay(
        receipt=stored.id,
        scope=stored.scope,
        run=stored.run,
        trial=stored.trial,
        task=recall.task,
        role=recall.role,
        strategy=recall.strategy,
        position=stored.position,
        created_at=stored.created_at,
        budget=recall.budget,
        tokens=recall.tokens,
        candidates=_candidates(recall, walker),
        channels=sorted({name for item in recall.items for name in item.scores} - {"final"}),
        links=[link_out(link) for link in links],
        items=_items(recall, walker, credited, used),
        gone=sorted(shown - {item.record.id for item in recall.items}),
        held_out=list(recall.held_out),
        prompt=recall.render(),
        trial_record=brief(trial) if trial else None,
        outcome=outcome_out(trial.outcome) if trial else None,
        led_to=[link_out(link) for link in led_to],
        text=str(explained),
    )


async def _between(view: View, ids: set[str]) -> list[Link]:
    """The links among some records that a recall may follow."""
    walk = await view.walk(sorted(ids), [Hop(_WALKED, "out", EVERY_TIER, ANY, fan=_FAN)])
    return [link for link in walk.links if link.src in ids and link.dst in ids]


async def _used(view: View, trial: str) -> frozenset[str]:
    """What agents said they acted on."""
    if not trial:
        return frozenset()
    steps = (await steps_of(view, [trial])).get(trial, [])
    return frozenset(str(id_) for step in steps for id_ in step.data.get("used", ()))


def _credited(
    recall: Recall, used: frozenset[str], trial: Record | None
) -> Mapping[str, CreditOut]:
    """The credit that the trial's outcome gave each item by this receipt."""
    if trial is None or trial.outcome is None:
        return {}
    return {
        op.id: credit_out(op.uses, op.helped, op.hurt)
        for op in credits([recall], used, trial.outcome)
        if isinstance(op, AddCredit)
    }


async def _led_to(view: View, trial: str, receipt: str) -> list[Link]:
    hop = Hop(frozenset({LinkType.LED_TO}), "in", EVERY_TIER, ANY, fan=_FAN)
    walk = await view.walk([trial], [hop])
    return [link for link in walk.links if link.via == receipt]


class _Walker:
    """Tells the paths of a recall by the links that were there."""

    def __init__(self, records: Mapping[str, Record], links: Sequence[Link]) -> None:
        self.records = records
        self._types: dict[tuple[str, str], LinkType] = {}
        self._voters: dict[str, list[str]] = {}
        for link in links:
            self._types.setdefault((link.src, link.dst), link.type)
            self._types.setdefault((link.dst, link.src), link.type)
            if link.type is LinkType.SUPPORTS:
                self._voters.setdefault(link.dst, []).append(link.src)

    def voters(self, id_: str) -> list[str]:
        """The candidates that support an insight."""
        return sorted(self._voters.get(id_, ()))

    def path(self, ids: Sequence[str]) -> list[PathStep]:
        """A path, each record with the link that led to it."""
        steps = []
        for number, id_ in enumerate(ids):
            type_ = self._types.get((ids[number - 1], id_)) if number else None
            record = self.records.get(id_)
            steps.append(
                PathStep(
                    id=id_,
                    record=brief(record) if record else None,
                    link=type_.value if type_ else None,
                )
            )
        return steps


def _candidates(recall: Recall, walker: _Walker) -> list[CandidateOut]:
    """All that the receipt names, the best first."""
    found = [
        CandidateOut(
            id=item.record.id,
            tier=item.record.tier.value,
            text=item.record.text[:280],
            scores=dict(item.scores),
            path=walker.path(item.path),
            how=_how(item.record.tier, item.path, item.scores),
            fate="packed",
            reason="",
            rank=rank,
        )
        for rank, item in enumerate(recall.items, 1)
    ]
    held_out = set(recall.held_out)
    found += [_rejected(one, walker, one.id in held_out) for one in recall.rejected]
    found.sort(key=lambda one: (-one.scores.get("final", 0.0), one.id))
    return found


def _rejected(one: Rejected, walker: _Walker, held_out: bool) -> CandidateOut:
    record = walker.records.get(one.id)
    tier = record.tier if record else None
    fate: Any = "no room"
    if held_out:
        fate = "held out"
    elif one.reason.startswith("set aside"):
        fate = "set aside"
    elif one.reason.startswith("quarantine"):
        fate = "quarantined"
    return CandidateOut(
        id=one.id,
        tier=tier.value if tier else None,
        text=one.text[:280],
        scores=dict(one.scores),
        path=[],
        how=_how(tier, (), one.scores),
        fate=fate,
        reason=one.reason,
        rank=0,
    )


def _how(tier: Tier | None, path: Sequence[str], scores: Mapping[str, float]) -> Any:
    """How a candidate came in: by its path, or, where that is not kept, by its channels."""
    if tier is None:
        return "unknown"
    if tier is Tier.INSIGHT:
        return "insight" if len(path) > 1 or scores.get("votes") else "search"
    if len(path) > 1 or "similar" in scores or "led_to" in scores:
        return "neighbour"
    return "search"


def _items(
    recall: Recall,
    walker: _Walker,
    credited: Mapping[str, CreditOut],
    used: frozenset[str],
) -> list[ItemOut]:
    items, spent = [], 0
    for rank, item in enumerate(recall.items, 1):
        spent += item.tokens
        items.append(
            ItemOut(
                rank=rank,
                record=brief(item.record),
                placement=item.placement.value,
                scores=dict(item.scores),
                path=walker.path(item.path),
                text=item.text,
                tokens=item.tokens,
                spent=spent,
                flagged="flagged" in item.scores,
                case=_case(item),
                voters=walker.voters(item.record.id),
                credit=credited.get(item.record.id),
                used=item.record.id in used,
            )
        )
    return items


def _case(item: Item) -> list[CaseStepOut]:
    steps = item.case.steps if item.case else ()
    return [
        CaseStepOut(action=step.action, observation=step.observation, role=step.role)
        for step in steps
    ]
