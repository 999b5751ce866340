"""Acting for goals that name single things."""

from __future__ import annotations

from triforium.agents.sequence import SequenceFollower, goal_sentences
from triforium.graph import Outcome
from triforium.memory import Case, Rule
from triforium.memory.recall import CaseStep

GOAL = "Make it so that: disc1 in tray2. disc3 in tray2."


def case(task: str, *actions: str, won: bool = True) -> Case:
    outcome = Outcome.success() if won else Outcome.failure()
    return Case("c", task, outcome, tuple(CaseStep(action) for action in actions))


def makes(action: str, change: str) -> Rule:
    data = {"action": action, "change": change, "by": "world"}
    return Rule("r", "", "achieves", data, confidence=0.9, support=9)


def test_the_sentences_of_a_goal_are_those_that_name_things() -> None:
    assert goal_sentences(GOAL) == ("disc1 in tray2", "disc3 in tray2")
    assert goal_sentences("be happy") == ()


def test_it_does_what_came_next_with_the_things_of_this_goal() -> None:
    seen = case("Make it so that: disc7 in tray5.", "polish disc7", "wave", "slide disc7 tray5")
    follower = SequenceFollower(goal=GOAL, cases=[seen], rules=())
    first = follower.choose("A table.", ["wave", "polish disc8", "polish disc1"], [])
    assert first.action == "polish disc1", "the thing that the goal names"
    assert first.case == "c"
    history = [("polish disc1", "It shines.")]
    assert follower.choose("It shines.", ["wave", "polish disc1", "hum"], history).action == "wave"


def test_what_makes_a_sentence_of_the_goal_true_goes_first() -> None:
    rules = [makes("slide _ _", "{0} in {1}")]
    follower = SequenceFollower(goal=GOAL, cases=(), rules=rules)
    offered = ["slide disc1 tray4", "slide disc3 tray2", "hum"]
    chosen = follower.choose("disc1 in tray2.", offered, [])
    assert chosen.action == "slide disc3 tray2"
    assert "goal" in chosen.reason


def test_what_is_true_already_is_not_undone() -> None:
    rules = [makes("lift _ _", "no longer: {0} in {1}")]
    follower = SequenceFollower(goal=GOAL, cases=(), rules=rules)
    for seed in range(5):
        follower = SequenceFollower(goal=GOAL, cases=(), rules=rules, seed=seed)
        offered = ["lift disc1 tray2", "hum"]
        assert follower.choose("disc1 in tray2.", offered, []).action == "hum"


def test_it_learns_what_an_action_makes_while_it_acts() -> None:
    follower = SequenceFollower(goal=GOAL, cases=(), rules=())
    history = [("slide disc1 tray2", "disc1 in tray2. No longer: disc1 in tray9.")]
    chosen = follower.choose("", ["hum", "slide disc3 tray2", "slide disc1 tray9"], history)
    assert chosen.action == "slide disc3 tray2"


def test_the_same_is_not_done_for_ever() -> None:
    follower = SequenceFollower(goal=GOAL, cases=(), rules=())
    history: list[tuple[str, str]] = []
    for _ in range(6):
        action = follower.choose(
            "Nothing.", ["hum disc1", "nod disc1", "bow disc1"], history
        ).action
        history.append((action, "Nothing."))
    assert {action for action, _ in history} == {"hum disc1", "nod disc1", "bow disc1"}


def test_failures_are_not_followed_and_equal_calls_agree() -> None:
    failed = case("Make it so that: disc7 in tray5.", "kick disc7", won=False)
    offered = ["kick disc1", "nod", "bow", "hum"]
    followers = [SequenceFollower(goal=GOAL, cases=[failed], rules=(), seed=4) for _ in range(2)]
    first, second = (follower.choose("", offered, []) for follower in followers)
    assert first == second
    assert first.case == ""
