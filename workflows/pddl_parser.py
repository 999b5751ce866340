"""Reads PDDL: the STRIPS subset with types, constants, equality and negative preconditions.

The language is that of McDermott et al., "PDDL - The Planning Domain Definition Language" (1998),
as far as classical STRIPS problems use it. Types of predicate arguments are not enforced: published
domains contradict themselves there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ..errors import InvalidGame

MAX_CHARACTERS = 2_000_000
MAX_DEPTH = 64

Atom: TypeAlias = tuple[str, ...]
"""A predicate and its arguments, such as ("on", "b1", "b2")."""
Tree: TypeAlias = "str | list[Tree]"

_TOKEN = re.compile(r"[()]|\??[^\s()?]+")


@dataclass(frozen=True, slots=True)
class Literal:
    """An atom or its negation, over parameters and objects."""

    atom: Atom
    positive: bool = True


@dataclass(frozen=True, slots=True)
class Schema:
    """An action with parameters.

    Attributes:
        name: Such as "pick".
        parameters: Pairs of variable and type.
        precondition: All of these must hold.
        effect: All of these hold afterwards.
    """

    name: str
    parameters: tuple[tuple[str, str], ...]
    precondition: tuple[Literal, ...]
    effect: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Domain:
    """A planning domain.

    Attributes:
        name: As the file says.
        parents: Per type the type it belongs to.
        constants: Per object the domain brings along its type.
        schemas: The actions.
    """

    name: str
    parents: Mapping[str, str]
    constants: Mapping[str, str]
    schemas: tuple[Schema, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """A planning problem.

    Attributes:
        name: As the file says.
        domain: Name of its domain.
        objects: Per object its type.
        init: The atoms that hold at first.
        goal: The literals that shall hold.
    """

    name: str
    domain: str
    objects: Mapping[str, str]
    init: frozenset[Atom]
    goal: tuple[Literal, ...]


def read_domain(path: Path) -> Domain:
    """Read a domain file.

    Raises:
        InvalidGame: It cannot be read or is not a STRIPS domain; the message names the file.
    """
    reader = _Reader(path)
    parts = reader.definition("domain")
    parents: dict[str, str] = {}
    constants: dict[str, str] = {}
    schemas: list[Schema] = []
    for section in parts.sections:
        match reader.head(section):
            case ":types":
                parents |= dict(reader.typed(section[1:]))
            case ":constants":
                constants |= dict(reader.typed(section[1:]))
            case ":action":
                schemas.append(reader.schema(section))
            case ":requirements" | ":predicates":
                pass
            case other:
                raise reader.error(f"{other} is not part of STRIPS")
    if not schemas:
        raise reader.error("there is no action")
    return Domain(parts.name, parents, constants, tuple(schemas))


def read_problem(path: Path) -> Problem:
    """Read a problem file.

    Raises:
        InvalidGame: It cannot be read or is not a STRIPS problem; the message names the file.
    """
    reader = _Reader(path)
    parts = reader.definition("problem")
    domain = ""
    objects: dict[str, str] = {}
    init: set[Atom] = set()
    goal: tuple[Literal, ...] = ()
    for section in parts.sections:
        match reader.head(section):
            case ":domain":
                domain = str(section[1]) if len(section) == 2 else ""
            case ":objects":
                objects |= dict(reader.typed(section[1:]))
            case ":init":
                init |= {reader.atom(one) for one in section[1:]}
            case ":goal":
                goal = tuple(reader.literals(section[1])) if len(section) == 2 else ()
            case ":requirements":
                pass
            case other:
                raise reader.error(f"{other} is not part of a STRIPS problem")
    if not goal:
        raise reader.error("there is no goal")
    return Problem(parts.name, domain, objects, frozenset(init), goal)


@dataclass(frozen=True, slots=True)
class _Definition:
    name: str
    sections: list[list[Tree]]


class _Reader:
    """One file; its errors name it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise self.error(f"it cannot be read ({error})") from None
        if len(self._text) > MAX_CHARACTERS:
            raise self.error(f"it is longer than {MAX_CHARACTERS:,} characters")

    def error(self, what: str) -> InvalidGame:
        return InvalidGame(
            f"{self._path} is not a usable PDDL file: {what}. Give STRIPS domains and problems.",
            path=str(self._path),
        )

    def definition(self, kind: str) -> _Definition:
        match self._tree():
            case ["define", [found, str(name)], *sections] if found == kind:
                named = [section for section in sections if isinstance(section, list)]
                if len(named) == len(sections):
                    return _Definition(name, named)
        raise self.error(f"it does not define a {kind}")

    def _tree(self) -> Tree:
        text = re.sub(r";[^\n]*", "", self._text).lower()
        stack: list[list[Tree]] = [[]]
        for token in _TOKEN.findall(text):
            if token == "(":
                stack.append([])
                if len(stack) > MAX_DEPTH:
                    raise self.error(f"brackets are nested deeper than {MAX_DEPTH}")
            elif token == ")":
                if len(stack) == 1:
                    raise self.error("a bracket closes that was not opened")
                done = stack.pop()
                stack[-1].append(done)
            else:
                stack[-1].append(token)
        if len(stack) > 1:
            raise self.error("a bracket is not closed")
        if len(stack[0]) != 1:
            raise self.error("it must hold one definition")
        return stack[0][0]

    def head(self, section: Sequence[Tree]) -> str:
        if not section or not isinstance(section[0], str):
            raise self.error("a section has no name")
        return section[0]

    def typed(self, tokens: Sequence[Tree]) -> Iterator[tuple[str, str]]:
        """Names with their types: "a b - t c" gives (a, t), (b, t), (c, object)."""
        waiting: list[str] = []
        rest = iter(tokens)
        for token in rest:
            if not isinstance(token, str):
                raise self.error("a list of names holds a bracket")
            if token == "-":
                type_ = next(rest, None)
                if not isinstance(type_, str):
                    raise self.error("a type is missing after -, or is an (either ...)")
                yield from ((name, type_) for name in waiting)
                waiting = []
            else:
                waiting.append(token)
        yield from ((name, "object") for name in waiting)

    def schema(self, section: Sequence[Tree]) -> Schema:
        if len(section) < 2 or not isinstance(section[1], str) or len(section) % 2:
            raise self.error("an action has no name, or a part without its value")
        parts = {str(section[i]): section[i + 1] for i in range(2, len(section), 2)}
        unknown = set(parts) - {":parameters", ":precondition", ":effect"}
        if unknown or ":effect" not in parts:
            raise self.error(f"the action {section[1]} has unknown parts, or no effect")
        parameters = parts.get(":parameters", [])
        if not isinstance(parameters, list):
            raise self.error(f"the parameters of {section[1]} are not a list")
        schema = Schema(
            section[1],
            tuple(self.typed(parameters)),
            tuple(self.literals(parts.get(":precondition", []))),
            tuple(self.literals(parts[":effect"])),
        )
        known = {name for name, _ in schema.parameters}
        for literal in (*schema.precondition, *schema.effect):
            free = {arg for arg in literal.atom[1:] if arg.startswith("?")} - known
            if free:
                raise self.error(f"{schema.name} uses {', '.join(sorted(free))}, no parameter")
        return schema

    def literals(self, tree: Tree) -> Iterator[Literal]:
        if tree == []:
            return
        match tree:
            case ["and", *parts]:
                for part in parts:
                    yield from self.literals(part)
            case ["not", inner]:
                yield Literal(self.atom(inner), positive=False)
            case ["or" | "forall" | "exists" | "when" | "imply" | "increase" as word, *_]:
                raise self.error(f"'{word}' is not part of STRIPS")
            case _:
                yield Literal(self.atom(tree))

    def atom(self, tree: Tree) -> Atom:
        if not isinstance(tree, list) or not tree:
            raise self.error(f"{tree!r} is not an atom")
        names = tuple(part for part in tree if isinstance(part, str))
        if len(names) != len(tree):
            raise self.error("an atom holds a bracket")
        return names
