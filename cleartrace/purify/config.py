"""Configuration of SAAR: every number of the method is a key, validated, and unknown keys are errors (D24)."""

from __future__ import annotations

import difflib
from enum import Enum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from cleartrace.losses.options import NegativesConfig

_HINT_SAME = (
    "\n\nNote: {attempts} attempts at this step ended with {error_class}. "
    "A different method may work better than another small change."
)
_HINT_NEUTRAL = (
    "\n\nNote: {attempts} attempts at this step failed, for different reasons. A different method may work better."
)


class Policy(str, Enum):
    """What a failed turn and its regeneration become (cleaner.md section 4)."""

    SIMILARITY = "similarity"
    """Graft the new call when the codes are similar, else replace the turn. As published."""
    REPLACE = "replace"
    """The new turn replaces the failed one as a whole."""
    APPEND = "append"
    """Nothing is rewritten: the failure stays with its error, and the model goes on behind it."""
    IMPORTANCE = "importance"
    """Splice by `inner_policy` when the new turn is likely without the error too, else append it."""
    TOLERATE_FIRST = "tolerate_first"
    """As `append` for the first `tolerate` failures in a row, then `inner_policy`."""


INNER_POLICIES = {
    Policy.IMPORTANCE: (Policy.REPLACE, Policy.SIMILARITY),
    Policy.TOLERATE_FIRST: (Policy.REPLACE, Policy.SIMILARITY, Policy.IMPORTANCE),
}


class GateForm(str, Enum):
    """How per-token log ratios D_t become one number G, that of `importance` (cleaner.md section 4.4)."""

    SUM = "sum"
    """exp(sum D_t), as the authors' later branch has it; close to 0 for any long turn."""
    MEAN = "mean"
    """exp(mean D_t): normalised by length."""
    QUANTILE = "quantile"
    """exp of the `gate_quantile` of D_t: the least likely tokens decide."""


class Correction(str, Enum):
    """What the loss makes of a spliced token, whose context is not the one it was sampled in (section 4.8).

    w_t = exp(log pi_old(x_t | where it stands) - log pi_b(x_t | where it was sampled)).
    """

    NONE = "none"
    """Nothing, as published: its ratio starts at 1."""
    MASK = "mask"
    """Not trained; it stays context for what follows."""
    TOKEN_IS = "token_is"
    """Weighted by min(w_t, `correction_cap`)."""
    ICEPOP = "icepop"
    """Weighted by w_t inside `correction_bounds`, by 0 outside."""
    REJECT = "reject"
    """Not trained where exp(mean log w_t) of its span lies outside `correction_bounds`."""


class OnExhaustion(str, Enum):
    """What a failed repair switches off."""

    POSITION = "position"
    TRAJECTORY = "trajectory"


class ProbabilityScope(str, Enum):
    """Who shares one draw of the rollback coin."""

    ROLLOUT = "rollout"
    GROUP = "group"


class Basis(str, Enum):
    """What two attempts are compared by."""

    CODE = "code"
    WRAPPED = "wrapped"
    TOKENS = "tokens"


class CompareTo(str, Enum):
    """Which failed attempt the new one is compared with."""

    LATEST = "latest"
    FIRST = "first"


class MaskedPart(str, Enum):
    """Which part of a failed turn that stays is not trained."""

    NONE = "none"
    CALL = "call"
    TURN = "turn"


class RetryContext(str, Enum):
    """Which failed attempts a regeneration sees."""

    LATEST = "latest"
    ALL = "all"


