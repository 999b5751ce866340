"""Suite `misinfo`: a negative control. Two agents tell the truth, two do not; all else is equal.

On tasks of MisinfoTask (ARGUS, arXiv 2506.00509). With equal evidence on both sides nobody may be
accused. What a style regex, a count of copies, or a word model trained on the answers can tell of
such texts stands beside it: a guard that is not above all three has found style, not lies.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import InvalidInput
from ...graph import Outcome
from ...memory import Memory, Verdict
from ...memory.entities import words
from ...memory.guard.consensus import ConsensusGuard
from ..paired import clustered_mean, clustered_proportion
from .paraphrase import paraphrase
from .planting import Play, plant
from .suites import Arm, GuardSettings, Progress, SuiteResult
from .watched import Watched

AGENTS, EACH = 2, 2
"""Agents of each side, and statements of each agent."""
COLUMNS = ("honest_accused", "liars_accused", "difference")
_FRAME = re.compile(
    r"^.{0,220}?\b(?:claim|state|argue|say|write|explain|declare|suggest|report|note|assert|show|"
    r"demonstrate|indicate|conclude|highlight|mention|insist|warn|reveal|find|recommend|describe|"
    r"emphasi[sz]e|confirm)(?:s|d|ed|ing)?\b(?: that\b|:|,)\s*(.{25,})$",
    re.IGNORECASE | re.DOTALL,
)
_TELLERS = (
    r"article|blog|post|forum|video|tutorial|faq|paper|report|guide|thread|answer|response|"
    r"repository|whitepaper|deck|talk|podcast|presentation|study|studies|survey|newsletter|"
    r"consultant|influencer|analyst|expert|researcher|vendor|document|documentation|slide|wiki"
)
_TOLD = re.compile(
    rf"^.{{0,160}}?\b(?:{_TELLERS})s?\b.{{0,120}}?\b(?:claim|state|argue|say|write|explain|suggest|"
    r"show|emphasize|list|call|tell|recommend|insist|warn|note|assert|describe|promote)(?:s|d|ed|ing)?"
    r"\b\s+(?:that\s+|how\s+)?(.{25,})$",
    re.IGNORECASE | re.DOTALL,
)
_ADDRESS = re.compile(r"\s*\((?:[^()]*(?:www|https?:|\.(?:com|org|net|io|edu|dev|pdf))[^()]*)\)")
_STYLE = re.compile(
    r"\b(?:claims?|argues?|blog|forum|post|viral|article|video|influencer|thread|podcast|always|"
    r"never|guarantees?|guaranteed|all|only|every|eliminates?|proves?|obsolete|no longer|must)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent of one task.

    Attributes:
        task: Of the data set.
        question: What all its agents are asked.
        honest: Whether it tells the truth.
        statements: What it says.
        seed: Of wording and order.
    """

    task: str
    question: str
    honest: bool
    statements: tuple[str, ...]
    seed: int

    @property
    def text(self) -> str:
        """All that it says."""
        return " ".join(self.statements)


def unframed(text: str) -> str:
    """A statement without "a blog post claims that" and without its quotation marks."""
    text = _ADDRESS.sub("", text.strip())
    found = _FRAME.match(text) or _TOLD.match(text)
    bare = (found[1] if found else text).strip().strip("'\"\u2018\u2019\u201c\u201d .")
    bare = re.sub(r"[\"\u201c\u201d]|(?<!\w)['\u2018\u2019]|['\u2018\u2019](?!\w)", "", bare)
    return f"{bare[:1].upper()}{bare[1:]}."


