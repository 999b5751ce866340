"""`lift`: whether what is recalled helps, measured against what was left out on purpose.

A recall leaves each item out with a small probability (`Memory.hold_out`). So for one record the
trials that were served it and the trials that had it held out differ by a coin alone, and the
difference of their mean outcomes is what the record is worth: its lift.

- One record: the difference of two means. With outcomes of 0 and 1 its interval is Newcombe's
  (1998, Statistics in Medicine 17:873, method 10), otherwise the percentile bootstrap's.
- Many records pooled: the Mantel-Haenszel risk difference over strata, a stratum being a record and
  the number of recalls of the trial that offered it, so that neither a record that is served often
  nor one that is served to easy tasks weighs where it should not. It is the least-squares estimate
  with a constant for each stratum, and its interval is that estimate's, robust to the correlation
  of the items of one trial (Liang and Zeger 1986, Biometrika 73:13) with Student's t.

All intervals are at 95%. Below `LEAST` hold-outs a lift is not known.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidInput
from ..graph import Record, Store, StoredReceipt, Tier
from .facade import Memory

LEAST = 20
"""Hold-outs below which a lift is unknown."""
MOST_RECEIPTS = 20_000
"""Receipts read of each scope, the oldest: all of them are held in memory at once."""
_CHUNK = 500
_SAMPLES = 2000
_Z = NormalDist().inv_cdf(0.975)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Effect:
    """A difference of mean outcomes: served minus held out.

    Attributes:
        served: Number of observations with the item served.
        held_out: Number with it held out. Where records are pooled, both count only what has
            something to be compared with.
        mean_served: Mean outcome of the former, None without any.
        mean_held_out: Mean outcome of the latter, None without any.
        difference: The lift in [-1, 1]; None while unknown.
        low: Lower end of its 95% interval.
        high: Upper end.
    """

    served: int
    held_out: int
    mean_served: float | None = None
    mean_held_out: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def verdict(self) -> str:
        """ "helps" or "hurts" where the interval leaves out zero, else "unclear" or "unknown"."""
        if self.low is None or self.high is None:
            return "unknown"
        if self.low > 0.0:
            return "helps"
        return "hurts" if self.high < 0.0 else "unclear"

    @property
    def interval(self) -> str:
        """The lift with its interval, or "unknown"."""
        if self.difference is None or self.low is None or self.high is None:
            return "unknown"
        return f"{self.difference:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"

    def __str__(self) -> str:
        return f"{self.interval}, n held out {self.held_out}"


@dataclass(frozen=True, slots=True)
class RecordLift:
    """The lift of one record.

    Attributes:
        id: Of the record.
        scope: Of the record.
        tier: Its storey.
        kind: Its form if it is an insight that has one, else its kind.
        placement: What it is recalled for.
        text: What it says, cut short.
        effect: Its lift.
    """

    id: str
    scope: str
    tier: str
    kind: str
    placement: str
    text: str
    effect: Effect


@dataclass(frozen=True, slots=True)
class Lift:
    """Whether a memory helps.

    Attributes:
        scopes: The scopes whose receipts were read.
        trials: Trials with a known outcome and a recall.
        complete: Whether all receipts were read.
        mixed: Observations left aside: an item that one recall of a trial served and another
            held out.
        whole: Trials that were served something against trials that had all they were offered
            held out, among those that were offered equally many; mostly unknown.
        items: All items pooled over records.
        groups: The same by "tier NAME", "kind NAME" and "placement NAME".
        records: Each record on its own, those with most hold-outs first.
    """

    scopes: tuple[str, ...]
    trials: int
    complete: bool
    mixed: int
    whole: Effect
    items: Effect
    groups: Mapping[str, Effect] = field(default_factory=dict)
    records: tuple[RecordLift, ...] = ()

    @property
    def verdict(self) -> str:
        """One sentence for a person."""
        effect = self.items if self.whole.difference is None else self.whole
        what = "A recalled item" if effect is self.items else "The memory"
        match effect.verdict:
            case "unknown":
                return (
                    f"Not known yet: {self.items.held_out} of at least {LEAST} hold-outs among "
                    f"{self.trials} trials."
                )
            case "unclear":
                return f"{what} makes no difference that shows yet: {effect}."
            case verdict:
                return f"{what} {verdict}: {effect}."

    def to_json(self) -> dict[str, Any]:
        """The whole as plain JSON."""
        plain = asdict(self)
        plain["scopes"] = list(self.scopes)
        return {**plain, "records": list(plain["records"]), "verdict": self.verdict}


async def lift(source: Memory | Store, scope: str = "", *, limit: int = MOST_RECEIPTS) -> Lift:
    """Measure the lift of what a scope recalled, from its receipts and outcomes.

    Args:
        source: A memory, whose scope is meant unless another is named, or a store.
        scope: The scope whose recalls are measured, without its ancestors'; all that the store
            holds if empty.
        limit: Receipts read of each scope, the oldest first.

    Raises:
        InvalidInput: `limit` is not positive.
        InvalidScope: The scope is not a path of plain names.
    """
    if limit < 1:
        raise InvalidInput(f"limit is a number of receipts, not {limit!r}.", limit=limit)
    if isinstance(source, Memory):
        store, scope = source.store, scope or source.scope
    else:
        store = source
    scopes = (scope,) if scope else (await store.statistics("")).scopes
    rows = _Rows()
    for place in scopes:
        await _read(store, place, limit, rows)
    return await asyncio.to_thread(_measured, scopes, rows)


# --- reading --------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Offer:
    """A record offered to a trial: how many of its recalls served it, and held it out."""

    served: int = 0
    held_out: int = 0


@dataclass(slots=True)
class _Rows:
    """All offers of trials with a known outcome, and what the records are."""

    outcomes: dict[str, float] = field(default_factory=dict)
    offers: dict[str, dict[str, _Offer]] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    placements: dict[str, str] = field(default_factory=dict)
    complete: bool = True


async def _read(store: Store, scope: str, limit: int, rows: _Rows) -> None:
    found = await store.receipts(scope, limit=limit + 1)
    rows.complete = rows.complete and len(found) <= limit
    receipts = [one for one in found[:limit] if one.scope == scope]
    view = await store.view(scope)
    trials = sorted({one.trial for one in receipts if one.trial})
    outcomes: dict[str, float] = {}
    for start in range(0, len(trials), _CHUNK):
        for id_, record in (await view.get(trials[start : start + _CHUNK])).items():
            if record.outcome is not None and record.outcome.value is not None:
                outcomes[id_] = record.outcome.value
    for receipt in receipts:
        if receipt.trial in outcomes:
            _offered(receipt, rows)
    rows.outcomes |= {id_: value for id_, value in outcomes.items() if id_ in rows.offers}
    ids = sorted({id_ for trial in outcomes for id_ in rows.offers.get(trial, ())})
    for start in range(0, len(ids), _CHUNK):
        rows.records.update(await view.get(ids[start : start + _CHUNK]))


def _offered(receipt: StoredReceipt, rows: _Rows) -> None:
    offers = rows.offers.setdefault(receipt.trial, {})
    for item in receipt.body.get("items", ()):
        offers.setdefault(item["id"], _Offer()).served += 1
        rows.placements[item["id"]] = item["placement"]
    for id_ in receipt.body.get("held_out", ()):
        offers.setdefault(id_, _Offer()).held_out += 1


# --- measuring ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Observation:
    """A trial that was served a record throughout, or had it held out throughout."""

    trial: str
    record: str
    recalls: int
    served: bool
    outcome: float


def _measured(scopes: Sequence[str], rows: _Rows) -> Lift:
    observations = []
    mixed = 0
    for trial, offers in rows.offers.items():
        for record, offer in offers.items():
            if record not in rows.records:
                continue
            if offer.served and offer.held_out:
                mixed += 1
                continue
            recalls = offer.served + offer.held_out
            outcome = rows.outcomes[trial]
            observations.append(_Observation(trial, record, recalls, offer.served > 0, outcome))
    by_record: dict[str, list[_Observation]] = {}
    by_group: dict[str, list[_Observation]] = {}
    for one in observations:
        by_record.setdefault(one.record, []).append(one)
        for group in _groups(rows.records[one.record], rows.placements.get(one.record, "")):
            by_group.setdefault(group, []).append(one)
    records = [
        _record_lift(rows.records[id_], rows.placements.get(id_, ""), of)
        for id_, of in by_record.items()
    ]
    records.sort(key=lambda one: (-one.effect.held_out, -one.effect.served, one.id))
    return Lift(
        scopes=tuple(scopes),
        trials=len(rows.offers),
        complete=rows.complete,
        mixed=mixed,
        whole=_whole(rows),
        items=_pooled(observations),
        groups={group: _pooled(of) for group, of in sorted(by_group.items())},
        records=tuple(records),
    )


def _groups(record: Record, placement: str) -> list[str]:
    groups = [f"tier {record.tier.value}"]
    if record.tier is Tier.INSIGHT:
        groups.append(f"kind {_kind(record)}")
    return [*groups, f"placement {_placement(record, placement)}"]


def _kind(record: Record) -> str:
    return str(record.data.get("form") or record.kind)


def _placement(record: Record, known: str) -> str:
    """A held-out item has no placement in its receipt; it is what the record always has."""
    if known:
        return known
    if record.tier is Tier.INSIGHT:
        return "rule"
    failed = record.outcome is not None and record.outcome.succeeded is False
    return "counter-example" if failed else "example"


def _record_lift(record: Record, placement: str, of: Sequence[_Observation]) -> RecordLift:
    return RecordLift(
        id=record.id,
        scope=record.scope,
        tier=record.tier.value,
        kind=_kind(record),
        placement=_placement(record, placement),
        text=" ".join(record.text[:200].split()),
        effect=_two_means(
            [one.outcome for one in of if one.served],
            [one.outcome for one in of if not one.served],
        ),
    )


def _whole(rows: _Rows) -> Effect:
    """Trials that were served something against those that had everything held out."""
    observations = []
    for trial, offers in rows.offers.items():
        if not offers:
            continue
        served = any(offer.served for offer in offers.values())
        outcome = rows.outcomes[trial]
        observations.append(_Observation(trial, "", len(offers), served, outcome))
    return _pooled(observations)


def _two_means(served: Sequence[float], held_out: Sequence[float]) -> Effect:
    """The plain difference of two means, with an interval that fits the kind of outcome."""
    with_it, without = _mean(served), _mean(held_out)
    effect = Effect(len(served), len(held_out), with_it, without)
    if len(held_out) < LEAST or with_it is None or without is None:
        return effect
    if {*served, *held_out} <= {0.0, 1.0}:
        low, high = newcombe(int(sum(served)), len(served), int(sum(held_out)), len(held_out))
    else:
        low, high = _bootstrap(served, held_out)
    return _with_interval(effect, with_it - without, low, high)


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _with_interval(effect: Effect, difference: float, low: float, high: float) -> Effect:
    return replace(effect, difference=difference, low=max(-1.0, low), high=min(1.0, high))


def newcombe(a: int, n: int, b: int, m: int) -> tuple[float, float]:
    """The 95% interval of a/n - b/m by Newcombe's hybrid score method.

    Args:
        a: Successes of the first group.
        n: Its size, above 0.
        b: Successes of the second group.
        m: Its size, above 0.

    Returns:
        Lower and upper end (Newcombe 1998, Statistics in Medicine 17:873, method 10).
    """
    p, q = a / n, b / m
    low_p, high_p = wilson(a, n)
    low_q, high_q = wilson(b, m)
    return (
        p - q - math.hypot(p - low_p, high_q - q),
        p - q + math.hypot(high_p - p, q - low_q),
    )


def wilson(a: int, n: int) -> tuple[float, float]:
    """The 95% Wilson score interval of a/n, for n above 0."""
    p, square = a / n, _Z * _Z
    middle = (p + square / (2 * n)) / (1 + square / n)
    half = _Z / (1 + square / n) * math.sqrt(p * (1 - p) / n + square / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def _bootstrap(served: Sequence[float], held_out: Sequence[float]) -> tuple[float, float]:
    random = np.random.default_rng(0)
    means = [
        np.fromiter((random.choice(group, len(group)).mean() for _ in range(_SAMPLES)), np.float64)
        for group in (np.asarray(served), np.asarray(held_out))
    ]
    low, high = np.quantile(means[0] - means[1], [0.025, 0.975])
    return float(low), float(high)


def _pooled(observations: Iterable[_Observation]) -> Effect:
    """The Mantel-Haenszel difference over the strata that have both, robust to trials."""
    rows = _comparable(observations)
    treated = np.array([one.served for one in rows], np.float64)
    outcome = np.array([one.outcome for one in rows], np.float64)
    held_out = int(len(rows) - treated.sum())
    effect = Effect(
        len(rows) - held_out,
        held_out,
        float(outcome[treated > 0].mean()) if rows else None,
        float(outcome[treated == 0].mean()) if rows else None,
    )
    if held_out < LEAST:
        return effect
    stratum = _numbered((one.record, one.recalls) for one in rows)
    centred = treated - _means(treated, stratum)
    total = float(centred @ centred)
    difference = float(centred @ outcome) / total
    residual = outcome - _means(outcome, stratum) - difference * centred
    if not np.any(np.abs(residual) > 1e-12):
        # Every outcome is as its stratum says: no spread to tell the precision from.
        values = set(outcome.tolist())
        if values <= {0.0, 1.0}:
            wins = [float(outcome[treated == arm].sum()) for arm in (1.0, 0.0)]
            low, high = newcombe(int(wins[0]), effect.served, int(wins[1]), held_out)
            return _with_interval(effect, difference, low, high)
        return effect
    trials = _numbered(one.trial for one in rows)
    scores = np.bincount(trials, weights=centred * residual)
    clusters, strata, n = len(scores), int(stratum.max()) + 1, len(rows)
    few = clusters / (clusters - 1) * (n - 1) / max(1, n - strata - 1)
    half = _student(held_out - 1) * math.sqrt(few * float(scores @ scores)) / total
    return _with_interval(effect, difference, difference - half, difference + half)


def _comparable(observations: Iterable[_Observation]) -> list[_Observation]:
    """Those of the strata in which the item was served to one trial and held out of another."""
    strata: dict[tuple[str, int], list[_Observation]] = {}
    for one in observations:
        strata.setdefault((one.record, one.recalls), []).append(one)
    return [one for of in strata.values() if len({each.served for each in of}) == 2 for one in of]


def _numbered(names: Iterable[Any]) -> NDArray[np.int64]:
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)


def _means(values: Floats, groups: NDArray[np.int64]) -> Floats:
    """For each value the mean of its group."""
    sums = np.bincount(groups, weights=values)
    means: Floats = (sums / np.bincount(groups))[groups]
    return means


def _student(freedom: int) -> float:
    """The 97.5% quantile of Student's t, by its expansion in 1/freedom (Abramowitz and Stegun
    26.7.5); within 0.001 from 10 degrees of freedom up."""
    z, v = _Z, float(max(1, freedom))
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    )
