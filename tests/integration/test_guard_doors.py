"""What a member of a team, or a stranger, must not do to a guarded memory through `Memory`."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from triforium.errors import InvalidInput, NotAdmitted, NotAllowed
from triforium.graph import (
    Add,
    AddCredit,
    AddLink,
    Changeset,
    Close,
    Expire,
    Link,
    LinkType,
    Op,
    Outcome,
    Patch,
    Record,
    Restore,
    Revive,
    SetStatus,
    Status,
    Supersede,
    Tier,
    Unlink,
)
from triforium.graph.application import frozen_id
from triforium.memory import Memory
from triforium.memory.guard import Admission, AdmissionPolicy, admission, notify
from triforium.memory.guard.notify import Notifier, QuarantineEvent, check_webhook
from triforium.memory.guard.redaction import MAX_DEPTH, redact

SECRETS = "card 4111 1111 1111 1111 of bob@x.org"


def tip(id_: str, scope: str = "team", text: str = "be quick") -> Record:
    return Record(id=id_, tier=Tier.INSIGHT, kind="tip", text=text, scope=scope)


@pytest_asyncio.fixture
async def ann(tmp_path: Path) -> AsyncIterator[Memory]:
    url = f"sqlite:///{tmp_path}/m.db"
    async with Memory.open(
        url, scope="team", source="ann", embedder=None, guard="consensus"
    ) as opened:
        yield opened


@pytest.fixture
def eve(ann: Memory) -> Memory:
    return Memory(
        ann.store, scope="team", source="eve", embedder=None, guard="consensus", access="viewer"
    )


async def get(memory: Memory, id_: str) -> Record:
    return (await (await memory.view()).get([id_]))[id_]


# --- frozen scopes --------------------------------------------------------------------------------


async def test_a_stranger_freezes_nobody(ann: Memory) -> None:
    """Neither through the door nor past it, where the id of the marker can be taken."""
    evil = ann.scoped("evil", source="eve")
    marker = tip(frozen_id("team"), scope="evil")
    with pytest.raises(InvalidInput, match="keeps a scope frozen"):
        await evil.write([Add(marker)], reason="")
    await ann.store.apply(Changeset(id="past the door", scope="evil", ops=(Add(marker),)))
    await ann.write([Add(tip("i"))], reason="")
    assert await ann.frozen() == ""


async def test_a_member_freezes_and_unfreezes_nothing(ann: Memory, eve: Memory) -> None:
    id_ = frozen_id("team")
    with pytest.raises(InvalidInput):
        await eve.write([Add(tip(id_))], reason="")
    await ann.freeze()
    for op in (Expire(id_, 1), Patch(id_, 1, {"summary": "x"}), Supersede(id_, 1, id_)):
        with pytest.raises(InvalidInput):
            await eve.write([op], reason="")
    assert await ann.frozen() == "team"


# --- what others wrote ----------------------------------------------------------------------------

Ops = Callable[[], list[Op]]
ON_OTHERS: dict[str, Ops] = {
    "patch": lambda: [Patch("hers", 1, {"summary": "throw it away"})],
    "supersede": lambda: [Supersede("hers", 1, "mine")],
    "expire": lambda: [Expire("hers", 1)],
    "restore": lambda: [Restore("hers", 1, {"summary": "x"})],
    "revive": lambda: [Revive("gone")],
    "unlink": lambda: [Unlink("mine", "hers", LinkType.SIMILAR)],
    "taint": lambda: [AddLink(Link(src="mine", dst="hers", type=LinkType.LED_TO))],
    "support": lambda: [AddLink(Link(src="mine", dst="hers", type=LinkType.SUPPORTS))],
    "refute": lambda: [AddLink(Link(src="mine", dst="hers", type=LinkType.REFUTES))],
    "votes": lambda: [AddLink(Link(src="hers", dst="mine", type=LinkType.DERIVED_FROM))],
    "written again": lambda: [Add(tip("hers")), Patch("hers", 1, {"summary": "x"})],
}


@pytest.mark.parametrize("name", ON_OTHERS)
async def test_others_are_not_changed(ann: Memory, eve: Memory, name: str) -> None:
    await ann.write([Add(tip("hers")), Add(tip("gone"))], reason="")
    await ann.write([Expire("gone", 1)], reason="")
    similar = Link(src="mine", dst="hers", type=LinkType.SIMILAR)
    await eve.write([Add(tip("mine")), AddLink(similar)], reason="")
    before = [row async for row in ann.store.dump("")]
    # A curator is no exception.
    curator = Memory(ann.store, scope="team", source="eve", embedder=None, guard="consensus")
    for door in (eve, curator):
        with pytest.raises(NotAdmitted) as caught:
            await door.write(ON_OTHERS[name](), reason="")
        assert caught.value.facts["rule"] == "own"
        assert caught.value.facts["reason"]
    assert [row async for row in ann.store.dump("")] == before


async def test_what_one_wrote_is_ones_own(ann: Memory, eve: Memory) -> None:
    await ann.write([Add(tip("hers"))], reason="")
    await eve.write([Add(tip("mine")), Patch("mine", 1, {"summary": "new"})], reason="")
    await eve.write(
        [
            Patch("mine", 2, {"summary": "newer"}),
            AddLink(Link(src="mine", dst="hers", type=LinkType.DERIVED_FROM)),
            AddLink(Link(src="hers", dst="mine", type=LinkType.SUPPORTS)),
            AddCredit("hers", "solver", "receipt", uses=1.0),
            Add(tip("next")),
            AddLink(Link(src="mine", dst="next", type=LinkType.LED_TO)),
        ],
        reason="",
    )
    assert (await get(ann, "mine")).summary == "newer"


async def test_another_ends_no_trial(ann: Memory, eve: Memory) -> None:
    trial = await ann.begin("heat an egg", run="r")
    with pytest.raises(NotAdmitted):
        await eve.write([Close(trial.id, 1, Outcome.success())], reason="")


async def test_a_status_is_a_curators(ann: Memory, eve: Memory) -> None:
    await eve.write([Add(tip("mine")), Add(tip("other"))], reason="")
    await ann.quarantine(["mine"], reason="odd")
    revision = (await get(ann, "mine")).revision
    bare = Memory(ann.store, scope="team", source="eve", embedder=None, access="viewer")
    for op in (
        SetStatus("mine", revision, Status.ACTIVE),
        Restore("mine", revision, {"status": "active", "hold": None}),
    ):
        for viewer in (eve, bare):
            with pytest.raises(NotAllowed):
                await viewer.write([op], reason="")
    for change in (Supersede("mine", revision, "other"), Expire("mine", revision)):
        with pytest.raises(NotAllowed):
            await eve.write([change], reason="")
    assert (await get(ann, "mine")).status is Status.QUARANTINED
    await ann.write([SetStatus("mine", revision, Status.ACTIVE)], reason="by a curator")
    assert (await get(ann, "mine")).status is Status.ACTIVE


# --- what is said about a decision ----------------------------------------------------------------


async def test_reasons_are_redacted_and_nobody_is_feigned(ann: Memory) -> None:
    events: list[QuarantineEvent] = []
    ann.on_quarantine(events.append)
    await ann.write([Add(tip("i"))], reason="")
    await ann.quarantine(["i"], reason=SECRETS)
    await ann.confirm("i", reason=SECRETS)
    await ann.release("i", reason=SECRETS)
    await ann.freeze(reason=SECRETS)
    await ann.unfreeze(reason=SECRETS)
    kept = json.dumps([row async for row in ann.store.dump("")])
    kept += repr(await ann.journal()) + repr(events)
    assert "bob@x.org" not in kept
    assert "1111 1111" not in kept
    assert "11111111" not in kept  # nor without its spaces; fewer digits may stand in an id
    assert kept.count("[redacted card number]") > 5
    assert (await get(ann, frozen_id("team"))).provenance.source == "ann"
    for name in ("apply", "learnt"):
        assert not hasattr(ann, name)


# --- what is too large ----------------------------------------------------------------------------


async def test_deep_data_is_refused_like_other_data(ann: Memory) -> None:
    deep: dict[str, object] = {}
    for _ in range(20_000):
        deep = {"a": deep}
    refused = await ann.begin("heat an egg", run="r1", data={"x": deep})
    assert "not admitted (schema)" in refused.refused
    trial = await ann.begin("heat an egg", run="r2")
    id_ = await ann.observe(trial, "hot", action="heat egg", data={"x": deep})
    view = await ann.view(run="r2")
    assert (await view.get([id_]))[id_].data["refused"] == "schema"
    await ann.write([Add(tip("i"))], reason="")
    with pytest.raises(NotAdmitted, match=str(MAX_DEPTH)):
        await ann.write([Patch("i", 1, {"summary": deep})], reason="")


async def test_what_is_too_long_is_not_looked_through(
    ann: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []

    def looking(text: str) -> str:
        looked.append(text)
        return redact(text)

    monkeypatch.setattr(admission, "redact", looking)
    rules = Admission(AdmissionPolicy(max_text=1000))
    strict = Memory(ann.store, scope="team", embedder=None, admission=rules)
    text = "a" * 980 + " me@x.org" * 20
    assert "not admitted (size)" in (await strict.begin(text, run="r1")).refused
    trial = await strict.begin("heat an egg", run="r2")
    id_ = await strict.observe(trial, text)
    assert (await (await strict.view(run="r2")).get([id_]))[id_].data["refused"] == "size"
    # What is no record is cut.
    await strict.commit(trial, Outcome.failure(text, judge="person"))
    outcome = (await get(strict, trial.id)).outcome
    assert outcome is not None
    assert outcome.reason.startswith("aaa")
    assert "@" not in outcome.reason
    # Cut, and looked at once more when it is written, then with what the first look put in.
    assert max(map(len, looked)) < len(text)


# --- the webhook ----------------------------------------------------------------------------------


@pytest.fixture
def dripping() -> Iterator[str]:
    """A server whose answer never ends, though some of it comes ten times a second."""
    ended = threading.Event()
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            while not ended.wait(0.1):
                try:
                    connection.sendall(b"H")
                except OSError:
                    return

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}/x"
    ended.set()
    thread.join()
    server.close()


def test_a_delivery_has_a_time(dripping: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "TIMEOUT", 0.5)
    notifier = Notifier(dripping)
    started = time.monotonic()
    notifier.tell([QuarantineEvent(record="r", scope="s", source="e", what="released", reason="")])
    notifier.close(20.0)
    assert time.monotonic() - started < 10.0
    assert (notifier.delivered, notifier.failed) == (0, 1)


@pytest.mark.parametrize("url", ["http://[x", "http://x:99999/", "http:///x", "ftp://x/y"])
def test_what_is_no_webhook(url: str) -> None:
    with pytest.raises(InvalidInput, match="https://host/path"):
        check_webhook(url)
