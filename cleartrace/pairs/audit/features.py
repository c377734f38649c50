"""What each shortcut looks at. Features are of one (answer, context); a classifier sees the difference of two."""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from enum import Enum

import numpy as np

from cleartrace.pairs.audit.facts import context_text, tokens, turns
from cleartrace.pairs.record import Context

BUCKETS = 2048
_K1, _B = 1.5, 0.75


class Shortcut(str, Enum):
    """A way to guess the right context without weighing it against the answer.

    `length` and `context_only` see contexts alone; `answer_only` sees the answer and the place of a context; `bm25` and
    `bag_of_words` see words that answer and context share, but not their order.
    """

    LENGTH = "length"
    BM25 = "bm25"
    BAG_OF_WORDS = "bag_of_words"
    CONTEXT_ONLY = "context_only"
    ANSWER_ONLY = "answer_only"


def bucket(word: str) -> int:
    """CRC-32, so that scores are the same on every machine."""
    return zlib.crc32(word.encode("utf-8", "surrogatepass")) % BUCKETS


def length_features(context: Context) -> np.ndarray:
    """[5]: log of characters, tokens, lines, distinct tokens and turns."""
    text = context_text(context)
    words = tokens(text)
    counts = (len(text), len(words), text.count("\n"), len(set(words)), turns(context))
    return np.log1p(np.asarray(counts, dtype=np.float64))


def hashed_words(words: Sequence[str]) -> np.ndarray:
    """[BUCKETS]: log counts, scaled to length 1."""
    vector = np.zeros(BUCKETS)
    for word, count in Counter(words).items():
        vector[bucket(word)] += 1 + math.log(count)
    norm = float(np.linalg.norm(vector))
    return vector / norm if norm else vector


class Bm25:
    """BM25 over all contexts of a set (Robertson and Zaragoza 2009, k1 = 1.5, b = 0.75)."""

    def __init__(self, documents: Sequence[Sequence[str]]) -> None:
        self.n = len(documents)
        self.frequency = Counter(word for document in documents for word in set(document))
        self.mean_length = sum(map(len, documents)) / max(1, self.n)

    def idf(self, word: str) -> float:
        df = self.frequency[word]
        return math.log(1 + (self.n - df + 0.5) / (df + 0.5))

    def score(self, query: Sequence[str], counts: Counter[str], length: int) -> float:
        scale = _K1 * (1 - _B + _B * length / max(self.mean_length, 1e-9))
        return sum(self.idf(w) * counts[w] * (_K1 + 1) / (counts[w] + scale) for w in set(query) if counts[w])


def shared_words(answer: Sequence[str], context: Counter[str], idf: Callable[[str], float]) -> np.ndarray:
    """[BUCKETS + 1]: words of the answer that the context has, by bucket, and the sum of their idf."""
    vector = np.zeros(BUCKETS + 1)
    for word in set(answer):
        if context[word]:
            vector[bucket(word)] += 1.0
            vector[-1] += idf(word)
    vector[:-1] /= max(1.0, math.sqrt(len(set(answer))))
    vector[-1] /= max(1, len(answer))
    return vector
