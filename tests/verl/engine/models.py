"""Tiny random models, and the plain forward that every engine result is compared with."""

from __future__ import annotations

import torch
import transformers

SIZES = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "intermediate_size": 80,
    "vocab_size": 120,
    "max_position_embeddings": 256,
    # Wide weights: near-uniform distributions would hide a wrong position or a stale key.
    "initializer_range": 0.2,
}
MODELS = {
    "qwen3": lambda: transformers.Qwen3Config(**SIZES, head_dim=16, tie_word_embeddings=True),
    "qwen2": lambda: transformers.Qwen2Config(**SIZES, tie_word_embeddings=False),
    "llama": lambda: transformers.LlamaConfig(**SIZES, tie_word_embeddings=False, eos_token_id=None),
    "llama_biased": lambda: transformers.LlamaConfig(
        **SIZES, attention_bias=True, mlp_bias=True, tie_word_embeddings=True, eos_token_id=None
    ),
}


def make_model(name: str, seed: int = 0):
    """A random float32 model; norms and biases are random too, since ones and zeroes would hide their misuse."""
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(MODELS[name]()).eval()
    with torch.no_grad():
        for key, value in model.named_parameters():
            if "norm" in key or "bias" in key:
                value.add_(torch.randn_like(value) * 0.2)
    return model


@torch.no_grad()
def reference_log_probs(model, prompt, output, temperature: float = 1.0) -> torch.Tensor:
    """Log-probs of `output` after `prompt` by one uncached `transformers` forward."""
    logits = model(torch.tensor([[*prompt, *output]]), use_cache=False).logits[0, len(prompt) - 1 : -1].float()
    chosen = torch.tensor(output, dtype=torch.int64)[:, None]
    return torch.log_softmax(logits / temperature, -1).gather(-1, chosen)[:, 0]


def assert_true_to(model, prompt, generation, temperature: float = 1.0, atol: float = 1e-5) -> None:
    """The generation's log-probs are those of the model for its tokens."""
    expected = reference_log_probs(model, prompt, generation.token_ids, temperature)
    torch.testing.assert_close(torch.tensor(generation.log_probs), expected, atol=atol, rtol=0)
