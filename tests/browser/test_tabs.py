"""What holds in every view: the scope that was chosen, the token's cookie, the line of each tab."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from triforium.graph import (
    Add,
    AddLink,
    Changeset,
    Close,
    Link,
    LinkType,
    Op,
    Outcome,
    Provenance,
    Record,
    Store,
    Tier,
)
from triforium.graph.open import open_store

from .conftest import Inspector, Opener, inspect, run

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.timeout(300)
NORTH, SOUTH = "acme/north", "acme/south"
CHANGES = 40
TABS = 9
"""More than the six lines that a browser holds to one server."""


def _trial(id_: str, scope: str, text: str, outcome: Outcome, who: Provenance) -> list[Op]:
    trial = Record(id=id_, tier=Tier.QUERY, kind="task", scope=scope, text=text, provenance=who)
    step = Record(
        id=f"{id_}-step",
        tier=Tier.INTERACTION,
        kind="action",
        scope=scope,
        text=f"look about\n{text}",
        provenance=Provenance(source=who.source, agent=who.agent, role=who.role, trial=id_, step=0),
    )
    part = Link(src=step.id, dst=id_, type=LinkType.PART_OF)
    return [Add(trial), Add(step), AddLink(part), Close(id_, 1, outcome)]


async def _apply(store: Store, id_: str, scope: str, ops: list[Op]) -> None:
    await store.apply(
        Changeset(id=id_, scope=scope, base=0, actor="test", reason=id_, ops=tuple(ops))
    )


async def _two_scopes(path: Path) -> None:
    """More trials in the north, so that it is shown first; one agent has two roles."""
    store = await open_store(f"sqlite:///{path}")
    for number in range(CHANGES):
        role = "mover" if number % 2 else "finder"
        who = Provenance(source="bot", agent="ann", role=role)
        outcome = Outcome.success() if number % 2 else Outcome.failure("lost it")
        ops = _trial(f"n{number}", NORTH, f"find the lamp {number}", outcome, who)
        await _apply(store, f"north {number}", NORTH, ops)
    for number in range(3):
        who = Provenance(source="bot", agent="zoe", role="finder")
        ops = _trial(f"s{number}", SOUTH, f"polish the bell {number}", Outcome.success(), who)
        await _apply(store, f"south {number}", SOUTH, ops)
    await store.close()


async def _one_more(path: Path, id_: str, scope: str) -> None:
    store = await open_store(f"sqlite:///{path}")
    who = Provenance(source="bot", agent="zoe", role="finder")
    ops = _trial(id_, scope, f"polish the bell {id_}", Outcome.success(), who)
    await _apply(store, f"more {id_}", scope, ops)
    await store.close()


@pytest.fixture
def scopes(tmp_path: Path) -> Iterator[Inspector]:
    path = tmp_path / "memory.db"
    run(_two_scopes(path))
    with inspect(path) as found:
        yield found


def counted(page: Page, records: int) -> None:
    page.get_by_role("heading", level=1, name=f"{records} records", exact=True).wait_for()


def view(page: Page, name: str) -> None:
    page.get_by_role("navigation", name="Views").get_by_role("link", name=name).click()


# --- scopes -----------------------------------------------------------------------------------


def test_a_chosen_scope_holds_in_every_view(scopes: Inspector, open_page: Opener) -> None:
    page = open_page(scopes)
    counted(page, 2 * CHANGES)
    page.get_by_role("button", name="Filters").click()
    page.get_by_label("Scope").select_option(SOUTH)
    counted(page, 6)
    page.get_by_text(f"scope {SOUTH}").wait_for()
    page.get_by_role("button", name="Table").click()
    table = page.get_by_role("region", name="Records of the graph")
    table.get_by_role("link", name="polish the bell 1").first.click()
    record = page.get_by_role("complementary", name="Chosen record")
    record.get_by_role("heading", name="Who wrote this").wait_for()
    record.get_by_text(SOUTH, exact=True).wait_for()
    record.get_by_role("link", name="Open the trial").click()
    page.get_by_role("region", name="Sequence of steps").wait_for()
    page.get_by_role("searchbox", name="Search the memory").fill("bell")
    page.keyboard.press("Enter")
    page.get_by_role("main").get_by_text("polish the bell 2").first.wait_for()
    view(page, "Agents")
    page.get_by_role("link", name="zoe", exact=True).wait_for()
    assert page.get_by_role("link", name="ann", exact=True).count() == 0
    view(page, "Trial")
    page.get_by_text("polish the bell 2").wait_for()
    page.keyboard.press("Alt+1")
    counted(page, 6)
    slider = page.get_by_role("slider", name=re.compile("Time"))
    slider.focus()
    slider.press("Home")
    page.get_by_text("The memory as it was").wait_for()
    counted(page, 2)
    assert page.get_by_role("alert").count() == 0
    page.get_by_role("button", name="Back to now").click()
    page.get_by_role("button", name="Clear", exact=True).click()
    counted(page, 2 * CHANGES)
    assert SOUTH not in page.url


def test_what_happens_in_a_chosen_scope_appears(scopes: Inspector, open_page: Opener) -> None:
    page = open_page(scopes.opened)
    counted(page, 2 * CHANGES)
    page.goto(scopes.at(f"#/graph?scope={SOUTH}"))
    counted(page, 6)
    page.get_by_text("Live", exact=True).wait_for()
    run(_one_more(scopes.store, "more", SOUTH))
    counted(page, 8)


def test_a_scope_that_is_not_there_can_be_left(scopes: Inspector, open_page: Opener) -> None:
    page = open_page(scopes)
    counted(page, 2 * CHANGES)
    page.goto(scopes.at("#/graph?scope=acme/north&tier=query"))
    counted(page, CHANGES)
    page.get_by_role("button", name="Clear", exact=True).click()
    counted(page, 2 * CHANGES)


# --- the token, and many tabs -----------------------------------------------------------------


def test_no_script_keeps_the_token(reading: Inspector, open_page: Opener) -> None:
    page = open_page(reading)
    page.get_by_role("heading", level=1).wait_for()
    assert page.evaluate("() => sessionStorage.length") == 0
    assert page.evaluate("() => document.cookie") == ""
    page.reload()
    page.get_by_role("heading", level=1).wait_for()
    other = page.context.new_page()
    other.goto(reading.at("#/learning"))
    other.get_by_role("heading", name="Success over the stream").wait_for()


HIDE = """hidden => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
"""The tests' browser takes every tab as seen; so a tab is told that it is not."""


