"""Refuses a chat template or call format that no rollout could work with, before the first rollout."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig
from transformers import AutoConfig
from verl.utils.tokenizer.continuous_token_wiring import create_continuous_token_builder

from cleartrace_verl.token_builder import token_builder
from cleartrace_verl.tool_parsers import call_parser


def require_template(tokenizer: Any, config: DictConfig) -> None:
    """Build what `SaarAgentLoop` builds per rollout. Raises ValueError with advice where that cannot be done."""
    model, rollout = config.actor_rollout_ref.model, config.actor_rollout_ref.rollout
    options = dict(config.data.get("apply_chat_template_kwargs") or {})
    kind = AutoConfig.from_pretrained(model.path, trust_remote_code=model.get("trust_remote_code", False)).model_type
    given = create_continuous_token_builder(tokenizer, hf_model_type=kind, chat_template_kwargs=options)
    token_builder(given, rollout.custom.get("token_family"))
    call_parser(tokenizer, rollout.multi_turn.format, options)
