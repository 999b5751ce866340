"""Envelopes, their form on the wire, and the rules of addresses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from triforium.agents.envelope import (
    MAX_BYTES,
    Envelope,
    check_address,
    check_pattern,
    make_envelope,
    matches,
)
from triforium.errors import InvalidInput

FIELDS: dict[str, Any] = {"id": "a", "type": "request", "sender": "me", "subject": "team/agent"}

plain_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(plain_json)
def test_round_trip(payload: Any) -> None:
    envelope = make_envelope({**FIELDS, "payload": payload, "milliseconds_left": 5})
    assert Envelope.from_wire(envelope.to_wire()) == envelope


def test_wire_is_json_with_a_version() -> None:
    found = json.loads(make_envelope(FIELDS).to_wire())
    assert found["version"] == 1
    assert set(found) == set(Envelope.model_fields)


def test_is_frozen() -> None:
    envelope = make_envelope(FIELDS)
    with pytest.raises(ValidationError):
        envelope.id = "b"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": ""}, "id"),
        ({"id": "x" * 300}, "id"),
        ({"type": "shout"}, "type"),
        ({"subject": "a//b"}, "not an address"),
        ({"reply_to": "+"}, "not an address"),
        ({"attempt": 0}, "attempt"),
        ({"milliseconds_left": -1}, "milliseconds_left"),
        ({"trace": "00-x"}, "traceparent"),
        ({"payload": {1, 2}}, "payload"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_bad_fields(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        make_envelope({**FIELDS, **change})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[1]", "not a message"),
        (b"{}", "version None"),
        (b'{"version": 2}', "version 2"),
        (b'{"version": 1}', "id"),
        (b'{"version": 1, "payload": NaN}', "NaN"),
        (b"[" * 100_000, "not JSON"),
        (b" " * (MAX_BYTES + 1), "bytes"),
    ],
)
def test_bad_wire(data: bytes, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        Envelope.from_wire(data)


def test_size_is_bounded_in_bytes_not_characters() -> None:
    make_envelope({**FIELDS, "payload": "x" * (MAX_BYTES - 1000)}).to_wire()
    with pytest.raises(InvalidInput, match="Put the content into the store"):
        make_envelope({**FIELDS, "payload": "ü" * (MAX_BYTES // 2)}).to_wire()


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_are_finite(number: float) -> None:
    with pytest.raises(InvalidInput, match="not plain JSON"):
        make_envelope({**FIELDS, "payload": [number]}).to_wire()


@pytest.mark.parametrize(
    ("pattern", "address", "matching"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/b/c", False),
        ("a/b/c", "a/b", False),
        ("a/+", "a/b", True),
        ("a/+", "a", False),
        ("+/+", "a/b", True),
        ("+", "a/b", False),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("a/#", "b", False),
        ("#", "a/b", True),
        ("a/+/c", "a/b/c", True),
        ("a/+/c", "a/b/d", False),
    ],
)
def test_matching(pattern: str, address: str, matching: bool) -> None:
    assert matches(check_pattern(pattern), check_address(address)) is matching


@pytest.mark.parametrize("address", ["", "/", "a/", "a b", "a/+", "#", "$SYS/x", "a\u0000", "é"])
def test_no_address(address: str) -> None:
    with pytest.raises(InvalidInput, match="team/agent"):
        check_address(address)
