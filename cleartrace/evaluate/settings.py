"""What an offline run is asked to do: the boundary between the command line and the veRL layer."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cleartrace.evaluate.names import API_KEY_VARIABLE, PromptAs, Rollback
from cleartrace.evaluate.outcome import Arm


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PolicySettings(_Settings):
    """Who answers: a local model folder in this process, or an OpenAI-compatible endpoint with its tokenizer here."""

    model: Path | None = None
    device: str = "cpu"
    dtype: str = "auto"
    endpoint: str | None = None
    endpoint_model: str | None = None
    """Name of the model there; None takes the only one that is served."""
    tokenizer: Path | None = None
    prompt_as: PromptAs = PromptAs.IDS
    api_key_env: str = API_KEY_VARIABLE
    """Name of the environment variable that holds the key, never the key."""
    request_timeout_s: float = Field(default=1800.0, gt=0)
    patience_s: float = Field(default=300.0, ge=0)
    """How long an endpoint that fails is tried again, per request."""

    @model_validator(mode="after")
    def _one_source(self) -> PolicySettings:
        if (self.model is None) == (self.endpoint is None):
            raise ValueError("give either --model DIR or --endpoint URL")
        if self.endpoint is not None and self.tokenizer is None:
            raise ValueError("--endpoint needs --tokenizer DIR: the folder with the model's tokenizer files")
        return self

    @property
    def tokenizer_dir(self) -> Path:
        return self.tokenizer or self.model or Path()


class JudgeSettings(_Settings):
    """Where tool calls and programs run. Without a URL a judge is started for the run."""

    url: str | None = None
    workers: int = Field(default=2, ge=1)
    time_limit_s: int = Field(default=4, ge=1)


class RunSettings(_Settings):
    """n rollouts of each row of `data`.

    `recipe` and `overrides` are those of `cleartrace train`, so that a policy is run with the options it was trained
    with. Numbers left None come from the experiment named in `overrides`, and without one from the published
    evaluation: 4096 + 20480 tokens, 16 turns, temperature 1, top-p 0.6.
    """

    data: tuple[Path, ...] = Field(min_length=1)
    out: Path
    policy: PolicySettings
    judge: JudgeSettings = JudgeSettings()
    n: int = Field(ge=1)
    limit: int | None = Field(default=None, ge=1)
    concurrency: int = Field(default=16, ge=1)
    seed: int = 0
    temperature: float | None = Field(default=None, ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    prompt_tokens: int | None = Field(default=None, ge=1)
    response_tokens: int | None = Field(default=None, ge=1)
    max_turns: int | None = Field(default=None, ge=1)
    infra_retries: int = Field(default=2, ge=0)
    """Further starts of a rollout that the service or the engine spoiled."""
    retry_lost: bool = False
    """Start again what an earlier start of the same run could not finish or grade."""
    recipe: Path | None = None
    overrides: tuple[str, ...] = ()


class EvalSettings(RunSettings):
    """`cleartrace eval`."""

    rollback: Rollback = Rollback.BOTH
    trajectories: bool = True
    """Write `trajectories.jsonl`, with every token, beside the outcomes."""

    @property
    def arms(self) -> tuple[Arm, ...]:
        return ("off", "on") if self.rollback is Rollback.BOTH else (self.rollback.value,)


class PassrateSettings(RunSettings):
    """`cleartrace passrate`: no rollback, and the sampling of training (top-p 1) where no number is given."""


class ServeSettings(_Settings):
    """`cleartrace serve`."""

    model: Path
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    name: str | None = None
    device: str = "cpu"
    dtype: str = "auto"
    max_context: int | None = None
    max_slots: int = Field(default=32, ge=1)
    tool_format: str = "hermes"
