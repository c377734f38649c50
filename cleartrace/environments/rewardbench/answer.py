"""What a judge answers: a rating for each answer it was shown. Read with care, never trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cleartrace.llm.json import json_candidates

LOWEST, HIGHEST = 0.0, 10.0

FORMAT = (
    'End your reply with one JSON object: {"ratings": {"1": <rating>, "2": <rating>, ...}} with a rating from '
    f"{LOWEST:g} to {HIGHEST:g} for each answer by its number. Equally good answers get equal ratings."
)


class WrongFormat(ValueError):
    """An answer that cannot be scored: the judge's own fault, so it counts and can be learned from (R19)."""


@dataclass(frozen=True)
class Verdict:
    """Ratings by label, and whether a list of best answers that came with them says something else (S10)."""

    ratings: Mapping[str, float]
    conflict: bool = False

    @property
    def best(self) -> tuple[str, ...]:
        """Labels with the highest rating, in the order shown."""
        highest = max(self.ratings.values())
        return tuple(label for label, rating in self.ratings.items() if rating == highest)


def parse(text: str, labels: Sequence[str]) -> Verdict:
    """The last object with ratings for exactly `labels`. Raises `WrongFormat` with what is wrong.

    Read are `{"ratings": {label: rating}}` and `{"ratings": [{"id": label, "rating": rating}]}`. An optional `best`,
    a list of labels, is compared with the ratings and otherwise without effect.
    """
    problem = "no JSON object with `ratings`"
    for value in json_candidates(text):
        if not isinstance(value, dict) or "ratings" not in value:
            continue
        try:
            ratings = _ratings(value["ratings"], labels)
        except WrongFormat as error:
            problem = str(error)
            continue
        verdict = Verdict(ratings)
        return Verdict(ratings, conflict=_conflict(value.get("best"), verdict.best))
    raise WrongFormat(problem)


def _ratings(value: Any, labels: Sequence[str]) -> dict[str, float]:
    given = _pairs(value)
    if len({label for label, _ in given}) != len(given):
        raise WrongFormat("an answer is rated twice")
    found = dict(given)
    if unknown := [label for label in found if label not in labels]:
        raise WrongFormat(f"there is no answer {unknown[0]!r}")
    if missing := [label for label in labels if label not in found]:
        raise WrongFormat(f"answer {missing[0]} has no rating")
    return {label: _rating(label, found[label]) for label in labels}


def _pairs(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(_label(label), rating) for label, rating in value.items()]
    if isinstance(value, list) and all(isinstance(entry, dict) and {"id", "rating"} <= entry.keys() for entry in value):
        return [(_label(entry["id"]), entry["rating"]) for entry in value]
    raise WrongFormat("`ratings` is neither an object nor a list of {id, rating}")


def _label(value: Any) -> str:
    return str(value).strip()


def _rating(label: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise WrongFormat(f"the rating of answer {label} is not a number")
    if not LOWEST <= value <= HIGHEST:
        raise WrongFormat(f"the rating {value:g} of answer {label} is not between {LOWEST:g} and {HIGHEST:g}")
    return float(value)


def _conflict(best: Any, derived: Sequence[str]) -> bool:
    if best is None:
        return False
    named = best if isinstance(best, list) else [best]
    return {_label(label) for label in named} != set(derived)
