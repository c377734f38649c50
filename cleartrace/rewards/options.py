"""Options of the reward: what `reward.custom_reward_function.reward_kwargs` may say. docs/rewards.md explains each."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cleartrace.rewards.dispatch import GraderKind
from cleartrace.rewards.math import MathMode, ScoreScale


class GradedText(str, Enum):
    """Where an answer may stand."""

    FINAL_TURN = "final_turn"
    """In what the model wrote after the last tool output."""
    RESPONSE = "response"
    """Anywhere in the response, tool outputs included. As published; a program can print the answer."""


class CodeScale(str, Enum):
    """Score of a program that passes the share c of its tests, and of an answer without a program."""

    PUBLISHED = "published"
    """c, and -1 without a program or with one that is not Python."""
    SYMMETRIC = "symmetric"
    """2c - 1, and -1."""
    UNIT = "unit"
    """c, and 0."""


class CodeCredit(str, Enum):
    """What a share s of passed tests counts."""

    FRACTION = "fraction"
    """s. As published."""
    ALL = "all"
    """1 when all passed, else 0."""
    FOURTH_POWER = "fourth_power"
    """s to the 4th."""


def refuse_unknown(given: Iterable[str], known: Iterable[str], what: str) -> None:
    """Raise ValueError that names the known option nearest to the first unknown one."""
    names = sorted(known)
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.0)
            raise ValueError(f"unknown {what} {name!r}; did you mean {near[0]!r}?")


class RewardOptions(BaseModel):
    """All options. The defaults are the published reward without its defects, and no shaping."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    graded_text: GradedText = GradedText.FINAL_TURN
    graders: dict[str, GraderKind] = Field(default_factory=dict)
    """Data source to its grader, where the name of the source does not say it."""
    math_mode: MathMode = MathMode.VERIFY
    score_scale: ScoreScale = ScoreScale.SYMMETRIC

    code_scale: CodeScale = CodeScale.PUBLISHED
    code_credit: CodeCredit = CodeCredit.FRACTION
    code_stop_early: bool = False
    """Run no test after the first that fails; the others count as failed."""
    code_compare: Literal["strip", "lines", "tokens"] = "strip"
    code_tolerance: float = Field(default=0.0, ge=0)
    code_imports: bool = True
    """Import the well-known names that a program uses without importing them."""
    code_max_chars: int = Field(default=200_000, ge=1)
    code_cpu_s: float | None = Field(default=None, gt=0)
    """CPU seconds of one test; None leaves the judge's own limit."""
    code_memory_mb: int | None = Field(default=None, ge=64)
    code_suite_s: float = Field(default=600.0, gt=0)
    """Wall seconds of all tests of one program, from the moment they begin."""
    code_deadline_s: float = Field(default=1800.0, gt=0)
    """Seconds to wait for the judge, its queue included; then the answer is ungraded."""
    code_at_once: int = Field(default=64, ge=1)
    """Programs that one reward process has with the judge at a time."""

    guidance_deadline_s: float = Field(default=2400.0, gt=0)
    """Seconds to wait for the reward service of CLEAR; then the guidance is ungraded."""

    failed_call_penalty: float = Field(default=0.0, ge=0)
    success_bonus: float = Field(default=0.0, ge=0)
    turn_bonus: float = Field(default=0.0, ge=0)
    turn_bonus_cap: float = -0.6
    score_floor: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        if isinstance(given, Mapping):
            refuse_unknown(given, cls.model_fields, "reward option")
        return given

    @model_validator(mode="after")
    def _times(self) -> RewardOptions:
        if self.code_deadline_s <= self.code_suite_s:
            raise ValueError(
                f"code_deadline_s={self.code_deadline_s:g} must be longer than code_suite_s={self.code_suite_s:g}, or "
                "a slow program would count as a failure of the judge"
            )
        return self
