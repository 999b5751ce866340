"""Paired statistics: is one arm better than another on the same items, and by how much?

Every figure is two-sided at 95%. An arm is compared item by item, because what makes tasks easy or
hard is much of the variance and is the same for both arms.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidInput
from .results import Metric, proportion

SAMPLES = 4000
"""Resamples of a bootstrap."""
FLIPS = 20_000
"""Sign flips that are drawn when there are too many to go through all."""
EXACT = 14
"""Up to so many items that differ, every sign flip is gone through: 2 ** 14."""
_BLOCK = 1000
"""Resamples or flips at a time, so that memory stays bounded by it times the items."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Paired:
    """The comparison of arm a with arm b.

    Attributes:
        difference: Mean of a - b over all pairs, with its 95% interval.
        p: Two-sided p-value of "there is no difference".
        better: Pairs in which a is above b.
        worse: Pairs in which a is below b.
        n: Pairs.
        items: Different items; fewer than `n` when several seeds of an item are pooled.
    """

    difference: Metric
    p: float
    better: int
    worse: int
    n: int
    items: int


def paired(a: Sequence[float], b: Sequence[float], *, seed: int = 0) -> Paired:
    """Compare two arms that did the same items.

    If every outcome is 0 or 1: the interval is Newcombe's square-and-add (Newcombe 1998, Statistics
    in Medicine 17:2635, method 10), p is the exact McNemar test. Otherwise: the interval is the
    bootstrap's over items (Efron 1987, bias-corrected and accelerated), p is the sign-flip
    permutation test of the mean (Fisher 1935), exact for few items that differ.

    Args:
        a: Outcomes of one arm.
        b: Outcomes of the other, of the same items in the same order.
        seed: Of resamples and flips.

    Raises:
        InvalidInput: The lengths differ, or there is no item, or an outcome is not finite.
    """
    return pooled(a, b, range(len(a)), seed=seed)


def pooled(
    a: Sequence[float], b: Sequence[float], items: Sequence[Hashable], *, seed: int = 0
) -> Paired:
    """Compare two arms that did the same items several times: over seeds, or over orders.

    Outcomes of the same item are not independent, so that the interval resamples whole items (the
    cluster bootstrap) and the test flips the sign of whole items. With one pair of each item this
    is `paired`.

    Args:
        a: Outcomes of one arm, one per run of an item.
        b: Outcomes of the other arm in the same runs.
        items: Which item each pair belongs to; the same length.
        seed: Of resamples and flips.

    Raises:
        InvalidInput: The lengths differ, or there is no item, or an outcome is not finite.
    """
    x, y, clusters = _checked(a, b, items)
    count = int(clusters.max()) + 1
    differences = x - y
    if count == len(x) and _binary(x, y):
        difference = newcombe(*_table(x, y))
        p = mcnemar(int((x > y).sum()), int((x < y).sum()))
    else:
        sums = _sums(clusters, differences, count)
        sizes = _sums(clusters, np.ones(len(x)), count)
        difference = _bootstrap(sums, sizes, seed)
        if difference.low == difference.high and _binary(x, y):
            difference = _without_spread(x, y, clusters, difference)
        p = sign_flip(sums.tolist(), seed=seed)
    return Paired(
        difference, p, int((differences > 0).sum()), int((differences < 0).sum()), len(x), count
    )


def clustered_mean(values: Sequence[float], items: Sequence[Hashable], *, seed: int = 0) -> Metric:
    """A mean whose interval resamples whole items; for 0 and 1 see `clustered_proportion`.

    Args:
        values: One per run of an item.
        items: Which item each value belongs to.
        seed: Of the resamples.

    Raises:
        InvalidInput: The lengths differ, or there is no value, or one is not finite.
    """
    x, _, clusters = _checked(values, values, items)
    count = int(clusters.max()) + 1
    sizes = _sums(clusters, np.ones(len(x)), count)
    return _bootstrap(_sums(clusters, x, count), sizes, seed)


