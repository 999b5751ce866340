"""Whether the team learns: success over the stream, growth, credit and lift, and what it costs."""

from __future__ import annotations

import bisect
import math
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ..graph import Record, Status, Tier
from ..memory import Lift
from ..memory.lift import wilson
from .journals import Noted
from .reading import LIST, brief, effect_out
from .receipts import Line
from .schema import Growth, InsightWorth, Learning, LiftOut, Point
from .snapshot import Snapshot

POINTS = 1_000
"""Trials of the curve at most, the last ones."""
GROWTH = 120
"""Points of the growth curve."""
FEWEST = 5
"""Below so many trials a share says nothing."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the learning view is made of; nothing changes it while a thread reads it.

    Attributes:
        snapshot: Of the scope.
        lines: Its receipts, oldest first.
        complete: Whether these are all of its receipts.
        entries: Its journal.
        lift: Its lift.
        size: Of the store, in bytes.
    """

    snapshot: Snapshot
    lines: Sequence[Line]
    complete: bool
    entries: Sequence[Noted]
    lift: Lift
    size: int


def learning(known: Known, window: int) -> Learning:
    """Put together what is known.

    Args:
        known: All of it.
        window: Trials of one mean.
    """
    snapshot, lift = known.snapshot, known.lift
    trials = [one for one in snapshot.records.values() if one.tier is Tier.QUERY]
    insights = [one for one in snapshot.records.values() if one.tier is Tier.INSIGHT]
    insights.sort(key=lambda one: (-one.total_credit().uses, -one.support, one.id))
    effects = {one.id: one.effect for one in lift.records}
    return Learning(
        position=snapshot.position,
        window=window,
        points=_points(trials, insights, known, window),
        more=len(trials) > POINTS or snapshot.cut,
        growth=_growth(known.entries),
        insights=[
            InsightWorth(
                record=brief(one),
                lift=effect_out(effects[one.id]) if one.id in effects else None,
            )
            for one in insights[:LIST]
        ],
        lift=LiftOut(
            trials=lift.trials,
            complete=lift.complete,
            verdict=lift.verdict,
            whole=effect_out(lift.whole),
            items=effect_out(lift.items),
            groups={name: effect_out(effect) for name, effect in lift.groups.items()},
        ),
        recalls=len(known.lines),
        tokens=sum(line.tokens for line in known.lines),
        bytes=known.size,
    )


def _points(
    trials: Sequence[Record], insights: Sequence[Record], known: Known, window: int
) -> list[Point]:
    live = sorted(one.added for one in insights if one.status is Status.ACTIVE)
    by_trial: dict[str, list[Line]] = {}
    for line in known.lines:
        if line.trial:
            by_trial.setdefault(line.trial, []).append(line)
    shown = trials[-POINTS:]
    # Of older trials it is not known whether they recalled.
    since = 0 if known.complete or not known.lines else known.lines[0].stored.position
    recalling = any(one.id in by_trial for one in trials)
    points = []
    last: deque[float] = deque(maxlen=window)
    for number, trial in enumerate(trials, 1):
        lines = by_trial.get(trial.id, ())
        # Where others recall, a trial that did not was shown to the team.
        tested = bool(lines) or not recalling or trial.added < since
        value = trial.outcome.value if trial.outcome else None
        if tested and value is not None:
            last.append(value)
        if number <= len(trials) - len(shown):
            continue
        enough = len(last) >= min(FEWEST, window)
        low, high = _interval(last) if enough else (None, None)
        points.append(
            Point(
                number=number,
                id=trial.id,
                created_at=trial.created_at,
                position=trial.added,
                value=value,
                tested=tested,
                rate=math.fsum(last) / len(last) if enough else None,
                low=low,
                high=high,
                insights=bisect.bisect_right(live, trial.added),
                recalls=len(lines),
                tokens=sum(line.tokens for line in lines),
            )
        )
    return points


def _interval(known: Collection[float]) -> tuple[float | None, float | None]:
    """The 95% Wilson interval of a share of successes."""
    if not {*known} <= {0.0, 1.0}:
        return None, None
    return wilson(int(sum(known)), len(known))


def _growth(entries: Sequence[Noted]) -> list[Growth]:
    counts = dict.fromkeys(Tier, 0)
    last = len(entries) - 1
    chosen = {round(last * n / (GROWTH - 1)) for n in range(GROWTH)}
    points = []
    for number, entry in enumerate(entries):
        for tier, count in entry.added:
            counts[tier] += count
        if number in chosen:
            points.append(
                Growth(
                    position=entry.position,
                    created_at=entry.created_at,
                    insight=counts[Tier.INSIGHT],
                    query=counts[Tier.QUERY],
                    interaction=counts[Tier.INTERACTION],
                )
            )
    return points
