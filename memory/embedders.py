"""Embedders: text to vectors, behind one interface. The default is local and needs no network."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.metadata
import importlib.util
import logging
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..errors import InvalidInput
from ..graph import Vectors


class Embedder(Protocol):
    """Turns texts into vectors, and counts tokens.

    Guarantees: deterministic; rows of unit length (or zero for text without a known token); safe
    to call from several threads.
    """

    @property
    def name(self) -> str:
        """What a person calls it."""
        ...

    @property
    def width(self) -> int:
        """Length of a vector."""
        ...

    @property
    def fingerprint(self) -> str:
        """Name, width and a digest of the weights: vectors compare only within one fingerprint."""
        ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape (len(texts), width), of length one each. Blocks; see `embed_async`."""
        ...

    def count_tokens(self, text: str) -> int:
        """Length of `text` in tokens."""
        ...


class WordLlamaEmbedder:
    """Static token embeddings distilled from a language model, 256 wide (package wordllama).

    Weights and tokeniser are read from the installed package; nothing is ever downloaded. They
    are loaded on first use, which takes about a second.
    """

    name = "wordllama"
    width = 256
    _MAX_CHARACTERS = 20_000

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._model: Any = None
        self._fingerprint = ""
        self._words: _Words | None = None
        self._counted: dict[str, int] = {}
        self._embedded: dict[str, Vectors] = {}

    @property
    def at_once(self) -> int:
        """Characters that are embedded sooner than handed to a thread; 0 until it is loaded."""
        return 0 if self._model is None else _AT_ONCE

    @property
    def fingerprint(self) -> str:
        """Name, width and a digest of the weights file."""
        self._load()
        return self._fingerprint

    def _load(self) -> Any:
        with self._lock:
            if self._model is None:
                spec = importlib.util.find_spec("wordllama")
                if spec is None or spec.origin is None:
                    raise InvalidInput(
                        "The package wordllama is not installed: pip install triforium again."
                    )
                folder = Path(spec.origin).parent
                with _logging_left_alone():
                    from wordllama import WordLlama

                # The loader looks for the tokeniser in the cache folder only; the package's own
                # folder has the layout of one.
                model = WordLlama.load(dim=self.width, cache_dir=folder, disable_download=True)
                weights = folder / "weights" / f"l2_supercat_{self.width}.safetensors"
                digest = hashlib.blake2b(weights.read_bytes(), digest_size=8).hexdigest()
                version = importlib.metadata.version("wordllama").split("+")[0]
                self._fingerprint = f"wordllama-{version}-{self.width}-{digest}"
                # What pads a batch would only have to be told from its texts again.
                model.tokenizer.no_padding()
                if _words_stand_alone(model.tokenizer):
                    self._words = _Words(model.tokenizer)
                self._model = model
            return self._model

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape (len(texts), 256)."""
        if not texts:
            return np.zeros((0, self.width), np.float32)
        model = self._load()
        rows = np.empty((len(texts), self.width), np.float32)
        new = []
        for number, text in enumerate(texts):
            known = self._embedded.get(text)
            if known is None:
                new.append(number)
            else:
                rows[number] = known
        if new:
            clean = [_encodable(texts[number][: self._MAX_CHARACTERS]) or " " for number in new]
            fresh = _unit(_pooled(model, clean))
            rows[new] = fresh
            self._remember(texts, new, fresh)
        return rows

    def _remember(self, texts: Sequence[str], new: Sequence[int], rows: Vectors) -> None:
        """Tasks are embedded again when they are recalled for, stored and learned from."""
        if len(texts) > _FEW:
            return
        if len(self._embedded) >= _EMBEDDED:
            self._embedded = {}
        for number, row in zip(new, rows, strict=True):
            if len(texts[number]) <= _AT_ONCE:
                self._embedded[texts[number]] = row

    def count_tokens(self, text: str) -> int:
        """Length of `text` in tokens of the embedder's tokeniser, without special tokens."""
        known = self._counted.get(text)
        if known is not None:
            return known
        tokenizer = self._load().tokenizer
        if self._words is not None and not any(one in text for one in _SPECIAL):
            count = self._words.count(text)
        else:
            count = _length(tokenizer, text)
        if len(text) <= _SHORT:
            # The same few texts are counted at every recall.
            if len(self._counted) >= _COUNTED:
                self._counted = {}
            self._counted[text] = count
        return count


