"""The stages of a recall after a strategy has ranked: screen, hold out, select, pack.

The whole line is gate -> candidates -> expand -> score -> screen -> hold-out -> select -> pack;
the strategy does the second to fourth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ..graph import JSON, Record, StoredReceipt, View, digest
from ..graph.records import Outcome
from .guard import Guard, Judgement, Verdict
from .guard.refill import Embed, screened
from .recall import Case, CaseStep, Item, Placement, Recall, Rejected, Rule
from .strategy import Candidate, Cue, Strategy

MAX_ITEMS = 48
MAX_REJECTED = 32
MISSES = 16
"""After so many candidates in a row that did not fit, the budget counts as full."""
_OVERHEAD = 4
"""Tokens of an item's number and line breaks in a prompt."""


async def recall(
    view: View,
    strategy: Strategy,
    guard: Guard,
    cue: Cue,
    *,
    receipt: str,
    count_tokens: Callable[[str], int],
    hold_out: float,
    suspects: list[tuple[Record, Judgement]] | None = None,
    embed: Embed | None = None,
) -> Recall:
    """Run all stages.

    Args:
        view: What to read.
        strategy: Who ranks.
        guard: Who screens.
        cue: What the recall is for.
        receipt: Id of the receipt, also the seed of the hold-out.
        count_tokens: The length of a text in tokens.
        hold_out: Probability, per item, of leaving it out to measure its worth.
        suspects: Takes what the guard wants in quarantine, with its judgement.
        embed: Embeds a text, for looking again in place of what the guard takes out.
    """
    candidates: Sequence[Candidate] = ()
    if cue.task.strip() and cue.budget > 0:
        candidates = await strategy.retrieve(view, cue)
    judgements: Sequence[Judgement] = ()
    if candidates:
        candidates, judgements = await screened(view, strategy, guard, cue, candidates, embed)
    packer = _Packer(cue.budget, count_tokens)
    for candidate, judgement in zip(candidates, judgements, strict=True):
        if judgement.verdict in (Verdict.SET_ASIDE, Verdict.QUARANTINE):
            packer.reject(candidate, f"{judgement.verdict}: {judgement.reason}")
            if judgement.verdict is Verdict.QUARANTINE and suspects is not None:
                suspects.append((candidate.record, judgement))
        else:
            left_out = partial(held_out, receipt, candidate.record.id, hold_out)
            packer.offer(candidate, judgement, left_out=left_out)
    return Recall(
        receipt=receipt,
        task=cue.task,
        role=cue.role,
        strategy=f"{strategy.name}/{strategy.version}",
        position=view.position,
        budget=cue.budget,
        tokens=packer.tokens,
        items=tuple(packer.items),
        rejected=tuple(packer.rejected),
        held_out=tuple(packer.held_out),
    )


def held_out(receipt: str, record: str, probability: float) -> bool:
    """Whether a record is left out of a recall: a coin whose seed is the two ids."""
    if probability <= 0.0:
        return False
    return int(digest("hold-out", receipt, record)[:8], 16) < probability * 2**32


