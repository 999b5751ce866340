"""`Memory`: the one door to the shared memory of a team."""

from __future__ import annotations

import asyncio
import uuid
import warnings
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Conflict, IdConflict, InvalidInput, NotFound
from ..graph import (
    SEARCHABLE,
    Add,
    AddLink,
    Applied,
    Changeset,
    Close,
    JournalEntry,
    Link,
    LinkType,
    Op,
    Outcome,
    OutcomeKind,
    Provenance,
    Record,
    Statistics,
    Store,
    StoredEffect,
    StoredReceipt,
    Tier,
    View,
    check_scope,
    digest,
)
from ..graph.open import open_store
from .cases import steps_of
from .embedders import Embedder, embed_async, get_embedder
from .explain import Explanation
from .guard import Guard, Judgement, OpenGuard, ProposedStep, Verdict
from .recall import Recall
from .registry import get_strategy
from .stages import recall, recall_from_receipt, recall_to_json
from .strategy import ClosedTrial, Cue, Strategy
from .trial import Trial, checked, credits, default_source

if TYPE_CHECKING:
    import networkx as nx

_TRIES = 3
_MAX_TRIALS_PER_RUN = 512


class Memory:
    """The shared memory of one team: trials go in, recalls with receipts come out.

    Open it with `Memory.open`. Safe for concurrent use within one event loop; any number of
    processes of one host may open the same SQLite store.
    """

    def __init__(
        self,
        store: Store,
        *,
        scope: str = "default",
        source: str = "",
        strategy: str | Strategy = "hierarchical",
        embedder: Embedder | None = None,
        guard: Guard | None = None,
        budget: int = 1000,
        hold_out: float = 0.02,
        learn: bool = True,
    ) -> None:
        """Use an open store; `open` is what most callers want."""
        if not 0.0 <= hold_out <= 1.0:
            raise InvalidInput(f"hold_out is a probability, not {hold_out!r}.", hold_out=hold_out)
        if budget < 0:
            raise InvalidInput(f"budget is a number of tokens, not {budget!r}.", budget=budget)
        self.store = store
        self.scope = check_scope(scope)
        self.source = source or default_source()
        self.strategy = get_strategy(strategy)
        self.embedder = embedder
        self.guard: Guard = guard or OpenGuard()
        self.budget = budget
        self.hold_out = hold_out
        self.learn = learn
        self._own_fingerprint = ""

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        *,
        scope: str = "default",
        source: str = "",
        strategy: str | Strategy = "hierarchical",
        embedder: str | Embedder | None = "wordllama",
        guard: Guard | None = None,
        budget: int = 1000,
        hold_out: float = 0.02,
        learn: bool = True,
    ) -> AsyncIterator[Memory]:
        """Open the memory kept at `url`, and close it at the end of the block.

        Args:
            url: Such as ``sqlite:///team.db`` (a relative path), ``sqlite:////var/team.db`` or
                ``sqlite://`` (in memory, gone at the end).
            scope: The tenant path that is read and written, such as ``acme/support``.
            source: The authenticated principal; the user of the operating system if empty.
            strategy: A name ("hierarchical", "exprag", "context", "none") or your own.
            embedder: "wordllama", your own, or None for lexical search only.
            guard: Judges what is written and recalled; lets everything pass if None.
            budget: Tokens of one recall.
            hold_out: Probability of leaving out a recalled item, to measure its worth.
            learn: False freezes what is remembered: trials are recorded, but every outcome is
                kept as unknown, which teaches nothing.

        Raises:
            InvalidURL: The URL names no store.
            NotAStore: There is something else.
            InvalidScope: The scope is not a path of plain names.
        """
        model = get_embedder(embedder)
        store = await open_store(url)
        try:
            memory = cls(
                store,
                scope=scope,
                source=source,
                strategy=strategy,
                embedder=model,
                guard=guard,
                budget=budget,
                hold_out=hold_out,
                learn=learn,
            )
            await memory._check_embedder()
            yield memory
        finally:
            await store.close()

    def scoped(self, scope: str, *, source: str = "") -> Memory:
        """The same store and settings, seen from another scope."""
        return Memory(
            self.store,
            scope=scope,
            source=source or self.source,
            strategy=self.strategy,
            embedder=self.embedder,
            guard=self.guard,
            budget=self.budget,
            hold_out=self.hold_out,
            learn=self.learn,
        )

    # --- trials -------------------------------------------------------------------------------

    async def begin(
        self,
        task: str,
        *,
        run: str = "",
        task_key: str = "",
        context: Iterable[str] = (),
        role: str = "",
        agent: str = "",
        data: Mapping[str, Any] | None = None,
    ) -> Trial:
        """Begin a trial, or take up the open one of this run and task again.

        Args:
            task: The task, in words.
            run: The workflow execution; a new one if empty.
            task_key: Groups attempts at the same task.
            context: Names of what is around, for finding trials in like surroundings.
            role: The role that begins it.
            agent: The agent that begins it.
            data: More to keep with it, plain JSON.
        """
        run = run or uuid.uuid4().hex
        async for id_, found in self._trials(run):
            if found is not None and (found.outcome is not None or found.text != task):
                continue
            if found is not None:
                return await self._resume(found)
            record = Record(
                id=id_,
                tier=Tier.QUERY,
                kind="task",
                text=checked(task),
                scope=self.scope,
                task_key=task_key,
                provenance=Provenance(self.source, role, agent, run),
                data={**(data or {}), "context": sorted(set(context))},
            )
            await self._write(digest("begin", id_), [Add(record)], reason="trial begins")
            return Trial(record)
        raise InvalidInput(
            f"The run {run!r} holds {_MAX_TRIALS_PER_RUN} trials, the most there may be. "
            "Start a new run.",
            run=run,
        )

    def trial_id(self, run: str, number: int) -> str:
        """The id of the n-th trial of a run, from 0."""
        return digest("trial", self.scope, run, number)

    async def _trials(self, run: str) -> AsyncIterator[tuple[str, Record | None]]:
        """The trials of a run in order, then the first free id with None."""
        view = await self.store.view(self.scope, run=run)
        for start in range(0, _MAX_TRIALS_PER_RUN, 16):
            ids = [self.trial_id(run, number) for number in range(start, start + 16)]
            found = await view.get(ids)
            for id_ in ids:
                yield id_, found.get(id_)
                if id_ not in found:
                    return

    async def _resume(self, record: Record) -> Trial:
        view = await self.store.view(self.scope, run=record.provenance.run)
        steps = (await steps_of(view, [record.id])).get(record.id, [])
        return Trial(
            record,
            steps=len(steps),
            last=steps[-1].id if steps else "",
            used={id_ for step in steps for id_ in step.data.get("used", ())},
            seen={step.id for step in steps},
        )

    async def observe(
        self,
        trial: Trial,
        text: str,
        *,
        action: str = "",
        role: str = "",
        agent: str = "",
        kind: str = "",
        used: Iterable[str] = (),
        reply_to: str = "",
        key: str = "",
        data: Mapping[str, Any] | None = None,
    ) -> str:
        """Record one step of a trial as it completes. Only the recorder calls this.

        Args:
            trial: The open trial.
            text: What was said, or what came of the action.
            action: What was done, if anything.
            role: Who.
            agent: Which agent.
            kind: "action" if there is an action, else "utterance", unless given.
            used: Ids of recalled records that it acted on.
            reply_to: Id of the step it answers.
            key: Identifies the step within the trial, so that a replay records it once; its
                number if empty.
            data: More to keep with it, plain JSON.

        Returns:
            The id of the INTERACTION record.
        """
        async with trial.lock:
            used = sorted(set(used))
            trial.used.update(used)
            id_ = digest("step", trial.id, key or trial.steps)
            record = Record(
                id=id_,
                tier=Tier.INTERACTION,
                kind=kind or ("action" if action else "utterance"),
                text=checked(f"{action}\n{text}" if action else text),
                scope=self.scope,
                task_key=trial.record.task_key,
                provenance=Provenance(self.source, role, agent, trial.run, trial.id, trial.steps),
                data={
                    **(data or {}),
                    **({"action": action} if action else {}),
                    **({"used": used} if used else {}),
                },
            )
            try:
                await self._record_step(trial, record, reply_to)
            except IdConflict:
                # A node that was replayed said something else this time; both are kept.
                again = digest("step again", id_, record.content_hash())
                record = replace(record, id=again)
                await self._record_step(trial, record, reply_to)
            return record.id

    async def _record_step(self, trial: Trial, record: Record, reply_to: str) -> None:
        ops: list[Op] = [
            Add(record),
            AddLink(Link(src=record.id, dst=trial.id, type=LinkType.PART_OF)),
        ]
        new = record.id not in trial.seen
        if trial.last and new:
            ops.append(AddLink(Link(src=trial.last, dst=record.id, type=LinkType.NEXT)))
        if reply_to:
            ops.append(AddLink(Link(src=record.id, dst=reply_to, type=LinkType.REPLY_TO)))
        view = await self.store.view(self.scope, run=trial.run)
        ops.extend(await self.strategy.observe(view, trial.record, record))
        await self._write(
            digest("observe", record.id, record.content_hash(), record.provenance.step),
            ops,
            reason="step recorded",
        )
        if new:
            trial.seen.add(record.id)
            trial.steps += 1
            trial.last = record.id

    async def commit(self, trial: Trial, outcome: Outcome) -> None:
        """Close a trial and let the strategy learn from it. An unknown outcome teaches nothing.

        Committing twice with the same outcome does nothing the second time.

        Raises:
            Conflict: The trial is closed with another outcome.
        """
        if not self.learn:
            outcome = Outcome.unknown("the memory is frozen", judge=outcome.judge)
        await self._close(trial.id, trial.run, outcome)

    async def open_trial(self, run: str) -> Trial | None:
        """The last trial of a run that has no outcome yet, or None."""
        last = None
        async for _, found in self._trials(run):
            if found is not None and found.outcome is None:
                last = found
        return None if last is None else await self._resume(last)

    async def settle(self, thread_id: str, outcome: Outcome) -> None:
        """Say later how a run ended: closes its last trial that is open or of unknown outcome.

        Args:
            thread_id: The run, or the id of a trial.
            outcome: How it ended, by someone's judgement.

        Raises:
            NotFound: There is no such run, or all its trials are settled.
        """
        if not outcome.judge:
            outcome = replace(outcome, judge="person")
        last: Record | None = None
        known = False
        async for _, found in self._trials(thread_id):
            known = known or found is not None
            if found is not None and (found.outcome is None or found.outcome.value is None):
                last = found
        if last is None:
            view = await self.store.view(self.scope)
            last = (await view.get([thread_id])).get(thread_id)
        if last is None or last.tier is not Tier.QUERY:
            raise NotFound(
                f"There is no trial to settle under {thread_id!r} in scope {self.scope!r}"
                + (": all of them have an outcome already." if known else "."),
                thread_id=thread_id,
            )
        await self._close(last.id, last.provenance.run, outcome)

    async def _close(self, id_: str, run: str, outcome: Outcome) -> None:
        for attempt in range(_TRIES):
            view = await self.store.view(self.scope, run=run)
            trial = (await view.get([id_])).get(id_)
            if trial is None:
                raise NotFound(f"There is no trial {id_!r} in scope {self.scope!r}.", id=id_)
            if trial.outcome == outcome:
                return
            ops: list[Op] = [Close(id_, trial.revision, outcome)]
            if outcome.kind is not OutcomeKind.UNKNOWN:
                ops += await self._lessons(view, trial, outcome)
            try:
                await self._write(
                    digest("commit", id_, outcome.to_json(), attempt, trial.revision),
                    ops,
                    reason=f"trial ends: {outcome.kind}",
                    base=view.position,
                )
                return
            except Conflict:
                if attempt == _TRIES - 1 or trial.outcome is not None:
                    raise

    async def _lessons(self, view: View, trial: Record, outcome: Outcome) -> list[Op]:
        """Credit for what was served, and what the strategy makes of the trial."""
        steps = (await steps_of(view, [trial.id])).get(trial.id, [])
        receipts = await self._recalls(view, await self.store.receipts(self.scope, trial=trial.id))
        used = frozenset(id_ for step in steps for id_ in step.data.get("used", ()))
        closed = ClosedTrial(
            record=trial,
            outcome=outcome,
            steps=tuple(steps),
            vector=await self._vector(trial.text),
            used=used,
        )
        ops = list(credits(receipts, used, outcome))
        ops += await self.strategy.commit(view, closed, receipts)
        return ops

    # --- recall -------------------------------------------------------------------------------

    async def recall(
        self,
        task: str,
        *,
        trial: Trial | None = None,
        role: str = "",
        step: int | str = 0,
        context: Iterable[str] = (),
        budget: int | None = None,
    ) -> Recall:
        """What the memory has for a task; its receipt is durable before this returns.

        Args:
            task: The task, in words.
            trial: The open trial it is for; asking again for the same trial, step and role gives
                the first answer again.
            role: The role that asks.
            step: Distinguishes several recalls of one trial.
            context: Names of what is around; those of the trial if empty.
            budget: Tokens; the memory's own if None.
        """
        run = trial.run if trial else uuid.uuid4().hex
        trial_id = trial.id if trial else ""
        receipt = digest("receipt", self.scope, run, trial_id, step, role)
        view = await self.store.view(self.scope, run=run)
        if trial is not None:
            first = await self.store.receipts(self.scope, ids=[receipt])
            if first:
                return (await self._recalls(view, first))[0]
        around = frozenset(context) or frozenset(
            trial.record.data.get("context", ()) if trial else ()
        )
        cue = Cue(
            task=task,
            role=role,
            run=run,
            trial=trial_id,
            vector=await self._vector(task),
            context=around,
            budget=self.budget if budget is None else budget,
        )
        recalled = await recall(
            view,
            self.strategy,
            self.guard,
            cue,
            receipt=receipt,
            count_tokens=self._count_tokens,
            # Without a trial there will be no outcome to compare.
            hold_out=self.hold_out if trial is not None else 0.0,
        )
        stored = await self.store.put_receipt(
            StoredReceipt(
                id=receipt,
                scope=self.scope,
                run=run,
                trial=trial_id,
                role=role,
                position=view.position,
                body=recall_to_json(recalled),
            )
        )
        if (
            stored.position != view.position
            or stored.body["items"] != (recall_to_json(recalled)["items"])
        ):
            return (await self._recalls(view, [stored]))[0]
        return recalled

    async def _recalls(self, view: View, receipts: Sequence[StoredReceipt]) -> list[Recall]:
        ids = {item["id"] for receipt in receipts for item in receipt.body["items"]}
        records = await view.get(sorted(ids))
        return [recall_from_receipt(receipt, records) for receipt in receipts]

    async def explain(self, id_: str) -> Explanation:
        """The account of a recall, or of all recalls of a trial or run.

        Args:
            id_: Of a receipt, a trial or a run.

        Raises:
            NotFound: The scope sees nothing under this id.
        """
        receipts = (
            await self.store.receipts(self.scope, ids=[id_])
            or await self.store.receipts(self.scope, trial=id_)
            or await self.store.receipts(self.scope, run=id_)
        )
        if not receipts:
            raise NotFound(
                f"There is no receipt, trial or run {id_!r} with a recall in scope {self.scope!r}.",
                id=id_,
            )
        return await self._explained(receipts)

    async def explain_run(self, run: str) -> Explanation:
        """The account of all recalls of a run; empty when nothing was recalled."""
        return await self._explained(await self.store.receipts(self.scope, run=run))

    async def _explained(self, receipts: Sequence[StoredReceipt]) -> Explanation:
        if not receipts:
            return Explanation((), (), {})
        trials = sorted({receipt.trial for receipt in receipts if receipt.trial})
        view = await self.store.view(self.scope, run=receipts[0].run)
        return Explanation(
            receipts=tuple(receipts),
            recalls=tuple(await self._recalls(view, receipts)),
            trials=await view.get(trials),
        )

    # --- guard --------------------------------------------------------------------------------

    async def before_step(self, trial: Trial, step: ProposedStep) -> Judgement:
        """The guard's word on an action that is about to be taken."""
        return await self.guard.before_step(await self.store.view(self.scope, run=trial.run), step)

    async def after_step(self, trial: Trial, step: ProposedStep) -> Judgement:
        """The guard's word on what came of an action."""
        return await self.guard.after_step(await self.store.view(self.scope, run=trial.run), step)

    # --- effects ------------------------------------------------------------------------------

    async def begin_effect(self, key: str, request: str) -> StoredEffect | None:
        """Note the intent of a side effect; returns what an earlier attempt left, if any."""
        return await self.store.begin_effect(
            StoredEffect(key=key, scope=self.scope, request=request)
        )

    async def finish_effect(self, key: str, request: str, result: Any) -> None:
        """Note the result of a side effect."""
        await self.store.finish_effect(
            StoredEffect(key=key, scope=self.scope, request=request, done=True, result=result)
        )

    # --- looking ------------------------------------------------------------------------------

    async def view(self, *, run: str = "", at: Any = None) -> View:
        """A View of this scope, now or as of a journal position or system time."""
        return await self.store.view(self.scope, run=run, at=at)

    async def statistics(self) -> Statistics:
        """Counts of what this scope sees."""
        return await self.store.statistics(self.scope)

    async def journal(self, *, after: int = 0, limit: int = 1000) -> tuple[JournalEntry, ...]:
        """What was changed, by whom and why, in order."""
        return await self.store.journal(self.scope, after=after, limit=limit)

    async def graph(
        self, *, tiers: Iterable[Tier] | None = None, at: Any = None
    ) -> nx.MultiDiGraph[str]:
        """The memory as a networkx graph: records as nodes, links as edges.

        Args:
            tiers: The storeys to include; all if None.
            at: A journal position or a system time; now if None.
        """
        from ..graph.export import to_networkx

        return await to_networkx(
            self.store, self.scope, tiers=None if tiers is None else frozenset(tiers), at=at
        )

    async def maintain(self, *, dry_run: bool = False) -> int:
        """Let the strategy clean up; returns how many operations there were to do."""
        view = await self.store.view(self.scope)
        ops = await self.strategy.maintain(view)
        if ops and not dry_run:
            await self._write(
                digest("maintain", self.scope, view.position), ops, reason="maintenance"
            )
        return len(ops)

    # --- writing ------------------------------------------------------------------------------

    async def write(self, ops: Sequence[Op], *, reason: str, id_: str = "") -> Applied:
        """Apply operations of your own, attributed to this memory's source.

        Args:
            ops: In order; every added record is given this scope's source.
            reason: A few words for the journal.
            id_: Makes it idempotent; a new one if empty.

        Raises:
            InvalidInput: The guard refuses it.
        """
        return await self._write(id_ or uuid.uuid4().hex, list(ops), reason=reason)

    async def _write(self, id_: str, ops: Sequence[Op], *, reason: str, base: int = 0) -> Applied:
        owned = tuple(self._owned(op) for op in ops)
        changeset = Changeset(
            id=id_, scope=self.scope, base=base, actor=self.source, reason=reason, ops=owned
        )
        judgement = await self.guard.admit(changeset)
        if judgement.verdict not in (Verdict.ALLOW, Verdict.FLAG):
            raise InvalidInput(
                f"The guard refuses this changeset ({judgement.verdict}): {judgement.reason}",
                judgement=judgement,
            )
        added = [op.record for op in owned if isinstance(op, Add) and op.record.tier in SEARCHABLE]
        vectors: dict[str, NDArray[np.float32]] = {}
        fingerprint = ""
        if added and self.embedder is not None:
            fingerprint = await self._fingerprint(self.embedder)
            rows = await embed_async(self.embedder, [record.text for record in added])
            vectors = {record.id: row for record, row in zip(added, rows, strict=True)}
        return await self.store.apply(changeset, vectors=vectors, embedder=fingerprint)

    def _owned(self, op: Op) -> Op:
        """The source of a record is who writes it, never what a payload says."""
        if isinstance(op, Add) and op.record.provenance.source != self.source:
            provenance = replace(op.record.provenance, source=self.source)
            return Add(replace(op.record, provenance=provenance))
        return op

    async def _vector(self, text: str) -> NDArray[np.float32] | None:
        if self.embedder is None or not text.strip():
            return None
        stored = self.store.embedder
        if stored and stored != await self._fingerprint(self.embedder):
            return None
        vector: NDArray[np.float32] = (await embed_async(self.embedder, [text]))[0]
        return vector

    async def _check_embedder(self) -> None:
        stored = self.store.embedder
        if stored and self.embedder and stored != await self._fingerprint(self.embedder):
            warnings.warn(
                f"The vectors of this store were made by {stored}, not by "
                f"{self._own_fingerprint}: search is by words only. Open it with the embedder it "
                "was made with to search by meaning.",
                stacklevel=2,
            )

    async def _fingerprint(self, embedder: Embedder) -> str:
        """The fingerprint; the first call loads the weights, so it happens on a thread."""
        if not self._own_fingerprint:
            self._own_fingerprint = await asyncio.to_thread(lambda: embedder.fingerprint)
        return self._own_fingerprint

    def _count_tokens(self, text: str) -> int:
        if self.embedder is None:
            # Without a tokeniser: a token is rarely shorter than three bytes.
            return -(-len(text.encode("utf-8", "replace")) // 3)
        return self.embedder.count_tokens(text)
