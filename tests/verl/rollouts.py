"""One rollout of `SaarAgentLoop` with a scripted engine and tool; tokenizer, template builder and parser are real."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from transformers import AutoConfig, AutoTokenizer
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput, DictConfigWrap, ToolListWrap
from verl.tools.function_tool import FunctionTool
from verl.tools.schemas import OpenAIFunctionToolSchema, ToolResponse
from verl.workers.rollout.replica import TokenOutput

from cleartrace.tools.code_interpreter import TOOL_SCHEMA
from cleartrace.tools.render import render
from cleartrace.tools.result import ToolResult, ToolStatus
from cleartrace.trajectory.record import TrajectoryRecord
from cleartrace_verl.agent_loop import SaarAgentLoop
from cleartrace_verl.compose import compose

ROOT = Path(__file__).resolve().parents[2]
POLICY = ROOT / "dataset/quickstart/policy"
END = "<|im_end|>"
QUESTION = "How many vowels are in alpha?"


@lru_cache(maxsize=1)
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(POLICY)


@dataclass(frozen=True)
class Speaker:
    """The model an engine is scripted for.

    Args:
        end: text of the token that ends a turn, put behind every scripted text.
        opener: what the template opens a thought with at the end of some prompts. Scripted texts begin with it, and
            it is left out of what is sampled where the prompt has it already.
    """

    tokenizer: Any
    model_type: str
    end: Callable[[str], str] = lambda text: END
    opener: str = ""

    def encode(self, text: str, prompt_ids: Sequence[int]) -> list[int]:
        if self.opener and self.tokenizer.decode(prompt_ids[-32:]).endswith(self.opener):
            text = text.removeprefix(self.opener)
        return self.tokenizer.encode(text + self.end(text), add_special_tokens=False)


@lru_cache(maxsize=1)
def quickstart() -> Speaker:
    return Speaker(tokenizer(), AutoConfig.from_pretrained(POLICY).model_type)


@lru_cache(maxsize=1)
def _base_config() -> DictConfig:
    config = compose(
        ["experiment=quickstart", "data.max_prompt_length=256", "data.max_response_length=2000"],
        [ROOT / "recipe/cleaner"],
    )
    OmegaConf.resolve(config.actor_rollout_ref.rollout)
    return config


def config_with(saar: dict[str, Any] | None = None, multi_turn: dict[str, Any] | None = None, **rollout: Any) -> Any:
    config = _base_config().copy()
    node = config.actor_rollout_ref.rollout
    node.custom.saar = {"enable": True, "min_budget_tokens": 64, **(saar or {})}
    for key, value in (multi_turn or {}).items():
        node.multi_turn[key] = value
    for key, value in rollout.items():
        node[key] = value
    return config


def call(code: str, thought: str = "Let me count.\n") -> str:
    """Text of an assistant turn that calls the interpreter."""
    body = json.dumps({"name": "code_interpreter", "arguments": {"code": code}})
    return f"{thought}<tool_call>\n{body}\n</tool_call>"


def logprob(prompt_length: int, index: int) -> float:
    """What the scripted engine reports: it depends on the context, as a real engine's does."""
    return -(prompt_length + index + 1) / 1024


def clean_logprob(place: int) -> float:
    """What the scripted engine would have reported for the token at `place` of the sequence it stands in."""
    return -(place + 1) / 1024


@dataclass
class ScriptedServer:
    """Answers the n-th request with the n-th text; None stands for an aborted request.

    A scoring request says of each token that it is `penalty` less likely than `logprob` would have it.
    """

    turns: Sequence[str | None]
    with_logprobs: bool = True
    penalty: float = 0.0
    speaker: Speaker = field(default_factory=quickstart)
    scored: list[list[int]] = field(default_factory=list)
    prompts: list[list[int]] = field(default_factory=list)
    sampled: list[list[int]] = field(default_factory=list)
    budgets: list[int] = field(default_factory=list)

    async def generate(
        self, request_id: str, *, prompt_ids: list[int], sampling_params: dict[str, Any], **kwargs: Any
    ) -> TokenOutput:
        await asyncio.sleep(0)
        if "prompt_logprobs" in sampling_params:
            self.scored.append(list(prompt_ids))
            rows = [[clean_logprob(i + 1) - self.penalty] for i in range(len(prompt_ids) - 1)] + [[0.0]]
            return TokenOutput(token_ids=[], stop_reason="completed", extra_fields={"prompt_logprobs": rows})
        text = self.turns[len(self.prompts)]
        self.prompts.append(list(prompt_ids))
        self.budgets.append(sampling_params["max_tokens"])
        if text is None:
            self.sampled.append([])
            return TokenOutput(token_ids=[], log_probs=[], stop_reason="aborted")
        ids = self.speaker.encode(text, prompt_ids)[: sampling_params["max_tokens"]]
        self.sampled.append(ids)
        values = [logprob(len(prompt_ids), i) for i in range(len(ids))]
        version = 3 + len(self.prompts)
        return TokenOutput(
            token_ids=ids,
            log_probs=values if self.with_logprobs else None,
            stop_reason="completed",
            num_preempted=0,
            extra_fields={"global_steps": version, "min_global_steps": version, "max_global_steps": version},
        )


