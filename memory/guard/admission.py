"""What may enter the memory: every refusal names its rule and says why. All state is bounded.

The rules need no model. They stop what is cheap to recognise; poison that looks like honest
experience is the jury's work when it is recalled.
"""

from __future__ import annotations

import re
import time
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from typing import Any

from ...errors import NotAdmitted
from ...graph import (
    Add,
    Changeset,
    Close,
    Op,
    Patch,
    Record,
    SetStatus,
    Tier,
    canonical,
    digest,
)
from .lessons import forged_lessons
from .redaction import MAX_DEPTH, redact, redact_json, too_deep

SOURCES = 1024
"""Sources that are remembered, those seen last."""
RUNS = 256
"""Runs whose recalls are remembered, those seen last."""
TEXTS = 64
"""Recalled texts of a run that are remembered."""
LAST = 4
"""Runs whose recalls are looked through for what names no run, those seen last."""
_SHINGLE = 5
_HIDDEN = re.compile("[\u00ad\u200b-\u200f\u2060-\u2064\ufeff]+")
"""What is not to be seen between letters."""
_INSTRUCTIONS = re.compile(
    r"""(?ix)
    \b(?:ignore|disregard|forget|override)\s(?:\w+\s){0,3}?
        (?:previous|prior|above|earlier|preceding|your|all|any|system)\s(?:\w+\s){0,3}?
        (?:instructions?|prompts?|rules|guidelines|directions|messages)\b
    | \b(?:reveal|print|repeat|show|leak)\s(?:\w+\s){0,3}?(?:system|hidden|initial)\sprompt\b
    | \byou\sare\s(?:now|no\slonger)\s(?:an?|the|in|bound|dan)\b
    | \b(?:new|updated|real)\s(?:system\s)?instructions?\s?:
    | <\|(?:im_start|im_end|system|endoftext)[^|]{0,20}\|> | \[/?INST\] | <</?SYS>>
    | ^\s{0,3}(?:\#{1,6}\s{0,2})?(?:system|developer)\s?(?:prompt|message)?\s?:\s?you\b
    | \bdo\snot\s(?:tell|inform|alert|mention\s(?:this|it)\sto)\s
        (?:the\s)?(?:user|human|operator)s?\b
    """,
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionPolicy:
    """What is admitted.

    Attributes:
        max_text: Characters of a record's text.
        max_data: Bytes of a record's structured data as JSON.
        max_keys: Extra index terms of a record.
        instructions: Whether text that speaks to a model rather than about a task is refused.
        echo: A text with so large a share of its runs of five words from what was just recalled
            is refused as an echo, if it has at least `echo_words` words. Actions and what came of
            them are no echo, however often they happen.
        echo_words: See `echo`.
        rate: Records that a source may add in a minute; as many may come at once.
        repeats: How often a source may write one text under different ids; trials and steps do
            not count.
        redact: Whether secrets and personal data are taken out before anything is stored.
    """

    max_text: int = 1_000_000
    max_data: int = 1_000_000
    max_keys: int = 256
    instructions: bool = True
    echo: float = 0.95
    echo_words: int = 20
    rate: int = 60_000
    repeats: int = 16
    redact: bool = True


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something is not admitted.

    Attributes:
        rule: Its name: "schema", "size", "provenance", "lesson", "instructions", "echo", "rate" or
            "novelty".
        reason: A sentence for people, without the text it is about.
        record: The id of the record.
    """

    rule: str
    reason: str
    record: str = ""

    def error(self) -> NotAdmitted:
        """The refusal as an error."""
        about = f"The record {self.record[:80]!r} is" if self.record else "This is"
        return NotAdmitted(
            f"{about} not admitted ({self.rule}): {self.reason}",
            rule=self.rule,
            reason=self.reason,
            record=self.record,
        )


@dataclass(slots=True)
class _Source:
    """What is remembered of a source: how much it may add now, and what it wrote."""

    left: float
    at: float
    texts: OrderedDict[str, set[str]] = field(default_factory=OrderedDict)


class Admission:
    """Judges what is to be written. Nothing it does waits for anything.

    Args:
        policy: What is admitted.
        clock: Seconds that only go up.
    """

    def __init__(
        self,
        policy: AdmissionPolicy | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.policy = policy or AdmissionPolicy()
        self._clock = clock
        self._sources: OrderedDict[str, _Source] = OrderedDict()
        self._recalled: OrderedDict[str, OrderedDict[str, str]] = OrderedDict()

    # --- redaction ----------------------------------------------------------------------------

    def too_long(self, text: str) -> bool:
        """Whether no record may have so long a text."""
        return len(text) > self.policy.max_text

    def clean(self, text: str) -> str:
        """The text as it may be stored, cut where a record's would be too long."""
        return redact(text[: self.policy.max_text]) if self.policy.redact else text

    def clean_op(self, op: Op) -> Op:
        """An operation as it may be stored."""
        if not self.policy.redact:
            return op
        match op:
            case Add(record):
                return Add(self._clean_record(record))
            case Patch(_, _, fields):
                return replace(op, fields=redact_json(fields))
            case Close(_, _, outcome):
                return replace(op, outcome=replace(outcome, reason=redact(outcome.reason)))
            case SetStatus():
                return replace(op, reason=redact(op.reason))
        return op

    def _clean_record(self, record: Record) -> Record:
        return replace(
            record,
            text=redact(record.text),
            task_key=redact(record.task_key),
            data=redact_json(record.data),
            keys=tuple(map(redact, record.keys)),
            summary=redact(record.summary),
        )

    # --- judging ------------------------------------------------------------------------------

    def check_size(self, ops: Iterable[Op]) -> None:
        """Refuse records that are too large or too deep to be looked at, before anything is done.

        Raises:
            NotAdmitted: There is one.
        """
        for op in ops:
            refusal = self._size(op.record) if isinstance(op, Add) else None
            if refusal is not None:
                raise refusal.error()

    def _size(self, record: Record) -> Refusal | None:
        policy = self.policy
        if self.too_long(record.text):
            count = f"{len(record.text):,} characters, {policy.max_text:,} are the most"
            return Refusal("size", f"its text has {count}.", record.id)
        if len(record.keys) > policy.max_keys:
            return Refusal("size", f"it has more than {policy.max_keys} keys.", record.id)
        if too_deep(record.data):
            return Refusal(
                "schema", f"its data is nested deeper than {MAX_DEPTH} levels.", record.id
            )
        return None

    def recalled(self, run: str, items: Iterable[tuple[str, str]]) -> None:
        """Remember what a run was just given, as pairs of id and text, to know its echo."""
        texts = self._recalled.setdefault(run, OrderedDict())
        self._recalled.move_to_end(run)
        for id_, text in items:
            texts[id_] = text
            texts.move_to_end(id_)
        while len(texts) > TEXTS:
            texts.popitem(last=False)
        while len(self._recalled) > RUNS:
            self._recalled.popitem(last=False)

    def judge(self, changeset: Changeset) -> Refusal | None:
        """Why a changeset is not admitted; None if it is, which counts towards the rate."""
        added = [op.record for op in changeset.ops if isinstance(op, Add)]
        if not added:
            return None
        forged = forged_lessons(changeset)
        if forged:
            return Refusal("lesson", forged)
        for record in added:
            for rule in (self._schema, self._provenance, self._instructions, self._echo):
                refusal = rule(record)
                if refusal is not None:
                    return refusal
        return self._rate(added) or self._novelty(added)

    def _schema(self, record: Record) -> Refusal | None:
        policy = self.policy
        if not record.kind or len(record.kind) > 64 or not record.kind.isprintable():
            return Refusal("schema", "a kind has 1 to 64 printable characters.", record.id)
        if record.tier is not Tier.INTERACTION and not record.text.strip():
            return Refusal("schema", "a task or an insight says something.", record.id)
        refusal = self._size(record)
        if refusal is not None:
            return refusal
        try:
            size = len(canonical(dict(record.data)).encode("utf-8", "replace"))
        except (TypeError, ValueError, RecursionError):
            return Refusal("schema", "its data is not plain JSON.", record.id)
        if size > policy.max_data:
            return Refusal(
                "size", f"its data has {size:,} bytes, {policy.max_data:,} are the most.", record.id
            )
        return None

    def _provenance(self, record: Record) -> Refusal | None:
        origin = record.provenance
        if not origin.source:
            return Refusal("provenance", "it says not who writes it.", record.id)
        if record.tier is Tier.INTERACTION and not origin.trial:
            return Refusal("provenance", "a step says of which trial it is.", record.id)
        if record.tier is Tier.QUERY and not origin.run:
            return Refusal("provenance", "a trial says of which run it is.", record.id)
        return None

    def _instructions(self, record: Record) -> Refusal | None:
        if not self.policy.instructions:
            return None
        for text in (record.text, record.summary, *_strings(record.data)):
            if any(map(_INSTRUCTIONS.search, _readings(text))):
                return Refusal(
                    "instructions",
                    "it speaks to a model, telling it what to do with its instructions, instead of "
                    "about the task.",
                    record.id,
                )
        return None

    def _echo(self, record: Record) -> Refusal | None:
        if record.tier is Tier.QUERY or record.data.get("action"):
            return None
        if len(record.text.split()) < self.policy.echo_words:
            return None
        run, trial = record.provenance.run, record.provenance.trial
        if run and (trial or run in self._recalled):
            given = [self._recalled.get(run)]
        else:
            # A run that was given nothing may be a name that hides the one that was.
            given = list(islice(reversed(self._recalled.values()), LAST))
        own = _shingles(record.text)
        for texts in given:
            for id_, recalled in (texts or {}).items():
                # The same record again is no new one, and a shorter text cannot hold its words.
                if id_ == record.id or 2 * len(recalled) < len(record.text):
                    continue
                if len(own & _shingles(recalled)) >= self.policy.echo * len(own):
                    return Refusal(
                        "echo",
                        f"it repeats the record {id_!r}, which was just recalled, as if it were "
                        "new.",
                        record.id,
                    )
        return None

    def _rate(self, added: Sequence[Record]) -> Refusal | None:
        source = self._of(added[0].provenance.source)
        now = self._clock()
        rate = float(self.policy.rate)
        source.left = min(rate, source.left + (now - source.at) * rate / 60.0)
        source.at = now
        if source.left < len(added):
            return Refusal(
                "rate",
                f"its source adds more than {self.policy.rate:,} records a minute. Slow down, then "
                "try again.",
                added[0].id,
            )
        source.left -= len(added)
        return None

    def _novelty(self, added: Sequence[Record]) -> Refusal | None:
        for record in added:
            if record.tier is not Tier.INSIGHT:
                continue
            texts = self._of(record.provenance.source).texts
            key = digest(" ".join(record.text.casefold().split()))
            ids = texts.setdefault(key, set())
            if record.id not in ids and len(ids) >= self.policy.repeats:
                return Refusal(
                    "novelty",
                    f"its source has written this text {self.policy.repeats} times already.",
                    record.id,
                )
            ids.add(record.id)
            texts.move_to_end(key)
            while len(texts) > SOURCES:
                texts.popitem(last=False)
        return None

    def _of(self, name: str) -> _Source:
        source = self._sources.get(name)
        if source is None:
            source = self._sources[name] = _Source(float(self.policy.rate), self._clock())
        self._sources.move_to_end(name)
        while len(self._sources) > SOURCES:
            self._sources.popitem(last=False)
        return source


@lru_cache(maxsize=LAST * TEXTS)
def _shingles(text: str) -> frozenset[int]:
    """The runs of words of a text; kept for what is compared again and again."""
    words = re.findall(r"\w+", text.casefold())[:4096]
    return frozenset(
        hash(tuple(words[n : n + _SHINGLE])) for n in range(max(1, len(words) - _SHINGLE + 1))
    )


def _readings(text: str) -> set[str]:
    """A text as it is, and as a model reads it whatever was done to its letters and spaces."""
    plain = unicodedata.normalize("NFKC", text)
    return {text} | {re.sub(r"[\s,]+", " ", _HIDDEN.sub(hidden, plain)) for hidden in ("", " ")}


def _strings(value: Any) -> Iterator[str]:
    """All texts in plain JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict) or hasattr(value, "items"):
        for key, one in value.items():
            yield str(key)
            yield from _strings(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _strings(one)
