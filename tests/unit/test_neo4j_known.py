"""What a process keeps of the records it has read from a server."""

from __future__ import annotations

from typing import Any

import pytest

from triforium.graph.neo4j import known
from triforium.graph.neo4j.cypher import COLUMNS
from triforium.graph.neo4j.known import Known
from triforium.graph.neo4j.read import near_links


def row(id_: str, touched: str, **fields: Any) -> list[Any]:
    values: dict[str, Any] = {
        "id": id_, "tier": "insight", "kind": "tip", "text": "be quick", "scope": "team",
        "task_key": "", "source": "ann", "role": "", "agent": "", "run": "", "trial": "",
        "step": -1, "data": "{}", "cluster": "", "summary": "", "added": 3, "revision": 1,
        "status": "active", "support": 0, "refuted": 0, "n": 0, "touched": touched,
    }  # fmt: skip
    values |= fields
    return [values.get(column.removeprefix("r.")) for column in COLUMNS.split(", ")]


def test_a_record_is_known_in_the_state_it_was_read_in() -> None:
    store = Known()
    assert store.find({"a": "t1"}) == ({}, ["a"])
    taken = store.take([(row("a", "t1"), [3.0, 4.0])])
    assert store.find({"a": "t1"}) == (taken, [])
    assert taken["a"].record.text == "be quick"
    assert taken["a"].order == (3, 0)
    assert taken["a"].vector.tolist() == [3.0, 4.0]
    # Somebody has changed it: what is kept says nothing any more.
    assert store.find({"a": "t2"}) == ({}, ["a"])
    later = store.take([(row("a", "t2", support=4), None)])
    assert later["a"].record.support == 4
    assert store.find({"a": "t2", "b": "t1"}) == (later, ["b"])


@pytest.mark.parametrize("part", ["text", "data", "summary"])
def test_what_is_long_or_too_many_is_not_kept(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    store = Known()
    long = store.take([(row("a", "t1", **{part: '{"x": 1}' + " " * known.LONGEST}), None)])
    assert long["a"].record.id == "a"
    assert store.find({"a": "t1"}) == ({}, ["a"])
    monkeypatch.setattr(known, "LARGEST", 2)
    taken = store.take([(row(id_, "t1"), None) for id_ in "bcd"])
    assert set(taken) == {"b", "c", "d"}, "what was asked for is given, whatever is kept"
    assert store.find(dict.fromkeys("bcd", "t1"))[1] == ["b", "c"]


def test_links_of_a_walk_are_told_once_and_in_order() -> None:
    rest = ["SIMILAR", "", 0.5, 7, None]
    found = near_links([[["a", [["b", True, *rest]]], ["b", [["a", False, *rest]]]], []])
    assert [(one.src, one.dst, one.added) for one in found] == [("a", "b", 7)]
    more = near_links([[["a", [["c", True, *rest], ["b", True, "SIMILAR", "", 0.5, 2, None]]]]])
    assert [(one.src, one.dst) for one in more] == [("a", "b"), ("a", "c")]
