"""One self-contained HTML page with the three storeys of a memory."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any

from ..graph import Filter, Hop, Link, LinkType, Record, Status, Tier
from ..memory import Memory
from .curve import svg_curve

MAX_TRIALS = 1000
MAX_INSIGHTS = 60
_STEP_TEXT = 600


async def memory_page(
    memory: Memory,
    *,
    title: str,
    lead: str,
    curve: dict[str, Sequence[float]],
    numbers: Sequence[tuple[str, str]] = (),
) -> str:
    """The page as text.

    Args:
        memory: What to show.
        title: Its heading.
        lead: A sentence below.
        curve: Per name the outcomes in order, for the learning curve.
        numbers: (value, label) pairs beside the curve.
    """
    data = await _data(memory)
    data["numbers"] = [list(pair) for pair in numbers]
    folder = files("triforium.workflows") / "data"
    script = (folder / "page.js").read_text(encoding="utf-8")
    # "<" cannot stand in the JSON, so no text of a record can end the element it stands in.
    embedded = json.dumps(data, ensure_ascii=True).replace("<", "\\u003c")
    parts = {
        "@@TITLE@@": escape(title),
        "@@LEAD@@": escape(lead),
        "@@CURVE@@": svg_curve(curve, title="Tasks solved"),
        "@@SCRIPT_HASH@@": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "@@SCRIPT@@": script,
        "@@DATA@@": embedded,
    }
    page = (folder / "page.html").read_text(encoding="utf-8")
    # The data goes in last: nothing in it is looked at again.
    for mark, text in parts.items():
        page = page.replace(mark, text)
    return page


async def _data(memory: Memory) -> dict[str, Any]:
    view = await memory.view()
    anything = Filter(statuses=frozenset(Status))
    trials = await view.recent(tiers=frozenset({Tier.QUERY}), k=MAX_TRIALS, where=anything)
    hops = (
        Hop(frozenset({LinkType.PART_OF}), "in", fan=256, start=0),
        Hop(frozenset({LinkType.SUPPORTS}), "out", fan=256, start=0),
        Hop(frozenset({LinkType.LED_TO}), "in", fan=256, start=0),
    )
    walk = await view.walk([trial.id for trial in trials], hops)
    ordered = sorted(trials, key=lambda trial: (trial.added, trial.id))
    insights = [record for record in walk.records.values() if record.tier is Tier.INSIGHT]
    insights.sort(key=lambda one: (-(one.support - one.refuted), one.id))
    shown = {insight.id for insight in insights[:MAX_INSIGHTS]}
    return {
        "insights": [_insight(one, walk.links) for one in insights[:MAX_INSIGHTS]],
        "trials": [_trial(trial, walk.records, walk.links, shown) for trial in ordered],
    }


def _insight(record: Record, links: Sequence[Link]) -> dict[str, Any]:
    return {
        "id": record.id,
        "text": record.text,
        "support": record.support,
        "refuted": record.refuted,
        "uses": int(record.total_credit().uses),
        "source": record.provenance.source or "nobody known",
        "trials": [
            link.src for link in links if link.type is LinkType.SUPPORTS and link.dst == record.id
        ],
    }


def _trial(trial: Record, records: Any, links: Sequence[Link], shown: set[str]) -> dict[str, Any]:
    steps = sorted(
        (
            records[link.src]
            for link in links
            if link.type is LinkType.PART_OF and link.dst == trial.id
        ),
        key=lambda step: (step.provenance.step, step.id),
    )
    outcome = trial.outcome
    return {
        "id": trial.id,
        "task": trial.text,
        "shown": trial.provenance.run.startswith("demonstration:"),
        "outcome": "unknown" if outcome is None else outcome.kind.value,
        "reading": f"{str(outcome or 'open').capitalize()} after {len(steps)} steps.",
        "used": sorted(
            {link.src for link in links if link.type is LinkType.LED_TO and link.dst == trial.id}
        ),
        "insights": [
            link.dst
            for link in links
            if link.type is LinkType.SUPPORTS and link.src == trial.id and link.dst in shown
        ],
        "steps": [
            {
                "action": str(step.data.get("action", "")),
                "said": step.text[len(str(step.data.get("action", ""))) :].strip()[:_STEP_TEXT],
                "role": step.provenance.role,
            }
            for step in steps
        ],
    }
