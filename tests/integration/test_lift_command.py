"""Lift from real recalls: hold-out, receipts, outcomes, and the command that shows it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from triforium import Memory, Outcome
from triforium.cli import app
from triforium.graph import Filter, Tier, View
from triforium.memory import Candidate, Cue, lift
from triforium.memory.baselines import NoMemory
from triforium.memory.cases import case_of, trial_candidate

STEPS = (("go to box 1", "In it: fish 1."), ("chill fish 1 with ice 1", "It is cold."))


class Lesson(NoMemory):
    """Offers nothing but trials of the role "teacher"."""

    async def retrieve(self, view: View, cue: Cue) -> Sequence[Candidate]:
        taught = Filter(roles=frozenset({"teacher"}), outcomes=frozenset({"success"}))
        found = await view.search([cue.task], tiers=frozenset({Tier.QUERY}), where=taught)
        return [
            trial_candidate(hit.record, [case_of(hit.record, ())], {"final": 1.0})
            for hit in found.hits
        ]


async def live(url: str, scope: str, trials: int) -> None:
    """One lesson, then trials, each won if it was served the lesson and lost if not."""
    async with Memory.open(
        url, scope=scope, strategy=Lesson(), embedder=None, hold_out=0.4
    ) as memory:
        first = await memory.begin("chill the fish", role="teacher")
        for action, said in STEPS:
            await memory.observe(first, said, action=action)
        await memory.commit(first, Outcome.success())
        for number in range(trials):
            trial = await memory.begin("chill the fish", run=f"run {number}", role="student")
            recalled = await memory.recall(trial.task, trial=trial)
            await memory.commit(trial, Outcome.success() if recalled.items else Outcome.failure())


async def test_the_hold_out_of_a_memory_shows_what_an_item_is_worth(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'team.db'}"
    await live(url, "team", 80)
    async with Memory.open(url, scope="team", embedder=None) as memory:
        measured = await lift(memory)
    (lesson,) = measured.records
    assert (lesson.placement, lesson.text) == ("example", "chill the fish")
    assert lesson.effect.served + lesson.effect.held_out == measured.trials == 80
    for effect in (lesson.effect, measured.items, measured.whole):
        assert effect.difference == pytest.approx(1.0)
        assert effect.verdict == "helps"


async def test_only_what_would_have_been_packed_counts_as_held_out() -> None:
    async with Memory.open(
        "sqlite://", strategy="exprag", embedder=None, hold_out=1.0, budget=3
    ) as memory:
        for _ in range(2):
            trial = await memory.begin("chill the fish")
            recalled = await memory.recall(trial.task, trial=trial)
            await memory.commit(trial, Outcome.success())
        assert recalled.rejected
        assert not recalled.held_out


def command(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["lift", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
async def store(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'team.db'}"
    await live(url, "acme/fish", 30)
    await live(url, "acme/other", 3)
    return url


def test_the_command_shows_a_table_and_a_sentence(store: str) -> None:
    shown = command("--store", store)
    assert "tier query" in shown
    assert shown.rstrip().endswith(".")


def test_the_command_prints_json_for_one_scope(store: str) -> None:
    told = json.loads(command("--store", store, "--scope", "acme/other", "--json", "--top", 1))
    assert told["scopes"] == ["acme/other"]
    assert told["trials"] == 3
    assert len(told["records"]) == 1
    assert told["items"]["difference"] is None
    assert "Not known yet" in told["verdict"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--store", "sqlite:///missing.db"], 2), (["--scope", "../up"], 2), (["--top", "-1"], 2)],
)
def test_bad_input_is_one_sentence(store: str, arguments: Sequence[str], code: int) -> None:
    given = [] if "--store" in arguments else ["--store", store]
    assert "Traceback" not in command(*given, *arguments, code=code)
