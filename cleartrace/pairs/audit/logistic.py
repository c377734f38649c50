"""Logistic regression without an intercept, for differences of features."""

from __future__ import annotations

import numpy as np

L2 = 1.0
MAX_STEPS = 2000
TOLERANCE = 1e-5


def _largest_eigenvalue(x: np.ndarray, steps: int = 30) -> float:
    """Of x^T x, by power iteration from a fixed start; a little from above."""
    v = np.ones(x.shape[1]) / np.sqrt(x.shape[1])
    size = 0.0
    for _ in range(steps):
        v = x.T @ (x @ v)
        size = float(np.linalg.norm(v))
        if size == 0.0:
            break
        v /= size
    return 1.1 * size + 1e-9


def fit(differences: np.ndarray, l2: float = L2) -> np.ndarray:
    """Weights w that make sigma(w . d) large for every row d = features(right) - features(wrong).

    Minimises sum(log(1 + exp(-w . d))) + l2 / 2 |w|^2 over columns scaled to a root mean square of 1, by Nesterov's
    accelerated gradient: a step costs two products with the rows, whatever the number of features. The scale is folded
    back into w.

    Args:
        differences: [n, f].

    Returns:
        [f].
    """
    scale = np.sqrt(np.mean(differences**2, axis=0))
    scale = np.where(scale > 1e-9, scale, np.inf)
    x = differences / scale
    smooth = l2 + _largest_eigenvalue(x) / 4
    momentum = (np.sqrt(smooth) - np.sqrt(l2)) / (np.sqrt(smooth) + np.sqrt(l2))
    w = ahead = np.zeros(x.shape[1])
    for _ in range(MAX_STEPS):
        margin = np.clip(x @ ahead, -30, 30)
        gradient = l2 * ahead - x.T @ (1 / (1 + np.exp(margin)))
        if float(np.abs(gradient).max(initial=0.0)) < TOLERANCE:
            break
        w, last = ahead - gradient / smooth, w
        ahead = w + momentum * (w - last)
    return ahead / scale


def folds(groups: list[str], k: int, seed: int) -> np.ndarray:
    """[n]: fold of each row, whole groups at a time, the largest first into the emptiest fold."""
    names, sizes = np.unique(np.asarray(groups), return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-sizes[order], kind="stable")]
    filled = np.zeros(min(k, len(names)))
    fold_of: dict[str, int] = {}
    for i in order:
        fold = int(np.argmin(filled))
        fold_of[str(names[i])] = fold
        filled[fold] += sizes[i]
    return np.asarray([fold_of[group] for group in groups])
