"""Records, and all that is known of one; what every answer shares.

Numbers are those of the store and of `Memory.explain`, never rounded. Positions are journal
positions. Times are ISO 8601 in UTC. Coordinates have no unit: the storeys lie at y = 0
(interactions), 1 (queries) and 2 (insights), and x runs from 0 to 1 within each.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

TierName = Literal["insight", "query", "interaction"]
StatusName = Literal["active", "superseded", "quarantined", "archived"]
OutcomeName = Literal["success", "failure", "score", "unknown"]
LinkName = Literal[
    "NEXT",
    "REPLY_TO",
    "PART_OF",
    "LED_TO",
    "SUPPORTS",
    "REFUTES",
    "DERIVED_FROM",
    "SUPERSEDES",
    "SIMILAR",
]


class Answer(BaseModel):
    """Base of all: frozen, and strict about its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


# --- errors and the whole ---------------------------------------------------------------------


class ErrorBody(Answer):
    """What went wrong, and what to do about it."""

    code: str
    """Such as "not_found", "invalid_input", "unauthorized"; stable."""
    message: str
    retryable: bool = False


class Error(Answer):
    """Every answer that is not 2xx."""

    error: ErrorBody


class Statistics(Answer):
    """Counts of what the scope sees; see `triforium.graph.Statistics`."""

    position: int
    records: dict[str, int]
    """By "tier/kind"."""
    statuses: dict[str, int]
    outcomes: dict[str, int]
    links: dict[str, int]
    receipts: int
    embedder: str
    bytes: int
    scopes: list[str]


class Limits(Answer):
    """Bounds of the parameters, and how much is shown at once."""

    nodes: int
    """Nodes of one graph at most."""
    clustered_above: int
    """Above so many nodes a graph comes as clusters unless asked otherwise."""
    list: int
    """Entries of one list at most."""
    query: int
    """Characters of a query at most."""


class Meta(Answer):
    """What a page asks for first."""

    version: str
    store: str
    """The URL, without credentials."""
    scope: str
    """The scope that is shown when none is asked for."""
    scopes: list[str]
    """The scopes this token may look at."""
    edits: bool
    """Whether release and confirm are allowed."""
    live: bool
    """Whether `/api/events` can be followed; False in an exported page."""
    statistics: Statistics
    limits: Limits


class Session(Answer):
    """A token was taken as a cookie."""

    scope: str
    edits: bool


# --- records ----------------------------------------------------------------------------------


class OutcomeOut(Answer):
    """How a trial ended; see `triforium.graph.Outcome`."""

    kind: OutcomeName
    value: float | None
    reason: str
    judge: str


class CreditOut(Answer):
    """How often a record was used by one role, and how that ended."""

    uses: float
    helped: float
    hurt: float


class ProvenanceOut(Answer):
    """Where a record comes from."""

    source: str
    role: str
    agent: str
    run: str
    trial: str
    step: int


class Brief(Answer):
    """A record in a list: enough to show and to follow it."""

    id: str
    tier: TierName
    kind: str
    text: str
    """At most 280 characters of it."""
    cut: bool
    """Whether the text is longer than that."""
    status: StatusName
    outcome: OutcomeOut | None
    open: bool
    """A trial that has no outcome yet."""
    scope: str
    source: str
    role: str
    agent: str
    run: str
    trial: str
    step: int
    added: int
    created_at: datetime | None
    uses: float
    helped: float
    hurt: float
    support: int
    refuted: int
    confidence: float | None
    tainted: bool


class HoldOut(Answer):
    """Why a record is in quarantine; `position` is that of the changeset that put it there."""

    reason: str
    dissenters: list[str]
    state: Literal["suspected", "confirmed"]
    position: int


class RecordOut(Answer):
    """A whole record; the fields are those of `triforium.graph.Record`."""

    id: str
    tier: TierName
    kind: str
    text: str
    scope: str
    task_key: str
    provenance: ProvenanceOut
    data: dict[str, Any]
    valid_from: datetime | None
    valid_to: datetime | None
    keys: list[str]
    confidence: float | None
    cluster: str
    summary: str
    added: int
    expired: int | None
    created_at: datetime | None
    revision: int
    status: StatusName
    outcome: OutcomeOut | None
    credit: dict[str, CreditOut]
    support: int
    refuted: int
    taint: list[str]
    hold: HoldOut | None


class LinkOut(Answer):
    """One link; from `src` to `dst`."""

    src: str
    dst: str
    type: LinkName
    via: str
    weight: float
    added: int


class Neighbour(Answer):
    """A linked record: `out` means the link leaves the record asked for."""

    direction: Literal["out", "in"]
    link: LinkOut
    record: Brief


class EffectOut(Answer):
    """A lift: see `triforium.memory.Effect`."""

    served: int
    held_out: int
    mean_served: float | None
    mean_held_out: float | None
    difference: float | None
    low: float | None
    high: float | None
    verdict: Literal["helps", "hurts", "unclear", "unknown"]


class Use(Answer):
    """A recall in which a record took part."""

    receipt: str
    task: str
    role: str
    run: str
    trial: str
    position: int
    created_at: datetime | None
    part: Literal["served", "rejected", "held out"]
    rank: int
    """Its place in the prompt, from 1; 0 if it was not served."""
    final: float | None
    reason: str
    """Why it was not packed."""
    outcome: OutcomeOut | None


class JournalLine(Answer):
    """One changeset."""

    position: int
    id: str
    scope: str
    created_at: datetime
    actor: str
    reason: str
    ops: dict[str, int]
    """Operations counted by name."""


class RecordDetail(Answer):
    """A record and all that is known about it."""

    position: int
    record: RecordOut
    links: list[Neighbour]
    """At most `limits.list`, in the order of the links' positions."""
    links_cut: bool
    trial: Brief | None
    """The trial it is a step of."""
    steps: list[Brief]
    """Of a trial, in order."""
    recalled: list[Use]
    """The recalls it took part in, newest first."""
    recalled_count: int
    caused: list[Brief]
    """What descends from it: trials it led to, insights it supports, records derived from it."""
    lift: EffectOut | None
    written: JournalLine | None
    """The changeset that added it."""


class Change(Answer):
    """One field that a changeset changed on a record."""

    field: str
    before: Any
    after: Any


class Version(Answer):
    """What one changeset did to a record."""

    position: int
    changeset: str
    created_at: datetime
    actor: str
    reason: str
    op: str
    changes: list[Change]


class Versions(Answer):
    """The changes of a record, oldest first."""

    id: str
    versions: list[Version]
    complete: bool
    """False if the journal was too long to be read to the end."""
