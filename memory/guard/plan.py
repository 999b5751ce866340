"""Plans: what a record would lead to if an agent followed it.

A plan is a set of acts (verb, object, detail): "GetValue" of "medication" and its "routeadmin",
"put" of "mug" and "sink", "answer" with "paris". Acts of two records can be compared whatever
the things are called that the records deal with, since values stay out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from ...graph import Record
from ..entities import kinds_in, parse_action


class Act(NamedTuple):
    """One thing that is done.

    Attributes:
        verb: What is done, such as "GetValue", "select" or "take".
        object: To what: a table, a kind of thing; "" if nothing is named.
        detail: To which part of it: a column, a place; "" if nothing is named.
    """

    verb: str
    object: str = ""
    detail: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.verb, self.object, self.detail) if part)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a record would lead to.

    Attributes:
        acts: What is done, each once.
        aim: What it all ends in: the last act that names a detail, else the last act.
        verbs: The verbs of the acts.
        objects: The objects of the acts.
    """

    acts: frozenset[Act] = frozenset()
    aim: Act | None = None
    verbs: frozenset[str] = field(init=False)
    objects: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "verbs", frozenset(act.verb for act in self.acts))
        object.__setattr__(self, "objects", frozenset(act.object for act in self.acts) - {""})

    def __bool__(self) -> bool:
        return bool(self.acts)

    @classmethod
    def of(cls, acts: Sequence[Act]) -> Plan:
        """The plan of acts in their order."""
        detailed = [act for act in acts if act.detail] or acts
        return cls(frozenset(acts), detailed[-1] if detailed else None)


NO_PLAN = Plan()
Extractor = Callable[[Record, Sequence[str]], Plan | None]
"""Reads the plan of a record from the actions it recorded; None if it is not of its kind."""


def plan_of(record: Record, actions: Sequence[str], extractors: Iterable[Extractor] = ()) -> Plan:
    """The plan of a record, by the first extractor that knows what to do with it.

    Args:
        record: A trial, an insight or a fact.
        actions: What was done, in order: of a trial its recorded actions, or what is left of them.
        extractors: Yours first; then come `answer_plan`, `code_plan` and `steps_plan`.
    """
    for extract in (*extractors, answer_plan, code_plan, steps_plan):
        plan = extract(record, actions)
        if plan is not None:
            return plan
    return NO_PLAN


def answer_plan(record: Record, actions: Sequence[str]) -> Plan | None:
    """Of a record that answers (``data["answer"]``): its only act is to say so."""
    answer = record.data.get("answer")
    if answer is None or actions:
        return None
    said = " ".join(re.findall(r"\w+", str(answer).casefold()))
    return Plan.of([Act("answer", said)])


def steps_plan(record: Record, actions: Sequence[str]) -> Plan | None:
    """Of actions in words: their first word, and the kinds of thing they deal with.

    A kind that the task names is told by its place among those, as in "put (1) (2)", so that the
    plans of two tasks agree if the same is done with other things.
    """
    parsed = [parse_action(line) for text in actions for line in text.splitlines() if line.strip()]
    named = kinds_in(record.text, frozenset(thing.kind for one in parsed for thing in one.things))
    places = {kind: f"({number})" for number, kind in enumerate(named, 1)}
    acts = [
        Act(one.template.split(" ", 1)[0], *[places.get(it.kind, it.kind) for it in one.things[:2]])
        for one in parsed
    ]
    return Plan.of(acts) if acts else None


# --- code -----------------------------------------------------------------------------------------

_CODE, _LINE = 8_000, 500
"""Characters of code, and of one of its lines, that are read."""
# What is never closed ends with its line, so that no quote is looked at twice.
_LITERAL = re.compile(r"'((?:[^'\\\n]|\\.)*)(?:'|\\?$)|\"((?:[^\"\\\n]|\\.)*)(?:\"|\\?$)")
_NAME = re.compile(r"[A-Za-z_]\w*")
_RELATION = re.compile(r"\s*(<=|>=|!=|=|<|>| in\b| like\b| is\b| between\b)", re.IGNORECASE)
_PURE = frozenset(
    str.split(
        "len int float str bool range min max sum sorted list set dict tuple print abs round zip "
        "enumerate append extend format split join strip replace lower upper items keys values "
        "get add if for while return and or not in else elif"
    )
)
"""Names that act on nothing outside the code."""
_SQL = re.compile(r"\s*(select|delete|update|insert|drop|alter|truncate|create|merge|replace)\b")
_SQL_TABLE = re.compile(r"\b(?:from|join|into|update|table)\s+[\"`]?([a-z_]\w*)")
_SQL_COLUMN = re.compile(r"\b([a-z_]\w*)\.([a-z_]\w*)")