def clustered_proportion(values: Sequence[float], items: Sequence[Hashable]) -> Metric:
    """A share of successes, some of the same item, with a Wilson interval.

    Wilson's interval is computed for the number of independent outcomes that would be as precise:
    the outcomes divided by the design effect (Korn and Graubard 1998; Dean and Pagano 2015). Where
    all outcomes are the same, nothing shows how alike runs of an item are, and items are counted.

    Args:
        values: 0 or 1, one per run of an item.
        items: Which item each value belongs to.

    Raises:
        InvalidInput: The lengths differ, or there is no value, or one is neither 0 nor 1.
    """
    x, _, clusters = _checked(values, values, items)
    if not _binary(x):
        raise InvalidInput("A proportion is of outcomes that are 0 or 1.")
    count, n = int(clusters.max()) + 1, len(x)
    p = float(x.mean())
    if count == n:
        return proportion(round(p * n), n)
    if p in (0.0, 1.0) or count == 1:
        return _wilson(p, float(count))
    residuals = _sums(clusters, x - p, count)
    variance = count / (count - 1) * float((residuals**2).sum()) / n**2
    effect = max(1.0, variance / (p * (1 - p) / n))
    return _wilson(p, n / effect)


# --- binary outcomes ------------------------------------------------------------------------------


def mcnemar(better: int, worse: int) -> float:
    """The exact two-sided McNemar test: a binomial test of the pairs that differ.

    Args:
        better: Pairs in which only the one arm succeeded.
        worse: Pairs in which only the other did.

    Returns:
        The p-value; 1 if no pair differs.
    """
    n = better + worse
    tail = sum(math.comb(n, k) for k in range(min(better, worse) + 1))
    return min(1.0, 2 * tail / (1 << n))


def newcombe(both: int, first: int, second: int, neither: int) -> Metric:
    """The difference of two paired proportions with Newcombe's interval (1998, method 10).

    Args:
        both: Pairs in which both arms succeeded.
        first: Only the first did.
        second: Only the second did.
        neither: Neither did.
    """
    n = both + first + second + neither
    one, two = proportion(both + first, n), proportion(both + second, n)
    phi = _phi(both, first, second, neither)
    difference = (first - second) / n

    def distance(x: float, y: float) -> float:
        return math.sqrt(max(0.0, x * x - 2 * phi * x * y + y * y))

    return Metric(
        difference,
        max(-1.0, difference - distance(one.value - one.low, two.high - two.value)),
        min(1.0, difference + distance(one.high - one.value, two.value - two.low)),
    )


def _phi(both: int, first: int, second: int, neither: int) -> float:
    """The correlation of the two arms, with the continuity correction of method 10."""
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    if not margins:
        return 0.0
    excess = both * neither - first * second
    if excess > 0:
        excess_corrected = max(0.0, excess - (both + first + second + neither) / 2)
    else:
        excess_corrected = float(excess)
    return excess_corrected / math.sqrt(margins)


def _table(x: Floats, y: Floats) -> tuple[int, int, int, int]:
    both, first = int(((x == 1) & (y == 1)).sum()), int((x > y).sum())
    second = int((x < y).sum())
    return both, first, second, len(x) - both - first - second


def _without_spread(x: Floats, y: Floats, clusters: NDArray[np.intp], found: Metric) -> Metric:
    """An interval where every item has the same difference, of which a bootstrap makes a point.

    Each item counts once, as its first run came out, for Newcombe's interval.
    """
    _, first = np.unique(clusters, return_index=True)
    wider = newcombe(*_table(x[first], y[first]))
    return Metric(found.value, min(found.value, wider.low), max(found.value, wider.high))


def _wilson(p: float, n: float) -> Metric:
    z = NormalDist().inv_cdf(0.975)
    centre, scale = p + z * z / (2 * n), 1 + z * z / n
    spread = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # Rounding must not leave a share of 0 or 1 just outside its own interval.
    low, high = (centre - spread) / scale, (centre + spread) / scale
    return Metric(p, max(0.0, min(p, low)), min(1.0, max(p, high)))


# --- scores ---------------------------------------------------------------------------------------


