"""Pairs out of a collection: pictures that look alike, the same question, different answers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from cleartrace.pairs.mine.images.neighbours import BLOCK, mutual_pairs, nearest, unit_rows
from cleartrace.pairs.mine.images.question import ImageQuestion, answers_differ, normal_question
from cleartrace.pairs.record import ImageRef, Pair, PairKind, both_directions


class Stage(str, Enum):
    """What a candidate has passed."""

    NEAR = "mutual_neighbours"
    SAME_QUESTION = "same_question"
    DIFFERENT_ANSWERS = "different_answers"
    UNDER_CAP = "under_cap"
    JUDGED = "judged_valid"


@dataclass(frozen=True)
class RetrievalSettings:
    """Args:
    threshold: least cosine of the two pictures (paper: 0.85).
    k: how many nearest pictures count as near, from both sides.
    cap: pairs that one picture may be part of.
    """

    threshold: float = 0.85
    k: int = 20
    cap: int = 2
    block: int = BLOCK


@dataclass(frozen=True)
class Match:
    """Two questions whose pictures are near, with their cosine."""

    a: ImageQuestion
    b: ImageQuestion
    cosine: float

    @property
    def id(self) -> str:
        return f"{self.a.id}:{self.b.id}"


def retrieve(
    questions: Sequence[ImageQuestion],
    images: Sequence[str],
    vectors: np.ndarray,
    settings: RetrievalSettings,
    progress: Callable[[int], None] | None = None,
) -> tuple[list[Match], Counter[Stage]]:
    """Matches that pass every stage before the judge, most alike first, and how many passed each.

    Args:
        images: the different pictures of the collection; row i of `vectors` belongs to `images[i]`.
        progress: called with the number of pictures whose neighbours are known.
    """
    of_image: dict[str, dict[str, list[ImageQuestion]]] = defaultdict(lambda: defaultdict(list))
    for question in questions:
        of_image[question.image][normal_question(question.question)].append(question)
    indices, cosines = nearest(unit_rows(vectors), settings.k, settings.block, progress)
    near = mutual_pairs(indices, cosines, settings.threshold)
    funnel: Counter[Stage] = Counter({Stage.NEAR: len(near)})
    kept, uses = [], Counter[str]()
    for match in _same_question(near, images, of_image):
        funnel[Stage.SAME_QUESTION] += 1
        if not answers_differ(match.a.answer, match.b.answer):
            continue
        funnel[Stage.DIFFERENT_ANSWERS] += 1
        if max(uses[match.a.image], uses[match.b.image]) >= settings.cap:
            continue
        funnel[Stage.UNDER_CAP] += 1
        uses.update((match.a.image, match.b.image))
        kept.append(match)
    return kept, funnel


def _same_question(
    near: Iterable[tuple[int, int, float]],
    images: Sequence[str],
    of_image: dict[str, dict[str, list[ImageQuestion]]],
) -> Iterator[Match]:
    for i, j, cosine in near:
        first, second = of_image[images[i]], of_image[images[j]]
        for asked in sorted(first.keys() & second.keys()):
            for a in first[asked]:
                yield from (Match(a, b, cosine) for b in second[asked])


def matched_pairs(matches: Iterable[Match]) -> list[Pair]:
    """Each match in both directions. Matches that share a picture, or a group of the collection, share a group."""
    found = list(matches)
    group_of = _joined_groups(found)
    return [
        pair
        for match in found
        for pair in both_directions(
            id=match.id,
            kind=PairKind.IMAGE,
            question=match.a.question,
            answers=(match.a.answer, match.b.answer),
            contexts=(ImageRef(path=match.a.image), ImageRef(path=match.b.image)),
            group=group_of[match.a.group],
            source=match.a.source,
            meta={"retrieval": {"cosine": round(match.cosine, 4), "groups": [match.a.group, match.b.group]}},
        )
    ]


def _joined_groups(matches: Iterable[Match]) -> dict[str, str]:
    """The name of each group's connected component: a split that cuts none of these shows no picture twice."""
    parent: dict[str, str] = {}

    def root(group: str) -> str:
        parent.setdefault(group, group)
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    for match in matches:
        a, b = sorted((root(match.a.group), root(match.b.group)))
        parent[b] = a
    return {group: root(group) for group in list(parent)}
