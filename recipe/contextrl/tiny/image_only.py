"""The Qwen-VL processors without their video half. A tiny model's folder ships this file as its processor code.

transformers asks for torchvision as soon as a processor has a video half, and has a PIL path for images. veRL knows a
processor by the name of its class, so these bear the names of the classes they narrow.
"""

from __future__ import annotations

import transformers


class Qwen2_5_VLProcessor(transformers.Qwen2_5_VLProcessor):  # noqa: N801
    """Text and images of Qwen2.5-VL."""

    @classmethod
    def get_attributes(cls) -> list[str]:
        return ["image_processor", "tokenizer"]


class Qwen3VLProcessor(transformers.Qwen3VLProcessor):
    """Text and images of Qwen3-VL."""

    @classmethod
    def get_attributes(cls) -> list[str]:
        return ["image_processor", "tokenizer"]
