"""Rows with images, opened by Pillow. Give this file as `data.custom_cls.path`, with `ImageFileDataset` as its name.

veRL's own data set opens pictures by qwen-vl-utils, which needs torchvision and resizes them before the processor does.
Here the processor alone resizes, as it does for pairs, so that a picture is the same tokens in both passes.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from PIL import Image
from verl.utils.dataset.rl_dataset import RLHFDataset


def open_image(part: dict[str, Any]) -> Image.Image:
    """The RGB picture of an image part: a Pillow image, a path under `image` or `path`, or file content under `bytes`.

    Errors: ValueError that names the part.
    """
    source = next((part[name] for name in ("image", "bytes", "path") if part.get(name) is not None), None)
    if isinstance(source, Image.Image):
        return source.convert("RGB")
    if isinstance(source, bytes):
        source = BytesIO(source)
    elif isinstance(source, str):
        source = Path(source.removeprefix("file://"))
    if not isinstance(source, (BytesIO, Path)):
        raise ValueError(f"an image part has a picture, a path or bytes, and this one has {sorted(part)}")
    try:
        with Image.open(source) as opened:
            return opened.convert("RGB")
    except OSError as error:
        raise ValueError(f"cannot read the image {source} ({error})") from None


class ImageFileDataset(RLHFDataset):
    """veRL's data set for text and images."""

    @classmethod
    def _process_multi_modal_info(
        cls, messages: list[dict], image_patch_size: int, config: DictConfig
    ) -> tuple[list[Image.Image] | None, None, None]:
        """Pictures in their order, or None; no video, no audio. Raises ValueError for a row with either."""
        del image_patch_size, config
        parts = [part for message in messages if isinstance(message["content"], list) for part in message["content"]]
        if other := sorted({part["type"] for part in parts} - {"text", "image"}):
            raise ValueError(f"ImageFileDataset handles text and images, and a row has {', '.join(other)}")
        images = [open_image(part) for part in parts if part["type"] == "image"]
        return images or None, None, None
