"""Answers about change: guard, history, learning, and what happens now."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from .records import Answer, Brief, EffectOut, JournalLine, RecordOut, StatusName, Use, Version

# --- guard ------------------------------------------------------------------------------------


class Quarantined(Answer):
    """A record that is kept away from recall."""

    record: Brief
    reason: str
    actor: str
    at: int
    """Position; 0 if not known."""
    since: datetime | None
    confirmed: bool
    """A person agreed already."""
    dissenters: int
    descendants: int


class Inbox(Answer):
    """Quarantined records, newest first."""

    records: list[Quarantined]
    more: bool
    edits: bool


class Suspect(Answer):
    """A quarantined record beside those that speak against it."""

    record: RecordOut
    reason: str
    actor: str
    at: int
    since: datetime | None
    confirmed: bool
    dissenters: list[RecordOut]
    descendants: list[Brief]
    """What descends from it and may be infected."""
    recalled: list[Use]
    """Who was served it before."""
    history: list[Version]
    edits: bool


class Reason(BaseModel):
    """Why a person decides so."""

    model_config = ConfigDict(extra="forbid")
    reason: Annotated[str, Field(max_length=500)] = ""


class Decision(Answer):
    """What a release or a confirmation did."""

    id: str
    status: StatusName
    position: int
    changed: list[str]
    """The id, or nothing if it had been decided so before."""


# --- history ----------------------------------------------------------------------------------


class Journal(Answer):
    """Changesets, newest first unless `after` was given."""

    entries: list[JournalLine]
    present: int
    more: bool


class OpOut(Answer):
    """One operation in words, and the records it is about."""

    op: str
    told: str
    ids: list[str]


class Entry(Answer):
    """One changeset with its operations."""

    line: JournalLine
    ops: list[OpOut]
    more: bool


class Moment(Answer):
    """A position of the journal with its time."""

    position: int
    created_at: datetime
    records: int | None = None


class Timeline(Answer):
    """Positions evenly spread over the journal, for a slider."""

    present: int
    moments: list[Moment]


class Difference(Answer):
    """What changed between two positions, as far as the scope sees it."""

    start: int
    end: int
    added: list[Brief]
    closed: list[Brief]
    """Trials that were given an outcome."""
    changed: list[Brief]
    """Records whose derived fields or status were changed."""
    ops: dict[str, int]
    actors: dict[str, int]
    more: bool
    """The lists are cut, or the journal between is longer than was read."""


class UndoneOut(Answer):
    """An operation that a revert would take back."""

    position: int
    changeset: str
    told: str
    dependent: bool


class Dependent(Answer):
    """A changeset that depends on another; "" for one of another scope."""

    position: int
    changeset: str


class Revert(Answer):
    """What reverting a changeset would do. Nothing is changed."""

    changeset: str
    possible: bool
    message: str
    """In words; if it is not possible, why not."""
    undone: list[UndoneOut]
    dependents: list[Dependent]
    """If it is not possible: the changesets that depend on it."""
    more: bool


# --- learning ---------------------------------------------------------------------------------


class Point(Answer):
    """One trial of the stream."""

    number: int
    id: str
    created_at: datetime | None
    position: int
    value: float | None
    tested: bool
    """False for a trial that recalled nothing where others did: it is no test of the memory."""
    rate: float | None
    """Mean of the known values of the last `window` tested trials; None below five of them."""
    low: float | None
    """Lower end of its 95% Wilson interval; None where a value is neither 0 nor 1."""
    high: float | None
    insights: int
    """Live insights that had been added by then."""
    recalls: int
    tokens: int
    """Recalled for it."""


class InsightWorth(Answer):
    """An insight, its credit and its lift."""

    record: Brief
    lift: EffectOut | None


class LiftOut(Answer):
    """Whether the memory helps; see `triforium.memory.lift`."""

    trials: int
    complete: bool
    verdict: str
    whole: EffectOut
    items: EffectOut
    groups: dict[str, EffectOut]


class Growth(Answer):
    """How many records of each tier had been added by a position."""

    position: int
    created_at: datetime
    insight: int
    query: int
    interaction: int


class Learning(Answer):
    """Whether the team learns, and what it costs."""

    position: int
    window: int
    points: list[Point]
    """Of the last trials, oldest first."""
    more: bool
    growth: list[Growth]
    insights: list[InsightWorth]
    """Those with most uses first."""
    lift: LiftOut
    recalls: int
    tokens: int
    """Recalled by all receipts that were read."""
    bytes: int


# --- live -------------------------------------------------------------------------------------


class Event(Answer):
    """What `/api/events` sends, as the data of a server-sent event named "change"."""

    position: int
    created_at: datetime
    entries: list[JournalLine]
    """What is new, oldest first; at most 64."""
    more: bool
    """More than that happened: ask again for what is shown."""
    ids: list[str]
    """Records that were touched, at most 512."""
