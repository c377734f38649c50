"""Fixtures of the engine tests."""

from __future__ import annotations

import pytest
import torch

from cleartrace_verl.engine import Engine, EngineConfig, build_engine
from tests.verl.engine.models import make_model


@pytest.fixture(scope="session")
def model():
    return make_model("qwen3")


@pytest.fixture
def engine(model) -> Engine:
    return build_engine(model, EngineConfig(max_slots=4, prefill_chunk=16))


@pytest.fixture
def prompts() -> list[list[int]]:
    """Ten ragged prompts of 1 to 60 tokens."""
    generator = torch.Generator().manual_seed(5)
    lengths = (1, 2, 7, 16, 17, 31, 33, 40, 55, 60)
    return [torch.randint(0, 120, (n,), generator=generator).tolist() for n in lengths]
