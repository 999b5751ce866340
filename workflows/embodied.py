"""`embodied`: a team that acts in a task world, ready made.

The agents plan, propose and criticise over the bus; one plain node performs the accepted action
in the world and records it. With a model the solver asks it; without one it is guided by cases.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Any, TypedDict

from ..agents import (
    CaseGuidedActor,
    Critic,
    Environment,
    Observation,
    Planner,
    Task,
    Team,
    Turn,
    current_run,
)
from ..errors import InvalidInput, ReplayMismatch
from ..memory import ProposedStep, Recall, Verdict, mentions
from .inputs import Prepared
from .topologies import Graph, loop, solver_critic, supervisor
from .workflow import Workflow
from .worlds import World

REFUSED = "The guard refuses this step: "
"""How the observation of a step begins that was never performed."""
TOPOLOGIES = ("solver-critic", "chain", "supervisor")


class EmbodiedState(TypedDict, total=False):
    """The state of a team in a world.

    Attributes:
        task: The goal, in words.
        task_id: Of the task in its stream.
        kind: Group for statistics; no agent reads it.
        data: What the world needs to set the task up.
        seed: Of the episode.
        observation: What the world said last.
        actions: What it admits now.
        history: (action, observation) pairs so far.
        plan: The steps that worked before, as the planner sees them.
        proposal: The action the solver proposes.
        based_on: Ids of the recalled records that the proposal rests on.
        vetoed: Actions the critic sent back since the last step.
        accepted: Whether the critic lets the proposal pass.
        next: Who goes next, for the supervisor.
        won: Whether the goal is reached.
        done: Whether the episode is over.
    """

    task: str
    task_id: str
    kind: str
    data: dict[str, Any]
    seed: int
    observation: str
    actions: list[str]
    history: Annotated[list[tuple[str, str]], operator.add]
    plan: list[str]
    proposal: str
    based_on: list[str]
    vetoed: list[str]
    accepted: bool
    next: str
    won: bool
    done: bool


def embodied(
    world: World,
    *,
    topology: str = "solver-critic",
    team: Team | None = None,
    max_steps: int = 30,
    seed: int = 0,
) -> Workflow[EmbodiedState]:
    """A workflow whose team acts in a world.

    Args:
        world: Gives tasks and environments.
        topology: "solver-critic" (a critic breaks loops), "chain" (a planner first, then the
            solver alone) or "supervisor" (a chief calls the planner again when there is no
            progress).
        team: To be joined by the agents of the topology; a new one named after the world if None.
            With a model the solver asks it.
        max_steps: Actions of one task.
        seed: Of every episode and every choice by chance.

    Raises:
        InvalidInput: There is no such topology.
    """
    if topology not in TOPOLOGIES:
        raise InvalidInput(
            f"There is no topology {topology!r}; there is {', '.join(TOPOLOGIES)}.",
            topology=topology,
        )
    if max_steps < 1:
        raise InvalidInput(f"max_steps must be at least 1, not {max_steps}.", max_steps=max_steps)
    team = team or Team(world.name)

    def finished(state: EmbodiedState) -> bool:
        return state.get("done", False) or len(state.get("history", [])) >= max_steps

    graph = _graph(topology, team, seed, finished)
    return Workflow(
        graph,
        team,
        outcome=lambda state: bool(state.get("won", False)),
        judge="environment",
        prepare=_preparation(world, seed),
        # Each step is at most: solver and critic, three vetoes, world, and the chief around them.
        max_steps=max_steps * 10 + 10,
    )


def _graph(
    topology: str, team: Team, seed: int, finished: Callable[[EmbodiedState], bool]
) -> Graph:
    solver = team.agent(name="solver")(_solver(seed))
    if topology == "solver-critic":
        critic = team.agent(name="critic")(_criticise)
        return solver_critic(
            EmbodiedState,
            solver,
            critic,
            accepted=lambda state: bool(state.get("accepted")),
            then=world_step,
            finished=finished,
        )
    planner = team.agent(name="planner")(_plan)
    if topology == "chain":
        return loop(EmbodiedState, [planner, solver, world_step], finished=finished)
    chief = team.agent(name="supervisor")(_supervise)
    graph = supervisor(
        EmbodiedState,
        chief,
        [planner, solver, world_step],
        route=lambda state: "" if finished(state) else str(state.get("next", "")),
    )
    return graph


# --- agents ---------------------------------------------------------------------------------------


def _solver(seed: int) -> Callable[[EmbodiedState, Turn], Any]:
    async def solver(state: EmbodiedState, turn: Turn) -> EmbodiedState:
        """Propose the next action."""
        recalled = await _recall_once(turn)
        if turn.has_model:
            return await _ask_model(state, turn)
        actor = turn.resources.get("actor")
        if actor is None:
            actor = CaseGuidedActor(
                goal=state["task"],
                cases=recalled.cases,
                rules=recalled.rules,
                plan=tuple(state.get("plan", ())),
                seed=seed,
            )
            turn.resources["actor"] = actor
        decision = actor.act(
            state["observation"],
            state["actions"],
            state.get("history", []),
            vetoed=frozenset(state.get("vetoed", [])),
        )
        turn.silent()
        return {
            "proposal": decision.action,
            "based_on": [decision.case] if decision.case else [],
            "accepted": False,
        }

    return solver


async def _recall_once(turn: Turn) -> Recall:
    """The solver recalls when the task begins; all its turns of the trial share the receipt."""
    recalled = turn.resources.get("recalled")
    if recalled is None:
        recalled = turn.resources["recalled"] = await turn.recall(step="begin")
    assert isinstance(recalled, Recall)
    return recalled


async def _ask_model(state: EmbodiedState, turn: Turn) -> EmbodiedState:
    history = "\n".join(f"> {action}\n{said}" for action, said in state.get("history", [])[-10:])
    vetoed = set(state.get("vetoed", []))
    action = await turn.choose(
        [action for action in state["actions"] if action not in vetoed] or state["actions"],
        prompt=f"Your task: {state['task']}\n\nSo far:\n{history}\n\nNow: {state['observation']}",
    )
    turn.silent()
    return {"proposal": action, "based_on": [], "accepted": False}


async def _criticise(state: EmbodiedState, turn: Turn) -> EmbodiedState:
    """Accept the proposal, or send back what has led nowhere."""
    critic = Critic()
    vetoed = list(state.get("vetoed", []))
    reason = critic.objection(
        state["proposal"], state.get("history", []), state["actions"], tuple(vetoed)
    )
    if not reason:
        turn.silent()
        return {"accepted": True, "vetoed": []}
    await turn.say(f"not {state['proposal']!r}: {reason}")
    return {"accepted": False, "vetoed": [*vetoed, state["proposal"]]}


async def _plan(state: EmbodiedState, turn: Turn) -> EmbodiedState:
    """Say which steps solved tasks like this one."""
    recalled = await _recall_once(turn)
    plan = list(Planner().plan(state["task"], recalled.cases))
    turn.resources.pop("actor", None)
    return {"plan": plan}


async def _supervise(state: EmbodiedState, turn: Turn) -> EmbodiedState:
    """Call the planner first, then solver and world by turns; with no progress, plan anew."""
    turn.silent()
    proposal = state.get("proposal", "")
    if "plan" not in state:
        return {"next": "planner"}
    if not proposal:
        return {"next": "solver"}
    vetoed = tuple(state.get("vetoed", ()))
    if Critic().objection(proposal, state.get("history", []), state["actions"], vetoed):
        return {"next": "planner", "vetoed": [*vetoed, proposal], "proposal": ""}
    return {"next": "world_step"}


async def world_step(state: EmbodiedState) -> EmbodiedState:
    """Perform the proposed action in the world and record it."""
    run = current_run()
    environment: Environment = run.resources["environment"]
    action = state["proposal"]
    history = state.get("history", [])
    based_on = tuple(state.get("based_on", ()))
    step = ProposedStep(state["task"], "solver", action, based_on=based_on)
    judged = await run.memory.before_step(run.trial, step)
    noted: dict[str, Any] = {}
    refused = judged.verdict not in (Verdict.ALLOW, Verdict.FLAG)
    if refused:
        # A refused step costs a step, so that a team which insists comes to its end.
        observed = Observation(REFUSED + judged.reason, tuple(state["actions"]))
        noted = {"lessons": list(judged.dissenters)}
    else:
        observed = await environment.step(action)
        after = await run.memory.after_step(run.trial, replace(step, observation=observed.text))
        if after.verdict is not Verdict.ALLOW:
            noted = {"surprise": after.reason}
    await run.recorder.action(
        action,
        observed.text,
        role="solver",
        agent="solver",
        key=f"step:{len(history)}",
        used=state.get("based_on", []),
        data=noted,
    )
    seen = _seen(observed)
    if refused:
        # Nothing was done, so nothing is over.
        seen["won"], seen["done"] = state.get("won", False), state.get("done", False)
    return {
        **seen,
        "history": [(action, observed.text)],
        "proposal": "",
        "vetoed": [action] if refused else [],
    }


# --- the world ------------------------------------------------------------------------------------


def _seen(observed: Observation) -> EmbodiedState:
    return {
        "observation": observed.text,
        "actions": list(observed.actions or ()),
        "won": observed.won,
        "done": observed.done or observed.won,
    }


def _preparation(world: World, seed: int) -> Any:
    async def prepare(given: Any, resources: dict[str, Any]) -> Prepared:
        task = Task(
            id=str(given.get("task_id", "")),
            goal=str(given.get("task", "")),
            kind=str(given.get("kind", "")),
            data=dict(given.get("data", {})),
        )
        environment = world.environment()
        try:
            observed = await environment.reset(task, given.get("seed", seed))
            context = frozenset(mention.name for mention in mentions(observed.text))
            resources["environment"] = environment
            for action, said in given.get("history", []):
                if said.startswith(REFUSED):
                    continue
                again = await environment.step(action)
                if again.text != said:
                    raise ReplayMismatch(
                        f"Replaying task {task.id!r}, {action!r} gave another observation than "
                        "the recorded one; the world has changed. Run the task anew.",
                        task=task.id,
                        action=action,
                    )
        except BaseException:
            await environment.close()
            raise
        state: EmbodiedState = {
            "task": task.goal,
            "task_id": task.id,
            "kind": task.kind,
            "data": dict(task.data),
            "seed": given.get("seed", seed),
            "history": [],
            **_seen(observed),
        }
        return Prepared(state, context, environment.close)

    return prepare


async def replay(
    environment: Environment, task: Task, actions: Sequence[str], *, seed: int = 0
) -> list[tuple[str, Observation]]:
    """Play given actions from the start; returns each with what the world said.

    The first pair is ("", the first observation).
    """
    played = [("", await environment.reset(task, seed))]
    for action in actions:
        played.append((action, await environment.step(action)))
        if played[-1][1].done or played[-1][1].won:
            break
    return played
