"""Trajectories are judged by how they end: one vote for each independent source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

import pytest

from triforium.graph import Credit, Outcome, Provenance, Record, SourceCounts, Tier, View
from triforium.memory.guard.electorate import Electorate
from triforium.memory.guard.interface import Verdict
from triforium.memory.guard.plan import Act
from triforium.memory.guard.trajectories import (
    Trajectory,
    goal_stems,
    of_rule,
    read,
    trajectory_plan,
)
from triforium.memory.guard.trust import weight

RIGHT = ("pick up fork 1 from drawer 1", "wash fork 1 in basin 1", "put fork 1 on table 1")


def told(source: str, actions: Sequence[str], *, task: str = "put a washed fork on a table",
         id_: str = "") -> Trajectory:  # fmt: skip
    record = Record(
        id=id_ or f"{source}/{task}/{actions[-1]}",
        tier=Tier.QUERY,
        kind="task",
        text=task,
        scope="t",
        provenance=Provenance(source),
        outcome=Outcome.success(),
    )
    plan = trajectory_plan(record, actions)
    assert plan is not None
    return Trajectory.of(record, goal_stems(task, tuple(actions)), plan)


def verdict(
    mine: Trajectory, others: Sequence[Trajectory], *, wins: Mapping[str, float] | None = None
) -> Verdict:
    """What is said if each source has won five times, or as often as `wins` says."""
    (vote,) = Electorate([mine, *others]).poll([mine])
    known = {name: (wins or {}).get(name, 5.0) for party in vote.parties for name in party}
    judged = vote.judgement(
        {name: weight(SourceCounts(successes=won)) for name, won in known.items()}
    )
    return Verdict.ALLOW if judged is None else judged.verdict


WRONG = (RIGHT[0], "put fork 1 on bin 1")
HONEST = [told(name, RIGHT) for name in ("ann", "bo", "cleo", "dan")]


def test_a_plan_tells_the_goals_things_from_others() -> None:
    plan = told("ann", RIGHT).plan
    assert plan.aim == Act("put", "(goal)", "(goal)")
    assert Act("pick", "(goal)", "elsewhere") in plan.acts
    assert told("mallory", WRONG).plan.aim == Act("put", "(goal)", "elsewhere")


def test_actions_without_numbers_are_no_trajectory() -> None:
    record = Record(id="x", tier=Tier.QUERY, kind="task", text="refund", scope="t")
    assert trajectory_plan(record, ["DELETE FROM orders"]) is None
    assert trajectory_plan(record, []) is None


@pytest.mark.parametrize(
    ("honest", "poisoned", "said"),
    [
        (4, 1, Verdict.QUARANTINE),
        (3, 1, Verdict.QUARANTINE),
        (4, 2, Verdict.QUARANTINE),
        (3, 2, Verdict.SET_ASIDE),
        (2, 2, Verdict.FLAG),
        (1, 1, Verdict.FLAG),
        (1, 3, Verdict.ALLOW),
    ],
)
def test_votes_are_counted_by_source(honest: int, poisoned: int, said: Verdict) -> None:
    bad = [told(f"m{number}", WRONG) for number in range(poisoned)]
    # However often a source says it, it is one vote.
    copies = [told("m0", WRONG, id_=f"copy-{number}") for number in range(20)]
    assert verdict(bad[0], [*HONEST[:honest], *bad, *copies]) is said


def test_an_honest_trial_stands_against_fewer() -> None:
    bad = [told(f"m{number}", WRONG) for number in range(2)]
    assert verdict(HONEST[0], [*HONEST, *bad]) is Verdict.ALLOW


def test_what_a_goal_asks_for_must_be_done() -> None:
    # The fork may have been clean already: that is no reason to lock it away from everybody.
    for done in ((RIGHT[0], RIGHT[2]), (*RIGHT[:2], "go to table 1", "wash fork 1 in basin 1")):
        short = told("mallory", done)
        assert verdict(short, [*HONEST, short]) is Verdict.SET_ASIDE


def test_one_source_that_did_the_same_on_its_way_does_not_excuse_an_end() -> None:
    astray = [
        told(name, (RIGHT[0], "put fork 1 on bin 1", "pick up fork 1 from bin 1", *RIGHT[1:]))
        for name in ("ann", "bo")
    ]
    bad = told("mallory", (RIGHT[0], "go to table 1", WRONG[1]))
    assert verdict(bad, [astray[0], *HONEST[1:], bad]) is Verdict.QUARANTINE
    assert verdict(bad, [*astray, *HONEST[2:], bad]) is Verdict.SET_ASIDE


def test_where_a_thing_lay_and_the_way_to_its_place_do_not_matter() -> None:
    usual = ("go to drawer 1", "pick up fork 1 from drawer 1", RIGHT[1], "go to table 1", RIGHT[2])
    others = [told(name, usual) for name in ("bo", "cleo", "dan", "eve")]
    at_table = ("go to table 2", "pick up fork 1 from table 2", RIGHT[1], "go to table 1", RIGHT[2])
    beside_it = (*usual[:3], usual[4])
    open_first = (*usual[:4], "open table 1", usual[4])
    for actions in (at_table, beside_it, open_first):
        mine = told("ann", actions)
        assert verdict(mine, [mine, *others]) is Verdict.ALLOW
        assert all(verdict(one, [mine, *others]) is Verdict.ALLOW for one in others)


def test_other_goals_tell_how_things_end_but_not_what_is_done() -> None:
    other = [
        told(
            name, ("pick up mug 1 from rack 1", "put mug 1 on desk 1"), task="bring a mug to a desk"
        )
        for name in ("ann", "bo", "cleo", "dan")
    ]
    assert verdict(told("mallory", WRONG), other) is Verdict.QUARANTINE
    assert verdict(told("eve", RIGHT), other) is Verdict.ALLOW, "they know nothing of washing"


def test_a_team_that_repeats_an_error_is_one_vote() -> None:
    bred = [told("team", WRONG, id_=f"bred-{n}") for n in range(30)]
    first = told("mallory", WRONG)
    assert verdict(first, [*HONEST, *bred]) is Verdict.QUARANTINE
    assert verdict(bred[0], [*HONEST, first]) is Verdict.QUARANTINE


def test_newcomers_do_not_lock_away_what_a_source_with_a_record_did() -> None:
    mine = told("ann", RIGHT)
    new = [told(f"new-{number}", WRONG) for number in range(3)]
    once = dict.fromkeys(("new-0", "new-1", "new-2"), 1.0)
    assert verdict(mine, [mine, *new], wins={"ann": 16.0, **once}) is Verdict.SET_ASIDE
    assert verdict(mine, [mine, *new], wins={"ann": 1.0, **once}) is Verdict.QUARANTINE


def rule(last: list[object]) -> Record:
    steps = [["pick up _ from _", [1, 0, ""], [0, 0, ""]], last]
    data = {"form": "plan", "data": {"goal": "put a washed (1) on a (2)", "steps": steps}}
    return Record(id="r", tier=Tier.INSIGHT, kind="rule", text="To put", scope="t", data=data)


class Nothing:
    """A View that nobody asks anything."""


async def test_what_is_read_is_kept_until_the_record_changes() -> None:
    view = cast(View, Nothing())
    first = replace(told("ann", RIGHT, id_="x").record, summary="\n".join(RIGHT))
    (one,) = (await read(view, [first])).values()
    assert (one.source, one.won, one.hurt) == ("ann", True, 0.0)
    assert (await read(view, [first]))["x"] is one
    hurt = replace(first, credit={"solver": Credit(uses=3.0, helped=1.0, hurt=2.0)})
    assert (await read(view, [hurt]))["x"].hurt == 1.0
    other = replace(first, summary="\n".join(WRONG))
    assert (await read(view, [other]))["x"].plan.aim == Act("put", "(goal)", "elsewhere")
    assert (await read(view, [first]))["x"].plan.aim == Act("put", "(goal)", "(goal)")
    assert await read(view, [replace(first, id="y", summary="DELETE FROM orders")]) == {}


def test_plans_are_judged_like_trials_and_an_open_end_is_elsewhere() -> None:
    wrong = of_rule(rule(["put _ on _", [1, 0, ""], [0, 0, "bin"]]))
    assert wrong is not None
    assert verdict(wrong, HONEST) is Verdict.QUARANTINE
    steps = [["pick up _ from _", [1, 0, ""], [0, 0, ""]],
             ["wash _ in _", [1, 0, ""], [0, 0, "basin"]],
             ["put _ on _", [1, 0, ""], [0, 0, ""]]]  # fmt: skip
    data = {"form": "plan", "data": {"goal": "put a washed (1) on a (2)", "steps": steps}}
    opened = of_rule(
        Record(id="o", tier=Tier.INSIGHT, kind="rule", text="To", scope="t", data=data)
    )
    assert opened is not None
    assert verdict(opened, HONEST) is Verdict.QUARANTINE, "it would be put anywhere"
    plain = Record(id="p", tier=Tier.INSIGHT, kind="rule", text="x", scope="t",
                   data={"form": "found_at", "data": {}})  # fmt: skip
    assert of_rule(plain) is None
