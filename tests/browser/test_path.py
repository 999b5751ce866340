"""What a stranger does with the inspector, by visible text and roles alone."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from triforium.memory import Memory
from triforium.memory.explain import Explanation

from .conftest import TEAM, Inspector, Opener, run

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.timeout(600)


def view(page: Page, name: str) -> None:
    page.get_by_role("navigation", name="Views").get_by_role("link", name=name).click()


def records_shown(page: Page) -> int:
    heading = page.get_by_role("heading", level=1)
    heading.filter(has_text=re.compile(r"\d+ records?")).wait_for()
    return int(heading.inner_text().split()[0].replace(",", ""))


def drawer(page: Page) -> Locator:
    return page.get_by_role("complementary", name="Chosen record")


def test_from_the_best_insight_to_the_utterance(reading: Inspector, open_page: Opener) -> None:
    page = open_page(reading)
    assert "token" not in page.url, "the token leaves the address bar at once"
    view(page, "Learning")
    table = page.get_by_role("region", name="Insights and what they are worth")
    table.get_by_role("link").first.click()
    record = drawer(page)
    record.get_by_role("heading", name="Who wrote this").wait_for()
    record.get_by_role("link", name="Why was it recalled?").click()
    page.get_by_role("heading", name="Packed into the prompt").wait_for()
    page.get_by_role("tab", name="Asked").click()
    page.get_by_role("heading", name="What was asked").wait_for()
    page.get_by_role("button", name="Next").click()
    page.get_by_role("heading", name="Found by search").wait_for()
    page.get_by_role("link", name="Open the trial").click()
    steps = page.get_by_role("region", name="Sequence of steps")
    steps.get_by_role("listitem").nth(1).get_by_role("link").first.click()
    said = drawer(page)
    said.get_by_text("action").first.wait_for()
    assert said.get_by_text("You ").first.is_visible(), "verbatim what was said"
    said.get_by_role("link", name="Show in the graph").click()
    assert records_shown(page) > 100


def test_release_one_and_confirm_another(editing: Inspector, open_page: Opener) -> None:
    page = open_page(editing)
    view(page, "Guard")
    inbox = page.get_by_role("navigation", name="Quarantined records")
    inbox.get_by_text("The odd one out").wait_for()
    inbox.get_by_text("The odd one out").click()
    page.get_by_role("heading", name="Side by side").wait_for()
    page.get_by_role("heading", name="Dissenter 2").wait_for()
    page.get_by_label("Your reason, kept in the journal").fill("checked by hand")
    page.get_by_role("button", name="Release").click()
    page.get_by_text(re.compile("Released .* it is now active")).wait_for()
    inbox.get_by_text("It leads where").click()
    page.get_by_role("button", name="Confirm").click()
    page.get_by_text(re.compile("Confirmed .* it is now quarantined")).wait_for()
    confirmed = inbox.get_by_role("listitem").filter(has_text="It leads where")
    confirmed.get_by_text("confirmed", exact=True).wait_for()
    inbox.get_by_text("The odd one out").wait_for(state="detached")
    shown = inbox.get_by_role("listitem").count()
    inbox.get_by_role("button", name="Show more").click()
    page.wait_for_function(
        "shown => document.querySelectorAll('nav.inbox li').length > shown", arg=shown
    )
    view(page, "History")
    page.get_by_text("checked by hand").first.wait_for()


def test_time_slider_shows_the_older_memory(reading: Inspector, open_page: Opener) -> None:
    page = open_page(reading)
    now = records_shown(page)
    slider = page.get_by_role("slider", name=re.compile("Time"))
    slider.focus()
    slider.press("Home")
    page.get_by_text("The memory as it was").wait_for()
    page.get_by_role("heading", name=re.compile(r"^\d records?$")).wait_for()
    assert records_shown(page) < now
    page.get_by_role("button", name="Back to now").click()
    page.get_by_text("The memory now").wait_for()
    page.get_by_role("heading", name=f"{now:,} records").wait_for()


RUN = """
import asyncio, sys
from triforium import Team, embodied
from triforium.workflows.household import Household

async def main() -> None:
    world = Household(layouts=4)
    team = Team("bench")
    async with embodied(world, team=team, seed=7).open(store=sys.argv[1], checkpoints=None) as app:
        async for run in app.stream(world.tasks(2, seed=7)):
            print(run.outcome)

asyncio.run(main())
"""


def test_a_run_in_another_process_appears(editing: Inspector, open_page: Opener) -> None:
    page = open_page(editing)
    before = records_shown(page)
    page.get_by_text("Live", exact=True).wait_for()
    command = [sys.executable, "-c", RUN, f"sqlite:///{editing.store}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=280)
    assert done.stdout
    page.get_by_role("heading", name=f"{before:,} records").wait_for(state="detached")
    assert records_shown(page) > before


# --- the numbers ------------------------------------------------------------------------------


async def _explained(path: Path, count: int) -> list[Explanation]:
    async with Memory.open(f"sqlite:///{path}", scope=TEAM) as memory:
        receipts = await memory.store.receipts(TEAM)
        chosen = random.Random(0).sample(receipts, min(count, len(receipts)))
        return [await memory.explain(one.id) for one in chosen]


def says(shown: str, name: str, value: float) -> bool:
    """Whether a score is shown under its name, to two places."""
    return re.search(rf"\b{re.escape(name)}\s+{re.escape(f'{value:.2f}')}(?!\d)", shown) is not None


def test_numbers_are_those_of_explain(reading: Inspector, open_page: Opener) -> None:
    page = open_page(reading)
    explained = run(_explained(reading.store, 20))
    assert len(explained) == 20
    for explanation in explained:
        (recall,) = explanation.recalls
        page.goto(reading.at(f"#/recall/{recall.receipt}"))
        panel = page.get_by_role("tabpanel", name="Packed")
        budget = f"{len(recall.items):,} item{'' if len(recall.items) == 1 else 's'}, "
        budget += f"{recall.tokens:,} of {recall.budget:,} tokens"
        panel.get_by_text(budget).wait_for()
        items = panel.get_by_role("list").first.locator("> li") if recall.items else None
        for number, item in enumerate(recall.items):
            assert items is not None
            shown = items.nth(number).inner_text()
            assert shown.split()[0] == str(number + 1)
            assert f"{item.tokens:,} token" in shown
            assert item.placement.value in shown
            for name, value in item.scores.items():
                assert says(shown, name, value), (name, value, shown)
        if items is not None:
            assert items.count() == len(recall.items)
        page.get_by_role("tab", name="Screened out").click()
        rejected = page.get_by_role("tabpanel", name="Screened out")
        rejected.wait_for()
        for one in recall.rejected:
            shown = rejected.locator(f'[data-record="{one.id}"]').inner_text()
            assert one.reason in shown
            for name, value in one.scores.items():
                assert says(shown, name, value), (name, value, shown)


# --- five questions ---------------------------------------------------------------------------


class Clicks:
    """Counts what a person does."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, target: Locator) -> None:
        self.count += 1
        target.click()


