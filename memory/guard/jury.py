"""The jury: what independent sources did in the situation that a record speaks of.

One vote for each source, and none for those under the same suspicion. Witnesses are found by what
a text says without its peculiar words, so that whoever chose those words does not choose the jury.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...graph import Record, TermStatistics
from .conflict import Conflict, conflict, odds
from .plan import Plan
from .products import product
from .spans import KNOWN, Feature, Usage, has_digit, spelled, strength, words_of

FAINT = 0.05
"""What a number, and a word that marks a bloc, counts in a comparison."""
RARE = 0.5
"""What a rare word counts in a comparison at most."""
ALIKE = 0.55
"""Two texts so alike in their common words may speak of one situation."""
SURE = 0.75
"""From here on they surely do."""
CLOSE = 0.15
"""Witnesses so much less alike than the best one are not heard."""
MOST_WITNESSES = 5
"""Witnesses heard for one record."""
BLOC = 1.0
"""Records that share rare words of this strength are one bloc."""


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """What one record says.

    Attributes:
        record: The record.
        source: Whose vote it is.
        plan: What it would lead to.
    """

    record: Record
    source: str
    plan: Plan

    @property
    def words(self) -> tuple[str, ...]:
        """The words of its text in order."""
        return words_of(self.record.text)


@dataclass(frozen=True, slots=True)
class Voice:
    """A witness's vote on one record.

    Attributes:
        witness: Who.
        alike: How alike the situations are, in [0, 1].
        weight: What the vote of its source weighs.
        conflict: Between the plans.
    """

    witness: Statement
    alike: float
    weight: float
    conflict: Conflict


@dataclass(slots=True)
class Bloc:
    """Records that share words which few sources use.

    Attributes:
        members: Their numbers among the judged.
        marks: The words.
        asked: Whether the task has such words, too.
        strength: How much it says that they share them; see `spans.strength`.
        evidence: Log of the odds that they are poison, from the witnesses of all of them.
        alike: How alike they are to each other otherwise, on average, in [0, 1].
    """

    members: tuple[int, ...]
    marks: frozenset[str]
    asked: bool
    strength: float
    evidence: float = 0.0
    alike: float = 0.0


@dataclass(slots=True)
class Finding:
    """What the jury found about one record.

    Attributes:
        about: The record.
        marks: Rare words that it shares with the task.
        blocs: Those it belongs to.
        voices: The votes, the most alike first.
        evidence: Log of the odds that the record is poison, from its own witnesses.
        to_task: How alike it is to the task without the marks, in [0, 1].
        best_to_task: How alike to it the best witness is.
    """

    about: Statement
    marks: frozenset[str] = frozenset()
    blocs: list[Bloc] = field(default_factory=list)
    voices: list[Voice] = field(default_factory=list)
    evidence: float = 0.0
    to_task: float = 0.0
    best_to_task: float = 0.0

    def faint(self) -> frozenset[str]:
        """The words that do not count when witnesses are looked for."""
        return self.marks.union(*(bloc.marks for bloc in self.blocs if bloc.asked))

    @property
    def worst(self) -> Bloc | None:
        """The bloc with the most evidence against it."""
        return max(self.blocs, key=lambda bloc: bloc.evidence, default=None)


def hear(
    task: str,
    accused: Sequence[Statement],
    witnesses: Sequence[Statement],
    weights: Mapping[str, float],
    statistics: TermStatistics | None = None,
) -> list[Finding]:
    """Hear the witnesses on each record.

    Args:
        task: That the records were recalled for.
        accused: The records, in the order of the recall.
        witnesses: Others, of any source; the accused are heard about each other, too.
        weights: Per source what its vote weighs.
        statistics: How common words are in the whole memory; counted here if None.
    """
    everyone = [*accused, *witnesses]
    asked = words_of(task)
    usage = Usage(
        ((one.source, one.record.text) for one in everyone),
        weights,
        [task, *(one.record.text for one in accused)],
    )
    findings = [Finding(one) for one in accused]
    blocs = _find_blocs(findings, task, usage)
    scale = _Scale.of(asked, everyone, usage, statistics)
    alike = scale.rows([(finding.about.words, finding.faint()) for finding in findings])
    for number, finding in enumerate(findings):
        # Whoever is under the same suspicion is no independent witness.
        suspects = {finding.about.source}
        for bloc in finding.blocs:
            if bloc.asked:
                suspects |= {findings[member].about.source for member in bloc.members}
        finding.voices = _votes(finding, suspects, everyone, alike[number], weights)
        finding.evidence = evidence(finding.voices)
    for bloc in blocs:
        members = [findings[member] for member in bloc.members]
        bloc.evidence = evidence_of_bloc(members)
        if bloc.asked:
            rows = scale.rows([(one.about.words, bloc.marks) for one in members])
            among, n = rows[:, list(bloc.members)], len(members)
            bloc.alike = float((among.sum() - np.trace(among)) / (n * (n - 1)))
    _compare_with_task(findings, asked, scale)
    return findings


def evidence(voices: Sequence[Voice]) -> float:
    """Log of the odds for poison from the votes on one record: of the part that is most disputed.

    What is done, to what, and to which part of it are weighed apart, since one witness may speak
    for the one and another for the other.
    """
    return max(
        (
            sum(
                voice.weight * odds(voice.conflict[part], _sureness(voice.alike))
                for voice in voices
            )
            for part in range(3)
        ),
        default=0.0,
    )


def evidence_of_bloc(findings: Sequence[Finding]) -> float:
    """The same for a bloc: each independent source has one vote on all of it, its mean one."""
    own = {finding.about.source for finding in findings}
    by_source: dict[str, list[float]] = {}
    for finding in findings:
        for voice in finding.voices:
            if voice.witness.source not in own:
                worst = max(odds(part, _sureness(voice.alike)) for part in voice.conflict)
                by_source.setdefault(voice.witness.source, []).append(voice.weight * worst)
    return sum(sum(votes) / len(votes) for votes in by_source.values())


def _sureness(alike: float) -> float:
    return min(1.0, (alike - ALIKE) / (SURE - ALIKE))


def _find_blocs(findings: Sequence[Finding], task: str, usage: Usage) -> list[Bloc]:
    """Records that share the same rare words are a bloc; a record may be in several."""
    in_task = usage.rare(task)
    holders: dict[Feature, list[int]] = {}
    for number, one in enumerate(findings):
        rare = usage.rare(one.about.record.text)
        with_task = rare & in_task
        if strength(with_task) >= BLOC:
            one.marks = spelled(with_task)
        for what in rare:
            holders.setdefault(what, []).append(number)
    shared: dict[tuple[int, ...], list[Feature]] = {}
    for what, numbers in holders.items():
        if len(numbers) > 1:
            shared.setdefault(tuple(numbers), []).append(what)
    blocs = []
    for members, features in shared.items():
        if strength(features) >= BLOC:
            asked_for = any(what in in_task for what in features)
            bloc = Bloc(members, spelled(features), asked_for, strength(features))
            blocs.append(bloc)
            for number in members:
                findings[number].blocs.append(bloc)
    return blocs


def _votes(
    finding: Finding,
    suspects: set[str],
    everyone: Sequence[Statement],
    alike: NDArray[np.float64],
    weights: Mapping[str, float],
) -> list[Voice]:
    """The best witness of each independent source, as far as it knows the situation."""
    heard: dict[str, Voice] = {}
    words = frozenset(finding.about.words).difference(
        *(bloc.marks for bloc in finding.blocs if bloc.asked)
    )
    least = ALIKE
    for number in np.argsort(-alike, kind="stable").tolist():
        likeness = float(alike[number])
        if likeness < least or len(heard) >= MOST_WITNESSES:
            break
        witness = everyone[number]
        if witness.source in suspects or witness.source in heard or not witness.plan:
            continue
        least = max(least, likeness - CLOSE)
        heard[witness.source] = Voice(
            witness,
            likeness,
            weights.get(witness.source, 0.0),
            conflict(finding.about.plan, witness.plan, words.difference(witness.words)),
        )
    return list(heard.values())


def _compare_with_task(findings: Sequence[Finding], asked: Sequence[str], scale: _Scale) -> None:
    """How alike to the task each record is without the words that mark its bloc."""
    for marks in {one.marks for one in findings if one.marks}:
        alike = scale.rows([(asked, marks)])[0]
        marked = [one for one in findings if one.marks == marks]
        sources = {one.about.source for one in marked} | {
            findings[member].about.source
            for one in marked
            for bloc in one.blocs
            if bloc.asked
            for member in bloc.members
        }
        others = [
            float(alike[n]) for n, one in enumerate(scale.everyone) if one.source not in sources
        ]
        for number, one in enumerate(findings):
            if one.marks == marks:
                one.to_task = float(alike[number])
                one.best_to_task = max(others, default=0.0)


@dataclass(frozen=True, slots=True, eq=False)
class _Scale:
    """Compares texts by their common words.

    Attributes:
        everyone: Whose texts.
        column: Per word its column.
        present: Shape (texts, words): 1 where a text has a word.
        worth: Shape (words,): how telling a word is.
    """

    everyone: Sequence[Statement]
    column: Mapping[str, int]
    present: NDArray[np.float64]
    worth: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        asked: Sequence[str],
        everyone: Sequence[Statement],
        usage: Usage,
        statistics: TermStatistics | None,
    ) -> _Scale:
        column: dict[str, int] = {word: n for n, word in enumerate(dict.fromkeys(asked))}
        rows: list[int] = []
        columns: list[int] = []
        users: dict[str, set[int]] = {}
        for row, one in enumerate(everyone):
            own = [column.setdefault(word, len(column)) for word in one.words]
            rows += [row] * len(own)
            columns += own
            users.setdefault(one.source, set()).update(own)
        present = np.zeros((len(everyone), len(column)))
        present[rows, columns] = 1.0
        counted = present.sum(axis=0)
        documents = float(len(everyone))
        if statistics is not None and statistics.documents:
            documents = float(statistics.documents)
            frequency = statistics.frequency
            spread = np.array([frequency.get(word, 0) for word in column], dtype=np.float64)
            counted = np.maximum(counted, spread)
        common = np.zeros(len(column))
        for source, used in users.items():
            common[list(used)] += usage.weights.get(source, 0.0)
        worth = np.log1p(documents / (1.0 + counted))
        share = np.clip(common / KNOWN, 0.0, 1.0)
        worth = share * worth + (1.0 - share) * np.minimum(worth, RARE)
        worth[[n for word, n in column.items() if has_digit(word)]] = FAINT
        return cls(everyone, column, present, worth)

    def rows(self, texts: Sequence[tuple[Sequence[str], frozenset[str]]]) -> NDArray[np.float64]:
        """Shape (texts, everyone): likeness by a weighted Jaccard index.

        Args:
            texts: The words of each, and those that do not count.
        """
        column = self.column
        mine = np.zeros((len(texts), len(self.worth)))
        worth = np.repeat(self.worth[None, :], len(texts), axis=0)
        for row, (words, faint) in enumerate(texts):
            mine[row, [column[word] for word in words]] = 1.0
            worth[row, [column[word] for word in faint if word in column]] = FAINT
        own = worth * mine
        both = product(own, self.present.T)
        either = product(worth, self.present.T) + own.sum(axis=1)[:, None] - both
        alike: NDArray[np.float64] = np.divide(
            both, either, out=np.zeros_like(both), where=either > 1e-9
        )
        return alike
