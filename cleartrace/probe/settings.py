"""What `cleartrace probe` is asked to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cleartrace.evaluate.names import API_KEY_VARIABLE
from cleartrace.pairs.prompt import LETTERS
from cleartrace.probe.names import Mode


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSettings(_Settings):
    """Who is asked: a Hugging Face folder in this process, or an OpenAI-compatible endpoint."""

    model: Path | None = None
    device: str = "cpu"
    dtype: str = Field(default="auto", pattern="^(auto|float32|float16|bfloat16)$")
    batch_tokens: int = Field(default=16384, ge=1)
    max_tokens: int | None = Field(default=None, ge=1)
    """Longest prompt; None takes the model's own limit."""
    answer_prefix: str = "auto"
    trust_remote_code: bool = False
    """Run code that lies in the model folder."""
    chat_template_kwargs: dict[str, Any] = {}
    mm_processor_kwargs: dict[str, Any] = {}
    endpoint: str | None = None
    endpoint_model: str | None = None
    """Name of the model there; None takes the only one that is served."""
    api_key_env: str = API_KEY_VARIABLE
    """Name of the environment variable that holds the key, never the key."""
    request_timeout_s: float = Field(default=120.0, gt=0)
    patience_s: float = Field(default=300.0, ge=0)
    concurrency: int = Field(default=8, ge=1)
    extra: dict[str, Any] = {}
    """Fields of each request, over ours; null takes one out."""

    @model_validator(mode="after")
    def _one_source(self) -> ModelSettings:
        if (self.model is None) == (self.endpoint is None):
            raise ValueError("give either --model DIR or --endpoint URL")
        return self


class ProbeSettings(_Settings):
    """A probe of one model on up to `per_kind` pairs of each kind in `data`."""

    data: tuple[Path, ...] = Field(min_length=1)
    out: Path
    model: ModelSettings
    training: tuple[Path, ...] = ()
    """Pairs that the model was trained on; pairs of their groups are not asked."""
    manifest: Path | None = None
    """Ask exactly the pairs of this earlier probe."""
    mode: Mode = Mode.LOGIT
    per_kind: int = Field(default=200, ge=1)
    seed: int = 0
    controls: bool = True
    letters: tuple[str, str] = LETTERS
    include_issue: bool = False
    """Show the issue inside trajectories, which gives the answer away; for audits."""
    answer_tokens: int = Field(default=16, ge=1)
    """Room for the answer in mode `generate`."""

    @model_validator(mode="after")
    def _letters_differ(self) -> ProbeSettings:
        if self.letters[0] == self.letters[1] or not all(self.letters):
            raise ValueError("the two letters must be two different ones")
        return self