class SaarConfig(BaseModel):
    """Options of similarity-aware adaptive rollback. `published()` gives the published values."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    enable: bool = False
    """Master switch."""
    policy: Policy = Policy.SIMILARITY
    """Splice policy, by name."""
    inner_policy: Policy = Policy.REPLACE
    """How `importance` and `tolerate_first` splice when they do."""
    max_retries: int = Field(default=3, ge=0)
    """K: regenerations per position, so a call has at most K + 1 attempts."""
    max_total_retries: int = Field(default=30, ge=0)
    """Regenerations per trajectory. Successful calls do not count (D13)."""
    on_exhaustion: OnExhaustion = OnExhaustion.POSITION
    """Whether a failed repair ends rollback at its position only, or for the rest of the trajectory."""
    probability: float = Field(default=1.0, ge=0.0, le=1.0)
    """p: share of training rollouts (or groups) that may roll back. Evaluation is never random."""
    probability_scope: ProbabilityScope = ProbabilityScope.ROLLOUT
    """`group` draws once for all rollouts of one prompt, so a group baseline compares like with like (D21)."""
    seed: int = 0
    """Seed of the coin."""
    similarity_threshold: float = Field(default=0.5, ge=0.0, le=1.0)
    """Gamma: at or above it the new call is grafted, below it the turn is replaced."""
    basis: Basis = Basis.CODE
    """Compare normalised source code, the decoded call with its wrapping, or the token ids of the call."""
    autojunk: bool = False
    """difflib's popularity heuristic; it changes ratios from 200 characters on (D3)."""
    symmetric: bool = True
    """Average the ratio over both argument orders."""
    compare_to: CompareTo = CompareTo.LATEST
    """Compare with the latest (spliced) attempt or with the first one."""
    gate_form: GateForm = GateForm.MEAN
    """`importance`: how the log ratios of a turn's tokens are aggregated."""
    gate_threshold: float = Field(default=0.5, gt=0.0)
    """`importance`: tau; at or above it the new turn is spliced, below it appended. Not tuned."""
    gate_quantile: float = Field(default=0.05, ge=0.0, le=1.0)
    """`importance` with `gate_form: quantile`: which quantile."""
    gate_clip: float | None = Field(default=None, gt=0.0)
    """`importance`: bound on the size of each token's log ratio before aggregation; null: none."""
    tolerate: int = Field(default=1, ge=0)
    """`tolerate_first`: failures in a row that are not rolled back."""
    mask_failed: MaskedPart = MaskedPart.NONE
    """What is left out of the loss when the policy itself lets a failed turn stay."""
    exhausted_mask: MaskedPart = MaskedPart.NONE
    """What is left out of the loss when a repair failed and the failed turn stays."""
    drop_exhausted: bool = False
    """Leave a training rollout in which a repair failed out of the loss and out of its group's baseline."""
    correction: Correction = Correction.NONE
    """Treatment of spliced tokens in the loss."""
    correction_cap: float = Field(default=2.0, gt=0.0)
    """`correction: token_is`: largest weight."""
    correction_bounds: tuple[float, float] = (0.5, 2.0)
    """`correction: icepop | reject`: smallest and largest weight."""
    score_spliced: bool = False
    """Score spliced tokens where they stand through the rollout engine: one prefill per rollout that has any."""
    retry_context: RetryContext = RetryContext.LATEST
    """Show only the latest failed attempt to a regeneration, or all of the position."""
    min_budget_tokens: int = Field(default=64, ge=1)
    """Below this many tokens left for generation no retry is made (D12)."""
    hint_after: int = Field(default=2, ge=1)
    """Retries at a position from which the final error message carries a hint."""
    hint_text: str = _HINT_SAME
    """Hint when all attempts failed alike; may use {attempts} and {error_class}. Empty: no hint."""
    hint_text_neutral: str = _HINT_NEUTRAL
    """Hint when the failures differ; may use {attempts}. Empty: no hint."""
    retry_on: tuple[str, ...] = ()
    """Error classes (`NameError`) or statuses (`program_error`, `timeout`, `format_error`) that trigger a rollback;
    empty: all of the model's. Failures of the infrastructure never do."""
    error_policy: dict[str, int] = Field(default_factory=dict)
    """Error class (`NameError`, `timeout`, `format_error`) to its own K; 0 never retries it (D19)."""
    negatives: NegativesConfig = NegativesConfig()
    """What is learned from failed calls and their repairs; off by default."""

    @classmethod
    def published(cls, **overrides: Any) -> SaarConfig:
        """The values of the published implementation, with rollback on.

        Its defects are not restored: the total budget counts retries, infrastructure errors never trigger,
        the coin is seeded, and the hint names an error type only when the types agree.
        """
        values: dict[str, Any] = {
            "enable": True,
            "on_exhaustion": OnExhaustion.TRAJECTORY,
            "basis": Basis.WRAPPED,
            "autojunk": True,
            "symmetric": False,
            "min_budget_tokens": 1,
        }
        return cls(**{**values, **overrides})

    def retries_for(self, error_class: str, status: str) -> int:
        """K of one failure, by its class and the status of its call (`ToolStatus`); 0 when neither may trigger."""
        if self.retry_on and error_class not in self.retry_on and status not in self.retry_on:
            return 0
        return self.error_policy.get(error_class, self.error_policy.get(status, self.max_retries))

    @property
    def splices_by(self) -> Policy:
        """The policy that splices a regenerated turn: the inner one of `tolerate_first`."""
        return self.inner_policy if self.policy is Policy.TOLERATE_FIRST else self.policy

    @property
    def gated_by(self) -> Policy:
        """The policy whose splice `importance` judges; `replace` where `importance` is itself the inner one."""
        return self.inner_policy if self.policy is Policy.IMPORTANCE else Policy.REPLACE

    def hint(self, error_classes: tuple[str, ...]) -> str | None:
        """Hint after failures with these classes, one per failed attempt (D23)."""
        alike = len(set(error_classes)) == 1
        text = self.hint_text if alike else self.hint_text_neutral
        return text.format(attempts=len(error_classes), error_class=error_classes[0]) if text else None

    @model_validator(mode="before")
    @classmethod
    def _name_nearest_key(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for key in data:
                if key not in cls.model_fields:
                    near = difflib.get_close_matches(str(key), cls.model_fields, n=1, cutoff=0.0)
                    raise ValueError(f"unknown SAAR option {key!r}; the nearest known one is {near[0]!r}")
        return data

    @field_validator("policy", "inner_policy", mode="before")
    @classmethod
    def _name_policies(cls, value: Any) -> Any:
        known = [policy.value for policy in Policy]
        if value not in known:
            raise ValueError(f"unknown splice policy {value!r}; available: {', '.join(known)}")
        return value

    @field_validator("correction_bounds")
    @classmethod
    def _check_bounds(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= value[0] <= 1 <= value[1]:
            raise ValueError(f"correction_bounds must enclose 1, the weight of a token that is on policy; got {value}")
        return value

    @model_validator(mode="after")
    def _check_combination(self) -> SaarConfig:
        inner = INNER_POLICIES.get(self.policy)
        if inner and self.inner_policy not in inner:
            names = ", ".join(policy.value for policy in inner)
            raise ValueError(
                f"inner_policy of {self.policy.value!r} is one of {names}; got {self.inner_policy.value!r}"
            )
        if self.splices_by is Policy.IMPORTANCE and self.retry_context is RetryContext.ALL:
            raise ValueError(
                "policy 'importance' appends a turn behind the one failure it was shown: use retry_context 'latest'"
            )
        return self

    @field_validator("error_policy")
    @classmethod
    def _check_retries(cls, value: dict[str, int]) -> dict[str, int]:
        if bad := {name: k for name, k in value.items() if k < 0}:
            raise ValueError(f"error_policy needs retry counts >= 0, got {bad}")
        return value

    @field_validator("hint_text", "hint_text_neutral")
    @classmethod
    def _check_placeholders(cls, value: str) -> str:
        try:
            value.format(attempts=2, error_class="NameError")
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise ValueError(f"a hint may use {{attempts}} and {{error_class}} only: {error!r}") from error
        return value
