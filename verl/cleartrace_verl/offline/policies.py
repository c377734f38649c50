"""The policy that a run asks for."""

from __future__ import annotations

from omegaconf import DictConfig
from transformers import AutoTokenizer

from cleartrace.evaluate.settings import RunSettings
from cleartrace_verl.offline.completions import CompletionsPolicy
from cleartrace_verl.offline.config import context_tokens
from cleartrace_verl.offline.policy import EmbeddedPolicy, Policy

MAX_SLOTS = 64


def make_policy(settings: RunSettings, config: DictConfig) -> Policy:
    """An embedded engine or an endpoint, neither loaded nor connected yet.

    Raises ConfigError for a folder without a model, OSError for one without a tokenizer.
    """
    asked = settings.policy
    if asked.model is None:
        tokenizer = AutoTokenizer.from_pretrained(asked.tokenizer_dir)
        return CompletionsPolicy(asked, tokenizer, connections=settings.concurrency)
    engine = {
        "device": asked.device,
        "dtype": asked.dtype,
        "seed": settings.seed,
        "max_context": context_tokens(config),
        "max_slots": min(settings.concurrency, MAX_SLOTS),
    }
    data = config.data
    limits = {
        "prompt_length": int(data.max_prompt_length),
        "response_length": int(data.max_response_length),
        "ignore_eos": 0,
    }
    return EmbeddedPolicy(asked.model, engine, limits)
