"""The LoRA cold start on a small stand-in of the same architecture."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from recipe.cleaner.coldstart.batches import pad
from recipe.cleaner.coldstart.demonstrations import ErrorRates
from recipe.cleaner.coldstart.losses import weighted_loss
from recipe.cleaner.coldstart.tokenizer import PAD, token_id
from recipe.cleaner.coldstart.train_smollm2_lora import demonstrations, make_adapter
from recipe.cleaner.coldstart.train_tiny import make_tokenizer


def test_only_the_adapter_learns() -> None:
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        tie_word_embeddings=True,
    )
    model = make_adapter(LlamaForCausalLM(config), rank=4)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert trained and all("lora_" in name for name in trained)
    assert len(trained) == 2 * 7 * 2, "two factors for each of seven linear layers in two blocks"
    examples = demonstrations(tokenizer, 12, 0, ErrorRates())
    assert all(set(example.weights) == {0.0, 1.0} for example in examples)
    ids, weights = pad(examples[:4], token_id(tokenizer, PAD))
    optimizer = torch.optim.AdamW(trained.values(), lr=1e-2)
    losses = []
    for _ in range(8):
        loss = weighted_loss(model(input_ids=ids).logits, ids, weights)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_the_shipped_adapter_is_the_one_of_its_card() -> None:
    folder = Path(__file__).resolve().parents[3] / "dataset/smollm2"
    digest = hashlib.sha256((folder / "adapter/adapter_model.safetensors").read_bytes()).hexdigest()
    assert f"`{digest}`" in (folder / "CARD.md").read_text()
    config = json.loads((folder / "adapter/adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (16, 32)
