"""The suite `revert`: one command takes a bad source's influence out of a memory.

Fixed trajectories of an honest team are replayed twice: alone, and with the records of one bad
source between them, which look like experience, are recalled by honest trials and speak for
insights. Then `triforium revert --source` takes the bad source back, both memories are mined and
linked again, and what is left is compared: records, links, credit, taint, counts of sources. The
journal and the receipts stay: they are the account of what happened. What a bad source's trials
made the team mine, and nobody speaks for any more, is archived; such husks are counted apart.

The second part times taint: a root with `descendants` descendants is put into quarantine.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...agents import Task
from ...graph import (
    Add,
    AddLink,
    Changeset,
    Close,
    Filter,
    Link,
    LinkType,
    Outcome,
    Provenance,
    Record,
    SetStatus,
    Status,
    StoredReceipt,
    Tier,
    digest,
)
from ...graph.audit import examine
from ...graph.revert import revertible
from ...graph.sqlite import open_sqlite
from ...memory import Memory
from ..household import Household
from .suites import Arm, GuardSettings, Progress, SuiteResult

TEAM = "team"
BAD = "mallory"
HONEST = ("ann", "bob", "cleo")
STORES = ("clean", "met")


@dataclass(frozen=True, slots=True)
class _Trajectory:
    """What is replayed: a task, what was done, how it ended, and which trials were handed out."""

    run: str
    task: Task
    steps: tuple[tuple[str, str], ...]
    won: bool
    source: str
    served: tuple[str, ...] = ()


async def run(settings: GuardSettings, progress: Progress) -> SuiteResult:
    """Replay, revert, compare; then time taint.

    Options: `honest` (200 trials), `bad` (500 records), `embedder` ("none" or "wordllama"),
    `descendants` (10000), `store` (an existing folder that keeps the stores; without it they are
    temporary).
    """
    honest, bad = settings.number("honest", 200), settings.number("bad", 500)
    descendants = settings.number("descendants", 10_000)
    arms, items, more = [], [], {}
    for seed in settings.seeds:
        measured = await _one(settings, seed, honest, bad, progress)
        items.append({"arm": "revert", "task": f"seed {seed}", "seed": seed, **measured})
    arms.append(
        Arm(
            name="revert:source",
            n=len(items),
            metrics={
                "equal_stores": _spread([float(one["different_after"] == 0) for one in items]),
                **{
                    name: _spread([float(one[name]) for one in items])
                    for name in (
                        "bad_records", "different_before", "different_after", "husks",
                        "undone", "revert_seconds", "mine_seconds",
                    )
                },
            },
        )
    )  # fmt: skip
    times = await time_taint(descendants, repeats=5)
    more["taint_ms"] = times
    arms.append(
        Arm(
            name=f"taint:{descendants}",
            n=len(times["quarantine"]),
            metrics={
                f"{what}_ms": _spread(some)
                for what, some in times.items()
            },
        )
    )  # fmt: skip
    return SuiteResult(arms=arms, items=items, more=more)


def _spread(values: Sequence[float]) -> dict[str, float]:
    """The median, the least and the greatest."""
    ordered = sorted(values)
    return {"value": ordered[len(ordered) // 2], "low": ordered[0], "high": ordered[-1]}


async def _one(
    settings: GuardSettings, seed: int, honest: int, bad: int, progress: Progress
) -> dict[str, Any]:
    embedder = settings.option("embedder", "none")
    chosen = None if embedder == "none" else embedder
    trajectories = await _trajectories(seed, honest)
    folder = settings.option("store", "")
    urls = [f"sqlite:///{folder}/{name}-{seed}.db" if folder else "sqlite://" for name in STORES]
    async with (
        Memory.open(urls[0], scope=TEAM, embedder=chosen, hold_out=0.0) as clean,
        Memory.open(urls[1], scope=TEAM, embedder=chosen, hold_out=0.0) as met,
    ):
        for number, one in enumerate(trajectories):
            await _replay(clean, one, ())
            progress(f"alone, seed {seed}", number + 1, len(trajectories))
        attack = _Attack(met, trajectories, bad, seed)
        for number, one in enumerate(trajectories):
            await attack.strike(number)
            await _replay(met, one, attack.latest())
            progress(f"attacked, seed {seed}", number + 1, len(trajectories))
        return await _measure(clean, met, attack.records)


async def _measure(clean: Memory, met: Memory, records: int) -> dict[str, Any]:
    """Take the bad source back, mine both again, compare."""
    before = _differ(await content(clean), await content(met))
    started = time.perf_counter()
    ids = await revertible(met.store, TEAM, BAD)
    dry = await met.revert(ids, cascade=True, dry_run=True)
    done = await met.revert(ids, cascade=True)
    reverted = time.perf_counter()
    for memory in (clean, met):
        await memory.maintain(afresh=True)
    mined = time.perf_counter()
    wanted, left = await content(clean), await content(met)
    problems = [*(await examine(met.store)).problems]
    again = await met.maintain(afresh=True, dry_run=True)
    return {
        "bad_records": records,
        "dry_run_says_the_same": [op.position for op in dry.undone]
        == [op.position for op in done.undone],
        "undone": len(done.undone),
        "dependent": len(done.dependents),
        "different_before": len(before),
        "different_after": len(_differ(wanted, left)),
        "differences": _differ(wanted, left)[:20],
        "husks": len(await husks(met)) - len(await husks(clean)),
        "left_to_mine": again,
        "problems": problems,
        "revert_seconds": round(reverted - started, 3),
        "mine_seconds": round(mined - reverted, 3),
    }


async def _trajectories(seed: int, count: int) -> list[_Trajectory]:
    """Solved tasks of the household world, one in five spoilt, with what each was handed."""
    world = Household()
    rng = random.Random(f"revert {seed}")
    found: list[_Trajectory] = []
    for number, task in enumerate(world.tasks(count, seed=seed)):
        actions = await world.demonstration(task)
        won = rng.random() >= 0.2
        if not won:
            actions = actions[:-1]
        environment = world.environment()
        await environment.reset(task, seed)
        steps = [(action, (await environment.step(action)).text) for action in actions]
        await environment.close()
        earlier = [one.run for one in found if one.task.kind == task.kind][-8:]
        served = tuple(sorted(rng.sample(earlier, min(2, len(earlier)))))
        name = f"honest-{number}"
        source = HONEST[number % len(HONEST)]
        found.append(_Trajectory(name, task, tuple(steps), won, source, served))
    return found


async def _replay(memory: Memory, one: _Trajectory, bad: Sequence[str]) -> str:
    """One honest trial; what it was handed is fixed, and bad records come on top."""
    own = memory.scoped(TEAM, source=one.source)
    trial = await own.begin(one.task.goal, run=one.run)
    served = [*(own.trial_id(run, 0) for run in one.served), *bad]
    if served:
        await memory.store.put_receipt(_receipt(own, trial.id, one, served))
    for action, observed in one.steps:
        await own.observe(trial, observed, action=action, role="solver")
    outcome = Outcome.success if one.won else Outcome.failure
    await own.commit(trial, outcome(judge="environment"))
    return trial.id


def _receipt(memory: Memory, trial: str, one: _Trajectory, served: Sequence[str]) -> StoredReceipt:
    """The account of a recall that handed out some trials."""
    items: list[dict[str, Any]] = [
        {"id": id_, "tier": "query", "placement": "example", "scores": {}, "path": [id_],
         "text": "", "tokens": 0, "case": None, "rule": None}
        for id_ in served
    ]  # fmt: skip
    body = {
        "task": one.task.goal, "role": "solver", "strategy": "fixed", "budget": 1000, "tokens": 0,
        "items": items, "rejected": [], "held_out": [],
    }  # fmt: skip
    return StoredReceipt(
        id=digest("fixed receipt", trial), scope=TEAM, run=one.run, trial=trial, role="solver",
        body=body,
    )  # fmt: skip


class _Attack:
    """Writes the bad source's records between honest trials: trials, their steps, insights."""

    def __init__(
        self, memory: Memory, honest: Sequence[_Trajectory], records: int, seed: int
    ) -> None:
        self._memory = memory.scoped(TEAM, source=BAD)
        self._honest = honest
        self._total = records
        self._rng = random.Random(f"bad {seed}")
        self._trials: list[str] = []
        self.records = 0

    async def strike(self, number: int) -> None:
        """Write as many records as are due before an honest trial."""
        due = self._total * (number + 1) // len(self._honest)
        while self.records < due:
            await self._one(due - self.records)

    def latest(self) -> tuple[str, ...]:
        """The bad trial that the next honest one is handed."""
        return tuple(self._trials[-1:])

    async def _one(self, most: int) -> None:
        """A trial with the task of one honest trial and the actions of another; or an insight."""
        number = len(self._trials)
        if most == 1 or self._rng.random() < 0.2:
            text = f"when the task is like {self._task().goal!r}, do nothing (tip {self.records})"
            record = Record(
                id=digest("tip", self.records), tier=Tier.INSIGHT, kind="tip", text=text,
                scope=TEAM,
            )  # fmt: skip
            links = [
                AddLink(Link(src=id_, dst=record.id, type=LinkType.SUPPORTS))
                for id_ in self._trials[-2:]
            ]
            await self._memory.write([Add(record), *links], reason="a tip")
            self.records += 1
            return
        steps = self._rng.choice(self._honest).steps[: min(3, most - 1)]
        trial = await self._memory.begin(self._task().goal, run=f"bad-{number}")
        for action, observed in steps:
            await self._memory.observe(trial, observed, action=action, role="solver")
        await self._memory.commit(trial, Outcome.success(judge="environment"))
        self._trials.append(trial.id)
        self.records += 1 + len(steps)

    def _task(self) -> Task:
        return self._rng.choice(self._honest).task


