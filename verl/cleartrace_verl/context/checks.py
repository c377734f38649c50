"""What ContextRL cannot do, found before anything is started."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pydantic import ValidationError

from cleartrace.data.errors import column_errors
from cleartrace.losses.context_options import ContextConfig, LogitsPath

KEY = "actor_rollout_ref.context_rl"
STRATEGIES = ("fsdp", "fsdp2")


class ContextRefused(ValueError):
    """A combination that would train something else than was asked for; the text says what to change."""


def context_config(actor_rollout_ref: DictConfig) -> ContextConfig:
    """The group `context_rl`. Raises ContextRefused that names the key."""
    group: Any = OmegaConf.to_container(actor_rollout_ref.context_rl, resolve=True)
    try:
        return ContextConfig(**group)
    except ValidationError as error:
        name, message = column_errors(error)[0]
        raise ContextRefused(f"{KEY}{'.' if name else ''}{name}: {message}") from error


def choose_path(config: ContextConfig, *, fused: bool, sequence_parallel: bool, pads_to_length: bool) -> LogitsPath:
    """The path that is right for the engine. Raises ContextRefused where the one asked for is not."""
    wanted = config.logits_path
    if wanted is LogitsPath.AUTO:
        wanted = LogitsPath.PAIR if fused else LogitsPath.PROCESSOR if sequence_parallel else LogitsPath.LM_HEAD
    for refused, why in (
        (fused and wanted is not LogitsPath.PAIR, "fused kernels give no logits: use `pair`"),
        (sequence_parallel and wanted is LogitsPath.LM_HEAD, "each rank has a part of a row: use `processor`"),
        (pads_to_length and wanted is LogitsPath.PROCESSOR, "veRL refuses it with pad_to_length: use `pair`"),
        (config.letter_variants and wanted is LogitsPath.PAIR, "it knows one spelling: set letter_variants=false"),
    ):
        if refused:
            raise ContextRefused(f"{KEY}.logits_path={wanted.value} cannot be used here: {why}.")
    return wanted


def problems(config: DictConfig) -> Iterator[str]:
    """One sentence per reason why the run cannot start."""
    model = config.actor_rollout_ref
    try:
        context = context_config(model)
        if not context.active:
            return
        actor = model.actor
        choose_path(
            context,
            fused=bool(model.model.use_fused_kernels),
            sequence_parallel=actor.ulysses_sequence_parallel_size > 1,
            pads_to_length=bool(OmegaConf.select(actor, "fsdp_config.pad_to_length")),
        )
    except ContextRefused as error:
        yield str(error)
        return
    if actor.strategy not in STRATEGIES:
        yield (
            f"{KEY} needs actor.strategy=fsdp2 or fsdp, got {actor.strategy}: a second pass before the optimizer step "
            "is unproven there, and wrong on Megatron, which would reduce gradients twice."
        )
    if config.trainer.v1.trainer_mode != "sync":
        yield f"{KEY} is built for trainer.v1.trainer_mode=sync, got {config.trainer.v1.trainer_mode}."
    ranks = config.trainer.n_gpus_per_node * config.trainer.nnodes // (actor.ulysses_sequence_parallel_size or 1)
    if context.batch_size % ranks:
        yield f"{KEY}.batch_size={context.batch_size} is not divisible by the {ranks} data-parallel ranks."
    for name in (*context.train_files, *context.val_files):
        if not Path(name).expanduser().exists():
            yield f"{KEY}: there is no file {name}; make pairs with `cleartrace pairs make` or mend the path."
