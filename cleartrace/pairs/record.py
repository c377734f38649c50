"""One contrastive pair: a question, its answer, the context that supports it and a confounding one."""

from __future__ import annotations

from enum import Enum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

SUFFIXES = {"forward": "+", "reverse": "-"}


class PairKind(str, Enum):
    """What the two contexts are. Said in the record and never guessed from it: a question may have two images (W13)."""

    TEXT = "text"
    TRAJECTORY = "trajectory"
    IMAGE = "image"


class Order(str, Enum):
    """Which context stands under the first letter."""

    SUPPORTING_FIRST = "AB"
    CONFOUNDING_FIRST = "BA"


class Direction(str, Enum):
    """Two records share their contexts: each is supporting in one and confounding in the other (W2)."""

    FORWARD = "forward"
    REVERSE = "reverse"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Message(_Record):
    """One message of an agent's trajectory. `role`: `assistant` acts, `user` or `tool` answers it."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str


class ImageRef(_Record):
    """An image file. `path`: absolute, or relative to the folder of the pairs file."""

    path: str = Field(min_length=1)


Context = str | tuple[Message, ...] | ImageRef
CONTEXT_TYPES: dict[PairKind, type] = {PairKind.TEXT: str, PairKind.TRAJECTORY: tuple, PairKind.IMAGE: ImageRef}


class Pair(_Record):
    """z = (Q, A, C+, C-) of arXiv 2606.17053 with its provenance.

    Args:
        id: unique in a file; letters, digits and `._:@/+-`.
        question, answer: Q and A; `pos` supports A, `neg` does not.
        images: images that belong to the question itself.
        group: repository at a commit, or family of an image. Splits never cut a group.
        source: generator or data set, for per-source tables.
        order: only for the order policy `fixed`, which reproduces published data.
        meta: free facts for audits: direction, edit, cascade, judge.
    """

    id: str = Field(pattern=r"^[\w.:@/+\-]+$")
    kind: PairKind
    question: str = Field(min_length=1)
    answer: str = Field(min_length=1)
    pos: Context
    neg: Context
    images: tuple[ImageRef, ...] = ()
    group: str = Field(min_length=1)
    source: str = Field(min_length=1)
    order: Order | None = None
    meta: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _contexts_fit(self) -> Pair:
        wanted = CONTEXT_TYPES[self.kind]
        for name, context in (("pos", self.pos), ("neg", self.neg)):
            if not isinstance(context, wanted):
                given = type(context).__name__
                raise ValueError(f"pair {self.id}: a pair of kind {self.kind.value} cannot have a {given} as {name}")
            if not context:
                raise ValueError(f"pair {self.id}: {name} is empty")
        if self.pos == self.neg:
            raise ValueError(f"pair {self.id}: both contexts are the same, so nothing can tell them apart")
        return self


def both_directions(
    *,
    id: str,
    kind: PairKind,
    question: str,
    answers: tuple[str, str],
    contexts: tuple[Context, Context],
    group: str,
    source: str,
    images: tuple[ImageRef, ...] = (),
    meta: dict[str, Any] | None = None,
) -> tuple[Pair, Pair]:
    """Two pairs from two contexts and the answer that each supports: no rule that sees only contexts can win (W2)."""
    if answers[0] == answers[1]:
        raise ValueError(f"pair {id}: both contexts give the answer {answers[0]!r}")

    def pair(direction: Direction, i: int) -> Pair:
        return Pair(
            id=f"{id}{SUFFIXES[direction.value]}",
            kind=kind,
            question=question,
            answer=answers[i],
            pos=contexts[i],
            neg=contexts[1 - i],
            images=images,
            group=group,
            source=source,
            meta={**(meta or {}), "direction": direction.value},
        )

    return pair(Direction.FORWARD, 0), pair(Direction.REVERSE, 1)
