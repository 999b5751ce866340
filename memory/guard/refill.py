"""Slots that the guard has freed are filled again, by the task without the words of an attacker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...graph import Tier, View
from ..strategy import Candidate, Cue, Strategy
from .interface import Guard, Judgement, Verdict
from .spans import words_of

Embed: TypeAlias = Callable[[str], Awaitable[NDArray[np.float32] | None]]
_OUT = (Verdict.SET_ASIDE, Verdict.QUARANTINE)


async def screened(
    view: View,
    strategy: Strategy,
    guard: Guard,
    cue: Cue,
    candidates: Sequence[Candidate],
    embed: Embed | None = None,
) -> tuple[Sequence[Candidate], Sequence[Judgement]]:
    """The candidates with their judgements; where poison was found, others in its place.

    Records that were found by suspicious words crowd out those that the task is really about. So
    it is asked again without these words, and what that finds goes first. What was set aside
    only because other words than these are rare is judged again, by the task without them: few
    sources may use a word because few have been in the situation. All else that was judged out
    stays out.

    Args:
        view: What to read.
        strategy: Who ranks.
        guard: Who judges.
        cue: What the recall is for.
        candidates: Best first.
        embed: Embeds the shortened task; if None, it is looked for by its words alone.

    Returns:
        As many judgements as candidates, in the same order.
    """
    judgements = await guard.screen(view, cue.task, candidates)
    if not any(judgement.verdict in _OUT for judgement in judgements):
        return candidates, judgements
    suspicious = _suspicious(candidates, judgements)
    kept = [word for word in words_of(cue.task) if word not in suspicious]
    if not suspicious or not kept:
        return candidates, judgements
    task = " ".join(kept)
    vector = await embed(task) if embed is not None and cue.vector is not None else None
    found = await strategy.retrieve(view, replace(cue, task=task, vector=vector))
    known = {
        candidate.record.id: judgement
        for candidate, judgement in zip(candidates, judgements, strict=True)
    }
    out = {
        candidate.record.id
        for candidate, judgement in zip(candidates, judgements, strict=True)
        if judgement.verdict in _OUT and not _for_other_words(candidate, judgement, suspicious)
    }
    fresh = [candidate for candidate in found if candidate.record.id not in out]
    told = dict(
        zip(
            (candidate.record.id for candidate in fresh),
            await guard.screen(view, task, fresh),
            strict=True,
        )
    )
    rest = [candidate for candidate in candidates if candidate.record.id not in told]
    told = {**known, **told}
    merged = [*fresh, *rest]
    return merged, [told[candidate.record.id] for candidate in merged]


def _suspicious(candidates: Sequence[Candidate], judgements: Sequence[Judgement]) -> set[str]:
    """Words by which records that were judged out were found, as far as most of them share these.

    A trigger calls up many records by the same words. A word by which at most half as many were
    found, or that as many of the trials that passed use, tells what the task is about.
    """
    found, used = Counter[str](), Counter[str]()
    for candidate, judgement in zip(candidates, judgements, strict=True):
        if judgement.verdict in _OUT:
            found.update(judgement.found_by)
        elif judgement.verdict is Verdict.ALLOW and candidate.record.tier is Tier.QUERY:
            used.update(set(words_of(candidate.record.text)))
    most = max(found.values(), default=0)
    return {word for word, count in found.items() if count > used[word] and 2 * count > most}


def _for_other_words(candidate: Candidate, judgement: Judgement, suspicious: set[str]) -> bool:
    """Whether a record was set aside for words of which most are not those that are suspicious.

    Nor may it hold half of these, nor any witness speak against it.
    """
    if judgement.verdict is not Verdict.SET_ASIDE or judgement.dissenters:
        return False
    found_by = judgement.found_by
    held = suspicious.intersection(words_of(candidate.record.text))
    return 2 * len(suspicious & found_by) < len(found_by) and 2 * len(held) < len(suspicious)
