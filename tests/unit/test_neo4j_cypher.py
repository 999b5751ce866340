"""No part of a filter is forgotten where the Neo4j store makes a condition of it."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from triforium.graph import Filter, Status
from triforium.graph.neo4j import cypher

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ANY = Filter(statuses=frozenset(), tainted=None)
SET: dict[str, Any] = {
    "statuses": frozenset({Status.ARCHIVED}), "task_key": "k", "tainted": False,
    "valid_at": NOW, "since": NOW, "until": NOW,
}  # fmt: skip


def condition(where: Filter, *, quarantine: bool = True) -> str:
    return cypher.condition("f", where, historic=False, quarantine=quarantine)


def test_what_does_not_restrict_is_not_asked() -> None:
    assert condition(ANY) == "true"


@pytest.mark.parametrize("name", [field.name for field in fields(Filter)])
def test_every_part_restricts(name: str) -> None:
    text = condition(replace(ANY, **{name: SET.get(name, frozenset({"x"}))}))
    assert text != "true"
    assert name == "tainted" or f"$f.{name}" in text


def test_what_is_left_of_a_record_is_asked_once_something_was_in_quarantine() -> None:
    assert "COUNT" in condition(Filter())
    assert "COUNT" not in condition(Filter(), quarantine=False)
