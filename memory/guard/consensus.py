"""The consensus guard: recalled records are judged by what independent sources did instead.

After A-MemGuard (arXiv 2510.02373), which compares the recalled records with each other and so
needs a majority of honest ones among them. Here the jury is widened by records that the retrieval
did not choose, each source has one vote, and a vote weighs what the source's outcomes say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...graph import Changeset, Filter, Record, Tier, View
from ..cases import action_of, group_steps, steps_hop
from ..strategy import Candidate
from . import lessons
from .electorate import judge_trajectories
from .interface import ALLOWED, Judgement, ProposedStep, Verdict
from .jury import ALIKE, Bloc, Finding, Statement, hear
from .plan import Extractor, Plan, plan_of
from .spans import Usage, has_digit, spelled, words_of
from .trust import DERIVED, root_sources, weights_of

FEW, FURTHER = 2, 4
"""Where so few sources are all that a search finds, it is made again for so many times more."""
JUDGED_MOST = 16
"""Trials judged in one recall, from the best down. Further ones pass, unless any of these is taken
out."""
_CROWDED = Judgement(
    Verdict.SET_ASIDE,
    f"Poison was found, and more than {JUDGED_MOST} trials were recalled: this one was not judged.",
)
_UNTAUGHT = Judgement(
    Verdict.SET_ASIDE, "It is a lesson of no record that stands confirmed as an attack."
)
_HOPS = (DERIVED, DERIVED, steps_hop(start=0, without_summary=True))
_JUDGED = {Tier.QUERY: Filter(outcomes=frozenset({"success", "failure", "score"}))}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsensusSettings:
    """Thresholds of the guard, as logs of odds where not said otherwise.

    Attributes:
        bloc: Evidence against a bloc from which its records are taken out.
        sure: Evidence against a record itself from which it is quarantined with its bloc; with less
            it is set aside for the task.
        alone: Evidence against a record without a bloc from which it is set aside.
        flag: Evidence from which a record is flagged.
        hijack: A record that shares peculiar words with the task is set aside if it is so much
            less like the task than the best witness without those words.
        hollow: Strength of the words from which a bloc that shares nothing else is suspect.
        witnesses: Records searched for each judged record.
        searched: Records that witnesses are searched for at most.
    """

    bloc: float = 3.0
    sure: float = 2.25
    alone: float = 3.0
    flag: float = 0.5
    hijack: float = 0.15
    hollow: float = 2.5
    witnesses: int = 8
    searched: int = 8


class ConsensusGuard:
    """Judges recalled records by a jury of independent sources."""

    def __init__(
        self,
        settings: ConsensusSettings | None = None,
        *,
        extractors: Iterable[Extractor] = (),
    ) -> None:
        """A guard.

        Args:
            settings: Thresholds.
            extractors: Read the plans of record kinds of your own.
        """
        self.settings = settings or ConsensusSettings()
        self._extractors = tuple(extractors)

    async def admit(self, changeset: Changeset) -> Judgement:
        """Allow: admission is another's job."""
        return ALLOWED

    async def before_step(self, view: View, step: ProposedStep) -> Judgement:
        """Refuse what a lesson with standing forbids."""
        return await lessons.before_step(view, step)

    async def after_step(self, view: View, step: ProposedStep) -> Judgement:
        """Note what the record that the step was taken from told otherwise."""
        return await lessons.after_step(view, step)

    async def screen(
        self, view: View, task: str, candidates: Sequence[Candidate]
    ) -> Sequence[Judgement]:
        """One judgement for each candidate, in order.

        It costs a search, a walk and a look at the records of the sources for trajectories, and
        once more for what else there is.
        """
        judged = await judge_trajectories(view, task, candidates)
        untaught = await lessons.untaught(view, [one.record for one in candidates])
        judged |= dict.fromkeys(untaught, _UNTAUGHT)
        rest = [one for one in candidates if one.record.id not in judged]
        findings = await self.findings(view, task, rest)
        heard = list(findings.values())
        judged |= {id_: self._judge(one, heard) for id_, one in findings.items()}
        unjudged = ALLOWED
        if any(one.verdict in (Verdict.SET_ASIDE, Verdict.QUARANTINE) for one in judged.values()):
            # Else poison beyond what is judged would step into the place of what is taken out.
            unjudged = _CROWDED
        trials = {one.record.id for one in rest if one.record.tier is Tier.QUERY}
        return [
            judged.get(one.record.id, unjudged if one.record.id in trials else ALLOWED)
            for one in candidates
        ]

    async def findings(
        self, view: View, task: str, candidates: Sequence[Candidate]
    ) -> dict[str, Finding]:
        """What the jury found about each trial among the candidates, by its id."""
        trials = [one.record for one in candidates if one.record.tier is Tier.QUERY]
        if not trials:
            return {}
        judged = trials[:JUDGED_MOST]
        questions, tiers = self._questions(task, judged), frozenset({Tier.QUERY})
        k = self.settings.witnesses
        found = await view.search(questions, tiers=tiers, k=k, where=_JUDGED)
        spoken = {record.provenance.source for record in judged}
        if len(spoken) <= FEW and not {hit.record.provenance.source for hit in found.hits} - spoken:
            # A source or two fill all there is, by copies: others are further down.
            k += FURTHER * len(judged)
            found = await view.search(questions, tiers=tiers, k=k, where=_JUDGED)
        records = {record.id: record for record in trials}
        for hit in found.hits:
            records.setdefault(hit.record.id, hit.record)
        plans, sources = await self._read(view, list(records.values()))
        counts = await view.sources(sorted(set(sources.values())))
        accused: dict[str, int] = {}
        for record in judged:
            accused[sources[record.id]] = accused.get(sources[record.id], 0) + 1
        weights = weights_of(counts, accused)
        statements = {
            record.id: Statement(record, sources[record.id], plans[record.id])
            for record in records.values()
        }
        ids = {record.id for record in judged}
        heard = hear(
            task,
            [statements[record.id] for record in judged],
            [one for id_, one in statements.items() if id_ not in ids],
            weights,
            found.statistics,
        )
        return {one.about.record.id: one for one in heard}

    def _questions(self, task: str, judged: Sequence[Record]) -> list[str]:
        """Texts to search witnesses by, none of which an attacker can fill with words of his own.

        Each record without what it shares with the task and with others recalled; that alone, for
        whoever else uses it; and the task without it, whole and in halves, since a search looks
        for the rarest words of a text and a trigger would be all of these.
        """
        usage = Usage(
            ((record.provenance.source, record.text) for record in judged),
            dict.fromkeys((record.provenance.source for record in judged), 0.5),
            [task, *(record.text for record in judged)],
        )
        asked = usage.rare(task)
        holders = Counter(what for record in judged for what in usage.rare(record.text) & asked)
        shared = spelled(what for what, count in holders.items() if count > 1)
        asks = [word for word in words_of(task) if not has_digit(word)]
        middle = len(asks) // 2
        told = [
            [word for word in words_of(record.text) if word not in shared and not has_digit(word)]
            for record in judged[: self.settings.searched]
        ]
        told += [
            [word for word in asks if word in shared],
            [word for word in asks if word not in shared],
            asks[:middle],
            asks[middle:],
        ]
        return list(dict.fromkeys(" ".join(words) for words in told if words))

    async def _read(
        self, view: View, records: Sequence[Record]
    ) -> tuple[dict[str, Plan], dict[str, str]]:
        """The plan of each record, and whose vote it is."""
        walk = await view.walk([record.id for record in records], _HOPS)
        actions = {record.id: record.summary.split("\n") for record in records if record.summary}
        for trial, steps in group_steps(walk.records).items():
            actions.setdefault(trial, [action for step in steps if (action := action_of(step))])
        plans = {
            record.id: plan_of(record, actions.get(record.id, ()), self._extractors)
            for record in records
        }
        return plans, root_sources(records, walk)

    def _judge(self, finding: Finding, findings: Sequence[Finding]) -> Judgement:
        limits = self.settings
        evidence, marks = finding.evidence, finding.marks
        dissenters = tuple(
            voice.witness.record.id for voice in finding.voices if voice.conflict.most > 0.5
        )
        if self.suspicion(finding) < 1.0:
            if evidence >= limits.flag:
                return Judgement(Verdict.FLAG, _why(finding), dissenters)
            return ALLOWED
        bloc = finding.worst
        if bloc is not None and bloc.evidence >= limits.bloc and evidence > -limits.flag:
            members = [findings[number] for number in bloc.members]
            against = sum(one.evidence >= limits.flag for one in members)
            if evidence >= limits.sure and against > 1:
                return Judgement(Verdict.QUARANTINE, _why(finding, bloc), dissenters, marks)
            others = {voice.witness.record.id: None for one in members for voice in one.voices}
            return Judgement(
                Verdict.SET_ASIDE, _why(finding, bloc), dissenters or tuple(others), marks
            )
        reason = _why(finding) if evidence >= limits.alone else _why_hijacked(finding)
        return Judgement(Verdict.SET_ASIDE, reason, dissenters, marks)

    def suspicion(self, finding: Finding) -> float:
        """How far a record is on the way to being taken out; from 1 on it is.

        It is taken out for its own conflict with the witnesses, for that of its bloc, or because
        it was found by rare words alone.
        """
        limits = self.settings
        own = finding.evidence / limits.alone
        bloc = finding.worst
        together = 0.0
        if bloc is not None and finding.evidence > -limits.flag:
            together = bloc.evidence / limits.bloc
        return max(own, together, self._hijacked(finding))

    def _hijacked(self, finding: Finding) -> float:
        """From 1 on it was found by rare words alone, and others are as close to the task."""
        limits = self.settings
        if not finding.marks:
            return 0.0
        ahead = finding.best_to_task - finding.to_task
        # What independent sources confirm may still not be for this task.
        needed = limits.hijack if finding.evidence > -limits.flag else 2 * limits.hijack
        # Records that have nothing in common, with each other or with the task, but these words.
        hollow = finding.to_task < ALIKE and any(
            bloc.asked and bloc.strength >= limits.hollow and bloc.alike < ALIKE
            for bloc in finding.blocs
        )
        return max(ahead / needed, 1.0 + ahead / limits.hijack if hollow else 0.0)


def _why(finding: Finding, bloc: Bloc | None = None) -> str:
    against = [voice for voice in finding.voices if voice.conflict.most > 0.5]
    aim = finding.about.plan.aim
    sentence = f"Following it ends in {aim}" if aim is not None else "It does nothing known"
    if against:
        sentence += (
            f", which {len(against)} of {len(finding.voices)} independent sources did not do in "
            "the same situation"
        )
    else:
        sentence += ", and nobody independent has been in its situation"
    if bloc is not None:
        sentence += (
            f"; it and {len(bloc.members) - 1} more share words that hardly anyone else uses "
            f"({_some(bloc.marks)}), and what they lead to contradicts the others"
        )
    return sentence + "."


def _why_hijacked(finding: Finding) -> str:
    return (
        f"It was found by words that hardly anyone else uses ({_some(finding.marks)}); without "
        "them others are as close to the task."
    )


def _some(words: Iterable[str], most: int = 5) -> str:
    chosen = sorted(words)
    return ", ".join(chosen[:most]) + (", ..." if len(chosen) > most else "")
