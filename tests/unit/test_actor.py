"""The case-guided actor, on small worlds of nonsense words: it knows form only."""

from __future__ import annotations

from collections.abc import Sequence

from triforium import Outcome
from triforium.agents import CaseGuidedActor, Critic, Planner
from triforium.agents.guide import Experience, Need
from triforium.memory import Case, CaseStep, Rule, mentions
from triforium.memory.condense import condense
from triforium.memory.entities import kinds_in, parse_action, same_kind


def case(task: str, *steps: tuple[str, str], won: bool = True, score: float = 0.5) -> Case:
    outcome = Outcome.success() if won else Outcome.failure()
    return Case(task, task, outcome, tuple(CaseStep(*step) for step in steps), score)


BLIP = case(
    "zorp a blip to the fnord",
    ("hop quux 1", "At quux 1: blip 3."),
    ("grab blip 3 off quux 1", "Grabbed."),
    ("hop fnord 2", "At fnord 2."),
    ("drop blip 3 at fnord 2", "Dropped."),
)
GLAM = case(
    "zorp a glam to the wump",
    ("hop plinth 4", "At plinth 4: glam 1."),
    ("grab glam 1 off plinth 4", "Grabbed."),
    ("hop wump 1", "At wump 1."),
    ("drop glam 1 at wump 1", "Dropped."),
)


class Nonsense:
    """Places to hop to; things to grab and drop; won when the right one is dropped."""

    def __init__(self, things: dict[str, str], goal: tuple[str, str]) -> None:
        self.things = dict(things)
        self.places = sorted({*things.values(), "quux 1", "quux 2", "fnord 1", "plinth 1"})
        self.at = ""
        self.held = ""
        self.goal = goal

    def actions(self) -> list[str]:
        offered = [f"hop {place}" for place in self.places if place != self.at]
        if self.held:
            offered.append(f"drop {self.held} at {self.at}")
        else:
            offered += [f"grab {t} off {p}" for t, p in self.things.items() if p == self.at]
        return sorted(offered)

    def step(self, action: str) -> str:
        words = action.split()
        if words[0] == "hop":
            self.at = " ".join(words[1:])
            there = ", ".join(thing for thing, place in self.things.items() if place == self.at)
            return f"At {self.at}: {there or 'nothing'}."
        if words[0] == "grab":
            self.held = " ".join(words[1:3])
            del self.things[self.held]
            return "Grabbed."
        self.things[self.held], self.held = self.at, ""
        return "Dropped."

    @property
    def won(self) -> bool:
        kind, place = self.goal
        return any(
            thing.startswith(kind) and where.startswith(place)
            for thing, where in self.things.items()
        )


def play(world: Nonsense, actor: CaseGuidedActor, limit: int = 12) -> list[str]:
    observation, history = "Here: " + ", ".join(world.places), list[tuple[str, str]]()
    while not world.won and len(history) < limit:
        decision = actor.act(observation, world.actions(), history)
        assert decision.action in world.actions()
        observation = world.step(decision.action)
        history.append((decision.action, observation))
    return [action for action, _ in history]


def test_it_follows_a_case_with_other_things_in_another_place() -> None:
    """A new thing, a new target, found elsewhere than in the cases: the steps carry over."""
    world = Nonsense({"snib 7": "quux 2", "blip 1": "plinth 1"}, ("snib", "fnord"))
    actor = CaseGuidedActor(goal="zorp a snib to the fnord", cases=[BLIP, GLAM])
    done = play(world, actor)
    assert world.won
    assert done[-3:] == ["grab snib 7 off quux 2", "hop fnord 1", "drop snib 7 at fnord 1"]


def test_rules_decide_where_it_looks_first() -> None:
    things, goal = {"snib 7": "quux 1"}, "zorp a snib to the fnord"
    data = {"thing": "snib", "place": "quux"}
    rule = Rule("r", "snib is found at quux", "found_at", data, 1.0, 9)

    def done(rules: list[Rule]) -> list[str]:
        actor = CaseGuidedActor(goal=goal, cases=[BLIP, GLAM], rules=rules)
        return play(Nonsense(things, ("snib", "fnord")), actor)

    assert done([rule])[0] == "hop quux 1"
    assert len(done([rule])) < len(done([]))


def test_without_memory_it_still_explores_and_uses_the_goal() -> None:
    world = Nonsense({"blip 1": "plinth 1"}, ("blip", "fnord"))
    done = play(world, CaseGuidedActor(goal="zorp a blip to the fnord", cases=[]), limit=20)
    assert world.won, done


def test_it_is_deterministic() -> None:
    def once() -> list[str]:
        world = Nonsense({"snib 7": "quux 2", "blip 1": "plinth 1"}, ("snib", "fnord"))
        return play(world, CaseGuidedActor(goal="zorp a snib to the fnord", cases=[GLAM], seed=3))

    assert once() == once()


