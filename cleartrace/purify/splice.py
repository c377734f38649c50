"""Splice policies: what a regenerated turn becomes in the kept trajectory. Pure functions, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from cleartrace.purify.config import Basis, Policy, SaarConfig
from cleartrace.purify.similarity import Similarity, normalise_code, similarity
from cleartrace.purify.turn import Turn, with_origin
from cleartrace.trajectory.flatten import flatten_ids
from cleartrace.trajectory.segment import Origin, Segment


class SpliceKind(str, Enum):
    """What happened to the failed turn."""

    GRAFT = "graft"
    """Its reasoning stays, the new call takes the place of its call (shallow)."""
    REPLACE = "replace"
    """The new turn takes its place as a whole (deep)."""


@dataclass(frozen=True)
class SpliceInput:
    """What a policy may look at.

    `failed` is the turn that stands in the trajectory now (a spliced one from the second retry on);
    `reference` is the attempt to compare with (`compare_to`); `regenerated` is the new turn, sampled after
    the error message.
    """

    failed: Turn
    reference: Turn
    regenerated: Turn


@dataclass(frozen=True)
class Splice:
    """The segments that take the place of the failed turn; `similarity` is None when nothing was compared."""

    kind: SpliceKind
    segments: tuple[Segment, ...]
    similarity: float | None = None


def standing_splice(kinds: Sequence[SpliceKind]) -> SpliceKind | None:
    """The splice that stands at a position after all that were made there; None without any.

    A graft on top of a replaced turn keeps the replaced reasoning, so the whole turn is replaced.
    """
    if not kinds:
        return None
    return SpliceKind.REPLACE if SpliceKind.REPLACE in kinds else SpliceKind.GRAFT


Strategy = Callable[[SpliceInput, SaarConfig], Splice]


def compare(a: Turn, b: Turn, config: SaarConfig) -> Similarity:
    """Similarity of two calls on the configured basis."""
    if config.basis is Basis.TOKENS:
        pair = flatten_ids(a.call), flatten_ids(b.call)
    elif config.basis is Basis.WRAPPED:
        pair = a.call_text, b.call_text
        if not all(pair):
            raise ValueError("basis 'wrapped' compares decoded calls: set Turn.call_text, or use basis 'code'")
    else:
        pair = normalise_code(a.code), normalise_code(b.code)
    return similarity(
        *pair, threshold=config.similarity_threshold, autojunk=config.autojunk, symmetric=config.symmetric
    )


def similarity_splice(given: SpliceInput, config: SaarConfig) -> Splice:
    """Graft at or above the threshold, replace below it or when a turn cannot be split (sections 2.4, 4.1)."""
    name = Policy.SIMILARITY.value
    new = given.regenerated
    value = None
    if given.failed.call and new.call:
        value = compare(given.reference, new, config).value
        if value >= config.similarity_threshold:
            grafted = with_origin(new.call, Origin.GRAFTED, policy=name, similarity=value)
            return Splice(SpliceKind.GRAFT, given.failed.reasoning + grafted, value)
    return Splice(SpliceKind.REPLACE, with_origin(new.segments, Origin.REPLACED, policy=name, similarity=value), value)


def replace_splice(given: SpliceInput, config: SaarConfig) -> Splice:
    """The new turn as a whole, so that reasoning and call stay consistent (section 4.2)."""
    del config
    return Splice(
        SpliceKind.REPLACE,
        with_origin(given.regenerated.segments, Origin.REPLACED, policy=Policy.REPLACE.value, similarity=None),
    )


STRATEGIES: Mapping[Policy, Strategy] = {Policy.SIMILARITY: similarity_splice, Policy.REPLACE: replace_splice}
"""The policies that rewrite history. `importance` judges one of these; the others decide whether one is used."""
