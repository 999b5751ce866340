"""Topics: records of one tier grouped by a word that they share, so that many can be shown.

A topic is a path of words, such as "egg/icebox": among the records with "egg" those that also
have "icebox". It is worked out from counts alone, so that it is the same on every machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

MOST = 40
"""Topics of one level at most, besides "other"."""
OTHER = "other"
_COMMON = 0.25
"""A word in more than this share of the records tells nothing."""


def split(members: Mapping[str, frozenset[str]], path: Sequence[str] = ()) -> dict[str, str]:
    """The word that stands for each record.

    Of the `MOST` most frequent words that are not in nearly all of the records, the rarest one
    that a record has; `OTHER` if it has none.

    Args:
        members: Terms of each record by its id.
        path: Words that are not to be used again.
    """
    counts: Counter[str] = Counter()
    for terms in members.values():
        counts.update(terms)
    most = max(2.0, _COMMON * len(members))
    spoken = [
        (-count, term)
        for term, count in counts.items()
        if 2 <= count <= most and term not in path and len(term) > 2 and not term.isdigit()
    ]
    chosen = {term: -negative for negative, term in sorted(spoken)[:MOST]}
    return {id_: _rarest(terms, chosen) for id_, terms in members.items()}


def _rarest(terms: Iterable[str], counts: Mapping[str, int]) -> str:
    found = [(counts[term], term) for term in terms if term in counts]
    return min(found)[1] if found else OTHER
