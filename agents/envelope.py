"""`Envelope`: a message on the bus, and its form on the wire.

The names of the fields follow MQTT 5 (response topic, correlation data) and CloudEvents (id, type,
subject); `trace` is the W3C Trace Context header ``traceparent``.
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator

from ..errors import InvalidInput

VERSION: Literal[1] = 1
"""Version of the wire format that this release writes, and the only one that it reads."""

MAX_BYTES = 4 * 1024 * 1024
"""Bytes of one envelope on the wire. What is larger belongs into the store, with its id sent."""

EnvelopeType = Literal["request", "reply", "error", "event", "ack"]

_LEVEL = re.compile(r"[A-Za-z0-9_.~@:-]+")
_TRACE = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_LONGEST_SUBJECT = 1024


class Envelope(BaseModel):
    """One message. Everything in it is plain JSON; it is never changed after it was made.

    Attributes:
        id: Names the message. Sending it again keeps the id and raises `attempt`.
        type: "request" wants one "reply" or "error"; "event" wants nothing; "ack" says that a
            request has arrived and is being worked on.
        sender: Who sent it, as the sender says.
        subject: The address it goes to, such as ``team/agent``.
        correlation: The id of the request that this belongs to; for a request, its own.
        causation: The id of the message that this was caused by, or "".
        reply_to: The address that awaits the answer, or "".
        milliseconds_left: What is left until the sender stops waiting, when it was sent. The
            receiver measures it on its own clock, so clocks need not agree. None is no limit.
        attempt: 1 when it is sent first.
        idempotency_key: Requests with the same key are handled once; the id if "".
        trace: A W3C traceparent, or "".
        version: Of this format.
        payload: What it is about.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1, max_length=256)
    type: EnvelopeType
    sender: str = Field(max_length=256)
    subject: str
    correlation: str = Field(default="", max_length=256)
    causation: str = Field(default="", max_length=256)
    reply_to: str = ""
    milliseconds_left: int | None = Field(default=None, ge=0)
    attempt: int = Field(default=1, ge=1)
    idempotency_key: str = Field(default="", max_length=256)
    trace: str = ""
    version: Literal[1] = VERSION
    payload: JsonValue = None

    @field_validator("subject")
    @classmethod
    def _subject(cls, value: str) -> str:
        return check_address(value)

    @field_validator("reply_to")
    @classmethod
    def _reply_to(cls, value: str) -> str:
        return check_address(value) if value else value

    @field_validator("trace")
    @classmethod
    def _trace(cls, value: str) -> str:
        if value and not _TRACE.fullmatch(value):
            raise ValueError("not a W3C traceparent")
        return value

    def to_wire(self) -> bytes:
        """The envelope as UTF-8 JSON.

        Raises:
            InvalidInput: It is larger than `MAX_BYTES`, or a number in it is not finite.
        """
        try:
            data = json.dumps(
                dict(self), ensure_ascii=False, allow_nan=False, separators=(",", ":")
            ).encode("utf-8", "surrogatepass")
        except (ValueError, RecursionError) as error:
            raise InvalidInput(
                f"The payload of {self.id!r} to {self.subject!r} is not plain JSON: {error}",
                id=self.id,
                subject=self.subject,
            ) from error
        check_size(len(data), f"The message {self.id!r} to {self.subject!r}")
        return data

    @classmethod
    def from_wire(cls, data: bytes) -> Envelope:
        """Read what `to_wire` wrote.

        Raises:
            InvalidInput: It is too large, not JSON, of another version, or has unknown fields.
        """
        check_size(len(data), "A message that arrived")
        try:
            found = json.loads(data.decode("utf-8", "surrogatepass"), parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"A message that arrived is not JSON: {error}") from error
        if isinstance(found, dict) and found.get("version") != VERSION:
            raise InvalidInput(
                f"A message of version {found.get('version')!r} arrived; this release reads "
                f"version {VERSION}. Use releases on this bus that are at most one apart.",
                version=found.get("version"),
            )
        return make_envelope(found)


def make_envelope(fields: Any) -> Envelope:
    """An envelope of these fields.

    Raises:
        InvalidInput: They do not make one; the message names the first field that is wrong.
    """
    try:
        return Envelope.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"][:4]) or "the whole of it"
        raise InvalidInput(
            f"This is not a message for the bus: {where}: {first['msg']}.", field=where
        ) from None


def check_size(size: int, what: str) -> None:
    """Refuse what is larger than the wire allows.

    Raises:
        InvalidInput: `size`, in bytes, is above `MAX_BYTES`.
    """
    if size > MAX_BYTES:
        raise InvalidInput(
            f"{what} has {size:,} bytes; at most {MAX_BYTES:,} are carried. "
            "Put the content into the store and send its id.",
            size=size,
            limit=MAX_BYTES,
        )


def check_address(address: str) -> str:
    """`address`, if it can be sent to: levels of plain characters between slashes.

    Raises:
        InvalidInput: It cannot.
    """
    return _check(address, wildcards=False)


def check_pattern(pattern: str) -> str:
    """`pattern`, if it can be subscribed to.

    As in MQTT 5 (section 4.7) ``+`` stands for one level, and ``#`` at the end for any number of
    them, also none.

    Raises:
        InvalidInput: It cannot.
    """
    return _check(pattern, wildcards=True)


def matches(pattern: str, address: str) -> bool:
    """Whether a subscription to `pattern` receives what is sent to `address`."""
    wanted, given = pattern.split("/"), address.split("/")
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(given) or level not in ("+", given[index]):
            return False
    return len(wanted) == len(given)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def is_pattern(address: str) -> bool:
    """Whether there is a wildcard in it."""
    return "+" in address or "#" in address


def _check(address: str, *, wildcards: bool) -> str:
    levels = address.split("/")
    last = len(levels) - 1
    plain = all(
        _LEVEL.fullmatch(level)
        or (wildcards and (level == "+" or (level == "#" and index == last)))
        for index, level in enumerate(levels)
    )
    if not plain or len(address) > _LONGEST_SUBJECT:
        raise InvalidInput(
            f"{address[:80]!r} is not an address of the bus; it looks like 'team/agent'"
            + (", with + for any level and # for all that follow." if wildcards else "."),
            address=address,
        )
    return address
