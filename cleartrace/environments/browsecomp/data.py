"""The user's decrypted questions: JSON lines with `query_id`, `query`, `answer` and the documents of the evidence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cleartrace.data.errors import DataError
from cleartrace.data.files import read_json_lines
from cleartrace.environments.splits import split_of


class _Document(BaseModel):
    """Of a document, its id alone is kept: no text of the evidence enters this process's answers."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)

    docid: str


class _Row(BaseModel):
    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)

    query_id: str
    query: str = Field(min_length=1)
    answer: str = Field(min_length=1)
    gold_docs: list[_Document] = []
    evidence_docs: list[_Document] = []


@dataclass(frozen=True)
class Question:
    """`evidence`: ids of the documents that an answer rests on; for the recall that outcomes report."""

    id: str
    text: str
    answer: str
    evidence: frozenset[str]


def read_questions(path: Path) -> dict[str, Question]:
    """By id, in the file's order. Raises ValueError with the line that is wrong."""
    found: dict[str, Question] = {}
    try:
        for number, value in read_json_lines(path):
            try:
                row = _Row.model_validate(value)
            except ValidationError as error:
                first = error.errors()[0]
                place = ".".join(str(part) for part in first["loc"])
                raise ValueError(f"{path}, line {number}: {place}: {first['msg']}") from None
            if row.query_id in found:
                raise ValueError(f"{path}, line {number}: the id {row.query_id!r} was used before")
            evidence = frozenset(document.docid for document in row.evidence_docs or row.gold_docs)
            found[row.query_id] = Question(row.query_id, row.query, row.answer, evidence)
    except DataError as error:
        raise ValueError(f"browsecomp reads your decrypted questions, and cannot: {error}") from None
    if not found:
        raise ValueError(f"{path} holds no questions")
    return found


def read_splits(path: Path | None, questions: Mapping[str, Question]) -> dict[str, str]:
    """Question id to split, from a JSON object {split: [id, ...]}; by a hash of the id without one.

    Questions that no list names are left out. Raises ValueError.
    """
    if path is None:
        return {question: split_of("browsecomp", question) for question in questions}
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        pairs = [(str(question), split) for split, ids in listed.items() for question in ids]
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"{path} is not a JSON object of id lists by split: {error}") from None
    if unknown := [question for question, _ in pairs if question not in questions]:
        raise ValueError(f"{path}: there is no question {unknown[0]!r}")
    if len(dict(pairs)) != len(pairs):
        raise ValueError(f"{path}: a question stands in two places")
    return dict(pairs)
