"""A training worker in this process: the shipped policy, veRL's FSDP2 engine, gloo, one rank or one of several."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from tensordict import TensorDict
from verl.utils import tensordict_utils as tu

from cleartrace.pairs.files import write_pairs
from cleartrace.pairs.record import Pair, PairKind, both_directions
from cleartrace_verl.compose import compose
from cleartrace_verl.platform_cpu import choose_cpu

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
    """The smoke experiment with `context_rl` on; later values win. `context` are options of the group."""
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


def open_group(rank: int = 0, ranks: int = 1, port: int = 29871) -> None:
    """The gloo group that Ray would have asked for."""
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": str(ranks),
        "LOCAL_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    choose_cpu()
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("cpu:gloo", rank=rank, world_size=ranks)


def actor_of(config: DictConfig, worker_class: Any) -> Any:
    """The actor's `TrainingWorker` inside a hybrid worker of `worker_class`."""
    torch.manual_seed(0)
    hybrid = worker_class(config.actor_rollout_ref, role="actor")
    hybrid.init_model()
    return hybrid.actor


def policy_rows(rows: int, *, advantage: float = 1.0, seed: int = 0) -> TensorDict:
    """Rows of random tokens as veRL's trainer sends them to an actor."""
    generator = torch.Generator().manual_seed(seed)
    prompts = [torch.randint(0, 400, (5 + i % 3,), generator=generator) for i in range(rows)]
    responses = [torch.randint(0, 400, (7 + i % 4,), generator=generator) for i in range(rows)]
    nested = tu.nested_tensor_from_tensor_list
    whole = [torch.cat(parts) for parts in zip(prompts, responses, strict=True)]
    masks = [torch.ones(len(response)) for response in responses]
    signs = [advantage * (1.0 if i % 2 else -1.0) for i in range(rows)]
    batch = TensorDict(
        {
            "prompts": nested(prompts),
            "responses": nested(responses),
            "input_ids": nested(whole),
            "position_ids": nested([torch.arange(len(row)) for row in whole]),
            "loss_mask": nested([mask.long() for mask in masks]),
            "response_mask": nested(masks),
            "old_log_probs": nested([torch.full_like(mask, -6.0) for mask in masks]),
            "advantages": nested([sign * mask for sign, mask in zip(signs, masks, strict=True)]),
        },
        batch_size=rows,
    )
    return batch


def update(actor: Any, rows: TensorDict, **extra: Any) -> dict[str, Any]:
    """One `train_mini_batch` with the settings that the trainer gives; returns its metrics."""
    data = rows.clone()
    tu.assign_non_tensor(
        data,
        calculate_entropy=False,
        distillation_use_topk=False,
        distillation_only=False,
        global_batch_size=4,
        mini_batch_size=4,
        epochs=1,
        seed=0,
        dataloader_kwargs={"shuffle": False},
        temperature=1.0,
        **extra,
    )
    return tu.get(actor.train_mini_batch(data), "metrics")
