"""What goes into the engine and what comes out: plain frozen data, no torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class EngineError(RuntimeError):
    """The engine cannot serve: unusable weights, non-finite logits, a failed step, a closed engine."""


class UnsupportedModel(EngineError):
    """The checkpoint's architecture is outside what the lean forward implements."""


class InvalidRequest(ValueError):
    """The caller asked for something the engine does not do; the message names the field."""


class WeightMismatch(EngineError):
    """A weight update brought a missing, unexpected, repeated or wrongly shaped tensor."""


class Finish(str, Enum):
    """Why a request ended."""

    STOP = "stop"
    """An end-of-sequence or stop token was sampled; it is the last output token."""
    LENGTH = "length"
    """`max_tokens` or the context length was reached (also: no room for a single token)."""
    ABORTED = "aborted"
    """Ended from outside; the tokens sampled so far are returned."""


class StopReason(str, Enum):
    """The coarse form of `Finish` that a rollout interface reports."""

    COMPLETED = "completed"
    ABORTED = "aborted"


class Running(str, Enum):
    """What a weight update does with requests that are being decoded."""

    ERROR = "error"
    """Refuse the update."""
    FINISH = "finish"
    """Decode them to their end under the old weights; waiting requests get the new ones."""
    ABORT = "abort"
    """End them, and the waiting ones, with the tokens so far."""


class Gate(str, Enum):
    """What happens to requests while the engine is paused or not."""

    OPEN = "open"
    HOLD = "hold"
    """Nothing is decoded; new requests wait for `resume`."""
    REJECT = "reject"
    """Nothing is decoded; new requests end at once, aborted, with no tokens."""


@dataclass(frozen=True)
class EngineConfig:
    """Sizes and numeric choices of one engine.

    `max_slots`: sequences decoded at once. `max_context`: tokens of prompt plus output (None: the model's
    own limit, at most 4096). `prefill_chunk`: prompt tokens computed per step beside the decoding ones.
    `prefix_cache_bytes`: budget of the idle KV kept for reuse (0: off). `dtype`: "float32", "bfloat16" or
    "auto", which keeps the checkpoint's type unless that is bfloat16 and the CPU has no bfloat16
    instructions: such a CPU multiplies in float32 about ten times faster. `seed` is mixed into the sampling
    of requests that bring no seed. `eos_token_ids` None: those of the checkpoint. `num_threads` None: torch's.
    """

    max_slots: int = 32
    max_context: int | None = None
    prefill_chunk: int = 512
    prefix_cache_bytes: int = 1 << 30
    dtype: str = "auto"
    device: str = "cpu"
    seed: int = 0
    eos_token_ids: tuple[int, ...] | None = None
    num_threads: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_slots", "prefill_chunk"):
            if getattr(self, name) < 1:
                raise ValueError(f"EngineConfig.{name} must be at least 1, got {getattr(self, name)}")
        if self.max_context is not None and self.max_context < 2:
            raise ValueError(f"EngineConfig.max_context must be at least 2, got {self.max_context}")
        if self.prefix_cache_bytes < 0:
            raise ValueError(f"EngineConfig.prefix_cache_bytes must not be negative, got {self.prefix_cache_bytes}")
        if self.dtype not in ("auto", "float32", "bfloat16"):
            raise ValueError(f"EngineConfig.dtype must be auto, float32 or bfloat16, got {self.dtype!r}")


@dataclass(frozen=True)
class Sampling:
    """How one request is sampled.

    `temperature` 0 is argmax. `top_p` 1 and `top_k` -1 or 0 are off. `max_tokens` None: the context left.
    `seed` None: derived from the engine's seed and the order of arrival. `repetition_penalty` must be 1.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = -1
    max_tokens: int | None = None
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    seed: int | None = None
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        checks = (
            ("temperature", self.temperature >= 0, "be 0 (argmax) or positive"),
            ("top_p", 0 < self.top_p <= 1, "lie in (0, 1]"),
            ("top_k", self.top_k >= -1, "be -1 or 0 (off) or positive"),
            ("max_tokens", self.max_tokens is None or self.max_tokens >= 0, "be None or not negative"),
            ("repetition_penalty", self.repetition_penalty == 1.0, "be 1.0: the log-probs would be of another policy"),
        )
        for name, ok, rule in checks:
            if not ok:
                raise InvalidRequest(f"Sampling.{name} must {rule}, got {getattr(self, name)}")

    @classmethod
    def from_dict(cls, params: dict) -> Sampling:
        """Read a rollout's `sampling_params`; `max_new_tokens` means `max_tokens`, `logprobs` is always on.

        Raises InvalidRequest for a key that the engine does not know.
        """
        known = dict(params)
        known.pop("logprobs", None)
        if "max_new_tokens" in known:
            limit = known.pop("max_new_tokens")
            if known.setdefault("max_tokens", limit) != limit:
                raise InvalidRequest(f"max_tokens={known['max_tokens']} and max_new_tokens={limit} disagree: send one")
        unknown = sorted(set(known) - set(cls.__dataclass_fields__))
        if unknown:
            raise InvalidRequest(f"unknown sampling parameter {unknown}; known: {sorted(cls.__dataclass_fields__)}")
        known["stop_token_ids"] = tuple(known.get("stop_token_ids") or ())
        if known.get("top_k") is None:
            known.pop("top_k", None)
        return cls(**known)


@dataclass(frozen=True)
class Generation:
    """One finished request.

    `log_probs[i]` is the float32 log-softmax of logits / temperature (temperature 1 for argmax) at `token_ids[i]`,
    before any top-p or top-k. `num_cached_tokens`: prompt tokens whose KV was reused. `weights_version`: the
    version of the weights that sampled every token here.
    """

    request_id: str
    token_ids: tuple[int, ...]
    log_probs: tuple[float, ...]
    finish: Finish
    num_cached_tokens: int
    weights_version: int

    @property
    def stop_reason(self) -> StopReason:
        return StopReason.ABORTED if self.finish is Finish.ABORTED else StopReason.COMPLETED


@dataclass(frozen=True)
class EngineStats:
    """Counters since the engine was made; token counts are cumulative, the rest is the present state."""

    running: int
    waiting: int
    steps: int
    decoded_tokens: int
    prefilled_tokens: int
    cached_tokens: int
    prefix_entries: int
    prefix_bytes: int
