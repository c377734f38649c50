"""An actor's training worker in this process, without Ray: for benchmarks and tests of what happens in an update."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
from omegaconf import DictConfig
from tensordict import TensorDict
from verl.utils import tensordict_utils as tu

from cleartrace_verl.platform_cpu import choose_cpu


def open_group(rank: int = 0, ranks: int = 1, port: int = 29871) -> None:
    """Open the gloo group on loopback that Ray's workers would open. Does nothing when one is open."""
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
    """The actor's `TrainingWorker` inside a hybrid worker of `worker_class`; `open_group` comes first."""
    hybrid = worker_class(config.actor_rollout_ref, role="actor")
    hybrid.init_model()
    return hybrid.actor


def update(actor: Any, rows: TensorDict, mini_batch: int, **extra: Any) -> dict[str, Any]:
    """One `train_mini_batch` with the settings that veRL's trainer sends along; returns its metrics.

    Args:
        rows: prompts, responses and per-token fields of rollouts; not changed.
        mini_batch: rows of an optimizer step.
    """
    data = rows.clone()
    tu.assign_non_tensor(
        data,
        calculate_entropy=False,
        distillation_use_topk=False,
        distillation_only=False,
        global_batch_size=mini_batch,
        mini_batch_size=mini_batch,
        epochs=1,
        seed=0,
        dataloader_kwargs={"shuffle": False},
        temperature=1.0,
        **extra,
    )
    return tu.get(actor.train_mini_batch(data), "metrics")


def policy_pass(actor: Any, rows: TensorDict) -> None:
    """Forward and backward of the policy loss on `rows`, in one packed batch; gradients add up."""
    data = rows.clone()
    tu.assign_non_tensor(
        data,
        temperature=1.0,
        global_batch_size=len(rows),
        use_remove_padding=True,
        use_dynamic_bsz=True,
        max_token_len_per_gpu=sum(len(row) for row in rows["input_ids"].unbind()),
        use_fused_kernels=False,
        calculate_entropy=False,
    )
    actor.engine.forward_backward_batch(data, actor.loss_fn)


def policy_rows(
    prompts: Sequence[torch.Tensor], responses: Sequence[torch.Tensor], advantages: Sequence[float]
) -> TensorDict:
    """Rollouts as veRL's trainer sends them to an actor, with old log-probs of -6.

    Args:
        prompts, responses: token ids of each row, `[tokens]`.
        advantages: one per row.
    """
    nested = tu.nested_tensor_from_tensor_list
    whole = [torch.cat(parts) for parts in zip(prompts, responses, strict=True)]
    masks = [torch.ones(len(row)) for row in responses]
    fields = {
        "prompts": nested(list(prompts)),
        "responses": nested(list(responses)),
        "input_ids": nested(whole),
        "position_ids": nested([torch.arange(len(row)) for row in whole]),
        "loss_mask": nested([mask.long() for mask in masks]),
        "response_mask": nested(masks),
        "old_log_probs": nested([torch.full_like(mask, -6.0) for mask in masks]),
        "advantages": nested([value * mask for value, mask in zip(advantages, masks, strict=True)]),
    }
    return TensorDict(fields, batch_size=len(whole))


def random_rows(
    rows: int, *, prompt: int, response: int, vocabulary: int, advantage: float = 1.0, seed: int = 0
) -> TensorDict:
    """Rows of random tokens, of slightly different lengths, with advantages of alternating sign."""
    generator = torch.Generator().manual_seed(seed)

    def tokens(length: int) -> torch.Tensor:
        return torch.randint(0, vocabulary, (length,), generator=generator)

    prompts = [tokens(prompt + i % 3) for i in range(rows)]
    responses = [tokens(response + i % 4) for i in range(rows)]
    return policy_rows(prompts, responses, [advantage * (1.0 if i % 2 else -1.0) for i in range(rows)])
