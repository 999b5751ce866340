"""Records, changesets, scopes and terms."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triforium.errors import InvalidInput, InvalidScope
from triforium.graph import (
    Add,
    AddCredit,
    AddLink,
    Changeset,
    Close,
    Credit,
    Link,
    LinkType,
    Op,
    Outcome,
    Patch,
    Provenance,
    Record,
    SetStatus,
    Status,
    Supersede,
    Tier,
    Unlink,
    check_scope,
    digest,
    similar,
    terms,
    visible_scopes,
)
from triforium.graph.changes import op_from_json, op_to_json

RECORD = Record(
    id="a", tier=Tier.INSIGHT, kind="fact", text="text", scope="team", task_key="k",
    provenance=Provenance("s", "r", "a", "u", "t", 2), data={"x": [1, None]},
    valid_from=datetime(2026, 1, 1, tzinfo=UTC), keys=("one",), confidence=0.5,
)  # fmt: skip
OPS: list[Op] = [
    Add(RECORD),
    AddLink(Link(src="a", dst="b", type=LinkType.LED_TO, via="r", weight=0.5)),
    Unlink("a", "b", LinkType.NEXT, "r"),
    Patch("a", 1, {"keys": ("x",), "confidence": None}),
    Close("a", 1, Outcome.score(0.5, "why", judge="me")),
    Supersede("a", 1, "b"),
    AddCredit("a", "solver", "r", 1, 0.5, 0),
    SetStatus("a", 1, Status.QUARANTINED, "odd"),
]


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.op)
def test_ops_as_json(op: Op) -> None:
    again = op_from_json(op_to_json(op))
    assert op_to_json(again) == op_to_json(op)
    assert type(again) is type(op)


def test_unknown_op() -> None:
    with pytest.raises(InvalidInput, match="ERASE"):
        op_from_json({"op": "ERASE"})


def test_patch_takes_derived_fields_alone() -> None:
    with pytest.raises(InvalidInput, match="text"):
        Patch("a", 1, {"text": "other"})


def test_content_hash_leaves_out_what_may_change() -> None:
    moved = RECORD.valid_from
    assert moved is not None
    elsewhere = moved.astimezone(timezone(timedelta(hours=2)))
    same = [
        replace(RECORD, keys=(), confidence=None, provenance=Provenance(), revision=7),
        replace(RECORD, valid_from=elsewhere),
    ]
    other = [
        replace(RECORD, text="other"),
        replace(RECORD, scope="other"),
        replace(RECORD, data={}),
        replace(RECORD, valid_to=moved),
    ]
    assert {record.content_hash() for record in same} == {RECORD.content_hash()}
    assert RECORD.content_hash() not in {record.content_hash() for record in other}


def test_changeset_hash_is_of_scope_and_ops() -> None:
    one = Changeset(id="1", scope="team", ops=tuple(OPS))
    assert one.content_hash() == replace(one, id="2", actor="x", base=3).content_hash()
    assert one.content_hash() != replace(one, ops=tuple(OPS[:-1])).content_hash()
    assert one.content_hash() != replace(one, scope="other").content_hash()


def test_digest_tells_parts_apart() -> None:
    assert digest("a", "b") == digest("a", "b")
    assert len({digest("a", "b"), digest("ab"), digest(["a", "b"]), digest("b", "a")}) == 4


@pytest.mark.parametrize(
    "scope", ["", "/", "a/", "/a", "a//b", "a b", ".a", "ä", "a\n", "x" * 65, "/".join("a" * 9)]
)
def test_wrong_scopes(scope: str) -> None:
    with pytest.raises(InvalidScope):
        check_scope(scope)


def test_visible_scopes() -> None:
    assert visible_scopes("org/team/me") == ("org/team/me", "org/team", "org")


def test_similar_has_one_direction() -> None:
    assert similar("b", "a", 0.5) == similar("a", "b", 0.5)


def test_outcome() -> None:
    for outcome in (
        Outcome.success(),
        Outcome.failure("no"),
        Outcome.score(0.3),
        Outcome.unknown(),
    ):
        assert Outcome.from_json(outcome.to_json()) == outcome
    for value in (-0.1, 1.1, float("nan")):
        with pytest.raises(InvalidInput):
            Outcome.score(value)
    judged = [Outcome.success(), Outcome.failure(), Outcome.score(0.5), Outcome.unknown()]
    assert [outcome.succeeded for outcome in judged] == [True, False, True, None]


def test_total_credit() -> None:
    record = replace(RECORD, credit={"a": Credit(1, 1, 0), "b": Credit(2, 0, 0.5)})
    assert record.total_credit() == Credit(3, 1, 0.5)


def test_a_record_is_attributed_to_a_source_and_otherwise_the_same() -> None:
    record = replace(RECORD, keys=("a",), credit={"a": Credit(1, 1, 0)}, revision=3)
    provenance = replace(record.provenance, source="somebody")
    assert record.attributed("somebody") == replace(record, provenance=provenance)
    assert record.provenance == RECORD.provenance


def test_terms() -> None:
    assert terms("Straße, x_1 -- ÉTÉ!") == ["strasse", "x_1", "été"]
    assert terms("a" * 100) == ["a" * 64]


@settings(derandomize=True)
@given(st.text())
def test_terms_are_their_own_terms(text: str) -> None:
    found = terms(text)
    assert all(0 < len(term) <= 64 for term in found)
    assert [term for one in found for term in terms(one)] == found
