"""A row in the columns that veRL's data set reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cleartrace.data.sources import category_of

if TYPE_CHECKING:
    import pyarrow as pa

REFERENCE = "reference_solution"
"""Field of `extra_info` that holds a right program, where a source has one."""


@dataclass(frozen=True)
class PreparedRow:
    """A prompt and its answer key. `ground_truth` is text in every row; tests of a program are JSON text.

    `reference_solution` is a program that passes the tests, for the validator; no prompt shows it.
    """

    data_source: str
    messages: list[dict[str, str]]
    ground_truth: str
    sample_id: str
    question: str
    question_id: str | None = None
    reference_solution: str | None = None

    def for_verl(self, agent_name: str, *, profile: str, index: int) -> dict[str, Any]:
        """Columns of veRL's RLHF data set. `index`: the row's number in the source file, from 0."""
        return {
            "data_source": self.data_source,
            "prompt": self.messages,
            "ability": category_of(self.data_source).value,
            "reward_model": {"style": "rule", "ground_truth": self.ground_truth},
            "extra_info": {
                "sample_id": self.sample_id,
                "question_id": self.question_id,
                "question": self.question,
                "profile": profile,
                "index": index,
                REFERENCE: self.reference_solution,
            },
            "agent_name": agent_name,
        }


@lru_cache(maxsize=1)
def schema() -> pa.Schema:
    """One schema for every profile, so that files can be mixed: veRL concatenates them, and types must agree."""
    import pyarrow as pa

    text = pa.string()
    message = pa.struct({"role": text, "content": text})
    info = {"sample_id": text, "question_id": text, "question": text, "profile": text, "index": pa.int64()}
    info[REFERENCE] = text
    return pa.schema(
        {
            "data_source": text,
            "prompt": pa.list_(message),
            "ability": text,
            "reward_model": pa.struct({"style": text, "ground_truth": text}),
            "extra_info": pa.struct(info),
            "agent_name": text,
        }
    )
