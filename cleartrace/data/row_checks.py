"""Checks of one row that need no grader. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from cleartrace.data.errors import column_errors
from cleartrace.data.identity import canonical_truth, user_text
from cleartrace.data.profiles import Message, RewardModel, Text

LEAK_MIN_CHARS = 4
"""Shorter answers occur in a problem by chance."""


class VerlRow(BaseModel):
    """A row as veRL's data set and reward manager read it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    data_source: Text
    prompt: Annotated[tuple[Message, ...], Field(min_length=1)]
    reward_model: RewardModel
    extra_info: dict[str, Any] | None = None
    agent_name: Text | None = None

    @field_validator("reward_model", "extra_info", mode="before")
    @classmethod
    def _is_struct(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise ValueError("is text where veRL reads a struct; run `cleartrace data prepare` on the file")
        return value

    @field_validator("prompt")
    @classmethod
    def _asks_something(cls, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        if messages[-1].role != "user":
            raise ValueError(f"the last message is of role {messages[-1].role!r}; it has to be the user's")
        return messages


def schema_errors(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(column, message) for what veRL could not read. What follows from an error further down is left out."""
    try:
        VerlRow.model_validate(row)
    except ValidationError as error:
        found = column_errors(error)
        deeper = {column.rpartition(".")[0] for column, _ in found}
        return [(column, message) for column, message in found if not _contains(column, deeper)]
    return []


def _contains(column: str, parents: set[str]) -> bool:
    return any(parent == column or parent.startswith(f"{column}.") for parent in parents)


def question_key(row: Mapping[str, Any]) -> str:
    """What makes two questions the same, whatever the prompt around them, letter case and spacing."""
    question = (row.get("extra_info") or {}).get("question") or user_text(row["prompt"])
    return " ".join(question.split()).casefold()


def leak(row: Mapping[str, Any], key: str) -> str:
    """How the prompt shows the answer, or "". Only what is hardly chance counts: the answer in a box, after the
    words "answer is", or a longer answer word for word."""
    text = "\n".join(message["content"] for message in row["prompt"])
    if f"\\boxed{{{key}}}".replace(" ", "") in text.replace(" ", ""):
        return f"\\boxed{{{key}}} stands in it"
    if key not in text:
        return ""
    answer = rf"(?<![\w.]){re.escape(key)}(?![\w]|\.\d)"
    if re.search(rf"answer\s*(?:is|:|=)\s*[$(]*\s*{answer}", text, re.IGNORECASE):
        return f"it says that the answer is {key}"
    if len(key) >= LEAK_MIN_CHARS and re.search(answer, text):
        return f"{key!r} stands in it"
    return ""


def looks_like_a_list(key: str) -> bool:
    """True for a JSON list of texts, which no boxed answer equals."""
    return key.startswith('["') and key.endswith('"]')


def answer_key(row: Mapping[str, Any]) -> str:
    """The key as text."""
    return canonical_truth(row["reward_model"]["ground_truth"])
