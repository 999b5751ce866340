"""Plan skeletons: equal for trials that did the same with other things."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from triforium.memory.skeleton import Skeleton, skeleton


def told(task: str, *actions: str) -> list[str]:
    return [str(step) for step in skeleton(task, actions).steps]


def test_goal_kinds_are_lifted_by_their_order_in_the_goal() -> None:
    made = skeleton(
        "zorp some blip to the fnord", ["grab blip 3 off plinth 1", "drop blip 3 at fnord 2"]
    )
    assert [str(step) for step in made.steps] == ["grab (1) off plinth", "drop (1) at (2)"]
    assert made.pattern == "zorp some (1) to the (2)"
    assert made.kinds == ("blip", "fnord")
    turned = told(
        "to the fnord zorp some blip", "grab blip 3 off plinth 1", "drop blip 3 at fnord 2"
    )
    assert turned == ["grab (2) off plinth", "drop (2) at (1)"]


def test_the_same_done_with_other_things_is_the_same() -> None:
    one = skeleton(
        "zorp a blip to the fnord", ["grab blip 3 off plinth 1", "drop blip 3 at fnord 2"]
    )
    other = skeleton(
        "zorp a snib to the wump", ["grab snib 8 off plinth 7", "drop snib 8 at wump 1"]
    )
    assert (one.pattern, one.goal) == (other.pattern, other.goal)
    assert [str(step) for step in one.steps] == [str(step) for step in other.steps]


def test_two_things_of_a_kind_are_told_apart() -> None:
    two = told(
        "zorp two blips to the fnord",
        "grab blip 3 off plinth 1",
        "drop blip 3 at fnord 2",
        "grab blip 1 off quux 1",
        "drop blip 1 at fnord 2",
    )
    same = told(
        "zorp two blips to the fnord",
        "grab blip 3 off plinth 1",
        "drop blip 3 at fnord 2",
        "grab blip 3 off quux 1",
        "drop blip 3 at fnord 2",
    )
    assert two[2:] == ["grab (1b) off quux", "drop (1b) at (2)"]
    assert same[2:] == ["grab (1) off quux", "drop (1) at (2)"]


def test_errands_and_what_the_goal_does_not_name_are_left_out() -> None:
    assert told(
        "zorp a blip to the fnord",
        "hop plinth 1",
        "grab snib 1 off plinth 1",
        "grab blip 3 off plinth 1",
        "hop fnord 2",
        "drop blip 3 at fnord 2",
    ) == ["grab (1) off plinth", "drop (1) at (2)"]


def test_an_errand_to_a_thing_that_is_not_used_next_stays() -> None:
    assert told("see a blip by the glow", "grab blip 1 off quux 1", "light glow 2") == [
        "grab (1) off quux",
        "light (2)",
    ]


def test_of_nothing_nothing_is_made() -> None:
    assert skeleton("zorp a blip", []) == Skeleton(
        frozenset({"zorp", "a", "blip"}), "zorp a blip", (), ()
    )
    assert skeleton("", ["", "hop"]).steps == ()


@given(st.permutations(["blip", "snib", "glam", "wump", "fnord"]))
def test_a_skeleton_does_not_depend_on_what_the_kinds_are_called(names: list[str]) -> None:
    a, b, *_ = names
    assert told(f"zorp some {a} to the {b}", f"grab {a} 2 off quux 1", f"drop {a} 2 at {b} 9") == [
        "grab (1) off quux",
        "drop (1) at (2)",
    ]