def failure(error_class: str, stdout: str = "", line: int = 1) -> ToolResult:
    message = f"a {error_class} for a test"
    return ToolResult(
        ToolStatus.PROGRAM_ERROR,
        stdout=stdout,
        stderr=f"{error_class}: {message}",
        error_class=error_class,
        message=message,
        line=line,
    )


def run_program(code: str) -> ToolResult:
    """The scripted interpreter: `bad_NAME` anywhere in the program fails it with NAME."""
    if "infra" in code:
        return ToolResult(ToolStatus.INFRA_ERROR, stderr="judge is gone", error_class="infra_error")
    if "bad_" in code:
        return failure(code.split("bad_", 1)[1].split("(")[0].split()[0])
    return ToolResult(ToolStatus.OK, stdout="3\n")


def interpreter(run: Callable[[str], ToolResult], log: list[str]) -> FunctionTool:
    async def code_interpreter(code: str) -> tuple[ToolResponse, float, dict[str, Any]]:
        log.append(code)
        result = run(code)
        return ToolResponse(text=render(result)), 0.0, {"result": result}

    schema = OpenAIFunctionToolSchema.model_validate(TOOL_SCHEMA)
    return FunctionTool("code_interpreter", code_interpreter, schema, is_async=True)


@dataclass(frozen=True)
class Rolled:
    """A finished rollout and what the scripted parts saw."""

    output: AgentLoopOutput
    server: ScriptedServer
    executed: list[str]
    schemas: list[dict[str, Any]]

    @property
    def record(self) -> TrajectoryRecord:
        return TrajectoryRecord.model_validate_json(self.output.extra_fields["trajectory"])

    @property
    def counters(self) -> dict[str, Any]:
        return self.output.extra_fields["saar"]

    @property
    def text(self) -> str:
        return tokenizer().decode(self.output.response_ids)

    @property
    def logprobs(self) -> list[float]:
        assert self.output.response_logprobs is not None
        return self.output.response_logprobs

    def trained_text(self) -> str:
        ids = [t for t, m in zip(self.output.response_ids, self.output.response_mask, strict=True) if m]
        return tokenizer().decode(ids)


async def roll_out_async(
    turns: Sequence[str | None],
    *,
    config: Any = None,
    run: Callable[[str], ToolResult] = run_program,
    rollback: str = "configured",
    with_logprobs: bool = True,
    penalty: float = 0.0,
    question: str = QUESTION,
    speaker: Speaker | None = None,
    tools: Sequence[FunctionTool] | None = None,
    **row: Any,
) -> Rolled:
    config = config if config is not None else config_with()
    speaker = speaker or quickstart()
    server, executed = ScriptedServer(turns, with_logprobs, penalty, speaker), []
    loop = SaarAgentLoop(
        trainer_config=DictConfigWrap(config),
        server_manager=server,
        tokenizer=speaker.tokenizer,
        processor=None,
        dataset_cls=None,
        data_config=DictConfigWrap(config.data),
        hf_model_type=speaker.model_type,
        tools=ToolListWrap(list(tools or [interpreter(run, executed)])),
        rollback=rollback,
    )
    fields = {
        "raw_prompt": [{"role": "system", "content": "Use Python."}, {"role": "user", "content": question}],
        "extra_info": {"sample_id": "sample", "question": question},
        "reward_model": {"ground_truth": "3"},
        "data_source": "cleartrace/test",
        "session_id": 2,
        "global_steps": 5,
        **row,
    }
    output = await loop.run({"temperature": 1.0}, **fields)
    return Rolled(output, server, executed, loop.tool_schemas)


def roll_out(turns: Sequence[str | None], **options: Any) -> Rolled:
    """Every scripted turn must be asked for; see `roll_out_async` for the options."""
    rolled = asyncio.run(roll_out_async(turns, **options))
    assert len(rolled.server.prompts) == len(turns), "the script has turns that were never asked for"
    return rolled
