"""One rollout of `SaarAgentLoop`, graded: the same loop, tools and reward as in training."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from transformers import AutoConfig, AutoTokenizer
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput, DictConfigWrap, ToolListWrap
from verl.tools.tool_registry import load_all_tools

from cleartrace.evaluate.outcome import Arm, RolloutOutcome, Status
from cleartrace.evaluate.questions import Question
from cleartrace.llm.http import EndpointUnavailable
from cleartrace.rewards.final_turn import FINAL_TURN, final_turn_ids
from cleartrace.tools.result import MODEL_FAILURES, ToolStatus
from cleartrace.trajectory.record import TrajectoryRecord
from cleartrace_verl.agent_loop import SaarAgentLoop
from cleartrace_verl.offline.config import SamplingOptions, grading_options
from cleartrace_verl.offline.policy import Policy, SeededPolicy
from cleartrace_verl.reward import compute_score


@dataclass(frozen=True)
class Rolled:
    """A finished rollout; `record` is None when the rollout was lost."""

    outcome: RolloutOutcome
    record: TrajectoryRecord | None


class Roller:
    """Everything that the rollouts of a run share. Holds no state of a rollout."""

    def __init__(
        self,
        config: DictConfig,
        tokenizer_dir: Path,
        policy: Policy,
        sampling: SamplingOptions,
        *,
        seed: int,
        run: str,
        keep_answers: bool = True,
    ) -> None:
        """Raises OSError when `tokenizer_dir` has no tokenizer, ValueError when a tool file cannot be loaded."""
        self._config, self._policy, self._sampling = config, policy, sampling
        self._seed, self._run, self._keep_answers = seed, run, keep_answers
        self.tokenizer: Any = AutoTokenizer.from_pretrained(tokenizer_dir)
        has_config = (tokenizer_dir / "config.json").is_file()
        self._model_type = AutoConfig.from_pretrained(tokenizer_dir).model_type if has_config else None
        turns = config.actor_rollout_ref.rollout.multi_turn
        self._tools = ToolListWrap(load_all_tools(turns.tool_config_path, turns.function_tool_path))

    async def roll(self, question: Question, arm: Arm, rollout: int) -> Rolled:
        """Roll out and grade once. Only EndpointUnavailable and cancellation come through; all else is LOST."""
        started = time.monotonic()
        known = {
            "row": question.row,
            "sample_id": question.sample_id,
            "question_id": question.question_id,
            "data_source": question.data_source,
            "arm": arm,
            "rollout": rollout,
        }
        try:
            output = await self._run_loop(question, arm, rollout)
            answer = self._answer(output)
            grade = await self._grade(question, output, answer)
        except EndpointUnavailable:
            raise
        except Exception as error:  # whatever a loop, a tool file or a grader raises must not end the other rollouts
            lost = f"{type(error).__name__}: {error}"
            seconds = round(time.monotonic() - started, 3)
            return Rolled(RolloutOutcome(**known, status=Status.LOST, error=lost, seconds=seconds), None)
        record = self._record(output, grade)
        counts = counted(record)
        outcome = RolloutOutcome(
            **known,
            **counts,
            status=_status(record, grade),
            score=float(grade["score"]),
            acc=bool(grade["acc"]),
            pred=str(grade.get("pred") or ""),
            error=str(grade.get("error") or ""),
            answer=answer if self._keep_answers else "",
            seconds=round(time.monotonic() - started, 3),
        )
        return Rolled(outcome, record)

    async def _run_loop(self, question: Question, arm: Arm, rollout: int) -> AgentLoopOutput:
        loop = SaarAgentLoop(
            trainer_config=DictConfigWrap(self._config),
            server_manager=SeededPolicy(self._policy, self._seed, question.sample_id, rollout),
            tokenizer=self.tokenizer,
            processor=None,
            dataset_cls=None,
            data_config=DictConfigWrap(self._config.data),
            hf_model_type=self._model_type,
            tools=self._tools,
            rollback=arm,
        )
        return await loop.run(self._sampling.params(), session_id=rollout, global_steps=0, **question.fields)

    async def _grade(self, question: Question, output: AgentLoopOutput, answer: str) -> dict[str, Any]:
        fields = {**output.extra_fields, "num_turns": output.num_turns, FINAL_TURN: answer}
        return await compute_score(
            question.data_source,
            self.tokenizer.decode(output.response_ids, skip_special_tokens=True),
            question.fields["reward_model"]["ground_truth"],
            {**question.fields["extra_info"], **fields},
            **grading_options(self._config),
        )

    def _record(self, output: AgentLoopOutput, grade: Mapping[str, Any]) -> TrajectoryRecord:
        record = TrajectoryRecord.model_validate_json(output.extra_fields["trajectory"])
        return record.model_copy(
            update={
                "run": self._run,
                "split": "val",
                "prediction": grade.get("pred"),
                "reward": float(grade["score"]),
                "acc": bool(grade["acc"]),
                "masked": record.masked or bool(grade.get("ungraded")),
            }
        )

    def _answer(self, output: AgentLoopOutput) -> str:
        """What the model wrote after the last tool output: the text that is graded."""
        ids = final_turn_ids(output.extra_fields["trajectory"], output.response_ids)
        return self.tokenizer.decode(ids, skip_special_tokens=True)


def counted(record: TrajectoryRecord) -> dict[str, Any]:
    """What an outcome counts of a trajectory."""
    run = [call for call in record.tool_calls if call.status != ToolStatus.NOT_EXECUTED.value]
    failed = [call for call in run if call.status in MODEL_FAILURES]
    infra = sum(call.status == ToolStatus.INFRA_ERROR.value for call in run)
    return {
        "turns": record.num_turns,
        "calls": len(run) - infra,
        "failed_calls": len(failed),
        "kept_failures": sum(call.kept for call in failed),
        "infra_calls": infra,
        "rollbacks": len(record.repairs),
        "recovered": sum(repair.outcome == "recovered" for repair in record.repairs),
        "generated_tokens": record.generated_tokens,
        "discarded_tokens": record.discarded_tokens,
    }


def _status(record: TrajectoryRecord, grade: Mapping[str, Any]) -> Status:
    if grade.get("ungraded"):
        return Status.UNGRADED
    infra = any(call.status == ToolStatus.INFRA_ERROR.value for call in record.tool_calls)
    return Status.INFRA if infra else Status.GRADED