_AT_ONCE = 600
"""Characters that take less time to embed than another thread takes to begin."""
_FEW = 8
"""Texts of one call whose vectors are remembered, at most."""
_EMBEDDED = 4096
"""Texts whose vectors are remembered, at most."""
_SPACE = "\u2581"
"""What the tokeniser writes for a space; it also sets one before any text."""
_BREAK = "<0x0A>"
"""Its token of a line break, one without relation to any other."""
_SPECIAL = ("<s>", "</s>", "<unk>", _SPACE)
"""Before and after the first three it begins anew, with a space of its own."""
_WORDS = re.compile(r"\n| *[^ \n]+| +")
_LONGEST_WORD = 64
"""Characters of a word whose length in tokens is remembered, at most."""
_SHORT = 2000
"""Characters of a text whose length in tokens is remembered, at most."""
_BATCH = 64
"""Texts that are tokenised together."""
_COUNTED = 16_384
"""Texts whose length in tokens is remembered, at most."""


def _pooled(model: Any, texts: Sequence[str]) -> Vectors:
    """The mean of each text's token embeddings, as the model pools them."""
    rows = np.zeros((len(texts), model.embedding.shape[1]), np.float32)
    for start in range(0, len(texts), _BATCH):
        chunk = list(texts[start : start + _BATCH])
        encoded = model.tokenizer.encode_batch_fast(chunk, add_special_tokens=False)
        for number, one in enumerate(encoded, start):
            if ids := one.ids:
                total = np.add.reduce(model.embedding[ids], axis=0, dtype=np.float32)
                rows[number] = total / np.float32(len(ids))
    return rows


def _unit(rows: Vectors) -> Vectors:
    """The rows with a length of one; those of zero stay."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Vectors = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 1e-9)
    return unit


class _Words(dict[str, int]):
    """The length in tokens of words, each with the spaces before it, and of line breaks.

    The same words make up all texts, and looking them up takes a tenth of the time that the
    tokeniser needs.
    """

    def __init__(self, tokenizer: Any) -> None:
        super().__init__({"\n": 1, " ": 1})
        self._tokenizer = tokenizer

    def count(self, text: str) -> int:
        """The length of a text in tokens."""
        return sum(map(self.__getitem__, _WORDS.findall(f" {text}"))) if text else 0

    def __missing__(self, word: str) -> int:
        if word[0] == " ":
            count = _length(self._tokenizer, word[1:])
        else:
            # It stands right after a line break.
            count = _length(self._tokenizer, f"\n{word}") - 2
        if len(word) <= _LONGEST_WORD:
            if len(self) >= _COUNTED:
                self.clear()
                self.update({"\n": 1, " ": 1})
            self[word] = count
        return count


def _length(tokenizer: Any, text: str) -> int:
    return len(tokenizer.encode(_encodable(text), add_special_tokens=False).ids)


def _words_stand_alone(tokenizer: Any) -> bool:
    """Whether no token reaches over a line break or the beginning of a word."""
    reaching = [
        one
        for one in tokenizer.get_vocab()
        if "\n" in one or _BREAK in one or _SPACE in one.lstrip(_SPACE)
    ]
    added = {str(one.content) for one in tokenizer.get_added_tokens_decoder().values()}
    example = "a b\n\nc  d \n e"
    return (
        reaching == [_BREAK]
        and added <= set(_SPECIAL)
        and _length(tokenizer, example) == _Words(tokenizer).count(example)
    )


def _encodable(text: str) -> str:
    """`text` without lone surrogates, which the tokeniser cannot take."""
    return text.encode("utf-8", "replace").decode("utf-8")


@contextmanager
def _logging_left_alone() -> Iterator[None]:
    """Take back what an import does to the log of the whole process: that is the user's."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


_EMBEDDERS: dict[str, Callable[[], Embedder]] = {"wordllama": WordLlamaEmbedder}
_loaded: dict[str, Embedder] = {}


def get_embedder(name: str | Embedder | None) -> Embedder | None:
    """The embedder of that name, one instance a process.

    Args:
        name: "wordllama", an embedder of your own, or None for lexical search only.

    Raises:
        InvalidInput: There is no embedder of that name.
    """
    if name is None or not isinstance(name, str):
        return name
    if name not in _EMBEDDERS:
        raise InvalidInput(
            f"There is no embedder {name!r}; there is {', '.join(sorted(_EMBEDDERS))}. "
            "Pass an object with the methods of triforium.memory.Embedder to use your own.",
            embedder=name,
        )
    if name not in _loaded:
        _loaded[name] = _EMBEDDERS[name]()
    return _loaded[name]


async def embed_async(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    """`embedder.embed` on a worker thread; at once if that takes less time than the thread does.

    An embedder says so with an attribute `at_once`: how many characters take so little.
    """
    if sum(map(len, texts)) <= getattr(embedder, "at_once", 0):
        return embedder.embed(texts)
    return await asyncio.to_thread(embedder.embed, texts)
