"""What the SAAR machine tells its caller to do, and the facts it needs from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from cleartrace.purify.splice import Splice, SpliceKind
from cleartrace.purify.turn import Turn
from cleartrace.tools.result import ToolResult
from cleartrace.trajectory.segment import Segment


@dataclass(frozen=True)
class Limits:
    """What is left for a regeneration.

    `budget_tokens`: tokens that may still be generated after the error was shown (`token_budget`).
    `last_turn`: True when the turn limit leaves no turn after this one, so nothing could be repaired (D6).
    """

    budget_tokens: int
    last_turn: bool = False


def token_budget(*, response_length: int, response_used: int, context_length: int, prompt_tokens: int) -> int:
    """min(remaining response, remaining context) in tokens; may be negative (D12).

    `response_used` counts response tokens of the kept list with the failed turn, `prompt_tokens` the whole
    prompt of the coming request, error feedback included.
    """
    return min(response_length - response_used, context_length - prompt_tokens)


@dataclass(frozen=True)
class Attempt:
    """A turn that was executed and failed; `results` in call order."""

    turn: Turn
    results: tuple[ToolResult, ...]


@dataclass(frozen=True)
class Keep:
    """Append `turn` and its tool response; go on. `infra` flags a result nothing may be learned from (D7)."""

    turn: Turn
    results: tuple[ToolResult, ...]
    infra: bool = False


@dataclass(frozen=True)
class Regenerate:
    """Sample a turn after the clean prefix and, for each of `attempts`, its turn and *all* its results.

    The new turn gets this `position` and `attempt`. Nothing is appended to the kept list.
    """

    attempts: tuple[Attempt, ...]
    position: int
    attempt: int


@dataclass(frozen=True)
class Score:
    """Score the tokens of `candidate` after the clean prefix and `prefix`, as if the failure had never been shown.

    `prefix` is the reasoning that a graft keeps; empty when the whole turn is to be replaced.
    """

    prefix: tuple[Segment, ...]
    candidate: tuple[Segment, ...]


@dataclass(frozen=True)
class Append:
    """Append `turn` and its tool response; `answer`, sampled behind them, is the next turn, its calls not yet run.

    `turn` is labelled and masked already.
    """

    turn: Turn
    results: tuple[ToolResult, ...]
    answer: Turn


@dataclass(frozen=True)
class Adopt:
    """`turn` is the spliced turn: execute its calls, those of the regenerated turn, and report the results."""

    turn: Turn
    splice: Splice


class GiveUpReason(str, Enum):
    """Why a failed turn stays in the trajectory."""

    EXHAUSTED = "exhausted"
    NO_CALL = "no_call"
    """The model answered the error without calling a tool."""
    LIMIT = "limit"
    """No turn would be left."""
    BUDGET = "budget"
    """Too few tokens left."""
    ABORTED = "aborted"
    """The engine returned no tokens, which is not an answer without a call."""


@dataclass(frozen=True)
class GiveUp:
    """Append `turn`, its tool response with `hint` behind the last failing result, then `answer` if given.

    `turn` is labelled and masked already. `answer` is set for `NO_CALL` only: the text the model gave after
    the error, normally its final answer.
    """

    reason: GiveUpReason
    turn: Turn
    results: tuple[ToolResult, ...]
    hint: str | None = None
    answer: Turn | None = None


AfterExecution = Keep | Regenerate | GiveUp
AfterRegeneration = Adopt | Score | GiveUp
AfterScore = Adopt | Append


class RepairOutcome(str, Enum):
    """How a position that was rolled back ended; the values of `RepairRecord.outcome`."""

    RECOVERED = "recovered"
    EXHAUSTED = "exhausted"
    NO_CALL = "no_call"
    APPENDED = "appended"
    """The new turn stands behind the failure, because it depends on the error it was shown."""
    LIMIT = "limit"
    """Ended from outside: turn or token limit, engine or infrastructure failure."""


@dataclass(frozen=True)
class Repair:
    """One position that was rolled back, with every attempt that failed there, spliced ones as spliced.

    `turn` stands in the trajectory now; `splice` is what became of the first attempt (`standing_splice`),
    `similarity` and `gate` those of the last comparison and of the last score.
    """

    position: int
    outcome: RepairOutcome
    splice: SpliceKind | None
    similarity: float | None
    attempts: tuple[Attempt, ...]
    turn: Turn
    gate: float | None = None
