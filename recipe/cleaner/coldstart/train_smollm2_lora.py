"""Teach SmolLM2-135M-Instruct to call the tool and to repair a failed call, with a LoRA adapter.

    python -m recipe.cleaner.coldstart.train_smollm2_lora --out runs/coldstart/smollm2-lora

Computes in bf16 where the CPU has bf16 instructions, else in float32, which is then ten times faster. Only the
adapter (bf16) and the tokenizer are saved; veRL loads the adapter with
`model.lora_adapter_path` together with a `lora_rank` above 0.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from random import Random
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from cleartrace.data.tasks import Split, generate_tasks
from cleartrace_verl.engine.load import resolve_dtype
from recipe.cleaner.coldstart.batches import Weighted, encode, pad
from recipe.cleaner.coldstart.demonstrations import ErrorRates, demonstrate
from recipe.cleaner.coldstart.fetch_smollm2 import DEFAULT_FOLDER
from recipe.cleaner.coldstart.losses import learning_rate, weighted_loss


def make_adapter(model: Any, rank: int) -> Any:
    """`model` with a LoRA adapter on every linear layer but the head."""
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(model, config)


def demonstrations(tokenizer: Any, n: int, seed: int, rates: ErrorRates) -> list[Weighted]:
    """`n` tokenised demonstrations of training tasks, in random order; only the assistant's tokens count."""
    rng = Random(f"lora/{seed}")
    tasks = generate_tasks(n, seed, Split.TRAIN)
    rng.shuffle(tasks)
    return [encode(tokenizer, demonstrate(task, rng, rates), context_weight=0.0) for task in tasks]


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    tokenizer: Any = AutoTokenizer.from_pretrained(args.model)
    dtype = resolve_dtype("auto", torch.bfloat16, torch.device("cpu"))
    base = AutoModelForCausalLM.from_pretrained(args.model, dtype=dtype)
    model = make_adapter(base, args.rank).to(dtype)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=args.lr, betas=(0.9, 0.98), weight_decay=0.0)
    examples = demonstrations(tokenizer, args.demonstrations, args.seed, ErrorRates(args.p_err, args.p_err2))
    steps = args.steps or len(examples) // args.batch_size
    print(f"{sum(p.numel() for p in trained) / 1e6:.1f} M trained parameters, {steps} steps", flush=True)
    started = time.monotonic()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, args.lr, warm_up=8)
        first = step * args.batch_size % len(examples)
        ids, weights = pad(examples[first : first + args.batch_size], tokenizer.pad_token_id)
        loss = weighted_loss(model(input_ids=ids, use_cache=False).logits, ids, weights)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        spent = time.monotonic() - started
        left = spent / (step + 1) * (steps - step - 1)
        print(f"step {step + 1} loss {loss.item():.4f} {spent:.0f} s, {left:.0f} s left", flush=True)
        if (step + 1) % args.save_every == 0 and step + 1 < steps:
            model.save_pretrained(args.out / f"step_{step + 1}")
    model.to(torch.bfloat16).save_pretrained(args.out / "final")
    tokenizer.save_pretrained(args.out / "final")
    print(f"saved {args.out / 'final'}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--demonstrations", type=int, default=360)
    parser.add_argument("--steps", type=int, help="default: one pass over the demonstrations")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--p-err", type=float, default=0.3, help="probability that a first call is corrupted")
    parser.add_argument("--p-err2", type=float, default=0.4, help="probability that a retry is corrupted")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save-every", type=int, default=20)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