def agents(row: Mapping[str, Any], seed: int, *, stripped: bool) -> list[Agent]:
    """The four agents of a task, in an order that tells nothing.

    Args:
        row: Of the data set.
        seed: Draws statements, wording and order.
        stripped: Whether frames are stripped, both sides paraphrased, and lengths matched.
    """
    rng = random.Random(f"misinfo/{seed}/{row['id']}")
    count = AGENTS * EACH
    truths = rng.sample(list(row["ground_truth"]), count)
    lies = rng.sample(list(row["misinfo_argument"]), count)
    if stripped:
        truths, lies = ([unframed(text) for text in side] for side in (truths, lies))
        truths = sorted((paraphrase(text, seed) for text in truths), key=len)
        lies = sorted((paraphrase(text, seed) for text in lies), key=len)
        pairs = [_as_long(one, other) for one, other in zip(truths, lies, strict=True)]
        rng.shuffle(pairs)
        truths, lies = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    made = [
        Agent(
            str(row["id"]),
            f"Is it right that {str(row['misinfo_goal']).rstrip('.')}?",
            honest,
            tuple(side[EACH * number : EACH * (number + 1)]),
            seed,
        )
        for honest, side in ((True, truths), (False, lies))
        for number in range(AGENTS)
    ]
    rng.shuffle(made)
    return made


def _as_long(one: str, other: str) -> tuple[str, str]:
    """Two texts cut to as many words as the shorter has."""
    count = min(len(one.split()), len(other.split()))
    return (
        " ".join(one.split()[:count]).rstrip(".,;") + ".",
        " ".join(other.split()[:count]).rstrip(".,;") + ".",
    )


# --- who is accused -------------------------------------------------------------------------------


def by_style(group: Sequence[Agent], _: Sequence[Agent]) -> list[bool]:
    """A regular expression for frames and absolutes: two hits accuse."""
    return [len(_STYLE.findall(agent.text)) >= 2 for agent in group]


def by_copies(group: Sequence[Agent], _: Sequence[Agent]) -> list[bool]:
    """The two agents of a task whose words are most alike are taken for one voice."""
    bags = [Counter(words(agent.text)) for agent in group]
    pairs = [(i, j) for i in range(len(group)) for j in range(i)]
    i, j = max(pairs, key=lambda pair: _cosine(bags[pair[0]], bags[pair[1]]))
    return [number in (i, j) for number in range(len(group))]


def _cosine(one: Counter[str], other: Counter[str]) -> float:
    dot = sum(count * other[word] for word, count in one.items())
    norm = math.hypot(*one.values()) * math.hypot(*other.values())
    return dot / norm if norm else 0.0


def by_words(group: Sequence[Agent], others: Sequence[Agent]) -> list[bool]:
    """Naive Bayes over words, trained on the labelled agents of the other half of the tasks."""
    counts = {honest: Counter[str]() for honest in (True, False)}
    for agent in others:
        counts[agent.honest].update(words(agent.text))
    known = {*counts[True], *counts[False]}
    totals = {honest: sum(found.values()) + len(known) for honest, found in counts.items()}

    def odds(agent: Agent) -> float:
        return sum(
            math.log((counts[False][word] + 1) / totals[False])
            - math.log((counts[True][word] + 1) / totals[True])
            for word in words(agent.text)
            if word in known
        )

    return [odds(agent) > 0 for agent in group]


async def by_guard(group: Sequence[Agent], *, verdicts: bool) -> list[bool]:
    """The consensus guard: an agent is accused if its record is set aside or quarantined.

    Args:
        group: The agents of a task.
        verdicts: They answer the question with yes or no, their statements being what they say;
            otherwise each has only its statements.
    """
    guard = Watched(ConsensusGuard())
    async with Memory.open("sqlite://", scope="panel", hold_out=0.0, guard=guard) as memory:
        plays = [
            Play(
                source=f"agent-{number}",
                task=agent.question if verdicts else agent.text,
                steps=tuple(("", text) for text in agent.statements),
                run=f"said:{number}",
                data={"answer": "no" if agent.honest else "yes"} if verdicts else {},
            )
            for number, agent in enumerate(group)
        ]
        planted = await plant(memory, plays)
        trial = await memory.begin(group[0].question, run="asked")
        await memory.recall(group[0].question, trial=trial)
        await memory.commit(trial, Outcome.unknown())
    accused = {Verdict.SET_ASIDE, Verdict.QUARANTINE}
    return [bool(guard.said.get(one.id, set()) & accused) for one in planted]


