"""The nouns of the memory graph: outcomes, provenance, credit, records and links."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from operator import attrgetter
from types import MappingProxyType
from typing import Any

from ..errors import InvalidInput
from .ids import JSON, digest

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Tier(StrEnum):
    """The three storeys of the memory (G-Memory, arXiv 2506.07398)."""

    INSIGHT = "insight"
    QUERY = "query"
    INTERACTION = "interaction"


class Status(StrEnum):
    """Whether a record takes part in recall; only ACTIVE ones do."""

    ACTIVE = "active"
    SUPERSEDED = "superseded"
    QUARANTINED = "quarantined"
    ARCHIVED = "archived"


class HoldState(StrEnum):
    """How sure it is that a quarantined record is bad."""

    SUSPECTED = "suspected"
    CONFIRMED = "confirmed"
    """By a person, or by what followed."""


class LinkType(StrEnum):
    """What a link means, and which way it points."""

    NEXT = "NEXT"
    """Earlier step to later step."""
    REPLY_TO = "REPLY_TO"
    """Reply to what it answers."""
    PART_OF = "PART_OF"
    """Step to its trial."""
    LED_TO = "LED_TO"
    """Trial that was used to the new trial that used it."""
    SUPPORTS = "SUPPORTS"
    """Trial to an insight it is evidence for."""
    REFUTES = "REFUTES"
    """Trial to an insight it is evidence against."""
    DERIVED_FROM = "DERIVED_FROM"
    """Derived record to its source."""
    SUPERSEDES = "SUPERSEDES"
    """New record to the old one it replaces."""
    SIMILAR = "SIMILAR"
    """Two alike trials; stored once, from the smaller id to the larger."""


TEAM = "team"
"""The judge of an outcome that a team gave itself."""


class OutcomeKind(StrEnum):
    """How a trial ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    SCORE = "score"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a trial ended, and who says so.

    Attributes:
        kind: Success, failure, score or unknown. Unknown teaches nothing.
        value: In [0, 1]: 1 for success, 0 for failure, the score itself; None when unknown.
        reason: A few words for people, such as "customer reopened".
        judge: Who judged: "environment", "function", "person", "team" or a name. A team that
            grades itself is always marked "team".
    """

    kind: OutcomeKind
    value: float | None = None
    reason: str = ""
    judge: str = ""

    @classmethod
    def success(cls, reason: str = "", *, judge: str = "") -> Outcome:
        """The task was solved."""
        return cls(OutcomeKind.SUCCESS, 1.0, reason, judge)

    @classmethod
    def failure(cls, reason: str = "", *, judge: str = "") -> Outcome:
        """The task was not solved."""
        return cls(OutcomeKind.FAILURE, 0.0, reason, judge)

    @classmethod
    def score(cls, value: float, reason: str = "", *, judge: str = "") -> Outcome:
        """The task was solved to a degree.

        Args:
            value: Between 0 (not at all) and 1 (fully).
            reason: A few words for people.
            judge: Who judged.

        Raises:
            InvalidInput: `value` is outside [0, 1].
        """
        if not 0.0 <= value <= 1.0:
            raise InvalidInput(f"A score must lie between 0 and 1, not {value!r}.", value=value)
        return cls(OutcomeKind.SCORE, float(value), reason, judge)

    @classmethod
    def unknown(cls, reason: str = "", *, judge: str = "") -> Outcome:
        """Nobody knows; may be settled later."""
        return cls(OutcomeKind.UNKNOWN, None, reason, judge)

    @property
    def succeeded(self) -> bool | None:
        """True from a value of one half upward, False below, None when unknown."""
        return None if self.value is None else self.value >= 0.5

    def __str__(self) -> str:
        shown = f"score {self.value:.2f}" if self.kind is OutcomeKind.SCORE else self.kind.value
        return f"{shown} ({self.reason})" if self.reason else shown

    @property
    def told(self) -> float | None:
        """The value, if somebody else than the team itself judged; that speaks for a source."""
        return None if self.judge == TEAM else self.value

    def to_json(self) -> dict[str, JSON]:
        """The outcome as plain JSON."""
        return {
            "kind": self.kind.value,
            "value": self.value,
            "reason": self.reason,
            "judge": self.judge,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Outcome:
        """The inverse of `to_json`."""
        return cls(OutcomeKind(data["kind"]), data["value"], data["reason"], data["judge"])


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a record comes from.

    Attributes:
        source: The authenticated principal, set by the facade; "" is unattributed.
        role: The role of the agent, such as "solver".
        agent: The address of the agent.
        run: The workflow execution.
        trial: The id of the QUERY record of the trial.
        step: Index of the step within the trial, from 0; -1 for none.
    """

    source: str = ""
    role: str = ""
    agent: str = ""
    run: str = ""
    trial: str = ""
    step: int = -1

    def to_json(self) -> dict[str, JSON]:
        """The provenance as plain JSON."""
        return {
            "source": self.source,
            "role": self.role,
            "agent": self.agent,
            "run": self.run,
            "trial": self.trial,
            "step": self.step,
        }


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a record is in quarantine.

    Attributes:
        reason: A sentence for people.
        dissenters: Ids of the records that speak against it.
        state: Suspected or confirmed.
        position: Of the changeset that put it there; the journal says who and when.
    """

    reason: str = ""
    dissenters: tuple[str, ...] = ()
    state: HoldState = HoldState.SUSPECTED
    position: int = 0

    def to_json(self) -> dict[str, JSON]:
        """As plain JSON."""
        return {
            "reason": self.reason,
            "dissenters": list(self.dissenters),
            "state": self.state.value,
            "position": self.position,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Hold:
        """The inverse of `to_json`."""
        return cls(
            reason=data["reason"],
            dissenters=tuple(data["dissenters"]),
            state=HoldState(data["state"]),
            position=data["position"],
        )


@dataclass(frozen=True, slots=True)
class Credit:
    """How often a record was used by one role, and how that ended. All three only ever add up."""

    uses: float = 0.0
    helped: float = 0.0
    hurt: float = 0.0

    def __add__(self, other: Credit) -> Credit:
        return Credit(self.uses + other.uses, self.helped + other.helped, self.hurt + other.hurt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One node of the memory graph.

    The first group is the content and never changes. The second is derived and may be patched.
    The third is stamped by the store and ignored on writing.

    Attributes:
        id: Unique in the store; deterministic wherever the content is.
        tier: The storey.
        kind: Such as "task", "action", "utterance", "rule", "lesson", "fact".
        text: What it says, verbatim.
        scope: The tenant path it belongs to.
        task_key: Groups attempts at the same task.
        provenance: Where it comes from. Not compared when an id is added again.
        data: Structured data, plain JSON.
        valid_from: For kind "fact": since when it holds in the world.
        valid_to: For kind "fact": until when.
        keys: Extra index terms.
        confidence: In [0, 1].
        cluster: The group of like trials it belongs to.
        summary: A short form of the text.
        added: Journal position that added it; 0 before it is stored.
        expired: Journal position that took it away.
        created_at: UTC, stamped by the store.
        revision: Counts changes of derived fields, outcome and status; 1 when added.
        status: Whether it takes part in recall.
        outcome: For a trial: how it ended; None while it is open.
        credit: Per role.
        support: Number of live SUPPORTS links into it.
        refuted: Number of live REFUTES links into it.
        taint: Roots of quarantine that this record descends from.
        hold: Why it is quarantined; None while it is not.
    """

    id: str
    tier: Tier
    kind: str
    text: str
    scope: str
    task_key: str = ""
    provenance: Provenance = Provenance()
    data: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    valid_from: datetime | None = None
    valid_to: datetime | None = None

    keys: tuple[str, ...] = ()
    confidence: float | None = None
    cluster: str = ""
    summary: str = ""

    added: int = 0
    expired: int | None = None
    created_at: datetime | None = None
    revision: int = 0
    status: Status = Status.ACTIVE
    outcome: Outcome | None = None
    credit: Mapping[str, Credit] = field(default_factory=lambda: _NOTHING)
    support: int = 0
    refuted: int = 0
    taint: tuple[str, ...] = ()
    hold: Hold | None = None

    def content_hash(self) -> str:
        """Digest of what may never change under one id."""
        return digest(
            self.tier.value,
            self.kind,
            self.text,
            self.scope,
            self.task_key,
            dict(self.data),
            _instant(self.valid_from),
            _instant(self.valid_to),
        )

    def attributed(self, source: str) -> Record:
        """The same record with another source in its provenance.

        What `dataclasses.replace` does, in less time: a trial has a hundred records.
        """
        origin = self.provenance
        copy = object.__new__(Record)
        for keep, value in zip(_SETTERS, _values(self), strict=True):
            keep(copy, value)
        provenance = Provenance(
            source, origin.role, origin.agent, origin.run, origin.trial, origin.step
        )
        object.__setattr__(copy, "provenance", provenance)
        return copy

    def total_credit(self) -> Credit:
        """The credit summed over roles."""
        return sum(self.credit.values(), Credit())


