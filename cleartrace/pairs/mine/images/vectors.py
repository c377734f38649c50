"""Vectors of a collection, made in parts that a killed run does not make again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from cleartrace.data.files import whole_file
from cleartrace.pairs.mine.images.embed import Embedder

PART = 1024


def embed_all(
    images: Sequence[str], embedder: Embedder, folder: Path, progress: Callable[[int], None] | None = None
) -> np.ndarray:
    """float32 `[images, size]`. Parts lie in `folder` under names made of the embedder and their pictures' paths.

    A picture that is replaced under its old path keeps its old vector: delete the folder then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for start in range(0, len(images), PART):
        chunk = images[start : start + PART]
        digest = hashlib.sha256("\n".join((embedder.name, *chunk)).encode()).hexdigest()[:16]
        path = folder / f"{start:08d}-{digest}.npy"
        if not path.exists():
            made = embedder.embed([Path(image) for image in chunk]).astype(np.float32)
            with whole_file(path) as partial, partial.open("wb") as file:
                np.save(file, made)
        parts.append(np.load(path))
        if progress:
            progress(start + len(chunk))
    return np.concatenate(parts)
