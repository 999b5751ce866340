"""A memory as one self-contained page, with the same views as the server's."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel

from ..errors import StoreError, TriforiumError
from ..graph import Store, Tier
from .access import Grant
from .bundle import STATIC, inlined
from .details import record_detail
from .graphs import MOST_NODES, GraphQuery, graph_of
from .history import difference, entry_at, journal_page, revert_of, timeline, versions
from .overview import meta_of, statistics_of
from .quarantine import inbox, suspect
from .reading import Reading
from .replay import replay
from .state import Inspector
from .trials import agent_detail, agents, trial_detail, trials_page

MOST_BYTES = 48_000_000
"""Details are left out of a page that would become larger; what is most looked at comes first."""
LISTED = 2_000
"""Entries of a list at most."""
STEPS = 2_000
"""Interactions with a detail of their own at most; the others are shown in their trials."""
ENTRIES = 200
REVERTS = 10
SMALL = 4_000
"""A memory of more records is shown as it is, without its past."""
MOMENTS = 8


async def export_page(store: Store, path: Path, *, scope: str = "") -> int:
    """Write the page; the file appears under its name only when it is whole.

    Args:
        store: That is shown.
        path: The file; one that is there is replaced.
        scope: The scope that is shown; the one with most records if "".

    Returns:
        The size of the file in bytes.

    Raises:
        StoreError: The file cannot be written.
    """
    page = inlined(STATIC, await collect(store, scope)).encode()
    await asyncio.to_thread(_write, path, page)
    return len(page)


def _write(path: Path, page: bytes) -> None:
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(page)
            Path(name).replace(path)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(name)
            raise
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}.", path=str(path)) from error


async def collect(store: Store, scope: str = "") -> str:
    """All answers that a page needs, as JSON: see `Answers.text`."""
    inspector = Inspector(store, scope, live=False)
    grant = Grant(scope)
    reading = await inspector.reading(grant)
    answers = Answers()
    await _lists(inspector, reading, grant, answers)
    await _details(inspector, reading, grant, answers)
    return answers.text()


@dataclass(slots=True)
class Answers:
    """Answers by path and query, as the page asks for them.

    Attributes:
        texts: JSON of each, in which what is often repeated stands as a reference.
        shared: What is referred to.
        size: Characters of all.
    """

    texts: dict[str, str] = field(default_factory=dict)
    shared: list[str] = field(default_factory=list)
    size: int = 0
    _numbers: dict[str, int] = field(default_factory=dict)

    def put(self, key: str, model: BaseModel) -> None:
        """Keep an answer."""
        text = json.dumps(self._shorter(model.model_dump(mode="json")), ensure_ascii=False)
        self.texts[key] = text
        self.size += len(text) + len(key)

    @property
    def full(self) -> bool:
        """Whether the page is as large as it may become."""
        return self.size > MOST_BYTES

    def _shorter(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._shorter(one) for one in value]
        if not isinstance(value, dict):
            return value
        # What is shared stands as it is: the page looks for references in responses only. So an
        # object of the memory that looks like a reference is shared, and never taken for one.
        if _REF not in value and not any(fields <= value.keys() for fields in _REPEATED):
            return {name: self._shorter(one) for name, one in value.items()}
        text = json.dumps(value, ensure_ascii=False)
        if text not in self._numbers:
            self._numbers[text] = len(self.shared)
            self.shared.append(text)
            self.size += len(text)
        return {_REF: self._numbers[text]}

    def text(self) -> str:
        """`{"ref": name, "shared": [...], "responses": {path: text}}`.

        Each response is JSON in which `{ref: n}` stands for the n-th shared object.
        """
        responses = json.dumps(self.texts, ensure_ascii=False)
        return f'{{"ref":"{_REF}","shared":[{",".join(self.shared)}],"responses":{responses}}}'


_REPEATED = (frozenset({"tier", "cut", "text"}), frozenset({"src", "dst", "via", "weight"}))
"""Fields that tell a `Brief` and a `LinkOut`."""
_REF = "$record"


async def _lists(inspector: Inspector, reading: Reading, grant: Grant, answers: Answers) -> None:
    scope = reading.scope
    snapshot = await inspector.snapshots.at(scope)
    index = await inspector.receipts.of(scope)
    everything = GraphQuery(clusters="never", limit=MOST_NODES)
    # The page shows this scope alone, and names no other.
    counts = (await statistics_of(inspector, scope)).model_copy(update={"scopes": [scope]})
    meta = (await meta_of(inspector, grant)).model_copy(
        update={"scope": scope, "scopes": [scope], "statistics": counts}
    )
    answers.put("/api/meta", meta)
    answers.put("/api/statistics", counts)
    answers.put("/api/graph", graph_of(snapshot, everything, snapshot.position))
    answers.put(
        "/api/trials",
        await trials_page(reading, snapshot, index, GraphQuery(), skip=0, limit=LISTED),
    )
    answers.put(
        "/api/recalls",
        await inspector.receipts.page(scope, index.lines[::-1], await reading.view(), 0, LISTED),
    )
    people = await agents(reading, inspector.receipts)
    answers.put("/api/agents", people)
    for one in people.agents:
        query = "&".join(
            f"{name}={_quoted(value)}"
            for name, value in (("agent", one.agent), ("role", one.role), ("source", one.source))
            if value
        )
        detail = await agent_detail(
            reading, snapshot, inspector.receipts, one.role, one.agent, one.source
        )
        answers.put(f"/api/agent?{query}" if query else "/api/agent", detail)
    answers.put("/api/guard", await inbox(reading, grant, LISTED))
    page = await journal_page(
        reading, inspector.journals, after=None, before=None, limit=LISTED, actor="", record=""
    )
    answers.put("/api/journal", page)
    await _moments(inspector, reading, answers)
    answers.put("/api/learning", await inspector.learning_model(reading, 20))


async def _moments(inspector: Inspector, reading: Reading, answers: Answers) -> None:
    """The graph at some moments of the past, if it is small, for the slider."""
    snapshot = await inspector.snapshots.at(reading.scope)
    if len(snapshot.records) > SMALL:
        return
    line = await timeline(reading, inspector.journals, MOMENTS)
    answers.put("/api/timeline", line)
    everything = GraphQuery(clusters="never", limit=MOST_NODES)
    for moment in line.moments:
        position = moment.position
        if position < line.present:
            then = await inspector.snapshots.at(reading.scope, position)
            answers.put(f"/api/graph?at={position}", graph_of(then, everything, line.present))
        answers.put(
            f"/api/difference?start={position}",
            await difference(reading, inspector.journals, position, None),
        )


def _quoted(text: str) -> str:
    """As `encodeURIComponent` does it."""
    return quote(text, safe="!'()*-._~")


async def _details(inspector: Inspector, reading: Reading, grant: Grant, answers: Answers) -> None:
    """One record, recall and trial after the other, the most looked at first."""
    scope, receipts, journals = reading.scope, inspector.receipts, inspector.journals
    snapshot = await inspector.snapshots.at(scope)
    index = await receipts.of(scope)
    by_tier: Mapping[Tier, list[str]] = {
        tier: [id_ for id_, one in reversed(snapshot.records.items()) if one.tier is tier]
        for tier in Tier
    }
    effects = (await inspector.lift(scope)).effects

    async def one_record(id_: str) -> BaseModel:
        return await record_detail(reading, receipts, id_, effects.get(id_))

    async def one_trial(id_: str) -> BaseModel:
        return await trial_detail(reading, receipts, id_)

    async def one_recall(id_: str) -> BaseModel:
        return await replay(reading, id_)

    async def one_history(id_: str) -> BaseModel:
        return await versions(reading, journals, id_)

    async def one_suspect(id_: str) -> BaseModel:
        return await suspect(reading, journals, receipts, grant, id_)

    async def one_entry(position: str) -> BaseModel:
        return await entry_at(reading, int(position))

    async def one_revert(changeset: str) -> BaseModel:
        return await revert_of(reading, changeset, cascade=False)

    held = (await inbox(reading, grant, LISTED)).records
    newest = (await journals.of(scope)).entries[::-1][:ENTRIES]
    upper = [*by_tier[Tier.QUERY], *by_tier[Tier.INSIGHT]]
    for form, ids, make in (
        ("/api/guard/{}", [one.record.id for one in held], one_suspect),
        ("/api/trial/{}", by_tier[Tier.QUERY], one_trial),
        ("/api/recall/{}", [line.id for line in reversed(index.lines)], one_recall),
        ("/api/record/{}", upper, one_record),
        ("/api/record/{}/versions", upper, one_history),
        ("/api/journal/{}", [str(one.position) for one in newest], one_entry),
        ("/api/revert/{}", [one.id for one in newest if one.scope == scope][:REVERTS], one_revert),
        ("/api/record/{}", by_tier[Tier.INTERACTION][:STEPS], one_record),
    ):
        await _each(answers, form, ids, make)


async def _each(
    answers: Answers,
    form: str,
    ids: Iterable[str],
    make: Callable[[str], Awaitable[BaseModel]],
) -> None:
    for id_ in ids:
        if answers.full:
            return
        # Another process may have taken it away meanwhile.
        with suppress(TriforiumError):
            answers.put(form.format(_quoted(id_)), await make(id_))
