"""Every view: accessible, light and dark; fit for a narrow window; hostile text stays text."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from triforium.graph import Add, Changeset, Close, Outcome, Provenance, Record, Tier
from triforium.graph.open import open_store

from .conftest import TEAM, TRIFORIUM, Inspector, Opener, inspect, run

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.timeout(600)
AXE = Path(__file__).parent / "vendor" / "axe.min.js"
SERIOUS = {"serious", "critical"}
VIEWS = {
    "graph": "#/graph",
    "graph as a map": "#/graph?show=map",
    "graph as a table": "#/graph?show=table",
    "graph with filters": "#/graph?tier=insight",
    "recalls": "#/recall",
    "trials": "#/trial",
    "agents": "#/agents",
    "agent": "#/agents/solver",
    "guard": "#/guard",
    "history": "#/history?since=86400",
    "change": "#/history/change/14",
    "learning": "#/learning",
    "learning as a table": "#/learning?show=table",
    "search": "#/search?q=found",
}


def settle(page: Page) -> None:
    """Wait until nothing is being read."""
    page.get_by_role("main").wait_for()
    page.get_by_role("heading", level=1).or_(page.get_by_role("alert")).first.wait_for()
    page.get_by_text("Reading …").first.wait_for(state="detached")


def findings(page: Page) -> list[str]:
    """What axe finds, serious or worse."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    found: dict[str, Any] = page.evaluate(
        "() => axe.run(document, { resultTypes: ['violations'], iframes: false })"
    )
    return [
        f"{one['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
        for one in found["violations"]
        if one["impact"] in SERIOUS
        for node in one["nodes"][:3]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_serious_finding(theme: str, editing: Inspector, open_page: Opener) -> None:
    page = open_page(editing, theme=theme)
    settle(page)
    wrong = {}
    for name, hash_ in VIEWS.items():
        page.goto(editing.at(hash_))
        settle(page)
        wrong[name] = findings(page)
    page.goto(editing.at("#/recall"))
    page.get_by_role("main").get_by_role("link").first.click()
    page.get_by_role("heading", name="Packed into the prompt").wait_for()
    wrong["recall"] = findings(page)
    page.get_by_role("link", name="Open the trial").click()
    page.get_by_role("region", name="Sequence of steps").wait_for()
    page.get_by_role("link", name="Show the record").click()
    page.get_by_role("heading", name="Who wrote this").wait_for()
    wrong["trial with its record"] = findings(page)
    page.get_by_role("link", name="What changed?").click()
    page.get_by_role("heading", name="What changed on this record").wait_for()
    wrong["versions"] = findings(page)
    page.goto(editing.at("#/guard"))
    page.get_by_role("navigation", name="Quarantined records").get_by_role("link").first.click()
    page.get_by_role("heading", name="Side by side").wait_for()
    wrong["suspect"] = findings(page)
    said = [f"{name}: {one}" for name, found in wrong.items() for one in found]
    assert not said, "\n".join(said)


@pytest.mark.parametrize("width", [800, 390])
def test_a_narrow_window_does_not_scroll_sideways(
    width: int, reading: Inspector, open_page: Opener
) -> None:
    page = open_page(reading, width=width)
    settle(page)
    wide = []
    for name, hash_ in VIEWS.items():
        page.goto(reading.at(hash_))
        settle(page)
        over = "() => [document.documentElement, ...document.querySelectorAll('.page')]"
        if page.evaluate(f"({over})().some(one => one.scrollWidth > one.clientWidth + 1)"):
            wide.append(name)
    assert wide == []


# --- hostile text -----------------------------------------------------------------------------

HOSTILE = (
    "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    "</div></body><b>bold</b> \u202egnp.exe \u0007\u001b[31m javascript:alert(1) "
    "{{constructor}} ${1+1}"
)


async def _hostile(path: Path) -> None:
    store = await open_store(f"sqlite:///{path}")
    who = Provenance(source="<i>mallory</i>", agent="<script>x</script>", role="a&b", run="r")
    trial = Record(
        id="hostile-trial", tier=Tier.QUERY, kind="task", text=HOSTILE, scope=TEAM, provenance=who
    )
    step = Record(
        id="hostile-step",
        tier=Tier.INTERACTION,
        kind="utterance",
        text=HOSTILE + "x" * 1_000_000,
        scope=TEAM,
        provenance=Provenance(
            source="<i>mallory</i>", agent="<script>x</script>", trial=trial.id, step=0, run="r"
        ),
    )
    rule = Record(
        id="hostile-rule", tier=Tier.INSIGHT, kind="<u>rule</u>", text=HOSTILE, scope=TEAM
    )
    ops = (Add(trial), Add(step), Add(rule), Close(trial.id, 1, Outcome.failure(HOSTILE)))
    await store.apply(
        Changeset(id="hostile", scope=TEAM, base=0, actor="<i>mallory</i>", reason=HOSTILE, ops=ops)
    )
    await store.close()


def test_hostile_text_is_shown_as_text(demo: Path, tmp_path: Path, open_page: Opener) -> None:
    store = tmp_path / "memory.db"
    shutil.copy(demo, store)
    run(_hostile(store))
    with inspect(store) as found:
        page = open_page(found)
        settle(page)
        for hash_ in (
            "#/graph?record=hostile-rule",
            "#/graph?show=table&record=hostile-step",
            "#/trial/hostile-trial",
            "#/history",
            "#/history/record/hostile-trial",
            "#/agents",
            "#/search?q=%3Cimg%20src%3Dx",
        ):
            page.goto(found.at(hash_))
            settle(page)
            page.get_by_text("<img src=x onerror=").or_(
                page.get_by_text("<script>")
            ).first.wait_for()
            assert page.title().endswith("Triforium")
            made = "#app img, #app b > b, #app script, #app u"
            inside = page.evaluate("made => document.querySelectorAll(made).length", made)
            assert inside == 0
            assert "\u202e" not in page.evaluate("() => document.body.innerText")


# --- the exported page ------------------------------------------------------------------------


def test_an_exported_page_has_the_same_views(demo: Path, tmp_path: Path, open_page: Opener) -> None:
    out = tmp_path / "memory.html"
    command = [*TRIFORIUM, "inspect", "--store", f"sqlite:///{demo}", "--export", str(out)]
    subprocess.run(command, check=True, capture_output=True, timeout=280)
    page = open_page(out.as_uri())
    page.get_by_role("heading", name=re.compile(r"\d+ records")).wait_for()
    page.get_by_text("Exported copy").wait_for()
    for view, heading in (
        ("Recall", "Recalls"),
        ("Trial", "Trials"),
        ("Agents", "Agents"),
        ("Guard", "Quarantine"),
        ("History", "History"),
        ("Learning", "Learning"),
    ):
        page.get_by_role("navigation", name="Views").get_by_role("link", name=view).click()
        page.get_by_role("heading", name=heading, exact=True).wait_for()
        settle(page)
        assert page.get_by_role("alert").count() == 0, view
    page.get_by_role("region", name="Insights").get_by_role("link").first.click()
    page.get_by_role("heading", name="Who wrote this").wait_for()
    page.get_by_role("link", name="Why was it recalled?").click()
    page.get_by_role("heading", name="Packed into the prompt").wait_for()
