"""Bar, line and pie charts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from random import Random

from PIL import ImageDraw

from cleartrace.pairs.make.scenes.domain import Domain
from cleartrace.pairs.make.scenes.scene import PALETTE, Box, Look, Scene, another, replaced

TOPICS: dict[str, tuple[str, ...]] = {
    "fruit sold": ("apple", "pear", "plum", "fig", "kiwi", "lime"),
    "visitors": ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat"),
    "books read": ("Ann", "Ben", "Cem", "Dia", "Eva", "Fay"),
    "rain in mm": ("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
}
VALUES = range(5, 51, 5)
LEFT, TOP, RIGHT, BOTTOM = 32, 24, 216, 196
"""The plot, in pixels."""


def _height(value: int) -> float:
    return BOTTOM - (BOTTOM - TOP - 12) * value / VALUES[-1]


@dataclass(frozen=True)
class _Axes(Scene):
    """Categories with one value each."""

    topic: str
    labels: tuple[str, ...]
    values: tuple[int, ...]
    asked: int

    domain = Domain.CHART

    @classmethod
    def sample(cls, rng: Random) -> _Axes:
        topic = rng.choice(list(TOPICS))
        labels = TOPICS[topic][: rng.choice((4, 5, 6))]
        values = tuple(rng.choice(VALUES) for _ in labels)
        return cls(Look.sample(rng), topic, labels, values, rng.randrange(len(labels)))

    @property
    def question(self) -> str:
        return f"What is the value of {self.labels[self.asked]} in the chart of {self.topic}?"

    @property
    def answer(self) -> str:
        return str(self.values[self.asked])

    def edited(self, rng: Random) -> _Axes:
        value = another(rng, VALUES, self.values[self.asked], apart=10)
        return replace(self, values=replaced(self.values, self.asked, value))

    def _middle(self, index: int) -> float:
        return LEFT + (RIGHT - LEFT) * (index + 0.5) / len(self.labels)

    def _draw_axes(self, pen: ImageDraw.ImageDraw) -> None:
        for tick in range(0, VALUES[-1] + 1, 10):
            y = _height(tick)
            pen.line((LEFT, y, RIGHT, y), fill=(205, 205, 205))
            self.write(pen, LEFT - 4, y, str(tick), "rm")
        pen.line((LEFT, TOP, LEFT, BOTTOM, RIGHT, BOTTOM), fill=self.look.ink)
        self.write(pen, (LEFT + RIGHT) / 2, TOP - 12, self.topic)
        for index, label in enumerate(self.labels):
            self.write(pen, self._middle(index), BOTTOM + 11, label)


@dataclass(frozen=True)
class BarChart(_Axes):
    """One bar for each category, its value above it."""

    @property
    def target(self) -> Box:
        half = (RIGHT - LEFT) / len(self.labels) / 2
        middle = self._middle(self.asked)
        return Box(int(middle - half), TOP - 4, int(middle + half) + 1, BOTTOM)

    def draw(self, pen: ImageDraw.ImageDraw) -> None:
        self._draw_axes(pen)
        for index, value in enumerate(self.values):
            middle, y = self._middle(index), _height(value)
            pen.rectangle((middle - 9, y, middle + 9, BOTTOM - 1), fill=list(PALETTE.values())[index % len(PALETTE)])
            self.write(pen, middle, y - 8, str(value))


@dataclass(frozen=True)
class LineChart(_Axes):
    """Points joined by a line; the grid is fine enough to read a value from."""

    @property
    def target(self) -> Box:
        first, last = max(0, self.asked - 1), min(len(self.labels) - 1, self.asked + 1)
        return Box(int(self._middle(first)) - 4, TOP - 4, int(self._middle(last)) + 5, BOTTOM)

    def draw(self, pen: ImageDraw.ImageDraw) -> None:
        for value in VALUES:
            pen.line((LEFT, _height(value), RIGHT, _height(value)), fill=(228, 228, 228))
        self._draw_axes(pen)
        points = [(self._middle(index), _height(value)) for index, value in enumerate(self.values)]
        for a, b in pairwise(points):
            pen.line((*a, *b), fill=PALETTE["blue"], width=2)
        for x, y in points:
            pen.ellipse((x - 3, y - 3, x + 3, y + 3), fill=PALETTE["red"])


@dataclass(frozen=True)
class PieChart(Scene):
    """Shares of a whole, in hundredths, with a legend."""

    topic: str
    labels: tuple[str, ...]
    shares: tuple[int, ...]
    start: int
    """Angle of the first slice, in degrees."""

    domain = Domain.CHART

    @classmethod
    def sample(cls, rng: Random) -> PieChart:
        topic = rng.choice(list(TOPICS))
        shares = [40, *rng.choice(((25, 20, 15), (20, 15, 15, 10)))]
        rng.shuffle(shares)
        return cls(Look.sample(rng), topic, TOPICS[topic][: len(shares)], tuple(shares), rng.randrange(0, 360, 30))

    @property
    def question(self) -> str:
        return f"Which part of the pie chart of {self.topic} is the largest?"

    @property
    def answer(self) -> str:
        return self.labels[self.shares.index(max(self.shares))]

    @property
    def target(self) -> Box:
        return Box(20, 40, 151, 171)

    def edited(self, rng: Random) -> PieChart:
        """Two slices change places, the largest among them."""
        large = self.shares.index(max(self.shares))
        other = another(rng, range(len(self.shares)), large)
        shares = replaced(replaced(self.shares, large, self.shares[other]), other, self.shares[large])
        return replace(self, shares=shares)

    def draw(self, pen: ImageDraw.ImageDraw) -> None:
        self.write(pen, 112, 16, self.topic)
        edges = [self.start + share * 3.6 for share in (0, *accumulate(self.shares))]
        colours = list(PALETTE.values())
        for index, (begin, end) in enumerate(pairwise(edges)):
            pen.pieslice((21, 41, 149, 169), begin, end, fill=colours[index], outline=self.look.background)
        for index, label in enumerate(self.labels):
            y = 60 + 20 * index
            pen.rectangle((160, y - 5, 170, y + 5), fill=colours[index])
            self.write(pen, 175, y, label, "lm")
