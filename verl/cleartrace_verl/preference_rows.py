"""Rows of a pair as outputs of the agent loop, and the note by which the trainer knows them.

Their response mask is 0 throughout: until the trainer gives them advantages of their own, no metric, no baseline and
no loss of veRL sees them, although veRL copies the reward of the rollout to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from verl.experimental.agent_loop.agent_loop import AgentLoopMetrics, AgentLoopOutput

from cleartrace.losses.options import Mode
from cleartrace.purify.negatives import CallRow, Pair

FIELD = "preference"


class Role(str, Enum):
    """Which call a row ends with."""

    GOOD = "good"
    FAILED = "failed"


@dataclass(frozen=True)
class RowNote:
    """What the trainer has to know about a row, in `extra_fields["preference"]`.

    Args:
        role: value of `Role`.
        pair: number of the pair in its rollout; rows of one pair share it.
        draw: rank of the pair when only some can be taken, lowest first.
        start, end: the compared tokens in this row's response, end excluded.
        main_index: index of the rollout itself among the outputs of its session.
        main_start, main_end: the good call in the rollout's response.
        position, attempt, error_class: where the failed call came from.
    """

    role: str
    pair: int
    draw: float
    start: int
    end: int
    main_index: int
    main_start: int
    main_end: int
    position: int
    attempt: int
    error_class: str

    @classmethod
    def of(cls, fields: Any) -> RowNote | None:
        """The note in a row's `extra_fields`; None in other rows."""
        note = (fields or {}).get(FIELD)
        return cls(**note) if note else None


def pair_outputs(
    offered: Sequence[tuple[float, Pair]], mode: Mode, engine_fields: dict[str, Any]
) -> list[AgentLoopOutput]:
    """One row per pair for the shifts (the failed call), two for `dpo`; the rollout itself is to follow as the last.

    Args:
        offered: pairs with their draws.
        engine_fields: weight versions of the rollout's requests, which veRL wants of every row.
    """
    roles = (Role.FAILED,) if mode.shifts else (Role.GOOD, Role.FAILED)
    main_index = len(offered) * len(roles)
    outputs = []
    for number, (draw, pair) in enumerate(offered):
        for role in roles:
            row = pair.failed if role is Role.FAILED else pair.good
            note = RowNote(
                role=role.value,
                pair=number,
                draw=draw,
                start=row.span[0],
                end=row.span[1],
                main_index=main_index,
                main_start=pair.good.span[0],
                main_end=pair.good.span[1],
                position=pair.position,
                attempt=pair.attempt,
                error_class=pair.error_class,
            )
            outputs.append(_output(row, note, engine_fields))
    return outputs


def _output(row: CallRow, note: RowNote, engine_fields: dict[str, Any]) -> AgentLoopOutput:
    flat = row.flat
    return AgentLoopOutput(
        prompt_ids=list(flat.prompt_ids),
        response_ids=list(flat.response_ids),
        response_mask=[0] * len(flat.response_ids),
        response_logprobs=None if flat.response_logprobs is None else list(flat.response_logprobs),
        num_turns=0,
        metrics=AgentLoopMetrics(),
        extra_fields={**engine_fields, "turn_scores": [], "tool_rewards": [], FIELD: asdict(note)},
    )
