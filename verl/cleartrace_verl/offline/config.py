"""The configuration an offline agent loop gets: composed as for training, with the options of the run on top."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from cleartrace.evaluate.settings import PassrateSettings, RunSettings
from cleartrace_verl.compose import compose

_ROLLOUT = "actor_rollout_ref.rollout"
_MULTI_TURN = f"{_ROLLOUT}.multi_turn"
PUBLISHED_EVALUATION = {
    "data.max_prompt_length": 4096,
    "data.max_response_length": 20480,
    f"{_MULTI_TURN}.max_assistant_turns": 16,
    f"{_MULTI_TURN}.max_user_turns": 16,
    f"{_MULTI_TURN}.format": "hermes",
    f"{_MULTI_TURN}.function_tool_path": "${cleartrace_file:code_interpreter_tool.py}",
    f"{_ROLLOUT}.temperature": 1.0,
    f"{_ROLLOUT}.top_p": 1.0,
    f"{_ROLLOUT}.val_kwargs.temperature": 1.0,
    f"{_ROLLOUT}.val_kwargs.top_p": 0.6,
}


@dataclass(frozen=True)
class SamplingOptions:
    """How turns are sampled; `max_tokens` is set per turn by the loop."""

    temperature: float
    top_p: float
    top_k: int

    def params(self) -> dict[str, Any]:
        return {**asdict(self), "logprobs": True}


def loop_config(settings: RunSettings) -> DictConfig:
    """Compose and resolve. Raises ConfigError or UnknownKey as `cleartrace train` does."""
    chosen = any(override.startswith("experiment=") for override in settings.overrides)
    base = {} if chosen else PUBLISHED_EVALUATION
    values = {**base, "cleartrace.seed": settings.seed}
    lines = [f"{key}={value}" for key, value in values.items()]
    config = compose(
        [*lines, *settings.overrides, *(f"{key}={value}" for key, value in _explicit(settings).items())],
        [settings.recipe] if settings.recipe else [],
    )
    for node in (config.data, config.actor_rollout_ref.rollout, config.reward):
        OmegaConf.resolve(node)
    return config


def _explicit(settings: RunSettings) -> dict[str, Any]:
    given = {
        "data.max_prompt_length": settings.prompt_tokens,
        "data.max_response_length": settings.response_tokens,
        f"{_MULTI_TURN}.max_assistant_turns": settings.max_turns,
        f"{_MULTI_TURN}.max_user_turns": settings.max_turns,
    }
    for prefix in (_ROLLOUT, f"{_ROLLOUT}.val_kwargs"):
        given |= {f"{prefix}.temperature": settings.temperature, f"{prefix}.top_p": settings.top_p}
    return {key: value for key, value in given.items() if value is not None}


def sampling_options(config: DictConfig, settings: RunSettings) -> SamplingOptions:
    """Evaluation samples as validation does, the pass-rate generator as training does."""
    rollout = config.actor_rollout_ref.rollout
    node = rollout if isinstance(settings, PassrateSettings) else rollout.val_kwargs
    return SamplingOptions(float(node.temperature), float(node.top_p), int(node.top_k))


def context_tokens(config: DictConfig) -> int:
    """Tokens of prompt and response together."""
    return int(config.data.max_prompt_length) + int(config.data.max_response_length)


def grading_options(config: DictConfig) -> dict[str, Any]:
    """Options of the reward function, as the trainer would pass them."""
    return dict(config.reward.custom_reward_function.get("reward_kwargs") or {})


def identity(config: DictConfig, settings: RunSettings, policy: str) -> Mapping[str, Any]:
    """What may not change between two starts of one run. The task file may: rollouts are known by their content."""
    rollout = config.actor_rollout_ref.rollout
    turns = rollout.multi_turn
    return {
        "command": type(settings).__name__,
        "policy": policy,
        "seed": settings.seed,
        "sampling": asdict(sampling_options(config, settings)),
        "prompt_tokens": int(config.data.max_prompt_length),
        "response_tokens": int(config.data.max_response_length),
        "turns": [turns.max_user_turns, turns.max_assistant_turns],
        "tools": [turns.format, turns.max_parallel_calls, turns.max_tool_response_length],
        "saar": OmegaConf.to_container(rollout.custom.saar),
        "grading": grading_options(config),
    }
