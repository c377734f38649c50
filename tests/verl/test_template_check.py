"""What no rollout could work with is refused before the first one."""

from __future__ import annotations

import copy

import pytest
from omegaconf import OmegaConf

from cleartrace_verl.template_check import require_template
from tests.verl.rollouts import POLICY, config_with, tokenizer


def config(**multi_turn):
    made = config_with(multi_turn=multi_turn)
    made.actor_rollout_ref.model = OmegaConf.create({"path": str(POLICY)})
    return made


def test_the_shipped_policy_passes():
    require_template(tokenizer(), config())


def test_an_unknown_call_format_names_those_that_are_read():
    with pytest.raises(ValueError, match="hermes"):
        require_template(tokenizer(), config(format="nothing"))


def test_a_template_that_shows_no_tool_answers_is_refused():
    plain = copy.deepcopy(tokenizer())
    plain.chat_template = "{% for m in messages if m.role != 'tool' %}{{ m.content }}{% endfor %}"
    with pytest.raises(ValueError):
        require_template(plain, config())
