"""Science diagrams: circuits, food webs, thermometers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import atan2, cos, pi, sin
from random import Random

from PIL import ImageDraw

from cleartrace.pairs.make.scenes.domain import Domain
from cleartrace.pairs.make.scenes.scene import PALETTE, Box, Look, Scene, another, replaced

OHMS = range(2, 13)
SPECIES = ("fox", "owl", "frog", "mouse", "snail", "grass")
DEGREES = range(-10, 41, 5)


@dataclass(frozen=True)
class Circuit(Scene):
    """Resistors in series on the upper rail of a battery circuit."""

    ohms: tuple[int, ...]

    domain = Domain.SCIENCE

    @classmethod
    def sample(cls, rng: Random) -> Circuit:
        return cls(Look.sample(rng), tuple(rng.choice(OHMS) for _ in range(rng.choice((2, 3)))))

    @property
    def question(self) -> str:
        return "What is the total resistance of the circuit, in ohms?"

    @property
    def answer(self) -> str:
        return str(sum(self.ohms))

    @property
    def target(self) -> Box:
        return Box(28, 30, 196, 76)

    def edited(self, rng: Random) -> Circuit:
        index = rng.randrange(len(self.ohms))
        return replace(self, ohms=replaced(self.ohms, index, another(rng, OHMS, self.ohms[index], apart=2)))

    def draw(self, pen: ImageDraw.ImageDraw) -> None:
        pen.rectangle((28, 60, 196, 180), outline=self.look.ink, width=2)
        pen.rectangle((102, 172, 122, 190), fill=self.look.background)
        pen.line((104, 166, 104, 194), fill=self.look.ink, width=2)
        pen.line((120, 173, 120, 187), fill=self.look.ink, width=4)
        for index, ohm in enumerate(self.ohms):
            x = 28 + 168 * (index + 0.5) / len(self.ohms)
            pen.rectangle((x - 18, 52, x + 18, 68), fill=(235, 225, 200), outline=self.look.ink, width=2)
            self.write(pen, x, 40, f"{ohm} ohm")


@dataclass(frozen=True)
class FoodWeb(Scene):
    """Arrows from what is eaten to what eats it."""

    eaters: tuple[int, ...]
    """`eaters[i]` eats species i + 1; species are numbers in `SPECIES`, and 0 is at the top."""
    asked: int

    domain = Domain.SCIENCE

    @classmethod
    def sample(cls, rng: Random) -> FoodWeb:
        eaters = tuple(rng.randrange(species) for species in range(1, len(SPECIES)))
        return cls(Look.sample(rng), eaters, rng.randrange(2, len(SPECIES)))

    @property
    def question(self) -> str:
        return f"In the food web, which animal eats the {SPECIES[self.asked]}?"

    @property
    def answer(self) -> str:
        return SPECIES[self.eaters[self.asked - 1]]

    @property
    def target(self) -> Box:
        return Box(10, 12, 214, 212)

    def edited(self, rng: Random) -> FoodWeb:
        eater = another(rng, range(self.asked), self.eaters[self.asked - 1])
        return replace(self, eaters=replaced(self.eaters, self.asked - 1, eater))

    def draw(self, pen: ImageDraw.ImageDraw) -> None:
        places = [
            (112 + 78 * sin(2 * pi * i / len(SPECIES)), 112 - 78 * cos(2 * pi * i / len(SPECIES)))
            for i in range(len(SPECIES))
        ]
        for eaten, eater in enumerate(self.eaters, 1):
            self._arrow(pen, places[eaten], places[eater])
        for name, (x, y) in zip(SPECIES, places, strict=True):
            pen.ellipse((x - 22, y - 13, x + 22, y + 13), fill=(226, 240, 214), outline=self.look.ink)
            self.write(pen, x, y, name)

    def _arrow(self, pen: ImageDraw.ImageDraw, start: tuple[float, float], end: tuple[float, float]) -> None:
        angle = atan2(end[1] - start[1], end[0] - start[0])
        tip = (end[0] - 24 * cos(angle), end[1] - 16 * sin(angle))
        pen.line((*start, *tip), fill=PALETTE["red"], width=2)
        wings = [(tip[0] - 9 * cos(angle + turn), tip[1] - 9 * sin(angle + turn)) for turn in (-0.4, 0.4)]
        pen.polygon([tip, *wings], fill=PALETTE["red"])


@dataclass(frozen=True)
class Thermometer(Scene):
    """A thermometer in degrees Celsius."""

    degrees: int
    left: int
    """Where the tube begins, in pixels from the left."""

    domain = Domain.SCIENCE

    @classmethod
    def sample(cls, rng: Random) -> Thermometer:
        return cls(Look.sample(rng), rng.choice(DEGREES), rng.randrange(50, 150))

    @property
    def question(self) -> str:
        return "What temperature does the thermometer show, in °C?"

    @property
    def answer(self) -> str:
        return str(self.degrees)

    @property
    def target(self) -> Box:
        return Box(self.left, 20, self.left + 15, 186)

    def edited(self, rng: Random) -> Thermometer:
        return replace(self, degrees=another(rng, DEGREES, self.degrees, apart=10))

    def draw(self, pen: ImageDraw.ImageDraw) -> None:
        x = self.left
        pen.rectangle((x, 20, x + 14, 186), fill=(255, 255, 255), outline=self.look.ink)
        pen.ellipse((x - 6, 180, x + 20, 206), fill=PALETTE["red"], outline=self.look.ink)
        pen.rectangle((x + 4, self._y(self.degrees), x + 10, 185), fill=PALETTE["red"])
        for tick in DEGREES:
            long = tick % 10 == 0
            pen.line((x + 16, self._y(tick), x + (26 if long else 21), self._y(tick)), fill=self.look.ink)
            if long:
                self.write(pen, x + 30, self._y(tick), str(tick), "lm")

    @staticmethod
    def _y(degrees: int) -> int:
        return 172 - 140 * (degrees - DEGREES[0]) // (DEGREES[-1] - DEGREES[0])