# --- comparing ------------------------------------------------------------------------------------


async def content(memory: Memory) -> dict[str, Any]:
    """What readers can tell of a memory: records, links, credit, taint, counts of sources.

    Left out are positions and times, which say when and not what, and insights that were archived
    because nobody speaks for them.
    """
    left_out = {one.id for one in await husks(memory)}
    found: dict[str, Any] = {}
    view = await memory.view()
    records = await view.recent(
        tiers=frozenset(Tier), k=1_000_000, where=Filter(statuses=frozenset(), tainted=None)
    )
    for one in records:
        if one.id not in left_out:
            found[f"record {one.id}"] = _plain(one)
    async for row in memory.store.dump(TEAM):
        if row["row"] == "link" and row["expired"] is None:
            ends = {str(row["src"]), str(row["dst"])}
            if not ends & left_out:
                key = " ".join(str(row[name]) for name in ("src", "type", "dst", "via"))
                found[f"link {key}"] = row["weight"]
    for name, counts in (await view.sources([*HONEST, BAD])).items():
        # Insights are mined by whoever closes the trial that shows them.
        found[f"source {name}"] = (counts.successes, counts.failures, counts.quarantined)
    return found


def _plain(one: Record) -> dict[str, Any]:
    stripped = replace(
        one, added=0, expired=None, created_at=None, revision=0,
        credit={
            role: credit
            for role, credit in one.credit.items()
            if any(abs(value) > 1e-9 for value in (credit.uses, credit.helped, credit.hurt))
        },
    )  # fmt: skip
    plain = {name: getattr(stripped, name) for name in stripped.__slots__}
    plain["data"] = dict(one.data)
    if one.tier is Tier.INSIGHT:
        plain["provenance"] = None
    return plain


