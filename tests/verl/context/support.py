"""Pairs and a configuration for training workers with the shipped policy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from tensordict import TensorDict

from cleartrace.pairs.files import write_pairs
from cleartrace.pairs.record import Pair, PairKind, both_directions
from cleartrace_verl.compose import compose
from cleartrace_verl.one_process import random_rows

ROOT = Path(__file__).resolve().parents[3]
NUMBERS = ("two", "three", "five", "seven", "nine")


def pairs_of(groups: Sequence[int]) -> Iterator[Pair]:
    """Two pairs per group: the same two contexts, each supporting once."""
    for group in groups:
        a, b = NUMBERS[group % 5], NUMBERS[(group + 1 + group // 5 % 4) % 5]
        if a == b:
            b = NUMBERS[(group + 2) % 5]
        yield from both_directions(
            id=f"p{group}",
            kind=PairKind.TEXT,
            question="x",
            answers=(a, b),
            contexts=(f"x is {a}", f"x is {b}"),
            group=f"g{group}",
            source="test",
        )


def pair_files(folder: Path, *, train: int = 8, held_out: int = 4) -> tuple[Path, Path]:
    """Files of 2 * `train` and 2 * `held_out` pairs."""
    folder.mkdir(parents=True, exist_ok=True)
    files = folder / "train.jsonl", folder / "held_out.jsonl"
    write_pairs(files[0], pairs_of(range(train)))
    write_pairs(files[1], pairs_of(range(train, train + held_out)))
    return files


def config_for(folder: Path, **context: Any) -> DictConfig:
    """The smoke experiment with `context_rl` on; `context` are options of that group."""
    train, held_out = pair_files(folder)
    options = {
        "enable": True,
        "coef": 1.0,
        "batch_size": 4,
        "train_files": [str(train)],
        "val_files": [str(held_out)],
        "max_token_len_per_gpu": 4096,
        "logits_path": "auto",
        **context,
    }
    config = compose(["experiment=smoke"], [ROOT / "recipe/cleaner"])
    config.actor_rollout_ref.context_rl = OmegaConf.merge(config.actor_rollout_ref.context_rl, options)
    config.actor_rollout_ref.actor.ppo_mini_batch_size = 2
    config.actor_rollout_ref.rollout.n = 2
    config.actor_rollout_ref.actor.use_dynamic_bsz = True
    config.actor_rollout_ref.actor.ppo_max_token_len_per_gpu = 4096
    config.actor_rollout_ref.rollout.log_prob_use_dynamic_bsz = True
    config.actor_rollout_ref.rollout.log_prob_max_token_len_per_gpu = 4096
    # Chosen by the tests, so that all three paths can be compared.
    config.actor_rollout_ref.model.use_fused_kernels = False
    OmegaConf.resolve(config)
    return config


def short_rollouts(rows: int, advantage: float = 1.0) -> TensorDict:
    """Rollouts of random tokens for the shipped policy."""
    return random_rows(rows, prompt=5, response=7, vocabulary=400, advantage=advantage)
