"""Deterministic ids: the same parts always give the same id, on every machine."""

from __future__ import annotations

import hashlib
import json.encoder
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"


def canonical(value: JSON) -> str:
    """`value` as JSON text with sorted keys and no spaces, equal for equal values."""
    return "".join(_encode(value, 0))


def _encoder() -> Callable[[Any, int], Iterable[str]]:
    """What `json.dumps` makes anew for every call, which takes longer than a short value does."""
    plain = json.JSONEncoder(
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        allow_nan=False,
        check_circular=False,
    )
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return lambda value, _: plain.iterencode(value)
    text = json.encoder.encode_basestring
    encode: Callable[[Any, int], Iterable[str]] = make(
        None, plain.default, text, None, ":", ",", True, False, False
    )
    return encode


_encode = _encoder()


quoted: Callable[[str], str] = json.encoder.encode_basestring
"""A text as `canonical` writes it, in its quotation marks."""


def digest(*parts: JSON) -> str:
    """128 bits of BLAKE2b over the canonical JSON of `parts`, as 32 hexadecimal digits."""
    return digest_of_text(canonical(parts))


def digest_of_text(text: str) -> str:
    """The `digest` of parts whose canonical JSON, as one list, is at hand."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