def test_a_failed_case_is_not_followed() -> None:
    lost = case("zorp a blip to the fnord", ("hop quux 1", ""), ("hop quux 2", ""), won=False)
    assert not Experience("zorp a blip to the fnord", [lost], (), ()).guides()


def test_slots_that_vary_between_cases_are_free() -> None:
    (best, *_) = Experience(
        "zorp a snib to the fnord", [BLIP, GLAM], (), mentions("fnord 1, quux 2")
    ).guides()
    grab, drop = (step.slots for step in best.steps)
    assert [slot.need for slot in grab] == [Need.GOAL, Need.FREE]
    assert [(slot.kind, slot.need) for slot in drop] == [("snib", Need.GOAL), ("fnord", Need.GOAL)]


def test_the_planner_puts_this_tasks_things_into_the_steps() -> None:
    plan = Planner().plan("zorp a snib to the fnord", [BLIP, GLAM], mentions("fnord 1"))
    assert plan == ("grab snib off any", "drop snib at fnord")
    assert Planner().plan("zorp a snib", []) == ()


def test_the_critic_objects_to_repetition_and_lets_go_in_the_end() -> None:
    critic = Critic()
    seen = [("hop quux 1", "nothing"), ("hop quux 1", "nothing")]
    offered = ["hop quux 1", "hop quux 2"]
    assert "same" in critic.objection("hop quux 1", seen, offered)
    assert critic.objection("hop quux 2", seen, offered) == ""
    assert critic.objection("fly", [], offered) == "the world does not admit it"
    three = ("a", "b", "c")
    assert critic.objection("hop quux 1", seen, [*offered, *three], three) == ""


def test_the_critic_sees_to_and_fro() -> None:
    history = [("hop a 1", "at a"), ("hop b 1", "at b"), ("hop a 1", "at a")]
    assert "to and fro" in Critic().objection("hop b 1", history, ["hop a 1", "hop b 1"])
    news = [("hop a 1", "at a"), ("hop b 1", "at b"), ("hop a 1", "at a: glam 2")]
    assert not Critic().objection("hop b 1", news, ["hop a 1", "hop b 1"])


def _core(steps: Sequence[tuple[str, str]], task: str) -> list[str]:
    return [step.action for step in condense(case(task, *steps)).steps]


def test_condensing_drops_what_was_looked_at_in_vain() -> None:
    found = [
        ("hop quux 1", "At quux 1: nothing."),
        ("hop plinth 1", "At plinth 1: blip 3."),
        ("grab blip 3 off plinth 1", "Grabbed."),
        ("hop quux 2", "At quux 2: nothing."),
        ("hop fnord 2", "At fnord 2."),
        ("drop blip 3 at fnord 2", "Dropped."),
    ]
    assert _core(found, "zorp a blip to the fnord") == [
        "hop plinth 1",
        "grab blip 3 off plinth 1",
        "hop fnord 2",
        "drop blip 3 at fnord 2",
    ]


def test_condensing_keeps_where_the_last_thing_was_found() -> None:
    lit = [
        ("hop quux 1", "At quux 1: blip 3."),
        ("grab blip 3 off quux 1", "Grabbed."),
        ("hop plinth 1", "At plinth 1: a glow 2 stands here."),
        ("light glow 2", "It shines."),
    ]
    assert _core(lit, "see a blip by the glow") == [action for action, _ in lit]


def test_condensing_a_failure_keeps_its_end() -> None:
    steps = [(f"hop quux {n}", "") for n in range(9)]
    kept = condense(case("zorp", *steps, won=False)).steps
    assert [step.action for step in kept] == [f"hop quux {n}" for n in range(5, 9)]


def test_utterances_are_not_condensed() -> None:
    talk = Case("t", "t", Outcome.success(), (CaseStep("", "hello"), CaseStep("", "hello")))
    assert condense(talk) == talk


def test_actions_become_templates() -> None:
    action = parse_action("grab blip 3 off plinth 12")
    assert action.template == "grab _ off _"
    assert [thing.name for thing in action.things] == ["blip 3", "plinth 12"]
    assert parse_action("pick ball1 rooma left").template == "pick _ rooma left"


def test_goals_name_kinds_also_in_the_plural_and_in_compounds() -> None:
    assert same_kind("knives", "knife")
    assert same_kind("shelves", "shelf")
    assert same_kind("boxes", "box")
    assert same_kind("lamplight", "lamp")
    assert not same_kind("car", "carpet")
    kinds = frozenset({"desk", "desklamp", "pen"})
    assert kinds_in("look at two pens under the desklamp", kinds) == ("pen", "desklamp")
