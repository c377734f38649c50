"""Mutual nearest neighbours by cosine, in blocks: memory grows with rows x k, never with rows x rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

BLOCK = 2048


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """float32 rows of length 1. Errors: ValueError for a row of zeros or one that is not finite."""
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(norms).all() or not norms.all():
        bad = int(np.flatnonzero(~(np.isfinite(norms) & (norms > 0)).ravel())[0])
        raise ValueError(f"vector {bad} has no direction: its length is {float(norms[bad, 0])}")
    return vectors / norms


def nearest(
    vectors: np.ndarray, k: int, block: int = BLOCK, progress: Callable[[int], None] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest other rows of every row: (indices int32, cosines float32), both `[rows, k]`, nearest first.

    Args:
        vectors: float32 rows of length 1.
        progress: called with the number of rows done.
    """
    n = len(vectors)
    k = min(k, n - 1)
    indices, cosines = np.empty((n, k), dtype=np.int32), np.empty((n, k), dtype=np.float32)
    for start in range(0, n, block):
        rows = vectors[start : start + block]
        best = np.full((len(rows), k), -np.inf, dtype=np.float32)
        ids = np.zeros((len(rows), k), dtype=np.int32)
        for left in range(0, n, block):
            found = rows @ vectors[left : left + block].T
            if left == start:
                np.fill_diagonal(found, -np.inf)
            # Later blocks seldom have a nearer row: a maximum is much cheaper than a partition.
            nearer = found.max(axis=1) > best[:, -1]
            best[nearer], ids[nearer] = _merged(best[nearer], ids[nearer], found[nearer], left, k)
        indices[start : start + len(rows)], cosines[start : start + len(rows)] = ids, best
        if progress:
            progress(start + len(rows))
    return indices, cosines


def _merged(best: np.ndarray, ids: np.ndarray, found: np.ndarray, left: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k best of those so far and of one more block, in order."""
    if found.shape[1] > k:
        places = np.argpartition(found, -k, axis=1)[:, -k:]
        found = np.take_along_axis(found, places, axis=1)
    else:
        places = np.broadcast_to(np.arange(found.shape[1]), found.shape)
    values = np.concatenate([best, found], axis=1)
    rows = np.concatenate([ids, (places + left).astype(np.int32)], axis=1)
    order = np.argsort(-values, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(values, order, axis=1), np.take_along_axis(rows, order, axis=1)


def mutual_pairs(indices: np.ndarray, cosines: np.ndarray, threshold: float) -> list[tuple[int, int, float]]:
    """(a, b, cosine), a < b, of rows that are each among the other's nearest, most alike first.

    Args:
        indices, cosines: of `nearest`.
        threshold: least cosine.
    """
    n, k = indices.shape
    rows = np.repeat(np.arange(n, dtype=np.int64), k)
    others, values = indices.ravel().astype(np.int64), cosines.ravel()
    near = values >= threshold
    rows, others, values = rows[near], others[near], values[near]
    forward, backward = rows * n + others, others * n + rows
    keep = (rows < others) & np.isin(forward, backward, assume_unique=True)
    rows, others, values = rows[keep], others[keep], values[keep]
    order = np.lexsort((others, rows, -values))
    return [(int(rows[i]), int(others[i]), float(values[i])) for i in order]
