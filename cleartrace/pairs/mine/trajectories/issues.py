"""Stage 4: issues that are related and yet different, by TF-IDF and shared names."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

BUCKETS = 1 << 18
MAX_TERMS = 512
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]{2,}")
_API = re.compile(
    r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+|[A-Za-z]\w*_\w+|[a-z]+[A-Z]\w+|[A-Z][a-z]+[A-Z]\w*|[A-Za-z_]\w*(?=\()"
)


@dataclass(frozen=True)
class Terms:
    """Hashed words of one text: `ids` [n] ascending, `counts` [n]."""

    ids: np.ndarray
    counts: np.ndarray

    def to_bytes(self) -> bytes:
        return self.ids.astype("<i4").tobytes() + self.counts.astype("<i4").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Terms:
        values = np.frombuffer(data, dtype="<i4")
        half = len(values) // 2
        return cls(values[:half], values[half:])


def terms(text: str) -> Terms:
    """The most frequent `MAX_TERMS` words, hashed to `BUCKETS` by CRC-32 (the same on every machine)."""
    ids = [zlib.crc32(word.lower().encode()) % BUCKETS for word in _WORD.findall(text)]
    unique, counts = np.unique(np.asarray(ids, dtype=np.int32), return_counts=True)
    if len(unique) > MAX_TERMS:
        keep = np.sort(np.argsort(-counts, kind="stable")[:MAX_TERMS])
        unique, counts = unique[keep], counts[keep]
    return Terms(unique, counts.astype(np.int32))


def api_names(text: str) -> frozenset[str]:
    """Words that look like code: dotted, with underscores or inner capitals, or followed by a bracket.

    Example:
        >>> sorted(api_names("utils.parse_name() fails when MaxSize is set; see split(x)"))
        ['MaxSize', 'parse_name', 'split', 'utils.parse_name']
    """
    found = set(_API.findall(text))
    return frozenset(found | {name.rpartition(".")[2] for name in found if "." in name})


class Idf:
    """Inverse document frequencies, log((1 + n) / (1 + df)) + 1."""

    def __init__(self, documents: Iterable[Terms]) -> None:
        frequency = np.zeros(BUCKETS, dtype=np.int32)
        n = 0
        for document in documents:
            frequency[document.ids] += 1
            n += 1
        self.weights = (np.log((1 + n) / (1 + frequency)) + 1).astype(np.float32)

    def cosine(self, a: Terms, b: Terms) -> float:
        """Between (1 + log count) x idf vectors, in [0, 1]; 0 for an empty text."""
        va, vb = (self.weights[t.ids] * (1 + np.log(t.counts)) for t in (a, b))
        norm = float(np.linalg.norm(va) * np.linalg.norm(vb))
        _, ia, ib = np.intersect1d(a.ids, b.ids, assume_unique=True, return_indices=True)
        return float(va[ia] @ vb[ib]) / norm if norm else 0.0
