"""Plots of functions on a grid of whole numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise
from random import Random

from PIL import ImageDraw

from cleartrace.pairs.make.scenes.domain import Domain
from cleartrace.pairs.make.scenes.scene import PALETTE, SIDE, Box, Look, Scene, another

REACH = 5
"""The plot shows -REACH to REACH on both axes."""
CELL = 20
MIDDLE = SIDE // 2
LEVELS = range(-3, 4)
SLOPES = (-0.5, 0.0, 0.5)
MARK = 4
"""Radius of the circle at the end of a branch, in pixels."""


class Side(str, Enum):
    """From where a limit is taken."""

    LEFT = "left"
    RIGHT = "right"


def _x(value: float) -> float:
    return MIDDLE + CELL * value


def _y(value: float) -> float:
    return MIDDLE - CELL * value


def _draw_grid(scene: Scene, pen: ImageDraw.ImageDraw) -> None:
    low, high = _x(-REACH), _x(REACH)
    for tick in range(-REACH, REACH + 1):
        pen.line((_x(tick), low, _x(tick), high), fill=(220, 220, 220))
        pen.line((low, _y(tick), high, _y(tick)), fill=(220, 220, 220))
    pen.line((low, _y(0), high, _y(0)), fill=scene.look.ink)
    pen.line((_x(0), low, _x(0), high), fill=scene.look.ink)
    for tick in (-4, -2, 2, 4):
        scene.write(pen, _x(tick), _y(0) + 8, str(tick))
        scene.write(pen, _x(0) - 5, _y(tick), str(tick), "rm")


def _draw_curve(pen: ImageDraw.ImageDraw, f: Callable[[float], float], start: float, end: float) -> None:
    steps = 120
    points = [(x, f(x)) for x in (start + (end - start) * i / steps for i in range(steps + 1))]
    for (a, fa), (b, fb) in pairwise(points):
        if abs(fa) <= REACH and abs(fb) <= REACH:
            pen.line((_x(a), _y(fa), _x(b), _y(fb)), fill=PALETTE["blue"], width=2)


@dataclass(frozen=True)
class JumpPlot(Scene):
    """Two straight branches that meet at a jump; a one-sided limit is asked for."""

    at: int
    levels: tuple[int, int]
    """Where the left and the right branch end at the jump."""
    slopes: tuple[float, float]
    side: Side

    domain = Domain.FUNCTION

    @classmethod
    def sample(cls, rng: Random) -> JumpPlot:
        left = rng.choice(LEVELS)
        levels = (left, another(rng, LEVELS, left))
        return cls(
            Look.sample(rng),
            rng.choice(range(-2, 3)),
            levels,
            (rng.choice(SLOPES), rng.choice(SLOPES)),
            rng.choice(list(Side)),
        )

    @property
    def question(self) -> str:
        return f"What is the limit of f(x) as x approaches {self.at} from the {self.side.value}?"

    @property
    def answer(self) -> str:
        return str(self.levels[self.side is Side.RIGHT])

    @property
    def target(self) -> Box:
        jump, edge = int(_x(self.at)), int(_x(REACH))
        if self.side is Side.RIGHT:
            return Box(jump - MARK - 1, SIDE - edge - 4, edge + 4, edge + 4)
        return Box(SIDE - edge - 4, SIDE - edge - 4, jump + MARK + 2, edge + 4)

    def edited(self, rng: Random) -> JumpPlot:
        left, right = self.levels
        if self.side is Side.RIGHT:
            return replace(self, levels=(left, rng.choice([level for level in LEVELS if level not in self.levels])))
        return replace(self, levels=(rng.choice([level for level in LEVELS if level not in self.levels]), right))

    def draw(self, pen: ImageDraw.ImageDraw) -> None:
        _draw_grid(self, pen)
        for level, slope, end in zip(self.levels, self.slopes, (-REACH, REACH), strict=True):
            _draw_curve(pen, lambda x, a=level, b=slope: a + b * (x - self.at), self.at, end)
        for level, filled in zip(self.levels, (True, False), strict=True):
            x, y = _x(self.at), _y(level)
            fill = PALETTE["blue"] if filled else self.look.background
            pen.ellipse((x - MARK, y - MARK, x + MARK, y + MARK), fill=fill, outline=PALETTE["blue"], width=2)


@dataclass(frozen=True)
class Parabola(Scene):
    """A parabola on the grid; the place of its extremum is asked for."""

    x0: int
    y0: int
    opens_up: bool

    domain = Domain.FUNCTION

    @classmethod
    def sample(cls, rng: Random) -> Parabola:
        up = rng.random() < 0.5
        return cls(Look.sample(rng), rng.choice(LEVELS), rng.choice(range(1, 4)) * (-1 if up else 1), up)

    @property
    def question(self) -> str:
        return f"At which x does the curve reach its {'minimum' if self.opens_up else 'maximum'}?"

    @property
    def answer(self) -> str:
        return str(self.x0)

    @property
    def target(self) -> Box:
        edge = int(_x(REACH)) + 4
        return Box(SIDE - edge, SIDE - edge, edge, edge)

    def edited(self, rng: Random) -> Parabola:
        return replace(self, x0=another(rng, LEVELS, self.x0))

    def draw(self, pen: ImageDraw.ImageDraw) -> None:
        _draw_grid(self, pen)
        sign = 1 if self.opens_up else -1
        _draw_curve(pen, lambda x: self.y0 + sign * (x - self.x0) ** 2, -REACH, REACH)
        x, y = _x(self.x0), _y(self.y0)
        pen.ellipse((x - 3, y - 3, x + 3, y + 3), fill=PALETTE["red"])
