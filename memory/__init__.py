"""The shared memory of a team: recall with receipts, strategies, credit, the guard's seam."""

from .embedders import Embedder, WordLlamaEmbedder, get_embedder
from .entities import Mention, mentions
from .explain import Explanation
from .facade import Memory
from .gmemory import GMemory
from .guard import Guard, Judgement, OpenGuard, ProposedStep, Verdict
from .lift import Effect, Lift, RecordLift, lift
from .recall import Case, CaseStep, Item, Placement, Recall, Rejected, Rule
from .registry import STRATEGIES, get_strategy
from .strategy import Candidate, ClosedTrial, Cue, Form, Strategy
from .trial import Trial

__all__ = [
    "STRATEGIES",
    "Candidate",
    "Case",
    "CaseStep",
    "ClosedTrial",
    "Cue",
    "Effect",
    "Embedder",
    "Explanation",
    "Form",
    "GMemory",
    "Guard",
    "Item",
    "Judgement",
    "Lift",
    "Memory",
    "Mention",
    "OpenGuard",
    "Placement",
    "ProposedStep",
    "Recall",
    "RecordLift",
    "Rejected",
    "Rule",
    "Strategy",
    "Trial",
    "Verdict",
    "WordLlamaEmbedder",
    "get_embedder",
    "get_strategy",
    "lift",
    "mentions",
]
