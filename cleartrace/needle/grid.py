"""The grid of cases: every kind at every length and depth, as chat messages with their answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

from pydantic import BaseModel, ConfigDict, Field

from cleartrace.needle.haystack import Counter, Filler, count_words, make_haystack
from cleartrace.needle.tasks import NeedleKind, draw

PROMPT = (
    "Read the text and answer the question below it.\n\nText: {text}\n\nQuestion: {question}\nGive the answer only."
)


@dataclass(frozen=True)
class Grid:
    """What is asked. The defaults are the published grid: one needle, 15 lengths from 1 k to 32 k, 10 depths."""

    kinds: tuple[NeedleKind, ...] = (NeedleKind.SINGLE,)
    shortest: int = 1_000
    longest: int = 32_000
    lengths: int = 15
    depths: int = 10
    repeats: int = 1
    filler: Filler = Filler.DOCS
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.kinds or min(self.shortest, self.lengths, self.depths, self.repeats) < 1:
            raise ValueError("a grid needs a kind, and at least one length, depth and repeat")
        if self.longest < self.shortest:
            raise ValueError(f"the longest length, {self.longest}, is below the shortest, {self.shortest}")

    def cells(self) -> Iterator[tuple[NeedleKind, int, float, int]]:
        """(kind, length, depth, repeat), in this order."""
        for kind in self.kinds:
            for length in _spread(self.shortest, self.longest, self.lengths):
                for depth in _spread(0.0, 1.0, self.depths):
                    for repeat in range(self.repeats):
                        yield kind, round(length), round(depth, 4), repeat


class NeedleCase(BaseModel):
    """One line of a cases file. `size`: tokens (or words) of the user message; `length`: what it was made for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=1)
    kind: NeedleKind
    length: int = Field(ge=1)
    depth: float = Field(ge=0, le=1)
    size: int = Field(ge=1)
    messages: tuple[dict[str, str], ...] = Field(min_length=1)
    answers: tuple[str, ...] = Field(min_length=1)


def make_cases(grid: Grid, count: Counter = count_words) -> Iterator[NeedleCase]:
    """The cases one by one. A case depends on the seed and its own cell alone, so a larger grid keeps what was there.

    Raises:
        ValueError: a length has no room for the needles and the frame around the text.
    """
    for kind, length, depth, repeat in grid.cells():
        name = f"{kind.value}-{length}-{round(100 * depth)}-{repeat}"
        rng = Random(f"{grid.seed}/{name}")
        needle, _ = draw(kind, rng)
        frame = partial(_prompt, needle.question)
        stack = make_haystack(needle.sentences, depth, length, grid.filler, rng, count=count, frame=frame)
        yield NeedleCase(
            id=name,
            kind=kind,
            length=length,
            depth=depth,
            size=stack.size,
            messages=({"role": "user", "content": frame(stack.text(needle.sentences))},),
            answers=needle.answers,
        )


def _prompt(question: str, text: str) -> str:
    return PROMPT.format(text=text, question=question)


def _spread(low: float, high: float, n: int) -> Sequence[float]:
    return [low] if n == 1 else [low + (high - low) * i / (n - 1) for i in range(n)]
