"""Everything one rollout was, as a `TrajectoryRecord`, built where the tokenizer is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from cleartrace.data.rows import sample_id_of
from cleartrace.purify.counters import TrajectoryCounters
from cleartrace.purify.decision import Repair
from cleartrace.purify.turn import Turn
from cleartrace.tools.render import describe_error, render
from cleartrace.tools.result import MODEL_FAILURES, ToolResult
from cleartrace.trajectory.flatten import FlatTrajectory, flatten_ids
from cleartrace.trajectory.record import (
    AttemptRecord,
    RepairRecord,
    SegmentRecord,
    ToolCallRecord,
    TrajectoryRecord,
)
from cleartrace.trajectory.segment import Segment, SegmentKind
from cleartrace_verl.conversation import Conversation, Sampled
from cleartrace_verl.tool_calls import source_of


class RolloutLog:
    """Collects the executions of one rollout and writes its record.

    Args:
        row: dataset fields of the prompt.
        decode: token ids to text.
        max_chars: characters per stream of a tool response that the model is shown.
    """

    def __init__(self, row: dict[str, Any], *, decode: Callable[[list[int]], str], max_chars: int):
        info = row.get("extra_info") or {}
        self._question = str(info.get("question") or _last_user(row.get("raw_prompt", [])))
        self._ground_truth = str((row.get("reward_model") or {}).get("ground_truth", ""))
        source = str(row.get("data_source", ""))
        # Never veRL's uid, which is drawn anew in every run: the rollback coin hangs on this (D17).
        self.sample_id = str(info.get("sample_id") or sample_id_of(source, self._question, self._ground_truth))
        self._row = row
        self._decode = decode
        self._max_chars = max_chars
        self._piece = lru_cache(maxsize=None)(lambda token: decode([token]))
        self._calls: list[ToolCallRecord] = []

    def executed(self, sampled: Sampled, results: Sequence[ToolResult]) -> None:
        """Note one turn's executions; whether they stay is known at the end."""
        for call, result in zip(sampled.calls, results, strict=True):
            self._calls.append(
                ToolCallRecord(
                    position=sampled.turn.position,
                    attempt=sampled.turn.attempt,
                    code=source_of(call),
                    status=result.status.value,
                    error_class=result.error_class,
                    text=render(result, self._max_chars),
                    cost_s=result.cost_s,
                )
            )

    def hinted(self, turn: Turn, hint: str) -> None:
        """Note the hint that was put behind the last failure of `turn`."""
        failed = [
            i
            for i, call in enumerate(self._calls)
            if (call.position, call.attempt) == (turn.position, turn.attempt) and call.status in MODEL_FAILURES
        ]
        last = self._calls[failed[-1]]
        self._calls[failed[-1]] = last.model_copy(update={"text": last.text + hint})

    def fields(
        self,
        counters: TrajectoryCounters,
        repairs: Sequence[Repair],
        talk: Conversation,
        flat: FlatTrajectory,
        *,
        masked: bool,
        num_turns: int,
    ) -> dict[str, Any]:
        """Entries for `AgentLoopOutput.extra_fields`: counters, per-token masks, and the record as JSON."""
        return {
            "saar": asdict(counters),
            "saar_masked": masked,
            "saar_dropped": counters.dropped,
            "saar_spliced_mask": list(flat.spliced_mask),
            "saar_origin": list(flat.origin_codes),
            "saar_exhausted_mask": list(flat.exhausted_mask),
            "trajectory": self._record(counters, repairs, talk, masked, num_turns).model_dump_json(),
        }

    def _record(
        self,
        counters: TrajectoryCounters,
        repairs: Sequence[Repair],
        talk: Conversation,
        masked: bool,
        num_turns: int,
    ) -> TrajectoryRecord:
        # A graft keeps the reasoning of a discarded attempt, so only call parts say whose call stands.
        calls = (s.provenance for s in talk.segments if s.kind is SegmentKind.ASSISTANT_CALL)
        kept = {(origin.position, origin.attempt) for origin in calls}
        return TrajectoryRecord(
            run="",
            step=int(self._row.get("global_steps", 0)),
            split="train",
            arm=counters.arm,
            sample_id=self.sample_id,
            rollout=int(self._row.get("session_id", 0)),
            data_source=str(self._row.get("data_source", "")),
            question=self._question,
            ground_truth=self._ground_truth,
            masked=masked,
            dropped=counters.dropped,
            num_turns=num_turns,
            segments=[self._segment(s) for s in talk.segments],
            tool_calls=[c.model_copy(update={"kept": (c.position, c.attempt) in kept}) for c in self._calls],
            repairs=[self._repair(r) for r in repairs],
            generated_tokens=counters.generated_tokens,
            discarded_tokens=counters.discarded_tokens,
            counters=counters.upstream_fields() | counters.effort_fields(),
        )

    def _segment(self, segment: Segment) -> SegmentRecord:
        origin = segment.provenance
        return SegmentRecord(
            kind=segment.kind.value,
            token_ids=list(segment.token_ids),
            pieces=[self._piece(token) for token in segment.token_ids],
            loss=segment.loss,
            origin=origin.origin.value,
            position=origin.position,
            attempt=origin.attempt,
            logprobs=None if segment.logprobs is None else [round(value, 5) for value in segment.logprobs],
        )

    def _repair(self, repair: Repair) -> RepairRecord:
        return RepairRecord(
            position=repair.position,
            outcome=repair.outcome.value,
            splice=repair.splice.value if repair.splice else None,
            similarity=repair.similarity,
            gate=repair.gate,
            attempts=[self._attempt(a.turn, a.results) for a in repair.attempts],
            replacement=self._text(repair.turn),
        )

    def _attempt(self, turn: Turn, results: Sequence[ToolResult]) -> AttemptRecord:
        failed = [r for r in results if r.model_failed]
        return AttemptRecord(
            text=self._text(turn),
            code=turn.code,
            error_class=failed[0].error_class if failed else None,
            error_text="\n".join(describe_error(r) for r in failed),
        )

    def _text(self, turn: Turn) -> str:
        return self._decode(list(flatten_ids(turn.segments)))


def _last_user(messages: Sequence[dict[str, Any]]) -> str:
    return next((str(m.get("content", "")) for m in reversed(list(messages)) if m.get("role") == "user"), "")
