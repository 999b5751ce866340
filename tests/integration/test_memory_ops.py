"""`triforium bench memory-ops`: what it grows, what it times, and what it compares."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from triforium import Memory
from triforium.cli import app
from triforium.errors import InvalidInput
from triforium.graph import (
    Add,
    AddCredit,
    AddLink,
    Candidates,
    Hit,
    LinkType,
    Op,
    Record,
    TermStatistics,
    Tier,
)
from triforium.graph.text import index_terms
from triforium.memory.baselines import score_trials
from triforium.memory.embedders import get_embedder
from triforium.memory.strategy import Cue
from triforium.workflows import memory_ops, memory_ops_data
from triforium.workflows.memory_ops import OpsSettings, quantile, run_memory_ops
from triforium.workflows.memory_ops_data import LONG_TRIAL, Grown, Mix
from triforium.workflows.memory_ops_overlap import Call, Everything, overlap

RECORDS = 400
QUIET = Console(quiet=True)


def settings(**changed: Any) -> OpsSettings:
    return OpsSettings(**{"records": RECORDS, "warm_up": 5, "recalls": 8, "commits": 3, **changed})


def grown(seed: int = 0) -> Grown:
    return Grown(Mix.of(RECORDS), seed, "bench")


def all_ops(of: Grown) -> list[Op]:
    return [op for ops in of.batches(100) for op in ops]


# --- what is grown --------------------------------------------------------------------------------


def test_the_mix_is_as_promised() -> None:
    ops = all_ops(grown())
    tiers = Counter(op.record.tier for op in ops if isinstance(op, Add))
    assert tiers == {Tier.INTERACTION: 380, Tier.QUERY: 16, Tier.INSIGHT: 4}
    links = Counter(op.link.type for op in ops if isinstance(op, AddLink))
    assert set(links) >= set(LinkType) - {
        LinkType.REPLY_TO,
        LinkType.DERIVED_FROM,
        LinkType.SUPERSEDES,
        LinkType.SIMILAR,
        LinkType.REFUTES,
    }
    assert links[LinkType.PART_OF] == 380
    assert links[LinkType.NEXT] == 380 - 16
    supports = Counter(
        op.link.dst
        for op in ops
        if isinstance(op, AddLink) and op.link.type is LinkType.SUPPORTS and op.link.via
    )
    assert list(supports.values()) == [RECORDS // 10]
    led = Counter(
        op.link.src for op in ops if isinstance(op, AddLink) and op.link.type is LinkType.LED_TO
    )
    assert led.most_common(1)[0][0] == grown().trial_id(0)
    assert sum(op.op == "CLOSE" for op in ops) == 16


def test_a_large_memory_has_a_hub_of_ten_thousand_and_every_kind_of_link() -> None:
    assert Mix.of(100_000) == Mix(100_000, 1_000, 4_000, 95_000, 10_000, 1_000)
    large = Grown(Mix.of(4000), 0, "bench")
    types = {op.link.type for op in all_ops(large) if isinstance(op, AddLink)}
    assert types >= {LinkType.SIMILAR, LinkType.REFUTES}


def test_one_seed_gives_one_memory_and_another_another() -> None:
    assert all_ops(grown()) == all_ops(grown())
    assert all_ops(grown(1)) != all_ops(grown())
    assert grown().unseen(20, "a") == grown().unseen(20, "a") != grown().unseen(20, "b")


def test_unseen_tasks_are_of_no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    # With so few words trials and unseen tasks would meet if nothing kept them apart.
    for name in ("_THINGS", "_ROOMS", "_LOOKS", "_WEIGHTS"):
        monkeypatch.setattr(memory_ops_data, name, getattr(memory_ops_data, name)[:1] * 8)
    of = Grown(Mix.of(4000), 0, "bench")
    adds = [op.record for op in all_ops(of) if isinstance(op, Add)]
    tasks = {record.text for record in adds if record.tier is Tier.QUERY}
    unseen = of.unseen(200, "any")
    assert len(set(unseen)) == 200
    assert not tasks & set(unseen)


def test_the_long_trial_has_its_size() -> None:
    of = grown()
    all_ops(of)
    ops = of.long_trial(10**9)
    counts = Counter(type(op) for op in ops)
    assert (counts[Add], counts[AddLink], counts[AddCredit]) == LONG_TRIAL
    actions = [op for op in ops if isinstance(op, Add) and op.record.data.get("action")]
    assert len(actions) == 30
    keys = [op.link.key for op in ops if isinstance(op, AddLink)]
    assert len(set(keys)) == len(keys)
    credited = [(op.id, op.role, op.receipt) for op in ops if isinstance(op, AddCredit)]
    assert len(set(credited)) == len(credited)


def test_too_small_a_memory_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at least 100"):
        Mix.of(99)


# --- what is measured -----------------------------------------------------------------------------


async def test_it_measures_and_leaves_a_result(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'memory.db'}"
    result = await run_memory_ops(
        settings(store=url), out=tmp_path / "out", command="as typed", console=QUIET
    )
    assert json.loads((tmp_path / "out" / "result.json").read_text()) == result
    metrics = result["metrics"]
    for name in ("recall", "commit"):
        p50, p99 = metrics[f"{name}_p50_ms"], metrics[f"{name}_p99_ms"]
        assert 0 < p50["low"] <= p50["value"] <= p50["high"] <= p99["high"]
        assert p50["value"] <= p99["value"]
    assert 0 < metrics["open_ms"]["value"] < 60_000
    # So few that every trial and insight is a candidate.
    assert metrics["overlap_at_10"]["value"] == 1.0
    assert metrics["records_per_second"]["value"] > 0
    assert result["counts"] == {
        "recalls": 8,
        "commits": 3,
        "openings": memory_ops.OPENINGS,
        "commits_found_on_return": 3,
    }
    assert result["writer"]["trials"] >= 1
    store = result["store"]
    # What was grown, the timed commits and that of the warm-up, and what the writer added.
    queries = 16 + 4 + result["writer"]["trials"]
    assert store["records"]["query/task"] == queries
    assert store["receipts"] == 1 + 5 + 8
    assert store["bytes"] > 100_000
    assert result["environment"]["sqlite"].startswith("3.")
    assert result["settings"]["warm_up"] == 5


async def test_a_store_that_holds_something_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'memory.db'}"
    async with Memory.open(url, embedder=None) as memory:
        await memory.begin("something")
    with pytest.raises(InvalidInput, match="not empty: it holds 1 changesets"):
        await run_memory_ops(settings(store=url), out=tmp_path, command="", console=QUIET)
    async with Memory.open(url, embedder=None) as memory:
        assert (await memory.statistics()).position == 1


async def test_a_writer_that_fails_is_no_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Grown, number: int, steps: int = 24) -> list[Op]:
        if steps == 24 and number >= self.mix.trials:
            raise InvalidInput("the writer broke")
        return trial(self, number, steps)

    trial = Grown.trial
    monkeypatch.setattr(Grown, "trial", broken)
    with pytest.raises(InvalidInput, match="the writer broke"):
        await run_memory_ops(settings(), out=tmp_path, command="", console=QUIET)
    assert not (tmp_path / "result.json").exists()


def test_the_command(tmp_path: Path) -> None:
    runner = CliRunner()
    typed = ["bench", "memory-ops", "--records", "200", "--recalls", "3", "--commits", "2"]
    done = runner.invoke(app, [*typed, "--warm-up", "1", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "200 records, SQLite" in done.output
    assert "2 of 2 timed commits" in " ".join(done.output.split())
    assert json.loads((tmp_path / "result.json").read_text())["n"] == 200
    # `bench NAME` is still a command of its own, with other options.
    assert "--games" in runner.invoke(app, ["bench", "--help"]).output
    assert "--games" not in runner.invoke(app, ["bench", "memory-ops", "--help"]).output


def test_a_server_is_warmed_up_for_longer() -> None:
    assert OpsSettings().warm_up_of("sqlite:///a.db") == 50
    assert OpsSettings().warm_up_of("neo4j://host:7687") == 1500
    assert OpsSettings(warm_up=0).warm_up_of("neo4j://host:7687") == 0


# --- quantiles ------------------------------------------------------------------------------------


def test_the_interval_of_a_median_is_that_of_the_tables() -> None:
    """For n = 10 and n = 100 the ranks 2 to 9 and 40 to 61 (Hahn and Meeker 1991, table A.15)."""
    ten = quantile([float(n) for n in range(1, 11)], 0.5)
    assert (ten.low, ten.value, ten.high) == (2.0, 5.5, 9.0)
    hundred = quantile([float(n) for n in range(1, 101)], 0.5)
    assert (hundred.low, hundred.high) == (40.0, 61.0)
    assert quantile([3.0], 0.99).to_json() == {"value": 3.0, "low": 3.0, "high": 3.0}


@pytest.mark.parametrize(("n", "q"), [(100, 0.5), (500, 0.5), (500, 0.99)])
def test_the_interval_covers_the_quantile_as_often_as_it_says(n: int, q: float) -> None:
    rng = random.Random(1)
    covered = 0
    for _ in range(400):
        found = quantile([rng.random() for _ in range(n)], q)
        covered += found.low <= q <= found.high
    assert covered / 400 >= 0.93


# --- overlap --------------------------------------------------------------------------------------


def candidates(records: Sequence[Record], task: str, vectors: Any, cue: Any) -> Candidates:
    counted = [Counter(index_terms(record.text, record.keys)) for record in records]
    wanted = set(index_terms(task, ()))
    statistics = TermStatistics(
        documents=len(records),
        terms=sum(count.total() for count in counted),
        frequency={term: sum(term in count for count in counted) for term in wanted},
    )
    hits = tuple(
        Hit(record, (float(vector @ cue),)) for record, vector in zip(records, vectors, strict=True)
    )
    return Candidates(hits, {Tier.QUERY: statistics})


async def test_exhaustive_scoring_is_what_the_scorer_gives_for_everything() -> None:
    """And the overlap falls by a tenth with each of the first ten that was no candidate."""
    embedder = get_embedder("wordllama")
    assert embedder is not None
    of = Grown(Mix.of(4000), 3, "bench")
    async with Memory.open("sqlite://", scope="bench", embedder=embedder) as memory:
        for ops in of.batches(1000):
            await memory.write(ops, reason="grown")
        view = await memory.view()
        everything = await Everything.of(view, Tier.QUERY, embedder)
        records = sorted(
            await view.recent(tiers=frozenset({Tier.QUERY}), k=10_000), key=lambda one: one.added
        )
        middle = records[len(records) // 2].added
        vectors = embedder.embed([record.text for record in records])
        for task in of.unseen(5, "overlap"):
            (vector,) = embedder.embed([task])
            cue = Cue(task=task, vector=vector)
            for position in (view.position, middle):
                seen = [record for record in records if record.added <= position]
                whole = candidates(seen, task, vectors[: len(seen)], vector)
                expected = score_trials(whole, cue)
                call = Call(cue, position, (whole,))
                ranked = everything.ranked(call)
                assert [id_ for _, id_ in ranked[:10]] == [one.id for one, _ in expected[:10]]
                assert [score for score, _ in ranked[:10]] == pytest.approx(
                    [scores["final"] for _, scores in expected[:10]], abs=1e-6
                )
                assert overlap(call, Tier.QUERY, everything) == 1.0
            missed = {id_ for _, id_ in ranked[3:5]}
            hits = tuple(hit for hit in whole.hits if hit.record.id not in missed)
            part = Call(cue, position, (Candidates(hits, whole.terms),))
            assert overlap(part, Tier.QUERY, everything) == pytest.approx(0.8)
            nothing = Call(cue, position, (Candidates((), whole.terms),))
            assert overlap(nothing, Tier.QUERY, everything) == 0.0
