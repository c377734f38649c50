"""Two pictures of one size: where they differ, and how alike they are elsewhere."""

from __future__ import annotations

import numpy as np
from PIL import Image

from cleartrace.pairs.make.scenes.scene import Box

WINDOW = 7
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def difference_box(a: Image.Image, b: Image.Image, tolerance: int = 0) -> Box | None:
    """The smallest box that holds every pixel whose channels differ by more than `tolerance`; None for no such pixel.

    Errors: ValueError for pictures of different size.
    """
    x, y = _pixels(a, b)
    changed = np.abs(x - y).max(axis=2) > tolerance
    if not changed.any():
        return None
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def ssim_map(a: Image.Image, b: Image.Image) -> np.ndarray:
    """Structural similarity of each `WINDOW` x `WINDOW` window, of luminance: `[height - 6, width - 6]`.

    Wang et al. 2004, with a uniform window; K1 = 0.01, K2 = 0.03, range 255.
    """
    pixels = _pixels(a.convert("L").convert("RGB"), b.convert("L").convert("RGB"))
    x, y = (image[..., 0].astype(np.float64) for image in pixels)
    mean_x, mean_y = _window_mean(x), _window_mean(y)
    var_x = _window_mean(x * x) - mean_x**2
    var_y = _window_mean(y * y) - mean_y**2
    cov = _window_mean(x * y) - mean_x * mean_y
    alike = (2 * mean_x * mean_y + _C1) * (2 * cov + _C2)
    return alike / ((mean_x**2 + mean_y**2 + _C1) * (var_x + var_y + _C2))


def ssim_outside(a: Image.Image, b: Image.Image, box: Box) -> float:
    """Mean structural similarity of the windows that do not touch `box`; 1.0 where there is none."""
    values = ssim_map(a, b)
    outside = np.ones_like(values, dtype=bool)
    outside[max(0, box.top - WINDOW + 1) : box.bottom, max(0, box.left - WINDOW + 1) : box.right] = False
    return float(values[outside].mean()) if outside.any() else 1.0


def _pixels(a: Image.Image, b: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    if a.size != b.size:
        raise ValueError(f"pictures of {a.size} and {b.size} pixels cannot be compared; resize one of them")
    return np.asarray(a.convert("RGB"), dtype=np.int16), np.asarray(b.convert("RGB"), dtype=np.int16)


def _window_mean(values: np.ndarray) -> np.ndarray:
    sums = np.pad(values, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    n = WINDOW
    return (sums[n:, n:] - sums[:-n, n:] - sums[n:, :-n] + sums[:-n, :-n]) / (n * n)
