"""The journal's text of operations is that of their plain JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triforium.graph import Add, AddLink, Link, LinkType, Op, Provenance, Record, Tier
from triforium.graph.changes import Patch, op_to_json, ops_to_text
from triforium.graph.ids import canonical, digest, digest_of_text

TEXT = st.text(max_size=12)
MOMENT = st.none() | st.datetimes(timezones=st.none() | st.timezones())
PLAIN: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
RECORDS = st.builds(
    Record,
    id=TEXT,
    tier=st.sampled_from(Tier),
    kind=TEXT,
    text=TEXT,
    scope=TEXT,
    task_key=TEXT,
    provenance=st.builds(Provenance, TEXT, TEXT, TEXT, TEXT, TEXT, st.integers() | st.booleans()),
    data=st.dictionaries(TEXT, PLAIN, max_size=3),
    valid_from=MOMENT,
    valid_to=MOMENT,
    keys=st.lists(TEXT, max_size=3).map(tuple),
    confidence=st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    cluster=TEXT,
    summary=TEXT,
)
LINKS = st.builds(
    Link,
    src=TEXT,
    dst=TEXT,
    type=st.sampled_from(LinkType),
    via=TEXT,
    weight=st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.booleans(),
)
PATCHES = st.builds(Patch, TEXT, st.integers(), st.just({"summary": "short"}))
OPS: st.SearchStrategy[list[Op]] = st.lists(
    RECORDS.map(Add) | LINKS.map(AddLink) | PATCHES, max_size=5
)


@given(ops=OPS)
def test_text_of_operations(ops: list[Op]) -> None:
    assert ops_to_text(ops) == canonical([op_to_json(op) for op in ops])


@given(ops=OPS, scope=TEXT)
def test_digest_of_a_text_at_hand(ops: list[Op], scope: str) -> None:
    plain = [op_to_json(op) for op in ops]
    assert digest(scope, plain) == digest_of_text(f"[{canonical(scope)},{ops_to_text(ops)}]")


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        ops_to_text([AddLink(Link(src="a", dst="b", type=LinkType.NEXT, weight=weight))])


@given(value=PLAIN | TEXT)
def test_canonical_is_what_json_dumps_gives(value: Any) -> None:
    import json

    dumped = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    assert canonical(value) == dumped


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, object(), datetime.max])
def test_canonical_refuses_what_is_no_json(value: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        canonical(value)
    with pytest.raises((ValueError, TypeError)):
        canonical([value])