def _first_of_search(page: Page) -> Locator:
    page.get_by_role("searchbox", name="Search the memory").fill("found at")
    page.keyboard.press("Enter")
    return page.get_by_role("main").get_by_role("list").last.get_by_role("link").first


def _who(page: Page, click: Clicks) -> Locator:
    click(_first_of_search(page))
    return drawer(page).get_by_role("heading", name="Who wrote this")


def _why(page: Page, click: Clicks) -> Locator:
    click(page.get_by_role("navigation", name="Views").get_by_role("link", name="Learning"))
    table = page.get_by_role("region", name="Insights and what they are worth")
    click(table.get_by_role("link").first)
    click(drawer(page).get_by_role("link", name="Why was it recalled?"))
    return page.get_by_role("heading", name="Packed into the prompt")


def _caused(page: Page, click: Clicks) -> Locator:
    click(page.get_by_role("navigation", name="Views").get_by_role("link", name="Learning"))
    click(
        page.get_by_role("main")
        .get_by_role("list", name="Trials in order")
        .get_by_role("link")
        .first
    )
    click(page.get_by_role("link", name="Show the record"))
    return drawer(page).get_by_role("heading", name="What it caused")


def _since(page: Page, click: Clicks) -> Locator:
    click(page.get_by_role("navigation", name="Views").get_by_role("link", name="History"))
    click(page.get_by_role("button", name="Since yesterday"))
    return page.get_by_role("heading", name=re.compile("What changed since"))


def _safe(page: Page, click: Clicks) -> Locator:
    click(page.get_by_role("navigation", name="Views").get_by_role("link", name="Guard"))
    click(page.get_by_role("navigation", name="Quarantined records").get_by_role("link").first)
    return page.get_by_role("heading", name="Why it is here")


@pytest.mark.parametrize("answer", [_who, _why, _caused, _since, _safe])
def test_five_questions_in_four_clicks(
    answer: Callable[[Page, Clicks], Locator], editing: Inspector, open_page: Opener
) -> None:
    page = open_page(editing)
    records_shown(page)
    click = Clicks()
    answer(page, click).first.wait_for()
    assert click.count <= 4


# --- the keyboard alone -----------------------------------------------------------------------


def _tab_to(page: Page, name: str, *, most: int = 120) -> None:
    """Press Tab until what has the focus is named so."""
    for _ in range(most):
        page.keyboard.press("Tab")
        said = page.evaluate(
            "() => { const e = document.activeElement;"
            " return e.getAttribute('aria-label') || e.innerText || e.value || '' }"
        )
        if name in said:
            return
    raise AssertionError(f"Tab never reaches {name!r}")


def test_whole_path_by_keyboard(editing: Inspector, open_page: Opener) -> None:
    page = open_page(editing)
    records_shown(page)
    page.keyboard.press("/")
    page.keyboard.type("found at")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Search: found at").wait_for()
    # Else Tab goes round to the search box, which says the same.
    page.get_by_text("best first").wait_for()
    _tab_to(page, "found at")
    page.keyboard.press("Enter")
    drawer(page).get_by_role("heading", name="Who wrote this").wait_for()
    page.keyboard.press("Escape")
    drawer(page).wait_for(state="detached")
    page.keyboard.press("Alt+2")
    page.get_by_role("heading", name="Recalls", exact=True).wait_for()
    page.locator("body").press("Home")
    _tab_to(page, "tokens, hierarchical")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Packed into the prompt").wait_for()
    _tab_to(page, "Packed")
    page.keyboard.press("ArrowLeft")
    page.get_by_role("heading", name="Not packed").wait_for()
    page.keyboard.press("Alt+5")
    page.get_by_role("heading", name="Quarantine").wait_for()
    _tab_to(page, "The odd one out")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Side by side").wait_for()
    _tab_to(page, "Release")
    page.keyboard.press("Enter")
    page.get_by_text(re.compile("Released .* it is now active")).wait_for()
    page.keyboard.press("Alt+1")
    now = records_shown(page)
    _tab_to(page, "Graph of the memory")
    for key in ("+", "ArrowLeft", "ArrowUp", "-", "0"):
        page.keyboard.press(key)
    _tab_to(page, "Time")
    page.keyboard.press("Home")
    page.get_by_text("The memory as it was").wait_for()
    page.get_by_role("heading", name=f"{now:,} records").wait_for(state="detached")
