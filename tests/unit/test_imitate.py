"""Imitation of recalled successes in a world whose things carry no numbers."""

from __future__ import annotations

from triforium.agents.actor import CaseGuidedActor
from triforium.agents.imitate import Imitator, by_words, carry_over, likeness
from triforium.graph import Outcome
from triforium.memory import Case
from triforium.memory.recall import CaseStep


def case(task: str, *actions: str, won: bool = True, id_: str = "c") -> Case:
    outcome = Outcome.success() if won else Outcome.failure()
    return Case(id_, task, outcome, tuple(CaseStep(action) for action in actions))


def follow(imitator: Imitator, offers: list[list[str]]) -> list[str]:
    """What is done when these are offered in turn; "" when nothing fits."""
    history: list[tuple[str, str]] = []
    for offered in offers:
        proposed = imitator.propose(offered, history)
        history.append((proposed[0] if proposed else "", "done"))
    return [action for action, _ in history]


TOAST = case("toast the bun", "walk to larder", "grab bun", "put bun in oven")


def test_words_in_which_the_goals_differ_are_put_for_each_other() -> None:
    assert carry_over(TOAST, "toast the fish") == (
        "walk to larder",
        "grab fish",
        "put fish in oven",
    )


def test_a_word_that_both_goals_have_stays() -> None:
    swap = case("carry the jar to the hall", "lift jar", "carry jar to hall")
    assert carry_over(swap, "carry the hall mirror to the hall")[1].endswith("to hall")


def test_steps_are_made_as_they_stand_and_else_by_the_likest() -> None:
    offers = [
        ["walk to larder", "walk to yard"],
        ["grab dried fish", "grab pan", "sing"],
        ["put dried fish in oven", "put pan in oven"],
    ]
    assert follow(Imitator("toast the fish", [TOAST]), offers) == [
        "walk to larder",
        "grab dried fish",
        "put dried fish in oven",
    ]


def test_what_cannot_be_made_is_passed_over_and_then_nothing_fits() -> None:
    done = follow(Imitator("toast the fish", [TOAST]), [["put fish in oven"], ["sing"]])
    assert done == ["put fish in oven", ""]


def test_the_case_with_the_likest_goal_goes_first_and_failures_never() -> None:
    cases = [
        case("paint the fence", "grab brush", id_="other"),
        case("toast the pie", "grab pie", won=False, id_="failed"),
        case("toast the bun", "grab bun", id_="like"),
    ]
    proposed = Imitator("toast the pie", cases).propose(["grab pie", "grab brush"], [])
    assert proposed is not None
    assert proposed[0] == "grab pie"
    assert proposed[2] == "like"


def test_a_vetoed_action_is_not_proposed() -> None:
    imitator = Imitator("toast the bun", [TOAST])
    proposed = imitator.propose(["walk to larder", "grab bun"], [], frozenset({"walk to larder"}))
    assert proposed is not None
    assert proposed[0] == "grab bun"


def test_likeness_counts_the_object_more_than_the_verb() -> None:
    assert likeness("go to pantry", "jump to pantry") > likeness("go to pantry", "go to cellar")
    assert likeness("", "") == 0.0


def test_it_is_used_only_where_actions_name_no_numbered_things() -> None:
    assert by_words([TOAST])
    assert not by_words([case("toast a bun", "grab bun 1", "put bun 1 in oven 2")])
    assert not by_words([])
    actor = CaseGuidedActor(goal="toast the bun", cases=[TOAST])
    assert actor.act("A kitchen.", ["sing", "walk to larder"], []).action == "walk to larder"