class _Packer:
    """Fills the budget in the order of the candidates; what does not fit is passed over."""

    def __init__(self, budget: int, count_tokens: Callable[[str], int]) -> None:
        self._budget = budget
        self._count = count_tokens
        self.tokens = 0
        self.items: list[Item] = []
        self.rejected: list[Rejected] = []
        self.held_out: list[str] = []
        self._misses = 0

    def offer(
        self, candidate: Candidate, judgement: Judgement, *, left_out: Callable[[], bool]
    ) -> None:
        if len(self.items) >= MAX_ITEMS:
            self.reject(candidate, f"there are {MAX_ITEMS} items already")
            return
        if self._misses >= MISSES:
            self.reject(candidate, "the budget is full")
            return
        for form in candidate.offered():
            # A text has at most as many tokens as bytes; do not count what cannot fit anyway.
            if len(form.text) > 12 * self._budget:
                continue
            tokens = self._count(form.text) + _OVERHEAD
            if self.tokens + tokens <= self._budget:
                if left_out():
                    # Only what would have been packed may be compared with what was.
                    self.hold_out(candidate)
                    return
                scores = dict(candidate.scores)
                if judgement.verdict is Verdict.FLAG:
                    scores["flagged"] = 1.0
                self.tokens += tokens
                self._misses = 0
                self.items.append(
                    Item(
                        record=candidate.record,
                        placement=candidate.placement,
                        scores=scores,
                        path=candidate.path,
                        text=form.text,
                        tokens=tokens,
                        case=form.case,
                        rule=form.rule,
                    )
                )
                return
        self._misses += 1
        self.reject(candidate, f"does not fit in the {self._budget - self.tokens} tokens left")

    def hold_out(self, candidate: Candidate) -> None:
        self.held_out.append(candidate.record.id)
        self.reject(candidate, "held out, to measure what it is worth")

    def reject(self, candidate: Candidate, reason: str) -> None:
        if len(self.rejected) >= MAX_REJECTED:
            return
        self.rejected.append(
            Rejected(
                id=candidate.record.id,
                text=candidate.record.text[:200],
                reason=reason,
                scores=candidate.scores,
            )
        )


def recall_to_json(recalled: Recall) -> dict[str, JSON]:
    """A recall as the body of a receipt."""
    return {
        "task": recalled.task,
        "role": recalled.role,
        "strategy": recalled.strategy,
        "budget": recalled.budget,
        "tokens": recalled.tokens,
        "items": [_item_to_json(item) for item in recalled.items],
        "rejected": [
            {"id": one.id, "text": one.text, "reason": one.reason, "scores": dict(one.scores)}
            for one in recalled.rejected
        ],
        "held_out": list(recalled.held_out),
    }


def recall_from_receipt(receipt: StoredReceipt, records: Mapping[str, Record]) -> Recall:
    """The recall that a receipt accounts for.

    Args:
        receipt: The stored receipt.
        records: The recalled records by id; an item whose record is gone is left out.
    """
    body = receipt.body
    return Recall(
        receipt=receipt.id,
        task=body["task"],
        role=body["role"],
        strategy=body["strategy"],
        position=receipt.position,
        budget=body["budget"],
        tokens=body["tokens"],
        items=tuple(
            _item_from_json(item, records[item["id"]])
            for item in body["items"]
            if item["id"] in records
        ),
        rejected=tuple(Rejected(**one) for one in body["rejected"]),
        held_out=tuple(body["held_out"]),
    )


def _item_to_json(item: Item) -> dict[str, JSON]:
    case, rule = item.case, item.rule
    return {
        "id": item.record.id,
        "tier": item.record.tier.value,
        "placement": item.placement.value,
        "scores": dict(item.scores),
        "path": list(item.path),
        "text": item.text,
        "tokens": item.tokens,
        "case": None
        if case is None
        else {
            "task": case.task,
            "outcome": case.outcome.to_json(),
            "steps": [[step.action, step.observation, step.role] for step in case.steps],
            "score": case.score,
        },
        "rule": None
        if rule is None
        else {
            "text": rule.text,
            "form": rule.form,
            "data": dict(rule.data),
            "confidence": rule.confidence,
            "support": rule.support,
        },
    }


def _item_from_json(data: Mapping[str, Any], record: Record) -> Item:
    case, rule = data["case"], data["rule"]
    return Item(
        record=record,
        placement=Placement(data["placement"]),
        scores=data["scores"],
        path=tuple(data["path"]),
        text=data["text"],
        tokens=data["tokens"],
        case=case
        and Case(
            id=record.id,
            task=case["task"],
            outcome=Outcome.from_json(case["outcome"]),
            steps=tuple(CaseStep(*step) for step in case["steps"]),
            score=case["score"],
        ),
        rule=rule and Rule(id=record.id, **rule),
    )
