"""Configuration of negative samples: `actor_rollout_ref.rollout.custom.saar.negatives.*`. Off by default."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from enum import Enum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Mode(str, Enum):
    """What is learned from a failed call and the call that repaired it (cleaner.md sections 7.3 and 7.4)."""

    OFF = "off"
    """Nothing; no row is added."""
    LEGACY = "legacy"
    """The published shift of advantages, its asymmetric cap included."""
    CORRECTED = "corrected"
    """The same shift with equal totals on both calls, whatever their lengths (D30)."""
    DPO = "dpo"
    """A DPO loss on the two calls, in rows of their own."""

    @property
    def shifts(self) -> bool:
        """True for the modes that move the advantage of the good call in the rollout itself."""
        return self in (Mode.LEGACY, Mode.CORRECTED)


class Cap(str, Enum):
    """What `cap` bounds in `corrected` (D31)."""

    ABSOLUTE = "absolute"
    """The shift of a token."""
    RATIO = "ratio"
    """The shift of a token divided by the size of the rollout's advantage."""


class Reference(str, Enum):
    """The reference policy of `dpo`."""

    STEP = "step"
    """The policy at the start of the step."""
    MODEL = "model"
    """veRL's reference policy; there is one with `use_kl_loss` or `use_kl_in_reward`."""


class Span(str, Enum):
    """Which tokens of the two turns are compared. A turn that cannot be split counts as a whole."""

    CALL = "call"
    """The calls, each behind its own reasoning."""
    TURN = "turn"
    """The calls where both turns have the same reasoning, else the whole turns: what follows one shared context."""


class FailedAttempt(str, Enum):
    """Which failed attempt of a repaired position is the negative."""

    LAST = "last"
    """The one before the success, as it stood in the trajectory; a regeneration saw an error there that is gone."""
    FIRST = "first"
    """The one that was sampled in exactly this context."""


class NegativesConfig(BaseModel):
    """Options of negative samples. Defaults of `beta`, `cap` and `max_per_group` are the published ones."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    mode: Mode = Mode.OFF
    """What is learned from a failed call and its repair."""
    max_per_group: int = Field(default=1, ge=1)
    """Pairs per prompt, over all its rollouts (D32)."""
    max_per_step: int | None = Field(default=None, ge=1)
    """Pairs per step; null: no limit but that of each prompt."""
    beta: float = Field(default=0.1, gt=0.0)
    """Slope of the preference."""
    cap: float = Field(default=0.1, gt=0.0)
    """`legacy`, `corrected`: bound on the shift of one token."""
    cap_is: Cap = Cap.ABSOLUTE
    """`corrected`: whether `cap` is a size or a share of the rollout's advantage."""
    weight: float = Field(default=1.0, gt=0.0)
    """`dpo`: loss = policy loss + weight * mean loss of the step's pairs."""
    length_normalised: bool = False
    """`dpo`: mean log-prob per token of a call instead of the sum."""
    reference: Reference = Reference.STEP
    """`dpo`: reference policy."""
    span: Span = Span.CALL
    """Tokens that are compared."""
    attempt: FailedAttempt = FailedAttempt.LAST
    """Failed attempt that is the negative."""
    count_tokens: bool = False
    """`legacy`, `corrected`: count tokens of failed calls in the denominator of the loss, as published (D34)."""

    @model_validator(mode="before")
    @classmethod
    def _name_nearest_key(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):  # a Mapping from OmegaConf is no dict, which pydantic wants
            return data
        for key in data:
            if key not in cls.model_fields:
                near = difflib.get_close_matches(str(key), cls.model_fields, n=1, cutoff=0.0)
                raise ValueError(f"unknown option negatives.{key}; the nearest known one is {near[0]!r}")
        return dict(data)

    @model_validator(mode="after")
    def _check_combination(self) -> NegativesConfig:
        if self.count_tokens and self.mode is Mode.DPO:
            raise ValueError(
                "negatives.count_tokens belongs to the shifts: the weight of `dpo` is per pair, not per token"
            )
        if self.cap_is is Cap.RATIO and self.mode is Mode.LEGACY:
            raise ValueError("negatives.cap_is=ratio needs mode `corrected`: the published cap is absolute")
        return self
