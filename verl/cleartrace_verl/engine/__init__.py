"""Embedded generation engine: small causal language models on CPU or one GPU, weights swapped in place.

Imports torch and transformers only. `load_engine` or `build_engine` make an `Engine`; `AsyncEngine` serves one.
Qwen2.5-VL and Qwen3-VL run through their own modules (`VisionEngine`): correct, and one request at a time.
It does not protect against a model too large for one device, and it shards nothing.
"""

from __future__ import annotations

from .async_engine import AsyncEngine
from .config import (
    EngineConfig,
    EngineError,
    EngineStats,
    Finish,
    Gate,
    Generation,
    InvalidRequest,
    Running,
    Sampling,
    StopReason,
    UnsupportedModel,
    WeightMismatch,
)
from .engine import Engine
from .load import build_engine, load_engine
from .vision import VisionEngine

__all__ = [
    "AsyncEngine",
    "Engine",
    "EngineConfig",
    "EngineError",
    "EngineStats",
    "Finish",
    "Gate",
    "Generation",
    "InvalidRequest",
    "Running",
    "Sampling",
    "StopReason",
    "UnsupportedModel",
    "VisionEngine",
    "WeightMismatch",
    "build_engine",
    "load_engine",
]
