"""Embedders: text to vectors, behind one interface. The default is local and needs no network."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.metadata
import importlib.util
import threading
from collections.abc import Callable, Sequence
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
        """Vectors of shape (len(texts), width). Blocks; see `embed_async`."""
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
                from wordllama import WordLlama

                # The loader looks for the tokeniser in the cache folder only; the package's own
                # folder has the layout of one.
                model = WordLlama.load(dim=self.width, cache_dir=folder, disable_download=True)
                weights = folder / "weights" / f"l2_supercat_{self.width}.safetensors"
                digest = hashlib.blake2b(weights.read_bytes(), digest_size=8).hexdigest()
                version = importlib.metadata.version("wordllama").split("+")[0]
                self._fingerprint = f"wordllama-{version}-{self.width}-{digest}"
                self._model = model
            return self._model

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape (len(texts), 256)."""
        if not texts:
            return np.zeros((0, self.width), np.float32)
        model = self._load()
        clean = [_encodable(text[: self._MAX_CHARACTERS]) or " " for text in texts]
        with self._lock:
            rows = np.asarray(model.embed(clean, norm=False), np.float32)
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        unit: Vectors = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 1e-9)
        return unit

    def count_tokens(self, text: str) -> int:
        """Length of `text` in tokens of the embedder's tokeniser, without special tokens."""
        model = self._load()
        with self._lock:
            return len(model.tokenizer.encode(_encodable(text), add_special_tokens=False).ids)


def _encodable(text: str) -> str:
    """`text` without lone surrogates, which the tokeniser cannot take."""
    return text.encode("utf-8", "replace").decode("utf-8")


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
    """`embedder.embed` on a worker thread."""
    return await asyncio.to_thread(embedder.embed, texts)
