"""Figures with labelled lengths and angles, drawn to scale."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from math import radians, tan
from random import Random

from PIL import ImageDraw

from cleartrace.pairs.make.scenes.domain import Domain
from cleartrace.pairs.make.scenes.scene import Box, Look, Scene, another

ANGLES = range(35, 71, 5)
LENGTHS = range(3, 13)
UNIT = 13
"""Pixels of one unit of length."""


class Measure(str, Enum):
    """What is asked about a rectangle."""

    AREA = "area"
    PERIMETER = "perimeter"


@dataclass(frozen=True)
class Triangle(Scene):
    """Two angles are given, the third is asked for."""

    left: int
    right: int

    domain = Domain.GEOMETRY

    @classmethod
    def sample(cls, rng: Random) -> Triangle:
        return cls(Look.sample(rng), rng.choice(ANGLES), rng.choice(ANGLES))

    @property
    def question(self) -> str:
        return "How many degrees has the angle at the top of the triangle?"

    @property
    def answer(self) -> str:
        return str(180 - self.left - self.right)

    @property
    def target(self) -> Box:
        return Box(30, 16, 200, 212)

    def edited(self, rng: Random) -> Triangle:
        return replace(self, left=another(rng, ANGLES, self.left, apart=10))

    def draw(self, pen: ImageDraw.ImageDraw) -> None:
        a, b, y = 57, 167, 188
        rise, fall = tan(radians(self.left)), tan(radians(self.right))
        x = a + (b - a) * fall / (rise + fall)
        pen.line((a, y, b, y, x, y - (x - a) * rise, a, y), fill=self.look.ink, width=2, joint="curve")
        pen.arc((a - 16, y - 16, a + 16, y + 16), -self.left, 0, fill=(200, 60, 60), width=2)
        pen.arc((b - 16, y - 16, b + 16, y + 16), 180, 180 + self.right, fill=(200, 60, 60), width=2)
        self.write(pen, a, y + 12, f"{self.left}°")
        self.write(pen, b, y + 12, f"{self.right}°")


@dataclass(frozen=True)
class Rectangle(Scene):
    """Both sides are given, area or perimeter is asked for."""

    width: int
    height: int
    measure: Measure

    domain = Domain.GEOMETRY

    @classmethod
    def sample(cls, rng: Random) -> Rectangle:
        return cls(Look.sample(rng), rng.choice(LENGTHS), rng.choice(LENGTHS), rng.choice(list(Measure)))

    @property
    def question(self) -> str:
        unit = "square centimetres" if self.measure is Measure.AREA else "centimetres"
        return f"What is the {self.measure.value} of the rectangle, in {unit}?"

    @property
    def answer(self) -> str:
        if self.measure is Measure.AREA:
            return str(self.width * self.height)
        return str(2 * (self.width + self.height))

    @property
    def target(self) -> Box:
        return Box(12, 16, 222, 206)

    def edited(self, rng: Random) -> Rectangle:
        return replace(self, height=another(rng, LENGTHS, self.height, apart=2))

    def draw(self, pen: ImageDraw.ImageDraw) -> None:
        left, bottom = 20, 184
        right, top = left + self.width * UNIT, bottom - self.height * UNIT
        pen.rectangle((left, top, right, bottom), fill=(222, 232, 246), outline=self.look.ink, width=2)
        self.write(pen, (left + right) / 2, bottom + 12, f"{self.width} cm")
        self.write(pen, right + 4, (top + bottom) / 2, f"{self.height} cm", "lm")
