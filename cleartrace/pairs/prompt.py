"""The one renderer of pairs: training, validation, the probe and the exports all ask with these bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cleartrace.pairs.record import Context, ImageRef, Order, Pair
from cleartrace.pairs.steps import fenced, render_steps

LETTERS = ("A", "B")
HIDDEN = "(not shown)"
"""Stands for a context in the blind control."""


@dataclass(frozen=True)
class PairPrompt:
    """A pair as a chat.

    Args:
        messages: one user turn. Its content is a string, or with images a list of `{"type": "text", "text": ...}` and
            `{"type": "image"}` parts, no two texts next to each other.
        images: what the image parts stand for, in their order.
        correct: letter of the supporting context.
    """

    messages: list[dict[str, Any]]
    images: tuple[ImageRef, ...]
    correct: str


def render(
    pair: Pair,
    order: Order,
    letters: tuple[str, str] = LETTERS,
    *,
    include_issue: bool = False,
    blind: bool = False,
) -> PairPrompt:
    """The selection prompt of `pair`.

    Args:
        letters: names of the first and the second context.
        include_issue: show the issue inside trajectories. It matches the patch trivially, so the default is not to.
        blind: show no context; a control that can only reach chance.

    Errors: `ValueError` for a trajectory without an assistant turn.
    """
    first, second = (pair.pos, pair.neg) if order is Order.SUPPORTING_FIRST else (pair.neg, pair.pos)
    pieces: list[str | ImageRef] = [f"Question:\n{pair.question}\n\n"]
    for image in pair.images:
        pieces += [image, "\n\n"]
    pieces.append(f"Answer under test:\n{pair.answer}\n\n")
    for letter, context in zip(letters, (first, second), strict=True):
        pieces += [f"Context {letter}:\n", HIDDEN if blind else _context(pair, context, include_issue), "\n\n"]
    pieces.append(instruction(letters))
    images = tuple(piece for piece in pieces if isinstance(piece, ImageRef))
    correct = letters[0] if order is Order.SUPPORTING_FIRST else letters[1]
    return PairPrompt([{"role": "user", "content": _content(pieces)}], images, correct)


def instruction(letters: tuple[str, str]) -> str:
    """The sentences every prompt ends with."""
    return (
        "Exactly one of the two contexts supports this answer. "
        f"Reply with its letter only, {letters[0]} or {letters[1]}."
    )


def _context(pair: Pair, context: Context, include_issue: bool) -> str | ImageRef:
    if isinstance(context, ImageRef):
        return context
    if isinstance(context, str):
        return fenced(context)
    try:
        return fenced(render_steps(context, include_issue))
    except ValueError as error:
        raise ValueError(f"pair {pair.id}: {error}") from None


def _content(pieces: list[str | ImageRef]) -> str | list[dict[str, str]]:
    parts: list[dict[str, str]] = []
    for piece in pieces:
        if isinstance(piece, ImageRef):
            parts.append({"type": "image"})
        elif parts and parts[-1]["type"] == "text":
            parts[-1]["text"] += piece
        else:
            parts.append({"type": "text", "text": piece})
    return parts if len(parts) > 1 else parts[0]["text"]
