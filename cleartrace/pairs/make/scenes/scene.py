"""What a scene is: parameters that can be drawn, a question about them, and one edit that changes its answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import ClassVar

from PIL import Image, ImageDraw, ImageFont

from cleartrace.pairs.make.scenes.domain import Domain

SIDE = 224
"""Width and height of every picture, in pixels: whole patches for Qwen2.5-VL (28) and Qwen3-VL (32)."""
Colour = tuple[int, int, int]
PALETTE: dict[str, Colour] = {
    "red": (204, 51, 51),
    "blue": (51, 102, 204),
    "green": (46, 139, 87),
    "orange": (230, 130, 30),
    "purple": (128, 70, 160),
    "grey": (120, 120, 120),
}
BACKGROUNDS: tuple[Colour, ...] = ((255, 255, 255), (250, 246, 236), (238, 244, 250), (244, 240, 248))
INKS: tuple[Colour, ...] = ((20, 20, 20), (40, 40, 80), (70, 40, 30))


@dataclass(frozen=True)
class Box:
    """Pixels from `left`, `top` up to, but without, `right` and `bottom`."""

    left: int
    top: int
    right: int
    bottom: int

    def contains(self, other: Box) -> bool:
        return (
            self.left <= other.left
            and self.top <= other.top
            and self.right >= other.right
            and self.bottom >= other.bottom
        )


@dataclass(frozen=True)
class Look:
    """Facts of a picture that no question asks for."""

    background: Colour
    ink: Colour
    font: int

    @classmethod
    def sample(cls, rng: Random) -> Look:
        return cls(rng.choice(BACKGROUNDS), rng.choice(INKS), rng.choice((11, 12, 13)))


@dataclass(frozen=True)
class Scene(ABC):
    """A picture as its parameters. Two equal scenes are the same picture, byte for byte."""

    domain: ClassVar[Domain]
    look: Look

    @classmethod
    @abstractmethod
    def sample(cls, rng: Random) -> Scene:
        """A scene drawn at random; everything random about it is in its parameters."""

    @property
    @abstractmethod
    def question(self) -> str:
        """A question with a single short answer. It says nothing about parameters that `edited` may change."""

    @property
    @abstractmethod
    def answer(self) -> str: ...

    @property
    @abstractmethod
    def target(self) -> Box:
        """The region that the answer is read from. An edit changes no pixel outside it."""

    @abstractmethod
    def edited(self, rng: Random) -> Scene:
        """The same scene with one parameter changed, and with it the answer to the same question."""

    @abstractmethod
    def draw(self, pen: ImageDraw.ImageDraw) -> None:
        """Draw on an empty picture of `SIDE` times `SIDE` pixels."""

    def render(self) -> Image.Image:
        """The picture, RGB."""
        picture = Image.new("RGB", (SIDE, SIDE), self.look.background)
        self.draw(ImageDraw.Draw(picture))
        return picture

    def write(self, pen: ImageDraw.ImageDraw, x: float, y: float, text: str, anchor: str = "mm") -> None:
        """Text at a point; `anchor` as in Pillow: `mm` is centred, `la` begins there."""
        pen.text((x, y), text, fill=self.look.ink, font=_font(self.look.font), anchor=anchor)


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def another(rng: Random, options: range | tuple[int, ...], current: int, apart: int = 1) -> int:
    """A number of `options` at least `apart` away from `current`."""
    return rng.choice([option for option in options if abs(option - current) >= apart])


def replaced(values: tuple[int, ...], index: int, value: int) -> tuple[int, ...]:
    """`values` with the one at `index` replaced."""
    return (*values[:index], value, *values[index + 1 :])
