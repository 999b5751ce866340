"""The statistics of lift on made-up receipts with a known effect."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

import pytest

from triforium.errors import InvalidInput
from triforium.graph import (
    Add,
    Changeset,
    Close,
    Outcome,
    Record,
    Store,
    StoredReceipt,
    Tier,
)
from triforium.graph.open import open_store
from triforium.memory.lift import Effect, Lift, lift, newcombe


@dataclass
class Made:
    """Writes trials with their receipts straight into a store."""

    store: Store
    count: int = 0

    async def records(self, *ids: str, scope: str = "team", tier: Tier = Tier.INSIGHT) -> None:
        ops = tuple(
            Add(Record(id=id_, tier=tier, kind="rule", text=f"says {id_}", scope=scope))
            for id_ in ids
        )
        await self.store.apply(Changeset(id=f"records {ids}", scope=scope, ops=ops))

    async def trial(
        self,
        outcome: Outcome | float | None,
        *recalls: Mapping[str, bool],
        scope: str = "team",
    ) -> None:
        """A trial with its recalls, each saying of every record offered whether it was served."""
        self.count += 1
        id_ = f"{scope} trial {self.count}"
        record = Record(id=id_, tier=Tier.QUERY, kind="task", text="do it", scope=scope)
        await self.store.apply(Changeset(id=f"begin {id_}", scope=scope, ops=(Add(record),)))
        for number, recall in enumerate(recalls):
            items = [
                {"id": one, "tier": "insight", "placement": "rule"}
                for one, served in recall.items()
                if served
            ]
            held_out = [one for one, served in recall.items() if not served]
            await self.store.put_receipt(
                StoredReceipt(
                    id=f"{id_} {number}",
                    scope=scope,
                    run=id_,
                    trial=id_,
                    body={"items": items, "held_out": held_out},
                )
            )
        if outcome is None:
            return
        if not isinstance(outcome, Outcome):
            outcome = Outcome.success() if outcome == 1.0 else Outcome.failure()
        close = Changeset(id=f"close {id_}", scope=scope, ops=(Close(id_, 1, outcome),))
        await self.store.apply(close)


@pytest.fixture
async def made() -> AsyncIterator[Made]:
    store = await open_store("sqlite://")
    yield Made(store)
    await store.close()


async def world(
    made: Made,
    *,
    effect: float,
    trials: int = 300,
    eps: float = 0.2,
    seed: int = 0,
    outcome: Callable[[random.Random, float], Outcome] | None = None,
    scope: str = "team",
) -> Lift:
    """Three records; holding one out lowers the probability of success by `effect`."""
    chance = random.Random(seed)
    await made.records("a", "b", "c", scope=scope)
    for _ in range(trials):
        served = {one: chance.random() >= eps for one in "abc"}
        rate = 0.6 - effect * sum(not one for one in served.values())
        ended = outcome(chance, rate) if outcome else float(chance.random() < rate)
        await made.trial(ended, served, scope=scope)
    return await lift(made.store, scope)


async def test_an_empty_store_knows_nothing(made: Made) -> None:
    measured = await lift(made.store, "team")
    assert measured.trials == 0
    assert measured.items == measured.whole == Effect(0, 0)
    assert "Not known yet" in measured.verdict


async def test_the_interval_holds_the_true_effect(made: Made) -> None:
    measured = await world(made, effect=0.15)
    effect = measured.items
    assert effect.low is not None
    assert effect.high is not None
    assert effect.low <= 0.15 <= effect.high
    assert effect.verdict == "helps"
    assert measured.verdict.startswith("A recalled item helps: +0.")
    assert measured.groups["tier insight"] == measured.groups["placement rule"] == effect


async def test_what_hurts_is_said_to_hurt(made: Made) -> None:
    assert (await world(made, effect=-0.12)).items.verdict == "hurts"


async def test_no_effect_is_not_seen_as_one(made: Made) -> None:
    effect = (await world(made, effect=0.0, seed=3)).items
    assert effect.verdict == "unclear"
    assert effect.low is not None
    assert effect.high is not None
    assert effect.low <= 0.0 <= effect.high


async def test_scores_are_measured_too(made: Made) -> None:
    def scored(chance: random.Random, rate: float) -> Outcome:
        return Outcome.score(min(1.0, max(0.0, chance.gauss(rate, 0.1))))

    measured = await world(made, effect=0.1, outcome=scored)
    for effect in (measured.items, *(one.effect for one in measured.records)):
        assert effect.difference == pytest.approx(0.1, abs=0.06)
        assert effect.low is not None
        assert effect.high is not None
        assert effect.low <= 0.1 <= effect.high
        assert effect.high - effect.low < 0.15


async def test_below_twenty_hold_outs_it_is_unknown(made: Made) -> None:
    await made.records("a")
    for _ in range(20):
        await made.trial(1.0, {"a": True})
    for _ in range(19):
        await made.trial(0.0, {"a": False})
    measured = await lift(made.store, "team")
    assert measured.items.difference is None
    assert measured.records[0].effect.difference is None
    assert measured.records[0].effect.mean_served == 1.0
    assert "19 of at least 20" in measured.verdict
    await made.trial(0.0, {"a": False})
    measured = await lift(made.store, "team")
    assert measured.items.difference == pytest.approx(1.0)
    assert measured.records[0].effect.verdict == "helps"


async def test_records_pool_to_what_none_says_alone(made: Made) -> None:
    ids = [f"r{number}" for number in range(12)]
    await made.records(*ids)
    for id_ in ids:
        for number in range(10):
            await made.trial(float(number % 10 < 8), {id_: True})
        for number in range(2):
            await made.trial(float(number == 0), {id_: False})
    measured = await lift(made.store, "team")
    assert all(one.effect.difference is None for one in measured.records)
    assert measured.items.held_out == 24
    assert measured.items.difference == pytest.approx(0.3)


async def test_a_record_served_to_easy_tasks_does_not_bias_the_pool(made: Made) -> None:
    # Neither record matters, but the easy tasks offer one that is mostly served and the hard
    # ones one that is mostly held out: the plain difference is large, the true lift is zero.
    chance = random.Random(1)
    await made.records("easy", "hard")
    for id_, rate, shown in (("easy", 0.9, 0.8), ("hard", 0.1, 0.2)):
        for _ in range(150):
            ended = float(chance.random() < rate)
            await made.trial(ended, {id_: chance.random() < shown})
    effect = (await lift(made.store, "team")).items
    assert effect.mean_served is not None
    assert effect.mean_held_out is not None
    assert effect.mean_served - effect.mean_held_out > 0.3
    assert effect.verdict == "unclear"


async def test_open_and_unknown_trials_are_left_out(made: Made) -> None:
    await made.records("a")
    await made.trial(None, {"a": True})
    await made.trial(Outcome.unknown(), {"a": True})
    await made.trial(1.0, {"a": True})
    measured = await lift(made.store, "team")
    assert measured.trials == 1
    assert measured.records[0].effect.served == 1


async def test_an_item_both_served_and_held_out_in_one_trial_is_left_aside(made: Made) -> None:
    await made.records("a")
    await made.trial(1.0, {"a": True}, {"a": False})
    await made.trial(1.0, {"a": True}, {"a": True})
    measured = await lift(made.store, "team")
    assert measured.mixed == 1
    assert measured.records[0].effect.served == 1


async def test_trials_that_got_nothing_measure_the_whole_memory(made: Made) -> None:
    await made.records("a")
    for number in range(40):
        await made.trial(float(number % 10 < 9), {"a": True})
        await made.trial(float(number % 10 < 3), {"a": False})
    measured = await lift(made.store, "team")
    assert measured.whole.difference == pytest.approx(0.6)
    assert measured.verdict.startswith("The memory helps: +0.60")


async def test_scopes_are_respected(made: Made) -> None:
    await made.records("w", scope="acme")
    for _ in range(3):
        await made.trial(1.0, {"w": True}, scope="acme")
        await made.trial(0.0, {"w": True}, scope="acme/left")
        await made.trial(0.0, {"w": False}, scope="acme/right")
    left = await lift(made.store, "acme/left")
    assert (left.scopes, left.trials) == (("acme/left",), 3)
    assert left.records[0].effect.mean_served == 0.0
    assert (await lift(made.store, "acme")).records[0].effect.mean_served == 1.0
    assert (await lift(made.store, "other")).trials == 0
    everything = await lift(made.store)
    assert everything.trials == 9
    assert everything.records[0].effect.held_out == 3


async def test_outcomes_that_are_all_alike_keep_an_honest_interval(made: Made) -> None:
    await made.records("a")
    for number in range(60):
        await made.trial(1.0, {"a": number % 2 == 0})
    effect = (await lift(made.store, "team")).items
    assert effect.difference == pytest.approx(0.0)
    assert effect.low is not None
    assert effect.high is not None
    assert effect.low < -0.05 < 0.05 < effect.high


async def test_it_says_when_there_was_more_to_read(made: Made) -> None:
    await made.records("a")
    for _ in range(3):
        await made.trial(1.0, {"a": True})
    assert (await lift(made.store, "team", limit=3)).complete
    cut = await lift(made.store, "team", limit=2)
    assert not cut.complete
    assert cut.trials == 2


async def test_no_receipts_to_read_is_refused(made: Made) -> None:
    with pytest.raises(InvalidInput):
        await lift(made.store, "team", limit=0)


def test_newcombe_agrees_with_its_paper() -> None:
    # Newcombe 1998, table II, method 10: 56/70 - 48/80 and 9/10 - 3/10.
    assert newcombe(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert newcombe(9, 10, 3, 10) == pytest.approx((0.1705, 0.8090), abs=5e-5)
    assert newcombe(10, 10, 0, 10) == pytest.approx((0.6075, 1.0), abs=5e-5)
