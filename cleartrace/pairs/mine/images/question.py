"""An image with a question and its answer, and when two answers are really different."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cleartrace.data.errors import DataError, row_error
from cleartrace.data.files import read_json_lines, read_rows

_NUMBER = re.compile(r"([-+]?\d[\d,]*\.?\d*|[-+]?\.\d+)\s*(%|[^\W\d_]{1,12}|°[^\W\d_]?)?")
_CHOICE = re.compile(r"\(?([a-h])\)?(?:[.:)]\s*(.*))?", re.DOTALL)
_ARTICLES = re.compile(r"^(?:a|an|the)\s+")


class ImageQuestion(BaseModel):
    """One row of a collection.

    Args:
        image: path of the picture, absolute once it is read by `read_questions`.
        question, answer: a question with a single answer.
        group: what may not be cut by a split: a source picture and all that was made of it.
        source: data set, for tables per source.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[\w.:@/+\-]+$")
    image: str = Field(min_length=1)
    question: str = Field(min_length=1)
    answer: str = Field(min_length=1)
    group: str = Field(min_length=1)
    source: str = Field(min_length=1)


def read_questions(path: Path) -> Iterator[ImageQuestion]:
    """Rows of a JSON lines or parquet file; relative paths of pictures count from its folder.

    Errors: `DataError` that names row and column, also for an id that occurs twice and for a picture in two groups.
    """
    rows = read_rows(path) if path.suffix == ".parquet" else enumerate(row for _, row in read_json_lines(path))
    seen: set[str] = set()
    group_of: dict[str, str] = {}
    for number, fields in rows:
        try:
            row = ImageQuestion.model_validate(fields)
        except ValidationError as error:
            raise row_error(path, number, error) from None
        if row.id in seen:
            raise DataError(path, f"the id {row.id!r} occurs twice; give every row its own", number, "id")
        seen.add(row.id)
        image = str((path.parent / row.image).resolve())
        if (group := group_of.setdefault(image, row.group)) != row.group:
            message = f"{row.image} is in group {group!r} above and in {row.group!r} here; a picture has one group"
            raise DataError(path, message, number, "group")
        yield row.model_copy(update={"image": image})


def normal_question(text: str) -> str:
    """A question without case, spacing and final punctuation."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).rstrip(" ?.!:")


def normal_answer(text: str) -> str:
    """An answer in a form in which equal answers are equal: numbers as numbers, options as their letter.

    Example:
        >>> normal_answer("1,200.0 cm"), normal_answer("(B) a dog"), normal_answer("The dog.")
        ('1200 cm', 'option b', 'dog')
    """
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split()).strip(" .!?$")
    if number := _NUMBER.fullmatch(plain):
        value = _plain_number(number[1])
        if value is not None:
            return f"{value} {number[2]}" if number[2] else value
    if (option := _CHOICE.fullmatch(plain)) and plain != "a":
        return f"option {option[1]}"
    return _ARTICLES.sub("", plain)


def answers_differ(a: str, b: str) -> bool:
    """Whether two answers are different after normalisation. Where only one has a unit, the numbers decide."""
    x, y = normal_answer(a), normal_answer(b)
    if x == y:
        return False
    (first, _, unit), (second, _, other) = x.partition(" "), y.partition(" ")
    return not (first == second and _plain_number(first) is not None and not (unit and other))


def _plain_number(text: str) -> str | None:
    try:
        value = Decimal(text.replace(",", ""))
    except InvalidOperation:
        return None
    return f"{value.normalize():f}" if value else "0"
