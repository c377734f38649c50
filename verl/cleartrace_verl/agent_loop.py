"""The tool agent loop with SAAR: veRL's ToolAgentLoop, run on segments instead of parallel lists.

Every decision is made by `cleartrace.purify.machine`; this file asks the engine and the tools, and tells it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from verl.experimental.agent_loop.agent_loop import AgentLoopMetrics, AgentLoopOutput
from verl.experimental.agent_loop.tool_agent_loop import ToolAgentLoop
from verl.utils.rollout_trace import rollout_trace_op

from cleartrace.losses.options import Mode
from cleartrace.purify import machine
from cleartrace.purify.config import Policy, RetryContext, SaarConfig
from cleartrace.purify.decision import (
    Adopt,
    AfterRegeneration,
    Append,
    Attempt,
    GiveUp,
    Keep,
    Limits,
    Regenerate,
    Score,
    token_budget,
)
from cleartrace.purify.negatives import collect, offered
from cleartrace.purify.turn import Turn, sampled_turn
from cleartrace.tools.render import render
from cleartrace.tools.result import ToolResult, ToolStatus
from cleartrace.trajectory.audit import EngineRequest, audit, require_clean
from cleartrace.trajectory.flatten import flatten, flatten_ids
from cleartrace.trajectory.segment import SegmentKind, context_segment, count_turns
from cleartrace_verl.conversation import Conversation, Sampled, ToolMessages
from cleartrace_verl.meter import Meter
from cleartrace_verl.preference_rows import pair_outputs
from cleartrace_verl.rollout_scope import rollout_scope
from cleartrace_verl.scoring import Scorer
from cleartrace_verl.token_builder import token_builder
from cleartrace_verl.tool_calls import execute_call, source_of
from cleartrace_verl.tool_parsers import CallParser, call_parser
from cleartrace_verl.trajectory_log import RolloutLog

NOT_EXECUTED = "Not executed: at most {limit} tool call(s) per turn are run. Send this call again in a later turn."


class SaarAgentLoop(ToolAgentLoop):
    """One object per rollout, built by veRL's agent-loop worker.

    Args:
        rollback: `configured` follows `rollout.custom.saar`; `off` and `on` are the two evaluation arms,
            in which nothing is drawn at random (D17, D20).
    """

    # Set by the parent; veRL's registration decorator hides them from type checkers.
    tools: dict[str, Any]
    tool_schemas: list[dict[str, Any]]
    tool_parser: CallParser
    tool_parser_name: str
    tokenizer: Any
    max_user_turns: int | None
    max_assistant_turns: int | None
    max_parallel_calls: int
    max_tool_response_length: int
    prompt_length: int
    response_length: int

    def __init__(self, *args: Any, rollback: str = "configured", **kwargs: Any):
        super().__init__(*args, **kwargs)
        custom = dict(self.rollout_config.get("custom") or {})
        self.saar = SaarConfig(**(custom.get("saar") or {}))
        self.evaluation = rollback != "configured"
        if self.evaluation:
            self.saar = self.saar.model_copy(update={"enable": rollback == "on"})
        self.tool_parser = call_parser(self.tokenizer, self.tool_parser_name, self.apply_chat_template_kwargs)
        # A Llama-architecture model with a ChatML template needs ChatML's newline between turns (SmolLM2).
        self.continuous_token_builder = token_builder(self.continuous_token_builder, custom.get("token_family"))

    @rollout_trace_op
    async def run(self, sampling_params: dict[str, Any], priority: int = 0, **kwargs: Any) -> AgentLoopOutput:
        """Roll out one row. `kwargs` are the dataset fields plus `session_id` and `global_steps`.

        In training with negative samples on, a list that ends with the rollout; veRL's own type does not say so.
        """
        del priority
        self.sampling_params = sampling_params
        self.request_id = uuid4().hex
        self.meter = Meter()
        context_tokens = self.prompt_length + self.response_length
        self.scorer = Scorer(self.server_manager, self.request_id, self.meter, context_tokens)
        self.step, self.rollout = int(kwargs.get("global_steps", 0)), int(kwargs.get("session_id", 0))
        talk = await self._open(kwargs)
        log = RolloutLog(kwargs, decode=self.tokenizer.decode, max_chars=self.max_tool_response_length)
        state = machine.start(
            self.saar,
            sample_id=log.sample_id,
            step=self.step,
            rollout=self.rollout,
            evaluation=self.evaluation,
        )
        async with rollout_scope():
            state = await self._converse(state, talk, log)
        return await self._close(state, talk, log)  # pyright: ignore[reportReturnType]

    async def _converse(self, state: machine.SaarState, talk: Conversation, log: RolloutLog) -> machine.SaarState:
        """Turn by turn, until an answer, a limit, or an infrastructure failure."""
        position, sampled = 0, None
        while (sampled := sampled or await self._sample(talk, talk.ids, position + 1, 0)) is not None:
            position += 1
            if not sampled.turn.has_call or self._is_last_turn(talk, position):
                talk.append_turn(sampled.turn, sampled.message())
                break
            state, go_on, sampled = await self._work(state, talk, sampled, log)
            if not go_on:
                break
        return state

    async def _open(self, row: dict[str, Any]) -> Conversation:
        messages = list(row["raw_prompt"])
        media = await self.process_multi_modal_info(messages)
        if any(value is not None for value in media.values()):
            raise ValueError("saar_agent handles text only; use veRL's tool_agent for rows with images or video.")
        ids = await self.ct_build_initial_tokens(messages, tools=self.tool_schemas)
        prompt = context_segment(SegmentKind.PROMPT, ids)
        return Conversation(messages, [prompt], self.tool_schemas, self.continuous_token_builder)

    def _is_last_turn(self, talk: Conversation, position: int) -> bool:
        """True when veRL's turn limits leave no turn for an answer, so a call would be run for nothing."""
        if self.max_assistant_turns and position >= self.max_assistant_turns:
            return True
        return bool(self.max_user_turns and count_turns(talk.segments).tool >= self.max_user_turns)

    def _budget(self, context_tokens: int, response_used: int) -> int:
        return token_budget(
            response_length=self.response_length,
            response_used=response_used,
            context_length=self.prompt_length + self.response_length,
            prompt_tokens=context_tokens,
        )

    async def _sample(self, talk: Conversation, context: Sequence[int], position: int, attempt: int) -> Sampled | None:
        """One assistant turn after `context`; None when there is no room for it or the engine was stopped."""
        budget = self._budget(len(context), talk.response_tokens)
        if budget <= 0:
            return None
        params = {**self.sampling_params, "max_tokens": budget}
        if self.tool_parser.stop_token_ids:
            params["stop_token_ids"] = sorted({*(params.get("stop_token_ids") or []), *self.tool_parser.stop_token_ids})
        with self.meter.time("generate", retry=attempt > 0):
            output = await self.server_manager.generate(
                request_id=self.request_id, prompt_ids=list(context), sampling_params=params
            )
        self._note_engine(talk, output.extra_fields, output.num_preempted)
        if not output.token_ids:
            return None
        logprobs = tuple(output.log_probs) if output.log_probs else None
        self.meter.count("generated_tokens", len(output.token_ids))
        if attempt:
            self.meter.count("retry_tokens", len(output.token_ids))
        talk.requests.append(EngineRequest(tuple(context), tuple(output.token_ids), logprobs))
        with self.meter.time("decide"):
            return self._parse(context, output.token_ids, logprobs, position, attempt)

    @staticmethod
    def _note_engine(talk: Conversation, fields: dict[str, Any], preempted: int | None) -> None:
        """Keep the weight versions of the first and the last request, which V1's staleness metrics need."""
        talk.engine_fields.setdefault("min_global_steps", fields.get("min_global_steps"))
        if fields.get("max_global_steps") is not None:
            talk.engine_fields["max_global_steps"] = fields["max_global_steps"]
        if preempted is not None:
            talk.num_preempted = max(talk.num_preempted, 0) + preempted

    def _parse(
        self,
        context: Sequence[int],
        token_ids: Sequence[int],
        logprobs: tuple[float, ...] | None,
        position: int,
        attempt: int,
    ) -> Sampled:
        read = self.tool_parser.read(token_ids, prompt_ids=context)
        code = "\n".join(source_of(call) for call in read.calls)
        turn = sampled_turn(
            context,
            token_ids,
            logprobs,
            read.boundary,
            position=position,
            attempt=attempt,
            code=code,
            call_text=read.call_text,
        )
        return Sampled(turn, read.calls, read.content)

    async def _execute(self, sampled: Sampled, log: RolloutLog) -> tuple[ToolResult, ...]:
        """Results in call order; surplus calls are answered, not dropped (D11)."""
        run = sampled.calls[: self.max_parallel_calls]
        surplus = len(sampled.calls) - len(run)
        text = NOT_EXECUTED.format(limit=self.max_parallel_calls)
        done = await asyncio.gather(*(execute_call(self.tools, call) for call in run))
        results = (*done, *[ToolResult(ToolStatus.NOT_EXECUTED, stderr=text)] * surplus)
        log.executed(sampled, results)
        return results

    async def _work(
        self, state: machine.SaarState, talk: Conversation, sampled: Sampled, log: RolloutLog
    ) -> tuple[machine.SaarState, bool, Sampled | None]:
        """Execute one call turn, repair it as the machine says, append what stays.

        Returns False when the rollout ends, and the next turn when that is sampled already.
        """
        clean = talk.ids
        errors: dict[int, ToolMessages] = {}
        messages: dict[int, dict[str, Any]] = {}
        while True:
            turn = sampled.turn
            with self.meter.time("tool", retry=turn.attempt > 0):
                results = await self._execute(sampled, log)
            messages[turn.attempt] = sampled.message()
            errors[turn.attempt] = self._answer(talk, turn, messages[turn.attempt], results)
            limits = self._limits(state, talk, turn, errors)
            with self.meter.time("decide"):
                state, decision = machine.on_executed(state, turn, results, limits)
            if not isinstance(decision, Regenerate):
                break
            context = clean + self._feedback(decision.attempts, errors)
            again = await self._sample(talk, context, decision.position, decision.attempt)
            if again and len(decision.attempts) > 1:
                talk.note_shown(context)
            state, decision = await self._splice(state, clean, again)
            if not isinstance(decision, Adopt):
                following = Sampled(decision.answer, again.calls, again.content) if again and decision.answer else None
                return state, *self._settle(talk, decision, messages, errors, log, following)
            assert again is not None
            talk.note_rewrite(decision.turn)
            sampled = Sampled(decision.turn, again.calls, again.content)
        return state, *self._settle(talk, decision, messages, errors, log)

    def _limits(
        self, state: machine.SaarState, talk: Conversation, turn: Turn, errors: dict[int, ToolMessages]
    ) -> Limits:
        """What is left for a regeneration that would be shown the failure of `turn` (D12)."""
        error = errors[turn.attempt]
        # With retry_context=all, the earlier attempts are shown too.
        earlier = state.attempts if self.saar.retry_context is RetryContext.ALL else ()
        shown = len(talk.ids) + len(self._feedback(earlier, errors)) + len(turn.token_ids) + len(error)
        # A turn that may be appended shares the response with the error, one that replaces does not.
        stays = len(error) if self.saar.splices_by is Policy.IMPORTANCE else 0
        return Limits(self._budget(shown, talk.response_tokens + len(turn.token_ids) + stays))

    async def _splice(
        self, state: machine.SaarState, clean: Sequence[int], again: Sampled | None
    ) -> tuple[machine.SaarState, Adopt | Append | GiveUp]:
        def decide() -> tuple[machine.SaarState, AfterRegeneration]:
            with self.meter.time("decide"):
                return machine.on_regenerated(state, again.turn if again else None)

        # Comparing long programs takes tens of milliseconds, which no other rollout should wait for (D3).
        state_after, decision = await asyncio.to_thread(decide)
        if not isinstance(decision, Score):
            return state_after, decision
        context = (*clean, *flatten_ids(decision.prefix))
        return machine.on_scored(state_after, await self.scorer.score(context, flatten_ids(decision.candidate)))

    @staticmethod
    def _feedback(attempts: Sequence[Attempt], errors: dict[int, ToolMessages]) -> tuple[int, ...]:
        """Token ids of each failed attempt followed by its error message."""
        return tuple(
            token
            for attempt in attempts
            for segments in (attempt.turn.segments, errors[attempt.turn.attempt].segments)
            for segment in segments
            for token in segment.token_ids
        )

    def _answer(
        self,
        talk: Conversation,
        turn: Turn,
        message: dict[str, Any],
        results: Sequence[ToolResult],
        hint: str | None = None,
    ) -> ToolMessages:
        texts = [render(result, self.max_tool_response_length) for result in results]
        if hint:
            failed = [i for i, result in enumerate(results) if result.model_failed]
            texts[failed[-1]] += hint
        return talk.render_tools([(turn, message)], texts, attempt=turn.attempt)

    def _settle(
        self,
        talk: Conversation,
        decision: Keep | GiveUp | Append,
        messages: dict[int, dict[str, Any]],
        errors: dict[int, ToolMessages],
        log: RolloutLog,
        following: Sampled | None = None,
    ) -> tuple[bool, Sampled | None]:
        """Write the decision into the kept history. False: no further turn; a turn: it follows, sampled already."""
        turn = decision.turn
        message = messages[turn.attempt]
        answer = errors[turn.attempt]
        if isinstance(decision, GiveUp) and decision.hint:
            answer = self._answer(talk, turn, message, decision.results, decision.hint)
            log.hinted(turn, decision.hint)
        talk.append_turn(turn, message)
        if isinstance(decision, Keep) and decision.infra:
            return False, None
        room = talk.response_tokens + len(answer) < self.response_length
        if room:
            talk.append_tools(answer)
        if following is None:
            return room, None
        if not room or self.saar.retry_context is RetryContext.ALL:
            talk.note_kept()
        return room, following if room else None

    async def _close(
        self, state: machine.SaarState, talk: Conversation, log: RolloutLog
    ) -> AgentLoopOutput | list[AgentLoopOutput]:
        """The rollout; behind the rows of its failed and repaired calls, if any, because veRL scores the last alone."""
        with self.meter.time("decide"):
            require_clean(audit(talk.requests, talk.segments, talk.rewrites))
            flat = flatten(talk.segments).cut(self.response_length)
        gap = await self.scorer.gap(flat) if self.saar.score_spliced else None
        counters = machine.finish(state, talk.segments, flat, self.meter.effort())
        masked = counters.infra_failed
        mask = [0] * len(flat.response_mask) if masked or counters.dropped else list(flat.response_mask)
        turns = count_turns(talk.segments)
        rollout = AgentLoopOutput(
            prompt_ids=list(flat.prompt_ids),
            response_ids=list(flat.response_ids),
            response_mask=mask,
            response_logprobs=None if flat.response_logprobs is None else list(flat.response_logprobs),
            num_turns=turns.total,
            metrics=AgentLoopMetrics(
                generate_sequences=counters.generate_s, tool_calls=counters.tool_s, num_preempted=talk.num_preempted
            ),
            extra_fields={
                **talk.engine_fields,
                "turn_scores": [],
                "tool_rewards": [],
                **log.fields(counters, state.repairs, talk, flat, masked=masked, num_turns=turns.total),
                **({} if gap is None else {"saar_gap": gap}),
            },
        )
        rows = [] if self.evaluation or masked or counters.dropped else self._pairs(state, talk, log)
        return [*rows, rollout] if rows else rollout

    def _pairs(self, state: machine.SaarState, talk: Conversation, log: RolloutLog) -> list[AgentLoopOutput]:
        config = self.saar.negatives
        if config.mode is Mode.OFF:
            return []
        pairs = collect(state.repairs, talk.segments, config, response_length=self.response_length)
        chosen = offered(
            pairs,
            config.max_per_group,
            seed=self.saar.seed,
            sample_id=log.sample_id,
            step=self.step,
            rollout=self.rollout,
        )
        return pair_outputs(chosen, config.mode, talk.engine_fields)
