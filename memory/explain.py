"""The account of recalls in words: what was handed out, why, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..graph import Record, StoredReceipt
from .recall import Item, Recall


@dataclass(frozen=True, slots=True)
class Explanation:
    """One or more recalls with the trials they were for.

    Attributes:
        receipts: As stored.
        recalls: The same, read back; an item whose record is gone is left out.
        trials: By id.
    """

    receipts: tuple[StoredReceipt, ...]
    recalls: tuple[Recall, ...]
    trials: Mapping[str, Record]

    def __str__(self) -> str:
        blocks = []
        for receipt, recall in zip(self.receipts, self.recalls, strict=True):
            trial = self.trials.get(receipt.trial)
            outcome = "open" if trial is None or trial.outcome is None else str(trial.outcome)
            lines = [
                f"Receipt {receipt.id}",
                f"  task      {_line(recall.task)}",
                f"  for       {recall.role or 'any role'}, run {receipt.run}",
                f"  strategy  {recall.strategy}, at journal position {receipt.position}",
                f"  packed    {len(recall.items)} items, {recall.tokens} of {recall.budget} tokens",
                f"  outcome   {outcome if receipt.trial else 'no trial'}",
            ]
            lines += [_item(number, item) for number, item in enumerate(recall.items, 1)]
            if recall.rejected:
                lines.append(f"  not packed ({len(recall.rejected)}):")
                lines += [f"    - {_line(one.text)}: {one.reason}" for one in recall.rejected[:8]]
                if len(recall.rejected) > 8:
                    lines.append(f"    - and {len(recall.rejected) - 8} more")
            blocks.append("\n".join(lines))
        return "\n\n".join(blocks)


def _item(number: int, item: Item) -> str:
    scores = ", ".join(f"{name} {value:.2f}" for name, value in sorted(item.scores.items()))
    path = " > ".join(id_[:8] for id_ in item.path)
    return (
        f"  [{number}] {item.placement.value}: {_line(item.record.text)}\n"
        f"      {scores}\n"
        f"      record {item.record.id}, by {item.record.provenance.source or 'unattributed'}, "
        f"path {path}, {item.tokens} tokens"
    )


def _line(text: str) -> str:
    shown = " ".join(text.split())
    return shown if len(shown) <= 100 else shown[:97] + "..."
