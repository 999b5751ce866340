"""The life of a trial: it begins, steps are observed, its outcome closes it and teaches."""

from __future__ import annotations

import logging
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from ..errors import Conflict, Frozen, IdConflict, InvalidInput, NotAdmitted, NotFound
from ..graph import (
    Add,
    AddLink,
    Close,
    Link,
    LinkType,
    Op,
    Outcome,
    OutcomeKind,
    Provenance,
    Record,
    Supersede,
    Tier,
    Unlink,
    View,
    digest,
)
from .cases import steps_of
from .guard.lessons import lesson_credits
from .strategy import ClosedTrial
from .trial import Trial, checked, credits

if TYPE_CHECKING:
    from .facade import Memory

_log = logging.getLogger(__name__)
_TRIES = 3
_MAX_TRIALS_PER_RUN = 512


class TrialOperations:
    """The part of `Memory` by which trials are lived through."""

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

        Returns:
            The trial. What the admission refuses, or a frozen scope, is a trial too, which says so
            in `refused`; the run goes on with it, and nothing of it is remembered.

        Raises:
            NotAdmitted: The guard refuses it.
        """
        memory = self._memory
        run = run or uuid.uuid4().hex
        task = memory._clean(checked(task), judged=True)
        async for id_, found in self._trials(run):
            if found is not None and (found.outcome is not None or found.text != task):
                continue
            if found is not None:
                return await self._resume(found)
            record = Record(
                id=id_,
                tier=Tier.QUERY,
                kind="task",
                text=task,
                scope=memory.scope,
                task_key=task_key,
                provenance=Provenance(memory.source, role, agent, run),
                data={**(data or {}), "context": sorted(set(context))},
            )
            try:
                await memory._write(digest("begin", id_), [Add(record)], reason="trial begins")
            except (NotAdmitted, Frozen) as error:
                if error.facts.get("rule") == "guard":
                    raise
                # The run goes on; it is not remembered.
                _log.warning("a trial is not recorded: %s", error)
                return Trial(record, refused=str(error))
            return Trial(record)
        raise InvalidInput(
            f"The run {run!r} holds {_MAX_TRIALS_PER_RUN} trials, the most there may be. "
            "Start a new run.",
            run=run,
        )

    def trial_id(self, run: str, number: int) -> str:
        """The id of the n-th trial of a run, from 0."""
        return digest("trial", self._memory.scope, run, number)

    async def _trials(self, run: str) -> AsyncIterator[tuple[str, Record | None]]:
        """The trials of a run in order, then the first free id with None."""
        memory = self._memory
        view = await memory.store.view(memory.scope, run=run)
        for start in range(0, _MAX_TRIALS_PER_RUN, 16):
            ids = [self.trial_id(run, number) for number in range(start, start + 16)]
            found = await view.get(ids)
            for id_ in ids:
                yield id_, found.get(id_)
                if id_ not in found:
                    return

    async def _resume(self, record: Record) -> Trial:
        memory = self._memory
        view = await memory.store.view(memory.scope, run=record.provenance.run)
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
        memory = self._memory
        async with trial.lock:
            used = sorted(set(used))
            trial.used.update(used)
            id_ = digest("step", trial.id, key or trial.steps)
            if trial.refused:
                return id_
            action, text = (
                memory._clean(action, judged=True),
                memory._clean(text, judged=True),
            )
            record = Record(
                id=id_,
                tier=Tier.INTERACTION,
                kind=kind or ("action" if action else "utterance"),
                text=checked(f"{action}\n{text}" if action else text),
                scope=memory.scope,
                task_key=trial.record.task_key,
                provenance=Provenance(memory.source, role, agent, trial.run, trial.id, trial.steps),
                data={
                    **(data or {}),
                    **({"action": action} if action else {}),
                    **({"used": used} if used else {}),
                },
            )
            try:
                return await self._record_once(trial, record, reply_to)
            except NotAdmitted as error:
                if error.facts.get("rule") == "guard":
                    raise
                return await self._record_refusal(trial, record, reply_to, error)
            except Frozen as error:
                trial.refused = str(error)
                _log.warning("a step is not recorded: %s", error)
                return id_

    async def _record_once(self, trial: Trial, record: Record, reply_to: str) -> str:
        try:
            await self._record_step(trial, record, reply_to)
        except IdConflict:
            # A node that was replayed said something else this time; both are kept.
            again = digest("step again", record.id, record.content_hash())
            record = replace(record, id=again)
            await self._record_step(trial, record, reply_to)
        return record.id

    async def _record_refusal(
        self, trial: Trial, record: Record, reply_to: str, error: NotAdmitted
    ) -> str:
        """In place of a step that is not admitted: that there was one, and why it is not here."""
        _log.warning("a step is not recorded as it was: %s", error)
        rule = str(error.facts.get("rule", "guard"))
        said = replace(
            record,
            kind="utterance",
            text=f"[not recorded: {error.facts.get('reason', error.message)}]",
            data={"refused": rule, **({"used": used} if (used := record.data.get("used")) else {})},
        )
        try:
            return await self._record_once(trial, said, reply_to)
        except NotAdmitted:
            return record.id

    async def _record_step(self, trial: Trial, record: Record, reply_to: str) -> None:
        memory = self._memory
        ops: list[Op] = [
            Add(record),
            AddLink(Link(src=record.id, dst=trial.id, type=LinkType.PART_OF)),
        ]
        if memory.admission is not None:
            # Before it is hashed, which takes as long as it is large and as deep as it is nested.
            memory.admission.check_size(ops)
        new = record.id not in trial.seen
        if trial.last and new:
            ops.append(AddLink(Link(src=trial.last, dst=record.id, type=LinkType.NEXT)))
        if reply_to:
            ops.append(AddLink(Link(src=record.id, dst=reply_to, type=LinkType.REPLY_TO)))
        view = await memory.store.view(memory.scope, run=trial.run)
        ops.extend(await memory.strategy.observe(view, trial.record, record))
        await memory._write(
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
        if trial.refused:
            return
        if not self._memory.learn:
            outcome = Outcome.unknown("the memory is frozen", judge=outcome.judge)
        try:
            await self._close(trial.id, trial.run, outcome)
        except Frozen as error:
            trial.refused = str(error)
            _log.warning("an outcome is not recorded: %s", error)

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
        memory = self._memory
        if not outcome.judge:
            outcome = replace(outcome, judge="person")
        last: Record | None = None
        known = False
        async for _, found in self._trials(thread_id):
            known = known or found is not None
            if found is not None and (found.outcome is None or found.outcome.value is None):
                last = found
        if last is None:
            view = await memory.store.view(memory.scope)
            last = (await view.get([thread_id])).get(thread_id)
        if last is None or last.tier is not Tier.QUERY:
            raise NotFound(
                f"There is no trial to settle under {thread_id!r} in scope {memory.scope!r}"
                + (": all of them have an outcome already." if known else "."),
                thread_id=thread_id,
            )
        await self._close(last.id, last.provenance.run, outcome)

    async def _close(self, id_: str, run: str, outcome: Outcome) -> None:
        memory = self._memory
        outcome = replace(outcome, reason=memory._clean(outcome.reason))
        for attempt in range(_TRIES):
            view = await memory.store.view(memory.scope, run=run)
            trial = (await view.get([id_])).get(id_)
            if trial is None:
                raise NotFound(f"There is no trial {id_!r} in scope {memory.scope!r}.", id=id_)
            if trial.outcome == outcome:
                return
            ops: list[Op] = [Close(id_, trial.revision, outcome)]
            if outcome.kind is not OutcomeKind.UNKNOWN:
                ops += await self._lessons(view, trial, outcome)
            key = digest("commit", id_, outcome.to_json(), attempt, trial.revision)
            reason = f"trial ends: {outcome.kind}"
            try:
                try:
                    await memory._write(key, ops, reason=reason, base=view.position)
                except NotAdmitted as error:
                    if error.facts.get("rule") == "guard":
                        raise
                    # The trial ended all the same; only what was made of it is not kept.
                    _log.warning("what a trial teaches is not recorded: %s", error)
                    kept = _without_added(ops)
                    await memory._write(
                        digest(key, "kept"), kept, reason=reason, base=view.position
                    )
                return
            except Conflict:
                if attempt == _TRIES - 1 or trial.outcome is not None:
                    raise

    async def _lessons(self, view: View, trial: Record, outcome: Outcome) -> list[Op]:
        """Credit for what was served, and what the strategy makes of the trial."""
        memory = self._memory
        steps = (await steps_of(view, [trial.id])).get(trial.id, [])
        receipts = await memory._recalls(
            view, await memory.store.receipts(memory.scope, trial=trial.id)
        )
        used = frozenset(id_ for step in steps for id_ in step.data.get("used", ()))
        closed = ClosedTrial(
            record=trial,
            outcome=outcome,
            steps=tuple(steps),
            vector=await memory._vector(trial.text),
            used=used,
        )
        ops = list(credits(receipts, used, outcome))
        ops += lesson_credits(trial.id, steps, outcome)
        ops += await memory.strategy.commit(view, closed, receipts)
        return ops

    @property
    def _memory(self) -> Memory:
        return cast("Memory", self)


def _without_added(ops: Sequence[Op]) -> list[Op]:
    """Operations without the records they add, and without all that concerns these."""
    added = {op.record.id for op in ops if isinstance(op, Add)}

    def concerned(op: Op) -> set[str]:
        match op:
            case Add(record):
                return {record.id}
            case AddLink(link):
                return {link.src, link.dst}
            case Unlink(src, dst):
                return {src, dst}
            case Supersede(old, _, new):
                return {old, new}
            case _:
                return {op.id}

    return [op for op in ops if not added & concerned(op)]
