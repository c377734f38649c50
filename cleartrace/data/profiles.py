"""How the rows of each published source become prompts.

A profile is named, per file or per row, and never guessed from what the first row looks like (D48).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import AfterValidator, AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from cleartrace.data import prompts
from cleartrace.data.identity import canonical_truth, mapping_of, sample_id_of_row, user_text
from cleartrace.data.names import Profile
from cleartrace.data.prepared import REFERENCE, PreparedRow
from cleartrace.data.rows import sample_id_of
from cleartrace.data.wording import Wording
from cleartrace.rewards.code.truth import read_tests
from cleartrace.rewards.dispatch import is_code_source


def _text_of_number(value: Any) -> Any:
    return canonical_truth(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _from_json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _not_empty(key: str) -> str:
    if not key:
        raise ValueError("is empty, so no answer can be graded")
    return key


Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Answer = Annotated[str, BeforeValidator(_text_of_number), StringConstraints(min_length=1, strip_whitespace=True)]


class RewardModel(BaseModel):
    """veRL's column `reward_model`: a struct or JSON text. The key may be text, a number or a struct of tests."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    ground_truth: Annotated[str, BeforeValidator(canonical_truth), AfterValidator(_not_empty)]


class Message(BaseModel):
    """One chat message of a prompt."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    role: Text
    content: Text


class Source(BaseModel):
    """What every source's row has; other columns are dropped."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    data_source: Text
    question_id: Annotated[str | None, BeforeValidator(_text_of_number)] = None


class AimeRow(Source):
    """`Problem`/`Answer` (2024) or `problem`/`answer` (2025)."""

    problem: Text = Field(validation_alias=AliasChoices("problem", "Problem"))
    answer: Answer = Field(validation_alias=AliasChoices("answer", "Answer"))


class GpqaRow(Source):
    """`solution` is the letter of the right option, which the problem lists."""

    problem: Text
    solution: Annotated[str, StringConstraints(pattern=r"^[A-J]$", strip_whitespace=True)]
    domain: Text


class LcbRow(Source):
    """`reward_model.ground_truth` holds the tests."""

    problem: Text
    reward_model: Annotated[RewardModel, BeforeValidator(_from_json)]


class ChatRow(Source):
    """A row whose prompt is written already: the 30K set (prewrapped) and Skywork style."""

    prompt: Annotated[tuple[Message, ...], Field(min_length=1)]
    reward_model: Annotated[RewardModel, BeforeValidator(_from_json)]

    @property
    def messages(self) -> list[dict[str, str]]:
        return [message.model_dump() for message in self.prompt]


def _asked(
    row: Source, question: str, truth: str, prompt: str | list[dict[str, str]], sample_id: str = ""
) -> PreparedRow:
    return PreparedRow(
        data_source=row.data_source,
        messages=[{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt,
        ground_truth=truth,
        sample_id=sample_id or sample_id_of(row.data_source, question, truth),
        question=question,
        question_id=row.question_id,
    )


def _aime(raw: Mapping[str, Any], words: Wording, tool: bool) -> PreparedRow:
    row = AimeRow.model_validate(raw)
    return _asked(row, row.problem, row.answer, prompts.boxed(row.problem, words, tool=tool))


def _gpqa(raw: Mapping[str, Any], words: Wording, tool: bool) -> PreparedRow:
    row = GpqaRow.model_validate(raw)
    prompt = prompts.boxed(row.problem, words, tool=tool, domain=row.domain, closing=words.choice)
    return _asked(row, row.problem, row.solution, prompt)


def _lcb(raw: Mapping[str, Any], words: Wording, tool: bool) -> PreparedRow:
    row = LcbRow.model_validate(raw)
    truth = row.reward_model.ground_truth
    try:
        tests = read_tests(truth)
    except ValueError as error:
        raise ValueError(f"reward_model.ground_truth: {error}") from None
    prompt = prompts.program(row.problem, tests, words, tool=tool)
    return _asked(row, row.problem, truth, prompt)


def _prewrapped(raw: Mapping[str, Any], words: Wording, tool: bool) -> PreparedRow:
    row = ChatRow.model_validate(raw)
    closing = [] if is_code_source(row.data_source) else [words.units]
    return _chat(raw, row, prompts.extended(row.messages, after=closing))


def _skywork(raw: Mapping[str, Any], words: Wording, tool: bool) -> PreparedRow:
    row = ChatRow.model_validate(raw)
    if is_code_source(row.data_source):
        return _chat(raw, row, prompts.extended(row.messages, after=[words.plan if tool else "", words.fence]))
    before, after = prompts.around_boxed(words, tool=tool, closing=words.units)
    return _chat(raw, row, prompts.extended(row.messages, before=before, after=after))


def _chat(raw: Mapping[str, Any], row: ChatRow, messages: list[dict[str, str]]) -> PreparedRow:
    truth = row.reward_model.ground_truth
    truth = truth if is_code_source(row.data_source) else only_answer(truth)
    return _asked(row, user_text(row.messages), truth, messages, sample_id_of_row(raw))


def only_answer(truth: str) -> str:
    """The answer of a key that is a JSON list of one answer, as Skywork keeps them; any other key as it is.

    Errors: `ValueError` for a list of several answers: the graders compare with one.

    Example:
        >>> only_answer('["72"]'), only_answer("[1, 2]"), only_answer("72")
        ('72', '[1, 2]', '72')
    """
    if not truth.startswith('["'):
        return truth
    try:
        answers = json.loads(truth)
    except ValueError:
        return truth
    if len(answers) != 1:
        raise ValueError(f"reward_model.ground_truth lists {len(answers)} answers; the graders know one")
    return str(answers[0])


_MAPPINGS = {
    Profile.AIME: _aime,
    Profile.GPQA: _gpqa,
    Profile.LCB: _lcb,
    Profile.PREWRAPPED: _prewrapped,
    Profile.SKYWORK: _skywork,
}


def map_row(profile: Profile, raw: Mapping[str, Any], words: Wording | None = None) -> PreparedRow:
    """One source row as a prompt and an answer key.

    The sample id is that of the source's question, so a row has the same id with and without the tool.
    Errors: pydantic's `ValidationError` names the columns that are missing or wrong; `ValueError` for tests that
    cannot be read.
    """
    row = _MAPPINGS[profile.base](raw, words or Wording(), profile.uses_tool)
    info = mapping_of(raw.get("extra_info"))
    question_id = row.question_id or info.get("question_id")
    reference = info.get(REFERENCE)
    return replace(
        row,
        question_id=None if question_id is None else str(question_id),
        reference_solution=str(reference) if reference else None,
    )
