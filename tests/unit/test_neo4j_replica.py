"""A replica believes an answer only as far as it is whole, whichever answer comes first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from triforium.graph import Hop, LinkType, Tier
from triforium.graph.neo4j import replica
from triforium.graph.neo4j.read import VISIBLE_FROM
from triforium.graph.neo4j.replica import Replicas, ServerReplica, Steps

TIMES = [f"2026-01-01T00:00:0{n}.000000+00:00" for n in range(10)]
DOWN = Hop(frozenset({LinkType.PART_OF}), "in", frozenset({Tier.INTERACTION}))


def row(id_: str, added: int, touched: int, text: str = "red mug") -> list[Any]:
    """A pair of columns and vector, as a server gives it."""
    columns: list[Any] = [None] * (VISIBLE_FROM + 1)
    columns[:6] = [id_, "insight", "rule", text, "org", ""]
    columns[6:13] = ["me", "", "", "", "", -1, "{}"]
    columns[16:24] = [None, "", "", added, None, TIMES[added], 1, "active"]
    columns[25:27] = [0, 0]
    columns[29] = 0
    columns[31:33] = [TIMES[touched], added]
    return [columns, [1.0, 0.0]]


def change(position: int, *, known: bool = True, whole: bool | None = True) -> list[Any]:
    return [position, TIMES[position], known, whole]


def answer(position: int, *changes: list[Any], **more: Any) -> dict[str, Any]:
    nothing: dict[str, Any] = {"touched": [], "records": [], "links": []}
    return (
        nothing
        | {
            "position": position,
            "embedder": "two/1",
            "width": 2,
            "moment": TIMES[1],
            "changes": changes,
        }
        | more
    )


@pytest.fixture
def kept() -> ServerReplica:
    one = ServerReplica(["org"], "two/1", 2)
    one.take([row("a", 1, 1)], ())
    one.position = 1
    one.moments[1] = TIMES[1]
    return one


def text_of(one: ServerReplica, id_: str) -> str:
    return one.entries[one.numbers[id_]].record.text


def test_it_goes_as_far_as_all_can_be_seen(kept: ServerReplica) -> None:
    records = [row("b", 2, 2)]
    partly = answer(4, change(2), change(3, whole=False), change(4), records=records)
    assert kept.catch_up(1, partly) == 2
    early = answer(4, change(3, whole=False), change(4), moment=TIMES[2], records=[row("d", 4, 4)])
    assert kept.catch_up(2, early) == 2
    assert "d" not in kept.numbers
    gap = answer(5, change(4), change(5), moment=TIMES[2])
    assert kept.catch_up(2, gap) == 2
    assert kept.catch_up(2, answer(3, change(3), moment=TIMES[2])) == 3
    assert set(kept.numbers) == {"a", "b"}


def test_the_position_of_the_head_is_no_promise(kept: ServerReplica) -> None:
    assert kept.catch_up(1, answer(2)) == 1
    assert kept.position == 1


@pytest.mark.parametrize(
    "found",
    [
        answer(2, change(2, known=False, whole=None)),
        answer(2, change(2), moment=TIMES[9]),
        answer(0, moment=None),
        answer(9, embedder="other/1"),
        answer(2 + replica.MOST, change(2)),
    ],
    ids=["unknown", "another changeset", "emptied", "another embedder", "too much"],
)
def test_it_begins_anew(kept: ServerReplica, found: dict[str, Any]) -> None:
    assert kept.catch_up(1, found) is None


def test_an_older_answer_takes_nothing_back(kept: ServerReplica) -> None:
    newer = answer(3, change(2), change(3), records=[row("a", 1, 3, "blue mug")])
    older = answer(2, change(2), records=[row("a", 1, 2, "green mug")])
    assert kept.catch_up(1, newer) == 3
    assert kept.catch_up(1, older) == 2
    assert (kept.position, text_of(kept, "a")) == (3, "blue mug")
    # One that reaches further may have been read before.
    further = answer(4, change(2), change(3), change(4),
                     records=[row("a", 1, 2, "green mug"), row("b", 4, 4)])  # fmt: skip
    assert kept.catch_up(1, further) == 4
    assert text_of(kept, "a") == "blue mug"
    assert set(kept.numbers) == {"a", "b"}


def test_that_a_link_ended_may_be_read_before_that_it_began(kept: ServerReplica) -> None:
    kept.take([row("b", 2, 2)], [("a", "b", "SIMILAR", "", 0.5, 2, 3)])
    kept.take(
        (), [("a", "b", "SIMILAR", "", 0.5, 2, None), ("a", "c", "SIMILAR", "", 0.5, 2, None)]
    )
    shelf = kept.out[kept.numbers["a"], LinkType.SIMILAR]
    assert [link[-1].expired for link in shelf.rows] == [3]


def test_a_vector_of_another_width_is_left_out(kept: ServerReplica) -> None:
    kept.take([[row("b", 2, 2)[0], [1.0, 0.0, 0.0]]], ())
    assert set(kept.numbers) == {"a", "b"}
    assert len(kept.index.cosines([0, 1], np.ones((1, 2), np.float32))[1]) == 0


def test_steps_are_not_kept_once_their_trial_was_touched() -> None:
    steps = Steps()
    steps.keep("t", DOWN, (), 5)
    assert steps.of("t", DOWN) == ()
    steps.forget("t", 7)
    assert steps.of("t", DOWN) is None
    steps.keep("t", DOWN, (), 6)
    assert steps.of("t", DOWN) is None, "asked before"
    steps.keep("t", DOWN, (), 7)
    assert steps.of("t", DOWN) == ()


def test_steps_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica, "_STEPS", 2)
    steps = Steps()
    one: Any = (None, None)
    for name in "abc":
        steps.keep(name, DOWN, [one, one], 1)
    assert list(steps.held) == ["c"]
    for number in range(4):
        steps.forget(f"t{number}", number)
    assert len(steps.touched) <= 3
    steps.keep("t0", DOWN, (), 1)
    assert steps.of("t0", DOWN) is None, "what was touched until then is not known"


class Answering:
    """A server that says that nothing has changed."""

    def __init__(self) -> None:
        self.asked = 0

    def check_open(self) -> None:
        pass

    async def read(self, query: str, **parameters: Any) -> Any:
        self.asked += 1
        return answer(1)


async def test_the_server_is_asked_again_unless_that_was_just_done(
    kept: ServerReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    server: Any = Answering()
    replicas = Replicas(server, 10)
    monkeypatch.setattr(replica, "FRESH_SECONDS", 60.0)
    for asked in (1, 2):
        assert await replicas.freshen(kept, 1)
        assert await replicas.freshen(kept, 1)
        assert server.asked == asked, "just done"
        replicas.written += 1
    monkeypatch.setattr(replica, "FRESH_SECONDS", 0.0)
    assert await replicas.freshen(kept, 1)
    assert server.asked == 3
    monkeypatch.setattr(replica, "FRESH_SECONDS", 60.0)
    await replicas.freshen(kept, 2)
    assert server.asked == 4, "the View is ahead of it"


async def test_one_that_grew_too_large_is_given_up(kept: ServerReplica) -> None:
    server: Any = Answering()
    replicas = Replicas(server, 0)
    assert not await replicas.freshen(kept, 1)
    assert await replicas.load(("org",)) is None
