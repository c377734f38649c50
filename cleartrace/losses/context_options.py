"""Options of ContextRL: the group `actor_rollout_ref.context_rl`."""

from __future__ import annotations

from enum import Enum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cleartrace.pairs.order import OrderPolicy


class ClipMode(str, Enum):
    """Where the margin is clipped, and so where the gradient ends."""

    TWO_SIDED = "two_sided"
    """On both sides, as published: a pair that the model gets very wrong teaches nothing."""
    UPPER = "upper"
    """Above only: solved pairs stop pushing."""
    STE = "ste"
    """The value of `two_sided` with the gradient of `upper`."""
    NONE = "none"


class LogitsPath(str, Enum):
    """How the logits at the answer position are had from veRL's engine; all give the same margins."""

    AUTO = "auto"
    """`pair` with fused kernels, `processor` with sequence parallelism, else `lm_head`."""
    LM_HEAD = "lm_head"
    """Only the answer rows pass the LM head (W7)."""
    PROCESSOR = "processor"
    """All rows do, and two logits are kept."""
    PAIR = "pair"
    """Log-probs of the prompt with either letter: two rows per prompt, for engines that give no logits."""


class ContextConfig(BaseModel):
    """Defaults are the paper's for Qwen2.5-VL-7B and Klear-8B."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enable: bool = False
    coef: float = Field(0.005, ge=0)
    """lambda."""
    clip: float = Field(5.0, gt=0)
    """c, in logits."""
    clip_mode: ClipMode = ClipMode.TWO_SIDED
    label_smoothing: float = Field(0.0, ge=0, lt=0.5)
    debias: bool = False
    """Average the margins of both orders; needs `order: both`."""

    train_files: tuple[str, ...] = ()
    val_files: tuple[str, ...] = ()
    """Held-out pairs, scored whenever held-out tasks are (W16)."""
    val_pairs: int = Field(200, ge=1)
    batch_size: int = Field(32, ge=1)
    """Pairs per optimizer step over all ranks."""
    seed: int = 42
    order: OrderPolicy = OrderPolicy.RANDOM
    letters: tuple[str, str] = ("A", "B")
    letter_variants: bool = False
    """Count a letter with and without a space before it as one."""
    answer_prefix: str = "auto"
    """What the answer already begins with: `auto` closes an open thought, `none` is nothing, else the text itself."""
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)
    mm_processor_kwargs: dict[str, Any] = Field(default_factory=dict)
    include_issue: bool = False
    """Show the issue text inside trajectories; it nearly gives the answer away, so audit such pairs."""
    max_prompt_length: int = Field(32768, ge=1)
    overlong: Literal["drop", "error"] = "drop"
    """What happens to pairs above `max_prompt_length`. They are never cut (W14)."""

    logits_path: LogitsPath = LogitsPath.AUTO
    max_token_len_per_gpu: int | None = Field(None, ge=1)
    """Tokens of a micro-batch; null takes actor.ppo_max_token_len_per_gpu."""
    every_n_steps: int = Field(1, ge=1)
    warmup_steps: int = Field(0, ge=0)
    """Optimizer steps over which lambda grows from 0."""
    max_grad_ratio: float | None = Field(None, gt=0)
    """Upper limit of the norm of the context gradient over that of the policy gradient."""
    skip_when_rl_zero: bool = False
    """No context update where the policy gradient is zero: Adam would make it a full-size step."""
    grad_ratio_every: int = Field(0, ge=0)
    """Measure the gradient ratio on every n-th optimizer step; 0: only where another option needs it."""

    @model_validator(mode="after")
    def _consistent(self) -> ContextConfig:
        if self.debias and self.order is not OrderPolicy.BOTH:
            raise ValueError(f"debias averages both orders of a pair: set order=both, got {self.order.value}")
        if self.letters[0] == self.letters[1]:
            raise ValueError(f"letters must differ, got {list(self.letters)}")
        if self.active and not self.train_files:
            raise ValueError("train_files is empty: name the JSONL or parquet files with contrastive pairs")
        return self

    @property
    def active(self) -> bool:
        """Whether anything is added to GRPO; with `coef` 0 the stock worker runs."""
        return self.enable and self.coef > 0

    @property
    def measures_gradients(self) -> bool:
        """Whether every step needs both gradient norms."""
        return self.max_grad_ratio is not None or self.skip_when_rl_zero

    def coef_at(self, step: int) -> float:
        """lambda at optimizer step `step`, counted from 0 over the whole run."""
        return self.coef * min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else self.coef
