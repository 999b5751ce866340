"""What sources write into a memory: whole trials and single records, through the public door.

Attackers and honest colleagues use the same calls: each source is a `Memory.scoped` of its own,
begins trials, records steps and closes them. Nothing here reaches past the API.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ...errors import InvalidInput
from ...graph import Add, Outcome, Record, Tier, digest
from ...memory import Memory, mentions


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """One trial as a source writes it.

    Attributes:
        source: The principal that writes it.
        task: In words.
        steps: (action, what came of it) pairs; an empty action is an utterance.
        won: How the source says it ended; None leaves that unknown.
        judge: Who it says has judged.
        run: Names the trial; equal runs of one source are one trial.
        around: Names of what is around; what the first utterance mentions if empty.
        uses: Runs of earlier plays that it says it acted on.
        recalls: Whether it recalls before it acts; what it used is linked to it only if it was
            handed out.
        data: Structured data of the trial, such as {"answer": ...}.
    """

    source: str
    task: str
    steps: tuple[tuple[str, str], ...]
    won: bool | None = True
    judge: str = "environment"
    run: str = ""
    around: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    recalls: bool = False
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def actions(self) -> tuple[str, ...]:
        """What it did, in order."""
        return tuple(action for action, _ in self.steps if action)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One record as a source writes it beside all trials.

    Attributes:
        source: The principal that writes it.
        text: What it says.
        kind: Such as "rule", "lesson" or "fact".
        data: Structured data.
        tier: The storey.
    """

    source: str
    text: str
    kind: str = "rule"
    data: Mapping[str, Any] = field(default_factory=dict)
    tier: Tier = Tier.INSIGHT


Material: TypeAlias = Play | Note


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """What became of material.

    Attributes:
        material: What was to be written.
        id: Of its record; "" if it was refused.
        refused: Why it was not written, or not closed.
    """

    material: Material
    id: str = ""
    refused: str = ""


async def plant(memory: Memory, material: Iterable[Material]) -> list[Planted]:
    """Write material, each by its own source, in order.

    Args:
        memory: Names the store and the scope.
        material: Trials and records.

    Returns:
        One for each, in order. A refusal by the guard is an answer, not an error.
    """
    doors: dict[str, Memory] = {}
    ids: dict[str, str] = {}
    planted = []
    for number, one in enumerate(material):
        door = doors.setdefault(one.source, memory.scoped(memory.scope, source=one.source))
        try:
            if isinstance(one, Note):
                id_ = await _note(door, one)
            else:
                run = one.run or f"{one.source}:{number}:{digest(one.task, list(one.actions))[:8]}"
                used = [ids.get(run_) or door.trial_id(run_, 0) for run_ in one.uses]
                id_ = await _play(door, one, run, used)
                ids[one.run or run] = id_
        except InvalidInput as error:
            planted.append(Planted(material=one, refused=str(error)))
        else:
            planted.append(Planted(material=one, id=id_))
    return planted


async def _note(door: Memory, note: Note) -> str:
    id_ = digest("note", door.scope, note.source, note.kind, note.text)
    record = Record(
        id=id_,
        tier=note.tier,
        kind=note.kind,
        text=note.text,
        scope=door.scope,
        data=dict(note.data),
    )
    await door.write([Add(record)], reason="a note", id_=digest("note written", id_))
    return id_


async def _play(door: Memory, play: Play, run: str, used: Sequence[str]) -> str:
    spoken = next((said for action, said in play.steps if not action), "")
    around = play.around or tuple(sorted({mention.name for mention in mentions(spoken)}))
    trial = await door.begin(play.task, run=run, context=around, data=play.data)
    if play.recalls:
        await door.recall(play.task, trial=trial, role="solver")
    for action, said in play.steps:
        if action or said:
            await door.observe(
                trial, said, action=action, role="solver", agent=play.source, used=used
            )
    if play.won is None:
        outcome = Outcome.unknown(judge=play.judge)
    else:
        outcome = (Outcome.success if play.won else Outcome.failure)(judge=play.judge)
    await door.commit(trial, outcome)
    return trial.id
