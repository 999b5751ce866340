"""The local embedder gives what the tokeniser and the model of its package give."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wordllama
from hypothesis import example, given, settings
from hypothesis import strategies as st

from triforium.memory.embedders import WordLlamaEmbedder

PIECES = [
    *"\n \t\r.<>a1é漢🙂",
    *("  ", "\n\n", " \n", "\u2581", "\u0301", "\x00", "\ud800"),
    *("<s>", "</s>", "<unk>", "<0x0A>", "Task:", "mug", "drawer 12", "->", "'open {a}'"),
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=20).map("".join) | st.text(max_size=80)


@pytest.fixture(scope="module")
def embedder() -> WordLlamaEmbedder:
    return WordLlamaEmbedder()


@pytest.fixture(scope="module")
def package() -> Any:
    folder = Path(wordllama.__file__).parent
    return wordllama.WordLlama.load(dim=256, cache_dir=folder, disable_download=True)


def encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


@settings(deadline=None)
@given(text=TEXTS)
@example(text="")
@example(text="\n")
@example(text=" a  b\n\n c \n")
@example(text="mug<s>\nmug")
def test_tokens_are_counted_as_the_tokeniser_counts_them(
    embedder: WordLlamaEmbedder, package: Any, text: str
) -> None:
    ids = package.tokenizer.encode(encodable(text), add_special_tokens=False).ids
    assert embedder.count_tokens(text) == len(ids)
    assert embedder.count_tokens(text) == len(ids)  # Now from what is remembered.


@settings(deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=12))
def test_vectors_are_those_of_the_model(
    embedder: WordLlamaEmbedder, package: Any, texts: list[str]
) -> None:
    means = package.embed([encodable(text) or " " for text in texts], norm=False)
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    wanted = np.divide(means, lengths, out=np.zeros_like(means), where=lengths > 1e-9)
    for _ in range(2):
        assert np.array_equal(embedder.embed(texts), wanted)


def test_what_it_remembers_cannot_be_changed_from_outside(embedder: WordLlamaEmbedder) -> None:
    first = embedder.embed(["a mug"])
    kept = first.copy()
    first[:] = 0.0
    assert np.array_equal(embedder.embed(["a mug"]), kept)


def test_a_few_characters_are_embedded_at_once_when_it_is_loaded() -> None:
    embedder = WordLlamaEmbedder()
    assert embedder.at_once == 0
    embedder.embed(["a mug"])
    assert embedder.at_once > 0


def test_loading_leaves_the_log_of_the_process_alone() -> None:
    code = (
        "import logging\n"
        "from triforium.memory import get_embedder\n"
        "get_embedder('wordllama').embed(['mug'])\n"
        "print(logging.getLogger().handlers, logging.getLogger().level)\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[] 30"
