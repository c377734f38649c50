"""What a probe asks: each pair in both orders, and the two controls. Pure functions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cleartrace.pairs.prompt import LETTERS, PairPrompt, render
from cleartrace.pairs.record import Context, Order, Pair
from cleartrace.probe.manifest import image_hash
from cleartrace.probe.names import Arm


@dataclass(frozen=True)
class Ask:
    """One prompt.

    Args:
        pair_id: the sampled pair that the answer counts for.
        pair: what is rendered; with the other answer when swapped.
        key: SHA-256 of the rendered prompt. Asks with one key are one question and share its answer.
        correct: letter of the sampled pair's supporting context, in every arm.
    """

    pair_id: str
    arm: Arm
    order: Order
    pair: Pair
    key: str
    correct: str
    letters: tuple[str, str]
    prompt: PairPrompt = field(repr=False, compare=False)


@dataclass(frozen=True)
class Wording:
    """How pairs are rendered; see `cleartrace.pairs.prompt.render`."""

    letters: tuple[str, str] = LETTERS
    include_issue: bool = False


def asks(
    sampled: Sequence[Pair], available: Iterable[Pair], *, controls: bool = True, wording: Wording = Wording()
) -> list[Ask]:
    """Both orders of every sampled pair, and with `controls` the blind and swapped ones.

    Args:
        available: where the other direction of a pair may be found, sampled or not. A pair without one has no swapped
            control.
    """
    twins = Twins(available)
    wanted = [(pair, Arm.PLAIN, pair) for pair in sampled]
    for pair in sampled if controls else ():
        wanted.append((pair, Arm.BLIND, pair))
        if (twin := twins.of(pair)) is not None:
            wanted.append((pair, Arm.SWAPPED, pair.model_copy(update={"answer": twin.answer})))
    return [_ask(pair.id, arm, order, asked, wording) for pair, arm, asked in wanted for order in Order]


class Twins:
    """Finds the other direction of a pair by what it says, not by its id."""

    def __init__(self, pairs: Iterable[Pair]) -> None:
        self._by_sides = {_sides(pair, pair.pos, pair.neg): pair for pair in pairs}

    def of(self, pair: Pair) -> Pair | None:
        """The pair with the same question and exchanged contexts, if its answer is another one."""
        twin = self._by_sides.get(_sides(pair, pair.neg, pair.pos))
        return twin if twin is not None and twin.answer != pair.answer else None


def prompt_key(prompt: PairPrompt) -> str:
    """SHA-256 of the messages and of the bytes of their images: where an image lies is not part of the question."""
    images = [image_hash(image) for image in prompt.images]
    text = json.dumps([prompt.messages, images], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _ask(pair_id: str, arm: Arm, order: Order, asked: Pair, wording: Wording) -> Ask:
    prompt = render(asked, order, wording.letters, include_issue=wording.include_issue, blind=arm is Arm.BLIND)
    return Ask(pair_id, arm, order, asked, prompt_key(prompt), prompt.correct, wording.letters, prompt)


def _sides(pair: Pair, first: Context, second: Context) -> tuple[Any, ...]:
    return pair.kind, pair.question, pair.images, first, second
