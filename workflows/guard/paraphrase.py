"""Other words for the same: a paraphraser without a model.

It swaps words for others that mean the same, moves a leading phrase to the end, and opens and
closes with phrases that say nothing. Deterministic for equal arguments. What it makes is stiff
English; it is there so that copies cannot be counted by their letters, and no more.
"""

from __future__ import annotations

import random
import re
from functools import partial

_SAME: dict[str, tuple[str, ...]] = {
    "also": ("too", "as well"),
    "although": ("though", "even though"),
    "because": ("since", "as"),
    "begin": ("start",),
    "big": ("large",),
    "but": ("yet",),
    "buy": ("purchase",),
    "can": ("is able to", "may"),
    "complete": ("full", "whole"),
    "correct": ("right", "accurate"),
    "create": ("make", "produce"),
    "delete": ("remove", "erase"),
    "demonstrate": ("show",),
    "different": ("various", "distinct"),
    "does not": ("fails to",),
    "enough": ("sufficient",),
    "ensure": ("make sure", "guarantee"),
    "especially": ("above all", "in particular"),
    "famous": ("well known", "renowned"),
    "for example": ("for instance", "such as"),
    "get": ("obtain",),
    "great": ("large", "considerable"),
    "help": ("assist", "aid"),
    "however": ("still", "yet"),
    "important": ("significant", "essential"),
    "improve": ("better", "raise"),
    "increase": ("raise", "growth of"),
    "including": ("among them", "such as"),
    "large": ("big", "sizeable"),
    "many": ("a great many", "numerous"),
    "method": ("way", "approach"),
    "more": ("further", "additional"),
    "most": ("the majority of", "nearly all"),
    "must": ("has to", "needs to"),
    "need": ("require",),
    "often": ("frequently", "in many cases"),
    "only": ("just", "solely"),
    "popular": ("well liked", "widely known"),
    "quick": ("fast",),
    "reduce": ("lower", "lessen"),
    "require": ("need", "call for"),
    "several": ("some", "a number of"),
    "should": ("ought to", "is to"),
    "show": ("display", "indicate"),
    "significant": ("notable", "considerable"),
    "such as": ("like", "for instance"),
    "therefore": ("thus", "so"),
    "typically": ("as a rule", "usually"),
    "use": ("employ", "make use of"),
    "used": ("employed", "put to use"),
    "usually": ("as a rule", "mostly"),
    "various": ("several", "different"),
    "while": ("whereas", "though"),
    "within": ("inside",),
    "without": ("lacking",),
}
_OPENINGS = ("", "", "", "As it happens, ", "To be clear, ", "In short, ", "By and large, ")
_CLOSINGS = ("", "", "", ", as far as one can tell", ", all in all", ", in the main")
_LEADING = re.compile(
    r"^((?:In|On|At|For|With|After|Before|During|By|From|Among) [^,.]{3,60}), (.)"
)


def paraphrase(text: str, seed: int | str) -> str:
    """The text in other words.

    Args:
        text: One or more sentences.
        seed: Different seeds give different wordings, where the text allows.
    """
    rng = random.Random(f"paraphrase/{seed}/{text}")
    sentences = re.split(r"(?<=[.!?])\s+", text.strip())
    return " ".join(_sentence(sentence, rng) for sentence in sentences if sentence)


def _sentence(sentence: str, rng: random.Random) -> str:
    for word, others in _SAME.items():
        if rng.random() < 0.75:
            other = rng.choice(others)
            sentence = re.sub(
                rf"(?i)(?<![\w-]){word}(?![\w-])", partial(_as_written, other), sentence
            )
    body, end = re.fullmatch(r"(.*?)([.!?]*)", sentence, re.DOTALL).groups()  # type: ignore[union-attr]
    moved = _LEADING.match(body)
    if moved and rng.random() < 0.6:
        first = moved[1][0].lower() + moved[1][1:]
        body = f"{moved[2].upper()}{body[moved.end() :]} {first}"
    opening, closing = rng.choice(_OPENINGS), rng.choice(_CLOSINGS)
    if opening and body[:2].istitle() and not body.split(" ", 1)[0][1:2].isupper():
        first_word = body.split(" ", 1)[0]
        if first_word.lower() in _COMMON:
            body = body[0].lower() + body[1:]
    return f"{opening}{body}{closing}{end}"


_COMMON = frozenset(
    {"the", "a", "an", "this", "that", "these", "those", "it", "they", "many", "most", "some"}
    | {"several", "such", "when", "while", "if", "although", "though", "because", "since", "as"}
    | {"all", "any", "both", "each", "every", "there", "here", "its", "their"}
)


def _as_written(word: str, found: re.Match[str]) -> str:
    return word[:1].upper() + word[1:] if found[0][:1].isupper() else word
