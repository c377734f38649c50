"""Measure a cold-start policy on held-out tasks.

    python -m recipe.cleaner.coldstart.evaluate --model dataset/quickstart/policy --n 200

Programs of the model run on a judge that is started for the command.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from cleartrace.data.tasks import Split, generate_tasks
from cleartrace.evaluate.stats import wilson_interval
from recipe.cleaner.coldstart.episodes import CallOutcome, Episode, run_episodes
from recipe.cleaner.coldstart.judged import judged


def share(flags: Sequence[bool]) -> dict[str, Any]:
    """Rate with its count and interval; the rate is None where nothing was counted."""
    low, high = wilson_interval(sum(flags), len(flags))
    rate = round(sum(flags) / len(flags), 3) if flags else None
    return {"rate": rate, "n": len(flags), "low": round(low, 3), "high": round(high, 3)}


def summarise(episodes: list[Episode]) -> dict[str, Any]:
    """All figures of an evaluation."""
    first = [episode.calls[0] if episode.calls else None for episode in episodes]
    failed = [one for one, call in zip(episodes, first, strict=True) if call not in (CallOutcome.OK, None)]
    passed = [one for one, call in zip(episodes, first, strict=True) if call is CallOutcome.OK]
    families: dict[str, list[bool]] = defaultdict(list)
    for episode in episodes:
        families[episode.task.family].append(episode.solved)
    return {
        "solved": share([one.solved for one in episodes]),
        "first_call": {
            str(kind.value if kind else "none"): share([c is kind for c in first]) for kind in (*CallOutcome, None)
        },
        "solved_if_first_ok": share([one.solved for one in passed]),
        "repaired_by_next_call": share([one.calls[1:2] == [CallOutcome.OK] for one in failed]),
        "repaired_later": share([CallOutcome.OK in one.calls[1:] for one in failed]),
        "solved_after_failed_first": share([one.solved for one in failed]),
        "calls_mean": round(sum(len(one.calls) for one in episodes) / len(episodes), 2),
        "tokens": {
            "prompt_max": max(one.prompt_tokens for one in episodes),
            "generated_mean": round(sum(one.generated_tokens for one in episodes) / len(episodes), 1),
            "response": _quantiles([len(one.ids) - one.prompt_tokens for one in episodes]),
        },
        "families": {name: f"{sum(flags)}/{len(flags)}" for name, flags in sorted(families.items())},
    }


def _quantiles(lengths: list[int]) -> dict[str, int]:
    ordered = sorted(lengths)
    at = {"median": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {name: ordered[min(int(q * len(ordered)), len(ordered) - 1)] for name, q in at.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--adapter", type=Path, help="LoRA adapter of that model")
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--level", type=int, default=2)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--show", type=int, default=0, help="print this many conversations")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model: Any = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32)
    if args.adapter:
        model = PeftModel.from_pretrained(model, args.adapter).merge_and_unload()
    model.eval()
    started = time.monotonic()
    tasks = generate_tasks(args.n, args.seed, Split.HELD_OUT, args.level)
    with judged() as execute:
        episodes = run_episodes(model, tokenizer, tasks, execute, args.temperature)
    for episode in episodes[: args.show]:
        print(f"{tokenizer.decode(episode.ids)}\n--- wanted {episode.task.answer}\n")
    report = summarise(episodes) | {"seconds": round(time.monotonic() - started, 1)}
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
