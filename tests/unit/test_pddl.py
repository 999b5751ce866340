"""Planning problems as text worlds: parser, stepper, planner and world, on domains of our own."""

from __future__ import annotations

from pathlib import Path

import pytest

from triforium.agents.environment import Task
from triforium.errors import InvalidGame, InvalidInput, InvalidTask
from triforium.testing.environment_conformance import EnvironmentConformance
from triforium.workflows.pddl import PDDL
from triforium.workflows.pddl_parser import read_domain, read_problem
from triforium.workflows.pddl_planner import plan
from triforium.workflows.pddl_strips import ground
from triforium.workflows.worlds import World

FERRY = """
(define (domain ferry) ; a boat that carries one goat at a time
  (:requirements :strips :typing :equality :negative-preconditions)
  (:types bank - object  goat - animal animal - object)
  (:constants home - bank)
  (:predicates (at ?a - animal ?b - bank) (moored ?b - bank) (aboard ?a - animal) (full))
  (:action sail :parameters (?from - bank ?to - bank)
    :precondition (and (moored ?from) (not (= ?from ?to)))
    :effect (and (moored ?to) (not (moored ?from))))
  (:action load :parameters (?a - animal ?b - bank)
    :precondition (and (at ?a ?b) (moored ?b) (not (full)))
    :effect (and (aboard ?a) (full) (not (at ?a ?b))))
  (:action land :parameters (?a - animal ?b - bank)
    :precondition (and (aboard ?a) (moored ?b))
    :effect (and (at ?a ?b) (not (aboard ?a)) (not (full)))))
"""
CROSSING = """
(define (problem crossing) (:domain ferry)
  (:objects goat1 goat2 - goat far1 - bank)
  (:init (moored home) (at goat1 home) (at goat2 home))
  (:goal (and (at goat1 far1) (at goat2 far1))))
"""
RETURN = CROSSING.replace("crossing", "return").replace(
    "(and (at goat1 far1) (at goat2 far1))", "(and (at goat1 far1) (not (full)))"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ferry").mkdir()
    (tmp_path / "ferry.pddl").write_text(FERRY)
    (tmp_path / "ferry" / "a.pddl").write_text(CROSSING)
    (tmp_path / "ferry" / "b.pddl").write_text(RETURN)
    return tmp_path


class TestConformance(EnvironmentConformance):
    @pytest.fixture
    def world(self, folder: Path) -> World:
        return PDDL(folder)


async def test_goal_and_situation_speak_the_same_words(folder: Path) -> None:
    task, _ = PDDL(folder).tasks(2)
    assert task.goal == "Make it so that: goat1 at far1. goat2 at far1."
    assert task.kind == "ferry"
    environment = PDDL(folder).environment()
    first = await environment.reset(task)
    assert first.text == "goat1 at home. goat2 at home. home is moored."
    assert first.actions == ("load goat1 home", "load goat2 home", "sail home far1")
    assert first.progress == 0.0
    loaded = await environment.step("load goat1 home")
    assert "goat1 is aboard. full." in loaded.text
    assert "No longer: goat1 at home." in loaded.text
    assert loaded.actions == ("land goat1 home", "sail home far1"), "the boat holds one"
    await environment.step("sail home far1")
    landed = await environment.step("land goat1 far1")
    assert "goat1 at far1." in landed.text
    assert landed.progress == 0.5
    assert not landed.won


async def test_a_demonstration_wins(folder: Path) -> None:
    world = PDDL(folder)
    for task in world.tasks(9):
        environment = world.environment()
        observed = await environment.reset(task)
        for action in await world.demonstration(task):
            assert action in (observed.actions or ())
            observed = await environment.step(action)
        assert observed.won


def test_plans_are_short_and_bounded(folder: Path) -> None:
    domain = read_domain(folder / "ferry.pddl")
    task = ground(domain, read_problem(folder / "ferry" / "a.pddl"))
    found = plan(task)
    assert found is not None
    assert len(found) == 7
    assert plan(task, max_states=2) is None


def test_what_never_holds_cannot_be_planned(folder: Path) -> None:
    wish = CROSSING.replace("(at goat1 far1)", "(at goat9 far1)", 1)
    (folder / "ferry" / "a.pddl").write_text(wish)
    domain = read_domain(folder / "ferry.pddl")
    assert plan(ground(domain, read_problem(folder / "ferry" / "a.pddl"))) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "one definition"),
        ("(define (domain x)", "not closed"),
        ("(define (domain x)))", "closes that was not opened"),
        ("(" * 100 + ")" * 100, "nested deeper"),
        ("(define (problem x))", "does not define a domain"),
        ("(define (domain x))", "no action"),
        ("(define (domain x) (:action a :parameters () :effect (b ?c)))", "no parameter"),
        ("(define (domain x) (:action a :effect (when (b) (c))))", "not part of STRIPS"),
        ("(define (domain x) (:functions (f)))", "not part of STRIPS"),
        ("(define (domain x) (:action a :precondition (b)))", "no effect"),
    ],
)
def test_what_is_no_domain_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "x.pddl"
    path.write_text(text)
    with pytest.raises(InvalidGame, match=says):
        read_domain(path)


def test_a_variable_may_follow_a_type_without_a_space(tmp_path: Path) -> None:
    path = tmp_path / "x.pddl"
    path.write_text(FERRY.replace("?from - bank ?to - bank", "?from - bank?to - bank"))
    sail = read_domain(path).schemas[0]
    assert sail.parameters == (("?from", "bank"), ("?to", "bank"))


def test_garbage_files_are_refused(folder: Path) -> None:
    (folder / "ferry" / "a.pddl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidGame, match=r"a\.pddl"):
        PDDL(folder).tasks(1)
    (folder / "ferry" / "a.pddl").write_text(CROSSING.replace("(:goal", "(:nothing"))
    with pytest.raises(InvalidGame, match=":nothing"):
        PDDL(folder).tasks(1)
    with pytest.raises(InvalidGame, match="no planning problems"):
        PDDL(folder / "ferry").tasks(1)
    with pytest.raises(InvalidInput, match="0 or more"):
        PDDL(folder).tasks(-1)


@pytest.mark.parametrize("problem", ["../a.pddl", "/etc/passwd", "a.pddl", "", None, "x/y/z.pddl"])
def test_a_task_cannot_reach_outside_the_folder(folder: Path, problem: object) -> None:
    with pytest.raises(InvalidTask):
        PDDL(folder).read(Task("x", "y", data={"problem": problem}))


def test_a_problem_of_another_domain_is_refused(folder: Path) -> None:
    (folder / "ferry" / "a.pddl").write_text(CROSSING.replace("(:domain ferry)", "(:domain boat)"))
    world = PDDL(folder)
    with pytest.raises(InvalidGame, match="'boat'"):
        world.read(world.tasks(1)[0])
