"""What a benchmark plans: folds, demonstrations, own play, what is wrong, and its results."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from triforium.agents.environment import Task
from triforium.errors import InvalidInput
from triforium.testing.environment_conformance import EnvironmentConformance
from triforium.workflows.examine import append, rows
from triforium.workflows.experience import (
    Seen,
    balanced,
    demonstrations,
    known_transcripts,
    plan,
    store_path,
)
from triforium.workflows.folds import BENCHMARKS, Fold, Venue, draw_folds
from triforium.workflows.household import Household
from triforium.workflows.household_layout import build_house, kind_of
from triforium.workflows.report import result_of, show
from triforium.workflows.results import ItemLog
from triforium.workflows.settings import Arm, Settings, parse_demonstrations, parse_seed
from triforium.workflows.worlds import World

KINDS = ("heat", "cool", "clean", "look", "one", "two")
HALF = tuple(
    Task(f"{kind}-{number}", f"{kind} it", kind, {"layout": number % 3})
    for number in range(6) for kind in KINDS
)  # fmt: skip
VENUE = Venue("household")
FOLD = Fold("f", VENUE, VENUE, HALF, ())
PLAIN = Settings("household")


class TestFormerHouses(EnvironmentConformance):
    @pytest.fixture
    def world(self) -> World:
        return Household(moved=True)


def test_in_former_houses_only_the_homes_of_things_are_others() -> None:
    differ = 0.0
    for number in range(10):
        now, then = build_house(number), build_house(number, moved=True)
        assert (now.name, now.rooms, now.things, now.devices) == (
            then.name, then.rooms, then.things, then.devices,
        )  # fmt: skip
        differ += sum(
            kind_of(now.homes[kind]) != kind_of(then.homes[kind]) for kind in now.homes
        ) / len(now.homes)
    assert differ / 10 > 0.8
    ids = {task.id for task in Household().tasks(40)}
    assert not ids & {task.id for task in Household(moved=True).tasks(40)}


@pytest.mark.parametrize(("count", "of_each"), [(12, {2}), (6, {1}), (15, {2, 3}), (36, {6})])
def test_demonstrations_are_balanced_over_kinds(count: int, of_each: set[int]) -> None:
    drawn = balanced(HALF, count, order=3)
    assert len(drawn) == len({task.id for task in drawn}) == count
    kinds = Counter(task.kind for task in drawn)
    assert set(kinds.values()) == of_each
    assert set(kinds) == set(KINDS)
    assert drawn == balanced(HALF, count, order=3)
    assert drawn == sorted(drawn, key=HALF.index)
    if count < 36:
        assert drawn != balanced(HALF, count, order=4)


def test_a_kind_with_few_tasks_leaves_room_for_others() -> None:
    few = [task for task in HALF if task.kind != "heat" or task.id == "heat-0"]
    assert Counter(task.kind for task in balanced(few, 12, 0))["heat"] == 1
    assert len(balanced(few, 12, 0)) == 12
    assert len(balanced(few, 1000, 0)) == len(few)
    assert balanced(few, 0, 0) == []


def test_the_order_of_experience() -> None:
    assert plan(FOLD, PLAIN).shown == HALF
    one, other = (plan(FOLD, replace(PLAIN, order=order)).shown for order in (1, 2))
    assert one != HALF
    assert one != other
    assert sorted(task.id for task in one) == sorted(task.id for task in HALF)


def test_own_play_takes_what_was_not_shown_first_and_then_goes_round_again() -> None:
    settings = replace(PLAIN, demonstrations=12, play=64, order=1)
    experience = plan(FOLD, settings)
    shown = {task.id for task in experience.shown}
    played = [task.id for task in experience.played]
    assert len(played) == 64
    assert not shown & set(played[:24])
    assert set(played[24:60]) == {task.id for task in HALF}, "then all of them come"
    assert plan(FOLD, replace(settings, play=24)).played == experience.played[:24]
    further = Task("further", "go on", "one")
    assert plan(replace(FOLD, further=(further,)), settings).played[24] == further
    assert plan(replace(FOLD, experience=()), settings).played == (), "there is nothing to play"


def test_tests_are_never_shown_or_played() -> None:
    for order in (0, 5):
        settings = replace(PLAIN, demonstrations=12, play=90, order=order, stale=True)
        (fold,) = draw_folds(settings)
        tests = {task.id for task in fold.tests}
        assert len(tests) == 60
        for stale in (False, True):
            experience = plan(fold, settings, stale=stale)
            assert len(experience.played) == 90
            assert not tests & {task.id for task in (*experience.shown, *experience.played)}
        assert len({task.id for task in experience.played}) == 90
        assert all(task.data.get("moved") for task in experience.shown)
        assert not any(task.data.get("moved") for task in experience.played)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_share_that_is_mislabelled(share: float) -> None:
    settings = replace(PLAIN, mislabel=share, demonstrations=20, play=10)
    experience = plan(FOLD, settings)
    assert len(experience.mislabelled) == round(20 * share)
    assert len(experience.misjudged) == round(10 * share)
    transcripts = {
        task.id: {"won": task.kind != "heat", "played": [["", "a room"], ["look", "a mug 1"]]}
        for task in HALF
    }
    made = demonstrations(experience, transcripts, None)
    turned = [
        place for place, one in enumerate(made)
        if one.won != (experience.shown[place].kind != "heat")
    ]  # fmt: skip
    assert frozenset(turned) == experience.mislabelled
    if 0 < share < 1:
        assert plan(FOLD, replace(settings, seed=1)).mislabelled != experience.mislabelled


def test_a_demonstration_in_other_words_and_one_that_no_expert_knows() -> None:
    experience = plan(replace(FOLD, experience=HALF[:2]), PLAIN)
    transcripts = {
        HALF[0].id: {"won": True, "played": [["", "a room"], ["take mug 1", "taken"]]},
        HALF[1].id: {"won": False, "played": [["", "a room"]]},
    }
    (one,) = demonstrations(experience, transcripts, 3)
    assert one.task.id == HALF[0].id
    assert one.task.goal != HALF[0].goal
    assert "mug" not in one.played[1][0]
    assert one.played[1][0].endswith(" 1")


def test_what_was_seen_before() -> None:
    experience = plan(FOLD, replace(PLAIN, demonstrations=6, play=6))
    arm, alone = Arm("a", "hierarchical", play=6), Arm("b", "hierarchical")
    first = Task("t", experience.shown[0].goal, "", dict(experience.shown[0].data))
    assert Seen.of("household", experience, alone).before(first) == {
        "goal_seen": True, "scene_seen": True,
    }  # fmt: skip
    strange = Task("t", "strange", "", {"layout": 99})
    assert set(Seen.of("household", experience, alone).before(strange).values()) == {False}
    fold = replace(FOLD, experience=(strange,))
    played = plan(fold, replace(PLAIN, demonstrations=0, play=1))
    assert Seen.of("household", played, arm).before(strange)["goal_seen"]
    assert not Seen.of("household", played, alone).before(strange)["goal_seen"]
    task = Task("heat-Mug-None-Desk-308/trial_1", "heat it")
    assert BENCHMARKS["alfworld"].scene(task) == "308"


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"name": "chess"}, "no benchmark 'chess'; there is alfworld, "),
        ({"arms": ("magic",)}, "no arm magic"),
        ({"arms": ()}, "names no strategy"),
        ({"baseline": "exprag", "arms": ("none",)}, "--baseline is one of none"),
        ({"name": "alfworld"}, "--games"),
        ({"mislabel": 1.5}, "--mislabel"),
        ({"split": "thirds"}, "even-odd"),
        ({"name": "alfworld", "games": Path(), "stale": True}, "bench household"),
    ],
)
def test_settings_that_cannot_be_measured(changed: dict[str, Any], word: str) -> None:
    with pytest.raises(InvalidInput, match=word):
        replace(PLAIN, **changed).check()
    replace(PLAIN, arms=("none", "hierarchical:upward"), baseline="none").check()


def test_arms_share_a_store_of_demonstrations_and_none_of_play(tmp_path: Path) -> None:
    names = ("none", "exprag", "hierarchical", "hierarchical:upward")
    arms = replace(PLAIN, arms=names).teams()
    assert [arm.name for arm in arms] == list(names)
    assert len({store_path(tmp_path, FOLD, arm) for arm in arms[1:]}) == 1
    playing = [arm for arm in replace(PLAIN, arms=names, play=3).teams() if arm.play]
    assert [arm.name for arm in playing] == [f"{name}+3" for name in names[1:]]
    assert len({store_path(tmp_path, FOLD, arm) for arm in playing}) == 3
    stale = replace(PLAIN, arms=("none", "exprag"), stale=True).teams()
    assert [arm.name for arm in stale] == [
        "none", "exprag@fresh", "exprag@stale", "exprag@stale+40", "exprag@fresh+40",
    ]  # fmt: skip
    assert len({store_path(tmp_path, FOLD, arm) for arm in stale[1:]}) == 4


def test_numbers_as_they_are_typed(tmp_path: Path) -> None:
    assert parse_demonstrations("all") is None
    assert parse_demonstrations("0") == 0
    assert parse_seed("17", tmp_path) == 17
    drawn = {parse_seed("random", tmp_path) for _ in range(8)}
    assert len(drawn) > 1
    (tmp_path / "settings.json").write_text('{"seed": 5}')
    assert parse_seed("random", tmp_path) == 5
    for wrong in ("-1", "x", ""):
        with pytest.raises(InvalidInput, match="number from 0"):
            parse_demonstrations(wrong)
        with pytest.raises(InvalidInput, match="number from 0"):
            parse_seed(wrong, tmp_path)


def test_a_line_that_a_crash_cut_off_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "demonstrations.jsonl"
    append(path, {"task": "a", "seed": 0})
    with path.open("a") as file:
        file.write('{"task": "b", "se')
    append(path, {"task": "c", "seed": 0})
    assert [row["task"] for row in rows(path)] == ["a", "c"]
    assert set(known_transcripts(path)) == {"a", "c"}
    assert rows(tmp_path / "nothing.jsonl") == []


def item(arm: str, number: int, success: bool, **more: Any) -> dict[str, Any]:
    return {"arm": arm, "task": str(number), "fold": "all", "kind": "k", "success": success,
            "steps": 3, "tokens": 10, "model_calls": 1, "model_tokens": 5, "seconds": 0.5,
            "error": "", "goal_seen": number % 2 == 0, **more}  # fmt: skip


def test_results_have_strata_differences_and_progress(tmp_path: Path) -> None:
    settings = Settings("household", arms=("none", "exprag"), play=3)
    log = ItemLog.open(tmp_path / "items.jsonl", settings.to_json())
    for number in range(8):
        log.add(item("none", number, number < 2, progress=0.25))
        log.add(item("exprag", number, number != 7, progress=1.0))
    played = [
        {"arm": "exprag", "fold": "all", "number": n, "success": n >= 10} for n in range(20)
    ]  # fmt: skip
    result = result_of(settings, draw_folds(settings), log, played, "triforium bench", 1.0)
    assert result["metrics"]["exprag"]["progress"]["value"] == 1.0
    assert result["metrics"]["none"]["model_calls"]["value"] == 1.0
    compared = result["paired"]["exprag"]
    assert compared["against"] == "none"
    assert compared["success"]["difference"]["value"] == 0.625
    assert (compared["success"]["better"], compared["success"]["worse"]) == (5, 0)
    assert compared["success"]["p"] == 0.0625
    assert compared["progress"]["difference"]["value"] == 0.75
    strata = result["by_stratum"]["exprag"]
    assert (strata["goal seen"]["n"], strata["goal seen"]["value"]) == (4, 1.0)
    assert (strata["goal unseen"]["n"], strata["goal unseen"]["value"]) == (4, 0.75)
    assert "scene seen" not in strata
    assert result["played"]["exprag"]["by_ten"] == [0.0, 1.0]
    console = Console(record=True, width=200)
    show(result, console)
    told = console.export_text()
    for shown in ("+0.625", "goal unseen", "0.750 (4)", "paired difference to none"):
        assert shown in told
