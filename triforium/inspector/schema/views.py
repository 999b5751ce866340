"""Answers of the views: graph, search, recall, trials and agents."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from .records import Answer, Brief, CreditOut, LinkName, LinkOut, OutcomeOut, RecordOut, TierName

# --- graph ------------------------------------------------------------------------------------


class Node(Brief):
    """A record in the graph."""

    x: float
    y: float
    topic: str
    """Of which cluster it would be a part."""
    steps: int | None
    """Of a trial: how many steps it has; None if they were not counted."""


class Cluster(Answer):
    """Records of one tier with one topic, shown as one until they are opened."""

    id: str
    """Ask for the graph with `open=ID` to see what is inside."""
    tier: TierName
    label: str
    count: int
    outcomes: dict[str, int]
    statuses: dict[str, int]
    uses: float
    x: float
    y: float


class Bundle(Answer):
    """Links of one type between two clusters, or between a cluster and a node."""

    src: str
    dst: str
    type: LinkName
    count: int


class Facets(Answer):
    """Values that occur, with counts, for the filters."""

    kinds: dict[str, int]
    statuses: dict[str, int]
    outcomes: dict[str, int]
    sources: dict[str, int]
    roles: dict[str, int]
    agents: dict[str, int]
    first: datetime | None
    last: datetime | None


class Graph(Answer):
    """The three storeys, or as much of them as was asked for."""

    scope: str
    position: int
    present: int
    """The last position of the journal; above `position` in a view of the past."""
    total: int
    """Records that satisfy the filters."""
    interactions: Literal["shown", "on demand"]
    """On demand: ask `/api/neighbours` for the steps of a trial."""
    truncated: bool
    """More satisfy the filters than `limit`; the newest are shown."""
    nodes: list[Node]
    links: list[LinkOut]
    clusters: list[Cluster]
    bundles: list[Bundle]
    facets: Facets


class Neighbourhood(Answer):
    """What is linked to some records."""

    position: int
    nodes: list[Brief]
    links: list[LinkOut]
    truncated: bool


class SearchHit(Answer):
    """A record that was found."""

    record: Brief
    score: float
    """Of the words, as in a recall: 1 is the query's very terms."""
    channel: Literal["words", "letters", "id"]


class Found(Answer):
    """The answer to a search, best first."""

    query: str
    position: int
    interactions: Literal["searched", "of trials found"]
    """Of a large memory only the steps of the trials that were found are searched."""
    hits: list[SearchHit]


# --- recall -----------------------------------------------------------------------------------


class ReceiptLine(Answer):
    """One recall in a list."""

    receipt: str
    task: str
    role: str
    strategy: str
    run: str
    trial: str
    position: int
    created_at: datetime | None
    items: int
    rejected: int
    held_out: int
    tokens: int
    budget: int
    outcome: OutcomeOut | None


class Receipts(Answer):
    """Recalls, newest first."""

    recalls: list[ReceiptLine]
    total: int
    more: bool


class PathStep(Answer):
    """One record of the path that was walked to an item."""

    record: Brief | None
    """None if it is not visible any more."""
    id: str
    link: LinkName | None
    """The link that led to it; None for the first."""


class CaseStepOut(Answer):
    """One step of a packed trial."""

    action: str
    observation: str
    role: str


class CandidateOut(Answer):
    """A candidate of a recall, as its receipt has it."""

    id: str
    tier: TierName | None
    text: str
    scores: dict[str, float]
    path: list[PathStep]
    """Empty where the receipt does not say."""
    how: Literal["search", "neighbour", "insight", "unknown"]
    """Found by search, reached along the query graph, or voted for by like trials."""
    fate: Literal["packed", "set aside", "quarantined", "held out", "no room"]
    reason: str
    rank: int
    """Place in the prompt, from 1; 0 if not packed."""


class ItemOut(Answer):
    """A packed item: equal to `Recall.items` of `Memory.explain`."""

    rank: int
    record: Brief
    placement: Literal["rule", "example", "counter-example", "warning", "fact"]
    scores: dict[str, float]
    path: list[PathStep]
    text: str
    tokens: int
    spent: int
    """Tokens of the budget that are spent after it."""
    flagged: bool
    case: list[CaseStepOut]
    voters: list[str]
    """Of an insight: ids of the trials among the candidates that support it."""
    credit: CreditOut | None
    """What the outcome gave it by this receipt; None while the outcome is not known."""
    used: bool
    """An agent said that it acted on it."""


class Replay(Answer):
    """One recall, stage by stage."""

    receipt: str
    scope: str
    run: str
    trial: str
    task: str
    role: str
    strategy: str
    position: int
    created_at: datetime | None
    budget: int
    tokens: int
    candidates: list[CandidateOut]
    """All that the receipt names: found, walked to, screened out, held out, packed."""
    channels: list[str]
    links: list[LinkOut]
    """Between the candidates, as of the position: what was expanded along."""
    items: list[ItemOut]
    gone: list[str]
    """Items whose record is not visible any more."""
    held_out: list[str]
    prompt: str
    """The block that entered the prompt, as `Recall.render` gives it."""
    trial_record: Brief | None
    outcome: OutcomeOut | None
    led_to: list[LinkOut]
    """LED_TO links that this recall left."""
    text: str
    """`str(await memory.explain(receipt))`."""


# --- trials and agents ------------------------------------------------------------------------


class TrialLine(Answer):
    """One trial in a list."""

    record: Brief
    steps: int | None
    recalls: int


class Trials(Answer):
    """Trials, newest first."""

    trials: list[TrialLine]
    more: bool


class StepOut(Answer):
    """One step of a trial."""

    record: Brief
    lane: str
    """Who: the agent, else the role, else the source."""
    action: str
    said: str
    """What was said, or what came of the action."""
    reply_to: str
    used: list[str]
    """Ids of the recalled records it acted on."""


class Seen(Answer):
    """The memory that one lane saw, and when."""

    receipt: str
    lane: str
    role: str
    before_step: int
    """It was recalled before the step of this number."""
    items: int
    tokens: int
    position: int
    created_at: datetime | None


class TrialDetail(Answer):
    """One trial as a sequence of steps."""

    position: int
    record: RecordOut
    lanes: list[str]
    steps: list[StepOut]
    recalls: list[Seen]
    used: list[Brief]
    """Records that agents acted on."""
    led_from: list[Brief]
    """Trials that were used for it."""
    led_to: list[Brief]
    """Trials it was used for."""
    supports: list[Brief]
    refutes: list[Brief]
    similar: list[Brief]


class AgentLine(Answer):
    """One agent, or one role where agents have no name."""

    name: str
    role: str
    agent: str
    source: str
    """Of steps without role and agent; else empty."""
    steps: int
    trials: int
    recalls: int
    last: datetime | None


class Agents(Answer):
    """The agents of the newest steps; `window` says of how many."""

    agents: list[AgentLine]
    window: int


class AgentDetail(Answer):
    """The memory as one agent's role sees it."""

    name: str
    role: str
    agent: str
    source: str
    """Of steps without role and agent; else empty."""
    recalls: list[ReceiptLine]
    steps: list[Brief]
    """Its last steps, newest first."""
    helped: list[Brief]
    """What was of most use to its role."""
    hurt: list[Brief]
    wrote: dict[str, int]
    """Steps by kind, in the window."""
    outcomes: dict[str, int]
    """Of the trials it took part in."""