def code_plan(record: Record, actions: Sequence[str]) -> Plan | None:
    """Of calls and SQL: the name of what is called, on which table, with which columns."""
    text = "\n".join(actions)[:_CODE]
    if "(" not in text and "[" not in text and not _SQL.match(text.casefold()):
        return None
    return _code_plan(text)


def code_plan_of(text: str) -> Plan:
    """The plan of code, empty if it calls nothing."""
    return _code_plan(text[:_CODE]) or NO_PLAN


@lru_cache(maxsize=8192)
def _code_plan(text: str) -> Plan | None:
    if _SQL.match(text.casefold()):
        return Plan.of(_sql(text))
    acts: list[Act] = []
    tables: dict[str, str] = {}
    """Per variable the table it holds rows of."""
    for line in text.splitlines():
        for call in _calls(line[:_LINE]):
            acts += call.acts(tables)
    return Plan.of(acts) if acts else None


@dataclass(frozen=True, slots=True)
class _Call:
    into: str
    name: str
    arguments: str

    def acts(self, tables: dict[str, str]) -> list[Act]:
        verb = self.name.rsplit(".", 1)[-1]
        if verb.casefold() in _PURE:
            return []
        literals = [one or other for one, other in _LITERAL.findall(self.arguments)]
        bare = _LITERAL.sub(" ", self.arguments)
        sql = next((text for text in [*literals, bare] if _SQL.match(text.casefold())), "")
        if sql:
            return _sql(sql)
        table = next((tables[name] for name in _NAME.findall(bare) if name in tables), "")
        names = [name for text in literals for name in _names(text)]
        if not table and len(literals) >= 1 and _NAME.fullmatch(literals[0].strip()):
            table, names = literals[0].strip(), names[1:]
        if self.into and table:
            tables[self.into] = table
        return [Act(verb, table, name) for name in names] or [Act(verb, table)]


def _calls(line: str) -> Iterable[_Call]:
    """The calls of a line of code; those within others too."""
    into = ""
    assigned = re.match(r"\s*([A-Za-z_]\w*)\s*=(?!=)", line)
    if assigned:
        into = assigned[1]
    masked = _LITERAL.sub(lambda found: "'" * len(found[0]), line)
    closed = _closed(masked)
    for found in re.finditer(r"([A-Za-z_][\w.]*)\s*\(", masked):
        end = closed.get(found.end() - 1, len(line))
        yield _Call(into, found[1], line[found.end() : end])


def _closed(masked: str) -> dict[int, int]:
    """Per place of an opening bracket that of the one that closes it, if there is one."""
    opened: list[int] = []
    closed = {}
    for at, character in enumerate(masked):
        if character == "(":
            opened.append(at)
        elif character == ")" and opened:
            closed[opened.pop()] = at
    return closed


def _names(condition: str) -> Iterable[str]:
    """Columns that a condition or a choice such as "cost, sum" or "a=1||max(b)" names."""
    for part in re.split(r"\|\||&&|;", condition):
        part = part.strip()
        inner = re.match(r"(?:min|max|sum|avg|count)\s*\(\s*([A-Za-z_]\w*)", part)
        if inner:
            yield inner[1]
            continue
        name = _NAME.match(part)
        if not name:
            continue
        rest = part[name.end() :]
        if not rest or rest.lstrip().startswith(",") or _RELATION.match(rest):
            yield name[0]


def _sql(text: str) -> list[Act]:
    plain = text.casefold()
    found = _SQL.match(plain)
    verb = found[1] if found else "select"
    tables = set(_SQL_TABLE.findall(plain))
    # What is asked for stands first and is the aim, so it comes last.
    acts = [Act(verb, table, column) for table, column in reversed(_SQL_COLUMN.findall(plain))]
    named = {act.object for act in acts}
    return [Act(verb, table) for table in sorted(tables - named)] + acts or [Act(verb)]