def test_many_tabs_open_and_each_catches_up(scopes: Inspector, open_page: Opener) -> None:
    first = open_page(scopes)
    counted(first, 2 * CHANGES)
    first.get_by_text("Live", exact=True).wait_for()
    tabs = [first]
    for _ in range(TABS - 1):
        tabs[-1].evaluate(HIDE, True)
        page = first.context.new_page()
        tabs.append(page)
        page.goto(scopes.at("#/graph"))
        counted(page, 2 * CHANGES)
        page.get_by_text("Live", exact=True).wait_for()
    run(_one_more(scopes.store, "more", NORTH))
    counted(tabs[-1], 2 * CHANGES + 2)
    counted(first, 2 * CHANGES)
    tabs[-1].evaluate(HIDE, True)
    first.evaluate(HIDE, False)
    counted(first, 2 * CHANGES + 2)


# --- what is shown is what was asked ----------------------------------------------------------

DRAWN = "() => window.inspector.picture.graph.nodes().sort().join()"


def test_the_picture_follows_the_filter(scopes: Inspector, open_page: Opener) -> None:
    page = open_page(scopes)
    counted(page, 2 * CHANGES)
    for outcome, first in (("success", 1), ("failure", 0)):
        page.goto(scopes.at(f"#/graph?tier=query&outcome={outcome}"))
        counted(page, CHANGES // 2)
        ids = ",".join(sorted(f"n{number}" for number in range(first, CHANGES, 2)))
        page.wait_for_function(f"ids => ({DRAWN})() === ids", arg=ids)


def test_one_agent_in_two_roles(scopes: Inspector, open_page: Opener) -> None:
    page = open_page(scopes)
    for role in ("mover", "finder"):
        view(page, "Agents")
        row = page.get_by_role("row").filter(has_text=role)
        row.get_by_role("link", name="ann").click()
        page.get_by_text(f"In the role of {role}").wait_for()


def test_a_reason_stays_with_its_record(editing: Inspector, open_page: Opener) -> None:
    page = open_page(editing)
    view(page, "Guard")
    inbox = page.get_by_role("navigation", name="Quarantined records")
    inbox.get_by_text("The odd one out").click()
    reason = page.get_by_label("Your reason, kept in the journal")
    reason.fill("I know it is sound")
    inbox.get_by_text("It leads where").click()
    page.get_by_text("It leads where no independent trial went.", exact=True).last.wait_for()
    page.wait_for_function(
        "() => document.querySelector('.decide input')?.value === ''", timeout=20_000
    )


def test_since_an_hour_begins_where_the_hour_did(scopes: Inspector, open_page: Opener) -> None:
    page = open_page(scopes)
    counted(page, 2 * CHANGES)
    # The moments of the slider are far apart in a long journal: here there are only two.
    line = page.evaluate("() => fetch('/api/timeline?points=2').then(one => one.json())")
    journal = page.evaluate("() => fetch('/api/journal?after=0&limit=200').then(one => one.json())")
    begun = datetime.fromisoformat(line["moments"][0]["created_at"])
    entries = journal["entries"]
    for number, entry in enumerate(entries):
        old = begun + timedelta(minutes=number)
        entry["created_at"] = old.astimezone(UTC).isoformat()
    line["moments"][0]["created_at"] = entries[0]["created_at"]
    line["moments"][-1]["created_at"] = entries[-1]["created_at"]
    page.route("**/api/timeline*", lambda route: route.fulfill(json=line))
    page.route("**/api/journal?after*", lambda route: route.fulfill(json=journal))
    known = entries[20]
    now = datetime.fromisoformat(known["created_at"]) + timedelta(hours=1, seconds=30)
    page.clock.set_fixed_time(now)
    page.goto(scopes.at("#/history?since=3600"))
    page.get_by_role("heading", name=f"What changed since position {known['position']}").wait_for()
