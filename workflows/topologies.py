"""Ready-made shapes of a team: solver with critic, chain, supervisor.

Each gives a `StateGraph`, to be used as it is or built upon.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from langgraph.graph import END, START, StateGraph

from ..errors import WorkflowError

Graph = StateGraph[Any, Any, Any, Any]
Node = Any
"""Anything LangGraph takes as a node; the agents of a `Team` are."""


def chain(state: type[Any], agents: Sequence[Node]) -> Graph:
    """Agents one after another, each seeing what those before it left in the state.

    Args:
        state: The schema of the state.
        agents: In order, at least one.
    """
    if not agents:
        raise WorkflowError("A chain needs at least one agent.")
    graph: Graph = StateGraph(state)
    graph.add_sequence(list(agents))
    graph.add_edge(START, _name(agents[0]))
    graph.add_edge(_name(agents[-1]), END)
    return graph


def solver_critic(
    state: type[Any],
    solver: Node,
    critic: Node,
    *,
    accepted: Callable[[Any], bool],
    then: Node | None = None,
    finished: Callable[[Any], bool] | None = None,
) -> Graph:
    """A solver proposes, a critic accepts or sends it back.

    Args:
        state: The schema of the state.
        solver: Proposes.
        critic: Judges the proposal.
        accepted: From the state after the critic: whether to go on.
        then: What is done with an accepted proposal, such as a step in a world; the graph ends
            there if None.
        finished: From the state after `then`: whether to end, else the solver goes again.
    """
    graph: Graph = StateGraph(state)
    graph.add_node(_name(solver), solver)
    graph.add_node(_name(critic), critic)
    graph.add_edge(START, _name(solver))
    graph.add_edge(_name(solver), _name(critic))
    onward = END
    if then is not None:
        onward = _name(then)
        graph.add_node(onward, then)
        _loop(graph, onward, _name(solver), finished)
    graph.add_conditional_edges(
        _name(critic),
        lambda values: onward if accepted(values) else _name(solver),
        [onward, _name(solver)],
    )
    return graph


def supervisor(
    state: type[Any],
    chief: Node,
    workers: Sequence[Node],
    *,
    route: Callable[[Any], str],
) -> Graph:
    """A chief decides after each step which worker goes next, or that the work is done.

    Args:
        state: The schema of the state.
        chief: Leaves its decision in the state.
        workers: Each returns to the chief.
        route: From the state after the chief: the name of a worker, or "" to end.
    """
    graph: Graph = StateGraph(state)
    names = [_name(worker) for worker in workers]
    graph.add_node(_name(chief), chief)
    graph.add_edge(START, _name(chief))
    for name, worker in zip(names, workers, strict=True):
        graph.add_node(name, worker)
        graph.add_edge(name, _name(chief))

    def choose(values: Any) -> str:
        chosen = route(values)
        if chosen and chosen not in names:
            raise WorkflowError(
                f"The supervisor chose {chosen!r}, but the workers are {', '.join(names)}.",
                chosen=chosen,
            )
        return chosen or END

    graph.add_conditional_edges(_name(chief), choose, [*names, END])
    return graph


def loop(state: type[Any], agents: Sequence[Node], *, finished: Callable[[Any], bool]) -> Graph:
    """A chain that is gone through again and again until it is finished.

    Args:
        state: The schema of the state.
        agents: In order, at least one. The first goes once; the rest repeat if there are several.
        finished: From the state after the last: whether to end.
    """
    if not agents:
        raise WorkflowError("A loop needs at least one agent.")
    graph: Graph = StateGraph(state)
    graph.add_sequence(list(agents))
    graph.add_edge(START, _name(agents[0]))
    again = agents[1] if len(agents) > 1 else agents[0]
    _loop(graph, _name(agents[-1]), _name(again), finished)
    return graph


def _loop(graph: Graph, last: str, first: str, finished: Callable[[Any], bool] | None) -> None:
    if finished is None:
        graph.add_edge(last, END)
    else:
        graph.add_conditional_edges(
            last, lambda values: END if finished(values) else first, [END, first]
        )


def _name(node: Node) -> str:
    name = getattr(node, "__name__", None) or getattr(node, "name", None)
    if not name:
        raise WorkflowError("A node of a topology needs a name: use a function or an agent.")
    return str(name)


__all__ = ["chain", "loop", "solver_critic", "supervisor"]
