"""The row of `trajectories.jsonl`: everything one rollout was, readable without a tokenizer.

Written by the trainer once per step, read by the report.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

SCHEMA_VERSION = 1


def written(text: str | None) -> str | None:
    """`text` as UTF-8 can hold it: a lone surrogate, which stands for a byte that is no text, becomes U+FFFD.

    A model may write half a character into a call, and a rollout must not be lost over its record.
    """
    if text is None or text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


Text = Annotated[str, BeforeValidator(written)]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SegmentRecord(_Row):
    """A run of tokens of one kind. `pieces[i]` is the text of token `token_ids[i]`."""

    kind: Literal["prompt", "assistant_reasoning", "assistant_call", "tool", "boundary"]
    token_ids: list[int]
    pieces: list[Text]
    loss: bool
    origin: Literal["original", "grafted", "replaced", "appended"] = "original"
    position: int | None = None
    """Assistant turn number of a call; retries of one call share it."""
    attempt: int = 0
    logprobs: list[float] | None = None


class ToolCallRecord(_Row):
    """One execution, kept in the trajectory or discarded by a rollback."""

    position: int
    attempt: int
    code: Text
    status: str
    error_class: Annotated[str | None, BeforeValidator(written)] = None
    text: Text
    """What the model was shown."""
    cost_s: float = 0.0
    kept: bool = True


class AttemptRecord(_Row):
    """A failed attempt that a rollback removed from the trajectory."""

    text: Text
    code: Text
    error_class: str | None
    error_text: Text


class RepairRecord(_Row):
    """One position that was rolled back."""

    position: int
    outcome: Literal["recovered", "exhausted", "no_call", "appended", "limit"]
    splice: Literal["graft", "replace"] | None
    similarity: float | None
    gate: float | None = None
    """Importance of the last regeneration without the error, where the policy asked for it."""
    attempts: list[AttemptRecord]
    replacement: Text
    """Text of the turn that stands in the trajectory now."""


class TrajectoryRecord(_Row):
    """One rollout."""

    schema_version: Literal[1] = SCHEMA_VERSION
    run: str
    step: int
    split: Literal["train", "val"]
    arm: str
    """`off` without rollback, `on` with it."""
    sample_id: str
    rollout: int
    data_source: str
    question: Text
    ground_truth: Text
    prediction: Annotated[str | None, BeforeValidator(written)] = None
    reward: float | None = None
    acc: bool | None = None
    masked: bool = False
    """True when an infrastructure failure took this rollout out of training."""
    dropped: bool = False
    """True when a failed repair did, with `drop_exhausted`."""
    num_turns: int
    segments: list[SegmentRecord]
    tool_calls: list[ToolCallRecord]
    repairs: list[RepairRecord]
    generated_tokens: int
    """All sampled tokens, discarded ones included."""
    discarded_tokens: int
    counters: dict[str, float] = Field(default_factory=dict)
