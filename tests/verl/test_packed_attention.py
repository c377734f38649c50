"""Packed rows give what each sequence gives alone."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen3Config

from cleartrace_verl import packed_attention
from cleartrace_verl.packed_attention import sequence_lengths

SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
}
LENGTHS = (5, 1, 9, 9)


@pytest.fixture(params=[Qwen3Config, LlamaConfig])
def model(request):
    packed_attention.register()
    torch.manual_seed(0)
    config = request.param(**SIZES)
    return AutoModelForCausalLM.from_config(config, attn_implementation=packed_attention.NAME, dtype=torch.float64)


def test_lengths_are_read_from_positions():
    positions = torch.cat([torch.arange(n) for n in LENGTHS])
    assert tuple(sequence_lengths(positions).tolist()) == LENGTHS
    assert sequence_lengths(torch.arange(3, 7)).tolist() == [4]


def test_a_packed_row_equals_its_sequences_alone(model):
    sequences = [torch.randint(0, 64, (n,)) for n in LENGTHS]
    positions = torch.cat([torch.arange(n) for n in LENGTHS])[None]
    packed = model(input_ids=torch.cat(sequences)[None], position_ids=positions, use_cache=False).logits[0]
    packed.square().sum().backward()
    gradient = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    model.config._attn_implementation = "sdpa"
    alone = torch.cat([model(input_ids=s[None], use_cache=False).logits[0] for s in sequences])
    alone.square().sum().backward()
    torch.testing.assert_close(packed, alone)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(gradient[name], parameter.grad)


def test_padded_and_cached_inputs_go_to_sdpa(model):
    ids = torch.randint(0, 64, (2, 6))
    mask = torch.tensor([[0, 0, 1, 1, 1, 1], [1] * 6])
    generated = model.generate(ids, attention_mask=mask, max_new_tokens=4, do_sample=False, pad_token_id=0)
    model.config._attn_implementation = "sdpa"
    expected = model.generate(ids, attention_mask=mask, max_new_tokens=4, do_sample=False, pad_token_id=0)
    assert torch.equal(generated, expected)


def test_a_row_without_positions_is_refused(model):
    query = torch.zeros(1, 4, 3, 8)
    with pytest.raises(ValueError, match="position_ids"):
        packed_attention.packed_attention(model.model.layers[0].self_attn, query, query, query, None)
