"""`Memory`: the one door to the shared memory of a team."""

from __future__ import annotations

import asyncio
import uuid
import warnings
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidInput, NotAdmitted, NotFound
from ..graph import (
    SEARCHABLE,
    Add,
    Applied,
    Changeset,
    JournalEntry,
    Op,
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
from ..graph.revert import Reverting, plan_revert, take_back
from .baselines import JUDGED
from .embedders import Embedder, embed_async, get_embedder
from .explain import Explanation
from .guard import Guard, Judgement, OpenGuard, ProposedStep, Verdict
from .guard.access import Access, check_curator, check_own, check_status, get_access
from .guard.admission import Admission
from .guard.notify import Notifier
from .guard.operations import GuardOperations
from .guard.registry import get_guard
from .recall import Recall
from .registry import get_strategy
from .remine import MAX_TRIALS
from .stages import recall, recall_from_receipt, recall_to_json
from .strategy import Cue, Rebuilding, Strategy
from .trial import Trial, default_source
from .trials import TrialOperations

if TYPE_CHECKING:
    import networkx as nx

    from ..graph.neo4j import Credentials


class Memory(TrialOperations, GuardOperations):
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
        guard: str | Guard | None = None,
        budget: int = 1000,
        hold_out: float = 0.02,
        learn: bool = True,
        access: str | Access = Access.CURATOR,
        admission: Admission | None = None,
        notifier: Notifier | None = None,
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
        self.guard = get_guard(guard)
        self.access = get_access(access)
        self.admission = admission
        if admission is None and not isinstance(self.guard, OpenGuard):
            self.admission = Admission()
        self.notifier = notifier or Notifier()
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
        guard: str | Guard | None = None,
        budget: int = 1000,
        hold_out: float = 0.02,
        learn: bool = True,
        credentials: Credentials | None = None,
        access: str | Access = Access.CURATOR,
        admission: Admission | None = None,
        webhook: str = "",
    ) -> AsyncIterator[Memory]:
        """Open the memory kept at `url`, and close it at the end of the block.

        Args:
            url: Such as ``sqlite:///team.db`` (a relative path), ``sqlite:////var/team.db``,
                ``sqlite://`` (gone at the end) or ``neo4j://host:7687``.
            scope: The tenant path that is read and written, such as ``acme/support``.
            source: The authenticated principal; the user of the operating system if empty.
            strategy: A name ("hierarchical", "exprag", "context", "none") or your own.
            embedder: "wordllama", your own, or None for lexical search only.
            guard: Judges what is written and recalled: "consensus", "none" or your own; lets
                everything pass if None.
            budget: Tokens of one recall.
            hold_out: Probability of leaving out a recalled item, to measure its worth.
            learn: False freezes what is remembered: trials are recorded, but every outcome is
                kept as unknown, which teaches nothing.
            credentials: For a server: name and password, or what gives them; from the environment
                (NEO4J_USERNAME and NEO4J_PASSWORD or NEO4J_PASSWORD_FILE) if None.
            access: "curator", or "viewer", who may not decide on quarantine, freeze or revert.
            admission: What may be written at all, and what is redacted; with a guard the usual
                rules if None, else everything is admitted.
            webhook: A URL that each quarantine, confirmation and release is posted to as JSON.

        Raises:
            InvalidURL: The URL names no store.
            NotAStore: There is something else.
            InvalidScope: The scope is not a path of plain names.
        """
        model = get_embedder(embedder)
        notifier = Notifier(webhook)
        store = await open_store(url, credentials=credentials)
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
                access=access,
                admission=admission,
                notifier=notifier,
            )
            await memory._check_embedder()
            yield memory
        finally:
            await store.close()
            await asyncio.to_thread(notifier.close)

    def scoped(
        self,
        scope: str,
        *,
        source: str = "",
        guard: str | Guard | None = None,
        learn: bool | None = None,
    ) -> Memory:
        """The same store, seen from another scope; settings that are not given stay as they are."""
        return Memory(
            self.store,
            scope=scope,
            source=source or self.source,
            strategy=self.strategy,
            embedder=self.embedder,
            guard=self.guard if guard is None else guard,
            budget=self.budget,
            hold_out=self.hold_out,
            learn=self.learn if learn is None else learn,
            access=self.access,
            admission=self.admission,
            notifier=self.notifier,
        )

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
        suspects: list[tuple[Record, Judgement]] = []
        recalled = await recall(
            view,
            self.strategy,
            self.guard,
            cue,
            receipt=receipt,
            count_tokens=self._count_tokens,
            # Without a trial there will be no outcome to compare.
            hold_out=self.hold_out if trial is not None else 0.0,
            suspects=suspects,
            embed=self._vector,
        )
        if suspects:
            await self.hold_suspects(suspects)
        if self.admission is not None:
            shown = [(item.record.id, item.text) for item in recalled.items]
            self.admission.recalled(run, shown)
        body = recall_to_json(replace(recalled, task=self._clean(recalled.task)))
        # The first receipt under an id is kept: a resumed node is given that one.
        stored = await self.store.put_receipt(
            StoredReceipt(
                id=receipt,
                scope=self.scope,
                run=run,
                trial=trial_id,
                role=role,
                position=view.position,
                body=body,
            )
        )
        if stored.position != view.position or stored.body["items"] != body["items"]:
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

    async def maintain(self, *, dry_run: bool = False, afresh: bool = False) -> int:
        """Let the strategy clean up; returns how many operations there were to do.

        Args:
            dry_run: Only count them.
            afresh: Work out anew all that was made of the trials, if the strategy can, which takes
                longer. After a source was taken back, nothing is left then of what it made seem
                rare, common or alike.
        """
        view = await self.store.view(self.scope)
        if afresh and isinstance(self.strategy, Rebuilding):
            ops = await self._rebuilt(self.strategy, view)
        else:
            ops = await self.strategy.maintain(view)
        if ops and not dry_run:
            await self._write(
                digest("maintain", self.scope, view.position, *(["afresh"] if afresh else [])),
                ops,
                reason="maintenance",
            )
        return len(ops)

    async def _rebuilt(self, strategy: Rebuilding, view: View) -> Sequence[Op]:
        trials = await view.recent(tiers=frozenset({Tier.QUERY}), k=MAX_TRIALS, where=JUDGED)
        own = [trial for trial in trials if trial.scope == self.scope]
        return await strategy.rebuild(
            view, [(trial, await self._vector(trial.text)) for trial in own]
        )

    async def revert(
        self, changeset: str | Sequence[str], *, cascade: bool = False, dry_run: bool = False
    ) -> Reverting:
        """Take changesets of this scope back; their inverse is appended to the journal.

        Args:
            changeset: Its id, or the ids of several that are taken back together.
            cascade: Take back what depends on it as well, operation by operation.
            dry_run: Only say what would be done.

        Raises:
            NotFound: This scope sees no such changeset.
            InvalidInput: It belongs to an outer scope, or the guard refuses its inverse.
            Conflict: Something depends on it; the error names what.
        """

        async def apply(inverse: Changeset) -> Applied:
            return await self._write(
                inverse.id, inverse.ops, reason=inverse.reason, base=inverse.base, exact=True
            )

        ids = [changeset] if isinstance(changeset, str) else list(changeset)
        if dry_run:
            return await plan_revert(
                self.store, self.scope, ids, cascade=cascade, actor=self.source
            )
        check_curator(self.access, "revert a changeset")
        return await take_back(
            self.store, self.scope, ids, cascade=cascade, actor=self.source, apply=apply
        )

    # --- writing ------------------------------------------------------------------------------

    async def write(self, ops: Sequence[Op], *, reason: str, id_: str = "") -> Applied:
        """Apply operations of your own, attributed to this memory's source.

        Args:
            ops: In order; every added record is given this scope's source.
            reason: A few words for the journal.
            id_: Makes it idempotent; a new one if empty.

        Raises:
            NotAdmitted: The admission or the guard refuses it; it says by which rule and why. With
                a guard that includes changes to what another source wrote.
            NotAllowed: It sets a status, and this memory was opened by a viewer.
            Frozen: It adds records, and this scope or one around it is frozen.
        """
        ops = list(ops)
        check_status(self.access, ops)
        if not isinstance(self.guard, OpenGuard):
            view = await self.store.view(self.scope)
            await check_own(view, self.source, self.access, ops)
        return await self._write(id_ or uuid.uuid4().hex, ops, reason=reason)

    async def _learnt(self, ops: Sequence[Op], *, reason: str) -> Applied:
        """Apply what a confirmation teaches, past the guard, which would refuse it from others."""
        return await self._write(uuid.uuid4().hex, list(ops), reason=reason, judged=True)

    async def _write(
        self,
        id_: str,
        ops: Sequence[Op],
        *,
        reason: str,
        base: int = 0,
        exact: bool = False,
        judged: bool = False,
    ) -> Applied:
        owned = tuple(self._owned(op) for op in ops)
        if self.admission is not None and not exact:
            self.admission.check_size(owned)
            owned = tuple(map(self.admission.clean_op, owned))
        changeset = Changeset(
            id=id_,
            scope=self.scope,
            base=base,
            actor=self.source,
            reason=self._clean(reason),
            ops=owned,
            exact=exact,
        )
        if not judged:
            await self._admit(changeset)
        added = [op.record for op in owned if isinstance(op, Add) and op.record.tier in SEARCHABLE]
        vectors: dict[str, NDArray[np.float32]] = {}
        fingerprint = ""
        if added and self.embedder is not None:
            fingerprint = await self._fingerprint(self.embedder)
            rows = await embed_async(self.embedder, [record.text for record in added])
            vectors = {record.id: row for record, row in zip(added, rows, strict=True)}
        return await self.store.apply(changeset, vectors=vectors, embedder=fingerprint)

    async def _admit(self, changeset: Changeset) -> None:
        if self.admission is not None and not changeset.exact:
            refusal = self.admission.judge(changeset)
            if refusal is not None:
                raise refusal.error()
        judgement = await self.guard.admit(changeset)
        if judgement.verdict not in (Verdict.ALLOW, Verdict.FLAG):
            raise NotAdmitted(
                f"The guard refuses this changeset ({judgement.verdict}): {judgement.reason}",
                rule="guard",
                reason=judgement.reason,
                judgement=judgement,
            )

    def _clean(self, text: str, *, judged: bool = False) -> str:
        """The text as it may be stored: with an admission, without secrets.

        Args:
            text: The text.
            judged: It becomes that of a record, which is refused if it is too long.
        """
        if self.admission is None or (judged and self.admission.too_long(text)):
            return text
        return self.admission.clean(text)

    def _owned(self, op: Op) -> Op:
        """The source of a record is who writes it, never what a payload says."""
        if isinstance(op, Add) and op.record.provenance.source != self.source:
            return Add(op.record.attributed(self.source))
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
