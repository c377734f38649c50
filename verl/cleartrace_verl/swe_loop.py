"""The agent loop `mini_swe_agent`: a repository, one bash command a turn, hidden tests as the reward.

Tokens, log-probs, audit and record are `SaarAgentLoop`'s. Failed commands stay in the trajectory: a rollback of tokens
would not take back what a command did to the files, so SAAR is off here whatever `custom.saar` says for other rows.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from verl.experimental.agent_loop.agent_loop import AgentLoopOutput

from cleartrace.purify import machine
from cleartrace.purify.turn import Turn
from cleartrace.tools.code_interpreter import format_error, infra_error
from cleartrace.tools.result import Blame, ToolResult, ToolStatus
from cleartrace.tools.shell import workspace
from cleartrace.tools.shell.config import ShellConfig
from cleartrace.tools.shell.evaluate import evaluate
from cleartrace.tools.shell.protocol import format_reply, observation, submission
from cleartrace.tools.shell.rows import WholeTask, task_of
from cleartrace.tools.shell.runtime import Evaluation, Runtime, Sandbox, SandboxLost, Verdict
from cleartrace.tools.shell.runtimes import make_runtime
from cleartrace.trajectory.segment import SegmentKind, context_segment
from cleartrace_verl.agent_loop import SaarAgentLoop
from cleartrace_verl.conversation import Conversation, Sampled, ToolMessages
from cleartrace_verl.rollout_scope import current_rollout
from cleartrace_verl.swe_format import ShellConversation, require_observations, shell_parser, turn_ends
from cleartrace_verl.trajectory_log import RolloutLog

_SHOWN_PATCH = 4000


@dataclass(frozen=True)
class Workplace:
    """The sandbox of a rollout, and the commit its model started from."""

    sandbox: Sandbox
    base: str

    async def close(self) -> None:
        await self.sandbox.close()


class MiniSweAgentLoop(SaarAgentLoop):
    """One object per rollout. Rows come from `cleartrace.tools.shell.rows`; limits from `rollout.custom.shell`.

    `multi_turn.max_assistant_turns` is the step limit. A rollout that ends without handing in scores 0.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        custom = dict(self.rollout_config.get("custom") or {})
        self.shell = ShellConfig(**dict(custom.get("shell") or {}))
        self.saar = self.saar.model_copy(update={"enable": False})
        self.tools, self.tool_schemas = {}, []
        self.tool_parser = shell_parser(self.tokenizer, dict(self.apply_chat_template_kwargs or {}))
        require_observations(self.continuous_token_builder)

    async def run(self, sampling_params: dict[str, Any], priority: int = 0, **kwargs: Any) -> AgentLoopOutput:
        """Roll out and grade one row. Raises ValueError for a row that is no shell task."""
        self.whole: WholeTask = task_of(kwargs)
        self.submitted: str | None = None
        self.graded = Evaluation(Verdict.NO_PATCH)
        self.patch = ""
        # The record of the rollout shows the gold patch beside the model's, not the tests.
        row = {**kwargs, "reward_model": {"ground_truth": self.whole.hidden.gold_patch}}
        return await super().run(sampling_params, priority, **row)

    async def _open(self, row: dict[str, Any]) -> Conversation:
        messages = list(row["raw_prompt"])
        ids = await self.ct_build_initial_tokens(messages)
        prompt = context_segment(SegmentKind.PROMPT, ids)
        ends = turn_ends(self.tokenizer)
        return ShellConversation(messages, [prompt], [], self.continuous_token_builder, turn_ends=ends)

    def _budget(self, context_tokens: int, response_used: int) -> int:
        room = super()._budget(context_tokens, response_used)
        return room if self.shell.turn_tokens is None else min(room, self.shell.turn_tokens)

    async def _converse(self, state: machine.SaarState, talk: Conversation, log: RolloutLog) -> machine.SaarState:
        """The turns in one sandbox, then the tests in another. A sandbox that fails spoils the rollout."""
        runtime = shell_runtime(self.shell)
        try:
            state = await self._work_in(runtime, state, talk, log)
            if self.submitted is not None and not state.counters.infra_failed:
                with self.meter.time("tool"):
                    self.graded = await evaluate(runtime, self.whole.task, self.whole.hidden, self.patch, self.shell)
        except SandboxLost as error:
            self.graded = Evaluation(Verdict.INFRA_ERROR, detail=str(error))
        if self.graded.blame is Blame.SANDBOX:
            state = replace(state, counters=replace(state.counters, infra_errors=state.counters.infra_errors + 1))
        return state

    async def _work_in(
        self, runtime: Runtime, state: machine.SaarState, talk: Conversation, log: RolloutLog
    ) -> machine.SaarState:
        """The model writes its first turn while its sandbox is made. Raises SandboxLost."""
        ready = current_rollout().resource("shell", lambda: self._workplace(runtime), Workplace.close)
        opening = asyncio.ensure_future(ready)
        first = await self._sample(talk, talk.ids, 1, 0)
        try:
            with self.meter.time("tool"):
                self.place = await opening
        except SandboxLost:
            if first is not None:  # veRL needs a token in every response
                talk.append_turn(first.turn, first.message())
            raise
        state = await self._turns(state, talk, log, first)
        if self.submitted is not None and not state.counters.infra_failed:
            # A bare marker hands in the files as they are.
            self.patch = self.submitted
            if not self.patch.strip():
                self.patch = await workspace.working_diff(self.place.sandbox, self.place.base)
        await self.place.close()
        return state

    async def _workplace(self, runtime: Runtime) -> Workplace:
        sandbox = await runtime.open(self.whole.task)
        try:
            return Workplace(sandbox, await workspace.prepare(sandbox, self.whole.hidden, self.shell.start_timeout_s))
        except BaseException:
            await sandbox.close()
            raise

    async def _turns(
        self, state: machine.SaarState, talk: Conversation, log: RolloutLog, sampled: Sampled | None
    ) -> machine.SaarState:
        """Turn by turn from the first one, until a submission, a limit, or an infrastructure failure."""
        limit = self.max_assistant_turns or self.max_user_turns
        for position in itertools.count(1):
            if sampled is None:
                break
            if not sampled.turn.has_call:
                talk.append_turn(sampled.turn, sampled.message())
                break
            state, go_on, _ = await self._work(state, talk, sampled, log)
            if not go_on or self.submitted is not None or position == limit:
                break
            sampled = await self._sample(talk, talk.ids, position + 1, 0)
        return state

    async def _execute(self, sampled: Sampled, log: RolloutLog) -> tuple[ToolResult, ...]:
        call = sampled.calls[0]
        if call.error is not None:
            result = format_error(format_reply(call.error))
        else:
            result = await self._run_command(str((call.arguments or {})["code"]))
        log.executed(sampled, (result,))
        return (result,)

    async def _run_command(self, command: str) -> ToolResult:
        timeout_s = self.shell.command_timeout_s
        try:
            done = await self.place.sandbox.run(command, timeout_s)
        except SandboxLost as error:
            self.graded = Evaluation(Verdict.INFRA_ERROR, detail=str(error))
            return infra_error(f"{type(error).__name__}: {error}")
        self.submitted = submission(done.output)
        return done.as_tool_result(observation(done, self.shell.observation_chars, timeout_s))

    def _answer(
        self,
        talk: Conversation,
        turn: Turn,
        message: dict[str, Any],
        results: Sequence[ToolResult],
        hint: str | None = None,
    ) -> ToolMessages:
        """What the model is shown; nothing after it has handed in."""
        del hint
        if self.submitted is not None:
            return ToolMessages((), ())
        texts = [r.stderr if r.status is ToolStatus.FORMAT_ERROR else r.stdout for r in results]
        return talk.render_tools([(turn, message)], texts, attempt=turn.attempt)

    async def _close(self, state: machine.SaarState, talk: Conversation, log: RolloutLog) -> AgentLoopOutput:
        output = await super()._close(state, talk, log)
        assert isinstance(output, AgentLoopOutput)  # a list only with pairs of SAAR, which is off
        spoiled = state.counters.infra_failed
        output.reward_score = float(self.graded.resolved and not spoiled)
        output.extra_fields["reward_extra_info"] = self._grade(output, log.sample_id, spoiled)
        return output

    def _grade(self, output: AgentLoopOutput, sample_id: str, spoiled: bool) -> dict[str, Any]:
        """The keys of `cleartrace.rewards.score.Score` and of `cleartrace_verl.reward`: a batch has one set."""
        graded = self.graded
        error = "" if graded.resolved else f"{graded.verdict.value}: {graded.detail}".rstrip(": \n")
        return {
            "score": float(graded.resolved and not spoiled),
            "acc": graded.resolved and not spoiled,
            "pred": self.patch[:_SHOWN_PATCH],
            "error": error,
            "ungraded": spoiled,
            "question_id": self.whole.task.instance_id,
            "sample_id": sample_id,
            "tests": " ".join(graded.outcomes.values()),
            "shaping": 0.0,
            "trajectory": output.extra_fields["trajectory"],
            "saar_masked": spoiled,
        }


def shell_runtime(config: ShellConfig) -> Runtime:
    """The runtime that the rollouts of this event loop share: it bounds how many sandboxes are open."""
    return _runtime(config.model_dump_json(), asyncio.get_running_loop())


@lru_cache(maxsize=4)
def _runtime(config: str, loop: asyncio.AbstractEventLoop) -> Runtime:
    del loop
    return make_runtime(ShellConfig.model_validate_json(config))
