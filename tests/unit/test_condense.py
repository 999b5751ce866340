"""From a recorded trial to what its outcome depended on, on small worlds of nonsense words."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from triforium import Outcome
from triforium.memory import Case, CaseStep
from triforium.memory.condense import LONGEST_FAILURE, condense, reduced


def case(task: str, *steps: tuple[str, str], won: bool = True) -> Case:
    outcome = Outcome.success() if won else Outcome.failure()
    return Case(task, task, outcome, tuple(CaseStep(*step) for step in steps))


def core(
    steps: Sequence[tuple[str, str]], task: str, dull: frozenset[str] = frozenset()
) -> list[str]:
    return [step.action for step in condense(case(task, *steps), dull).steps]


ZORP = "zorp a blip to the fnord"
DROP = ("drop blip 3 at fnord 2", "Dropped.")
GRAB = ("grab blip 3 off plinth 1", "Grabbed.")


def test_what_was_looked_at_in_vain_is_dropped() -> None:
    found = [
        ("hop quux 1", "At quux 1: nothing."),
        ("hop plinth 1", "At plinth 1: blip 3."),
        GRAB,
        ("hop quux 2", "At quux 2: nothing."),
        ("hop fnord 2", "At fnord 2."),
        DROP,
    ]
    assert core(found, ZORP) == ["hop plinth 1", GRAB[0], "hop fnord 2", DROP[0]]


def test_where_the_last_thing_was_found_is_kept() -> None:
    lit = [
        ("hop quux 1", "At quux 1: blip 3."),
        ("grab blip 3 off quux 1", "Grabbed."),
        ("hop plinth 1", "At plinth 1: a glow 2 stands here."),
        ("light glow 2", "It shines."),
    ]
    assert core(lit, "see a blip by the glow") == [action for action, _ in lit]


def test_what_was_put_back_unused_is_dropped() -> None:
    steps = [
        ("grab snib 4 off plinth 1", "Grabbed."),
        ("drop snib 4 at plinth 1", "Dropped."),
        GRAB,
        ("hop fnord 2", "At fnord 2."),
        DROP,
    ]
    assert core(steps, ZORP) == [GRAB[0], "hop fnord 2", DROP[0]]


def test_what_led_back_to_the_same_action_is_dropped() -> None:
    steps = [
        GRAB,
        ("drop blip 3 at plinth 1", "Dropped."),
        GRAB,
        ("hop fnord 2", "At fnord 2."),
        DROP,
    ]
    assert core(steps, ZORP) == [GRAB[0], "hop fnord 2", DROP[0]]


def test_a_change_made_between_two_visits_is_not_undone() -> None:
    steps = [
        GRAB,
        ("smoulder blip 3 with gleeb 1", "Warm."),
        ("hop fnord 2", "At fnord 2."),
        DROP,
    ]
    assert "smoulder blip 3 with gleeb 1" in core(steps, "zorp a warm blip to the fnord")


def test_dull_actions_are_dropped_but_never_the_last() -> None:
    steps = [GRAB, ("poke blip 3", "Nothing."), ("hop fnord 2", "At fnord 2."), DROP]
    assert "poke blip 3" in core(steps, ZORP)
    assert "poke blip 3" not in core(steps, ZORP, frozenset({"poke _"}))
    assert core([GRAB, ("poke blip 3", "")], ZORP, frozenset({"poke _"}))[-1] == "poke blip 3"


def test_a_failure_keeps_what_it_did_in_vain_with_what_the_task_names() -> None:
    steps = [
        GRAB,
        ("hop quux 1", ""),
        ("grab snib 1 off quux 1", ""),
        DROP,
        *((f"hop quux {n}", "") for n in range(2, 12)),
    ]
    kept = condense(case(ZORP, *steps, won=False)).steps
    assert [step.action for step in kept] == [GRAB[0], DROP[0]]


def test_a_failure_that_made_nothing_keeps_its_end() -> None:
    steps = [(f"hop quux {n}", "") for n in range(LONGEST_FAILURE + 5)]
    kept = condense(case("zorp", *steps, won=False)).steps
    assert [step.action for step in kept] == [action for action, _ in steps[-LONGEST_FAILURE:]]


def test_utterances_are_not_condensed() -> None:
    talk = Case("t", "t", Outcome.success(), (CaseStep("", "hello"), CaseStep("", "hello")))
    assert condense(talk) == talk


def test_what_is_said_after_the_last_action_does_not_hide_it() -> None:
    lit = [GRAB, ("light glow 2", "It shines."), ("", "we are done")]
    assert core(lit, "see a blip by the glow") == [GRAB[0], "light glow 2", ""]


def test_a_goal_that_names_single_things_keeps_every_step() -> None:
    named = case("stack blip 1 on blip 2", ("hop quux 1", ""), ("stack blip 1 on blip 2", ""))
    assert condense(named) == named


ACTIONS = st.sampled_from(
    ["hop quux 1", "hop fnord 2", GRAB[0], DROP[0], "drop blip 3 at plinth 1", "poke snib 1", ""]
)
SAYINGS = st.sampled_from(["", "At plinth 1: blip 3.", "At fnord 2.", "Nothing."])


@given(st.lists(st.tuples(ACTIONS, SAYINGS), max_size=9), st.booleans())
def test_what_is_left_is_a_part_in_order_that_ends_as_it_did(
    steps: list[tuple[str, str]], won: bool
) -> None:
    whole = case(ZORP, *steps, won=won)
    kept = condense(whole).steps
    rest = iter(whole.steps)
    assert all(any(step == other for other in rest) for step in kept)
    done = [action for action, _ in steps if action]
    if won and done:
        assert [step.action for step in kept if step.action][-1] == done[-1]


def test_reduced_to_a_plan_the_rest_of_what_was_made_goes() -> None:
    done = [
        "hop plinth 1",
        GRAB[0],
        "hop gleeb 1",
        "smoulder blip 3 with gleeb 1",
        "hop fnord 2",
        DROP[0],
    ]
    assert reduced(ZORP, done, ["grab _ off _", "drop _ at _"]) == [
        "hop plinth 1",
        GRAB[0],
        "hop fnord 2",
        DROP[0],
    ]
    assert reduced(ZORP, done, ["grab _ off _", "sing _", "drop _ at _"]) == done, "not that plan"
    assert reduced(ZORP, done, []) == done
