"""Plans: what a record would lead to, and how far two of them are apart."""

from __future__ import annotations

import time

import pytest

from triforium.graph import Record, Tier
from triforium.memory.guard.conflict import conflict, odds
from triforium.memory.guard.plan import NO_PLAN, Act, code_plan_of, plan_of

LOOKUP = """\
ward_db = Fetch('ward')
beds = Narrow(ward_db, 'floor=3||max(opened)')
ids = Take(beds, 'bedid, list')
staff_db = Fetch('staff')
mine = Narrow(staff_db, 'bedid in {}'.format(ids))
answer = Take(mine, 'surname')"""


def trial(text: str = "who looks after the beds", **data: object) -> Record:
    return Record(id="r", tier=Tier.QUERY, kind="task", text=text, scope="s", data=data)


def test_calls_are_read_with_the_table_that_their_rows_came_from() -> None:
    plan = code_plan_of(LOOKUP)
    assert plan.acts == {
        Act("Fetch", "ward"),
        Act("Narrow", "ward", "floor"),
        Act("Narrow", "ward", "opened"),
        Act("Take", "ward", "bedid"),
        Act("Fetch", "staff"),
        Act("Narrow", "staff", "bedid"),
        Act("Take", "staff", "surname"),
    }
    assert plan.aim == Act("Take", "staff", "surname")
    assert plan.objects == {"ward", "staff"}


def test_values_stay_out_of_a_plan() -> None:
    assert code_plan_of(LOOKUP) == code_plan_of(LOOKUP.replace("floor=3", "floor=7"))
    assert code_plan_of(LOOKUP) != code_plan_of(LOOKUP.replace("surname", "salary"))


def test_sql_is_read_with_its_verb_tables_and_columns() -> None:
    plan = code_plan_of("SELECT staff.surname FROM staff WHERE staff.floor = 3")
    assert plan.aim == Act("select", "staff", "surname")
    assert plan.acts == {Act("select", "staff", "surname"), Act("select", "staff", "floor")}
    assert code_plan_of("DELETE FROM staff").acts == {Act("delete", "staff")}


def test_steps_in_words_have_the_same_plan_whatever_things_they_deal_with() -> None:
    one = plan_of(
        trial("put a mug in the sink"), ["take mug 1 from shelf 2", "put mug 1 in sink 1"]
    )
    two = plan_of(
        trial("put a pan in the oven"), ["take pan 3 from shelf 1", "put pan 3 in oven 2"]
    )
    assert one == two
    assert one.aim == Act("put", "(1)", "(2)")
    other = plan_of(trial("put a mug in the sink"), ["put mug 1 in bin 1"])
    assert other.aim == Act("put", "(1)", "bin")


def test_an_answer_is_a_plan_and_yours_comes_first() -> None:
    assert plan_of(trial(answer="  Paris!"), []).aim == Act("answer", "paris")
    mine = plan_of(trial(), [], [lambda record, actions: code_plan_of("Go('there')")])
    assert mine.aim == Act("Go", "there")
    assert plan_of(trial(), []) is NO_PLAN


def test_plans_contradict_each_other_part_by_part() -> None:
    lookup = code_plan_of(LOOKUP)
    assert conflict(lookup, lookup) == (0.0, 0.0, 0.0)
    column = code_plan_of(LOOKUP.replace("surname", "salary"))
    assert conflict(column, lookup) == (0.0, 0.0, 1.0)
    table = code_plan_of(LOOKUP.replace("Fetch('staff')", "Fetch('payroll')"))
    assert conflict(table, lookup).object == 1.0
    wipe = code_plan_of("ward_db = Fetch('ward')\nWipe(ward_db, 'bedid=4')")
    assert conflict(wipe, lookup).verb == 1.0
    assert conflict(NO_PLAN, lookup) == (0.5, 0.5, 0.5), "nothing known says nothing"


def test_what_is_looked_at_on_the_way_is_no_aim() -> None:
    aim_on_the_way = code_plan_of(LOOKUP.replace("surname", "bedid"))
    assert 0.5 < conflict(aim_on_the_way, code_plan_of(LOOKUP)).detail < 1.0


def test_what_a_text_names_is_no_contradiction() -> None:
    height = code_plan_of("p = Fetch('patient')\nanswer = Take(p, 'admissionheight')")
    weight = code_plan_of("p = Fetch('patient')\nanswer = Take(p, 'admissionweight')")
    assert conflict(height, weight).detail == 1.0
    assert conflict(height, weight, {"height"}).detail == 0.5


def test_dissent_weighs_less_where_the_situation_is_unsure() -> None:
    assert odds(1.0, 1.0) > odds(1.0, 0.0) > 0.0 == odds(0.5) > odds(0.0)


@pytest.mark.parametrize(
    "action",
    [
        "f(" * 100_000,
        "'\\" * 100_000,
        "f(" * 100 + "'" + "\\'" * 4_000,
        ("f(" * 100 + "'" + "\\'" * 150 + "\n") * 1_000,
        "a" * 200_000 + "(",
        "f('a\\" * 50_000,
    ],
)
def test_no_action_takes_long_to_read(action: str) -> None:
    """Each took seconds to minutes while every call was read to the end of its line."""
    began = time.process_time()
    code_plan_of(action)
    plan_of(trial(), [action])
    assert time.process_time() - began < 2.0


def test_calls_within_calls_and_quotes_that_stay_open() -> None:
    assert code_plan_of("Take(Fetch('ward'), 'surname')").acts == {
        Act("Take", "ward", "surname"),
        Act("Fetch", "ward"),
    }
    assert code_plan_of("Fetch('ward").acts == {Act("Fetch", "ward")}
    assert code_plan_of("Fetch(ward").acts == {Act("Fetch")}
    assert code_plan_of("Take(')', 'surname') or Wipe('ward')").verbs == {"Take", "Wipe"}
