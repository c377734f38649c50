"""LongBench v2 (arXiv 2412.15204): requests out of the official `data.json`, and scores out of the answers.

The data is the user's to bring: a JSON list of objects with `_id, domain, sub_domain, difficulty, length, question,
choice_A .. choice_D, answer, context`. Requests are in OpenAI's batch format, which `vllm run-batch` also takes. A
context is never cut here: what a model cannot take, its server refuses, and it counts as wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cleartrace.data.errors import DataError, row_error
from cleartrace.data.files import read_json_lines
from cleartrace.evaluate.stats import wilson_interval

LETTERS = ("A", "B", "C", "D")
PARTS = ("length", "difficulty", "domain")


class Question(BaseModel):
    """One row of the benchmark."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str = Field(alias="_id", min_length=1)
    domain: str
    sub_domain: str
    difficulty: Literal["easy", "hard"]
    length: Literal["short", "medium", "long"]
    question: str = Field(min_length=1)
    choice_A: str  # noqa: N815
    choice_B: str  # noqa: N815
    choice_C: str  # noqa: N815
    choice_D: str  # noqa: N815
    answer: Literal["A", "B", "C", "D"]
    context: str = Field(min_length=1)

    @property
    def choices(self) -> tuple[str, ...]:
        return self.choice_A, self.choice_B, self.choice_C, self.choice_D


@dataclass(frozen=True)
class Accuracy:
    """Share of `n` questions answered right with Wilson's 95 % interval; `unread` had no letter or no answer."""

    n: int
    value: float
    low: float
    high: float
    unread: int


def read_questions(path: Path) -> list[Question]:
    """Raises DataError that names the row and the field, or the id that is there twice."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(path, f"not readable as JSON ({error})") from None
    if not isinstance(rows, list) or not rows:
        raise DataError(path, "expected a list of questions, as in the benchmark's data.json")
    found: dict[str, Question] = {}
    for number, row in enumerate(rows):
        try:
            question = Question.model_validate(row)
        except ValidationError as error:
            raise row_error(path, number, error) from None
        if question.id in found:
            raise DataError(path, f"the id {question.id!r} is there twice", number, "_id")
        found[question.id] = question
    return list(found.values())


def prompt(question: Question, *, reason: bool) -> str:
    """The question with its choices behind its text.

    Args:
        reason: ask to think first, as the zero-shot chain-of-thought numbers of the paper were made.
    """
    choices = "\n".join(f"({letter}) {text}" for letter, text in zip(LETTERS, question.choices, strict=True))
    how = "Think step by step, then end" if reason else "Answer at once"
    return (
        f"Read this text and answer the question about it.\n\n<text>\n{question.context}\n</text>\n\n"
        f"Question: {question.question}\n{choices}\n\n"
        f'{how} with a line of the form "The correct answer is (A)", with the letter of the right choice.'
    )


def requests(
    questions: Sequence[Question], model: str, *, reason: bool, max_tokens: int, temperature: float = 0.0
) -> Iterator[dict[str, Any]]:
    """One chat request per question in OpenAI's batch format."""
    for question in questions:
        messages = [{"role": "user", "content": prompt(question, reason=reason)}]
        body = {"model": model, "messages": messages, "max_tokens": max_tokens, "temperature": temperature}
        yield {"custom_id": question.id, "method": "POST", "url": "/v1/chat/completions", "body": body}


def read_answers(path: Path) -> dict[str, str]:
    """Answer text by id, from the output of a batch or from lines with `_id` and `response`.

    A request that failed has the text "". Raises DataError for a line that is neither, or an id that is there twice.
    """
    found: dict[str, str] = {}
    for number, row in read_json_lines(path):
        identifier = row.get("custom_id", row.get("_id"))
        if not isinstance(identifier, str):
            raise DataError(f"{path}, line {number}", "no custom_id and no _id, so it answers no question")
        if identifier in found:
            raise DataError(f"{path}, line {number}", f"the id {identifier!r} is there twice")
        found[identifier] = _text(row)
    return found


def _text(row: Mapping[str, Any]) -> str:
    response = row.get("response")
    if isinstance(response, str):
        return response
    choices = ((response or {}).get("body") or {}).get("choices") or [{}]
    return str((choices[0].get("message") or {}).get("content") or "")


def parse_choice(text: str) -> str:
    """The letter of the last "correct answer is (X)", or of an answer that is one letter; "" otherwise.

    Example:
        >>> [parse_choice(text) for text in ("So the correct answer is (B).", "C", "(A) or (B)")]
        ['B', 'C', '']
    """
    said = text.rpartition("</think>")[2].replace("*", "")
    named = re.findall(r"(?i:answer)(?:\s+(?i:is))?:?\s*\(?([A-D])\b\)?", said)
    alone = re.fullmatch(r"\W*([A-D])\W*", said)
    return named[-1] if named else alone[1] if alone else ""


def scores(questions: Sequence[Question], answers: Mapping[str, str]) -> dict[str, dict[str, Accuracy]]:
    """Accuracy over all, and by length, difficulty and domain. A missing or unreadable answer is wrong.

    Raises:
        DataError: there are answers to questions that the benchmark does not have.
    """
    if strange := sorted(set(answers) - {question.id for question in questions}):
        raise DataError("answers", f"{len(strange)} ids are not in the benchmark, such as {strange[0]}")
    read = {question.id: parse_choice(answers.get(question.id, "")) for question in questions}
    table = {"all": {"all": _accuracy(questions, read)}}
    for part in PARTS:
        names = dict.fromkeys(getattr(question, part) for question in questions)
        table[part] = {
            name: _accuracy([question for question in questions if getattr(question, part) == name], read)
            for name in sorted(names)
        }
    return table


def as_json(table: Mapping[str, Mapping[str, Accuracy]]) -> dict[str, dict[str, dict[str, float]]]:
    return {part: {name: asdict(value) for name, value in row.items()} for part, row in table.items()}


def _accuracy(questions: Sequence[Question], read: Mapping[str, str]) -> Accuracy:
    right = sum(read[question.id] == question.answer for question in questions)
    low, high = wilson_interval(right, len(questions))
    unread = sum(not read[question.id] for question in questions)
    return Accuracy(len(questions), right / len(questions), low, high, unread)
