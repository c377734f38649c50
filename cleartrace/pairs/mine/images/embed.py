"""Pictures as vectors, for retrieval: small and offline here, a model behind an endpoint in `api.py`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

SIDE = 32


class Embedder(Protocol):
    """Turns pictures into vectors whose cosine says how alike they look."""

    @property
    def name(self) -> str:
        """Vectors of embedders with different names are never mixed."""
        ...

    def embed(self, paths: Sequence[Path]) -> np.ndarray:
        """float32 `[pictures, size]`; rows need not have length 1."""
        ...


class ThumbnailEmbedder:
    """Luminance of a 32 x 32 thumbnail and its edges: `[pictures, 2048]`.

    Edges weigh as much as luminance, so that pictures on a white ground are not all alike. Reduce a collection with
    `principal_components` before neighbours are searched.
    """

    name = "thumbnail-32"

    def embed(self, paths: Sequence[Path]) -> np.ndarray:
        """Errors: ValueError that names a picture which cannot be read."""
        return np.stack([self._one(path) for path in paths])

    def _one(self, path: Path) -> np.ndarray:
        try:
            with Image.open(path) as image:
                small = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
        except OSError as error:
            raise ValueError(f"cannot read the image {path} ({error})") from None
        light = np.asarray(small, dtype=np.float32) / 255
        rise = np.diff(light, axis=0, append=light[-1:])
        run = np.diff(light, axis=1, append=light[:, -1:])
        return np.concatenate([_unit(light - light.mean()), _unit(np.hypot(rise, run))])


def principal_components(vectors: np.ndarray, size: int) -> np.ndarray:
    """Project on the `size` directions of the largest second moment; cosines stay close to those of the full vectors.

    The mean is not taken out: that would turn "alike" into "alike more than usual in this collection".
    """
    if size >= min(vectors.shape):
        return vectors
    rows, columns = vectors.shape
    if rows < columns:
        strengths, directions = np.linalg.eigh(vectors @ vectors.T)
        return (directions[:, -size:] * np.sqrt(np.maximum(strengths[-size:], 0))).astype(np.float32)
    _, directions = np.linalg.eigh(vectors.T @ vectors)
    return np.ascontiguousarray(vectors @ directions[:, -size:]).astype(np.float32)


def _unit(values: np.ndarray) -> np.ndarray:
    norm = float(np.linalg.norm(values))
    return values.ravel() / norm if norm else values.ravel()