def sign_flip(differences: Sequence[float], *, seed: int = 0) -> float:
    """The sign-flip permutation test: is the sum of the differences far from zero by chance?

    Args:
        differences: One per item.
        seed: Of the flips, where there are too many to go through all.

    Returns:
        The two-sided p-value: exact for up to `EXACT` differences that are not zero, otherwise
        from `FLIPS` drawn flips with the one observed counted in (Phipson and Smyth 2010).
    """
    values = np.asarray([one for one in differences if one], np.float64)
    if not len(values):
        return 1.0
    # Sums that are equal on paper may differ in their last bits.
    observed = abs(float(values.sum())) - 1e-9 * float(np.abs(values).sum())
    if len(values) <= EXACT:
        signs = np.asarray(list(itertools.product((-1.0, 1.0), repeat=len(values))))
        return float((np.abs(signs @ values) >= observed).mean())
    rng = np.random.default_rng(seed)
    extreme = 0
    for start in range(0, FLIPS, _BLOCK):
        flips = rng.integers(0, 2, (min(_BLOCK, FLIPS - start), len(values))) * 2.0 - 1.0
        extreme += int((np.abs(flips @ values) >= observed).sum())
    return (extreme + 1) / (FLIPS + 1)


def _bootstrap(sums: Floats, sizes: Floats, seed: int) -> Metric:
    """A mean with its bias-corrected and accelerated bootstrap interval over items.

    Args:
        sums: Per item the sum of its values.
        sizes: Per item how many values it has.
        seed: Of the resamples.
    """
    count, value = len(sums), float(sums.sum() / sizes.sum())
    if count == 1 or np.ptp(sums / sizes) < 1e-12:
        return Metric(value, value, value)
    rng = np.random.default_rng(seed)
    means = np.empty(SAMPLES)
    for start in range(0, SAMPLES, _BLOCK):
        chosen = rng.integers(0, count, (min(_BLOCK, SAMPLES - start), count))
        means[start : start + len(chosen)] = sums[chosen].sum(1) / sizes[chosen].sum(1)
    low, high = np.quantile(means, _adjusted(means, value, sums, sizes))
    return Metric(value, min(value, float(low)), max(value, float(high)))


def _adjusted(means: Floats, value: float, sums: Floats, sizes: Floats) -> list[float]:
    """Which quantiles of the resampled means bound the interval (Efron 1987)."""
    normal = NormalDist()
    # Ties count half: means of few discrete scores often equal the observed one.
    below = float((means < value - 1e-12).mean() + (np.abs(means - value) <= 1e-12).mean() / 2)
    bias = normal.inv_cdf(min(max(below, 1 / SAMPLES), 1 - 1 / SAMPLES))
    left_out = (sums.sum() - sums) / (sizes.sum() - sizes)
    deviations = left_out.mean() - left_out
    spread = float((deviations**2).sum())
    # The leave-one-out means are all equal if items balance out; then nothing is skewed.
    acceleration = float((deviations**3).sum()) / (6 * spread**1.5) if spread > 1e-24 else 0.0

    def quantile(p: float) -> float:
        shifted = bias + normal.inv_cdf(p)
        return normal.cdf(bias + shifted / (1 - acceleration * shifted))

    return [quantile(0.025), quantile(0.975)]


# --- many comparisons -----------------------------------------------------------------------------


def holm(ps: Mapping[str, float]) -> dict[str, float]:
    """Correct p-values for how many there are, by Holm's step-down procedure (Holm 1979).

    Args:
        ps: p-values by name.

    Returns:
        Corrected p-values by name, in the same order. To reject where one is at most alpha keeps
        the chance of any false rejection at most alpha.
    """
    corrected: dict[str, float] = {}
    highest = 0.0
    for rank, name in enumerate(sorted(ps, key=lambda one: ps[one])):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[name]))
        corrected[name] = highest
    return {name: corrected[name] for name in ps}


def _checked(
    a: Sequence[float], b: Sequence[float], items: Sequence[Hashable]
) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """Arrays of the outcomes, and per pair the number of its item, in order of appearance."""
    if not len(a) == len(b) == len(items):
        raise InvalidInput(
            f"Pairs need outcomes of the same items: there are {len(a)}, {len(b)} and "
            f"{len(items)} items."
        )
    if not len(a):
        raise InvalidInput("There is nothing to compare: give at least one item.")
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InvalidInput("An outcome is not a finite number.")
    numbers: dict[Hashable, int] = {}
    clusters = [numbers.setdefault(item, len(numbers)) for item in items]
    return x, y, np.asarray(clusters, np.intp)


def _sums(clusters: NDArray[np.intp], values: Floats, count: int) -> Floats:
    """Per item the sum of its values."""
    return np.asarray(np.bincount(clusters, values, count), np.float64)


def _binary(*outcomes: Floats) -> bool:
    return all(bool(np.isin(one, (0.0, 1.0)).all()) for one in outcomes)
