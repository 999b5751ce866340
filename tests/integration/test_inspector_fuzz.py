"""The API of the inspector under requests drawn from its own description: it never fails."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from triforium.graph import Outcome, SetStatus, Status, Tier
from triforium.graph.sqlite import open_sqlite
from triforium.inspector.access import Grant
from triforium.inspector.server import Settings, create_app, listen
from triforium.memory import Memory

TOKEN = "a-token-that-is-long-enough"
EXAMPLES = 8


@dataclass(frozen=True)
class Served:
    url: str
    known: dict[str, list[str]]
    schema: Any


async def _fill(memory: Memory) -> dict[str, list[str]]:
    """A small memory, and the ids in it by the name of the path's parameter."""
    for number in range(4):
        trial = await memory.begin(f"put mug {number} on shelf 1", run=f"r{number}")
        await memory.recall(trial.task, trial=trial, role="solver")
        await memory.observe(trial, "mug 1 is here.", action="walk to shelf 1", role="solver")
        await memory.observe(trial, "Done.", action="put mug 1 on shelf 1", role="solver")
        outcome = Outcome.success() if number % 2 else Outcome.failure()
        await memory.commit(trial, outcome)
    view = await memory.view()
    found = await view.recent(tiers=frozenset(Tier), k=1000)
    held = next(one for one in found if one.tier is Tier.INSIGHT)
    await memory.write([SetStatus(held.id, held.revision, Status.QUARANTINED, "odd")], reason="g")
    receipts = await memory.store.receipts(memory.scope)
    journal = await memory.journal()
    return {
        "id": [held.id, *(one.id for one in found)],
        "receipt": [one.id for one in receipts],
        "changeset": [one.changeset.id for one in journal],
        "position": [str(one.position) for one in journal],
    }


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    path = tmp_path_factory.mktemp("fuzz") / "memory.db"
    listening = listen("127.0.0.1", 0)
    ready = threading.Event()
    known: dict[str, list[str]] = {}
    running: list[uvicorn.Server] = []

    async def run(path: Path) -> None:
        store = await open_sqlite(f"sqlite:///{path}")
        known.update(await _fill(Memory(store, scope="acme/red", embedder=None)))
        app = create_app(store, Settings(tokens={TOKEN: Grant("acme/red", True)}))
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", ws="none"))
        running.append(server)
        ready.set()
        await server.serve(sockets=[listening])
        await store.close()

    thread = threading.Thread(target=lambda: asyncio.run(run(path)))
    thread.start()
    assert ready.wait(60)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    headers = {"authorization": f"Bearer {TOKEN}"}
    try:
        schema = schemathesis.openapi.from_url(
            f"{url}/api/openapi.json", headers=headers, wait_for_schema=20
        )
        yield Served(url, known, schema)
    finally:
        running[0].should_exit = True
        thread.join(20)
        listening.close()


def _operations(served: Served) -> list[Any]:
    found = [result.ok() for result in served.schema.get_all_operations()]
    # A stream has no end; it is tested by itself.
    return [one for one in found if one.path != "/api/events"]


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.timeout(600)
def test_no_request_makes_it_fail(served: Served, mode: GenerationMode) -> None:
    operations = _operations(served)
    assert len(operations) >= 24
    seen: set[int] = set()
    for operation in operations:
        strategy = operation.as_strategy(generation_mode=mode)

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=strategy, data=st.data())
        def ask(case: Any, data: st.DataObject) -> None:
            for name in case.path_parameters or {}:
                if data.draw(st.booleans()):
                    case.path_parameters[name] = data.draw(st.sampled_from(served.known[name]))
            response = case.call(
                base_url=served.url, headers={"authorization": f"Bearer {TOKEN}"}, timeout=20
            )
            seen.add(response.status_code)
            case.validate_response(
                response, checks=[not_a_server_error, response_schema_conformance]
            )
            assert response.status_code < 500
            if response.status_code >= 400:
                assert response.json()["error"]["message"]

        # An operation without parameters cannot be asked wrongly.
        with suppress(Unsatisfiable):
            ask()
    assert (200 if mode is GenerationMode.POSITIVE else 422) in seen
