"""STRIPS (Fikes and Nilsson 1971): the ground actions of a problem, and what each changes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ..errors import InvalidGame
from .pddl_parser import Atom, Domain, Literal, Problem, Schema

State: TypeAlias = frozenset[Atom]
MAX_ACTIONS = 200_000
"""Ground actions of one problem."""
MAX_PARENTS = 100


@dataclass(frozen=True, slots=True)
class GroundAction:
    """An action with objects for its parameters.

    Attributes:
        name: The schema and the objects, such as ("pick", "ball1", "rooma", "left").
        needs: Atoms that must hold.
        forbids: Atoms that must not hold.
        adds: Atoms that hold afterwards.
        deletes: Atoms that no longer hold, unless they are added.
    """

    name: Atom
    needs: frozenset[Atom]
    forbids: frozenset[Atom]
    adds: frozenset[Atom]
    deletes: frozenset[Atom]

    def applicable(self, state: State) -> bool:
        """Whether it can be done."""
        return self.needs <= state and not (self.forbids & state)

    def apply(self, state: State) -> State:
        """The situation afterwards."""
        return (state - self.deletes) | self.adds


@dataclass(frozen=True, slots=True)
class Task:
    """A grounded problem.

    Attributes:
        init: The first situation.
        goal: Atoms that shall hold.
        avoid: Atoms that shall not.
        actions: All that can ever be done, in a fixed order.
    """

    init: State
    goal: frozenset[Atom]
    avoid: frozenset[Atom]
    actions: tuple[GroundAction, ...]

    def reached(self, state: State) -> bool:
        """Whether the goal is met."""
        return self.goal <= state and not (self.avoid & state)

    def progress(self, state: State) -> float:
        """The share of the goal's literals that hold."""
        met = len(self.goal & state) + len(self.avoid - state)
        return met / (len(self.goal) + len(self.avoid))

    def applicable(self, state: State) -> list[GroundAction]:
        """What can be done now."""
        return [action for action in self.actions if action.applicable(state)]


def ground(domain: Domain, problem: Problem) -> Task:
    """Ground a problem.

    Raises:
        InvalidGame: It has more than `MAX_ACTIONS` ground actions, or types that go in circles.
    """
    objects = {**domain.constants, **problem.objects}
    by_type = _by_type(domain, objects)
    changing = {one.atom[0] for schema in domain.schemas for one in schema.effect}
    facts: dict[str, set[Atom]] = defaultdict(set)
    for atom in problem.init:
        facts[atom[0]].add(atom)
    actions: list[GroundAction] = []
    for schema in domain.schemas:
        for binding in _bindings(schema, by_type, facts, changing):
            actions.append(_ground(schema, binding))
            if len(actions) > MAX_ACTIONS:
                raise InvalidGame(
                    f"The problem {problem.name} has more than {MAX_ACTIONS:,} ground actions. "
                    "Give a smaller one.",
                    problem=problem.name,
                )
    goal = frozenset(one.atom for one in problem.goal if one.positive)
    avoid = frozenset(one.atom for one in problem.goal if not one.positive)
    return Task(problem.init, goal, avoid, tuple(_reachable(problem.init, actions)))


def _by_type(domain: Domain, objects: Mapping[str, str]) -> dict[str, list[str]]:
    by_type: dict[str, list[str]] = defaultdict(list)
    for name, type_ in objects.items():
        by_type["object"].append(name)
        for _ in range(MAX_PARENTS):
            if type_ == "object":
                break
            by_type[type_].append(name)
            type_ = domain.parents.get(type_, "object")
        else:
            raise InvalidGame(
                f"The types of the domain {domain.name} go in circles.", domain=domain.name
            )
    return by_type


def _bindings(
    schema: Schema,
    by_type: Mapping[str, Sequence[str]],
    facts: Mapping[str, set[Atom]],
    changing: set[str],
) -> Iterator[dict[str, str]]:
    """Objects for the parameters, one parameter after the other; what never changes is checked as
    soon as all of its arguments are bound."""
    static = [one for one in schema.precondition if one.atom[0] not in changing]
    order = [name for name, _ in schema.parameters]
    due: dict[int, list[Literal]] = defaultdict(list)
    for literal in static:
        last = max((order.index(arg) + 1 for arg in literal.atom[1:] if arg in order), default=0)
        due[last].append(literal)

    def extend(at: int, binding: dict[str, str]) -> Iterator[dict[str, str]]:
        if not all(_holds(literal, binding, facts) for literal in due[at]):
            return
        if at == len(order):
            yield dict(binding)
            return
        name, type_ = schema.parameters[at]
        for candidate in by_type.get(type_, ()):
            binding[name] = candidate
            yield from extend(at + 1, binding)
            del binding[name]

    yield from extend(0, {})


def _holds(literal: Literal, binding: Mapping[str, str], facts: Mapping[str, set[Atom]]) -> bool:
    atom = _bind(literal.atom, binding)
    if atom[0] == "=":
        return (len(set(atom[1:])) == 1) is literal.positive
    return (atom in facts.get(atom[0], ())) is literal.positive


def _bind(atom: Atom, binding: Mapping[str, str]) -> Atom:
    return (atom[0], *(binding.get(arg, arg) for arg in atom[1:]))


def _ground(schema: Schema, binding: Mapping[str, str]) -> GroundAction:
    def bound(literals: Sequence[Literal], positive: bool) -> frozenset[Atom]:
        return frozenset(
            _bind(one.atom, binding)
            for one in literals
            if one.positive is positive and one.atom[0] != "="
        )

    return GroundAction(
        name=(schema.name, *(binding[name] for name, _ in schema.parameters)),
        needs=bound(schema.precondition, True),
        forbids=bound(schema.precondition, False),
        adds=bound(schema.effect, True),
        deletes=bound(schema.effect, False),
    )


def _reachable(init: State, actions: Sequence[GroundAction]) -> list[GroundAction]:
    """Those whose needs can ever hold, if nothing were ever deleted."""
    known = set(init)
    left = list(actions)
    reached: set[Atom] = set()
    while True:
        ready = [action for action in left if action.needs <= known]
        if not ready:
            return [action for action in actions if action.name in reached]
        reached |= {action.name for action in ready}
        for action in ready:
            known |= action.adds
        left = [
            action for action in left if not action.needs <= known or action.name not in reached
        ]
