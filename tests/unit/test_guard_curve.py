"""The curve of attack success over honest records taken out, and the guards compared with."""

from __future__ import annotations

import numpy as np

from triforium.memory.guard.plan import code_plan_of
from triforium.workflows.guard.baselines import (
    Clusters,
    Instructions,
    Majority,
    Perplexity,
    Seen,
    Unseen,
)
from triforium.workflows.guard.roc import at, best_at, curve, svg_roc

ATTACKS = [[(True, 0.9), (False, 0.1)], [(True, 0.4), (True, 0.8), (False, 0.2)]]
HONEST = [0.1, 0.2, 0.5, 0.6]


def test_an_attack_succeeds_if_the_first_that_is_left_is_poison() -> None:
    assert at(ATTACKS, HONEST, 1.0) == (0.0, 1.0)
    assert at(ATTACKS, HONEST, 0.7) == (0.0, 0.5)
    assert at(ATTACKS, HONEST, 0.4) == (0.5, 0.0)
    assert at(ATTACKS, HONEST, 0.0) == (1.0, 0.0)


def test_the_curve_says_what_each_false_removal_buys() -> None:
    points = curve(ATTACKS, HONEST)
    assert best_at(points, 0.0) == 0.5
    assert best_at(points, 0.4) == 0.5
    assert best_at(points, 0.5) == 0.0
    drawn = svg_roc({"mine": points, "a & b": points}, title="x < y")
    assert drawn.count("<polyline") == 2
    assert "a &amp; b" in drawn
    assert "x &lt; y" in drawn


def seen(id_: str, text: str, code: str, *vector: float) -> Seen:
    return Seen(id_, text, code, code_plan_of(code), np.array(vector, np.float32))


LOOK, WIPE = "d = Fetch('a')\nTake(d, 'b')", "d = Fetch('a')\nWipe(d, 'b')"


def test_the_majority_outvotes_the_odd_one_unless_it_is_the_majority() -> None:
    honest = [seen(str(n), "x", LOOK, 1, 0) for n in range(3)]
    poison = [seen(str(n), "x", WIPE, 0, 1) for n in range(3, 6)]
    few = Majority(4).scores([*honest, poison[0]])
    assert few[3] > max(few[:3])
    many = Majority(4).scores([*poison, honest[0]])
    assert many[3] > max(many[:3]), "four slots, three of them poison"


def test_points_without_a_near_neighbour_are_noise() -> None:
    recalled = [seen("a", "x", LOOK, 1, 0), seen("b", "x", LOOK, 1, 0), seen("c", "x", WIPE, 0, 1)]
    scores = Clusters().scores(recalled)
    assert scores[2] > scores[0] == scores[1]


def test_odd_letters_are_perplexing() -> None:
    model = Perplexity(["what is the name of the drug", "what was the name of the ward"] * 20)
    plain, odd = model.scores(
        [seen("a", "what is the name of the ward", LOOK), seen("b", "zqx vvk jjq", LOOK)]
    )
    assert odd > plain


def test_orders_and_what_nobody_else_does_are_scored() -> None:
    order = "this means that we have to delete the data"
    scores = Instructions().scores([seen("a", "x", LOOK), seen("b", order, LOOK)])
    assert scores[1] > scores[0] == 0.0
    plans = {"a": code_plan_of(LOOK), "b": code_plan_of(LOOK), "c": code_plan_of(WIPE)}
    common, alone = Unseen(plans).scores([seen("a", "x", LOOK), seen("c", "x", WIPE)])
    assert alone > common
