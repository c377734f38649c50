"""Exact-match scores of answers to needle cases, without a judge model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from cleartrace.data.errors import DataError, column_errors
from cleartrace.data.files import read_json_lines
from cleartrace.needle.grid import NeedleCase
from cleartrace.needle.tasks import NeedleKind, answers_in
from cleartrace.rewards.answer import final_part


@dataclass(frozen=True)
class NeedleScore:
    """`exact`: the response names all answers and nothing else of their form; `found`: share of the answers named."""

    case: NeedleCase
    exact: bool
    found: float


@dataclass(frozen=True)
class Cell:
    """Mean scores of the cases of one kind, length and depth."""

    kind: NeedleKind
    length: int
    depth: float
    n: int
    exact: float
    found: float


def score_case(case: NeedleCase, response: str) -> NeedleScore:
    """Score one response; what stands before its last `</think>` does not count."""
    named, wanted = answers_in(case.kind, final_part(response)), set(case.answers)
    return NeedleScore(case, named == wanted, len(named & wanted) / len(wanted))


def score_cases(cases: Iterable[NeedleCase], responses: Mapping[str, str]) -> list[NeedleScore]:
    """Score every case.

    Raises:
        DataError: a case has no response, or a response belongs to no case.
    """
    known = {case.id: case for case in cases}
    if missing := [name for name in known if name not in responses]:
        raise DataError("responses", f"{len(missing)} cases have no response, the first is {missing[0]}")
    if strange := [name for name in responses if name not in known]:
        raise DataError("responses", f"{len(strange)} belong to no case, the first is {strange[0]}: another grid?")
    return [score_case(case, responses[name]) for name, case in known.items()]


def cells(scores: Iterable[NeedleScore]) -> list[Cell]:
    """Means over the repeats of each cell, sorted by kind, length and depth."""
    by_cell: dict[tuple[NeedleKind, int, float], list[NeedleScore]] = defaultdict(list)
    for score in scores:
        by_cell[score.case.kind, score.case.length, score.case.depth].append(score)
    order = list(NeedleKind)
    return [
        Cell(*cell, len(own), sum(s.exact for s in own) / len(own), sum(s.found for s in own) / len(own))
        for cell, own in sorted(by_cell.items(), key=lambda item: (order.index(item[0][0]), *item[0][1:]))
    ]


def read_cases(path: Path) -> list[NeedleCase]:
    """Errors: `DataError` for a line that is no case, or an id that stands twice."""
    found: dict[str, NeedleCase] = {}
    for number, value in read_json_lines(path):
        where = f"{path}, line {number}"
        try:
            case = NeedleCase.model_validate(value)
        except ValidationError as error:
            column, message = column_errors(error)[0]
            raise DataError(where, message, column=column) from None
        if case.id in found:
            raise DataError(where, f"the case {case.id} stands twice")
        found[case.id] = case
    return list(found.values())


def read_responses(path: Path) -> dict[str, str]:
    """`{"id": ..., "response": ...}`, one a line. Errors: `DataError` for another form, or an id that stands twice."""
    found: dict[str, str] = {}
    for number, value in read_json_lines(path):
        where = f"{path}, line {number}"
        name, response = value.get("id"), value.get("response")
        if not isinstance(name, str) or not isinstance(response, str):
            raise DataError(where, 'need the texts "id" and "response"')
        if name in found:
            raise DataError(where, f"the response {name} stands twice")
        found[name] = response
    return found
