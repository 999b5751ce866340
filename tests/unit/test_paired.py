"""Paired statistics against published examples, brute force and simulated truth."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triforium.errors import InvalidInput
from triforium.workflows.paired import (
    EXACT,
    Paired,
    clustered_mean,
    clustered_proportion,
    holm,
    mcnemar,
    newcombe,
    paired,
    pooled,
    sign_flip,
)
from triforium.workflows.results import proportion

binary_pairs = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40)


def table(both: int, first: int, second: int, neither: int) -> tuple[list[float], list[float]]:
    """Outcomes of two arms with these counts of pairs."""
    a = [1.0] * (both + first) + [0.0] * (second + neither)
    b = [1.0] * both + [0.0] * first + [1.0] * second + [0.0] * neither
    return a, b


def test_worked_examples_of_fagerland_lydersen_and_laake() -> None:
    """BMC Medical Research Methodology 13:91 (2013) and Statistics in Medicine 33:2850 (2014)."""
    airways = paired(*table(1, 1, 7, 12))
    assert airways.difference.value == pytest.approx(-6 / 21)
    assert airways.difference.low == pytest.approx(-0.507, abs=0.0005)
    assert airways.difference.high == pytest.approx(-0.026, abs=0.0005)
    assert airways.p == pytest.approx(0.0703, abs=0.00005)
    assert (airways.better, airways.worse, airways.n, airways.items) == (1, 7, 21, 21)
    remission = paired(*table(59, 6, 16, 80))
    assert remission.difference.value == pytest.approx(-0.0621, abs=0.00005)
    assert remission.difference.low == pytest.approx(-0.1186, abs=0.00005)
    assert remission.difference.high == pytest.approx(-0.0046, abs=0.00005)
    assert remission.p == pytest.approx(0.0525, abs=0.00005)


def test_mcnemar_is_the_share_of_all_ways_the_differing_pairs_could_have_fallen() -> None:
    for better, worse in itertools.product(range(7), range(7)):
        n, far = better + worse, abs(better - worse)
        ways = [sum(fall) for fall in itertools.product((-1, 1), repeat=n)]
        expected = sum(abs(way) >= far for way in ways) / len(ways)
        assert mcnemar(better, worse) == pytest.approx(expected), (better, worse)
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(4000, 3000) < 1e-30, "large counts do not overflow"


@given(binary_pairs)
def test_an_interval_holds_its_value_and_turns_round_with_the_arms(
    pairs: list[tuple[int, int]],
) -> None:
    a, b = [float(x) for x, _ in pairs], [float(y) for _, y in pairs]
    one, two = paired(a, b), paired(b, a)
    assert -1 <= one.difference.low <= one.difference.value <= one.difference.high <= 1
    assert one.difference.low == pytest.approx(-two.difference.high)
    assert one.difference.value == pytest.approx(-two.difference.value)
    assert one.p == pytest.approx(two.p)
    assert (one.better, one.worse) == (two.worse, two.better)


def test_newcombe_covers_the_truth() -> None:
    rng = random.Random(7)
    chances = (0.5, 0.25, 0.1, 0.15)
    covered = 0
    for _ in range(1000):
        drawn = rng.choices(range(4), chances, k=50)
        metric = newcombe(*(drawn.count(cell) for cell in range(4)))
        covered += metric.low <= chances[1] - chances[2] <= metric.high
    assert 0.93 <= covered / 1000 <= 0.98


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9))
def test_sign_flips_of_few_items_are_all_gone_through(differences: list[int]) -> None:
    observed = abs(sum(differences))
    ways = [
        abs(sum(sign * one for sign, one in zip(signs, differences, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(differences))
    ]
    expected = sum(way >= observed for way in ways) / len(ways)
    assert sign_flip(differences) == pytest.approx(expected)


def test_drawn_sign_flips_come_near_the_exact_test() -> None:
    """With ones alone the sign flips are McNemar's test, whose p is known exactly."""
    differences = [1.0] * 25 + [-1.0] * 12
    assert len(differences) > EXACT
    assert sign_flip(differences, seed=3) == pytest.approx(mcnemar(25, 12), abs=0.005)
    assert sign_flip(differences, seed=3) == sign_flip(differences, seed=3)
    assert sign_flip([0.1] * 200) > 0, "a drawn test never says that it cannot be"


def test_sums_that_are_equal_on_paper_count_as_equal() -> None:
    """0.1 + 0.2 is not 0.3 in floating point: the flips that give the same sum are as extreme."""
    assert sign_flip([0.1, 0.2, -0.3]) == 1.0
    assert sign_flip([0.1, 0.2, 0.3]) == pytest.approx(2 / 8)


def test_the_interval_of_scores_covers_the_truth() -> None:
    """Skewed differences with mean 1; and it is near the t interval where that is right."""
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(300):
        differences = rng.exponential(1.0, 40)
        found = paired(differences.tolist(), [0.0] * 40).difference
        covered += found.low <= 1.0 <= found.high
    assert 0.90 <= covered / 300 <= 0.985
    normal = rng.normal(0.5, 1.0, 400)
    found = paired(normal.tolist(), [0.0] * 400).difference
    half = 1.96 * float(normal.std(ddof=1)) / math.sqrt(400)
    assert found.low == pytest.approx(float(normal.mean()) - half, abs=0.02)
    assert found.high == pytest.approx(float(normal.mean()) + half, abs=0.02)


