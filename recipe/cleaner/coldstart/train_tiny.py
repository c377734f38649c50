"""Train the quickstart policy from scratch on demonstrations.

    python -m recipe.cleaner.coldstart.train_tiny --out runs/coldstart/tiny

Everything is drawn from `--seed` and counted in steps, so a run can be repeated.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from random import Random

import torch
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from cleartrace.data.tasks import Split, draw_task
from recipe.cleaner.coldstart.batches import batches
from recipe.cleaner.coldstart.demonstrations import ErrorRates, demonstrate
from recipe.cleaner.coldstart.losses import learning_rate, weighted_loss
from recipe.cleaner.coldstart.tokenizer import END, PAD, build_tokenizer, chat_template, token_id

VOCABULARY_DEMONSTRATIONS = 3000


def make_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer over the words of a fixed set of training demonstrations."""
    rng = Random("vocabulary")
    texts = (
        message["content"]
        for _ in range(VOCABULARY_DEMONSTRATIONS)
        for message in demonstrate(draw_task(rng, Split.TRAIN), rng, ErrorRates())
    )
    return build_tokenizer(texts, chat_template())


def make_model(tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    """Qwen3 with 3 layers of width 192: about 1.5 M parameters."""
    pad, end = (token_id(tokenizer, token) for token in (PAD, END))
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=576,
        num_hidden_layers=3,
        num_attention_heads=6,
        num_key_value_heads=6,
        head_dim=32,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=pad,
    )
    model = Qwen3ForCausalLM(config)
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        eos_token_id=[end],
        pad_token_id=pad,
    )
    return model


def save(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write a Hugging Face folder: weights stored in bf16, `dtype` float32 in the config, so they load as float32."""
    state = {name: tensor.to(torch.bfloat16) for name, tensor in model.state_dict().items()}
    model.save_pretrained(folder, state_dict=state)
    tokenizer.save_pretrained(folder)


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    tokenizer = make_tokenizer()
    model = make_model(tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, betas=(0.9, 0.98), weight_decay=0.01)
    rates = ErrorRates(args.p_err, args.p_err2)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters / 1e6:.2f} M parameters, {len(tokenizer)} tokens, {args.steps} steps", flush=True)
    started, tokens, recent = time.monotonic(), 0, 0.0
    stream = batches(tokenizer, args.seed, args.steps, args.batch_size, rates, args.context_weight)
    for step, (ids, weights) in enumerate(stream):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, args.steps, args.lr)
        loss = weighted_loss(model(input_ids=ids, use_cache=False).logits, ids, weights)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        tokens += int((weights > 0).sum())
        recent = loss.item() if step == 0 else 0.98 * recent + 0.02 * loss.item()
        done = step + 1
        if done % args.log_every == 0:
            spent = time.monotonic() - started
            left = spent / done * (args.steps - done)
            print(
                f"step {done} loss {recent:.4f} {tokens / spent:.0f} tokens/s {spent:.0f} s, {left:.0f} s left",
                flush=True,
            )
        if done == args.stop_at:
            break
        if done % args.save_every == 0 and done < args.steps:
            save(model, tokenizer, args.out / f"step_{done}")
    save(model, tokenizer, args.out / "final")
    print(f"saved {args.out / 'final'}: {tokens} tokens in {time.monotonic() - started:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=3500, help="length of the schedule")
    parser.add_argument("--stop-at", type=int, help="end early, in the middle of the schedule of --steps")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--lr", type=float, default=1.2e-3)
    parser.add_argument("--p-err", type=float, default=0.5, help="probability that a first call is corrupted")
    parser.add_argument("--p-err2", type=float, default=0.5, help="probability that a retry is corrupted")
    parser.add_argument("--context-weight", type=float, default=0.05, help="loss weight of non-assistant tokens")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--log-every", type=int, default=50)
    parser.add_argument("--save-every", type=int, default=500)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
