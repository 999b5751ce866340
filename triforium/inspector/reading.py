"""What all views share: a scope of a store to read, and records as the API shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..errors import NotFound
from ..graph import (
    Changeset,
    Filter,
    JournalEntry,
    Link,
    Outcome,
    Record,
    Store,
    Tier,
    View,
)
from ..graph.changes import record_to_json
from ..graph.journal import entry_to_json
from ..memory import Effect
from .schema import (
    Brief,
    CreditOut,
    EffectOut,
    JournalLine,
    LinkOut,
    OutcomeOut,
    RecordOut,
)

BRIEF = 280
"""Characters of a record's text in a list."""
LIST = 200
"""Entries of one list at most."""
ANY = Filter(statuses=frozenset(), tainted=None)
"""Records of every status."""
EVERY_TIER = frozenset(Tier)


@dataclass(frozen=True, slots=True)
class Reading:
    """Who reads: a store, one of its scopes, and when.

    Attributes:
        store: Of the memory.
        scope: The reader's scope.
        at: A journal position or a time; None for the present.
        run: The run whose open trials are shown, "" for none.
    """

    store: Store
    scope: str
    at: int | datetime | None = None
    run: str = ""

    async def view(self) -> View:
        """The View."""
        return await self.store.view(self.scope, run=self.run, at=self.at)

    async def one(self, id_: str) -> tuple[View, Record]:
        """A record, and the View it was seen in.

        Raises:
            NotFound: The scope does not see it.
        """
        view = await self.view()
        record = (await view.get([id_])).get(id_)
        if record is None:
            when = "" if self.at is None else " at that time"
            raise NotFound(
                f"There is no record {id_[:80]!r} in scope {self.scope!r}{when}. "
                "It may belong to another scope, or to a trial that is still open.",
                id=id_[:80],
            )
        return view, record

    async def entry(self, position: int) -> JournalEntry | None:
        """The entry of the journal at a position, if the scope sees it."""
        found = await self.store.journal(self.scope, after=position - 1, limit=1)
        return found[0] if found and found[0].position == position else None


def brief(record: Record) -> Brief:
    """A record in a list."""
    return Brief(**brief_fields(record))


def brief_fields(record: Record) -> dict[str, Any]:
    """The fields of `Brief`."""
    credit = record.total_credit()
    origin = record.provenance
    return {
        "id": record.id,
        "tier": record.tier.value,
        "kind": record.kind,
        "text": record.text[:BRIEF],
        "cut": len(record.text) > BRIEF,
        "status": record.status.value,
        "outcome": outcome_out(record.outcome),
        "open": record.tier is Tier.QUERY and record.outcome is None,
        "scope": record.scope,
        "source": origin.source,
        "role": origin.role,
        "agent": origin.agent,
        "run": origin.run,
        "trial": origin.trial,
        "step": origin.step,
        "added": record.added,
        "created_at": record.created_at,
        "uses": credit.uses,
        "helped": credit.helped,
        "hurt": credit.hurt,
        "support": record.support,
        "refuted": record.refuted,
        "confidence": record.confidence,
        "tainted": bool(record.taint),
    }


def briefs(records: Mapping[str, Record], ids: Iterable[str]) -> list[Brief]:
    """Those of the ids that are there, in order, each once."""
    return [brief(records[id_]) for id_ in dict.fromkeys(ids) if id_ in records]


def record_out(record: Record) -> RecordOut:
    """A whole record."""
    return RecordOut.model_validate(record_to_json(record, stamped=True))


def outcome_out(outcome: Outcome | None) -> OutcomeOut | None:
    """An outcome."""
    if outcome is None:
        return None
    return OutcomeOut(
        kind=outcome.kind.value, value=outcome.value, reason=outcome.reason, judge=outcome.judge
    )


def credit_out(uses: float, helped: float, hurt: float) -> CreditOut:
    """A credit."""
    return CreditOut(uses=uses, helped=helped, hurt=hurt)


def link_out(link: Link) -> LinkOut:
    """A link."""
    return LinkOut(
        src=link.src,
        dst=link.dst,
        type=link.type.value,
        via=link.via,
        weight=link.weight,
        added=link.added,
    )


def effect_out(effect: Effect) -> EffectOut:
    """A lift."""
    return EffectOut(
        served=effect.served,
        held_out=effect.held_out,
        mean_served=effect.mean_served,
        mean_held_out=effect.mean_held_out,
        difference=effect.difference,
        low=effect.low,
        high=effect.high,
        verdict=effect.verdict,  # type: ignore[arg-type]
    )


def journal_line(entry: JournalEntry) -> JournalLine:
    """An entry of the journal, its operations counted."""
    return JournalLine.model_validate(entry_to_json(entry))


def ids_of(changeset: Changeset) -> list[str]:
    """The records that a changeset is about, each once, in order."""
    found: dict[str, None] = {}
    for op in changeset.ops:
        for name in ("id", "src", "dst", "old", "new"):
            value = getattr(op, name, None)
            if value:
                found[value] = None
        if (record := getattr(op, "record", None)) is not None:
            found[record.id] = None
        if (link := getattr(op, "link", None)) is not None:
            found[link.src] = None
            found[link.dst] = None
    return list(found)


async def get_all(view: View, ids: Iterable[str]) -> dict[str, Record]:
    """Records by id, in batches."""
    wanted: Sequence[str] = sorted(set(ids))
    found: dict[str, Record] = {}
    for start in range(0, len(wanted), 500):
        found.update(await view.get(wanted[start : start + 500]))
    return found
