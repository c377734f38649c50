"""Shaping of a score by the length of a response and by its tool use. Small pure functions, all off by default."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cleartrace.rewards.options import RewardOptions
from cleartrace.tools.result import MODEL_FAILURES, ToolStatus


@dataclass(frozen=True)
class ToolUse:
    """Tool calls that stand in a trajectory. `num_turns`: all turns, the prompt counting as one.

    A call that failed through the service is in neither number.
    """

    succeeded: int
    failed: int
    num_turns: int

    @classmethod
    def of(cls, extra_info: Mapping[str, Any]) -> ToolUse:
        """From what veRL hands the reward: `trajectory`, a record or its JSON, and `num_turns`.

        Errors: `ValueError` when they are not there, as with an agent loop that keeps no record.
        """
        record, num_turns = extra_info.get("trajectory"), extra_info.get("num_turns")
        if not record or num_turns is None:
            raise ValueError(
                "tool-use shaping needs the record of the rollout (trajectory, num_turns), which only the saar agent "
                "loops keep: use one of them, or turn the shaping options off"
            )
        calls = (json.loads(record) if isinstance(record, str) else record)["tool_calls"]
        kept = [call["status"] for call in calls if call["kept"]]
        failed = sum(status in MODEL_FAILURES for status in kept)
        return cls(kept.count(ToolStatus.OK.value), failed, int(num_turns))


def failed_call_penalty(use: ToolUse, penalty: float) -> float:
    """-penalty when any call failed, however many. The published variant has 0.1, disabled."""
    return -penalty if use.failed else 0.0


def success_bonus(use: ToolUse, correct: bool, bonus: float) -> float:
    """+bonus for a right answer with at least one call that worked. The published variant has 0.15, disabled."""
    return bonus if correct and use.succeeded else 0.0


def turn_bonus(score: float, use: ToolUse, correct: bool, bonus: float, cap: float) -> float:
    """What DemyAgent adds to a wrong answer for trying: (num_turns - 2) / 2 * bonus, up to a score of `cap`.

    Its values are 0.1 and -0.6 (arXiv 2510.11701 trains with it). Nothing is taken away: a score that is over the cap
    already stays.

    Example:
        >>> turn_bonus(-1.0, ToolUse(3, 0, num_turns=8), correct=False, bonus=0.1, cap=-0.6)
        0.30000000000000004
    """
    if correct:
        return 0.0
    return max(min((use.num_turns - 2) / 2 * bonus, cap - score), 0.0)


def uses_tools(options: RewardOptions) -> bool:
    """Whether any option needs to know of tool use."""
    return any((options.failed_call_penalty, options.success_bonus, options.turn_bonus))


def shaping(score: float, correct: bool, use: ToolUse | None, options: RewardOptions) -> float:
    """What all options together add to `score`. `use` may be None when no option looks at it.

    In this order: penalty, bonus, turn bonus, floor.
    """
    shaped = score
    if use is not None:
        shaped += failed_call_penalty(use, options.failed_call_penalty)
        shaped += success_bonus(use, correct, options.success_bonus)
        if options.turn_bonus:
            shaped += turn_bonus(shaped, use, correct, options.turn_bonus, options.turn_bonus_cap)
    if options.score_floor is not None:
        shaped = max(shaped, options.score_floor)
    return shaped - score


def overlong_penalty(
    response_tokens: int, max_response_tokens: int = 20480, buffer_tokens: int = 4096, factor: float = 1.0
) -> float:
    """Soft overlong punishment: 0 up to `max_response_tokens - buffer_tokens`, then linear down to `-factor`.

    Eq. 13 of DAPO (arXiv 2503.14476) up to its hard maximum; responses longer than `max_response_tokens` go on
    along the same line. `response_tokens` counts all response tokens, tool output included. Published CLEANER
    numbers are the defaults: free up to 16384 tokens, -1 at 20480. The penalty is added to the score, never to `acc`.

    Example:
        >>> overlong_penalty(16384), overlong_penalty(18432), overlong_penalty(20480)
        (0.0, -0.5, -1.0)
    """
    if not 0 < buffer_tokens <= max_response_tokens:
        raise ValueError(f"buffer_tokens must be in 1..{max_response_tokens}, got {buffer_tokens}")
    excess = response_tokens - (max_response_tokens - buffer_tokens)
    return -excess / buffer_tokens * factor if excess > 0 else 0.0
