"""The searchable tiers of a store in memory: what most recalls read, without a question to it.

Trials and insights are a small part of a memory (the rest are steps), and nearly every recall looks
at many of them. So a process that searches keeps them decoded, with the links between them, their
terms and their vectors. A store fills it and brings it up to date before each use; what is read
from it is the same for all stores.

    entry     a record, and what decides who sees it
    links     the links of a record, the heaviest first
    words     the terms of the records, and how well each suits some of them
    vectors   the vectors, scored exactly
    replica   all of them together
    present   what one View sees of it
    search    the candidates among that
"""

from .entry import Entry
from .present import Present
from .replica import Replica
from .search import Query, search
from .vectors import VectorIndex

__all__ = ["Entry", "Present", "Query", "Replica", "VectorIndex", "search"]
