"""Objects on a shelf in a lit room: counting, colours and relations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from random import Random

from PIL import ImageDraw

from cleartrace.pairs.make.scenes.domain import Domain
from cleartrace.pairs.make.scenes.scene import PALETTE, SIDE, Box, Look, Scene

SHAPES = ("ball", "box", "cone", "jar")
COLOURS = ("red", "blue", "green", "orange", "purple")
ROWS, COLUMNS = 3, 4
LEFT, TOP, WIDTH, HEIGHT = 12, 14, 50, 64
"""The corner of the shelf and the size of a compartment, in pixels."""


class Ask(str, Enum):
    """What the question is about."""

    COUNT = "count"
    COLOUR = "colour"
    NEIGHBOUR = "neighbour"


@dataclass(frozen=True)
class Item:
    """An object and where it stands in its compartment, in pixels from the middle."""

    shape: str
    colour: str
    shift: int

    @property
    def name(self) -> str:
        return f"{self.colour} {self.shape}"


@dataclass(frozen=True)
class Shelf(Scene):
    """`ROWS` times `COLUMNS` compartments with one object each, row by row."""

    items: tuple[Item, ...]
    ask: Ask
    focus: int
    """The compartment that the question is about; for a neighbour, that of the object it names."""
    light: int
    """Brightness of the wall, and which side the shadows fall to."""

    domain = Domain.NATURAL

    @classmethod
    def sample(cls, rng: Random) -> Shelf:
        ask = rng.choice(list(Ask))
        focus = rng.randrange(ROWS) * COLUMNS + rng.randrange(COLUMNS - 1)
        odd = rng.choice(SHAPES)
        others = [shape for shape in SHAPES if shape != odd] if ask is not Ask.COUNT else list(SHAPES)
        items = [Item(rng.choice(others), rng.choice(COLOURS), rng.randrange(-5, 6)) for _ in range(ROWS * COLUMNS)]
        items[focus] = replace(items[focus], shape=odd)
        return cls(Look.sample(rng), tuple(items), ask, focus, rng.choice((-12, -6, 6, 12)))

    @property
    def question(self) -> str:
        named = self.items[self.focus]
        if self.ask is Ask.COUNT:
            plural = "boxes" if named.shape == "box" else f"{named.shape}s"
            return f"How many {plural} are on the shelf?"
        if self.ask is Ask.COLOUR:
            return f"Which colour has the {named.shape} on the shelf?"
        return f"What stands directly to the right of the {named.shape}? Name colour and object."

    @property
    def answer(self) -> str:
        named = self.items[self.focus]
        if self.ask is Ask.COUNT:
            return str(sum(item.shape == named.shape for item in self.items))
        return named.colour if self.ask is Ask.COLOUR else self.items[self.focus + 1].name

    @property
    def target(self) -> Box:
        if self.ask is Ask.COUNT:
            return Box(LEFT, TOP, LEFT + COLUMNS * WIDTH, TOP + ROWS * HEIGHT)
        row, column = divmod(self.focus + (self.ask is Ask.NEIGHBOUR), COLUMNS)
        left, top = LEFT + column * WIDTH, TOP + row * HEIGHT
        return Box(left, top, left + WIDTH, top + HEIGHT)

    def edited(self, rng: Random) -> Shelf:
        named = self.items[self.focus]
        if self.ask is Ask.COLOUR:
            colour = rng.choice([colour for colour in COLOURS if colour != named.colour])
            return self._with(self.focus, replace(named, colour=colour))
        spot = self.focus + 1
        if self.ask is Ask.COUNT:
            spot = rng.choice([i for i in range(len(self.items)) if i != self.focus])
        old = self.items[spot]
        others = [shape for shape in SHAPES if shape not in (old.shape, named.shape)]
        joins = self.ask is Ask.COUNT and old.shape != named.shape
        return self._with(spot, replace(old, shape=named.shape if joins else rng.choice(others)))

    def _with(self, spot: int, item: Item) -> Shelf:
        return replace(self, items=(*self.items[:spot], item, *self.items[spot + 1 :]))

    def draw(self, pen: ImageDraw.ImageDraw) -> None:
        for y in range(SIDE):
            shade = 214 + self.light - y // 8
            pen.line((0, y, SIDE, y), fill=(shade, shade - 6, shade - 16))
        for row in range(ROWS):
            y = TOP + (row + 1) * HEIGHT - 8
            pen.rectangle((LEFT - 6, y, LEFT + COLUMNS * WIDTH + 6, y + 7), fill=(139, 101, 66))
            pen.line((LEFT - 6, y + 3, LEFT + COLUMNS * WIDTH + 6, y + 3), fill=(120, 84, 52))
        for spot, item in enumerate(self.items):
            row, column = divmod(spot, COLUMNS)
            self._draw_item(pen, item, LEFT + column * WIDTH + WIDTH // 2 + item.shift, TOP + (row + 1) * HEIGHT - 9)

    def _draw_item(self, pen: ImageDraw.ImageDraw, item: Item, x: int, floor: int) -> None:
        """Stands on `floor`, centred on `x`; at most 28 pixels wide and 34 high."""
        colour = PALETTE[item.colour]
        dark = (colour[0] * 2 // 3, colour[1] * 2 // 3, colour[2] * 2 // 3)
        lean = 4 if self.light > 0 else -4
        pen.ellipse((x - 13 + lean, floor - 3, x + 13 + lean, floor), fill=(96, 84, 70))
        if item.shape == "ball":
            pen.ellipse((x - 13, floor - 27, x + 13, floor - 1), fill=colour, outline=dark)
            pen.ellipse((x - 6 - lean, floor - 22, x - lean, floor - 16), fill=(245, 245, 245))
        elif item.shape == "box":
            pen.rectangle((x - 13, floor - 24, x + 13, floor - 1), fill=colour, outline=dark, width=2)
        elif item.shape == "cone":
            pen.polygon([(x - 13, floor - 1), (x + 13, floor - 1), (x, floor - 32)], fill=colour, outline=dark)
        else:
            pen.rounded_rectangle((x - 11, floor - 28, x + 11, floor - 1), 6, fill=colour, outline=dark)
            pen.rectangle((x - 8, floor - 33, x + 8, floor - 28), fill=dark)