def test_scores_are_seeded() -> None:
    a, b = [0.1, 0.9, 0.5, 0.7, 0.2] * 6, [0.2, 0.4, 0.5, 0.3, 0.1] * 6
    assert paired(a, b, seed=1) == paired(a, b, seed=1)
    assert paired(a, b, seed=1).difference != paired(a, b, seed=2).difference


# --- several runs of an item ----------------------------------------------------------------------


@given(binary_pairs)
def test_pooled_with_each_item_once_is_paired(pairs: list[tuple[int, int]]) -> None:
    a, b = [float(x) for x, _ in pairs], [float(y) for _, y in pairs]
    assert pooled(a, b, [f"item {n}" for n in range(len(a))]) == paired(a, b)


def test_copies_of_a_run_are_no_evidence() -> None:
    """Five seeds that came out the same say what one of them says."""
    a, b = table(10, 12, 4, 14)
    once = paired(a, b)
    five = pooled(a * 5, b * 5, list(range(40)) * 5)
    naive = paired(a * 5, b * 5)
    assert (five.n, five.items, five.better) == (200, 40, 60)
    assert five.difference.value == pytest.approx(once.difference.value)
    assert five.p == pytest.approx(once.p, abs=0.01)
    assert width(five) == pytest.approx(width(once), rel=0.1)
    assert width(naive) < 0.6 * width(once)


def width(compared: Paired) -> float:
    return compared.difference.high - compared.difference.low


def test_the_clustered_interval_covers_the_truth() -> None:
    """Items of very different difficulty, three runs of each; the truth is 0.2."""
    rng = random.Random(11)
    covered = naive = 0
    for _ in range(300):
        a: list[float] = []
        b: list[float] = []
        for _ in range(40):
            gain = rng.choice((0.0, 0.4))
            ease = rng.choice((0.1, 0.5))
            a += [float(rng.random() < ease + gain) for _ in range(3)]
            b += [float(rng.random() < ease) for _ in range(3)]
        items = [place // 3 for place in range(120)]
        found = pooled(a, b, items).difference
        covered += found.low <= 0.2 <= found.high
        share = clustered_proportion(a, items)
        naive += share.low <= 0.5 <= share.high
    assert 0.91 <= covered / 300 <= 0.985
    assert 0.92 <= naive / 300 <= 0.99


def test_items_that_all_agree_leave_doubt() -> None:
    """A bootstrap of equal values is a point; ten tasks do not prove that."""
    never = pooled([0.0] * 20, [0.0] * 20, list(range(10)) * 2)
    assert never.p == 1.0
    assert never.difference.low < -0.1
    assert never.difference.high > 0.1
    always = pooled([1.0] * 20, [0.0] * 20, list(range(10)) * 2)
    assert always.difference.value == always.difference.high == 1.0
    assert 0.4 < always.difference.low < 0.9
    assert always.p == pytest.approx(2 / 2**10)


def test_a_share_with_several_runs_of_an_item() -> None:
    values = [1.0] * 12 + [0.0] * 18
    assert clustered_proportion(values, range(30)) == proportion(12, 30)
    same = clustered_proportion(values * 4, list(range(30)) * 4)
    assert same.low == pytest.approx(proportion(12, 30).low, abs=0.01)
    assert same.high == pytest.approx(proportion(12, 30).high, abs=0.01)
    won = clustered_proportion([1.0] * 40, list(range(10)) * 4)
    assert (won.value, won.low, won.high) == pytest.approx((1.0, proportion(10, 10).low, 1.0))
    with pytest.raises(InvalidInput, match="0 or 1"):
        clustered_proportion([0.5], [0])


def test_a_mean_with_several_runs_of_an_item() -> None:
    values = [float(n % 7) for n in range(40)]
    once = clustered_mean(values, range(40))
    four = clustered_mean(values * 4, list(range(40)) * 4)
    assert four.value == pytest.approx(sum(values) / 40)
    assert four.high - four.low == pytest.approx(once.high - once.low, rel=0.1)
    assert clustered_mean([3.0], ["a"]).low == 3.0


# --- correction -----------------------------------------------------------------------------------


def test_holm_corrects_as_worked_by_hand() -> None:
    """0.01 x 4, 0.02 x 3, 0.03 x 2 = 0.06, and 0.04 x 1 cannot fall below the one before."""
    assert holm({"d": 0.04, "a": 0.01, "c": 0.03, "b": 0.02}) == pytest.approx(
        {"a": 0.04, "b": 0.06, "c": 0.06, "d": 0.06}
    )
    assert list(holm({"z": 0.5, "a": 0.1})) == ["z", "a"]
    assert holm({"a": 0.7, "b": 0.9}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_lies_between_no_correction_and_bonferroni(values: list[float]) -> None:
    ps = {str(place): p for place, p in enumerate(values)}
    corrected = holm(ps)
    for name, p in ps.items():
        assert p <= corrected[name] <= min(1.0, p * len(ps)) + 1e-12
    assert min(corrected.values()) == pytest.approx(min(1.0, min(values) * len(ps)))


@pytest.mark.parametrize(
    ("a", "b", "word"),
    [([], [], "nothing to compare"), ([1.0], [], "1, 0"), ([math.nan], [0.0], "finite")],
)
def test_bad_input(a: Sequence[float], b: Sequence[float], word: str) -> None:
    with pytest.raises(InvalidInput, match=word):
        paired(a, b)
