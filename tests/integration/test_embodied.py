"""Embodied teams: topologies, interruption, replay, and the page that shows what they remember."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from triforium import Memory, Observation, Task, Team, embodied
from triforium.errors import InvalidInput, ReplayMismatch
from triforium.graph import LinkType, View
from triforium.memory import Judgement, OpenGuard, ProposedStep, Verdict
from triforium.testing.scripted import ScriptedModel
from triforium.workflows.curve import rolling, svg_curve, terminal_curve
from triforium.workflows.household import Household, HouseholdEnvironment
from triforium.workflows.results import ItemLog, proportion
from triforium.workflows.runner import play

WORLD = Household(layouts=2)


@pytest.mark.parametrize(
    ("topology", "agents"), [("solver-critic", 2), ("chain", 1), ("supervisor", 2)]
)
async def test_two_envelopes_for_each_activation(topology: str, agents: int) -> None:
    workflow = embodied(WORLD, topology=topology, max_steps=6)
    async with workflow.open(checkpoints=None) as app:
        (run,) = [run async for run in app.stream(WORLD.tasks(1))]
        sent = app.bus.statistics().sent
    assert not run.error
    assert sent["request"] == sent["reply"]
    assert sent["request"] >= agents * len(run.state["history"])
    assert len(run.state["history"]) <= 6


async def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(InvalidInput, match="solver-critic, chain, supervisor"):
        embodied(WORLD, topology="ring")
    with pytest.raises(InvalidInput, match="max_steps"):
        embodied(WORLD, max_steps=0)


async def test_steps_are_recorded_in_order_as_they_happen() -> None:
    async with embodied(WORLD, max_steps=5).open(checkpoints=None) as app:
        (run,) = [run async for run in app.stream(WORLD.tasks(1))]
        graph = await app.memory.graph()
    acted = [
        data for _, data in graph.nodes(data=True)
        if str(data["tier"]) == "interaction" and str(data["kind"]) == "action"
    ]  # fmt: skip
    assert len(acted) == len(run.state["history"]) == 5
    edges: list[tuple[str, str, str]] = list(graph.edges(data="type"))
    following = [edge for edge in edges if str(edge[2]) == LinkType.NEXT]
    assert len(following) == run.steps - 1


class Wary(OpenGuard):
    """Refuses every step."""

    async def before_step(self, view: View, step: ProposedStep) -> Judgement:
        return Judgement(Verdict.SET_ASIDE, f"{step.action} looks wrong")


async def test_a_step_that_the_guard_refuses_is_not_performed() -> None:
    (task,) = WORLD.tasks(1)
    workflow = embodied(WORLD, max_steps=3)
    async with (
        Memory.open("sqlite://", scope="household", guard=Wary()) as memory,
        workflow.open_with(memory, checkpoints=None) as app,
    ):
        (run,) = [run async for run in app.stream([task])]
    assert not run.error
    said = [observation for _, observation in run.state["history"]]
    assert len(said) == 3
    assert all(text.startswith("The guard refuses this step: ") for text in said)


class Cut(Exception):
    """The power went."""


class Fragile(Household):
    """Its environments break at the third step, once."""

    def environment(self) -> HouseholdEnvironment:
        environment = super().environment()
        step = environment.step

        async def broken(action: str) -> Observation:
            counted.append(action)
            if len(counted) == 3:
                raise Cut
            return await step(action)

        environment.step = broken  # type: ignore[method-assign]
        return environment


counted: list[str] = []


async def test_a_task_that_was_cut_off_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    counted.clear()
    world = Fragile(layouts=2)
    (task,) = world.tasks(1)
    store = f"sqlite:///{tmp_path}/m.db"
    async with embodied(world, max_steps=6).open(store=store) as app:
        with pytest.raises(Cut):
            async for _ in app.stream([task], stream_id="s", on_error="stop"):
                pass
    async with embodied(WORLD, max_steps=6).open(store=store) as app:
        (run,) = [run async for run in app.stream([task], stream_id="s")]
        statistics = await app.memory.statistics()
    assert not run.error
    actions = [action for action, _ in run.state["history"]]
    assert actions[:2] == counted[:2], "what was done stays done"
    assert sum(statistics.outcomes.values()) == 1, "it is one trial"
    assert statistics.records["interaction/action"] == len(actions)


class Moved(Household):
    """A world that has changed since."""

    def environment(self) -> HouseholdEnvironment:
        environment = super().environment()
        step = environment.step

        async def other(action: str) -> Observation:
            observed = await step(action)
            return Observation(observed.text + " It is foggy.", observed.actions)

        environment.step = other  # type: ignore[method-assign]
        return environment


async def test_a_world_that_changed_is_noticed_on_resume(tmp_path: Path) -> None:
    counted.clear()
    store = f"sqlite:///{tmp_path}/m.db"
    (task,) = WORLD.tasks(1)
    async with embodied(Fragile(layouts=2)).open(store=store) as app:
        with pytest.raises(Cut):
            async for _ in app.stream([task], stream_id="s", on_error="stop"):
                pass
    async with embodied(Moved(layouts=2)).open(store=store) as app:
        with pytest.raises(ReplayMismatch, match="the world has changed"):
            async for _ in app.stream([task], stream_id="s", on_error="stop"):
                pass


async def test_a_model_chooses_among_the_admissible_actions() -> None:
    model = ScriptedModel((lambda prompt: "Choose one by its number" in prompt, '{"number": 1}'))
    team = Team("with-model", model=model)
    async with embodied(WORLD, team=team, max_steps=3).open(checkpoints=None) as app:
        (run,) = [run async for run in app.stream(WORLD.tasks(1))]
    assert not run.error
    assert run.usage.calls >= 3
    model.assert_used()


async def test_a_stream_is_resumed_from_its_log(tmp_path: Path) -> None:
    tasks = WORLD.tasks(3)
    console = Console(quiet=True)
    async with embodied(WORLD, max_steps=3).open(checkpoints=None) as app:
        log = ItemLog.open(tmp_path / "items.jsonl", {"n": 1})
        await play(app, tasks[:2], log, arm="a", console=console)
        again = ItemLog.open(tmp_path / "items.jsonl", {"n": 1})
        items = await play(app, tasks, again, arm="a", console=console)
        assert (await app.memory.statistics()).outcomes == {"failure": 3}
    assert [item["task"] for item in items] == [task.id for task in tasks]
    with pytest.raises(InvalidInput, match="other settings"):
        ItemLog.open(tmp_path / "items.jsonl", {"n": 2})


def test_curves_and_intervals() -> None:
    assert rolling([1, 0, 1], 2) == [1, 0.5, 0.5]
    assert "tasks   1-10" in terminal_curve([1.0] * 12)
    assert terminal_curve([]) == "No task has ended yet."
    assert svg_curve({"a": []}).startswith("<svg")
    half = proportion(50, 100)
    assert (round(half.low, 3), round(half.high, 3)) == (0.404, 0.596)
    assert proportion(0, 0).high == 1.0
    assert proportion(10, 10).high == pytest.approx(1.0)


async def test_an_unplayable_task_is_one_sentence(tmp_path: Path) -> None:
    async with embodied(WORLD).open(checkpoints=None) as app:
        (run,) = [run async for run in app.stream([Task("x", "fly to the moon", "", {})])]
    assert run.error
    assert "Traceback" not in run.error