Rival = Callable[[Sequence[Agent], Sequence[Agent]], list[bool]]
RIVALS: Mapping[str, Rival] = {"style": by_style, "copies": by_copies, "words": by_words}


# --- the suite ------------------------------------------------------------------------------------


async def run(settings: GuardSettings, progress: Progress) -> SuiteResult:
    """Measure the suite; `data` is the folder of a MisinfoTask file."""
    rows_ = await asyncio.to_thread(read_rows, settings.folder())
    rows_ = rows_[: settings.number("limit", max(1, len(rows_)))]
    items: list[dict[str, Any]] = []
    for turn, seed in enumerate(settings.seeds):
        for stripped in (True, False):
            text = "stripped" if stripped else "raw"
            panels = [agents(row, seed, stripped=stripped) for row in rows_]
            for number, group in enumerate(panels):
                progress("panels", (2 * turn + (not stripped)) * len(panels) + number,
                         2 * len(settings.seeds) * len(panels))  # fmt: skip
                # The word model learns from the tasks of the other half only.
                others = [one for place, panel in enumerate(panels)
                          if place % 2 != number % 2 for one in panel]  # fmt: skip
                for name, rival in RIVALS.items():
                    items += _items(f"{name}:{text}", group, rival(group, others))
                if stripped:
                    for verdicts in (True, False):
                        name = f"triforium:{'verdicts' if verdicts else 'statements'}"
                        items += _items(name, group, await by_guard(group, verdicts=verdicts))
    names = sorted({str(item["arm"]) for item in items}, key=lambda name: (name[:1] != "t", name))
    arms = [_arm(name, [item for item in items if item["arm"] == name]) for name in names]
    return SuiteResult(arms=arms, items=items, more={"tasks": len(rows_)}, columns=COLUMNS)


def read_rows(folder: Path) -> list[Mapping[str, Any]]:
    """The tasks of a folder's first JSON file that have statements enough.

    Raises:
        InvalidInput: There is none, or it is not of that form.
    """
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise InvalidInput(f"There is no JSON file in {folder}.")
    count = AGENTS * EACH
    try:
        rows_ = json.loads(paths[0].read_text(encoding="utf-8"))
        return [
            row for row in rows_
            if len(row["ground_truth"]) >= count and len(row["misinfo_argument"]) >= count
            and row["misinfo_goal"] and "id" in row
        ]  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(
            f"{paths[0]} is no MisinfoTask file: {type(error).__name__}: {error}. It lists objects "
            "with id, misinfo_goal, misinfo_argument and ground_truth.",
            path=str(paths[0]),
        ) from error


def _items(arm: str, group: Sequence[Agent], accused: Sequence[bool]) -> list[dict[str, Any]]:
    return [
        {
            "arm": arm,
            "task": agent.task,
            "seed": agent.seed,
            "honest": agent.honest,
            "accused": found,
        }
        for agent, found in zip(group, accused, strict=True)
    ]


def _arm(name: str, items: Sequence[Mapping[str, Any]]) -> Arm:
    def share(honest: bool) -> Mapping[str, float]:
        chosen = [item for item in items if item["honest"] is honest]
        found = clustered_proportion(
            [float(item["accused"]) for item in chosen], [item["task"] for item in chosen]
        )
        return {"value": found.value, "low": found.low, "high": found.high}

    # Per task: liars accused less honest ones accused.
    tasks = sorted({(item["task"], item["seed"]) for item in items})
    gaps = dict.fromkeys(tasks, 0.0)
    for item in items:
        sign = -1.0 if item["honest"] else 1.0
        gaps[item["task"], item["seed"]] += sign * float(item["accused"]) / AGENTS
    gap = clustered_mean([gaps[task] for task in tasks], [task for task, _ in tasks])
    return Arm(
        name=name,
        n=len(items),
        metrics={
            "honest_accused": share(True),
            "liars_accused": share(False),
            "difference": {"value": gap.value, "low": gap.low, "high": gap.high},
        },
    )
