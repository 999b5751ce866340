"""Mining insights, on trials of a small world of nonsense words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triforium import Outcome
from triforium.graph import JSON
from triforium.memory import Case, CaseStep
from triforium.memory.entities import parse_action
from triforium.memory.mining import (
    Contrast,
    Judged,
    calls,
    changes,
    contrast,
    contrast_all,
    generalise,
    judge,
    mine,
    plan_rule,
    plan_steps,
    within,
)

Steps = tuple[tuple[str, str], ...]


def lived(id_: str, task: str, *steps: tuple[str, str], won: bool = True) -> tuple[Judged, Case]:
    outcome = Outcome.success() if won else Outcome.failure()
    case = Case(id_, task, outcome, tuple(CaseStep(*step) for step in steps))
    return Judged.of(id_, task, won, [action for action, _ in steps]), case


def judged(id_: str, task: str, *actions: str, won: bool = True) -> Judged:
    return Judged.of(id_, task, won, actions)


def carried(
    id_: str, thing: str, off: str, to: str, *, warm: bool = False, won: bool = True
) -> Judged:
    """A trial that carries a thing; on the way it is warmed, if the goal says "toasty"."""
    between = [f"smoulder {thing} 1 with gleeb 1"] if warm else []
    word = "toasty " if warm else ""
    return judged(
        id_,
        f"zorp the {word}{thing} to the {to}",
        f"grab {thing} 1 off {off} 1",
        *between,
        f"drop {thing} 1 at {to} 1",
        won=won,
    )


def rules(trial: Judged, case: Case, form: str) -> dict[str, bool]:
    """What a trial says: text of the insights of a form, and whether it speaks for them."""
    return {rule.text: rule.holds for rule in mine(trial, case) if rule.form == form}


# --- one trial ------------------------------------------------------------------------------------

SEARCH: Steps = (
    ("hop quux 1", "At quux 1: nothing."),
    ("hop plinth 1", "At plinth 1: blip 3, snib 1."),
    ("grab blip 3 off plinth 1", "Grabbed."),
    ("hop fnord 2", "At fnord 2: glam 4."),
    ("drop blip 3 at fnord 2", "blip 3 lies at fnord 2."),
)


def test_where_things_were_seen_and_where_the_wanted_one_was_not() -> None:
    found = rules(*lived("a", "zorp a blip to the fnord", *SEARCH), "found_at")
    assert found["blip is found at plinth"]
    assert found["snib is found at plinth"]
    assert found["blip is found at fnord"] is False, "it was put there, not found"
    assert "snib is found at fnord" not in found, "nobody looked for it"


def test_one_sighting_outweighs_looking_in_vain_at_others_of_the_kind() -> None:
    trial = lived(
        "a",
        "zorp a blip to the fnord",
        ("hop plinth 1", "At plinth 1: snib 2."),
        ("hop plinth 2", "At plinth 2: blip 3."),
    )
    assert rules(*trial, "found_at")["blip is found at plinth"]


def test_the_order_of_actions_on_a_thing() -> None:
    steps: Steps = (
        ("grab blip 3 off plinth 1", ""),
        ("smoulder blip 3 with gleeb 1", ""),
        ("drop blip 3 at fnord 2", ""),
    )
    won = rules(*lived("a", "zorp a blip to the fnord", *steps), "precedes")
    assert won == {
        "'grab ... off ...' comes before 'smoulder ... with ...'": True,
        "'smoulder ... with ...' comes before 'drop ... at ...'": True,
    }
    assert not rules(*lived("a", "zorp a blip to the fnord", *steps, won=False), "precedes")


def test_actions_that_show_things_and_those_of_which_nothing_comes() -> None:
    steps: Steps = (
        ("hop quux 1", "At quux 1: lid 1."),
        ("prise quux 1", "In it: blip 3."),
        ("poke quux 1", "Nothing."),
        ("poke quux 1", "Nothing."),
        ("grab blip 3 off quux 1", "Grabbed."),
    )
    trial, case = lived("a", "grab a blip", *steps)
    trial = Judged.of("a", case.task, True, ["prise quux 1", "grab blip 3 off quux 1"])
    assert rules(trial, case, "reveals") == {
        "'hop ...' shows what is there": True,
        "'prise ...' shows what is there": True,
        "'poke ...' shows what is there": False,
    }
    assert rules(trial, case, "never_works") == {"nothing comes of 'poke ...'": True}


def test_a_success_that_needed_an_action_does_not_call_it_useless() -> None:
    trial, case = lived(
        "a", "ring the bell", ("tug cord 1", "Ding."), ("tug cord 1", "Ding."), ("bow", "")
    )
    assert rules(trial, case, "never_works") == {}
    lost, same = lived("b", "ring the bell", *((s.action, s.observation) for s in case.steps))
    lost = Judged.of("b", same.task, False, ["tug cord 1"])
    assert rules(lost, same, "never_works")["nothing comes of 'tug ...'"]


def test_what_the_world_says_an_action_does() -> None:
    trial = lived("a", "zorp a blip to the fnord", *SEARCH)
    assert rules(*trial, "achieves")["'drop ... at ...' makes it so that (1) lies at (2)"]


def test_changes_speak_of_the_actions_things_alone() -> None:
    action = parse_action("drop blip 3 at fnord 2")
    assert changes(action, "Blip 3 lies at fnord 2. Glam 9 rolls off.\nFnord 2 hums.") == (
        "{0} lies at {1}",
        "{1} hums",
    )
    assert changes(action, "Dropped. " + "very " * 20 + "blip 3.") == ()


def test_each_insight_is_said_once() -> None:
    trial, case = lived("a", "zorp a blip to the fnord", *SEARCH, *SEARCH)
    said = [(rule.form, json.dumps(dict(rule.data), sort_keys=True)) for rule in mine(trial, case)]
    assert len(said) == len(set(said))


# --- plans ----------------------------------------------------------------------------------------


def test_a_plan_survives_being_written_down_and_read_again() -> None:
    steps = judged(
        "a",
        "zorp two blips to the fnord",
        "grab blip 3 off plinth 1",
        "drop blip 3 at fnord 2",
        "grab blip 1 off quux 1",
    ).skeleton.steps
    general = generalise(steps, [steps])
    rule = plan_rule("zorp two (1) to the (2)", general)
    assert rule.text == (
        "To zorp two (1) to the (2): grab (1) off any; drop (1) at (2); grab (1b) off any"
    )
    assert plan_steps(json.loads(json.dumps(dict(rule.data)))) == general


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"steps": "grab"},
        {"steps": 7},
        {"steps": [None]},
        {"steps": [[]]},
        {"steps": [["grab _"], "drop"]},
        {"steps": [[5, [1, 0, ""]]]},
        {"steps": [["grab _", [1, 0]]]},
        {"steps": [["grab _", [True, 0, ""]]]},
        {"steps": [["grab _", ["1", 0, ""]]]},
        {"steps": [["grab _", {"goal": 1}]]},
        {"steps": [["grab _", [-7, 0, ""]]]},
    ],
)
def test_data_that_is_no_plan_has_no_steps(data: dict[str, Any]) -> None:
    assert plan_steps(data) == ()


def test_a_slot_is_opened_only_if_like_trials_filled_it_otherwise() -> None:
    one, same, other = (
        carried(name, "blip", off, "fnord").skeleton.steps
        for name, off in (("a", "plinth"), ("b", "plinth"), ("c", "quux"))
    )
    assert [str(step) for step in generalise(one, [one, same])] == [
        "grab (1) off plinth",
        "drop (1) at (2)",
    ]
    assert [str(step) for step in generalise(one, [one, other])] == [
        "grab (1) off any",
        "drop (1) at (2)",
    ]


def test_a_goal_kind_that_seldom_stands_in_a_slot_is_chance() -> None:
    """Once the thing was taken from the very kind of place that it was to be brought to."""
    odd = carried("odd", "blip", "fnord", "fnord").skeleton.steps
    others = [carried(str(n), "blip", f"quux{'abc'[n]}", "fnord").skeleton.steps for n in range(3)]
    assert [str(step) for step in generalise(odd, [odd, *others])] == [
        "grab (1) off any",
        "drop (1) at (2)",
    ]


# --- a cluster ------------------------------------------------------------------------------------

CLUSTER = [
    carried("w1", "blip", "plinth", "fnord", warm=True),
    carried("w2", "snib", "quux", "wump", warm=True),
    carried("w3", "glam", "quux", "fnord", warm=True),
    carried("c1", "blip", "plinth", "fnord"),
    carried("c2", "snib", "quux", "wump"),
    carried("c3", "glam", "plinth", "wump"),
]


def called(found: tuple[Contrast, ...]) -> dict[tuple[Any, Any], Contrast]:
    return {
        (one.rule.data["change"], one.rule.data["action"]): one
        for one in found
        if one.rule.form == "achieves"
    }


def test_a_word_calls_for_the_action_that_only_its_successes_have() -> None:
    found = called(contrast(CLUSTER[0], CLUSTER[1:]))
    assert set(found) == {("toas", "smoulder _ with _")}, "not 'the', not 'to', not 'grab'"
    one = found["toas", "smoulder _ with _"]
    assert set(one.supports) == {"w1", "w2", "w3"}
    assert one.refutes == ()


def test_who_has_the_word_and_not_the_action_speaks_against_it() -> None:
    without = judged(
        "w4", "zorp the toasty blip to the wump", "grab blip 1 off quux 1", "drop blip 1 at wump 1"
    )
    found = called(contrast(without, CLUSTER))
    assert found["toas", "smoulder _ with _"].refutes == ("w4",)
    assert 0.5 < calls([*CLUSTER, without])["toas", "smoulder _ with _"] < 0.8


def test_failures_and_single_successes_call_for_nothing() -> None:
    lost = [carried(f"f{n}", "blip", "quux", "wump", warm=True, won=False) for n in range(4)]
    assert not called(contrast(CLUSTER[0], [*CLUSTER[3:], *lost])), "one success with the word"
    assert not called(contrast(lost[0], [*CLUSTER[3:], *lost[1:]]))
    assert not called(contrast(CLUSTER[0], CLUSTER[1:3])), "nobody lacks the word"


def test_a_success_makes_a_plan_that_those_alike_support() -> None:
    (plan,) = (one for one in contrast(CLUSTER[3], CLUSTER[4:]) if one.rule.form == "plan")
    assert plan.rule.text == "To zorp the (1) to the (2): grab (1) off any; drop (1) at (2)"
    assert set(plan.supports) == {"c1", "c2", "c3"}
    lost = carried("f", "blip", "quux", "wump", won=False)
    assert not [one for one in contrast(lost, CLUSTER) if one.rule.form == "plan"]


def test_all_trials_together_say_each_thing_once_in_any_order() -> None:
    def said(trials: list[Judged]) -> dict[str, tuple[frozenset[str], frozenset[str]]]:
        found = contrast_all(trials)
        assert len({one.rule.text for one in found}) == len(found)
        return {one.rule.text: (frozenset(one.supports), frozenset(one.refutes)) for one in found}

    assert said(CLUSTER) == said(CLUSTER[::-1])
    assert len(said(CLUSTER)) == 3, "a word, and a plan with and without it"


# --- judging --------------------------------------------------------------------------------------

PLAN = plan_rule("zorp the (1) to the (2)", carried("p", "blip", "quux", "wump").skeleton.steps)
WARM = plan_rule(
    "zorp the (1) to the (2)",
    judged(
        "p",
        "zorp the blip to the wump",
        "grab blip 1 off quux 1",
        "smoulder blip 1 with gleeb 1",
        "drop blip 1 at wump 1",
    ).skeleton.steps,
)


def says(form: str, data: object, trial: Judged, case: Case | None = None) -> bool | None:
    assert isinstance(data, dict)
    known: dict[str, JSON] = data
    bare = Case(trial.id, trial.task, Outcome.unknown(), ())
    return judge(form, known, trial, case or bare)


def test_a_failure_that_carried_a_plan_out_speaks_against_it() -> None:
    done = carried("a", "snib", "plinth", "fnord", won=False)
    assert says("plan", PLAN.data, done) is False
    assert says("plan", WARM.data, done) is None, "that was not carried out"
    half = judged("b", "zorp the snib to the fnord", "grab snib 1 off quux 1", won=False)
    assert says("plan", PLAN.data, half) is None


def test_a_shorter_success_speaks_against_a_plan_with_a_needless_step() -> None:
    done = carried("a", "snib", "plinth", "fnord")
    assert says("plan", WARM.data, done) is False
    assert says("plan", PLAN.data, done) is None, "who made it himself has said so already"


def test_a_plan_for_another_goal_is_not_judged() -> None:
    other = judged(
        "a", "zing a snib by the fnord", "grab snib 1 off quux 1", "drop snib 1 at fnord 1",
        won=False,
    )  # fmt: skip
    assert says("plan", PLAN.data, other) is None
    assert says("plan", {"goal": other.skeleton.pattern, "steps": "?"}, other) is None


def test_an_order_is_judged_by_successes_with_its_last_action() -> None:
    order = {"first": "smoulder _ with _", "then": "drop _ at _"}
    assert says("precedes", order, carried("a", "blip", "quux", "wump", warm=True)) is True
    assert says("precedes", order, carried("b", "blip", "quux", "wump")) is False
    assert says("precedes", order, carried("c", "blip", "quux", "wump", won=False)) is None


def test_what_never_works_is_refuted_once_something_comes_of_it() -> None:
    data = {"action": "poke _"}
    vain = lived("a", "grab a blip", ("poke quux 1", "Nothing."), won=False)
    showed = lived("b", "grab a blip", ("poke quux 1", "Out falls blip 3."), won=False)
    needed = lived("c", "ring the bell", ("poke bell 1", "Ding."))
    other = lived("d", "grab a blip", ("hop quux 1", "At quux 1."))
    told = [says("never_works", data, trial, case) for trial, case in (vain, showed, needed, other)]
    assert told == [True, False, False, None]


def test_forms_that_nobody_judges_are_left_alone() -> None:
    assert says("hunch", {}, carried("a", "blip", "quux", "wump")) is None


def test_actions_with_a_bare_underscore_do_no_harm() -> None:
    """It looks like a slot and is none; so a template may come with any number of things."""
    task = "write to the blip and the snib"
    odd = judged("a", task, "put _ in blip 1", "put _ in snib 1", "poke snib 1, then blip 1")
    other = judged("b", task, "put snib 1 in blip 1", "put _ in snib 1")
    assert [str(step) for step in odd.skeleton.steps][-1] == "poke (2), then (1)"
    plan = plan_rule(odd.skeleton.pattern, odd.skeleton.steps)
    assert plan_steps(plan.data) == odd.skeleton.steps
    assert says("plan", plan.data, other) is None
    assert contrast(odd, [other])


TEXT = st.text("ab 12_{}.,:(\n", max_size=24)


@given(TEXT, st.lists(st.tuples(TEXT, TEXT), max_size=5), st.booleans())
def test_any_text_can_be_mined(task: str, steps: list[tuple[str, str]], won: bool) -> None:
    trial, case = lived("a", task, *steps, won=won)
    other = Judged.of("b", task + " b", True, [action for action, _ in steps])
    made = [*mine(trial, case), *(one.rule for one in contrast(trial, [other]))]
    for rule in made:
        assert json.loads(json.dumps(dict(rule.data))) == rule.data
        assert rule.text
        judge(rule.form, rule.data, trial, case)


def test_a_part_stands_within_a_whole_in_order() -> None:
    one = carried("a", "blip", "quux", "wump").skeleton.steps
    other = carried("b", "snib", "plinth", "fnord").skeleton.steps
    assert within(one, other), "but for the kinds"
    assert within(one[1:], other)
    assert not within(one[::-1], other)
    assert not within(other, one[:1])
    assert within((), one)
