"""The shared memory of a team: recall with receipts, strategies, credit, the guard's seam."""

from .embedders import Embedder, WordLlamaEmbedder, get_embedder
from .entities import Mention, mentions
from .explain import Explanation
from .facade import Memory
from .guard import Guard, Judgement, OpenGuard, ProposedStep, Verdict
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
    "Embedder",
    "Explanation",
    "Form",
    "Guard",
    "Item",
    "Judgement",
    "Memory",
    "Mention",
    "OpenGuard",
    "Placement",
    "ProposedStep",
    "Recall",
    "Rejected",
    "Rule",
    "Strategy",
    "Trial",
    "Verdict",
    "WordLlamaEmbedder",
    "get_embedder",
    "get_strategy",
    "mentions",
]
