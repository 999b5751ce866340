"""From the records of a trial to a case that fits a prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ..graph import Hop, LinkType, Outcome, Record, Tier, View
from .recall import Case, CaseStep, Placement
from .strategy import Candidate, Form

_STEPS = Hop(
    types=frozenset({LinkType.PART_OF}),
    direction="in",
    tiers=frozenset({Tier.INTERACTION}),
    fan=256,
)
_LONGEST_OBSERVATION = 400


def steps_hop(start: int = -1, *, without_summary: bool = False) -> Hop:
    """The hop from trials to their steps, of all trials or of those without a summary."""
    return Hop(
        types=_STEPS.types,
        direction=_STEPS.direction,
        tiers=_STEPS.tiers,
        fan=_STEPS.fan,
        start=start,
        without_summary=without_summary,
    )


def group_steps(records: Mapping[str, Record]) -> dict[str, list[Record]]:
    """INTERACTION records by the id of their trial, in the order they happened."""
    grouped: dict[str, list[Record]] = {}
    for record in records.values():
        if record.tier is Tier.INTERACTION:
            grouped.setdefault(record.provenance.trial, []).append(record)
    for steps in grouped.values():
        steps.sort(key=lambda step: (step.provenance.step, step.added, step.id))
    return grouped


async def steps_of(view: View, trials: Sequence[str]) -> dict[str, list[Record]]:
    """The steps of each trial, in order."""
    walk = await view.walk(trials, [steps_hop()])
    return group_steps(walk.records)


def action_of(step: Record) -> str:
    """The action of a recorded step, "" for an observation or utterance without one."""
    return str(step.data.get("action", ""))


def observation_of(step: Record) -> str:
    """What came of the step: the text after its action."""
    action = action_of(step)
    return step.text[len(action) :].lstrip("\n") if action else step.text


def case_of(trial: Record, steps: Sequence[Record], score: float = 0.0) -> Case:
    """A recorded trial as a case, with all its steps."""
    return Case(
        id=trial.id,
        task=trial.text,
        outcome=trial.outcome or Outcome.unknown(),
        steps=tuple(
            CaseStep(action_of(step), observation_of(step), step.provenance.role) for step in steps
        ),
        score=score,
    )


def render_case(case: Case) -> str:
    """A case as text: the task and how it ended, then a line for each step."""
    lines = [f"Task: {_one_line(case.task)} ({_one_line(str(case.outcome))})"]
    number = 0
    for step in case.steps:
        shown = _one_line(step.observation[:_LONGEST_OBSERVATION])
        if step.action:
            number += 1
            lines.append(f"{number}. {_one_line(step.action)}" + (f" -> {shown}" if shown else ""))
        elif shown:
            lines.append(f"{step.role}: {shown}" if step.role else shown)
    return "\n".join(lines)


def _one_line(text: str) -> str:
    return " ".join(text.split()) if text else ""


def without_observations(case: Case) -> Case:
    """The case with the actions alone; utterances, which are all observation, stay."""
    return Case(
        case.id,
        case.task,
        case.outcome,
        tuple(CaseStep(step.action, "", step.role) if step.action else step for step in case.steps),
        case.score,
    )


def projections(case: Case, role: str) -> list[Case]:
    """A case as one role needs it: whole, and, where that does not fit, what concerns the role.

    The steps of a role and those right before them, which they answered to.
    """
    own = [number for number, step in enumerate(case.steps) if step.role == role]
    if not role or not own or len(own) == len(case.steps):
        return [case]
    near = {number for at in own for number in (at - 1, at)}
    kept = tuple(step for number, step in enumerate(case.steps) if number in near)
    alone = tuple(case.steps[number] for number in own)
    return [case, *(replace(case, steps=steps) for steps in (kept, alone))]


def trial_candidate(
    trial: Record,
    cases: Sequence[Case] | Callable[[], Sequence[Form]],
    scores: Mapping[str, float],
    path: tuple[str, ...] = (),
) -> Candidate:
    """A trial as a candidate; failures are counter-examples.

    Args:
        trial: The QUERY record.
        cases: The case from its fullest form to its shortest, or what works the forms out.
        scores: One per channel, and "final".
        path: Ids walked to reach it.
    """

    def rendered() -> Sequence[Form]:
        return () if callable(cases) else [Form(render_case(case), case=case) for case in cases]

    failed = trial.outcome is not None and trial.outcome.succeeded is False
    return Candidate(
        record=trial,
        placement=Placement.COUNTER_EXAMPLE if failed else Placement.EXAMPLE,
        scores=scores,
        path=path or (trial.id,),
        forms=cases if callable(cases) else rendered,
    )
