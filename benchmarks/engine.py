"""Embedded engine against `transformers` generate: tokens per second and their ratio.

    python benchmarks/engine.py --model tiny --batch 1 8 32 64
    python benchmarks/engine.py --model smollm2 --batch 8 32 --new 32 --repeats 1

Random weights, prompts of random tokens, sampling at temperature 1, prefill included. The two sides alternate, and
the best of `--repeats` runs counts for each, because other load on the machine only ever slows a run down. Tokens per
CPU second say what a quiet machine would do: on a shared one, wall time also counts the time others had the core.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "verl"))
from cleartrace_verl.engine import Engine, EngineConfig, Sampling, build_engine  # noqa: E402


def tiny() -> Any:
    """The quickstart policy's shape: Qwen3, 3 layers, hidden 192, 1.5 M parameters, float32."""
    config = transformers.Qwen3Config(
        num_hidden_layers=3,
        hidden_size=192,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=32,
        intermediate_size=512,
        vocab_size=400,
        tie_word_embeddings=True,
    )
    return transformers.AutoModelForCausalLM.from_config(config)


def smollm2() -> Any:
    """SmolLM2-135M's shape, bfloat16."""
    config = transformers.LlamaConfig(
        num_hidden_layers=30,
        hidden_size=576,
        num_attention_heads=9,
        num_key_value_heads=3,
        intermediate_size=1536,
        vocab_size=49152,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
    )
    return transformers.AutoModelForCausalLM.from_config(config).to(torch.bfloat16)


def seconds(run: Callable[[], None]) -> tuple[float, float]:
    """Wall and CPU seconds (all threads) of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


def run_engine(engine: Engine, prompts: torch.Tensor, new: int) -> None:
    engine.clear_kv()
    results = engine.generate(prompts.tolist(), Sampling(max_tokens=new, ignore_eos=True))
    assert all(len(g.token_ids) == new for g in results)


def run_transformers(model: Any, prompts: torch.Tensor, new: int) -> None:
    output = model.generate(
        prompts,
        attention_mask=torch.ones_like(prompts),
        max_new_tokens=new,
        min_new_tokens=new,
        do_sample=True,
        top_k=0,
        pad_token_id=0,
    )
    assert output.shape[1] == prompts.shape[1] + new


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=("tiny", "smollm2"), default="tiny")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8, 32, 64])
    parser.add_argument("--prompt", type=int, default=100, help="tokens of each prompt")
    parser.add_argument("--new", type=int, default=200, help="tokens sampled per prompt")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    model = {"tiny": tiny, "smollm2": smollm2}[args.model]().eval()
    engine = build_engine(model, EngineConfig(max_slots=max(args.batch), max_context=args.prompt + args.new))
    kind = engine.model.weights.embed.dtype
    # The reference gets the type that the engine chose, so the ratio shows the engine and not the type.
    model = model.to(kind)
    print(f"{args.model}, {kind}, {args.threads} thread(s), prompt {args.prompt}, {args.new} new tokens")
    print("batch | tok/s: engine, transformers, ratio | tok per CPU s: engine, transformers, ratio")
    for batch in args.batch:
        prompts = torch.randint(0, model.config.vocab_size, (batch, args.prompt))
        ours, theirs = [], []
        for _ in range(args.repeats):
            ours.append(seconds(lambda prompts=prompts: run_engine(engine, prompts, args.new)))
            theirs.append(seconds(lambda prompts=prompts: run_transformers(model, prompts, args.new)))
        columns = []
        for clock in (0, 1):
            rates = [batch * args.new / min(run[clock] for run in side) for side in (ours, theirs)]
            columns.append(f"{rates[0]:8.0f} {rates[1]:8.0f} {rates[0] / rates[1]:6.2f}")
        print(f"{batch:>5} | " + " | ".join(columns), flush=True)
    print(f"command: python {shlex.join(sys.argv)}")


if __name__ == "__main__":
    main()
