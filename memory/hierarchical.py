"""The default strategy: three tiers, walked both ways (after G-Memory, arXiv 2506.07398).

For a task it finds like trials (coarse), expands them by one hop of the query graph, goes up to
the insights they support and down to their steps, condensed to what the outcome depended on.
Published and ours differ; the faithful algorithm is a strategy of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..graph import (
    Add,
    AddLink,
    Credit,
    Filter,
    Hop,
    Link,
    LinkType,
    Op,
    Record,
    Tier,
    View,
    Walk,
    digest,
    similar,
)
from .baselines import JUDGED, TRIALS, NoMemory
from .cases import case_of, group_steps, steps_hop, trial_candidate
from .condense import condense
from .mining import mine_trial, Evidence
from .recall import Placement, Recall, Rule
from .scoring import bm25, overlap, weigh
from .strategy import Candidate, ClosedTrial, Cue, Form

COARSE = 32
"""Trials that the search over-fetches."""
SEEDS = 12
"""Trials from which the walk starts."""
FAN = 8
"""Links followed per trial in the query graph."""
RULE_SHARE = 0.3
"""Share of the budget that insights may take."""
SIMILAR_AT_LEAST = 0.55
"""Final score from which two trials are linked as SIMILAR."""

_INSIGHTS = frozenset({Tier.INSIGHT})
_NEIGHBOURS = Hop(frozenset({LinkType.SIMILAR, LinkType.LED_TO}), "both", TRIALS, JUDGED, FAN)