async def husks(memory: Memory) -> list[Record]:
    """Insights that were archived since no trial speaks for or against them."""
    view = await memory.view()
    archived = Filter(
        kinds=frozenset({"rule"}), statuses=frozenset({Status.ARCHIVED}), tainted=None
    )
    found = await view.recent(tiers=frozenset({Tier.INSIGHT}), k=1_000_000, where=archived)
    return [one for one in found if not one.support]


def _differ(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Names of what is not the same in both."""
    return sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))


# --- taint ----------------------------------------------------------------------------------------


async def time_taint(descendants: int, *, repeats: int) -> dict[str, list[float]]:
    """Milliseconds to put a root into quarantine and to release it, durable, on SQLite.

    Args:
        descendants: How many records descend from it, three from each.
        repeats: How often.
    """
    with tempfile.TemporaryDirectory() as folder:
        store = await open_sqlite(f"sqlite:///{folder}/taint.db")
        try:
            await _grow(store, descendants)
            times: dict[str, list[float]] = {"quarantine": [], "release": []}
            revision = 2
            for number in range(repeats):
                for what, status in (
                    ("quarantine", Status.QUARANTINED), ("release", Status.ACTIVE),
                ):  # fmt: skip
                    op = SetStatus("r0", revision, status, "timed")
                    started = time.perf_counter()
                    await store.apply(Changeset(id=f"{what}{number}", scope=TEAM, ops=(op,)))
                    times[what].append(round(1000 * (time.perf_counter() - started), 2))
                    revision += 1
                    await asyncio.sleep(0)
            return times
        finally:
            await store.close()


async def _grow(store: Any, descendants: int) -> None:
    """A tree of trials below r0."""
    for start in range(0, descendants + 1, 1000):
        ops: list[Any] = []
        for number in range(start, min(start + 1000, descendants + 1)):
            record = Record(
                id=f"r{number}", tier=Tier.QUERY, kind="task", text=f"task {number}", scope=TEAM,
                provenance=Provenance(HONEST[number % len(HONEST)], run="r"),
            )  # fmt: skip
            ops += [Add(record), Close(record.id, 1, Outcome.success())]
            if number:
                parent = f"r{(number - 1) // 3}"
                ops.append(AddLink(Link(src=parent, dst=record.id, type=LinkType.LED_TO)))
        await store.apply(Changeset(id=f"grow {start}", scope=TEAM, ops=tuple(ops)))