_values = attrgetter(*(one.name for one in fields(Record)))
_SETTERS = tuple(getattr(Record, one.name).__set__ for one in fields(Record))


def _instant(when: datetime | None) -> str | None:
    """A time in UTC, so that one instant has one digest in whatever zone it was given."""
    if when is None:
        return None
    return (when if when.tzinfo is None else when.astimezone(UTC)).isoformat()


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One edge of the memory graph.

    Attributes:
        src: Id of the record it leaves.
        dst: Id of the record it enters.
        type: What it means.
        via: Optional id of what made it (a receipt for LED_TO); part of its identity.
        weight: Strength, for ranking.
        added: Journal position that added it; 0 before it is stored.
        expired: Journal position that took it away.
    """

    src: str
    dst: str
    type: LinkType
    via: str = ""
    weight: float = 1.0
    added: int = 0
    expired: int | None = None

    @property
    def key(self) -> tuple[str, str, LinkType, str]:
        """What identifies the link: source, destination, type, via."""
        return (self.src, self.dst, self.type, self.via)


def similar(a: str, b: str, weight: float) -> Link:
    """A SIMILAR link between two records, always stored in the same direction."""
    src, dst = sorted((a, b))
    return Link(src=src, dst=dst, type=LinkType.SIMILAR, weight=weight)
