"""A whole run as one flat file: the loop's settings, and who is run on what, with which limits."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any, ClassVar

import yaml
from pydantic import Field, ValidationError

from cleartrace.agents.settings import CallStyle
from cleartrace.agents.workplace import NEEDS_MODEL, AgentSettings
from cleartrace.data.files import whole_file
from cleartrace.learn.rcl.config import RclConfig, Rule, published
from cleartrace.learn.shell.settings import ShellSettings
from cleartrace.llm.protocol import Thinking


class ConfigError(ValueError):
    """Settings that cannot be used; says which and why."""


class Reads(str, Enum):
    """How the reflector gets at runs."""

    PROMPT = "prompt"
    SHELL = "shell"


class RunConfig(RclConfig, ShellSettings, AgentSettings):
    """Settings of `cleartrace optimize`: of the agent (`AgentSettings`), of the loop (`RclConfig`), of a reflector
    with a shell (`ShellSettings`), and these."""

    _free: ClassVar[frozenset[str]] = RclConfig._free | {
        "max_workers",
        "max_calls",
        "max_tokens",
        "max_cost",
        "max_seconds",
    }
    _later: ClassVar[frozenset[str]] = RclConfig._later | {"reflector_reads", *ShellSettings.model_fields}

    # Those with a published name, or that say more here than for an agent alone.
    environment: str = Field("", description="Name of the environment.", json_schema_extra=published("benchmark"))
    thinking_level: Thinking = Field(Thinking.DEFAULT, description="How long the models may think.")
    max_steps: int = Field(
        100, ge=1, description="Replies of the agent in one run.", json_schema_extra=published("max_remote_calls")
    )
    max_workers: int = Field(
        8, ge=1, description="Runs and calls at a time.", json_schema_extra=published("n_concurrent")
    )
    call_style: CallStyle = Field(
        CallStyle.NATIVE, description="How models call tools: native, or text for models that know none."
    )
    task_timeout: float = Field(900.0, gt=0, description="Wall seconds of one run, and of one reflection with a shell.")
    reflector_model: str = Field("", description="Reflects; the agent's model unless named.")
    reflector_reads: Reads = Field(
        Reads.PROMPT,
        description="How the reflector reads runs: prompt, cut to fit; shell, whole, with a read-only shell.",
    )
    mutator_model: str = Field("", description="Edits; the agent's model unless named.")
    optimization_state_model: str = Field("", description="Comments on the memory; the reflector's unless named.")
    trace_summarizer_model: str = Field("", description="Summarises runs; the reflector's unless named.")
    omit_mutator_traces: bool = Field(False, description="Show the mutator findings alone, without the runs.")
    summarize_traces: bool = Field(False, description="Show the mutator summaries of the runs.")
    split: str = Field("train", description="Split to learn from.")
    val_split: str = Field("", description="Split to validate on; by default validation, val or dev, if there is one.")
    train_pool: str = Field("", description="Learn from these tasks alone: a file with an id on each line.")
    seed_playbook: str = Field("", description="Playbook to start from, ours or a published one.")
    max_seconds: float = Field(0.0, ge=0, description="Wall seconds, of each start; 0 for no limit.")

    @classmethod
    def _rules(cls) -> tuple[Rule, ...]:
        return (*super()._rules(), *_RULES)


_NEEDS_MODEL = (
    *NEEDS_MODEL,
    "reflector_model",
    "reflector_reads",
    "mutator_model",
    "optimization_state_model",
    "trace_summarizer_model",
    "omit_mutator_traces",
    "summarize_traces",
    "operations",
    "leak_guard",
    "prices",
    "max_cost",
)
_RULES: tuple[Rule, ...] = (
    (_NEEDS_MODEL, lambda c: not c.simulated, "on ruleworld without a model"),
    (("omit_mutator_traces",), lambda c: not c.summarize_traces, "beside summarize_traces"),
    (tuple(ShellSettings.model_fields), lambda c: c.reflector_reads is Reads.SHELL, "without reflector_reads=shell"),
    (("max_cost",), lambda c: bool(c.prices), "without prices"),
    (("val_split",), lambda c: not c.skip_validation, "with skip_validation"),
    (("trace_summarizer_model",), lambda c: c.summarize_traces, "without summarize_traces"),
    (("optimization_state_model",), lambda c: c.use_optimization_state, "without use_optimization_state"),
)


def make_config(*layers: dict[str, Any]) -> RunConfig:
    """Later layers win. Raises `ConfigError`."""
    merged: dict[str, Any] = {}
    try:
        for layer in layers:
            merged |= RunConfig.resolved(layer)
        return RunConfig.model_validate(merged)
    except ValidationError as error:
        raise ConfigError("; ".join(_said(one) for one in error.errors())) from None
    except ValueError as error:
        raise ConfigError(str(error)) from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Settings of a file, by any of their names. Raises `ConfigError`."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no settings: lines of the form `name: value` are needed")
    return values


def write_yaml(path: Path, config: RunConfig) -> None:
    """All settings with their values."""
    with whole_file(path) as partial:
        partial.write_text(
            yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True), encoding="utf-8"
        )


def changed(old: RunConfig, new: RunConfig) -> list[str]:
    """Settings that differ and that a run cannot be continued without, each with both values."""
    before, after = old.binding(), new.binding()
    return [f"{name}: {before[name]!r} -> {after[name]!r}" for name in before if before[name] != after[name]]


def _said(error: Any) -> str:
    where = ".".join(map(str, error["loc"]))
    message = error["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
