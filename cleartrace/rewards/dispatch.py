"""Which grader an answer goes to: by data source, or as the options say."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from cleartrace.rewards.choice import read_choice
from cleartrace.rewards.selection import SOURCE as SELECTION_SOURCE


class GraderKind(str, Enum):
    """Kinds of answers."""

    MATH = "math"
    SCIENCE = "science"
    CHOICE = "choice"
    CODE = "code"
    SELECTION = "selection"
    PHRASE = "phrase"


_BY_NAME = (
    (GraderKind.SELECTION, (SELECTION_SOURCE,)),
    (GraderKind.CODE, ("code",)),
    (GraderKind.CHOICE, ("gpqa",)),
    (GraderKind.SCIENCE, ("science",)),
    (GraderKind.PHRASE, ("short_answer",)),
)


def is_code_source(data_source: str) -> bool:
    """True for sources whose answers are programs: the published rule, "code" anywhere in the name."""
    return "code" in data_source.lower()


def grader_of(data_source: str, graders: Mapping[str, GraderKind] | None = None) -> GraderKind:
    """The grader of a source: that of `graders`, else by its name in lower case; mathematics where none is found.

    Example:
        >>> [grader_of(name).value for name in ("LiveCodeBench_v6", "gpqa_diamond", "mega-science", "aime2024")]
        ['code', 'choice', 'science', 'math']
    """
    if graders and data_source in graders:
        return graders[data_source]
    name = data_source.lower()
    return next((kind for kind, words in _BY_NAME if any(word in name for word in words)), GraderKind.MATH)


def settle(kind: GraderKind, gold: str) -> GraderKind:
    """Science questions come with and without options: a key that is one option letter makes it a choice."""
    return GraderKind.CHOICE if kind is GraderKind.SCIENCE and read_choice(gold) == gold.strip() else kind
